"""L = E + A / N^alpha + B / D^beta: Hoffmann et al. 2022 (arXiv 2203.15556), equation 2, fitted as in appendix D.2.

The paper minimises Huber's distance between log L and the log of the law from a grid of starts. Here, for given
exponents, E, A and B are the solution of a linear problem (Golub and Pereyra 1973), so that two numbers are left to be
searched for. Residuals are relative, as those of logarithms are.
"""

import math

import numpy as np
import torch
from torch import nn

from grader.contract import Trusted

POINTS, ROUNDS = 15, 16


class Law:
    """The fit in steps: a mistake is written as the one in which it differs."""

    widest = ((0.02, 1.5), (0.02, 1.5))

    def __call__(self, N, D, L):
        x = self.terms(N, D)
        scale = x.log().mean(1)
        low, high = torch.tensor(self.widest, dtype=torch.float64).T
        for _ in range(ROUNDS):
            exponents = torch.cartesian_prod(*(torch.linspace(a, b, POINTS) for a, b in zip(low, high, strict=True)))
            exponents = self.allowed(exponents.double())
            error, numbers = self.solved(exponents, x.log() - scale[:, None], L)
            best = error.argmin()
            width = (high - low) / 4
            low, high = (exponents[best] - width).clamp(min=1e-3), exponents[best] + width
        alpha, beta = exponents[best].tolist()
        E, A, B = numbers[best].tolist()
        return self.returned(
            E, A * math.exp(alpha * scale[0].item()), B * math.exp(beta * scale[1].item()), alpha, beta
        )

    def terms(self, N, D):
        return torch.stack([N, D]).double()

    def allowed(self, exponents):
        return exponents

    def used(self):
        """Which of E, A, B there are."""
        return [0, 1, 2]

    def given(self, L):
        """What E is, where it is not fitted."""
        return 0.0

    def solved(self, exponents, logs, L):
        """For each pair of exponents the least sum of squared relative errors, and E, A, B, none of them below 0."""
        powers = (-exponents[:, :, None] * logs).exp()
        columns = torch.cat([torch.ones_like(powers[:, :1]), powers], 1)[:, self.used()]
        X, y = (columns / L).mT, 1 - self.given(L) / L
        ridge = 1e-15 * torch.eye(X.shape[-1], dtype=X.dtype)
        found = torch.linalg.solve(X.mT @ X + ridge, X.mT @ y)
        error = ((X @ found[..., None])[..., 0] - y).square().sum(-1)
        numbers = torch.zeros(len(exponents), 3, dtype=X.dtype)
        numbers[:, self.used()] = found
        numbers[:, 0] += self.given(L)
        return error.where((found >= 0).all(-1), torch.inf), numbers

    def returned(self, E, A, B, alpha, beta):
        return E, A, B, alpha, beta


TRUSTED = Trusted(Law())
(slip,) = TRUSTED.one_by_one(lambda steps: steps())


@slip(
    "There is no floor E, or it is 0: then the loss of larger and larger runs falls to nothing, and the exponents come "
    "out too small. Fit E with the others."
)
class NoFloor(Law):
    def used(self):
        return [1, 2]


@slip(
    "E is the lowest loss that was measured: no run has reached the floor. It lies below all of them and is fitted "
    "with the other numbers."
)
class LowestForFloor(Law):
    def used(self):
        return [1, 2]

    def given(self, L):
        return 0.999 * L.min()


@slip("alpha and beta are one number: parameters and bytes have an exponent each.")
class OneExponent(Law):
    def allowed(self, exponents):
        return exponents.mean(1, keepdim=True).expand(-1, 2)


@slip(
    "The exponents are those of the paper, 0.34 and 0.28, whatever the runs: they belong to its models and texts. "
    "Search for those of these runs."
)
class OfThePaper(Law):
    def allowed(self, exponents):
        return torch.tensor([[0.34, 0.28]], dtype=torch.float64)


@slip("D plays no part in your law: a run that reads more bytes gets the same loss from it. Fit B / D^beta too.")
class SizeAlone(Law):
    def used(self):
        return [0, 1]


@slip("N plays no part in your law: a larger model gets the same loss from it. Fit A / N^alpha too.")
class BytesAlone(Law):
    def used(self):
        return [0, 2]


@slip("N and D are exchanged: A and alpha belong to the parameters N, B and beta to the bytes D.")
class Exchanged(Law):
    def terms(self, N, D):
        return super().terms(D, N)


@slip(
    "The law is right for N and D over some unit (their smallest or their mean), and its A and B belong to these: they "
    "are to be multiplied by the unit to the power of the exponent."
)
class NotScaledBack(Law):
    def __call__(self, N, D, L):
        E, A, B, alpha, beta = super().__call__(N, D, L)
        return E, A / N.min().item() ** alpha, B / D.min().item() ** beta, alpha, beta


