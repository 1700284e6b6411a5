"""Where tensors live: the processor, or a GPU where there is one."""

from __future__ import annotations

import torch


def device(name: str | torch.device = "auto") -> torch.device:
    """The device called `name`; "auto" is the first of cuda, mps and cpu that this machine has.

    A GPU may be numbered, as in "cuda:1". Raises ValueError where the name is not known or the device not
    there, and says which devices are. Asking for the cpu touches no GPU.
    """
    wanted = str(name).strip().lower()
    if wanted == "cpu":
        return torch.device("cpu")
    present = available()
    if wanted == "auto":
        return torch.device(present[0])
    kind, _, number = wanted.partition(":")
    if kind in present and (not number or _has(kind, number)):
        return torch.device(wanted)
    offer = ", ".join(repr(n) for n in (*present, "auto"))
    reason = "is not available on this machine" if kind in ("cuda", "mps", "cpu") else "is not known"
    raise ValueError(f"the device {name!r} {reason}; choose one of {offer}")


def available() -> tuple[str, ...]:
    """The kinds of device that this machine has, fastest first; "cpu" is always the last."""
    present = []
    if torch.cuda.is_available():  # asks the driver; no context is made and no GPU memory taken
        present.append("cuda")
    if torch.backends.mps.is_available():
        present.append("mps")
    return (*present, "cpu")


def _has(kind: str, number: str) -> bool:
    """Whether this machine has the numbered device of a kind that it has."""
    count = torch.cuda.device_count() if kind == "cuda" else 1
    return number.isdecimal() and int(number) < count
