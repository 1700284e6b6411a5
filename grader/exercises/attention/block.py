"""A transformer block. Post-norm: Vaswani et al. 2017, section 3.1; pre-norm: Xiong et al. 2020, figure 1.

post: X' = Norm_1(X + MultiHead(X)),  Y = Norm_2(X' + FFN(X'))
pre:  X' = X + MultiHead(Norm_1(X)),  Y = X' + FFN(Norm_2(X'))
"""

import torch
from torch import nn
from torch.nn.functional import gelu, relu

from grader.contract import Trusted


class Parts(nn.Module):
    """The modules of a block and its two sublayers; forward is what each implementation writes."""

    activation = staticmethod(gelu)

    def __init__(self, D, H, F, norm_first):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(D, H, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(D, F), nn.Linear(F, D)
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.norm_first = norm_first

    def multihead(self, X, allowed):
        B, T, D = X.shape
        H = self.self_attn.num_heads
        QKV = nn.functional.linear(X, self.self_attn.in_proj_weight, self.self_attn.in_proj_bias)
        Q, K, V = (P.reshape(B, T, H, D // H).transpose(1, 2) for P in QKV.chunk(3, -1))
        Z = Q @ K.mT / (D // H) ** 0.5
        if allowed is not None:
            Z = Z.masked_fill(~allowed, -torch.inf)
        return self.self_attn.out_proj((Z.softmax(-1) @ V).transpose(1, 2).reshape(B, T, D))

    def ffn(self, X):
        return self.linear2(self.activation(self.linear1(X)))


class Reference(Parts):
    def forward(self, X, allowed=None):
        if self.norm_first:
            X1 = X + self.multihead(self.norm1(X), allowed)
            return X1 + self.ffn(self.norm2(X1))
        X1 = self.norm1(X + self.multihead(X, allowed))
        return self.norm2(X1 + self.ffn(X1))


TRUSTED = Trusted(Reference)


@TRUSTED.mistake(
    "This is half a block: Norm(X + MultiHead(X)) mixes tokens but never thinks about them. "
    "The feed-forward network with its own residual and norm is missing."
)
class NoFeedForward(Parts):
    def forward(self, X, allowed=None):
        if self.norm_first:
            return X + self.multihead(self.norm1(X), allowed)
        return self.norm1(X + self.multihead(X, allowed))


@TRUSTED.mistake("The residual around attention is missing: add the block's input to what attention returns.")
class NoAttentionResidual(Parts):
    def forward(self, X, allowed=None):
        if self.norm_first:
            X1 = self.multihead(self.norm1(X), allowed)
            return X1 + self.ffn(self.norm2(X1))
        X1 = self.norm1(self.multihead(X, allowed))
        return self.norm2(X1 + self.ffn(X1))


@TRUSTED.mistake("The residual around the feed-forward network is missing: add its input to its result.")
class NoFeedForwardResidual(Parts):
    def forward(self, X, allowed=None):
        if self.norm_first:
            X1 = X + self.multihead(self.norm1(X), allowed)
            return self.ffn(self.norm2(X1))
        X1 = self.norm1(X + self.multihead(X, allowed))
        return self.norm2(self.ffn(X1))


@TRUSTED.mistake("The block is post-norm whatever `norm_first` says: when it is True, normalise what a sublayer reads.")
class AlwaysPostNorm(Parts):
    def forward(self, X, allowed=None):
        X1 = self.norm1(X + self.multihead(X, allowed))
        return self.norm2(X1 + self.ffn(X1))


@TRUSTED.mistake("The block is pre-norm whatever `norm_first` says: when it is False, normalise each sum.")
class AlwaysPreNorm(Parts):
    def forward(self, X, allowed=None):
        X1 = X + self.multihead(self.norm1(X), allowed)
        return X1 + self.ffn(self.norm2(X1))


@TRUSTED.mistake(
    "The two orders are exchanged: `norm_first=True` means pre-norm, the norm inside each residual branch."
)
class OrdersExchanged(Parts):
    def forward(self, X, allowed=None):
        if not self.norm_first:
            X1 = X + self.multihead(self.norm1(X), allowed)
            return X1 + self.ffn(self.norm2(X1))
        X1 = self.norm1(X + self.multihead(X, allowed))
        return self.norm2(X1 + self.ffn(X1))


@TRUSTED.mistake(
    "The feed-forward network reads the block's input; it must read, and be added to, the first half's result."
)
class FeedForwardReadsTheInput(Parts):
    def forward(self, X, allowed=None):
        if self.norm_first:
            return X + self.multihead(self.norm1(X), allowed) + self.ffn(self.norm2(X))
        X1 = self.norm1(X + self.multihead(X, allowed))
        return self.norm2(X1 + self.ffn(X))


@TRUSTED.mistake("The same norm is used twice: `norm1` belongs to attention, `norm2` to the feed-forward network.")
class OneNormTwice(Parts):
    def forward(self, X, allowed=None):
        if self.norm_first:
            X1 = X + self.multihead(self.norm1(X), allowed)
            return X1 + self.ffn(self.norm1(X1))
        X1 = self.norm1(X + self.multihead(X, allowed))
        return self.norm1(X1 + self.ffn(X1))


@TRUSTED.mistake(
    "The norm sits on the sublayer's result, before the residual is added: Norm(f(X)) + X. Post-norm normalises the "
    "sum, pre-norm the sublayer's input."
)
class NormOnTheBranch(Parts):
    def forward(self, X, allowed=None):
        X1 = X + self.norm1(self.multihead(X, allowed))
        return X1 + self.norm2(self.ffn(X1))


@TRUSTED.mistake(
    "The residual starts from the normalised tokens: in pre-norm the stream itself is never normalised, only what a "
    "sublayer reads."
)
class ResidualAfterTheNorm(Parts):
    def forward(self, X, allowed=None):
        if self.norm_first:
            N = self.norm1(X)
            X1 = N + self.multihead(N, allowed)
            N = self.norm2(X1)
            return N + self.ffn(N)
        X1 = self.norm1(X + self.multihead(X, allowed))
        return self.norm2(X1 + self.ffn(X1))


@TRUSTED.mistake("The feed-forward network uses ReLU; here it is GELU, as in BERT and GPT.")
class ReluForGelu(Reference):
    activation = staticmethod(relu)


@TRUSTED.mistake(
    "This is the tanh approximation of GELU, GPT-2's; the block uses the exact one, which is the default of `gelu`."
)
class TanhGelu(Reference):
    activation = staticmethod(lambda X: gelu(X, approximate="tanh"))


@TRUSTED.mistake("The two norms are exchanged: `norm1` belongs to attention, `norm2` to the feed-forward network.")
class NormsExchanged(Parts):
    def forward(self, X, allowed=None):
        if self.norm_first:
            X1 = X + self.multihead(self.norm2(X), allowed)
            return X1 + self.ffn(self.norm1(X1))
        X1 = self.norm2(X + self.multihead(X, allowed))
        return self.norm1(X1 + self.ffn(X1))


@TRUSTED.mistake("There is no activation between `linear1` and `linear2`: two linear maps in a row are just one.")
class NoActivation(Reference):
    activation = staticmethod(lambda X: X)


@TRUSTED.mistake("`allowed` has no effect: hand it on to attention.")
class MaskIgnored(Reference):
    def multihead(self, X, allowed):
        return super().multihead(X, None)


@TRUSTED.alternative
class Library(nn.TransformerEncoderLayer):
    def __init__(self, D, H, F, norm_first):
        super().__init__(D, H, F, dropout=0.0, activation="gelu", batch_first=True, norm_first=norm_first)

    def forward(self, X, allowed=None):
        return super().forward(X, src_mask=None if allowed is None else ~allowed)


@TRUSTED.alternative
class NormsChosenOnce(Parts):
    """Both orders as one formula, with the identity where a norm has no place."""

    def forward(self, X, allowed=None):
        nothing = nn.Identity()
        inner1, inner2 = (self.norm1, self.norm2) if self.norm_first else (nothing, nothing)
        outer1, outer2 = (nothing, nothing) if self.norm_first else (self.norm1, self.norm2)
        X = outer1(X + self.multihead(inner1(X), allowed))
        return outer2(X + self.ffn(inner2(X)))


@TRUSTED.alternative
class FunctionalTokenByToken(Parts):
    """The feed-forward network applied to one token after the other."""

    def ffn(self, X):
        return torch.stack([self.linear2(gelu(self.linear1(x))) for x in X.unbind(1)], 1)

    def forward(self, X, allowed=None):
        return Reference.forward(self, X, allowed)
