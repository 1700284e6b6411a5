"""What stands in for "A transformer block" while it is unsolved, from public libraries."""

from torch import nn


class Library(nn.TransformerEncoderLayer):
    """torch's layer, called as the exercise calls a block; it keeps torch's attention whatever it is given."""

    def __init__(self, D, H, F, norm_first, Attention=None):
        super().__init__(D, H, F, dropout=0.0, activation="gelu", batch_first=True, norm_first=norm_first)

    def forward(self, X, allowed=None):
        if allowed is not None:
            B, T = X.shape[:2]
            allowed = ~allowed.expand(B, self.self_attn.num_heads, T, T).flatten(0, 1)
        return super().forward(X, src_mask=allowed)


LIBRARY = (Library,)
