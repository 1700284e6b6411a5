"""tokens_per_pass(): what four drafted tokens bring, each accepted with probability 0.8, worked out by hand."""

from coursekit.checking.comparing import worked_out
from coursekit.checking.contract import Case, Exercise

EXERCISE = Exercise(
    id="gpt.draft_gain",
    title="Work out this number, what a draft brings",
    parts={"number": 1},
    minutes=5,
    difficulty="core",
    importance=3,
    calls=("tokens_per_pass() -> tokens: number",),
    cases=lambda g: [Case("number", "tokens for each pass of the target, k=4, each accepted with probability 0.8", {})],
    said={"tokens": worked_out},
)
