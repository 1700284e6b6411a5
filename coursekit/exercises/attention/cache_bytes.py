"""cache_gib(): the KV cache of one full context of Llama 3.1 70B, worked out by hand."""

from coursekit.checking.comparing import worked_out
from coursekit.checking.contract import Case, Exercise

EXERCISE = Exercise(
    id="attention.cache_bytes",
    title="Work out this number, a cache",
    parts={"number": 1},
    minutes=5,
    difficulty="core",
    importance=3,
    calls=("cache_gib() -> gib: number",),
    cases=lambda g: [Case("number", "GiB of the cache, 80 layers, 8 key/value heads, d=128, 131072 tokens", {})],
    said={"gib": worked_out},
)
