"""A transformer block. Post-norm: Vaswani et al. 2017, section 3.1; pre-norm: Xiong et al. 2020, figure 1.

post: X' = Norm_1(X + MultiHead(X)),  Y = Norm_2(X' + FFN(X'))
pre:  X' = X + MultiHead(Norm_1(X)),  Y = X' + FFN(Norm_2(X'))
"""

import torch
from torch import nn
from torch.nn.functional import gelu, linear

from grader.contract import Trusted
from grader.steps import attention, blocks


class Parts(blocks.Block):
    """The block's modules under torch's names."""

    def __init__(self, D, H, F, norm_first):
        super().__init__()
        self.H, self.norm_first = H, norm_first
        self.self_attn = nn.MultiheadAttention(D, H, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(D, F), nn.Linear(F, D)
        self.norm1, self.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)

    def project(self, X):
        return linear(X, self.self_attn.in_proj_weight, self.self_attn.in_proj_bias).chunk(3, -1)

    def project_back(self, Y):
        return self.self_attn.out_proj(Y)

    def norms(self):
        return self.norm1, self.norm2

    def linears(self):
        return self.linear1, self.linear2


class Reference(Parts):
    def forward(self, X, allowed=None):
        if self.norm_first:
            X1 = X + self.attend(self.norm1(X), allowed)
            return X1 + self.linear2(gelu(self.linear1(self.norm2(X1))))
        X1 = self.norm1(X + self.attend(X, allowed))
        return self.norm2(X1 + self.linear2(gelu(self.linear1(X1))))


TRUSTED = Trusted(Reference, budget="two halves in two orders, each with a residual, a norm and parts of its own")
TRUSTED.add_slips(
    blocks.slipping(Parts),
    blocks.NoNetwork,
    blocks.NoAttentionResidual,
    blocks.NoNetworkResidual,
    blocks.SecondResidualFromTheInput,
    blocks.NetworkReadsTheInput,
    blocks.OneNormTwice,
    blocks.NormsExchanged,
    blocks.NormOnTheBranch,
    blocks.ReluForGelu,
    blocks.TanhGelu,
    blocks.NoActivation,
    blocks.ActivationLast,
    attention.MaskIgnored,
)


@TRUSTED.mistake("The block is post-norm whatever `norm_first` says: when it is True, normalise what a sublayer reads.")
class AlwaysPostNorm(Parts):
    def sublayer(self, kept, read, f, norm):
        return norm(kept + f(read))


@TRUSTED.mistake("The block is pre-norm whatever `norm_first` says: when it is False, normalise each sum.")
class AlwaysPreNorm(Parts):
    def sublayer(self, kept, read, f, norm):
        return kept + f(norm(read))


@TRUSTED.mistake(
    "The two orders are exchanged: `norm_first=True` means pre-norm, the norm inside each residual branch."
)
class OrdersExchanged(Parts):
    def sublayer(self, kept, read, f, norm):
        return norm(kept + f(read)) if self.norm_first else kept + f(norm(read))


@TRUSTED.mistake(
    "The residual starts from the normalised tokens: in pre-norm the stream itself is never normalised, only what a "
    "sublayer reads."
)
class ResidualAfterTheNorm(Parts):
    def sublayer(self, kept, read, f, norm):
        return super().sublayer(norm(kept) if self.norm_first else kept, read, f, norm)


TRUSTED.add_alternative("in_steps", Parts)


@TRUSTED.alternative
class NormsChosenOnce(Parts):
    """Both orders as one formula, with the identity where a norm has no place."""

    def forward(self, X, allowed=None):
        nothing = nn.Identity()
        inner1, inner2 = self.norms() if self.norm_first else (nothing, nothing)
        outer1, outer2 = (nothing, nothing) if self.norm_first else self.norms()
        X = outer1(X + self.attend(inner1(X), allowed))
        return outer2(X + self.network(inner2(X)))


@TRUSTED.alternative
class TokenByToken(Parts):
    """The feed-forward network applied to one token after the other."""

    def network(self, X):
        return torch.stack([self.linear2(gelu(self.linear1(x))) for x in X.unbind(1)], 1)
