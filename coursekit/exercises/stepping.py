"""Models that note how they are called, and what an optimiser's steps are watched for, in exercises that train."""

from typing import Any

import torch
from torch import Tensor, nn

from coursekit.checking.contract import Law, Outputs
from coursekit.checking.elsewhere import Here

NORMS = "norm of all gradients at each step"
STEPS = "steps of the optimizer"


class Dropped(nn.Module):
    """Dropout that is the same in every step, and on the CPU as on a GPU."""

    def forward(self, Y: Tensor) -> Tensor:
        if not self.training:
            return Y
        kept = torch.arange(Y.numel(), device=Y.device).reshape(Y.shape) % 3 > 0
        return Y * kept * 1.5


class Noting(nn.Module):
    """A model whose `forward` ends with `noted`: whether its result has a graph, and which parts are in training mode.

    With `elsewhere` its result is `Here`, on a device that the batches are not on.
    """

    def __init__(self, elsewhere: bool) -> None:
        super().__init__()
        self.elsewhere = elsewhere
        self.calls: list[tuple[bool, tuple[bool, ...]]] = []

    def noted(self, logits: Tensor) -> Tensor:
        self.calls.append((logits.requires_grad, self.modes()))
        return Here.of(logits) if self.elsewhere else logits

    def modes(self) -> tuple[bool, ...]:
        """Which of its parts are in training mode."""
        return tuple(m.training for m in self.modules())


def loaded(model: Noting, case: dict[str, Any], like: Tensor) -> Noting:
    """The model with the case's weights, whose names have a dot, and in the case's mode."""
    model = model.to(like)
    model.load_state_dict({name: value for name, value in case.items() if "." in name})
    return model.train(case["mode"] == "training")


def optimizer_of(case: dict[str, Any], *parts: nn.Module, sgd: float, adamw: float) -> torch.optim.Optimizer:
    """An optimiser with a group for each part, and a rate for either kind."""
    groups = [{"params": list(part.parameters())} for part in parts]
    if case.get("optimizer") == "adamw":
        # A large eps: without it, rounding decides the sign of a step where the gradient is near 0.
        return torch.optim.AdamW(groups, lr=adamw, eps=1e-2)
    return torch.optim.SGD(groups, lr=sgd, momentum=0.5)


def leave_gradients(model: nn.Module) -> None:
    """Gradients as from before a call."""
    for p in model.parameters():
        p.grad = torch.ones_like(p) if p.requires_grad else None


def noted(optimizer: torch.optim.Optimizer) -> list[tuple[float, float]]:
    """A list to which each step of the optimiser adds the norm of all its gradients, and its first group's rate."""
    steps: list[tuple[float, float]] = []

    def note(optimizer, args, kwargs):
        groups = optimizer.param_groups
        grads = (p.grad.double() for group in groups for p in group["params"] if p.grad is not None)
        steps.append((sum((grad**2).sum().item() for grad in grads) ** 0.5, groups[0]["lr"]))

    optimizer.register_step_pre_hook(note)
    return steps


def seen_in_training(model: Noting, steps: list[tuple[float, float]], like: Tensor) -> Outputs:
    """What only this process can see of a training: how the model was called, and when the optimiser stepped."""
    at_rest = sum(graph and not all(modes) for graph, modes in model.calls)
    return {
        STEPS: torch.tensor(len(steps), device=like.device),
        "calls with dropout switched off": torch.tensor(at_rest, device=like.device),
        "rate of each step": torch.tensor([rate for _, rate in steps], dtype=like.dtype, device=like.device),
        NORMS: torch.tensor([norm for norm, _ in steps], dtype=like.dtype, device=like.device),
    }


def seen_in_evaluation(model: Noting, like: Tensor) -> Outputs:
    """The same of an evaluation: nothing follows from a graph that is kept."""
    return {
        "calls that built a graph": torch.tensor(sum(graph for graph, _ in model.calls), device=like.device),
        "training mode afterwards": torch.tensor(model.modes(), device=like.device),
    }


def weights_afterwards(case: dict[str, Any], model: nn.Module, like: Tensor) -> Outputs:
    """The model's numbers as they lie there: a wider dtype is another one, though its numbers are as good."""
    found = {name: p.detach() for name, p in model.named_parameters()}
    kept = torch.tensor([p.dtype == case[name].dtype for name, p in found.items()], device=like.device)
    return {"which weights have their dtype, afterwards": kept} | {f"{n} afterwards": p for n, p in found.items()}


def who_can_learn(model: nn.Module, device: torch.device) -> Outputs:
    """Which weights require gradients."""
    learning = torch.tensor([p.requires_grad for p in model.parameters()], device=device)
    return {"which weights can learn, afterwards": learning}


def norms_below(limit: str) -> Law:
    """All gradients together: a limit for each group, or none, shows even where other slips came before."""

    def law(inputs: dict[str, Any], outputs: Outputs) -> str | None:
        worst = max(outputs[NORMS].tolist(), default=0.0) if limit in inputs else 0.0
        if worst > inputs.get(limit, 0.0) * (1 + 1e-4):
            return (
                f"at a step of the optimizer the norm of all gradients is {worst:.4g}, above {limit!s} = "
                f"{inputs[limit]:g}"
            )
        return None

    return law


norms_are_clipped = norms_below("clip")
