"""What stands in for "Queries that may look at nothing" while it is unsolved, from public libraries."""

import torch.nn.functional as F


def _library(Q, K, V, allowed):
    return F.scaled_dot_product_attention(Q, K, V, attn_mask=allowed)


LIBRARY = (_library,)
