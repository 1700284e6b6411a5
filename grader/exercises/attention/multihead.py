"""MultiHead(X) = Concat(head_1, ..., head_H) W_O, head_h = Attention(X W_Q_h, X W_K_h, X W_V_h).

Vaswani et al. 2017, section 3.2.2, with the biases and the weight layout of torch.nn.MultiheadAttention:
in_proj_weight holds the rows of W_Q^T, W_K^T and W_V^T one below the other, and head h owns the rows h d to
(h + 1) d - 1 of each.
"""

import torch
import torch.nn.functional as F
from torch import nn

from grader.contract import Trusted
from grader.steps import attention, blocks


class Parts(blocks.MultiHead):
    """The same in steps: a mistake below is written as the one step in which it differs."""

    def __init__(self, D, H):
        super().__init__()
        self.H = H
        self.in_proj_weight = nn.Parameter(torch.randn(3 * D, D) / D**0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * D))
        self.out_proj = nn.Linear(D, D)

    def project(self, X):
        return F.linear(X, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)

    def project_back(self, Y):
        return self.out_proj(Y)


class Reference(Parts):
    def forward(self, X, allowed=None):
        (B, T, D), H = X.shape, self.H
        d = D // H
        W_Q, W_K, W_V = self.in_proj_weight.split(D)
        b_Q, b_K, b_V = self.in_proj_bias.split(D)
        seen = torch.ones(B, H, T, T, dtype=torch.bool, device=X.device)
        seen = seen if allowed is None else seen & allowed
        heads = []
        for h in range(H):
            rows = slice(h * d, (h + 1) * d)
            q, k, v = X @ W_Q[rows].T + b_Q[rows], X @ W_K[rows].T + b_K[rows], X @ W_V[rows].T + b_V[rows]
            S = (q @ k.mT / d**0.5).masked_fill(~seen[:, h], float("-inf"))
            heads.append(S.softmax(-1) @ v)
        return self.out_proj(torch.cat(heads, -1))


TRUSTED = Trusted(Reference, budget="a module can be wrong in its weights, in its heads, in its scores and in its mask")
TRUSTED.add_slips(
    blocks.slipping(Parts),
    attention.ScaledByModelWidth,
    attention.ScaledByHeads,
    attention.NotScaled,
    attention.SoftmaxOverHeads,
    attention.MaskIgnored,
    attention.MaskInverted,
    attention.MaskAddedAsNumbers,
    attention.RenormalisedAfterSoftmax,
    blocks.NoOutputProjection,
    blocks.QueriesAndKeysExchanged,
    blocks.KeysAsValues,
    blocks.ViewWithoutTranspose,
    blocks.ViewBothWays,
    blocks.InterleavedHeads,
    blocks.MergedWithoutTranspose,
    blocks.OneHead,
)


@TRUSTED.mistake("The biases of the input projection are not added: `in_proj_bias` exists but has no influence.")
class NoInputBias(Parts):
    def project(self, X):
        return F.linear(X, self.in_proj_weight).chunk(3, -1)


@TRUSTED.mistake(
    "Your module has no biases at all, so the weights of nn.MultiheadAttention do not fit: both projections need one."
)
class BiasesNotMade(Parts):
    def __init__(self, D, H):
        super().__init__(D, H)
        self.in_proj_bias = None
        self.out_proj = nn.Linear(D, D, bias=False)


@TRUSTED.mistake(
    "The 3 D projected columns are split into heads first and into queries, keys and values within each "
    "head: here all queries come first, then all keys, then all values."
)
class ThreeWithinEachHead(Parts):
    def project(self, X):
        projected = F.linear(X, self.in_proj_weight, self.in_proj_bias)
        return [part.flatten(2) for part in projected.unflatten(-1, (self.H, 3, -1)).unbind(-2)]


@TRUSTED.mistake(
    "The output projection multiplies by its weight as it is stored: like nn.Linear, the stored weight is "
    "(out, in), so it must be transposed."
)
class OutputWeightNotTransposed(Parts):
    def project_back(self, Y):
        return Y @ self.out_proj.weight + self.out_proj.bias


@TRUSTED.mistake(
    "The values are right, but the weights are used through `.data` or `.detach()`, so nothing that you load "
    "could be trained further."
)
class ProjectionDetached(Parts):
    def project(self, X):
        return F.linear(X, self.in_proj_weight.detach(), self.in_proj_bias.detach()).chunk(3, -1)


@TRUSTED.mistake("X is added to the result: the residual belongs to the block around this module, not to the module.")
class Residual(Parts):
    def forward(self, X, allowed=None):
        return X + super().forward(X, allowed)


@TRUSTED.mistake(
    "The future is hidden whatever `allowed` says: hide what `allowed` hides, and nothing where it is None."
)
class AlwaysCausal(Parts):
    def forward(self, X, allowed=None):
        past = torch.ones(2 * X.shape[1:2], dtype=torch.bool, device=X.device).tril()
        return super().forward(X, past if allowed is None else past & allowed)


@TRUSTED.mistake(
    "The masks of the sequences are dealt out in the wrong order: in a stack of B H masks the heads of one sequence "
    "come one after the other, which is `repeat_interleave(H, 0)` and not `repeat(H, 1, 1)`."
)
class MasksInWrongOrder(Parts):
    def forward(self, X, allowed=None):
        if allowed is not None:
            full = allowed.expand(len(X), self.H, X.shape[1], X.shape[1])
            allowed = full.transpose(0, 1).reshape(full.shape)
        return super().forward(X, allowed)


TRUSTED.add_alternative("in_steps", Parts)


@TRUSTED.alternative
class FusedAttention(Parts):
    def forward(self, X, allowed=None):
        Q, K, V = (self.split(x) for x in self.project(X))
        return self.out_proj(self.merge(F.scaled_dot_product_attention(Q, K, V, attn_mask=allowed)))


@TRUSTED.alternative
class FromThePackage(nn.MultiheadAttention):
    def forward(self, X, allowed=None):
        x = X.transpose(0, 1)  # this class wants (T, B, D) unless it is told otherwise
        mask = None
        if allowed is not None:
            seen = allowed.broadcast_to(len(X), self.num_heads, *2 * X.shape[1:2])
            mask = torch.zeros(seen.shape, dtype=X.dtype, device=X.device).masked_fill(~seen, float("-inf"))
            mask = mask.reshape(-1, *mask.shape[2:])
        return super().forward(x, x, x, attn_mask=mask)[0].transpose(0, 1)


@TRUSTED.alternative
class Einsum(Parts):
    def forward(self, X, allowed=None):
        (D, H), M = (X.shape[-1], self.H), torch.zeros((), dtype=X.dtype, device=X.device)
        W = self.in_proj_weight.view(3, H, D // H, D)
        Q, K, V = torch.einsum("ihcn,btn->ibhtc", W, X) + self.in_proj_bias.view(3, 1, H, 1, D // H)
        M = M if allowed is None else torch.where(allowed, M, -torch.inf)
        A = torch.softmax(torch.einsum("bhtc,bhsc->bhts", Q, K) * (D // H) ** -0.5 + M, -1)
        W_O = self.out_proj.weight.view(D, H, D // H)
        return torch.einsum("bhts,bhsc,nhc->btn", A, V, W_O) + self.out_proj.bias
