"""Answers to attention.multihead by a reader who did not write its mistakes."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.multihead",
    spared={"onward": "nothing happens after which it would go on", "dependence": "nothing is drawn"},
)


class Base(nn.Module):
    """A right one; each answer differs in the method that it defines."""

    def __init__(self, D, H):
        super().__init__()
        self.H = H
        self.in_proj_weight = nn.Parameter(torch.empty(3 * D, D))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * D))
        self.out_proj = nn.Linear(D, D)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def project(self, X):
        return F.linear(X, self.in_proj_weight, self.in_proj_bias).chunk(3, -1)

    def split(self, X):
        return X.unflatten(-1, (self.H, -1)).transpose(1, 2)

    def merge(self, Y):
        return Y.transpose(1, 2).flatten(2)

    def scale(self, Q):
        return math.sqrt(Q.shape[-1])

    def weights(self, Z, allowed):
        return (Z if allowed is None else Z.masked_fill(~allowed, -torch.inf)).softmax(-1)

    def forward(self, X, allowed=None):
        Q, K, V = map(self.split, self.project(X))
        A = self.weights(Q @ K.mT / self.scale(Q), allowed)
        return self.out_proj(self.merge(A @ V))


@ANSWERS.wrong("plain", "scaled by sqrt(D), the width of the whole model", true="ScaledByModelWidth")
class ScaledByModel(Base):
    def scale(self, Q):
        return math.sqrt(Q.shape[-1] * Q.shape[1])


@ANSWERS.wrong("plain", "scaled by sqrt(H)", true="ScaledByHeads")
class ScaledByHeads(Base):
    def scale(self, Q):
        return math.sqrt(Q.shape[1])


@ANSWERS.wrong("plain", "the big matrix is taken for keys, queries, values", true="QueriesAndKeysExchanged")
class OtherOrder(Base):
    def project(self, X):
        K, Q, V = super().project(X)
        return Q, K, V


@ANSWERS.wrong(
    "plain",
    "each head's queries, keys and values are taken to lie together, as in GPT-NeoX",
    true="ThreeWithinEachHead",
)
class HeadsFirst(Base):
    def forward(self, X, allowed=None):
        B, T, D = X.shape
        qkv = F.linear(X, self.in_proj_weight, self.in_proj_bias).view(B, T, self.H, 3 * D // self.H)
        Q, K, V = qkv.transpose(1, 2).chunk(3, -1)
        return self.out_proj(self.merge(self.weights(Q @ K.mT / self.scale(Q), allowed) @ V))


@ANSWERS.wrong("plain", "heads are cut by a view, there and back", true="ViewBothWays")
class Views(Base):
    def split(self, X):
        B, T, D = X.shape
        return X.reshape(B, self.H, T, D // self.H)

    def merge(self, Y):
        B, H, T, d = Y.shape
        return Y.reshape(B, T, H * d)


@ANSWERS.wrong(
    "plain",
    "nn.MultiheadAttention without batch_first: tokens attend across the batch",
    told="changes when another sequence of the batch does.*batch_first",
)
class BatchSecond(nn.MultiheadAttention):
    def forward(self, X, allowed=None):
        if allowed is not None:
            T, B, _ = X.shape
            allowed = ~allowed.expand(B, self.num_heads, T, T).reshape(-1, T, T)
        return super().forward(X, X, X, attn_mask=allowed, need_weights=False)[0]


@ANSWERS.wrong("plain", "the pair of nn.MultiheadAttention is returned", told="a tuple of 2, expected the tensor Y")
class ReturnsPair(Base):
    def forward(self, X, allowed=None):
        return super().forward(X, allowed), None


@ANSWERS.wrong(
    "plain",
    "three projections of their own, as d2l has them: the names do not load",
    told="no weight called 'in_proj_weight'",
)
class ThreeProjections(Base):
    def __init__(self, D, H):
        super().__init__(D, H)
        del self.in_proj_weight, self.in_proj_bias
        self.W_q, self.W_k, self.W_v = nn.Linear(D, D), nn.Linear(D, D), nn.Linear(D, D)

    def project(self, X):
        return self.W_q(X), self.W_k(X), self.W_v(X)


@ANSWERS.wrong("plain", "minGPT's names: c_attn and c_proj", told="no weight called 'in_proj_weight'")
class MinGPT(nn.Module):
    def __init__(self, D, H):
        super().__init__()
        self.H, self.c_attn, self.c_proj = H, nn.Linear(D, 3 * D), nn.Linear(D, D)

    def forward(self, x, allowed=None):
        B, T, C = x.size()
        q, k, v = (z.view(B, T, self.H, C // self.H).transpose(1, 2) for z in self.c_attn(x).split(C, dim=2))
        return self.c_proj(F.scaled_dot_product_attention(q, k, v, allowed).transpose(1, 2).reshape(B, T, C))


@ANSWERS.wrong("plain", "the bias of the big projection is forgotten, and softmax runs over the queries")
class TwoSlips(Base):
    def project(self, X):
        return F.linear(X, self.in_proj_weight).chunk(3, -1)

    def weights(self, Z, allowed):
        return (Z if allowed is None else Z.masked_fill(~allowed, -torch.inf)).softmax(-2)


@ANSWERS.wrong("plain", "dropout of the weights that acts whether training or not", told=r"two calls .* \(dropout\?\)")
class DropoutActs(Base):
    def weights(self, Z, allowed):
        return F.dropout(super().weights(Z, allowed), 0.1)


@ANSWERS.wrong("plain", "an nn.Dropout of 0.1: the module is made in training mode", told=r"two calls .* \(dropout\?\)")
class DropoutTrains(Base):
    def __init__(self, D, H):
        super().__init__(D, H)
        self.drop = nn.Dropout(0.1)

    def weights(self, Z, allowed):
        return self.drop(super().weights(Z, allowed))


@ANSWERS.wrong("plain", "the mask is upside down, as nn.MultiheadAttention has it", true="MaskInverted")
class UpsideDown(Base):
    def weights(self, Z, allowed):
        return super().weights(Z, None if allowed is None else ~allowed)


@ANSWERS.wrong(
    "plain",
    "if allowed: asks a tensor for one truth value",
    told="want one truth value",
    advice="right without `allowed`, wrong with it",
)
class TruthOfMask(Base):
    def weights(self, Z, allowed):
        if allowed:
            Z = Z.masked_fill(~allowed, -torch.inf)
        return Z.softmax(-1)


@ANSWERS.wrong("far", "one maximum for the whole tensor, hidden keys too", true="RenormalisedAfterSoftmax")
class OneMaximum(Base):
    def weights(self, Z, allowed):
        E = (Z - Z.max()).exp() if allowed is None else (Z - Z.max()).exp() * allowed
        return E / E.sum(-1, keepdim=True)


@ANSWERS.wrong("far", "softmax, mask, renormalise", told="padding of far larger numbers: Y differs")
class Renormalised(Base):
    def weights(self, Z, allowed):
        A = Z.softmax(-1)
        return A if allowed is None else A * allowed / ((A * allowed).sum(-1, keepdim=True) + 1e-9)


@ANSWERS.wrong("far", "hidden scores are lowered by 50 alone", told="padding of far larger numbers: Y differs")
class LoweredBy50(Base):
    def weights(self, Z, allowed):
        return (Z if allowed is None else Z - 50.0 * ~allowed).softmax(-1)


@ANSWERS.wrong("ones", "squeeze at the end", told="has lost a dimension of size 1")
class Squeezed(Base):
    def forward(self, X, allowed=None):
        return super().forward(X, allowed).squeeze()


@ANSWERS.wrong("ones", "with one head the scale is left out", told="right where H is more than 1, wrong where it is 1")
class OneHead(Base):
    def scale(self, Q):
        return 1.0 if Q.shape[1] == 1 else super().scale(Q)


@ANSWERS.wrong("named", "masks of all heads are joined", told="heads with masks of their own: Y differs")
class HeadsJoined(Base):
    def weights(self, Z, allowed):
        return super().weights(
            Z, allowed.any(1, keepdim=True) if allowed is not None and allowed.dim() == 4 else allowed
        )


@ANSWERS.wrong("named", "the mask is repeated in the order of heads, then sequences", true="MasksInWrongOrder")
class RepeatedWrongly(nn.MultiheadAttention):
    def __init__(self, D, H):
        super().__init__(D, H, batch_first=True)

    def forward(self, X, allowed=None):
        B, T, _ = X.shape
        if allowed is not None:
            allowed = ~allowed.expand(B, self.num_heads, T, T).transpose(0, 1).reshape(-1, T, T)
        return super().forward(X, X, X, attn_mask=allowed, need_weights=False)[0]


@ANSWERS.wrong(
    "named", "a mask of fewer than four dimensions is taken for one of each sequence", told=r"expected \(1, 3, 8\)"
)
class MaskUnsqueezed(Base):
    def weights(self, Z, allowed):
        return super().weights(Z, allowed if allowed is None else allowed.view(-1, 1, *allowed.shape[-2:]))


@ANSWERS.wrong("large", "no more than 8 heads", told="right where H is 4 or less")
class EightHeads(Base):
    def __init__(self, D, H):
        super().__init__(D, min(H, 8))


@ANSWERS.wrong("large", "tokens beyond the 256th are not seen", told="wrong where it is 300 or more")
class Context256(Base):
    def weights(self, Z, allowed):
        near = torch.arange(Z.shape[-1]) < 256
        return super().weights(Z, near if allowed is None else near & allowed)


@ANSWERS.wrong("given", "X is scaled in place", told="changes its input X in place")
class ScalesX(Base):
    def project(self, X):
        with torch.no_grad():
            X *= 1.5
        return super().project(X / 1.5)


@ANSWERS.wrong(
    "given",
    "the mask is turned upside down in place",
    told="changes its input allowed in place",
    advice="right without `allowed`, wrong with it",
)
class TurnsMask(Base):
    def weights(self, Z, allowed):
        return Z.softmax(-1) if allowed is None else Z.masked_fill(allowed.logical_not_(), -torch.inf).softmax(-1)


@ANSWERS.wrong("again", "the first mask is kept", told="keeps something from one call to the next")
class KeepsMask(Base):
    mask = None

    def weights(self, Z, allowed):
        if self.mask is None and allowed is not None:
            self.mask = allowed
        return super().weights(Z, self.mask if allowed is not None else None)


@ANSWERS.wrong("again", "the number of heads is kept on the class", told="keeps something from one call to the next")
class HeadsOnClass(Base):
    heads = 0

    def __init__(self, D, H):
        super().__init__(D, H)
        type(self).heads = H

    def split(self, X):
        return X.unflatten(-1, (type(self).heads, -1)).transpose(1, 2)


@ANSWERS.wrong(
    "again", "the keys and values of earlier calls are kept and seen", told="keeps something from one call to the next"
)
class KeepsKeys(Base):
    past = None

    def forward(self, X, allowed=None):
        Q, K, V = map(self.split, self.project(X))
        if self.past is not None and allowed is None and self.past[0].shape[:2] == K.shape[:2]:
            K, V = (torch.cat([old, new], 2) for old, new in zip(self.past, (K, V), strict=True))
        self.past = K.detach(), V.detach()
        return self.out_proj(self.merge(self.weights(Q @ K.mT / self.scale(Q), allowed) @ V))


@ANSWERS.wrong("surroundings", "seeds all random numbers as it is made", told="sets the seed of all random numbers")
class Seeds(Base):
    def __init__(self, D, H):
        torch.manual_seed(0)
        super().__init__(D, H)


@ANSWERS.wrong(
    "surroundings",
    "switches gradients off when a mask comes",
    told="leaves gradients switched off",
    advice="right without `allowed`, wrong with it",
)
class SwitchesOff(Base):
    def forward(self, X, allowed=None):
        Y = super().forward(X, allowed)
        torch.set_grad_enabled(allowed is None)
        return Y


@ANSWERS.wrong("unwatched", "the big matrix does not learn: it is no parameter but a buffer", told="is not a parameter")
class Buffers(Base):
    def __init__(self, D, H):
        super().__init__(D, H)
        weight, bias = self.in_proj_weight.detach(), self.in_proj_bias.detach()
        del self.in_proj_weight, self.in_proj_bias
        self.register_buffer("in_proj_weight", weight)
        self.register_buffer("in_proj_bias", bias)


@ANSWERS.wrong("unwatched", "the big matrix is frozen", told="'in_proj_weight' is frozen")
class Frozen(Base):
    def __init__(self, D, H):
        super().__init__(D, H)
        self.in_proj_weight.requires_grad_(False)


@ANSWERS.wrong("unwatched", "the weights are read past autograd", true="ProjectionDetached")
class ReadsData(Base):
    def project(self, X):
        return F.linear(X, self.in_proj_weight.data, self.in_proj_bias.data).chunk(3, -1)


@ANSWERS.wrong("plain", "out_proj has no bias", told="no weight called 'out_proj.bias'")
class NoOutputBias(Base):
    def __init__(self, D, H):
        super().__init__(D, H)
        self.out_proj = nn.Linear(D, D, bias=False)


@ANSWERS.wrong("plain", "a temperature that is learnt as well", told="not asked for: temperature")
class Temperature(Base):
    def __init__(self, D, H):
        super().__init__(D, H)
        self.temperature = nn.Parameter(torch.ones(()))


@ANSWERS.wrong("plain", "the residual of a block is added", true="Residual")
class Residual(Base):
    def forward(self, X, allowed=None):
        return X + super().forward(X, allowed)


@ANSWERS.wrong("plain", "always causal, as minGPT's module is", true="AlwaysCausal")
class AlwaysCausal(Base):
    def weights(self, Z, allowed):
        past = torch.ones(Z.shape[-2:], dtype=torch.bool).tril()
        return super().weights(Z, past if allowed is None else past & allowed)


@ANSWERS.wrong("plain", "the mask is added as 0 and 1", true="MaskAddedAsNumbers")
class MaskAdded(Base):
    def weights(self, Z, allowed):
        return (Z if allowed is None else Z + allowed).softmax(-1)


@ANSWERS.wrong(
    "again", "the scale is worked into the weights at every call", told="keeps something from one call to the next"
)
class ScalesItsWeights(Base):
    def project(self, X):
        D = X.shape[-1]
        with torch.no_grad():
            self.in_proj_weight[:D] /= math.sqrt(D // self.H)
            self.in_proj_bias[:D] /= math.sqrt(D // self.H)
        return super().project(X)

    def scale(self, Q):
        return 1.0


@ANSWERS.wrong("given", "the parameters are cloned in the first call", true="ProjectionDetached")
class Clones(Base):
    def project(self, X):
        if not hasattr(self, "W"):
            object.__setattr__(self, "W", self.in_proj_weight.detach().clone())
        return F.linear(X, self.W, self.in_proj_bias).chunk(3, -1)


@ANSWERS.right
class LinearUnderItsWeights(Base):
    """A linear map whose weights have the names that are asked for too."""

    def __init__(self, D, H):
        super().__init__(D, H)
        self.c_attn = nn.Linear(D, 3 * D)
        self.in_proj_weight, self.in_proj_bias = self.c_attn.weight, self.c_attn.bias

    def project(self, X):
        return self.c_attn(X).split(X.shape[-1], dim=2)


@ANSWERS.right
class FromTorch(nn.MultiheadAttention):
    def __init__(self, D, H):
        super().__init__(D, H, batch_first=True)

    def forward(self, X, allowed=None):
        if allowed is not None:
            B, T, _ = X.shape
            allowed = ~allowed.expand(B, self.num_heads, T, T).reshape(-1, T, T)
        return super().forward(X, X, X, attn_mask=allowed)[0]


@ANSWERS.right
class WithBuffers(Base):
    """A scale and a mask of positions as buffers, the one saved and the other not."""

    def __init__(self, D, H):
        super().__init__(D, H)
        self.register_buffer("inverse_scale", torch.tensor((D / H) ** -0.5))
        self.register_buffer("bias", torch.ones(1, 1, 64, 64), persistent=False)

    def scale(self, Q):
        return 1 / self.inverse_scale


@ANSWERS.right
class HeadByHead(Base):
    def forward(self, X, allowed=None):
        D = X.shape[-1]
        d = D // self.H
        if allowed is not None:
            allowed = allowed.expand(len(X), self.H, X.shape[1], X.shape[1])
        results = []
        for h in range(self.H):
            rows = [slice(part * D + h * d, part * D + (h + 1) * d) for part in range(3)]
            Q, K, V = (X @ self.in_proj_weight[r].T + self.in_proj_bias[r] for r in rows)
            Z = Q @ K.mT / d**0.5
            if allowed is not None:
                Z = Z.where(allowed[:, h], Z.new_tensor(-torch.inf))
            results.append(Z.softmax(-1) @ V)
        return self.out_proj(torch.cat(results, -1))


@ANSWERS.right
class WithIdleDropout(Base):
    def __init__(self, D, H, dropout=0.0, bias=True):
        super().__init__(D, H)
        self.dropout = nn.Dropout(dropout)

    def forward(self, X, allowed=None, need_weights=False):
        Q, K, V = (self.split(x).contiguous() for x in self.project(X))
        return self.out_proj(self.merge(self.dropout(F.scaled_dot_product_attention(Q, K, V, allowed))))


@ANSWERS.right
class OneParameterTwoNames(Base):
    def __init__(self, D, H):
        super().__init__(D, H)
        self.output = self.out_proj
