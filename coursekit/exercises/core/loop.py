"""train_epoch(...) and evaluate(...): a loop whose rates are a function of the step, and a look at a model at rest."""

from functools import partial

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.elsewhere import Elsewhere, needed_here
from coursekit.checking.probing import Wrong, number, several
from coursekit.exercises.stepping import (
    Dropped,
    Noting,
    leave_gradients,
    loaded,
    norms_below,
    noted,
    optimizer_of,
    seen_in_evaluation,
    seen_in_training,
    weights_afterwards,
    who_can_learn,
)

H, W, D, C = 2, 3, 5, 4
P = H * W
BEFORE = 0.3  # the optimiser's rate before the first call, which no step has
GRAPH = "the mean loss has a graph"
PEAK = {"sgd": 0.5, "adamw": 0.1}


def cases(g):
    def case(part, label, *sizes, dtype=torch.float32, apart=1.0, **given):
        """Batches of these sizes from one set of images, and the weights of a small model."""
        N = sum(sizes) + given.get("spare", 0)  # those that the loader leaves out stand last
        inputs = {
            "sizes": list(sizes),
            "images": normal(g, N, 1, H, W, dtype=dtype),
            "frame.shift": normal(g, P, dtype=dtype),
            "first.weight": normal(g, D, P, dtype=dtype),
            "first.bias": normal(g, D, dtype=dtype),
            "last.weight": 1.5 * apart * normal(g, C, D, dtype=dtype),
            "last.bias": normal(g, C, dtype=dtype),
        }
        inputs["labels"] = _labels(g, inputs)
        return Case(
            part,
            f"batches of {', '.join(map(str, sizes))}, {label}",
            inputs | {"mode": "evaluation", "step": 0} | given,
        )

    train, look, double = partial(case, "training"), partial(case, "evaluation"), torch.float64
    return [
        train("large limit", 4, 4, 2, limit=1e3),
        train("small limit", 5, 5, 1, limit=0.2),
        train("float64, from step 7 on", 6, 6, 2, limit=0.8, step=7, dtype=double),
        train(
            "AdamW, two epochs from step 2 on", 3, 1, limit=0.7, step=2, optimizer="adamw", mode="training", epochs=2
        ),
        train("gradients are left from before, from step 2 on", 4, 3, limit=0.7, step=2, left=True),
        train("logits far apart", 4, 1, limit=0.5, apart=300.0),
        train("all unequal", 3, 1, 5, limit=0.8, dtype=double),
        train("float64", 1, 1, 1, 1, 1, limit=0.5, dtype=double),
        train("some images are left out", 4, 3, limit=0.5, dtype=double, spare=3),
        train("on another device", 3, 2, limit=0.5, elsewhere=True),
        look("model in training mode", 6, 6, 1, mode="training"),
        look("model in evaluation mode", 5, 5, 3),
        look("float64", 7, mode="training", dtype=double),
        look("logits far apart", 3, 1, apart=300.0),
        look("all unequal", 2, 5, 1, dtype=double),
        look("float64", 1, 1, 1, 1, 1, dtype=double),
        look("some images are left out", 3, 4, dtype=double, spare=2),
        look("on another device", 4, 2, elsewhere=True),
    ]


def _labels(g, inputs):
    """About half of what the model says at rest is right, the first image's not, and the last one's in any case.

    So no batch's accuracy is that of all, and the accuracy of a small last batch is not 0.
    """
    x, W1, W2 = inputs["images"].flatten(1) - inputs["frame.shift"], inputs["first.weight"], inputs["last.weight"]
    said = (torch.tanh(x @ W1.T + inputs["first.bias"]) @ W2.T + inputs["last.bias"]).argmax(1)
    off = torch.randint(1, C, said.shape, generator=g) * (torch.rand(said.shape, generator=g) < 0.5)
    off[0], off[-1] = 1, 0
    return (said + off) % C


