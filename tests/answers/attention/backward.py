"""Answers to attention.backward."""

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "attention.backward",
    spared={
        "onward": "no event comes, after which it would have to go on",
        "dependence": "nothing is drawn at random",
        "unwatched": "nothing is watched but the results",
        "named": "the text names no kind of input",
    },
)


def weights(Q, K):
    return (Q @ K.mT / Q.shape[-1] ** 0.5).softmax(-1)


def through(A, dA):
    return A * (dA - (A * dA).sum(-1, keepdim=True))


@ANSWERS.wrong("plain", "no scale on the way back", true="NoScaleBackward")
def scale_forgotten(Q, K, V, dY):
    A = weights(Q, K)
    dZ = through(A, dY @ V.mT)
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("plain", "no scale in the scores", true="NoScaleForward")
def scores_unscaled(Q, K, V, dY):
    A = (Q @ K.mT).softmax(-1)
    dZ = through(A, dY @ V.mT) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("plain", "the scale for the keys only", told=r"dQ is sqrt\(d\) times what is expected")
def scale_once(Q, K, V, dY):
    A = weights(Q, K)
    dZ = through(A, dY @ V.mT)
    return dZ @ K, dZ.mT @ Q / Q.shape[-1] ** 0.5, A.mT @ dY


@ANSWERS.wrong("plain", "multiplied by sqrt(d) in place of divided", told="dQ is d times what is expected")
def scale_upside_down(Q, K, V, dY):
    A = weights(Q, K)
    dZ = through(A, dY @ V.mT) * Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("plain", "softmax entry by entry, as a sigmoid: a (1 - a) da", true="DiagonalOnly")
def diagonal_only(Q, K, V, dY):
    A = weights(Q, K)
    dZ = A * (1 - A) * (dY @ V.mT) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("plain", "the softmax is left out on the way back", true="SoftmaxSkipped")
def no_softmax(Q, K, V, dY):
    A = weights(Q, K)
    dZ = dY @ V.mT / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("plain", "the average over the queries", true="SumOverQueries")
def average_over_queries(Q, K, V, dY):
    A, dA = weights(Q, K), dY @ V.mT
    dZ = A * (dA - (A * dA).sum(-2, keepdim=True)) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("plain", "the plain mean of da in place of the weighted one", true="MeanNotWeighted")
def plain_mean(Q, K, V, dY):
    A, dA = weights(Q, K), dY @ V.mT
    dZ = A * (dA - dA.mean(-1, keepdim=True)) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("plain", "the outer product's sign: a plus", true="RowSumAdded")
def plus(Q, K, V, dY):
    A, dA = weights(Q, K), dY @ V.mT
    dZ = A * (dA + (A * dA).sum(-1, keepdim=True)) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("plain", "the a in front of the bracket is missing", true="NoWeightsInFront")
def no_factor(Q, K, V, dY):
    A, dA = weights(Q, K), dY @ V.mT
    dZ = (dA - (A * dA).sum(-1, keepdim=True)) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong(
    "plain", "no transposes in dV and dK, which fits where T = S", true="ValuesNotTransposed KeysNotTransposed"
)
def no_transposes(Q, K, V, dY):
    A = weights(Q, K)
    dZ = through(A, dY @ V.mT) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ @ Q, A @ dY


@ANSWERS.wrong("plain", "dV from dA")
def values_from_da(Q, K, V, dY):
    A, dA = weights(Q, K), dY @ V.mT
    dZ = through(A, dA) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, dA.mT @ dY


@ANSWERS.wrong("plain", "returned as they are found: dV first", true="values_first")
def order_of_finding(Q, K, V, dY):
    A = weights(Q, K)
    dZ = through(A, dY @ V.mT) / Q.shape[-1] ** 0.5
    return A.mT @ dY, dZ @ K, dZ.mT @ Q


