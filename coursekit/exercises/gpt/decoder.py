"""GPT(V, T, D, H, L): embeddings, L pre-norm blocks and a norm, and scores through the embedding's own weights."""

import torch

from coursekit.checking.calls import Call, probe_of
from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal

CALL = "GPT(V, T, D, H, L)(ids) -> logits"
NORM = "{0}.weight: D, {0}.bias: D"
BLOCK = (
    f"{NORM.format('norm1')}, qkv.weight: 3D D, qkv.bias: 3D, out.weight: D D, out.bias: D, {NORM.format('norm2')}, "
    "up.weight: 4D D, up.bias: 4D, down.weight: D 4D, down.bias: D"
)


def shapes(L):
    """The names and shapes of a model with L blocks."""
    blocks = [f"blocks.{i}.{part.strip()}" for i in range(L) for part in BLOCK.split(",")]
    return Shapes(
        ", ".join(["tokens.weight: V D, positions.weight: T D", *blocks, NORM.format("norm")]), told="B n V T D H L"
    )


def cases(g):
    double = torch.float64

    def case(part, B, n, V, L, upstream=False, dtype=torch.float32, **given):
        """A text in which a token comes twice, and the first and the last one of the vocabulary come too."""
        ids = torch.randint(V, (B, n), generator=g)
        ids[0, 0], ids[-1, -1] = V - 1, 0
        ids[:, n // 2] = ids[:, 0]
        above = {"dlogits": normal(g, B, n, V, dtype=dtype), "note": "gradients"} if upstream else {}
        return shapes(L).cases(g)(part, B=B, n=n, V=V, L=L, ids=ids, dtype=dtype, **given | above)

    # Models that are made alike get texts of another length: nothing may be kept from an earlier one.
    small, short = {"V": 11, "T": 6, "D": 8, "H": 2, "L": 1}, {"V": 9, "T": 7, "D": 6, "H": 3, "L": 1, "dtype": double}
    deep = {"V": 7, "T": 5, "D": 4, "H": 2, "L": 3, "dtype": double}
    return [
        case("one block", 2, 6, **small, exchanged=True),
        case("one block", 2, 4, **short),
        case("one block", 1, 1, **short, note="one token"),
        case("one block", 1, 4, V=6, T=4, D=16, H=16, L=1),
        case("one block", 1, 70, V=3, T=80, D=6, H=1, L=1, note="a long text"),
        case("one block", 2, 4, V=8, T=5, D=8, H=2, L=1, dtype=double, **far(g), note="attention scores far apart"),
        case("several blocks", 2, 5, **deep),
        case("several blocks", 1, 3, **deep),
        case("gradients", 2, 4, V=5, T=4, D=4, H=2, L=1, upstream=True),
    ]


def far(g):
    """Queries and keys so large that scores differ by hundred thousands: what stands for -inf has to lie below."""
    scale = torch.tensor([400.0] * 16 + [1.0] * 8, dtype=torch.float64)
    return {"blocks.0.qkv.weight": scale[:, None] * normal(g, 24, 8, dtype=torch.float64) / 8**0.5}


called = probe_of((Call.parse(CALL),))


def probe(case, GPT):
    """The logits and gradients; for the law, how far another last token moves the logits before it."""
    found = called(case, GPT)
    if "exchanged" not in case:
        return found | {"_moved": torch.zeros(())}
    ids = case["ids"].clone()
    ids[:, -1] = (ids[:, -1] + 1) % case["V"]
    before, after = found["logits"], called(case | {"ids": ids}, GPT)["logits"]
    if before.shape != after.shape or before.shape[:2] != ids.shape:
        return found | {"_moved": torch.zeros(())}  # the shape is told
    return found | {"_moved": (after - before)[:, :-1].detach().abs().max()}


def the_past_stands(inputs, outputs):
    """Later tokens change nothing before them, whatever else a model does."""
    if outputs["_moved"] > 1e-3:  # NaN says nothing of it
        return "another last token changes the logits before it: no place may see what comes after it"
    return None


EXERCISE = Exercise(
    id="gpt.decoder",
    title="A decoder",
    parts={"one block": 2, "several blocks": 1, "gradients": 1},
    minutes=40,
    difficulty="core",
    importance=5,
    calls=(CALL,),
    cases=cases,
    probe=probe,
    laws=(the_past_stands,),
    # Gradients of weights add up many products that partly cancel; a softmax may be in float32, as library code has it.
    tolerance={torch.float32: (1e-5, 3e-5), torch.float64: (1e-6, 1e-6)},
)
