"""The gradients of Y = A V, A = softmax(S), S = Q K^T / sqrt(d), given dY.

Dao et al. 2022 (FlashAttention), appendix B.2: dV = A^T dY, dA = dY V^T, dS_ij = A_ij (dA_ij - D_i) with
D_i = sum_k A_ik dA_ik, dQ = dS K / sqrt(d), dK = dS^T Q / sqrt(d).
"""

import torch
from torch.func import vjp

from grader.contract import Trusted


def forward(Q, K):
    return torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, -1)


def reference(Q, K, V, dY):
    A = forward(Q, K)
    dV = A.mT @ dY
    dA = dY @ V.mT
    D = torch.einsum("...ik,...ik->...i", A, dA)
    dS = A * (dA - D[..., None])
    return through_scores(dS, Q, K, dV)


def through_scores(dS, Q, K, dV):
    root = Q.shape[-1] ** 0.5
    return dS @ K / root, dS.mT @ Q / root, dV


def through_softmax(A, dA):
    return A * (dA - (A * dA).sum(-1, keepdim=True))


TRUSTED = Trusted(reference)


@TRUSTED.mistake(
    "The factor 1 / sqrt(d) is missing in dQ and dK: the scores are Q K^T / sqrt(d), and a constant factor "
    "passes on to the gradient."
)
def no_scale_backward(Q, K, V, dY):
    A = forward(Q, K)
    dS = through_softmax(A, dY @ V.mT)
    return dS @ K, dS.mT @ Q, A.mT @ dY


@TRUSTED.mistake("dQ and dK are divided by d: the factor 1 / sqrt(d) belongs there once, not twice.")
def scaled_twice(Q, K, V, dY):
    A = forward(Q, K)
    return through_scores(through_softmax(A, dY @ V.mT) / Q.shape[-1] ** 0.5, Q, K, A.mT @ dY)


@TRUSTED.mistake(
    "The weights that you compute again are not scaled: they must be the ones of the forward pass, with the "
    "division by sqrt(d)."
)
def no_scale_forward(Q, K, V, dY):
    A = torch.softmax(Q @ K.mT, -1)
    return through_scores(through_softmax(A, dY @ V.mT), Q, K, A.mT @ dY)


@TRUSTED.mistake(
    "The softmax's gradient misses its second term: the weights of a row compete for a sum of 1, so raising "
    "one score lowers every other weight. Subtract the row's weighted sum of dA."
)
def no_row_sum(Q, K, V, dY):
    A = forward(Q, K)
    return through_scores(A * (dY @ V.mT), Q, K, A.mT @ dY)


@TRUSTED.mistake(
    "In the softmax's gradient you sum over the queries: each row of weights is a softmax of its own, so the "
    "sum runs over the keys, the last axis."
)
def sum_over_queries(Q, K, V, dY):
    A = forward(Q, K)
    dA = dY @ V.mT
    return through_scores(A * (dA - (A * dA).sum(-2, keepdim=True)), Q, K, A.mT @ dY)


@TRUSTED.mistake(
    "In the softmax's gradient the row sum of dA is not weighted: each term counts with its own weight from A."
)
def sum_not_weighted(Q, K, V, dY):
    A = forward(Q, K)
    dA = dY @ V.mT
    return through_scores(A * (dA - dA.sum(-1, keepdim=True)), Q, K, A.mT @ dY)


@TRUSTED.mistake("In the softmax's gradient the factor A in front of the difference is missing.")
def no_weights_in_front(Q, K, V, dY):
    A = forward(Q, K)
    dA = dY @ V.mT
    return through_scores(dA - (A * dA).sum(-1, keepdim=True), Q, K, A.mT @ dY)


@TRUSTED.mistake(
    "A (1 - A) is the derivative of a sigmoid, or the diagonal of the softmax's Jacobian: a score also "
    "changes every other weight of its row."
)
def diagonal_only(Q, K, V, dY):
    A = forward(Q, K)
    return through_scores(A * (1 - A) * (dY @ V.mT), Q, K, A.mT @ dY)


@TRUSTED.mistake("The softmax is skipped on the way back: dA is used as if it were the gradient of the scores.")
def softmax_skipped(Q, K, V, dY):
    return through_scores(dY @ V.mT, Q, K, forward(Q, K).mT @ dY)


@TRUSTED.mistake(
    "dV is made with A where A^T is needed: the gradient of value j collects from every query i that used "
    "it, with weight A_ij. Where T equals S no error tells you."
)
def dV_not_transposed(Q, K, V, dY):
    A = forward(Q, K)
    return through_scores(through_softmax(A, dY @ V.mT), Q, K, A @ dY)


@TRUSTED.mistake(
    "dK is made with dS where its transpose is needed: the gradient of key j collects from every query i. "
    "Where T equals S no error tells you."
)
def dK_not_transposed(Q, K, V, dY):
    A = forward(Q, K)
    dS = through_softmax(A, dY @ V.mT)
    root = Q.shape[-1] ** 0.5
    return dS @ K / root, dS @ Q / root, A.mT @ dY


@TRUSTED.mistake("dQ and dK are returned in each other's place.")
def dQ_and_dK_exchanged(Q, K, V, dY):
    dQ, dK, dV = reference(Q, K, V, dY)
    return dK, dQ, dV


@TRUSTED.mistake("The gradients are returned as dV, dK, dQ: the order asked for is that of the arguments, dQ, dK, dV.")
def order_reversed(Q, K, V, dY):
    return reference(Q, K, V, dY)[::-1]


@TRUSTED.mistake(
    "dY is ignored: your gradients are those of the plain sum of Y. What comes from the layers above is dY, "
    "and everything starts from it."
)
def upstream_ignored(Q, K, V, dY):
    return reference(Q, K, V, torch.ones_like(dY))


@TRUSTED.mistake(
    "The weights sum to 1 over the queries: the softmax that you compute again runs over the wrong axis, it "
    "must run over the keys (dim=-1)."
)
def softmax_over_queries(Q, K, V, dY):
    A = torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, -2)
    return through_scores(A * (dY @ V.mT - (A * (dY @ V.mT)).sum(-2, keepdim=True)), Q, K, A.mT @ dY)


@TRUSTED.alternative
def row_sum_from_the_result(Q, K, V, dY):
    A = forward(Q, K)
    D = (dY * (A @ V)).sum(-1, keepdim=True)
    return through_scores(A * (dY @ V.mT - D), Q, K, A.mT @ dY)


@TRUSTED.alternative
def whole_jacobian(Q, K, V, dY):
    A = forward(Q, K)
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
    return vjp(lambda Q, K, V: forward(Q, K) @ V, Q, K, V)[1](dY)
