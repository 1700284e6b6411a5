"""train(...) and evaluate(...): one pass of a training loop, and the loss and accuracy of a model at rest."""

from functools import partial

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.elsewhere import Elsewhere, Here, needed_here
from coursekit.checking.probing import number, several
from coursekit.exercises.stepping import NORMS, norms_are_clipped, noted

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


class Dropped(nn.Module):
    """Dropout that is the same in every step, and on the CPU as on a GPU."""

    def forward(self, Y):
        if not self.training:
            return Y
        kept = torch.arange(Y.numel(), device=Y.device).reshape(Y.shape) % 3 > 0
        return Y * kept * 1.5


class Model(nn.Module):
    """A classifier that notes how it is called, and whose position vectors are frozen."""

    def __init__(self, elsewhere):
        super().__init__()
        self.token, self.position = nn.Embedding(V, D), nn.Embedding(LONGEST, D)
        self.dropped, self.linear = Dropped(), nn.Linear(D, C)
        self.position.requires_grad_(False)
        self.elsewhere, self.calls = elsewhere, []

    def forward(self, ids, real):
        needed_here(ids, real)
        X = self.token(ids) + self.position.weight[: ids.shape[1]]
        weights = real.to(X.dtype)[:, :, None]
        logits = self.linear(self.dropped((X * weights).sum(1) / weights.sum(1)))
        self.calls.append((logits.requires_grad, self.modes()))
        return Here.of(logits) if self.elsewhere else logits

    def modes(self):
        """Which of its parts are in training mode."""
        return tuple(m.training for m in self.modules())


def probe(case, train, evaluate):
    """What the calls give and leave behind, as it is: it is compared where the learner's code does not run.

    How the model was called and when the optimiser stepped only this process can see. Where it matters, the numbers
    that follow from it (weights, rates, losses) are handed over too. Nothing follows from a graph that is kept.
    """
    model = Model("elsewhere" in case).to(case["token.weight"])
    model.load_state_dict({name: value for name, value in case.items() if "." in name})
    model.train(case["mode"] == "training")
    device, batches = case["ids"].device, _batches(case)
    if "clip" in case:
        found = _trained(case, train, model, batches, device)
    else:
        values = several(evaluate(model, batches, device), "loss", "accuracy", kind="numbers")
        found = {
            "calls that kept a graph": torch.tensor(sum(graph for graph, _ in model.calls), device=device),
            "training mode afterwards": torch.tensor(model.modes(), device=device),
            **_weights(case, model),
            **{n: number(x, n, model.linear.bias) for x, n in zip(values, ("loss", "accuracy"), strict=True)},
        }
    return {
        "labels in the batches, afterwards": _labels(batches).to(device),
        "which weights can learn, afterwards": torch.tensor(
            [p.requires_grad for p in model.parameters()], device=device
        ),
        **found,
    }


def _trained(case, train, model, batches, device):
    optimizer, steps = _optimizer(case, model)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    if "left" in case:
        for p in model.parameters():
            p.grad = torch.ones_like(p) if p.requires_grad else None
    losses = [train(model, batches, optimizer, scheduler, case["clip"], device) for _ in range(case.get("epochs", 1))]
    losses = [number(loss, "the mean loss", model.linear.bias) for loss in losses]
    at_rest = sum(graph and not all(modes) for graph, modes in model.calls)
    like = {"dtype": model.linear.bias.dtype, "device": device}
    return {
        "steps of the optimizer": torch.tensor(len(steps), device=device),
        "calls with dropout switched off": torch.tensor(at_rest, device=device),
        "rate of each step": torch.tensor([rate for _, rate in steps], **like),
        NORMS: torch.tensor([norm for norm, _ in steps], **like),
        **_weights(case, model),
        "mean loss": losses[0] if len(losses) == 1 else torch.stack(losses),
        "rate afterwards": torch.tensor([group["lr"] for group in optimizer.param_groups], **like),
    }


def _weights(case, model):
    """The model's numbers as they lie there: a wider dtype is another one, though its numbers are as good."""
    found = {name: p.detach() for name, p in model.named_parameters()}
    kept = torch.tensor([p.dtype == case[name].dtype for name, p in found.items()], device=model.linear.bias.device)
    return {"which weights have their dtype, afterwards": kept} | {f"{n} afterwards": p for n, p in found.items()}


def _optimizer(case, model):
    """An optimiser with two groups, and a list to which each of its steps adds its gradients' norm and its rate."""
    groups = [{"params": list(part.parameters())} for part in (model.token, model.linear)]
    if case.get("optimizer") == "adamw":
        # A large eps: without it, rounding decides the sign of a step where the gradient is near 0.
        optimizer = torch.optim.AdamW(groups, lr=0.1, eps=1e-2)
    else:
        optimizer = torch.optim.SGD(groups, lr=0.5, momentum=0.5)
    return optimizer, noted(optimizer)


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
