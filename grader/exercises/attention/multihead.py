"""MultiHead(X) = Concat(head_1, ..., head_H) W_O, head_h = Attention(X W_Q_h, X W_K_h, X W_V_h).

Vaswani et al. 2017, section 3.2.2, with the biases and the weight layout of torch.nn.MultiheadAttention:
in_proj_weight holds the rows of W_Q^T, W_K^T and W_V^T one below the other, and head h owns the rows h d to
(h + 1) d - 1 of each.
"""

import torch
import torch.nn.functional as F
from torch import nn

from grader.contract import Trusted


class Reference(nn.Module):
    def __init__(self, D, H):
        super().__init__()
        self.H, self.d = H, D // H
        self.in_proj_weight = nn.Parameter(torch.randn(3 * D, D) / D**0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * D))
        self.out_proj = nn.Linear(D, D)

    def forward(self, X, allowed=None):
        (B, T, D), H, d = X.shape, self.H, self.d
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


TRUSTED = Trusted(Reference)


class Steps(nn.Module):
    """The same in steps, so that a mistake below is written as the one step in which it differs."""

    def __init__(self, D, H):
        super().__init__()
        self.H = H
        self.in_proj_weight = nn.Parameter(torch.randn(3 * D, D) / D**0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * D))
        self.out_proj = nn.Linear(D, D)

    def forward(self, X, allowed=None):
        Q, K, V = (self.split(x) for x in self.project(X))
        return self.output(self.merge(self.weights(self.scores(Q, K), allowed) @ V))

    def project(self, X):
        return F.linear(X, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)

    def split(self, x):
        return x.unflatten(-1, (self.H, -1)).transpose(1, 2)

    def scores(self, Q, K):
        return Q @ K.mT / Q.shape[-1] ** 0.5

    def weights(self, S, allowed):
        return (S if allowed is None else S.masked_fill(~allowed, float("-inf"))).softmax(-1)

    def merge(self, Y):
        return Y.transpose(1, 2).flatten(2)

    def output(self, Y):
        return self.out_proj(Y)


@TRUSTED.mistake(
    "The scores are divided by sqrt(D), the width of the whole model: a head's dot product has only d = D / "
    "H terms, so divide by sqrt(d)."
)
class ScaledByModelWidth(Steps):
    def scores(self, Q, K):
        return super().scores(Q, K) / self.H**0.5


@TRUSTED.mistake("The scores are not divided by sqrt(d), the square root of the head width.")
class NotScaled(Steps):
    def scores(self, Q, K):
        return Q @ K.mT


@TRUSTED.mistake(
    "The output projection is missing: the merged heads are returned as they are. `out_proj` is what lets "
    "the heads speak to each other."
)
class NoOutputProjection(Steps):
    def output(self, Y):
        return Y


@TRUSTED.mistake("The biases of the input projection are not added: `in_proj_bias` exists but has no influence.")
class NoInputBias(Steps):
    def project(self, X):
        return F.linear(X, self.in_proj_weight).chunk(3, -1)


@TRUSTED.mistake("The bias of the output projection is not added.")
class NoOutputBias(Steps):
    def output(self, Y):
        return F.linear(Y, self.out_proj.weight)


@TRUSTED.mistake("Neither bias is added: `in_proj_bias` and `out_proj.bias` exist but have no influence.")
class NoBiases(NoInputBias, NoOutputBias):
    pass


@TRUSTED.mistake(
    "Your module has no biases at all, so the weights of nn.MultiheadAttention do not fit: both projections need one."
)
class BiasesNotMade(Steps):
    def __init__(self, D, H):
        super().__init__(D, H)
        self.in_proj_bias = None
        self.out_proj = nn.Linear(D, D, bias=False)


@TRUSTED.mistake(
    "Queries and keys are exchanged: the rows of `in_proj_weight` are those of the queries, then of the "
    "keys, then of the values."
)
class KeysFirst(Steps):
    def project(self, X):
        K, Q, V = super().project(X)
        return Q, K, V


@TRUSTED.mistake(
    "Keys and values are exchanged: the rows of `in_proj_weight` are those of the queries, then of the keys, "
    "then of the values."
)
class ValuesSecond(Steps):
    def project(self, X):
        Q, V, K = super().project(X)
        return Q, K, V


@TRUSTED.mistake(
    "The order is taken as values, keys, queries: the rows of `in_proj_weight` are those of the queries, "
    "then of the keys, then of the values."
)
class ValuesFirst(Steps):
    def project(self, X):
        V, K, Q = super().project(X)
        return Q, K, V


