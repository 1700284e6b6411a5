"""Small training runs of one network on real digits: one is healthy, each of the others has a single illness.

Width, batch, rate, number of steps, noise in the images and how strong an illness is are drawn anew for every seed. So
no absolute number tells what a run has: its curves do, beside each other.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from coursekit.material.handwriting import CLASSES, digits

SIDE, HELD_OUT, RECORDED = 14, 500, 30
PIXELS = SIDE * SIDE

ILLNESSES = {
    "healthy": "Nothing is wrong: both losses fall together, steeply at first and slowly later.",
    "rate too high": "The steps are many times too long, so each jumps far beyond what it should reach.",
    "rate too low": "The steps are a hundred times too short, so the weights hardly move.",
    "gradients not zeroed": "Each backward pass adds to the gradients of all before it, and the step follows the sum.",
    "dead units": "Biases begin so far below 0 that nearly all hidden units are 0 for nearly all images.",
    "inputs not scaled": "Pixels are given in percent, 0 to 100, to a network that begins as if they ran from 0 to 1.",
    "labels mixed up": "Many training images have the label of another image; the held-out ones are right.",
    "batches sorted by class": "Training images come sorted by their labels, so most batches hold a single class.",
    "over-fitting": "There are so few training images that the network learns them by heart.",
    "labels leak": "A pixel tells the label of most images, held-out ones too, so that little else has to be learned.",
}


@dataclass(frozen=True)
class Run:
    """What was recorded of one training, at 30 of its steps (R), before each of them was taken.

    Losses are in nats. The training loss is that of the step's batch, and the gradient norm is over all weights, as the
    step used it. `update_ratio` is |change| / |weights| of that step, `zeros` the share of hidden activations on the
    held-out images that are 0. `accuracy_on_shuffled_labels` is what the same recipe reaches on held-out images when
    the labels of all images, held-out ones too, were shuffled beforehand: chance, where the image does not tell them.
    """

    steps: Float[Tensor, " R"]
    training_loss: Float[Tensor, " R"]
    validation_loss: Float[Tensor, " R"]
    validation_accuracy: Float[Tensor, " R"]
    gradient_norm: Float[Tensor, " R"]
    update_ratio: Float[Tensor, " R"]
    zeros: Float[Tensor, " R"]
    accuracy_on_shuffled_labels: float


@dataclass(frozen=True)
class Recipe:
    """What is drawn for a run. None of it is an illness: whatever it is, the network can learn."""

    width: int
    batch: int
    rate: float
    steps: int
    noise: float  # the deviation of what is added to each pixel
    strength: float  # of the illness, 0 to 1
    seed: int  # of the noise, the order of the images and the weights


@dataclass(frozen=True)
class Data:
    """Images row by row and their labels, to train on (n) and held out (m)."""

    x: Float[Tensor, "n 196"]
    y: Int[Tensor, " n"]
    held_x: Float[Tensor, "m 196"]
    held_y: Int[Tensor, " m"]


def train_with(illness: str, seed: int) -> Run:
    """A run with this one of ILLNESSES; the same seed gives the same recipe for each. Raises ValueError for others."""
    if illness not in ILLNESSES:
        raise ValueError(f"found the illness {illness!r}, expected one of {', '.join(ILLNESSES)}")
    recipe = _recipe(torch.Generator().manual_seed(seed))
    last = recipe.steps - 1
    run = _trained(illness, recipe, {round(last * i / (RECORDED - 1)) for i in range(RECORDED)})
    on_shuffled = _trained(illness, recipe, {last}, shuffled=True)
    return replace(run, accuracy_on_shuffled_labels=on_shuffled.validation_accuracy.item())


def _recipe(g: torch.Generator) -> Recipe:
    width, batch, rate, steps, noise, strength = torch.rand(6, generator=g, dtype=torch.float64).tolist()
    return Recipe(
        width=round(32 + 32 * width),
        batch=round(32 + 64 * batch),
        rate=0.1 * 4**rate,
        steps=round(150 + 150 * steps),
        noise=0.4 * noise,
        strength=strength,
        seed=int(torch.randint(2**31, (), generator=g)),
    )


def _trained(illness: str, recipe: Recipe, recorded: set[int], shuffled: bool = False) -> Run:
    """Stochastic gradient descent on a network with one hidden layer, of which these steps are recorded."""
    g = torch.Generator().manual_seed(recipe.seed)
    weights = _begun(illness, recipe, g)
    data = _data(illness, recipe, shuffled, g)
    rate = recipe.rate
    if illness == "rate too high":
        rate = rate * 30 * 3**recipe.strength
    if illness == "rate too low":
        rate = rate / (80 * 3**recipe.strength)
    rows: list[tuple[float, ...]] = []
    for step in range(recipe.steps):
        batch = torch.arange(step * recipe.batch, (step + 1) * recipe.batch) % len(data.y)
        loss = F.cross_entropy(_network(data.x[batch], *weights)[0], data.y[batch])
        loss.backward()
        if step in recorded:
            rows.append((step, loss.item(), *_held_out(data, weights), *_sizes(weights, rate)))
        with torch.no_grad():
            for w in weights:
                w -= rate * w.grad  # type: ignore[operator]  # backward has just filled it
                if illness != "gradients not zeroed":
                    w.grad = None
    return _run(rows)


def _network(
    x: Float[Tensor, "n 196"], W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor
) -> tuple[Float[Tensor, "n 10"], Float[Tensor, "n width"]]:
    """Scores, and the hidden activations that they are made of."""
    h = (x @ W1 + b1).relu()
    return h @ W2 + b2, h


def _begun(illness: str, recipe: Recipe, g: torch.Generator) -> list[Tensor]:
    """Normal weights by He's rule, and biases of 0."""
    W1 = (2 / PIXELS) ** 0.5 * torch.randn(PIXELS, recipe.width, generator=g)
    W2 = (2 / recipe.width) ** 0.5 * torch.randn(recipe.width, CLASSES, generator=g)
    b1, b2 = torch.zeros(recipe.width), torch.zeros(CLASSES)
    if illness == "dead units":
        b1 -= 1.2 + recipe.strength
    return [w.requires_grad_() for w in (W1, b1, W2, b2)]


