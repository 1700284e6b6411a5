"""Other places in memory for the tensors of a case."""

from dataclasses import replace

from torch import Tensor

from coursekit.checking.contract import Case


def as_split(case: Case) -> Case:
    """The case with heads as a projection that was split leaves them: (B, T, H, d) in memory, seen as (B, H, T, d).

    So they are not contiguous, and the numbers of a vector still lie side by side, as in all that a model makes.
    """
    heads = {
        name: x.transpose(1, 2).contiguous().transpose(1, 2)
        for name, x in case.inputs.items()
        if isinstance(x, Tensor) and x.is_floating_point() and x.dim() == 4
    }
    return replace(case, label=f"{case.label}, as split from a projection", inputs=case.inputs | heads)
