"""What stands in for "How many numbers has BERT-base?" while it is unsolved: transformers counts."""


def library():
    import torch
    from transformers import BertConfig, BertModel

    with torch.device("meta"):
        return sum(p.numel() for p in BertModel(BertConfig(), add_pooling_layer=False).parameters())


LIBRARY = (library,)
