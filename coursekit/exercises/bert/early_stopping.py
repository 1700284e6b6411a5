"""EarlyStopping(model, patience): keeps the best epoch's weights, says when to stop, puts the weights back."""

import torch
from torch import nn

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.checking.probing import Wrong, number

EPOCHS = Shapes("weight: epochs 2 3, running_mean: epochs 3", told="patience")


def cases(g):
    draw, double = EPOCHS.cases(g), torch.float64

    def case(part, patience, note, *losses, **given):
        """A model's weights and its validation loss after each epoch; losses grow and shrink by a drawn factor."""
        scale = 0.5 + torch.rand((), generator=g, dtype=torch.float64).item()
        losses = [round(scale * loss, 6) for loss in losses]
        return draw(part, patience=patience, losses=losses, epochs=len(losses), note=note, **given)

    return [
        case("best", 9, "it gets worse after epoch 2", 40.0, 0.6, 0.5, 0.55, 0.7),
        case("best", 9, "the first epoch is the best", 0.4, 0.6, 0.5, 0.45, dtype=double),
        case("best", 9, "worse, then better than ever by a hair", 0.8, 0.5, 0.7, 0.6, 0.4999, 0.55),
        case("best", 9, "a tie", 0.8, 0.5, 0.6, 0.5, 0.7),
        case("patience", 2, "", 20.0, 0.7, 0.8, 0.75, 0.72, 0.71),
        case("patience", 1, "", 0.9, 0.7, 0.6, 0.65, 0.5),
        case("patience", 3, "a new best on the way", 0.9, 0.7, 0.8, 0.75, 0.6, 0.65, 0.7, 0.8, 0.9),
        case("patience", 2, "ties", 0.9, 0.7, 0.7, 0.7, 0.7),
        case("patience", 2, "falling after a bad epoch", 0.5, 0.9, 0.8, 0.7, 0.4),
    ]


class Model(nn.Module):
    """Weights that are trained and a buffer that is not."""

    def __init__(self, like):
        super().__init__()
        self.linear = nn.Linear(3, 2, bias=False, dtype=like.dtype, device=like.device)
        self.register_buffer("running_mean", torch.zeros(3, dtype=like.dtype, device=like.device))

    @torch.no_grad()
    def become(self, weight, running_mean):
        """Change in place, as an optimiser does."""
        self.linear.weight.copy_(weight)
        self.running_mean.copy_(running_mean)


def probe(case, EarlyStopping):
    """Epoch after epoch until it stops; then restore twice, with training in between."""
    model = Model(case["weight"])
    parameter = model.linear.weight
    stopper = EarlyStopping(model, case["patience"])
    for method in ("update", "restore"):
        if not callable(getattr(stopper, method, None)):
            raise Wrong(f"the class has no method {method}")
    asked = [-1] * case["epochs"]  # what it says after each epoch; -1 where an epoch was not reached
    for epoch, loss in enumerate(case["losses"]):
        model.become(case["weight"][epoch], case["running_mean"][epoch])
        stop = stopper.update(loss)
        asked[epoch] = int(bool(number(0 if stop is None else stop, "True or False")))
        if asked[epoch]:
            break
    restored = []
    for _ in range(2):  # once more after further training: the kept weights must not have followed
        stopper.restore()
        restored.append((model.linear.weight.detach().clone(), model.running_mean.clone()))
        model.become(torch.zeros_like(parameter), torch.zeros_like(model.running_mean))
    if model.linear.weight is not parameter:
        raise Wrong(
            "restore puts a new parameter into the model, which the optimiser does not know: use load_state_dict"
        )
    return {
        "epochs until it stops": torch.tensor(epoch + 1, device=parameter.device),
        "update(loss) by epoch": torch.tensor(asked, device=parameter.device),
        "weights restored": restored[0][0],
        "buffers restored": restored[0][1],
        "weights restored a second time": restored[1][0],
    }


EXERCISE = Exercise(
    id="bert.early_stopping",
    title="Keep the best epoch",
    parts={"best": 1, "patience": 1},
    minutes=20,
    difficulty="core",
    calls=("EarlyStopping(model, patience)",),
    cases=cases,
    probe=probe,
    ordered=False,
)
