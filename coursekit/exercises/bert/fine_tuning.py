"""train(...) and evaluate(...): one pass of a training loop, and the loss and accuracy of a model at rest."""

from functools import partial

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.elsewhere import Elsewhere
from coursekit.checking.probing import number, several

V, D, C, LONGEST = 11, 4, 3, 6
NAMES = ("ids", "real", "labels")


def cases(g):
    def case(part, label, *sizes, dtype=torch.float32, **given):
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
            "linear.weight": 1.5 * normal(g, C, D, dtype=dtype),
            "linear.bias": normal(g, C, dtype=dtype),
        }
        return Case(part, f"batches of {', '.join(map(str, sizes))}, {label}", inputs | {"mode": "evaluation"} | given)

    train, look, double = partial(case, "training"), partial(case, "evaluation"), torch.float64
    return [
        train("large clip", 4, 4, 2, clip=1e3),
        train("small clip", 5, 5, 1, clip=0.2),
        train("float64, clip in between", 6, 6, 6, 2, clip=1.0, dtype=double),
        train("AdamW, clip in between", 3, 3, 1, clip=0.7, optimizer="adamw", mode="training"),
        train("on another device", 3, 2, clip=0.5, elsewhere=True),
        look("model in training mode", 6, 6, 1, mode="training"),
        look("model in evaluation mode", 5, 5, 3),
        look("float64", 7, mode="training", dtype=double),
        look("on another device", 4, 2, elsewhere=True),
    ]


class Model(nn.Module):
    """A classifier whose dropout is the same in every step, and which notes how it is called."""

    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Embedding(V, D), nn.Embedding(LONGEST, D)
        self.linear = nn.Linear(D, C)
        self.position.requires_grad_(False)
        self.sentences, self.with_graph = 0, 0

    def forward(self, ids, real):
        self.sentences += len(ids)
        self.with_graph += torch.is_grad_enabled()
        X = self.token(ids) + self.position.weight[: ids.shape[1]]
        weights = real.to(X.dtype)[:, :, None]
        Y = (X * weights).sum(1) / weights.sum(1)
        if self.training:
            # Not random, so that the CPU and a GPU drop the same.
            kept = torch.arange(Y.numel(), device=Y.device).reshape(Y.shape) % 3 > 0
            Y = Y * kept * 1.5
        return self.linear(Y)


def probe(case, train, evaluate):
    model = Model().to(case["token.weight"])
    model.load_state_dict({name: value for name, value in case.items() if "." in name})
    model.train(case["mode"] == "training")
    device, batches = case["ids"].device, _batches(case)
    if "clip" in case:
        return _trained(case, train, model, batches, device)
    values = several(evaluate(model, batches, device), "loss", "accuracy", kind="numbers")
    loss, accuracy = (number(x, name, model.linear.bias) for x, name in zip(values, ("loss", "accuracy"), strict=True))
    return {
        "loss": loss,
        "accuracy": accuracy,
        "sentences read": torch.tensor(model.sentences, device=device),
        "calls that kept a graph": torch.tensor(model.with_graph, device=device),
        "training mode afterwards": torch.tensor([m.training for m in model.modules()], device=device),
    }


def _trained(case, train, model, batches, device):
    trained = [p for p in model.parameters() if p.requires_grad]
    if case.get("optimizer") == "adamw":
        # A large eps: without it, rounding decides the sign of a step where the gradient is near 0.
        optimizer = torch.optim.AdamW(trained, lr=0.1, eps=1e-2)
    else:
        optimizer = torch.optim.SGD(trained, lr=0.5, momentum=0.5)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    loss = number(train(model, batches, optimizer, scheduler, case["clip"], device), "the mean loss", model.linear.bias)
    return {
        **{f"{name} afterwards": p.detach() for name, p in model.named_parameters()},
        "mean loss": loss,
        "steps of the scheduler": torch.tensor(scheduler.last_epoch, device=device),
        "sentences read": torch.tensor(model.sentences, device=device),
    }


def _batches(case):
    """The batches as a loader gives them, on the CPU, each cut to its longest sentence."""
    batches = []
    for ids, real, labels in zip(*(case[name].cpu().split(case["sizes"]) for name in NAMES), strict=True):
        T = int(real.sum(1).max())
        batch = ids[:, :T], real[:, :T], labels
        batches.append(tuple(map(Elsewhere.of, batch)) if case.get("elsewhere") else batch)
    return batches


EXERCISE = Exercise(
    id="bert.fine_tuning",
    title="Train and evaluate",
    parts={"training": 2, "evaluation": 2},
    minutes=30,
    difficulty="core",
    calls=("train(model, batches, optimizer, scheduler, clip, device)", "evaluate(model, batches, device)"),
    cases=cases,
    probe=probe,
    ordered=False,
)
