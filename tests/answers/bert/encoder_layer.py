"""Answers to bert.encoder_layer."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.encoder_layer",
    spared={
        "onward": "there is no event: each call stands alone",
        "dependence": "nothing is drawn",
        "unwatched": "nothing is watched but the result and its gradients",
    },
)


class Given(nn.Module):
    """What the released cell gives, and a right forward in steps."""

    def __init__(self, D, H, F):  # the exercise's own letters
        super().__init__()
        self.H = H
        self.query, self.key, self.value, self.output = (nn.Linear(D, D) for _ in range(4))
        self.norm_attention, self.norm_output = nn.LayerNorm(D, eps=1e-12), nn.LayerNorm(D, eps=1e-12)
        self.up, self.down = nn.Linear(D, F), nn.Linear(F, D)

    def heads(self, x):
        return x.unflatten(-1, (self.H, -1)).transpose(1, 2)

    def merge(self, x):
        return x.transpose(1, 2).flatten(2)

    def mask(self, real):
        return real[:, None, None, :]

    def weights(self, Q, K, real):
        S = Q @ K.mT / math.sqrt(Q.shape[-1])
        return S.masked_fill(~self.mask(real), float("-inf")).softmax(-1)

    def attend(self, X, real):
        Q, K, V = (self.heads(part(X)) for part in (self.query, self.key, self.value))
        return self.output(self.merge(self.weights(Q, K, real) @ V))

    def feed(self, X):
        return self.down(F.gelu(self.up(X)))

    def forward(self, X, real):
        X = self.norm_attention(X + self.attend(X, real))
        return self.norm_output(X + self.feed(X))


@ANSWERS.wrong("plain", "no mask", true="MaskIgnored")
class Unmasked(Given):
    def mask(self, real):
        return torch.ones_like(real)[:, None, None, :]


@ANSWERS.wrong("plain", "the mask hides queries, whose rows become NaN", true="MaskOnQueries")
class QueriesMasked(Given):
    def mask(self, real):
        return real[:, None, :, None]


@ANSWERS.wrong("plain", "keys and queries are masked: rows of filler become NaN", true="MaskOnBoth")
class BothMasked(Given):
    def mask(self, real):
        return real[:, None, None, :] & real[:, None, :, None]


@ANSWERS.wrong(
    "plain", "1e-9 where -1e9 was meant: the Annotated Transformer's number without its sign and size", true="ScoreZero"
)
class SmallNumber(Given):
    def weights(self, Q, K, real):
        S = Q @ K.mT / math.sqrt(Q.shape[-1])
        return S.masked_fill(~self.mask(real), 1e-9).softmax(-1)


@ANSWERS.wrong("far", "-10 in place of -inf: filler with a high score is still read")
class MinusTen(Given):
    def weights(self, Q, K, real):
        S = Q @ K.mT / math.sqrt(Q.shape[-1])
        return (S + (~self.mask(real)) * -10.0).softmax(-1)


@ANSWERS.wrong(
    "far",
    "the mask multiplies the weights after the softmax, and rows are divided by their sum again",
    true="MaskedAndDividedAgain",
)
class Renormalised(Given):
    def weights(self, Q, K, real):
        A = (Q @ K.mT / math.sqrt(Q.shape[-1])).softmax(-1) * self.mask(real)
        return A / A.sum(-1, keepdim=True)


@ANSWERS.wrong("plain", "the mask multiplies the weights after the softmax", true="MaskAfterSoftmax")
class MaskedAfter(Given):
    def weights(self, Q, K, real):
        return (Q @ K.mT / math.sqrt(Q.shape[-1])).softmax(-1) * self.mask(real)


@ANSWERS.wrong("plain", "pre-norm, as GPT-2 has it", true="PreNorm")
class PreNorm(Given):
    def forward(self, X, real):
        X = X + self.attend(self.norm_attention(X), real)
        return X + self.feed(self.norm_output(X))


@ANSWERS.wrong("plain", "the second residual adds X, not X'", true="SecondResidualFromTheInput")
class FirstXAgain(Given):
    def forward(self, X, real):
        mixed = self.norm_attention(X + self.attend(X, real))
        return self.norm_output(X + self.feed(mixed))


@ANSWERS.wrong("plain", "ReLU in place of GELU", true="ReluForGelu")
class WithReLU(Given):
    def feed(self, X):
        return self.down(F.relu(self.up(X)))


@ANSWERS.wrong("plain", "GELU's approximation by tanh", true="TanhGelu")
class TanhGELU(Given):
    def feed(self, X):
        return self.down(F.gelu(self.up(X), approximate="tanh"))


@ANSWERS.wrong("plain", "scores are divided by sqrt(D), not sqrt(d)", true="ScaledByModelWidth")
class ScaledByD(Given):
    def weights(self, Q, K, real):
        S = Q @ K.mT / math.sqrt(Q.shape[-1] * self.H)
        return S.masked_fill(~self.mask(real), float("-inf")).softmax(-1)


@ANSWERS.wrong(
    "plain", "heads by one view, without a transpose: tokens and heads are mixed up", true="ViewWithoutTranspose"
)
class ViewOnly(Given):
    def heads(self, x):
        B, T, D = x.shape
        return x.reshape(B, self.H, T, D // self.H)


@ANSWERS.wrong("plain", "merged without the transpose back", true="MergedWithoutTranspose")
class MergedWrongly(Given):
    def merge(self, x):
        B, H, T, d = x.shape
        return x.reshape(B, T, H * d)


@ANSWERS.wrong("plain", "causal as well", true="CausalToo")
class CausalToo(Given):
    def mask(self, real):
        T = real.shape[1]
        return super().mask(real) & torch.ones(T, T, dtype=torch.bool, device=real.device).tril()


@ANSWERS.wrong("plain", "dropout acts on the weights", told=r"dropout")
class WithDropout(Given):
    def attend(self, X, real):
        Q, K, V = (self.heads(part(X)) for part in (self.query, self.key, self.value))
        return self.output(self.merge(F.scaled_dot_product_attention(Q, K, V, self.mask(real), dropout_p=0.1)))


@ANSWERS.wrong("plain", "three beginners' slips: no residual, softmax over queries, one norm for both")
class ThreeSlips(Given):
    def weights(self, Q, K, real):
        return (Q @ K.mT).softmax(-2)

    def forward(self, X, real):
        X = self.norm_attention(self.attend(X, real))
        return self.norm_attention(X + self.feed(X))


@ANSWERS.wrong("plain", "K is not transposed", told=r"`Q @ K.mT` would fit")
class NotTransposed(Given):
    def weights(self, Q, K, real):
        return (Q @ K / math.sqrt(Q.shape[-1])).masked_fill(~self.mask(real), float("-inf")).softmax(-1)


@ANSWERS.wrong(
    "again",
    "the first call's mask is kept while the shape is the same",
    told=r"keeps something from one call to the next",
)
class KeptMask(Given):
    def mask(self, real):
        if not hasattr(self, "real") or self.real.shape != real.shape:
            self.real = real
        return self.real[:, None, None, :]


@ANSWERS.wrong(
    "again", "the mask is a buffer, as large as the first batch", told=r"keeps something from one call to the next"
)
class MaskBuffer(Given):
    def mask(self, real):
        if not hasattr(self, "bias"):
            self.register_buffer("bias", real[:, None, None, :], persistent=False)
        return self.bias


@ANSWERS.wrong(
    "ones", "squeeze() loses a batch of one sentence, or a sentence of one token", told=r"lost a dimension of size 1"
)
class Squeezed(Given):
    def forward(self, X, real):
        return super().forward(X, real).squeeze()


@ANSWERS.wrong(
    "ones",
    "a mask of shape (B, 1, T): wrong heads are masked unless B is 1",
    told=r"S is \(2, 4, 5, 5\), real is \(2, 5\)",
)
class MaskOverHeads(Given):
    def mask(self, real):
        return real[:, None, :]


@ANSWERS.wrong(
    "large",
    "sentences are cut at 128 tokens",
    told="a long sentence: Y differs",
    advice=r"right where T is 6 or less, wrong where it is \d+ or more",
)
class UpTo128(Given):
    def attend(self, X, real):
        far = torch.arange(X.shape[1], device=X.device) < 128
        return super().attend(X, real & far)


@ANSWERS.wrong("named", "filler is taken to stand on the right: only its number counts", true="FillerOnTheRight")
class FillerOnTheRight(Given):
    def mask(self, real):
        T = real.shape[1]
        return (torch.arange(T, device=real.device) < real.sum(1, keepdim=True))[:, None, None, :]


@ANSWERS.wrong("named", "a batch without any filler is taken as the only kind: the mask is that of the first sentence")
class FirstSentencesMask(Given):
    def mask(self, real):
        return real[:1, None, None, :]


@ANSWERS.wrong("named", "filler's vectors are set to zero, and their keys still count", true="InputsZeroed")
class ZeroedFiller(Given):
    def attend(self, X, real):
        Q, K, V = (self.heads(part(X * real[..., None])) for part in (self.query, self.key, self.value))
        return self.output(self.merge((Q @ K.mT / math.sqrt(Q.shape[-1])).softmax(-1) @ V))

    def mask(self, real):
        return torch.ones_like(real)[:, None, None, :]


@ANSWERS.wrong("given", "X is changed in place by the residual", told=r"changes its input X in place")
class InPlace(Given):
    def forward(self, X, real):
        mixed = self.attend(X, real)
        X = X.add_(mixed) if not X.requires_grad else X + mixed
        X = self.norm_attention(X)
        return self.norm_output(X + self.feed(X))


@ANSWERS.wrong("surroundings", "turns gradients off for good", told=r"leaves gradients switched off")
class GradientsOff(Given):
    def forward(self, X, real):
        torch.set_grad_enabled(False)
        return super().forward(X, real)


@ANSWERS.wrong("plain", "the norms are exchanged")
class NormsExchanged(Given):
    def forward(self, X, real):
        X = self.norm_output(X + self.attend(X, real))
        return self.norm_attention(X + self.feed(X))


@ANSWERS.wrong("plain", "no output projection", true="NoOutputProjection")
class WithoutOutput(Given):
    def attend(self, X, real):
        Q, K, V = (self.heads(part(X)) for part in (self.query, self.key, self.value))
        return self.merge(self.weights(Q, K, real) @ V)


@ANSWERS.wrong("named", "one sentence's mask for all: the tokens real in every sentence")
class CommonMask(Given):
    def mask(self, real):
        return real.all(0)[None, None, None]


@ANSWERS.wrong("far", "filler's keys are multiplied by 0: their score is 0, not -inf", true="ScoreZero")
class KeysZeroed(Given):
    def weights(self, Q, K, real):
        return ((Q @ K.mT / math.sqrt(Q.shape[-1])) * self.mask(real)).softmax(-1)


@ANSWERS.right
class ByPyTorch(Given):
    def attend(self, X, real):
        Q, K, V = (self.heads(part(X)) for part in (self.query, self.key, self.value))
        return self.output(self.merge(F.scaled_dot_product_attention(Q, K, V, attn_mask=self.mask(real))))


@ANSWERS.right
class ByTheLargestNegative(Given):
    def weights(self, Q, K, real):
        S = Q @ K.mT / math.sqrt(Q.shape[-1])
        return S.masked_fill(~self.mask(real), torch.finfo(S.dtype).min).softmax(-1)


@ANSWERS.right
class HeadByHead(Given):
    def attend(self, X, real):
        d = X.shape[-1] // self.H
        Q, K, V = self.query(X), self.key(X), self.value(X)
        parts = []
        for q, k, v in zip(Q.split(d, -1), K.split(d, -1), V.split(d, -1), strict=True):
            A = (q @ k.mT / d**0.5).masked_fill(~real[:, None], -torch.inf).softmax(-1)
            parts.append(A @ v)
        return self.output(torch.cat(parts, -1))


@ANSWERS.right
class SentenceBySentence(Given):
    """Without filler at all: each sentence alone, and zeros where it was."""

    def forward(self, X, real):
        Y = torch.zeros_like(X)
        for b, row in enumerate(real):
            alone = X[b : b + 1, row]
            Y[b, row] = super().forward(alone, torch.ones_like(real[:1, : alone.shape[1]]))[0]
        return Y


@ANSWERS.right
class Functional(Given):
    """PyTorch's own multi-head attention, which wants True for filler, and a scale kept as a buffer."""

    def __init__(self, D, H, F):
        super().__init__(D, H, F)
        self.register_buffer("scale", torch.tensor((D // H) ** -0.5), persistent=False)
        self.dropout = nn.Dropout(0.0)

    def attend(self, X, real):
        W = torch.cat([self.query.weight, self.key.weight, self.value.weight])
        b = torch.cat([self.query.bias, self.key.bias, self.value.bias])
        Y, _ = F.multi_head_attention_forward(
            *(X.transpose(0, 1),) * 3,
            X.shape[-1],
            self.H,
            W,
            b,
            None,
            None,
            False,
            0.0,
            self.output.weight,
            self.output.bias,
            key_padding_mask=~real,
        )
        return self.dropout(Y.transpose(0, 1))


@ANSWERS.right
class FillerSharesNothing(Given):
    """Keys and queries hidden, with the rows of filler repaired."""

    def weights(self, Q, K, real):
        seen = real[:, None, None, :] & real[:, None, :, None]
        S = (Q @ K.mT / math.sqrt(Q.shape[-1])).masked_fill(~seen, float("-inf"))
        return torch.where(seen.any(-1, keepdim=True), S, torch.zeros_like(S)).softmax(-1)