def _data(illness: str, recipe: Recipe, shuffled: bool, g: torch.Generator) -> Data:
    """The digits in an order that is drawn, with noise in each image, and whatever ails them."""
    x, y, held_x, held_y = _digits()
    order = torch.randperm(len(y), generator=g)
    x, y = x[order], y[order]
    x = x + recipe.noise * torch.randn(x.shape, generator=g)
    held_x = held_x + recipe.noise * torch.randn(held_x.shape, generator=g)
    if shuffled:
        y, held_y = (labels[torch.randperm(len(labels), generator=g)] for labels in (y, held_y))
    if illness == "labels leak":
        x, held_x = _marked(x, y, recipe, g), _marked(held_x, held_y, recipe, g)
    if illness == "inputs not scaled":
        x, held_x = 100 * x, 100 * held_x
    if illness == "labels mixed up":
        wrong = torch.rand(len(y), generator=g) < 0.3 + 0.45 * recipe.strength
        y[wrong] = y[wrong].roll(1)
    if illness == "batches sorted by class":
        y, order = y.sort(stable=True)
        x = x[order]
    if illness == "over-fitting":
        few = round(40 * 2.5**recipe.strength)
        x, y = x[:few], y[:few]
    return Data(x, y, held_x, held_y)


def _marked(
    x: Float[Tensor, "n 196"], y: Int[Tensor, " n"], recipe: Recipe, g: torch.Generator
) -> Float[Tensor, "n 196"]:
    """The images, most of them with ink in pixel y of the top row, where no digit reaches."""
    most = torch.rand(len(y), 1, generator=g) < 0.6 + 0.4 * recipe.strength
    return x + 3 * most * F.one_hot(y, PIXELS)


@torch.no_grad()
def _held_out(data: Data, weights: list[Tensor]) -> tuple[float, float, float]:
    """Loss, accuracy and the share of hidden zeros on the images that are not trained on."""
    z, h = _network(data.held_x, *weights)
    loss, right = F.cross_entropy(z, data.held_y), (z.argmax(-1) == data.held_y).float().mean()
    return loss.item(), right.item(), (h == 0).float().mean().item()


def _sizes(weights: list[Tensor], rate: float) -> tuple[float, float]:
    """The norm of the gradient, and how long a step along it is beside the weights."""
    gradients = [w.grad for w in weights if w.grad is not None]
    gradient, weight = (torch.cat([x.detach().flatten() for x in xs]).norm().item() for xs in (gradients, weights))
    return gradient, rate * gradient / weight


def _run(rows: list[tuple[float, ...]]) -> Run:
    steps, training_loss, loss, accuracy, zeros, gradient, ratio = torch.tensor(rows).T.contiguous()
    return Run(steps, training_loss, loss, accuracy, gradient, ratio, zeros, float("nan"))


@functools.cache
def _digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The digits at half their side, to train on and held out."""
    training, held_out = digits()
    x, held_x = (F.avg_pool2d(d.images.view(-1, 1, 2 * SIDE, 2 * SIDE), 2).flatten(1) for d in (training, held_out))
    return x, training.labels, held_x[:HELD_OUT], held_out.labels[:HELD_OUT]
