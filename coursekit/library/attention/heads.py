"""What stands in for "Split into heads and merge them" while it is unsolved, from public libraries."""


def _split(X, H):
    return _gpt_neo()._split_heads(None, X, H, X.shape[-1] // H)


def _merge(Y):
    return _gpt_neo()._merge_heads(None, Y, Y.shape[1], Y.shape[-1])


def _gpt_neo():
    from transformers.models.gpt_neo import modeling_gpt_neo  # here, because it takes seconds to import

    return modeling_gpt_neo.GPTNeoSelfAttention


LIBRARY = (_split, _merge)
