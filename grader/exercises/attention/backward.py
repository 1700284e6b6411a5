"""The gradients of Y = A V, A = softmax(S), S = Q K^T / sqrt(d), given dY.

Dao et al. 2022 (FlashAttention), appendix B.2: dV = A^T dY, dA = dY V^T, dS_ij = A_ij (dA_ij - D_i) with
D_i = sum_k A_ik dA_ik, dQ = dS K / sqrt(d), dK = dS^T Q / sqrt(d).
"""

import torch
from torch.func import vjp

from grader.contract import Trusted
from grader.steps import attention as steps


def weights(Q, K):
    return torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, -1)


def reference(Q, K, V, dY):
    root = Q.shape[-1] ** 0.5
    A = weights(Q, K)
    dV = A.mT @ dY
    dA = dY @ V.mT
    D = torch.einsum("...ik,...ik->...i", A, dA)
    dS = A * (dA - D[..., None])
    return dS @ K / root, dS.mT @ Q / root, dV


class Backward:
    """The same in steps: a mistake below is written as the one step in which it differs."""

    def __call__(self, Q, K, V, dY):
        A = self.weights(Q, K)
        dS = self.through_softmax(A, dY @ V.mT)
        return (*self.through_scores(dS, Q, K), self.through_mixture(A, dY))

    def weights(self, Q, K):
        return weights(Q, K)

    def through_softmax(self, A, dA):
        return A * (dA - (A * dA).sum(-1, keepdim=True))

    def through_scores(self, dS, Q, K):
        root = Q.shape[-1] ** 0.5
        return dS @ K / root, dS.mT @ Q / root

    def through_mixture(self, A, dY):
        return A.mT @ dY


TRUSTED = Trusted(reference, budget="three gradients, and the softmax between them, each go wrong by themselves")
(wrong_step,) = TRUSTED.one_by_one(lambda steps: steps().__call__)


@wrong_step(
    "The factor 1 / sqrt(d) is missing in dQ and dK: the scores are Q K^T / sqrt(d), and a constant factor "
    "passes on to the gradient."
)
class NoScaleBackward(Backward):
    def through_scores(self, dS, Q, K):
        return dS @ K, dS.mT @ Q


@wrong_step("dQ and dK are divided by d: the factor 1 / sqrt(d) belongs there once, not twice.")
class ScaledTwice(Backward):
    def through_scores(self, dS, Q, K):
        return super().through_scores(dS / Q.shape[-1] ** 0.5, Q, K)


@wrong_step(
    "The weights that you compute again are not scaled: they must be the ones of the forward pass, with the "
    "division by sqrt(d)."
)
class NoScaleForward(Backward):
    def weights(self, Q, K):
        return torch.softmax(Q @ K.mT, -1)


@wrong_step(
    "The softmax's gradient misses its second term: the weights of a row compete for a sum of 1, so raising "
    "one score lowers every other weight. Subtract the row's weighted sum of dA."
)
class NoRowSum(Backward):
    def through_softmax(self, A, dA):
        return A * dA


@wrong_step(
    "In the softmax's gradient you sum over the queries: each row of weights is a softmax of its own, so the "
    "sum runs over the keys, the last axis."
)
class SumOverQueries(Backward):
    def through_softmax(self, A, dA):
        return A * (dA - (A * dA).sum(-2, keepdim=True))


@wrong_step("In the softmax's gradient the row sum of dA is not weighted: each term counts with its own weight from A.")
class SumNotWeighted(Backward):
    def through_softmax(self, A, dA):
        return A * (dA - dA.sum(-1, keepdim=True))


@wrong_step(
    "In the softmax's gradient the plain mean of dA is subtracted: it must be the average with the weights of the row, "
    "the sum of A dA over the keys."
)
class MeanNotWeighted(Backward):
    def through_softmax(self, A, dA):
        return A * (dA - dA.mean(-1, keepdim=True))


@wrong_step("In the softmax's gradient the row's weighted sum of dA is added: it must be subtracted.")
class RowSumAdded(Backward):
    def through_softmax(self, A, dA):
        return A * (dA + (A * dA).sum(-1, keepdim=True))


@wrong_step(
    "The weights are NaN where scores lie far below 0 (or far above): subtract each row's largest score before exp, or "
    "use a softmax that does."
)
class NoMaximum(Backward):
    def weights(self, Q, K):
        return steps.NoMaximum().softmax(Q @ K.mT / Q.shape[-1] ** 0.5)


