"""head_flops(): the operations of one attention head's two matrix products, worked out by hand."""

from coursekit.checking.comparing import worked_out
from coursekit.checking.contract import Case, Exercise

EXERCISE = Exercise(
    id="attention.flops",
    title="Work out this number, the FLOPs of a head",
    parts={"number": 1},
    minutes=5,
    difficulty="core",
    importance=3,
    calls=("head_flops() -> flops: number",),
    cases=lambda g: [Case("number", "FLOPs of Q K^T and A V, T=S=4096, d=e=128", {})],
    said={"flops": worked_out},
)
