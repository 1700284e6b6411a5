"""Attention in steps. Vaswani et al. 2017, equation 1 and section 3.2.3."""

from __future__ import annotations

from torch import Tensor

from grader.steps import slip


class Attention:
    """softmax(Q K^T / sqrt(d) + bias) V for Q (B H T d), K (B H S d), V (B H S e), over the keys that `seen` shows.

    `seen` is Bool and broadcasts to (B H T S), `bias` is added to the scaled scores; either may be left out.
    """

    def __call__(
        self, Q: Tensor, K: Tensor, V: Tensor, seen: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        S = self.scale(Q @ K.mT, Q)
        S = S if bias is None else S + bias
        return self.mix(self.weights(S, seen), V)

    def scale(self, S: Tensor, Q: Tensor) -> Tensor:
        return S / Q.shape[-1] ** 0.5

    def weights(self, S: Tensor, seen: Tensor | None) -> Tensor:
        return self.softmax(S if seen is None else self.hide(S, seen))

    def hide(self, S: Tensor, seen: Tensor) -> Tensor:
        return S.masked_fill(~seen, float("-inf"))

    def softmax(self, S: Tensor) -> Tensor:
        return S.softmax(-1)

    def mix(self, A: Tensor, V: Tensor) -> Tensor:
        return A @ V


@slip("The scores are not scaled: divide Q K^T by sqrt(d) before the softmax, or it saturates as d grows.")
class NotScaled(Attention):
    def scale(self, S, Q):
        return S


@slip("The scores are divided by d, not by sqrt(d): their variance is d, so their spread is sqrt(d).")
class ScaledWithoutRoot(Attention):
    def scale(self, S, Q):
        return S / Q.shape[-1]


@slip("The scores are divided by sqrt(H d), the whole model width; each head's dot product has only d terms.")
class ScaledByModelWidth(Attention):
    def scale(self, S, Q):
        return S / (Q.shape[1] * Q.shape[-1]) ** 0.5


@slip("The scores are divided by sqrt(H), the root of the number of heads; each head's dot product has d terms.")
class ScaledByHeads(Attention):
    def scale(self, S, Q):
        return S / Q.shape[1] ** 0.5


@slip(
    "Your softmax runs over the heads, which have nothing to do with each other: every query must share out its "
    "attention over the keys (dim=-1), in each head by itself."
)
class SoftmaxOverHeads(Attention):
    def softmax(self, S):
        return S.softmax(1)


@slip(
    "You subtract one maximum for many rows of scores. A row far below it vanishes entirely and gives 0/0: every row "
    "needs the maximum over its own keys, with keepdim=True."
)
class OneMaximum(Attention):
    def softmax(self, S):
        e = (S - S.max()).exp()
        return e / e.sum(-1, keepdim=True)


@slip(
    "Each key's weights sum to 1 over the queries: your softmax runs over the wrong axis. "
    "Every query must share out its attention over the keys (dim=-1)."
)
class SoftmaxOverQueries(Attention):
    def softmax(self, S):
        return S.softmax(-2)


@slip("There is no softmax: the raw scores weigh the values. Turn each row of scores into weights first.")
class NoSoftmax(Attention):
    def softmax(self, S):
        return S


@slip(
    "Without the maximum, exp gives 0 for every key when all scores are far below 0, and 0/0 is NaN (far above 0 it "
    "overflows): subtract each row's largest score first, or use a softmax that does."
)
class NoMaximum(Attention):
    def softmax(self, S):
        e = S.exp()
        return e / e.sum(-1, keepdim=True)


@slip(
    "The values are right but no gradient passes through the weights: somewhere the scores are detached, so the "
    "queries and keys could never learn."
)
class WeightsDetached(Attention):
    def mix(self, A, V):
        return A.detach() @ V


@slip("Your function gives back the attention weights, not the mixture of values: multiply them by V.")
class WeightsReturned(Attention):
    def mix(self, A, V):
        return A


@slip(
    "The mask comes after the softmax: hidden keys have already taken their share of every row, so the "
    "weights that are left sum to less than 1. Hide the keys in the scores, before the softmax."
)
class MaskAfterSoftmax(Attention):
    def weights(self, S, seen):
        return self.softmax(S) if seen is None else self.softmax(S) * seen


@slip(
    "Hidden keys take part in the softmax, or in the maximum that it subtracts, and are taken out afterwards. Where "
    "one of them has a far higher score, nothing is left of the others to divide by: hide the keys in the scores, "
    "before anything else."
)
class RenormalisedAfterSoftmax(Attention):
    def weights(self, S, seen):
        if seen is None:
            return self.softmax(S)
        A = self.softmax(S) * seen
        return A / A.sum(-1, keepdim=True)


@slip(
    "The mask is inverted: you hide the keys that should be seen and keep the others. True means that a key may be "
    "seen, and `masked_fill` fills where its mask is True."
)
class MaskInverted(Attention):
    def hide(self, S, seen):
        return S.masked_fill(seen, float("-inf"))


@slip("The mask is ignored: hidden keys get weight like any other.")
class MaskIgnored(Attention):
    def hide(self, S, seen):
        return S


@slip(
    "Hidden scores are set to 0, or nearly (1e-9), but exp(0) = 1: hidden keys still get weight. Which score does the "
    "softmax turn into a weight of 0?"
)
class ScoreZero(Attention):
    def hide(self, S, seen):
        return S.masked_fill(~seen, 0.0)


@slip(
    "The Bool mask is added to the scores as 0 and 1: that favours the visible keys a little and hides none. "
    "What is added must be 0 for a visible key and -inf for a hidden one."
)
class MaskAddedAsNumbers(Attention):
    def hide(self, S, seen):
        return S + seen


@slip(
    "Hidden keys get a finite score. A finite number is a score like any other: where visible scores lie lower, the "
    "hidden keys win. Only -inf is below every score."
)
class FiniteFill(Attention):
    def hide(self, S, seen):
        return S.masked_fill(~seen, -1e4)
