"""What stands in for "One vector for a sentence" while it is unsolved, from public libraries."""

import torch
from torch import nn


def _cls(X, real):
    from transformers.models.bert import modeling_bert  # here, because it takes seconds to import

    pooler = modeling_bert.BertPooler(modeling_bert.BertConfig(hidden_size=1, num_attention_heads=1))
    pooler.dense = pooler.activation = nn.Identity()  # what is left chooses the token
    return pooler(X)


def _mean(X, real):
    return torch.masked.mean(X, 1, mask=real[..., None].expand_as(X)).nan_to_num()


LIBRARY = (_cls, _mean)