@ANSWERS.wrong("plain", "no keepdim: the average does not line up", told="with keepdim=True it stays")
def no_keepdim(Q, K, V, dY):
    A, dA = weights(Q, K), dY @ V.mT
    dZ = A * (dA - (A * dA).sum(-1)) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("plain", "dY @ V without its transpose", told=r"`dY @ V\.mT` would fit")
def values_not_transposed(Q, K, V, dY):
    A = weights(Q, K)
    dZ = through(A, dY @ V) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("plain", "diagonal of the softmax, no scale, and no transpose for dK", true="KeysNotTransposed")
def three_slips(Q, K, V, dY):
    A = weights(Q, K)
    dZ = A * (1 - A) * (dY @ V.mT)
    return dZ @ K, dZ @ Q, A.mT @ dY


@ANSWERS.wrong("far", "exp without the maximum", true="NoMaximum")
def no_maximum(Q, K, V, dY):
    E = (Q @ K.mT / Q.shape[-1] ** 0.5).exp()
    A = E / E.sum(-1, keepdim=True)
    dZ = through(A, dY @ V.mT) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("far", "one maximum for all rows", true="OneMaximum")
def one_maximum(Q, K, V, dY):
    Z = Q @ K.mT / Q.shape[-1] ** 0.5
    E = (Z - Z.max()).exp()
    A = E / E.sum(-1, keepdim=True)
    dZ = through(A, dY @ V.mT) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong(
    "large",
    "128 keys at most take part in the average",
    told="S=150, .*dQ differs",
    advice=r"right where S is 6 or less, wrong where it is \d+ or more",
)
def at_most_128_keys(Q, K, V, dY):
    A, dA = weights(Q, K), dY @ V.mT
    dZ = A * (dA - (A * dA)[..., :128].sum(-1, keepdim=True)) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("ones", "squeeze takes the only sequence, head or query away", told="lost a dimension of size 1")
def squeezed(Q, K, V, dY):
    A = weights(Q, K)
    dZ = through(A, dY @ V.mT) / Q.shape[-1] ** 0.5
    return (dZ @ K).squeeze(), (dZ.mT @ Q).squeeze(), (A.mT @ dY).squeeze()


@ANSWERS.wrong(
    "ones",
    "a single query's gradient is 0",
    told="T=1, S=3, d=4, e=2, gradients: dQ differs",
    advice="dQ is 0 everywhere|right where T is more than 1, wrong where it is 1",
)
def one_query(Q, K, V, dY):
    A = weights(Q, K)
    dZ = through(A, dY @ V.mT) / Q.shape[-1] ** 0.5
    return dZ @ K * (Q.shape[-2] > 1), dZ.mT @ Q, A.mT @ dY


_SCALE = []


@ANSWERS.wrong("again", "the first call's scale is kept")
def first_scale(Q, K, V, dY):
    _SCALE.append(Q.shape[-1] ** -0.5)
    A = (Q @ K.mT * _SCALE[0]).softmax(-1)
    dZ = through(A, dY @ V.mT) * _SCALE[0]
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("given", "queries are scaled in place", told="changes its input Q in place")
def scaled_in_place(Q, K, V, dY):
    Q /= Q.shape[-1] ** 0.5
    A = (Q @ K.mT).softmax(-1)
    dZ = through(A, dY @ V.mT)
    return dZ @ K / Q.shape[-1] ** 0.5, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("surroundings", "gradients stay switched off", told="leaves gradients switched off")
def gradients_off(Q, K, V, dY):
    torch.set_grad_enabled(False)
    A = weights(Q, K)
    dZ = through(A, dY @ V.mT) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong(
    "again", "autograd on what was handed in: a second call adds to the first one's gradients", true="gradients_add_up"
)
def gradients_add_up(Q, K, V, dY):
    Q, K, V = (x.requires_grad_() for x in (Q, K, V))
    (weights(Q, K) @ V).backward(dY)
    return Q.grad, K.grad, V.grad


