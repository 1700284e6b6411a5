"""Answers to gpt.muon."""

import torch
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers("gpt.muon", spared={"dependence": "nothing is drawn"})
wrong = ANSWERS.wrong
A, B, C = 3.4445, -4.7750, 2.0315


def steps(X, n=5, a=A, b=B, c=C):
    for _ in range(n):
        S = X @ X.mT
        X = a * X + (b * S + c * S @ S) @ X
    return X


def start(G):
    return G / (G.norm() + 1e-7)


def upright(f):
    """f on the side that is not tall."""
    return lambda G: f(G.mT).mT if G.shape[0] > G.shape[1] else f(G)


@upright
def right(G):
    return steps(start(G))


def factor(G):
    return max(1, G.shape[0] / G.shape[1]) ** 0.5


@torch.no_grad()
def right_step(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(rate * factor(G) * right(G + momentum * M))


@wrong("plain", "four steps", true="FourSteps")
def four_steps(G):
    return upright(lambda X: steps(start(X), 4))(G)


@wrong("plain", "six steps", true="SixSteps")
def six_steps(G):
    return upright(lambda X: steps(start(X), 6))(G)


@wrong("plain", "the steps of Newton and Schulz as they are, 1.5 and -0.5", true="Classical")
def classical(G):
    return upright(lambda X: steps(start(X), 5, 1.5, -0.5, 0.0))(G)


@wrong("plain", "the exact polar factor by a decomposition: singular values are 1", true="by_svd")
def by_svd(G):
    U, _, V = torch.linalg.svd(G, full_matrices=False)
    return U @ V


@wrong("plain", "the plus of b: its sign is in b already", true="OtherSignOfB")
def minus_b(G):
    return upright(lambda X: steps(start(X), 5, A, -B, C))(G)


@wrong("plain", "b and c are exchanged", true="Exchanged")
def exchanged(G):
    return upright(lambda X: steps(start(X), 5, A, C, B))(G)


@wrong("plain", "products from the right, X times the polynomial of X X^T")
def from_the_right(G):
    def f(X):
        X = start(X)
        for _ in range(5):
            S = X @ X.mT
            X = A * X + X.mT @ (B * S + C * S @ S) if X.shape[0] == X.shape[1] else A * X
        return X

    return upright(f)(G)


@wrong("plain", "entries are squared, S * S in place of S @ S", true="EntriesSquared")
def entrywise(G):
    def f(X):
        X = start(X)
        for _ in range(5):
            S = X @ X.mT
            X = A * X + (B * S + C * S * S) @ X
        return X

    return upright(f)(G)


@wrong("plain", "S is computed once")
def once(G):
    def f(X):
        X = start(X)
        S = X @ X.mT
        for _ in range(5):
            X = A * X + (B * S + C * S @ S) @ X
        return X

    return upright(f)(G)


@wrong("plain", "not divided by the norm", true="NotNormalised")
def not_divided(G):
    return upright(steps)(G)


@wrong("plain", "divided by the largest singular value, torch.linalg.norm(G, 2)", true="SpectralNorm")
def by_the_largest(G):
    return upright(lambda X: steps(X / (torch.linalg.matrix_norm(X, 2) + 1e-7)))(G)


@wrong("plain", "each row is divided by its norm")
def rows_divided(G):
    return upright(lambda X: steps(X / (X.norm(dim=-1, keepdim=True) + 1e-7)))(G)


@wrong("plain", "the norm stays in: multiplied back at the end", true="MultipliedBack")
def multiplied_back(G):
    return right(G) * G.norm()


@wrong("named", "a gradient of zeros gives NaN", true="WithoutEps")
def no_epsilon(G):
    return upright(lambda X: steps(X / X.norm()))(G)


@wrong("far", "an epsilon that small gradients feel")
def large_epsilon(G):
    return upright(lambda X: steps(X / (X.norm() + 1e-3)))(G)


@wrong("named", "in bfloat16, as the public code has it", true="in_half_precision", told="such as bfloat16 has")
def in_bfloat16(G):
    return upright(lambda X: steps(start(X.bfloat16())))(G).to(G.dtype)


@wrong("named", "in bfloat16, and it stays so", told="O has dtype bfloat16")
def stays_bfloat16(G):
    return upright(lambda X: steps(start(X.bfloat16())))(G)


@wrong("named", "in float32, whatever comes in", told="too large for float32: O is NaN")
def in_float32(G):
    return right(G.float()).to(G.dtype)


@wrong("unwatched", "a tall matrix is not turned over", true="NotTurnedOver")
def not_turned(G):
    return steps(start(G))


@wrong("unwatched", "a wide matrix is turned over in place of a tall one", true="NotTurnedOver")
def turned_the_wrong_way(G):
    return steps(start(G.mT)).mT if G.shape[0] < G.shape[1] else steps(start(G))


@wrong("unwatched", "the larger side, as X^T X from the right", true="NotTurnedOver")
def larger_side(G):
    def f(X):
        X = start(X)
        for _ in range(5):
            S = X.mT @ X
            X = A * X + X @ (B * S + C * S @ S)
        return X

    return upright(f)(G)


@wrong("plain", "not turned back", told="dimensions -2 and -1 exchanged")
def not_turned_back(G):
    return right(G.mT) if G.shape[0] > G.shape[1] else right(G)


@wrong("plain", "turned by reshape")
def by_reshape(G):
    if G.shape[0] > G.shape[1]:
        return steps(start(G.reshape(G.shape[::-1]))).reshape(G.shape)
    return right(G)


@wrong("ones", "squeezed: one row or one column loses its dimension", told="has lost a dimension of size 1")
def squeezed(G):
    return right(G).squeeze()


@wrong("ones", "a matrix of one row is only divided by its norm", advice="times what is expected")
def one_row_normed(G):
    return start(G) if 1 in G.shape else right(G)


@wrong("given", "the gradient is divided in place", told="changes its input G")
def divided_in_place(G):
    G /= G.norm() + 1e-7
    return upright(steps)(G)


@wrong("large", "large sides are cut to 128")
def cut(G):
    return torch.cat([right(G[:128, :128]), 0 * G[128:]]) if G.shape[0] > 128 else right(G)


KEPT: dict = {}


@wrong("again", "results are kept by shape")
def kept(G):
    return KEPT.setdefault((G.shape, G.dtype), right(G))


@wrong("surroundings", "gradients are switched off, and stay off", told="gradients switched off")
def gradients_off(G):
    torch.set_grad_enabled(False)
    return right(G)


@wrong("surroundings", "coarser products for all that comes, and double precision", told="default dtype")
def default_dtype(G):
    torch.set_default_dtype(torch.float64)
    return right(G)


@wrong("plain", "nothing comes back: X is written over G's place", told="None")
def returns_nothing(G):
    right(G)


def stepping(kind, says, **told):
    return wrong(kind, says, at=1, **told)


@stepping("plain", "no Nesterov: the momentum alone", true="WithoutNesterov")
@torch.no_grad()
def momentum_alone(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(rate * factor(G) * right(M))


@stepping("plain", "Nesterov with the old momentum", true="WithoutNesterov")
@torch.no_grad()
def old_momentum(W, G, M, rate, momentum):
    ahead = G + momentum * M
    M.mul_(momentum).add_(G)
    W.sub_(rate * factor(G) * right(ahead))


@stepping("plain", "the momentum is an average, lerp, as the public code has it", true="RunningMean")
@torch.no_grad()
def averaged(W, G, M, rate, momentum):
    M.lerp_(G, 1 - momentum)
    W.sub_(rate * factor(G) * right(G.lerp(M, momentum)))


@stepping("plain", "Nesterov twice: M + momentum * M", true="WithoutNesterov")
@torch.no_grad()
def of_m_alone(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(rate * factor(G) * right(M + momentum * M))


@stepping("plain", "the step goes along the gradient", true="Uphill")
@torch.no_grad()
def uphill(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.add_(rate * factor(G) * right(G + momentum * M))


@stepping("plain", "no factor for tall matrices", true="WithoutScale")
@torch.no_grad()
def no_factor(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(rate * right(G + momentum * M))


@stepping("plain", "n / m under the root", true="ScaleUpsideDown")
@torch.no_grad()
def upside_down(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(rate * max(1, G.shape[1] / G.shape[0]) ** 0.5 * right(G + momentum * M))


@stepping("plain", "no maximum: wide matrices move less", true="WithoutMaximum")
@torch.no_grad()
def no_maximum(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(rate * (G.shape[0] / G.shape[1]) ** 0.5 * right(G + momentum * M))


@stepping("plain", "no root", true="ScaleWithoutRoot")
@torch.no_grad()
def no_root(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(rate * factor(G) ** 2 * right(G + momentum * M))


@stepping("plain", "Moonlight's factor, 0.2 sqrt(max(m, n))")
@torch.no_grad()
def moonlight(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(rate * 0.2 * max(G.shape) ** 0.5 * right(G + momentum * M))


@stepping("plain", "each is orthogonalised by itself")
@torch.no_grad()
def each_by_itself(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(rate * factor(G) * (right(G) + momentum * right(M)))


@stepping("plain", "not orthogonalised: SGD", true="NotOrthogonalised")
@torch.no_grad()
def sgd(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(rate * factor(G) * (G + momentum * M))


@stepping("given", "M gets another name, and the caller's stays", told="M afterwards is the input M, unchanged")
@torch.no_grad()
def momentum_not_kept(W, G, M, rate, momentum):
    M = momentum * M + G
    W.sub_(rate * factor(G) * right(G + momentum * M))


@stepping("given", "W gets another name", told="W afterwards is the input W, unchanged")
@torch.no_grad()
def weight_not_changed(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W = W - rate * factor(G) * right(G + momentum * M)


@stepping("given", "G is added to in place, as the public code does", told="changes its input G")
@torch.no_grad()
def gradient_changed(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(rate * factor(G) * right(G.add_(M, alpha=momentum)))


@stepping("given", "the momentum ends as what was orthogonalised")
@torch.no_grad()
def momentum_replaced(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    M.mul_(momentum).add_(G)
    W.sub_(rate * factor(G) * right(M))


@stepping("given", "the weight is frozen while it changes, and stays so", told="W is frozen afterwards")
def freezes(W, G, M, rate, momentum):
    W.requires_grad_(False)
    right_step(W, G, M, rate, momentum)


@stepping("named", "no no_grad", told="under torch.no_grad")
def with_a_graph(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W -= rate * factor(G) * right(G + momentum * M)


@stepping("named", "momentum 0 is taken for the usual one", told="momentum 0: W afterwards differs")
def zero_is_usual(W, G, M, rate, momentum):
    right_step(W, G, M, rate, momentum or 0.95)


@stepping("plain", "weight decay, as in Moonlight")
@torch.no_grad()
def decays(W, G, M, rate, momentum):
    W.mul_(1 - rate * 0.1)
    right_step(W, G, M, rate, momentum)


@stepping("onward", "the momentum is forgotten after each step", told="M afterwards is 0 everywhere")
def forgotten(W, G, M, rate, momentum):
    right_step(W, G, M, rate, momentum)
    M.zero_()


STATE: dict = {}


@stepping("again", "the momentum is kept beside, by shape, and the caller's is a copy of it")
@torch.no_grad()
def kept_beside(W, G, M, rate, momentum):
    mine = STATE.setdefault(W.shape, M.clone())
    mine.mul_(momentum).add_(G)
    M.copy_(mine)
    W.sub_(rate * factor(G) * right(G + momentum * mine))


@stepping("plain", "W comes back", told="muon_step returned a Parameter")
def returns_w(W, G, M, rate, momentum):
    right_step(W, G, M, rate, momentum)
    return W


@stepping("plain", "two slips: no Nesterov, and no factor")
@torch.no_grad()
def two_slips(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(rate * right(M))


@ANSWERS.right
def as_published(G):
    """With the loop and the transposes of the public code."""
    a, b, c = (3.4445, -4.7750, 2.0315)
    X = G
    if G.size(0) > G.size(1):
        X = X.T
    X = X / (X.norm() + 1e-7)
    for _ in range(5):
        S = X @ X.T
        X = torch.addmm(a * X, b * S + c * (S @ S), X)
    return X.T if G.size(0) > G.size(1) else X


@ANSWERS.right
def from_the_other_side(G):
    """Tall matrices by X^T X, from the right."""
    X = G / (G.pow(2).sum().sqrt() + 1e-7)
    for _ in range(5):
        if len(G) > G.shape[1]:
            S = X.T.matmul(X)
            X = X.matmul(
                A * torch.eye(len(S), dtype=G.dtype, device=G.device)
                + S.matmul(B * torch.eye(len(S), dtype=G.dtype, device=G.device) + C * S)
            )
        else:
            S = X.matmul(X.T)
            X = A * X + B * S.matmul(X) + C * S.matmul(S.matmul(X))
    return X


@ANSWERS.right_at(1)
def with_data(W, G, M, rate, momentum):
    """By .data and copy_, without a block of no_grad."""
    M.copy_(momentum * M + G)
    W.data.add_(right(torch.add(G, M, alpha=momentum)), alpha=-rate * max(1.0, W.size(0) / W.size(1)) ** 0.5)


@ANSWERS.right_at(1)
def in_inference(W: nn.Parameter, G, M, rate, momentum) -> None:
    with torch.no_grad():
        M[:] = momentum * M + G
        new = W - rate * right((1 + momentum) * G + momentum * (M - G)) * max(1, len(G) / G.shape[1]) ** 0.5
        W[:] = new


# A second round.


@wrong("far", "the norm is a sum of squares without its root", advice="times what is expected")
def squared_norm(G):
    return upright(lambda X: steps(X / (X.pow(2).sum() + 1e-7)))(G)


@wrong("ones", "the mean of squares, as RMS has it")
def root_mean_square(G):
    return upright(lambda X: steps(X / (X.pow(2).mean().sqrt() + 1e-7)))(G)


@wrong("onward", "a second matrix finds coefficients that the first has changed", told="keeps something from one call")
def coefficients_changed(G, coefficients=[A, B, C]):  # noqa: B006
    X = upright(lambda X: steps(start(X), 5, *coefficients))(G)
    coefficients[0] *= 0.99
    return X


@stepping("plain", "the scale is that of G's norm: singular values as large as before")
@torch.no_grad()
def of_its_size(W, G, M, rate, momentum):
    M.mul_(momentum).add_(G)
    W.sub_(rate * factor(G) * right(G + momentum * M) * G.norm())


@stepping(
    "given", "both are changed on copies, and only W's is put back", told="M afterwards is the input M, unchanged"
)
def new_data(W, G, M, rate, momentum):
    other = W.data.clone()
    right_step(other, G, M.clone(), rate, momentum)
    W.data = other


@ANSWERS.right
def in_double(G):
    """In float64, and back: a wider dtype inside."""
    return right(G.double()).to(G.dtype)


# A third round.


@wrong("plain", "the factor is a whole number", told="5 x 3", at=1)
def whole_factor(W, G, M, rate, momentum):
    with torch.no_grad():
        M.mul_(momentum).add_(G)
        W.sub_(rate * max(1, G.shape[0] // G.shape[1]) ** 0.5 * right(G + momentum * M))


# A sixth round.


@wrong("plain", "the scale stands where the norm takes it away", true="WithoutScale", at=1)
def scale_inside(W, G, M, rate, momentum):
    with torch.no_grad():
        M.mul_(momentum).add_(G)
        W.sub_(rate * right(max(1, W.shape[0] / W.shape[1]) ** 0.5 * (G + momentum * M)))