@slip("The numbers are returned in another order, alpha and beta first: E, A, B, alpha, beta is asked for.")
class ExponentsFirst(Law):
    def returned(self, E, A, B, alpha, beta):
        return alpha, beta, E, A, B


@slip("The order is another one: E, A, B, alpha, beta, and you return alpha before B.")
class OtherOrder(Law):
    def returned(self, E, A, B, alpha, beta):
        return E, A, alpha, B, beta


@slip("log E, log A and log B are returned: the law has E, A and B themselves, so take exp of what you fitted.")
class LogsReturned(Law):
    def returned(self, E, A, B, alpha, beta):
        return math.log(max(E, 1e-9)), math.log(A), math.log(B), alpha, beta


@slip(
    "Logarithms are mixed: what was fitted in decimal ones (log10) is turned back with exp. Use 10 ** x there, or "
    "natural logarithms throughout."
)
class DecimalThenExp(Law):
    def returned(self, E, A, B, alpha, beta):
        return math.exp(math.log10(max(E, 1e-9))), math.exp(math.log10(A)), math.exp(math.log10(B)), alpha, beta


@slip("The signs of alpha and beta are turned: the law divides by N^alpha, so a falling loss has positive exponents.")
class SignsTurned(Law):
    def returned(self, E, A, B, alpha, beta):
        return E, A, B, -alpha, -beta


@slip("E, A and B are too small by ln 2, or divided by it: losses stay in nats, as they are given.")
class InBits(Law):
    def returned(self, E, A, B, alpha, beta):
        return E / math.log(2), A / math.log(2), B / math.log(2), alpha, beta


@slip(
    "Your law gives the same loss for every run, near the mean: a search for A and B themselves that begins near 1 "
    "hardly moves them, and N^alpha is in the thousands. Search for log A and log B, from several starts."
)
class Stuck(Law):
    def __call__(self, N, D, L):
        return L.mean().item(), 0.0, 0.0, 0.5, 0.5


@TRUSTED.alternative
def huber_from_several_starts(N, D, L):
    """The paper's own distance; a wide one first, with which L-BFGS is soon near."""
    logs, y = torch.stack([torch.ones_like(N), N, D]).log(), L.log()
    middles = logs.mean(1, keepdim=True)  # around which the search is quick

    def distance(p, delta):
        terms = p[:3, None] - torch.cat([p.new_zeros(1), p[3:]])[:, None] * (logs - middles)
        return nn.functional.huber_loss(terms.logsumexp(0), y, delta=delta, reduction="sum") / delta

    found = []
    for alpha, beta in ((0.3, 0.6), (0.6, 0.3)):
        p = nn.Parameter(torch.stack([y.min() - 0.3, *[y.mean() - 1] * 2, y.new_tensor(alpha), y.new_tensor(beta)]))
        for delta, steps in ((1.0, 50), (1e-3, 6)):
            optimiser = torch.optim.LBFGS([p], 1.0, steps, None, 1e-12, 1e-15, line_search_fn="strong_wolfe")

            def closure(optimiser=optimiser, p=p, delta=delta):
                optimiser.zero_grad()
                loss = distance(p, delta)
                loss.backward()
                return loss

            optimiser.step(closure)
        found.append(p.detach())
    best = min(found, key=lambda p: distance(p, 1e-3))
    E, A, B = (best[:3] + torch.cat([best.new_zeros(1), best[3:]]) * middles[:, 0]).exp()
    return E, A, B, *best[3:]


@TRUSTED.alternative
def damped_gauss_newton(N, D, L):
    """Levenberg and Marquardt's steps on logarithms, in NumPy."""
    n, d, y = (np.log(x.numpy()) for x in (N, D, L))
    found = []
    for alpha, beta in ((0.3, 0.5), (0.5, 0.3), (0.4, 0.4)):
        p = np.array([y.min() - 0.3, y.mean() - 1 + alpha * n.mean(), y.mean() - 1 + beta * d.mean(), alpha, beta])

        def law(p):
            return np.stack([p[0] + 0 * n, p[1] - p[3] * n, p[2] - p[4] * d])

        def residual(p, law=law):
            return np.logaddexp.reduce(law(p)) - y

        damping = 1e-2
        for _ in range(400):
            r, w = residual(p), np.exp(law(p) - np.logaddexp.reduce(law(p)))
            J = np.stack([w[0], w[1], w[2], -n * w[1], -d * w[2]], 1)
            H = J.T @ J
            step = np.linalg.solve(H + damping * np.diag(np.diag(H)) + 1e-18 * np.eye(5), -J.T @ r)
            better = np.square(residual(p + step)).sum() < np.square(r).sum()
            p, damping = (p + step, damping / 3) if better else (p, damping * 4)
            if damping > 1e12:
                break
        found.append((np.square(residual(p)).sum(), p))
    best = min(found, key=lambda pair: pair[0])[1]
    return (*map(float, np.exp(best[:3])), float(best[3]), float(best[4]))