class Frame(nn.Module):
    """What is taken away from every image; nobody trains it."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(P), requires_grad=False)

    def forward(self, x):
        return x.flatten(1) - self.shift


class Model(Noting):
    """A classifier of small images that notes how it is called."""

    def __init__(self, elsewhere):
        super().__init__(elsewhere)
        self.frame, self.first, self.last = Frame(), nn.Linear(P, D), nn.Linear(D, C)
        self.dropped = Dropped()

    def forward(self, x):
        needed_here(x)
        return self.noted(self.last(self.dropped(torch.tanh(self.first(self.frame(x))))))


def probe(case, train_epoch, evaluate):
    """What the calls give and leave behind, as it is: it is compared where the learner's code does not run."""
    model = loaded(Model("elsewhere" in case), case, case["images"])
    loader, device, like = _loader(case), case["images"].device, model.last.bias
    if "limit" in case:
        found = _trained(case, train_epoch, model, loader, device)
    else:
        values = several(evaluate(model, loader, device), "loss", "accuracy", kind="numbers")
        found = {
            **seen_in_evaluation(model, like),
            **weights_afterwards(case, model, like),
            **{n: number(x, n, like) for x, n in zip(values, ("loss", "accuracy"), strict=True)},
        }
    return {**who_can_learn(model, device), **found}


def _trained(case, train_epoch, model, loader, device):
    optimizer = optimizer_of(case, model.first, model.last, sgd=BEFORE, adamw=BEFORE)
    peak = PEAK[case.get("optimizer", "sgd")]
    steps, step, found, graphs = noted(optimizer), case["step"], [], []
    if "left" in case:
        leave_gradients(model)
    for _ in range(case.get("epochs", 1)):
        result = train_epoch(model, loader, optimizer, lambda s: peak / (1 + s), step, case["limit"], device)
        loss, step = several(result, "the mean loss", "the next step", kind="numbers")
        step = number(step, "the next step").item()
        if step != int(step):
            raise Wrong(f"the next step is {step:g}, expected a whole number")
        step = int(step)
        graphs.append(isinstance(loss, torch.Tensor) and loss.requires_grad)
        found.append((number(loss, "the mean loss", model.last.bias), torch.tensor(step)))
    losses, counts = zip(*found, strict=True)
    return {
        **seen_in_training(model, steps, model.last.bias),
        **weights_afterwards(case, model, model.last.bias),
        "mean loss of each epoch": torch.stack(losses),
        "next step after each epoch": torch.stack(counts).to(device),
        GRAPH: torch.tensor(any(graphs), device=device),
    }


def _loader(case):
    """A loader on the CPU; where no batch is larger than the first, and none but the last smaller, by a batch size."""
    data = [case[name].cpu() for name in ("images", "labels")]
    data = TensorDataset(*(map(Elsewhere.of, data) if case.get("elsewhere") else data))
    sizes = case["sizes"]
    if not case.get("spare") and all(size == sizes[0] for size in sizes[:-1]) and sizes[-1] <= sizes[0]:
        return DataLoader(data, batch_size=sizes[0])
    ends = torch.tensor(sizes).cumsum(0).tolist()
    return DataLoader(data, batch_sampler=[[*range(end - n, end)] for end, n in zip(ends, sizes, strict=True)])


def graph_said(found, right):
    return (
        "the mean loss still has a graph, which holds on to memory: add up numbers (loss.item()), or what is detached"
    )


EXERCISE = Exercise(
    id="core.loop",
    title="Mend this code, an epoch and a look",
    parts={"training": 2, "evaluation": 2},
    minutes=30,
    difficulty="core",
    importance=5,
    calls=(
        "train_epoch(model, loader, optimizer, schedule, step, limit, device)",
        "evaluate(model, loader, device)",
    ),
    cases=cases,
    probe=probe,
    said={GRAPH: graph_said},
    laws=(norms_below("limit"),),
    ordered=False,
    # torch's clip_grad_norm_ adds 1e-6 to the norm, the equation does not: gradients differ by a millionth of a norm
    # near 1, and weights by what a few steps make of it.
    tolerance={torch.float32: (1e-5, 2e-5), torch.float64: (1e-5, 2e-5)},
)
