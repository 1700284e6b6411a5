"""A training loop in steps: the right one is torch's, and each slip leaves another trace."""

import inspect

import pytest
import torch
from torch import nn

from coursekit.checking.elsewhere import Elsewhere, needed_here
from grader.steps import training

SLIPS = [steps for _, steps in inspect.getmembers(training, inspect.isclass) if hasattr(steps, "sentence")]
CLIP = 0.3


class Model(nn.Module):
    """Linear, with what stands for dropout; notes whether a graph was kept."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4).double()
        self.graphs = 0
        g = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=g))

    def forward(self, x):
        needed_here(x)
        self.graphs += torch.is_grad_enabled()
        return self.linear(torch.where(torch.arange(3) > 0, 1.5 * x, 0.0) if self.training else x)


@pytest.fixture
def batches():
    g = torch.Generator().manual_seed(2)
    sizes = (4, 4, 1)
    return [(torch.randn(n, 3, generator=g).double(), torch.randint(4, (n,), generator=g)) for n in sizes]


def trained(loop, batches):
    """Weights, rate and mean loss after a pass over `batches`: the model was evaluated, gradients are left in it."""
    model = Model().eval()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.5)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    loss = loop(model, batches, optimizer, scheduler, CLIP, torch.device("cpu"))
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    return torch.cat([weights, torch.tensor([optimizer.param_groups[0]["lr"], loss], dtype=torch.float64)])


def looked(loop, batches, mode):
    """Loss, accuracy, the model's mode afterwards and the graphs it kept."""
    model = Model().train(mode)
    return torch.tensor([*loop(model, batches, torch.device("cpu")), model.training, model.graphs]).double()


def as_torch_trains(model, batches, optimizer, scheduler, clip, device):
    model.train()
    losses = []
    for x, labels in batches:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), labels)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        scheduler.step()
        losses += [loss.item()] * len(labels)
    return sum(losses) / len(losses)


def as_torch_evaluates(model, batches, device):
    mode = model.training
    x, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    with torch.no_grad():
        logits = model.eval()(x)
    model.train(mode)
    model.graphs = 0
    return nn.functional.cross_entropy(logits, labels), (logits.argmax(-1) == labels).double().mean()


def test_training_in_steps_is_torchs(batches):
    # torch adds 1e-6 to the norm by which it clips, the equation does not.
    ours, theirs = trained(training.Training(), batches), trained(as_torch_trains, batches)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", [True, False])
def test_evaluation_in_steps_is_torchs(batches, mode):
    found, right = (looked(look, batches, mode) for look in (training.Evaluation(), as_torch_evaluates))
    torch.testing.assert_close(found, right, atol=1e-6, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:Detected call of .lr_scheduler.step")
@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip.__name__)
def test_each_slip_leaves_another_trace(slip, batches):
    if slip.__name__.endswith("Elsewhere"):
        batches = [tuple(map(Elsewhere.of, batch)) for batch in batches]
        with pytest.raises(RuntimeError, match="same device"):
            _traces(slip, batches)
        return
    right = training.Training if issubclass(slip, training.Training) else training.Evaluation
    assert not torch.allclose(_traces(slip, batches), _traces(right, batches))


def _traces(steps, batches):
    if issubclass(steps, training.Training):
        return trained(steps(), batches)
    return torch.cat([looked(steps(), batches, mode) for mode in (True, False)])
