"""EarlyStopping(model, patience): keeps the best epoch's weights, says when to stop, puts the weights back."""

import torch
from torch import nn

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.checking.probing import Wrong, number

LONG = 24
EPOCHS = Shapes("weight: epochs 2 3, running_mean: epochs 3", told="patience")


def cases(g):
    draw, double = EPOCHS.cases(g), torch.float64

    def case(part, patience, note, *losses, **given):
        """A model's weights and its validation loss after each epoch; losses grow and shrink by a drawn factor."""
        scale = 0.5 + torch.rand((), generator=g, dtype=torch.float64).item()
        losses = [round(scale * loss, 6) for loss in losses]
        return draw(part, patience=patience, losses=losses, epochs=len(losses), note=note, **given)

    slowly = [round(0.9 - 0.017 * i, 3) for i in range(LONG - 1)]  # falls all the time, and stays above the first one
    return [
        case("best", 9, "it gets worse after epoch 2", 40.0, 0.6, 0.5, 0.55, 0.7),
        case("best", 9, "the first epoch is the best", 0.4, 0.6, 0.5, 0.45, dtype=double),
        case("best", 9, "worse, then better than ever by a hair", 0.8, 0.5, 0.7, 0.6, 0.49999, 0.55),
        case("best", 9, "a tie", 0.8, 0.5, 0.6, 0.5, 0.7),
        case("best", 9, "a lowest loss of 0", 0.7, 0.0, 0.3, 0.2),
        case("best", 9, "a loss that is NaN", 0.8, 0.5, float("nan"), 0.6),
        case("best", 9, "large losses", 7e5, 5e5, 6e5),
        case("best", 9, "two objects in turn", 0.8, 0.5, 0.6, 0.7, two=True),
        case("best", LONG, "many epochs", 0.5, *slowly),
        case("patience", 2, "", 20.0, 0.7, 0.8, 0.75, 0.72, 0.71),
        case("patience", 1, "", 0.9, 0.7, 0.6, 0.65, 0.5, 0.6),
        case("patience", 3, "a new best on the way", 0.9, 0.7, 0.8, 0.75, 0.6, 0.65, 0.7, 0.8, 0.9),
        case("patience", 2, "ties", 0.9, 0.7, 0.7, 0.7, 0.7),
        case("patience", 2, "falling after a bad epoch", 0.5, 0.9, 0.8, 0.7, 0.4, 0.6, 0.5),
        case("patience", 2, "two objects in turn", 0.9, 0.7, 0.8, 0.75, 0.8, two=True),
        case("patience", LONG - 3, "many epochs", 0.5, *slowly),
    ]


class Model(nn.Module):
    """Weights that are trained, and buffers that are not: a mean, and a count of epochs."""

    def __init__(self, like):
        super().__init__()
        self.linear = nn.Linear(3, 2, bias=False, dtype=like.dtype, device=like.device)
        self.register_buffer("running_mean", torch.zeros(3, dtype=like.dtype, device=like.device))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64, device=like.device))

    @torch.no_grad()
    def become(self, weight, running_mean, epochs=0):
        """Change in place, as an optimiser does."""
        self.linear.weight.copy_(weight)
        self.running_mean.copy_(running_mean)
        self.epochs.fill_(epochs)


def probe(case, EarlyStopping):
    """Epoch after epoch, also when it says stop; then restore twice, with training in between."""
    model = Model(case["weight"])
    parameter = model.linear.weight
    stopper = EarlyStopping(model, case["patience"])
    for method in ("update", "restore"):
        if not callable(getattr(stopper, method, None)):
            raise Wrong(f"the class has no method {method}")
    other = Other(EarlyStopping, case) if case.get("two") else None
    asked, kept = [], []
    for epoch, loss in enumerate(case["losses"]):
        model.become(case["weight"][epoch], case["running_mean"][epoch], epoch)
        asked.append(_truth(stopper.update(loss)))
        kept.append([x.detach().clone() for x in (parameter, *model.buffers())])
        if other:
            other.update(epoch)
    restored = []
    for _ in range(2):  # once more after further training: the kept weights must not have followed
        stopper.restore()
        restored.append([x.detach().clone() for x in (parameter, *model.buffers())])
        model.become(torch.zeros_like(parameter), torch.zeros_like(model.running_mean))
    if model.linear.weight is not parameter:
        raise Wrong(
            "restore puts a new parameter into the model, which the optimiser does not know: use load_state_dict"
        )
    weights, means, epochs = zip(*restored, strict=True)
    after, means_after, epochs_after = (torch.stack(some) for some in zip(*kept, strict=True))
    return {
        "update(loss) after each epoch": torch.tensor(asked, device=parameter.device),
        "weights of the model after each update": after,
        "buffers of the model after each update": means_after,
        "count of epochs after each update": epochs_after,
        "weights restored": weights[0],
        "buffers restored": means[0],
        "count of epochs restored": epochs[0],
        "weights restored a second time": weights[1],
        "buffers restored a second time": means[1],
        "training mode of the model, afterwards": torch.tensor(model.training, device=parameter.device),
        "requires_grad of the weights, afterwards": torch.tensor(parameter.requires_grad, device=parameter.device),
    }


class Other:
    """A second object, with a model and losses of its own: each is lower than any of the first one's."""

    def __init__(self, EarlyStopping, case):
        self.model, self.lowest = Model(case["weight"]), min(case["losses"])
        self.stopper = EarlyStopping(self.model, case["patience"] + 1)

    def update(self, epoch):
        self.stopper.update(self.lowest / (2 + epoch))


def _truth(stop):
    return bool(number(0 if stop is None else stop, "True or False"))


EXERCISE = Exercise(
    id="bert.early_stopping",
    title="Mend early stopping",
    parts={"best": 1, "patience": 1},
    minutes=15,
    difficulty="core",
    importance=3,
    calls=("EarlyStopping(model, patience)",),
    cases=cases,
    probe=probe,
    ordered=False,
)
