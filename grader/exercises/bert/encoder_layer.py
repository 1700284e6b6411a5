"""X' = Norm(X + MultiHead(X)), Y = Norm(X' + W_2 GELU(W_1 X' + b_1) + b_2).

Vaswani et al. 2017, sections 3.1 to 3.3; Devlin et al. 2019, section 3: GELU, and no mask but that of the padding.
A token reads real tokens only; what stands on padding afterwards is not compared, but it must be finite.
"""

import math

import torch
from torch import nn
from torch.nn.functional import multi_head_attention_forward, scaled_dot_product_attention

from grader.contract import Trusted
from grader.steps import attention, blocks


class Parts(blocks.Block):
    """The layer in steps under the names of the exercise."""

    def __init__(self, D, H, F):
        super().__init__()
        self.H = H
        self.query, self.key, self.value, self.output = (nn.Linear(D, D) for _ in range(4))
        self.norm_attention, self.norm_output = (nn.LayerNorm(D, eps=1e-12) for _ in range(2))
        self.up, self.down = nn.Linear(D, F), nn.Linear(F, D)

    def forward(self, X, real):
        return super().forward(X, self.seen(real))

    def seen(self, real):
        return real[:, None, None, :]

    def project(self, X):
        return self.query(X), self.key(X), self.value(X)

    def project_back(self, Y):
        return self.output(Y)

    def norms(self):
        return self.norm_attention, self.norm_output

    def linears(self):
        return self.up, self.down


class Reference(Parts):
    def forward(self, X, real):
        d = X.shape[-1] // self.H
        sentences = []
        for x, seen in zip(X, real, strict=True):
            Q, K, V = self.query(x), self.key(x)[seen], self.value(x)[seen]  # padding is not even there
            heads = []
            for h in range(self.H):
                columns = slice(h * d, (h + 1) * d)
                A = (Q[:, columns] @ K[:, columns].T / math.sqrt(d)).softmax(-1)
                heads.append(A @ V[:, columns])
            x = self.norm_attention(x + self.output(torch.cat(heads, -1)))
            u = self.up(x)
            gelu = u * (1 + torch.erf(u / math.sqrt(2))) / 2
            sentences.append(self.norm_output(x + self.down(gelu)))
        return torch.stack(sentences)


TRUSTED = Trusted(Reference, budget="a whole layer: projections, heads, mask, network, two residuals, two norms")
TRUSTED.add_slips(
    blocks.slipping(Parts),
    blocks.NormOnTheBranch,
    blocks.OneNormTwice,
    blocks.NoAttentionResidual,
    blocks.SecondResidualFromTheInput,
    blocks.NoOutputProjection,
    blocks.ViewWithoutTranspose,
    blocks.MergedWithoutTranspose,
    blocks.ReluForGelu,
    blocks.TanhGelu,
    attention.ScaledByModelWidth,
    attention.MaskIgnored,
    attention.MaskInverted,
    attention.MaskAddedAsNumbers,
    attention.MaskAfterSoftmax,
    attention.ScoreZero,
)


@TRUSTED.mistake(
    "This is pre-norm, GPT-2's order: BERT normalises the sums, Norm(X + f(X)), not what a sublayer reads."
)
class PreNorm(Parts):
    norm_first = True


@TRUSTED.mistake(
    "The mask hides queries, rows of the scores. A row of filler becomes 0/0, NaN, and real tokens still read filler. "
    "Hide the keys: the last dimension of the scores, `real[:, None, None, :]`."
)
class MaskOnQueries(Parts):
    def seen(self, real):
        return real[:, None, :, None]


@TRUSTED.mistake(
    "Real tokens are right, but the rows of filler are NaN, because you hide them as queries as well: a row that may "
    "read nothing is 0/0. Hide the keys only; what filler reads harms nobody, and NaN spreads."
)
class MaskOnBoth(Parts):
    def seen(self, real):
        return real[:, None, None, :] & real[:, None, :, None]


@TRUSTED.mistake(
    "The mask is upside down: `attn_mask` of F.scaled_dot_product_attention is True where a token may be read (the "
    "masks of nn.MultiheadAttention ask the opposite question). Hand over `real` as it is."
)
class MaskInvertedFused(Parts):
    attention = staticmethod(lambda Q, K, V, seen: scaled_dot_product_attention(Q, K, V, attn_mask=~seen))


@TRUSTED.mistake(
    "The vectors of filler are set to 0 and then read like others: their keys and values are still the biases, and "
    "their weight is not 0. Hide the scores."
)
class InputsZeroed(Parts):
    def attend(self, X, seen):
        return super().attend(X * seen[:, 0, 0, :, None])


@TRUSTED.mistake(
    "Later tokens are hidden as well: that is GPT's causal mask. BERT reads in both directions, and hides nothing but "
    "filler."
)
class CausalToo(Parts):
    def seen(self, real):
        T = real.shape[1]
        return super().seen(real) & torch.ones(T, T, dtype=torch.bool, device=real.device).tril()


@TRUSTED.mistake(
    "Filler is taken to stand on the right: your mask comes from how many tokens are real. `real` says which they are."
)
class FillerOnTheRight(Parts):
    def seen(self, real):
        return super().seen(torch.arange(real.shape[1], device=real.device) < real.sum(1, keepdim=True))


class DividedAgain(attention.Attention):
    def weights(self, S, seen):
        A = S.softmax(-1) * seen
        return A / A.sum(-1, keepdim=True)


@TRUSTED.mistake(
    "The mask comes after the softmax, and what is left is divided by its sum: where filler has far larger scores than "
    "all real tokens, nothing is left, and 0/0 is NaN. Hide the scores before the softmax."
)
class MaskedAndDividedAgain(Parts):
    attention = DividedAgain()


TRUSTED.add_alternative("in_steps", Parts)


@TRUSTED.alternative
class Fused(Parts):
    attention = staticmethod(lambda Q, K, V, seen: scaled_dot_product_attention(Q, K, V, attn_mask=seen))


class LargeNumberAdded(attention.Attention):
    """google-research/bert adds -10000 to the scores of padding; its exp is 0 all the same."""

    def hide(self, S, seen):
        return S + (1 - seen.to(S.dtype)) * -10000.0


@TRUSTED.alternative
class LargeNumber(Parts):
    attention = LargeNumberAdded()


@TRUSTED.alternative
class PaddingCleared(Parts):
    """Filler is 0 afterwards: nobody reads it."""

    def forward(self, X, real):
        return super().forward(X, real) * real[..., None]


@TRUSTED.alternative
class FromThePackage(Parts):
    """torch's functional multi-head attention with the four projections."""

    def attend(self, X, seen):
        x, projections = X.transpose(0, 1), (self.query, self.key, self.value)
        weight, bias = (torch.cat([getattr(p, name) for p in projections]) for name in ("weight", "bias"))
        Y, _ = multi_head_attention_forward(
            *(x, x, x, X.shape[-1], self.H, weight, bias, None, None, False, 0.0),
            *(self.output.weight, self.output.bias),
            key_padding_mask=~seen[:, 0, 0],
            need_weights=False,
        )
        return Y.transpose(0, 1)
