"""EarlyStopping(model, patience): keeps the best epoch's weights, says when to stop, puts the weights back."""

import io

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong, number


def cases(g):
    def draw(part, label, losses, patience, dtype=torch.float32):
        """A model's weights and its validation loss after each epoch; losses grow and shrink by a drawn factor."""
        scale = 0.5 + torch.rand((), generator=g, dtype=torch.float64).item()
        epochs = len(losses)
        inputs = {
            "losses": [round(scale * loss, 6) for loss in losses],
            "patience": patience,
            "weight": normal(g, epochs, 2, 3, dtype=dtype),
            "running_mean": normal(g, epochs, 3, dtype=dtype),
        }
        return Case(part, label, inputs)

    return [
        draw("best", "it gets worse after epoch 2", [40.0, 0.6, 0.5, 0.55, 0.7], 9),
        draw("best", "the first epoch is the best, float64", [0.4, 0.6, 0.5, 0.45], 9, torch.float64),
        draw("best", "worse, then better than ever by a hair", [0.8, 0.5, 0.7, 0.6, 0.4999, 0.55], 9),
        draw("best", "a tie", [0.8, 0.5, 0.6, 0.5, 0.7], 9),
        draw("patience", "patience 2", [20.0, 0.7, 0.8, 0.75, 0.72, 0.71], 2),
        draw("patience", "patience 1", [0.9, 0.7, 0.6, 0.65, 0.5], 1),
        draw("patience", "patience 3, with a new best on the way", [0.9, 0.7, 0.8, 0.75, 0.6, 0.65, 0.7, 0.8, 0.9], 3),
        draw("patience", "patience 2, with ties", [0.9, 0.7, 0.7, 0.7, 0.7], 2),
        draw("patience", "patience 2, falling after a bad epoch", [0.5, 0.9, 0.8, 0.7, 0.4], 2),
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
    model = Model(case["weight"])
    parameter = model.linear.weight
    stopper = EarlyStopping(model, case["patience"])
    for method in ("update", "restore"):
        if not callable(getattr(stopper, method, None)):
            raise Wrong(f"the class has no method {method}")
    asked = []
    for loss, *state in zip(case["losses"], case["weight"], case["running_mean"], strict=True):
        model.become(*state)
        stop = stopper.update(loss)
        asked.append(bool(number(0 if stop is None else stop, "True or False")))
        if asked[-1]:
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
    epochs = torch.tensor(len(asked), device=parameter.device)
    # An epoch that was not reached counts as -1.
    stops = torch.tensor([*map(int, asked), *[-1] * (len(case["losses"]) - len(asked))], device=parameter.device)
    return {
        "epochs until it stops": epochs,
        "update(loss) by epoch": stops,
        "weights restored": restored[0][0],
        "buffers restored": restored[0][1],
        "weights restored a second time": restored[1][0],
    }


class Library:
    """torch's ReduceLROnPlateau counts the bad epochs, torch.save keeps the weights."""

    def __init__(self, model, patience):
        self.model, self.patience, self.kept = model, patience, None
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=10**9, threshold=0)

    def update(self, loss):
        self.plateau.step(loss)
        if not self.plateau.num_bad_epochs:
            self.kept = io.BytesIO()
            torch.save(self.model.state_dict(), self.kept)
        return self.plateau.num_bad_epochs >= self.patience

    def restore(self):
        self.kept.seek(0)
        self.model.load_state_dict(torch.load(self.kept))


EXERCISE = Exercise(
    id="bert.early_stopping",
    title="Keep the best epoch",
    parts={"best": 1, "patience": 1},
    minutes=20,
    difficulty="core",
    calls=("EarlyStopping(model, patience)",),
    cases=cases,
    probe=probe,
    library=(Library,),
    ordered=False,
)
