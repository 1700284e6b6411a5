"""Loss landscape: how SGD, momentum, AdamW and Muon go down one curved valley that has a saddle."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import ipywidgets
import torch
from jaxtyping import Float
from matplotlib import rc_context
from matplotlib.figure import Figure
from torch import Tensor
from torch.optim import SGD, AdamW, Muon, Optimizer

from coursekit.figures import COLOURS, DASHES, MARKERS, STYLE, picture
from coursekit.language import translated
from coursekit.widgets.controls import Notice, Page, labelled, live, number, whole

STEPS = 60
STEEP = 8.0  # the walls' curvature; the floor's is -1 at the saddle and 2 at the minima
START = (0.5, -0.9)  # on a wall: straight down leads to the saddle
X, Y = (-1.7, 1.7), (-1.2, 1.5)  # what is drawn
FAR = 1e3  # from here a path does not come back
SLOWEST, FASTEST = 1e-4, 1.0
MOST_MOMENTUM, MOST_NOISE, MOST_SEED = 0.99, 10.0, 10_000
RATES = (*(float(f"{m}e{e}") for e in (-3, -2, -1) for m in (1, 1.2, 1.5, 2, 3, 4, 5, 7)), 1.0)
SCALES = (0.01, 0.1, 1.0, 10.0, 100.0)
LEVELS = (0.02, 0.1, 0.25, 0.5, 1, 2, 4, 8)  # the saddle lies at 0.25
LEAST = 1e-4  # of the losses that are drawn
Path = Float[Tensor, "steps+1 2"]

# What each would be in a learner's own loop; none decays its weights, so that all go down the same loss.
OPTIMISERS: dict[str, Callable[[Tensor, float, float], Optimizer]] = {
    "SGD": lambda W, rate, beta: SGD([W], lr=rate),
    "with momentum": lambda W, rate, beta: SGD([W], lr=rate, momentum=beta),
    "AdamW": lambda W, rate, beta: AdamW([W], lr=rate, betas=(beta, 0.999), weight_decay=0.0),
    "Muon": lambda W, rate, beta: Muon([W], lr=rate, momentum=beta, weight_decay=0.0),
}
HONEST = (
    "Muon steps matrices, so x and y are the diagonal of a 2 × 2 matrix whose other numbers stay 0: there U Vᵀ of the "
    "momentum is diag(±1, ±1), and the five Newton-Schulz steps of torch.optim.Muon come near it. There is no weight "
    "decay."
)


def loss_landscape() -> None:
    """Display the paths of four optimisers, with controls for rate, momentum, noise and the loss's scale."""
    rates, scales = ([(f"{one:g}", one) for one in values] for values in (RATES, SCALES))
    live(
        draw_landscape,
        {
            "rate": ipywidgets.SelectionSlider(options=rates, value=0.05, **labelled("learning rate")),
            "momentum": ipywidgets.FloatSlider(0.9, min=0.0, max=0.99, step=0.01, **labelled("momentum, and β₁")),
            "noise": ipywidgets.FloatSlider(0.0, min=0.0, max=4.0, step=0.1, **labelled("noise of the gradient")),
            "scale": ipywidgets.SelectionSlider(options=scales, value=1.0, **labelled("loss is multiplied by")),
            "seed": ipywidgets.IntSlider(0, 0, 20, **labelled("seed of the noise")),
        },
    )


def draw_landscape(rate: Any, momentum: Any, noise: Any = 0.0, scale: Any = 1.0, seed: Any = 0) -> Page | Notice:
    """The paths of all optimisers over the landscape and their losses over the steps; a Notice for bad values.

    `noise` is the standard deviation of what is added to each of the gradient's two numbers, the same for all; both
    are multiplied by `scale`.
    """
    if wrong := _wrong(rate, momentum, noise, scale, seed):
        return Notice(wrong)
    settings = float(rate), float(momentum), float(noise), float(scale), int(seed)
    paths = {name: path(make, *settings) for name, make in OPTIMISERS.items()}
    ends = "; ".join(f"{translated(name)}: {_ending(XY)}" for name, XY in paths.items())
    title = translated(f"learning rate {rate:.3g}, momentum {momentum:.2g}, noise {noise:.2g}, loss times {scale:g}")
    about = translated(
        "A valley with steep walls bends from one minimum over a saddle to another, and four paths begin on a wall "
        "below the saddle."
    )
    told = translated(f"After {STEPS:d} steps: {ends!s}.")
    drawn = picture(_figure(paths, title), f"{about} {title}. {told}")
    honest = translated(HONEST)
    return Page(f'<div style="max-width:800px">{drawn.html}<p>{escape(honest)}</p></div>', f"{drawn.alt} {honest}")


def loss(x: Tensor, y: Tensor) -> Tensor:
    """(x² - 1)² / 4 along the floor y = x² / 2, and walls on both sides: minima at (±1, ½), a saddle at (0, 0)."""
    return (x**2 - 1) ** 2 / 4 + STEEP / 2 * (y - x**2 / 2) ** 2


