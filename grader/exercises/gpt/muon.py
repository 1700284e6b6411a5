"""Muon. Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks", algorithms 1 and 2.

X = G / (|G|_F + 1e-7), then five times A = X X^T, X = a X + (b A + c A^2) X with a, b, c = 3.4445, -4.7750, 2.0315.
M = mu M + G,  W = W - eta sqrt(max(1, rows / columns)) orthogonalise(G + mu M): Nesterov's momentum, and the scale of
the authors' code.
"""

import torch

from grader.contract import Trusted

COEFFICIENTS = 3.4445, -4.7750, 2.0315


def orthogonalise(G):
    a, b, c = COEFFICIENTS
    X = G / (G.square().sum().sqrt() + 1e-7)
    if X.shape[0] > X.shape[1]:
        X = X.T
    for _ in range(5):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if G.shape[0] > G.shape[1] else X


@torch.no_grad()
def muon_step(W, G, M, rate, momentum):
    rows, columns = W.shape
    M.copy_(momentum * M + G)
    W.copy_(W - rate * max(1.0, rows / columns) ** 0.5 * orthogonalise(G + momentum * M))


class Newton:
    """The first in steps: a mistake is written as the one in which it differs."""

    steps = 5
    coefficients = COEFFICIENTS

    def __call__(self, G):
        a, b, c = self.coefficients
        X = self.lying(self.normalised(G))
        for _ in range(self.steps):
            A = X @ X.mT
            X = a * X + (b * A + c * self.squared(A)) @ X
        return X if X.shape == G.shape else X.mT

    def normalised(self, G):
        return G / (G.norm() + 1e-7)

    def lying(self, X):
        return X.mT if X.shape[0] > X.shape[1] else X

    def squared(self, A):
        return A @ A


class Step:
    """The second in steps."""

    @torch.no_grad()
    def __call__(self, W, G, M, rate, momentum):
        W.sub_(rate * self.scale(*W.shape) * self.direction(G, M, momentum))

    def direction(self, G, M, momentum):
        M.mul_(momentum).add_(G)
        return orthogonalise(self.ahead(G, M, momentum))

    def ahead(self, G, M, momentum):
        return G + momentum * M

    def scale(self, rows, columns):
        return max(1.0, rows / columns) ** 0.5


TRUSTED = Trusted(
    (orthogonalise, muon_step), budget="two functions: norm, polynomial and sides, and momentum, scale and sign"
)
wrong_newton, wrong_step = TRUSTED.one_by_one(lambda steps: steps(), lambda steps: steps())


@wrong_newton(
    "G is not normalised. The steps need singular values of at most 1: larger ones grow without bound, and so G is "
    "divided by its norm first."
)
class NotNormalised(Newton):
    def normalised(self, G):
        return G


@wrong_newton("Each row is divided by its own norm. One number divides all of G, so that its singular vectors stay.")
class RowsNormalised(Newton):
    def normalised(self, G):
        return G / (G.norm(dim=1, keepdim=True) + 1e-7)


@wrong_newton(
    "G is divided by its largest singular value (the spectral norm). The text divides by the root of the sum of all "
    "squares (the Frobenius norm), which costs less, and five steps give other numbers from there."
)
class SpectralNorm(Newton):
    def normalised(self, G):
        return G / (torch.linalg.matrix_norm(G, 2) + 1e-7)


@wrong_newton("A gradient of zeros gives NaN, which is 0/0: add 1e-7 to the norm.")
class WithoutEps(Newton):
    def normalised(self, G):
        return G / G.norm()


@wrong_newton("b and c are exchanged: b = -4.7750 belongs to A, c = 2.0315 to A A.")
class Exchanged(Newton):
    coefficients = (3.4445, 2.0315, -4.7750)


@wrong_newton("c multiplies each entry's square, `A**2`. A A is the product of two matrices, `A @ A`.")
class EntriesSquared(Newton):
    def squared(self, A):
        return A**2


@wrong_newton("There are six steps: five are asked for.")
class SixSteps(Newton):
    steps = 6


@wrong_newton("There are four steps: five are asked for.")
class FourSteps(Newton):
    steps = 4


@wrong_newton("b is taken with the other sign: it is -4.7750, and b A is added.")
class OtherSignOfB(Newton):
    coefficients = (3.4445, 4.7750, 2.0315)


@wrong_newton("The coefficients are the classical ones, 1.5 and -0.5, which need many more steps: take a, b and c.")
class Classical(Newton):
    coefficients = (1.5, -0.5, 0.0)


@wrong_newton(
    "The result is multiplied by the norm of G at the end. It stays divided: all singular values are about 1."
)
class MultipliedBack(Newton):
    def __call__(self, G):
        return super().__call__(G) * G.norm()


