"""Answers to core.scaling_law."""

import math

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.scaling_law",
    spared={
        "dependence": "nothing is drawn",
        "unwatched": "what a law predicts is compared",
        "ones": "no tensor has a size of 1",
    },
)
wrong = ANSWERS.wrong


def solved(N, D, L, alpha, beta, floor=True):
    """E, A, B with the smallest relative errors, for N and D in units of the smallest; and the error."""
    columns = [torch.ones_like(N) * floor, (N / N.min()) ** -alpha, (D / D.min()) ** -beta]
    X = torch.stack(columns, 1) / L[:, None]
    numbers = torch.linalg.lstsq(X, torch.ones_like(L)[:, None], driver="gelsd").solution[:, 0]
    error = (X @ numbers - 1).square().sum().item()
    return (error if numbers.min() >= 0 else math.inf), numbers.tolist()


def scaled_back(N, D, numbers, alpha, beta):
    E, A, B = numbers
    return E, A * N.min().item() ** alpha, B * D.min().item() ** beta, alpha, beta


def on_grids(
    N, D, L, *, rounds=6, step=0.1, start=0.6, allowed=lambda a, b: a > 0 and b > 0, back=scaled_back, **given
):
    """The best pair of exponents on finer and finer grids."""
    alpha = beta = start
    for _ in range(rounds):
        near = [(alpha + i * step, beta + j * step) for i in range(-5, 6) for j in range(-5, 6)]
        alpha, beta = min((p for p in near if allowed(*p)), key=lambda p: solved(N, D, L, *p, **given)[0])
        step /= 4
    return back(N, D, solved(N, D, L, alpha, beta, **given)[1], alpha, beta)


@wrong("plain", "a grid in steps of 0.1", told=r"by more than 0.5%")
def coarse(N, D, L):
    return on_grids(N, D, L, rounds=1)


@wrong("plain", "no floor", told=r"are too low by more than")
def no_floor(N, D, L):
    return on_grids(N, D, L, floor=False)


@wrong("plain", "logarithms of losses as a line in ln N and ln D")
def one_power(N, D, L):
    X = torch.stack([torch.ones_like(N), -N.log(), -D.log()], 1)
    c, alpha, beta = torch.linalg.lstsq(X, L.log()[:, None]).solution[:, 0].tolist()
    return 0.0, math.exp(c) / 2, math.exp(c) / 2, alpha, beta


@wrong("plain", "one exponent for both", true="OneExponent")
def one_exponent(N, D, L):
    return on_grids(N, D, L, allowed=lambda a, b: abs(a - b) < 1e-9)


@wrong("plain", "the numbers of the paper")
def chinchilla(N, D, L):
    return 1.69, 406.4, 410.7, 0.34, 0.28


@wrong("plain", "the exponents first", true="ExponentsFirst")
def other_order(N, D, L):
    E, A, B, alpha, beta = on_grids(N, D, L)
    return alpha, beta, E, A, B


@wrong("plain", "ln E, ln A and ln B, as the paper searches for them", true="LogsReturned")
def logarithms(N, D, L):
    E, A, B, alpha, beta = on_grids(N, D, L)
    return math.log(E), math.log(A), math.log(B), alpha, beta


@wrong("plain", "N and D exchanged", true="Exchanged")
def exchanged(N, D, L):
    E, A, B, alpha, beta = on_grids(N, D, L)
    return E, B, A, beta, alpha


@wrong("plain", "A and B are those of N and D in units of the smallest run", true="NotScaledBack")
def not_scaled_back(N, D, L):
    return on_grids(N, D, L, back=lambda N, D, numbers, alpha, beta: (*numbers, alpha, beta))


@wrong("named", "exponents up to 0.4, as in papers")
def small_exponents(N, D, L):
    return on_grids(N, D, L, start=0.2, allowed=lambda a, b: 0 < a <= 0.4 and 0 < b <= 0.4)


@wrong("named", "a grid of six by three is taken for granted", told=r"shape '\[6, 3\]' is invalid")
def six_by_three(N, D, L):
    table = L.reshape(6, 3)
    E, A, B, alpha, beta = on_grids(N, D, L)
    return E + 0 * table.min().item(), A, B, alpha, beta


@wrong("far", "in float32, without units")
def single(N, D, L):
    N, D, L = N.float(), D.float(), L.float()
    best, found = math.inf, None
    for alpha in np.arange(0.05, 1.0, 0.02):
        for beta in np.arange(0.05, 1.0, 0.02):
            X = torch.stack([torch.ones_like(N), N ** -float(alpha), D ** -float(beta)], 1)
            numbers = torch.linalg.lstsq(X, L[:, None]).solution[:, 0]
            error = (X @ numbers - L).square().sum().item()
            if error < best:
                best, found = error, (*numbers.tolist(), float(alpha), float(beta))
    return found


@wrong("given", "N and D are divided in place", told=r"changes its input N and D")
def in_place(N, D, L):
    n, d = N.min().item(), D.min().item()
    N /= n
    D /= d
    E, A, B, alpha, beta = on_grids(N, D, L)
    return E, A * n**alpha, B * d**beta, alpha, beta


KEPT = []


@wrong("again", "the exponents of the first call")
def kept(N, D, L):
    if not KEPT:
        KEPT.extend(on_grids(N, D, L)[3:])
    return scaled_back(N, D, solved(N, D, L, *KEPT)[1], *KEPT)


