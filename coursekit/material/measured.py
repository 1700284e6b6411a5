"""Measurements that take longer than a learner would wait: tables made by scripts in `prepare/`."""

from __future__ import annotations

import json
from typing import Any

from coursekit.material.assets import File, checked_file

FILLING_IN = File(
    "filling_in.json", "4d421ff3410e282eefe86e0a3bafc405cf72182129f26e756a83f7d88a10263a", "prepare.filling_in"
)
SCALING = File("scaling.json", "d33f052f58f5b1e6fb7499914bcb73aa7cae255c9b7b09fe23ada758f32b387f", "prepare.scaling")


def filling_in() -> dict[str, Any]:
    """When filling in tokens helps to judge film reviews: `rows` with model, read, labels, seed, validation and test.

    Raises AssetError.
    """
    return json.loads(checked_file(FILLING_IN).read_text(encoding="utf-8"))


def scaling_runs() -> dict[str, Any]:
    """Losses of small GPTs of several sizes on more and more bytes: `runs`, and larger `held_out_runs`, a row each.

    A row has D and L (width and layers), `parameters`, `bytes` read, `loss` on held-out documents in nats a byte, and
    `cpu_seconds`. Raises AssetError.
    """
    return json.loads(checked_file(SCALING).read_text(encoding="utf-8"))
