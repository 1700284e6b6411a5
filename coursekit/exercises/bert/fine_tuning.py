"""train(...) and evaluate(...): one pass of a training loop, and the loss and accuracy of a model at rest."""

from functools import partial

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.elsewhere import Elsewhere, needed_here
from coursekit.checking.probing import number, several
from coursekit.exercises.stepping import (
    Dropped,
    Noting,
    leave_gradients,
    loaded,
    norms_are_clipped,
    noted,
    optimizer_of,
    seen_in_evaluation,
    seen_in_training,
    weights_afterwards,
    who_can_learn,
)

V, D, C, LONGEST, MANY = 11, 4, 3, 6, 24
NAMES = ("ids", "real", "labels")


def cases(g):
    def case(part, label, *sizes, dtype=torch.float32, apart=1.0, **given):
        """Batches of these sizes, one below the other, and the weights of a small model."""
        B, T = sum(sizes), LONGEST
        length = torch.randint(2, T + 1, (B,), generator=g)
        length[0] = T
        inputs = {
            "sizes": list(sizes),
            "ids": torch.randint(V, (B, T), generator=g),
            "real": torch.arange(T) < length[:, None],
            "labels": torch.randint(C, (B,), generator=g),
            "token.weight": 2 * normal(g, V, D, dtype=dtype),
            "position.weight": normal(g, T, D, dtype=dtype),
            "linear.weight": 1.5 * apart * normal(g, C, D, dtype=dtype),
            "linear.bias": normal(g, C, dtype=dtype),
        }
        told = ", ".join(map(str, sizes)) if len(sizes) < 9 else f"one sentence, {len(sizes)} of them"
        return Case(part, f"batches of {told}, {label}", inputs | {"mode": "evaluation"} | given)

    train, look, double = partial(case, "training"), partial(case, "evaluation"), torch.float64
    return [
        train("large clip", 4, 4, 2, clip=1e3),
        train("small clip", 5, 5, 1, clip=0.2),
        train("float64, clip in between", 6, 6, 6, 2, clip=1.0, dtype=double),
        train("AdamW, two epochs", 3, 3, 1, clip=0.7, optimizer="adamw", mode="training", epochs=2),
        train("gradients are left from before", 4, 3, clip=0.9, left=True),
        train("logits far apart", 4, 1, clip=0.5, apart=300.0),
        train("float64", *[1] * MANY, clip=0.5, dtype=double),
        train("on another device", 3, 2, clip=0.5, elsewhere=True),
        look("model in training mode", 6, 6, 1, mode="training"),
        look("model in evaluation mode", 5, 5, 3),
        look("float64", 7, mode="training", dtype=double),
        look("logits far apart", 3, 1, apart=300.0),
        look("float64", *[1] * MANY, dtype=double),
        look("on another device", 4, 2, elsewhere=True),
    ]


class Model(Noting):
    """A classifier that notes how it is called, and whose position vectors are frozen."""

    def __init__(self, elsewhere):
        super().__init__(elsewhere)
        self.token, self.position = nn.Embedding(V, D), nn.Embedding(LONGEST, D)
        self.dropped, self.linear = Dropped(), nn.Linear(D, C)
        self.position.requires_grad_(False)

    def forward(self, ids, real):
        needed_here(ids, real)
        X = self.token(ids) + self.position.weight[: ids.shape[1]]
        weights = real.to(X.dtype)[:, :, None]
        return self.noted(self.linear(self.dropped((X * weights).sum(1) / weights.sum(1))))


def probe(case, train, evaluate):
    """What the calls give and leave behind, as it is: it is compared where the learner's code does not run.

    How the model was called and when the optimiser stepped only this process can see. Where it matters, the numbers
    that follow from it (weights, rates, losses) are handed over too. Nothing follows from a graph that is kept.
    """
    model = loaded(Model("elsewhere" in case), case, case["token.weight"])
    device, batches = case["ids"].device, _batches(case)
    if "clip" in case:
        found = _trained(case, train, model, batches, device)
    else:
        values = several(evaluate(model, batches, device), "loss", "accuracy", kind="numbers")
        found = {
            **seen_in_evaluation(model, model.linear.bias),
            **weights_afterwards(case, model, model.linear.bias),
            **{n: number(x, n, model.linear.bias) for x, n in zip(values, ("loss", "accuracy"), strict=True)},
        }
    return {
        "labels in the batches, afterwards": _labels(batches).to(device),
        **who_can_learn(model, device),
        **found,
    }


def _trained(case, train, model, batches, device):
    optimizer = optimizer_of(case, model.token, model.linear, sgd=0.5, adamw=0.1)
    steps = noted(optimizer)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    if "left" in case:
        leave_gradients(model)
    losses = [train(model, batches, optimizer, scheduler, case["clip"], device) for _ in range(case.get("epochs", 1))]
    losses = [number(loss, "the mean loss", model.linear.bias) for loss in losses]
    rates = [group["lr"] for group in optimizer.param_groups]
    return {
        **seen_in_training(model, steps, model.linear.bias),
        **weights_afterwards(case, model, model.linear.bias),
        "mean loss": losses[0] if len(losses) == 1 else torch.stack(losses),
        "rate afterwards": torch.tensor(rates, dtype=model.linear.bias.dtype, device=device),
    }


def _batches(case):
    """The batches as a loader gives them, on the CPU, each cut to its longest sentence."""
    batches = []
    for ids, real, labels in zip(*(case[name].cpu().split(case["sizes"]) for name in NAMES), strict=True):
        T = int(real.sum(1).max())
        batch = ids[:, :T], real[:, :T], labels
        batches.append(tuple(map(Elsewhere.of, batch)) if case.get("elsewhere") else batch)
    return batches


def _labels(batches):
    """The labels that a list of batches holds, on the CPU."""
    labels = [batch[2].cpu().as_subclass(torch.Tensor) for batch in batches]
    return torch.cat(labels) if labels else torch.zeros(0).long()


EXERCISE = Exercise(
    id="bert.fine_tuning",
    title="Train and evaluate",
    parts={"training": 2, "evaluation": 2},
    minutes=30,
    difficulty="core",
    importance=5,
    calls=("train(model, batches, optimizer, scheduler, clip, device)", "evaluate(model, batches, device)"),
    cases=cases,
    probe=probe,
    laws=(norms_are_clipped,),
    ordered=False,
    # torch's clip_grad_norm_ adds 1e-6 to the norm, the equation does not: gradients differ by a millionth of a norm
    # near 1, and weights by what a few steps make of it.
    tolerance={torch.float32: (1e-5, 2e-5), torch.float64: (1e-5, 2e-5)},
)