@ANSWERS.wrong("plain", "the weights' softmax runs over the queries")
def softmax_over_queries(Q, K, V, dY):
    A = (Q @ K.mT / Q.shape[-1] ** 0.5).softmax(-2)
    dZ = through(A, dY @ V.mT) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("plain", "scaled by the values' width on the way back", told=r"dQ is sqrt\(d / e\) times")
def scaled_by_e(Q, K, V, dY):
    A = weights(Q, K)
    dZ = through(A, dY @ V.mT) / V.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.wrong("plain", "dQ and dK exchanged: dQ from the queries", told="dQ has shape")
def queries_and_keys_exchanged(Q, K, V, dY):
    A = weights(Q, K)
    dZ = through(A, dY @ V.mT) / Q.shape[-1] ** 0.5
    return dZ.mT @ Q, dZ @ K, A.mT @ dY


_WEIGHTS = {}


@ANSWERS.wrong("again", "the weights are kept by shape")
def weights_by_shape(Q, K, V, dY):
    A = _WEIGHTS.setdefault((Q.shape, K.shape, Q.dtype), weights(Q, K))
    dZ = through(A, dY @ V.mT) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.right
def whole_jacobian(Q, K, V, dY):
    A = weights(Q, K)
    J = A.diag_embed() - A[..., :, None] * A[..., None, :]
    dZ = torch.einsum("bhtjk,bhtj->bhtk", J, dY @ V.mT) / Q.shape[-1] ** 0.5
    return dZ @ K, dZ.mT @ Q, A.mT @ dY


@ANSWERS.right
def as_flash_does(Q, K, V, dY):
    A = weights(Q, K)
    D = (dY * (A @ V)).sum(-1, keepdim=True)
    dZ = A * (dY @ V.mT - D)
    return dZ @ K * Q.shape[-1] ** -0.5, dZ.mT @ Q * Q.shape[-1] ** -0.5, A.mT @ dY


@ANSWERS.right
def by_autograd(Q, K, V, dY):
    Q, K, V = (x.detach().requires_grad_() for x in (Q, K, V))
    (weights(Q, K) @ V).backward(dY)
    return [x.grad for x in (Q, K, V)]


@ANSWERS.right
def row_by_row(Q, K, V, dY):
    scale = Q.shape[-1] ** -0.5
    dQ, dK, dV = (torch.zeros_like(x) for x in (Q, K, V))
    for t in range(Q.shape[-2]):
        q, dy = Q[..., t, :], dY[..., t, :]
        a = torch.einsum("bhd,bhsd->bhs", q, K).mul(scale).softmax(-1)
        da = torch.einsum("bhe,bhse->bhs", dy, V)
        dz = a * (da - torch.linalg.vecdot(a, da)[..., None]) * scale
        dQ[..., t, :] = torch.einsum("bhs,bhsd->bhd", dz, K)
        dK += dz[..., None] * q[..., None, :]
        dV += a[..., None] * dy[..., None, :]
    return dQ, dK, dV


@ANSWERS.right
def in_numpy(Q, K, V, dY):
    q, k, v, dy = (x.double().numpy() for x in (Q, K, V, dY))
    Z = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
    E = np.exp(Z - Z.max(-1, keepdims=True))
    A = E / E.sum(-1, keepdims=True)
    dA = dy @ v.swapaxes(-1, -2)
    dZ = A * (dA - (A * dA).sum(-1, keepdims=True)) / np.sqrt(q.shape[-1])
    found = dZ @ k, dZ.swapaxes(-1, -2) @ q, A.swapaxes(-1, -2) @ dy
    return tuple(torch.from_numpy(x).to(Q.dtype) for x in found)


@ANSWERS.right
def by_vjp(Q, K, V, dY):
    found = torch.func.vjp(lambda *x: weights(*x[:2]) @ x[2], Q.double(), K.double(), V.double())[1](dY.double())
    return tuple(x.to(Q.dtype) for x in found)
