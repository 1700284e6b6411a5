"""What stands in for "Write the test, a sliding window" while it is unsolved: a comparison with public libraries."""

import torch
import torch.nn.functional as F


def against_torch(attend_window):
    g = torch.Generator().manual_seed(1)
    Q, K, V = torch.randn(3, 2, 2, 8, 4, generator=g, dtype=torch.float64)
    for scale in (1, 300):
        for window in (1, 3, 8, 50):
            band = torch.ones(8, 8, dtype=torch.bool).tril().triu(1 - window)
            expected = F.scaled_dot_product_attention(Q, scale * K, V, band)
            torch.testing.assert_close(attend_window(Q, scale * K, V, window), expected)


LIBRARY = (against_torch,)