def path(
    make: Callable[[Tensor, float, float], Optimizer],
    rate: float,
    momentum: float,
    noise: float,
    scale: float,
    seed: int,
) -> Path:
    """Where the optimiser stands before and after each step. It ends early where it is too far away to come back."""
    g = torch.Generator().manual_seed(seed)
    W = torch.diag(torch.tensor(START)).requires_grad_()
    optimiser = make(W, rate, momentum)
    places = [W.detach().diagonal().clone()]
    for _ in range(STEPS):
        optimiser.zero_grad()
        (scale * loss(W[0, 0], W[1, 1])).backward()
        assert W.grad is not None
        W.grad += torch.diag(scale * noise * torch.randn(2, generator=g))
        optimiser.step()
        places.append(W.detach().diagonal().clone())
        if not places[-1].abs().max() < FAR:
            break
    return torch.stack(places)


def _lost(XY: Path) -> bool:
    """Whether a path ended early."""
    return len(XY) <= STEPS


def _ending(XY: Path) -> str:
    if _lost(XY):
        return translated(f"out of sight since step {_outside_since(XY):d}")
    x, y = XY[-1].tolist()
    return translated(f"loss {float(loss(*XY[-1])):.2g} at ({x:.2f}, {y:.2f})")


def _outside_since(XY: Path) -> int:
    beyond = (XY - torch.tensor([X, Y]).mean(1)).abs() - torch.tensor([X[1] - X[0], Y[1] - Y[0]]) / 2
    return 1 + int((beyond <= 0).all(1).nonzero()[-1])


def _figure(paths: Mapping[str, Path], title: str) -> Figure:
    """The landscape from above with the paths, and beside it what each has lost."""
    with rc_context(STYLE):
        fig = Figure(figsize=(8.2, 4.2), layout="constrained")
        left, right = fig.subplots(1, 2, width_ratios=(5, 3))
        _draw_valley(left)
        for k, (name, XY) in enumerate(paths.items()):
            look = {"color": COLOURS[k], "linestyle": DASHES[k], "marker": MARKERS[k], "linewidth": 1.3}
            left.plot(*XY.T.numpy(), label=name, markersize=3.5, **look)
            left.plot(*XY[-1:].T.numpy(), MARKERS[k], color=COLOURS[k], markersize=9, markeredgewidth=2.5)
            right.plot(loss(*XY.T).clamp(min=LEAST).numpy(), markevery=(3 * k, 12), markersize=5, **look)
        left.plot(*START, "D", color="white", markeredgecolor="black", markersize=8, label=translated("start"))
        left.set(xlabel="x", ylabel="y", xlim=X, ylim=Y)
        right.set(xlabel="step", ylabel="loss (log scale)", yscale="log", ylim=(LEAST, 100), xlim=(0, STEPS))
        right.minorticks_off()
        fig.suptitle(title, fontsize="medium")
        fig.legend(loc="outside lower center", ncols=7, columnspacing=1.2, handletextpad=0.4)
    return fig


def _draw_valley(ax: Any) -> None:
    """Grey that darkens with the loss, and signs where the minima and the saddle are."""
    x, y = torch.linspace(*X, 120), torch.linspace(*Y, 90)
    Z = loss(x[None], y[:, None]).clamp(min=1e-3)
    shades = [f"{1 - 0.04 * k:.2f}" for k in range(len(LEVELS) + 1)]
    ax.contourf(x, y, Z, levels=(0, *LEVELS, math.inf), colors=shades, zorder=0)
    ax.grid(False)
    ax.plot([-1, 1], [0.5, 0.5], "P", color="white", markeredgecolor="black", markersize=9, label=translated("minimum"))
    ax.plot([0], [0], "X", color="white", markeredgecolor="black", markersize=8, label=translated("saddle"))


def _wrong(rate: Any, momentum: Any, noise: Any, scale: Any, seed: Any) -> str:
    """Why these settings do not work; empty where they do."""
    if not number(rate, SLOWEST, FASTEST):
        return f"The learning rate {rate!r} does not work here: choose a number from {SLOWEST} to {FASTEST:g}."
    if not number(momentum, 0, MOST_MOMENTUM):
        return f"The momentum {momentum!r} does not work here: choose a number from 0 to {MOST_MOMENTUM}."
    if not number(noise, 0, MOST_NOISE):
        return f"The noise {noise!r} does not work here: choose a number from 0 to {MOST_NOISE:g}."
    if not number(scale, SCALES[0], SCALES[-1]):
        return f"The scale {scale!r} does not work here: choose a number from {SCALES[0]} to {SCALES[-1]:g}."
    if whole(seed) is None or not 0 <= seed <= MOST_SEED:
        return f"The seed {seed!r} does not work here: choose a whole number from 0 to {MOST_SEED}."
    return ""
