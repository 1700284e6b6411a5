"""What stands in for "Attention in blocks, with the online softmax" while it is unsolved, from public libraries."""

import torch.nn.functional as F


def from_library(Q, K, V, block, causal):
    return F.scaled_dot_product_attention(Q, K, V, is_causal=causal)


LIBRARY = (from_library,)