@wrong_newton(
    "The result is right, but a product has the size of the larger side, and most of the work is for nothing: take "
    "X X^T, of a matrix that is turned over first where it has more rows than columns."
)
class NotTurnedOver(Newton):
    def lying(self, X):
        return X


def by_svd(G):
    U, _, V = torch.linalg.svd(G, full_matrices=False)
    return U @ V


TRUSTED.add_mistake(
    "by_svd",
    "This is U V^T from a singular value decomposition. Muon's five steps only come near it, with singular values of "
    "about 0.7 to 1.2, which is good enough and far cheaper: do the steps.",
    by_svd,
    muon_step,
)


def in_half_precision(G):
    return Newton()(G.bfloat16()).to(G.dtype)


TRUSTED.add_mistake(
    "in_half_precision",
    "The steps are computed in bfloat16, as in the authors' code, which is for a GPU. Here they keep the dtype of G.",
    in_half_precision,
    muon_step,
)


@wrong_step(
    "Momentum without Nesterov: the new M is made orthogonal, or G + momentum * M with the old one. Look ahead: M "
    "changes first, and then G + momentum * M is taken."
)
class WithoutNesterov(Step):
    def ahead(self, G, M, momentum):
        return M


@wrong_step("The momentum comes afterwards: first G goes into M, and what is made orthogonal is a mixture of both.")
class MomentumAfterwards(Step):
    def direction(self, G, M, momentum):
        O = orthogonalise(G)
        M.mul_(momentum).add_(O)
        return O + momentum * M


@wrong_step("M is a running mean, momentum * M + (1 - momentum) * G. In Muon it is a sum: momentum * M + G.")
class RunningMean(Step):
    def direction(self, G, M, momentum):
        M.lerp_(G, 1 - momentum)
        return orthogonalise((1 - momentum) * G + momentum * M)


@wrong_step(
    "The scale is missing, or stands inside `orthogonalise`, whose norm takes it away: a matrix with more rows than "
    "columns moves by sqrt(rows / columns) as much."
)
class WithoutScale(Step):
    def scale(self, rows, columns):
        return 1.0


@wrong_step("The scale is upside down: it is sqrt(rows / columns) where that is more than 1.")
class ScaleUpsideDown(Step):
    def scale(self, rows, columns):
        return max(1.0, columns / rows) ** 0.5


@wrong_step("The scale lacks its root: sqrt(max(1, rows / columns)).")
class ScaleWithoutRoot(Step):
    def scale(self, rows, columns):
        return max(1.0, rows / columns)


@wrong_step("W moves along the gradient: the step is taken away from W.")
class Uphill(Step):
    def scale(self, rows, columns):
        return -super().scale(rows, columns)


@wrong_step(
    "The maximum is missing: where a matrix has fewer rows than columns the scale is 1, not sqrt(rows / columns)."
)
class WithoutMaximum(Step):
    def scale(self, rows, columns):
        return (rows / columns) ** 0.5


@wrong_step("Nothing is made orthogonal: this is SGD with Nesterov's momentum. `orthogonalise` takes G + momentum * M.")
class NotOrthogonalised(Step):
    def direction(self, G, M, momentum):
        M.mul_(momentum).add_(G)
        return G + momentum * M


def by_factors(G):
    """X (a + b X^T X + c (X^T X)^2) for tall matrices: the same polynomial from the other side."""
    a, b, c = COEFFICIENTS
    X = G / G.norm().add(1e-7)
    tall = len(X) > X.shape[1]
    one = torch.eye(min(X.shape), dtype=X.dtype, device=X.device)
    for _ in range(5):
        A = X.T @ X if tall else X @ X.T
        P = a * one + b * A + c * torch.matrix_power(A, 2)
        X = X @ P if tall else P @ X
    return X


def on_data(W, G, M, rate, momentum):
    M *= momentum
    M += G
    scale = (W.size(0) / W.size(1)) ** 0.5 if W.size(0) > W.size(1) else 1
    W.data.add_(by_factors(torch.add(G, M, alpha=momentum)), alpha=-rate * scale)


def step_by_numbers(W, G, M, rate, momentum):
    with torch.no_grad():
        M[:] = G + M * momentum
        ahead = M * momentum + G
        W -= rate * by_addmm(ahead) * max(1, W.shape[0] / W.shape[1]) ** 0.5


def by_addmm(G):
    tall = G.size(0) > G.size(1)
    X = torch.nn.functional.normalize(G.flatten(), dim=0, eps=1e-7).view(G.shape)
    X = X.T if tall else X
    for _ in range(5):
        A = X.mm(X.T)
        B = torch.addmm(A, A, A, beta=-4.7750, alpha=2.0315)
        X = torch.addmm(X, B, X, beta=3.4445)
    return X.T if tall else X


TRUSTED.add_alternative("by_factors", by_factors, on_data)
TRUSTED.add_alternative("by_addmm", by_addmm, step_by_numbers)
