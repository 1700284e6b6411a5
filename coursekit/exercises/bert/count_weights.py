"""bert_base(): how many numbers the encoder of BERT-base has, worked out by hand."""

import torch

from coursekit.checking.comparing import worked_out
from coursekit.checking.contract import Case, Exercise

EXERCISE = Exercise(
    id="bert.count_weights",
    title="How many numbers has BERT-base?",
    parts={"number": 1},
    minutes=10,
    difficulty="core",
    importance=2,
    calls=("bert_base() -> numbers: number",),
    cases=lambda g: [Case("number", "V=30522, D=768, L=12, 512 positions, 2 segments", {})],
    # A count is right or wrong; in float32 this one is known to 4.
    tolerance={torch.float32: (0.0, 0.0)},
    said={"numbers": worked_out},
)
