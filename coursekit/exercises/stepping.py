"""What an optimiser's steps are watched for, in exercises that train."""

import torch

NORMS = "norm of all gradients at each step"


def noted(optimizer: torch.optim.Optimizer) -> list[tuple[float, float]]:
    """A list to which each step of the optimiser adds the norm of all its gradients, and its first group's rate."""
    steps: list[tuple[float, float]] = []

    def note(optimizer, args, kwargs):
        groups = optimizer.param_groups
        grads = (p.grad.double() for group in groups for p in group["params"] if p.grad is not None)
        steps.append((sum((grad**2).sum().item() for grad in grads) ** 0.5, groups[0]["lr"]))

    optimizer.register_step_pre_hook(note)
    return steps


def norms_are_clipped(inputs, outputs):
    """All gradients together: a clip for each group, or none, shows even where other slips came before."""
    worst = max(outputs[NORMS].tolist(), default=0.0) if "clip" in inputs else 0.0
    if worst > inputs.get("clip", 0.0) * (1 + 1e-4):
        return f"at a step of the optimizer the norm of all gradients is {worst:.4g}, above clip = {inputs['clip']:g}"
    return None