@TRUSTED.mistake("The keys are mixed in place of the values: the last third of the projection is never used.")
class KeysAsValues(Steps):
    def project(self, X):
        Q, K, _ = super().project(X)
        return Q, K, K


@TRUSTED.mistake(
    "The projections are viewed as (B, H, T, d) without a transpose: a head gets the whole width of some "
    "tokens in place of its slice of every token."
)
class ViewWithoutTranspose(Steps):
    def split(self, x):
        return x.reshape(len(x), self.H, x.shape[1], -1)


@TRUSTED.mistake(
    "Head h gets the columns h, h + H, h + 2 H ...: the weights were trained with d neighbouring columns for "
    "each head, so H comes before d when the width is split."
)
class InterleavedHeads(Steps):
    def split(self, x):
        return x.unflatten(-1, (-1, self.H)).movedim(-1, 1)

    def merge(self, Y):
        return Y.movedim(1, -1).flatten(2)


@TRUSTED.mistake(
    "The 3 D projected columns are split into heads first and into queries, keys and values within each "
    "head: here all queries come first, then all keys, then all values."
)
class ThreeWithinEachHead(Steps):
    def project(self, X):
        projected = F.linear(X, self.in_proj_weight, self.in_proj_bias)
        return [part.flatten(2) for part in projected.unflatten(-1, (self.H, 3, -1)).unbind(-2)]


@TRUSTED.mistake(
    "The heads are merged without exchanging heads and tokens first: the shape is right, but a row holds "
    "pieces of several tokens."
)
class MergedWithoutTranspose(Steps):
    def merge(self, Y):
        B, H, T, d = Y.shape
        return Y.reshape(B, T, H * d)


@TRUSTED.mistake("The tokens attend as one head of width D: the projections are never split into H heads.")
class OneHead(Steps):
    def split(self, x):
        return x[:, None]


@TRUSTED.mistake(
    "The output projection multiplies by its weight as it is stored: like nn.Linear, the stored weight is "
    "(out, in), so it must be transposed."
)
class OutputWeightNotTransposed(Steps):
    def output(self, Y):
        return Y @ self.out_proj.weight + self.out_proj.bias


@TRUSTED.mistake("`allowed` is ignored: hidden keys get weight.")
class MaskIgnored(Steps):
    def weights(self, S, allowed):
        return super().weights(S, None)


@TRUSTED.mistake(
    "The mask is inverted: True in `allowed` means that the query may see the key (nn.MultiheadAttention's "
    "own mask means the opposite)."
)
class MaskInverted(Steps):
    def weights(self, S, allowed):
        return super().weights(S, None if allowed is None else ~allowed)


@TRUSTED.mistake("The mask comes after the softmax, so the weights that are left in a row sum to less than 1.")
class MaskAfterSoftmax(Steps):
    def weights(self, S, allowed):
        return S.softmax(-1) if allowed is None else S.softmax(-1) * allowed


@TRUSTED.mistake(
    "The values are right, but the weights are used through `.data` or `.detach()`, so nothing that you load "
    "could be trained further."
)
class ProjectionDetached(Steps):
    def project(self, X):
        return F.linear(X, self.in_proj_weight.detach(), self.in_proj_bias.detach()).chunk(3, -1)


TRUSTED.add_alternative("in_steps", Steps)


@TRUSTED.alternative
class FusedAttention(Steps):
    def forward(self, X, allowed=None):
        Q, K, V = (self.split(x) for x in self.project(X))
        return self.output(self.merge(F.scaled_dot_product_attention(Q, K, V, attn_mask=allowed)))


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
class Einsum(Steps):
    def forward(self, X, allowed=None):
        (D, H), M = (X.shape[-1], self.H), torch.zeros((), dtype=X.dtype, device=X.device)
        W = self.in_proj_weight.view(3, H, D // H, D)
        Q, K, V = torch.einsum("ihcn,btn->ibhtc", W, X) + self.in_proj_bias.view(3, 1, H, 1, D // H)
        M = M if allowed is None else torch.where(allowed, M, -torch.inf)
        A = torch.softmax(torch.einsum("bhtc,bhsc->bhts", Q, K) * (D // H) ** -0.5 + M, -1)
        W_O = self.out_proj.weight.view(D, H, D // H)
        return torch.einsum("bhts,bhsc,nhc->btn", A, V, W_O) + self.out_proj.bias