@wrong_step(steps.OneMaximum.sentence)
class OneMaximum(Backward):
    def weights(self, Q, K):
        return steps.OneMaximum().softmax(Q @ K.mT / Q.shape[-1] ** 0.5)


@wrong_step("In the softmax's gradient the factor A in front of the difference is missing.")
class NoWeightsInFront(Backward):
    def through_softmax(self, A, dA):
        return dA - (A * dA).sum(-1, keepdim=True)


@wrong_step(
    "A (1 - A) is the derivative of a sigmoid, or the diagonal of the softmax's Jacobian: a score also "
    "changes every other weight of its row."
)
class DiagonalOnly(Backward):
    def through_softmax(self, A, dA):
        return A * (1 - A) * dA


@wrong_step("The softmax is skipped on the way back: dA is used as if it were the gradient of the scores.")
class SoftmaxSkipped(Backward):
    def through_softmax(self, A, dA):
        return dA


@wrong_step(
    "dV is made with A where A^T is needed: the gradient of value j collects from every query i that used "
    "it, with weight A_ij. Where T equals S no error tells you."
)
class ValuesNotTransposed(Backward):
    def through_mixture(self, A, dY):
        return A @ dY


@wrong_step(
    "dK is made with dS where its transpose is needed: the gradient of key j collects from every query i. "
    "Where T equals S no error tells you."
)
class KeysNotTransposed(Backward):
    def through_scores(self, dS, Q, K):
        root = Q.shape[-1] ** 0.5
        return dS @ K / root, dS @ Q / root


@TRUSTED.mistake("The gradients are returned as dV, dK, dQ: the order asked for is that of the arguments, dQ, dK, dV.")
def order_reversed(Q, K, V, dY):
    return reference(Q, K, V, dY)[::-1]


@TRUSTED.mistake(
    "The gradients are returned in the order in which they are found, dV, dQ, dK: the order asked for is that of the "
    "arguments, dQ, dK, dV."
)
def values_first(Q, K, V, dY):
    dQ, dK, dV = reference(Q, K, V, dY)
    return dV, dQ, dK


@TRUSTED.mistake(
    "dY is ignored: your gradients are those of the plain sum of Y. What comes from the layers above is dY, "
    "and everything starts from it."
)
def upstream_ignored(Q, K, V, dY):
    return reference(Q, K, V, torch.ones_like(dY))


@TRUSTED.mistake(
    "The second call with the same tensors gives twice the gradients: autograd adds to `.grad` of what was handed in, "
    "where an earlier call's gradients still lie. Work on copies of the inputs (`detach().requires_grad_()`)."
)
def gradients_add_up(Q, K, V, dY):
    inputs = [x.requires_grad_() for x in (Q, K, V)]
    steps.Attention()(*inputs).backward(dY)
    return tuple(x.grad for x in inputs)


TRUSTED.add_alternative("in_steps", Backward().__call__)


@TRUSTED.alternative
def row_sum_from_the_result(Q, K, V, dY):
    A, root = weights(Q, K), Q.shape[-1] ** 0.5
    dS = A * (dY @ V.mT - (dY * (A @ V)).sum(-1, keepdim=True)) / root
    return dS @ K, dS.mT @ Q, A.mT @ dY


@TRUSTED.alternative
def whole_jacobian(Q, K, V, dY):
    A = weights(Q, K)
    J = torch.diag_embed(A) - A[..., :, None] * A[..., None, :]
    dS = torch.einsum("bhtij,bhjt->bhti", J, V @ dY.mT) * Q.shape[-1] ** -0.5
    return (
        torch.einsum("bhts,bhsd->bhtd", dS, K),
        torch.einsum("bhts,bhtd->bhsd", dS, Q),
        torch.einsum("bhts,bhte->bhse", A, dY),
    )


@TRUSTED.alternative
def loop_over_queries(Q, K, V, dY):
    dQ, dK, dV = (torch.zeros_like(x) for x in (Q, K, V))
    root = Q.shape[-1] ** 0.5
    for t in range(Q.shape[2]):
        q, dy = Q[:, :, t, :, None], dY[:, :, t, :, None]
        a = torch.softmax(K @ q / root, 2)
        da = V @ dy
        ds = a * (da - (a * da).sum(2, keepdim=True)) / root
        dQ[:, :, t] = (ds * K).sum(2)
        dK += ds * q.mT
        dV += a * dy.mT
    return dQ, dK, dV


@TRUSTED.alternative
def autograd(Q, K, V, dY):
    return vjp(steps.Attention(), Q, K, V)[1](dY)