@wrong("onward", "a few hundred steps of Adam from one start")
def by_adam(N, D, L):
    x = torch.tensor([0.0, 0.0, 0.0, 0.5, 0.5], dtype=torch.float64, requires_grad=True)
    n, d = N / N.min(), D / D.min()
    optimiser = torch.optim.Adam([x], lr=0.02)
    for _ in range(300):
        optimiser.zero_grad()
        (((x[0].exp() + x[1].exp() * n ** -x[3] + x[2].exp() * d ** -x[4]).log() - L.log()) ** 2).mean().backward()
        optimiser.step()
    e, a, b, alpha, beta = x.tolist()
    return scaled_back(N, D, (math.exp(e), math.exp(a), math.exp(b)), alpha, beta)


@wrong("large", "the five largest runs, solved for five numbers")
def five_runs(N, D, L):
    order = (N.log() + D.log()).argsort()[-5:]
    return on_grids(N[order], D[order], L[order])


@wrong("surroundings", "float64 for everybody afterwards", told=r"changes torch's default dtype")
def default_dtype(N, D, L):
    torch.set_default_dtype(torch.float64)
    return on_grids(N, D, L)


@wrong("plain", "a floor of 0.99 times the smallest loss, and a line for each")
def floor_below_the_best(N, D, L):
    E = 0.99 * L.min()
    X = torch.stack([torch.ones_like(N), -N.log(), -D.log()], 1)
    c, alpha, beta = torch.linalg.lstsq(X, (L - E).log()[:, None]).solution[:, 0].tolist()
    return E, math.exp(c), math.exp(c), alpha, beta


@ANSWERS.right
def by_lbfgs(N, D, L):
    """The second way of the hint, with logarithms."""
    best, found = math.inf, None
    n, d, y = N / N.min(), D / D.min(), L.log()
    for start in ((0.3, 0.6), (0.6, 0.3)):
        x = torch.tensor([0.0, 0.0, 0.0, *start], dtype=torch.float64, requires_grad=True)
        optimiser = torch.optim.LBFGS(
            [x], max_iter=200, line_search_fn="strong_wolfe", tolerance_grad=1e-13, tolerance_change=1e-16
        )

        def error(x=x, optimiser=optimiser):
            optimiser.zero_grad()
            terms = torch.stack([x[0].expand_as(n), x[1] - x[3] * n.log(), x[2] - x[4] * d.log()])
            loss = 1e4 * (terms.logsumexp(0) - y).square().sum()
            loss.backward()
            return loss

        optimiser.step(error)
        if (last := error().item()) < best:
            best, found = last, x.tolist()
    e, a, b, alpha, beta = found
    return scaled_back(N, D, (math.exp(e), math.exp(a), math.exp(b)), alpha, beta)


@ANSWERS.right
def levenberg_marquardt(N, D, L):
    """Damped Gauss-Newton steps for logarithms, in NumPy, as a tensor."""
    n, d, y = (x.detach().cpu().numpy() for x in (N, D, L))
    u, v, best = np.log(n / n.min()), np.log(d / d.min()), (np.inf, None)
    for start in ((0.3, 0.6), (0.6, 0.3), (0.4, 0.4)):
        x, damping = np.array([0.0, -1.0, -1.0, *start]), 1e-2

        def error(x):
            return (np.exp(x[0]) + np.exp(x[1] - x[3] * u) + np.exp(x[2] - x[4] * v)) / y - 1

        r = error(x)
        for _ in range(300):
            a, b = np.exp(x[1] - x[3] * u) / y, np.exp(x[2] - x[4] * v) / y
            J = np.stack([np.exp(x[0]) / y, a, b, -u * a, -v * b], 1)
            H = J.T @ J
            step = np.linalg.solve(H + damping * np.diag(np.diag(H) + 1e-12), -J.T @ r)
            with np.errstate(over="ignore"):
                trial = error(x + step)
            if trial @ trial < r @ r:
                x, r, damping = x + step, trial, damping / 3
            else:
                damping *= 4
        if r @ r < best[0]:
            best = r @ r, x
    e, a, b, alpha, beta = best[1]
    return torch.tensor([np.exp(e), np.exp(a) * n.min() ** alpha, np.exp(b) * d.min() ** beta, alpha, beta])


@ANSWERS.right
def one_after_the_other(N, D, L):
    """A golden section over alpha, inside of which another goes over beta; absolute errors."""

    def golden(f, low, high, rounds):
        ratio = (5**0.5 - 1) / 2
        for _ in range(rounds):
            a, b = high - ratio * (high - low), low + ratio * (high - low)
            low, high = (low, b) if f(a) < f(b) else (a, high)
        return (low + high) / 2

    def error(alpha, beta):
        columns = np.stack([np.ones(len(y)), n**-alpha, d**-beta], 1)
        numbers = np.linalg.lstsq(columns, y, rcond=None)[0]
        return ((columns @ numbers - y) ** 2).sum(), numbers

    n, d, y = (N / N.min()).numpy(), (D / D.min()).numpy(), L.numpy()

    def of_alpha(alpha):
        return golden(lambda beta: error(alpha, beta)[0], 0.02, 1.5, 26)

    alpha = golden(lambda alpha: error(alpha, of_alpha(alpha))[0], 0.02, 1.5, 26)
    beta = of_alpha(alpha)
    return [*scaled_back(N, D, error(alpha, beta)[1].tolist(), alpha, beta)]
