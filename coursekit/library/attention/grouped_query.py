"""What stands in for "Grouped-query attention" while it is unsolved, from public libraries."""

import torch.nn.functional as F


def from_library(Q, K, V):
    return F.scaled_dot_product_attention(Q, K, V, enable_gqa=True)


LIBRARY = (from_library,)
