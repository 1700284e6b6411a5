"""Cache and forward_cached: the logits of new tokens behind a past whose keys and values are kept, padding and all."""

from contextlib import nullcontext

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import places
from coursekit.checking.laws import Count, as_measurements
from coursekit.checking.probing import Wrong
from coursekit.exercises.gpt.decoder import far, shapes
from coursekit.exercises.gpt.init import Tree


def cases(g):
    double = torch.float64

    def case(part, rows, chunks, V, T, D, H, L, note="", dtype=torch.float32, **given):
        """Rows as pictures, "x" for a token and "." for padding; whatever id stands there, it is no token."""
        real = places(rows)
        B, n = real.shape
        ids = given.pop("ids", None)
        ids = torch.randint(V, (B, n), generator=g) if ids is None else ids
        told = ", ".join(filter(None, [f"{'+'.join(map(str, chunks))} tokens", note]))
        sizes = {"B": B, "n": n, "V": V, "T": T, "D": D, "H": H, "L": L}
        given = {"ids": ids, "real": real, "chunks": list(chunks), "watched": False, "room": n} | given
        return shapes(L).cases(g)(part, **sizes, **given, dtype=dtype, note=told)

    small, deep = {"V": 8, "T": 9, "D": 8, "H": 2, "L": 1}, {"V": 7, "T": 8, "D": 4, "H": 2, "L": 2}
    padded = case("chunks and padding", "xxxxxx ..xxxx ...xxx", (6,), **deep, note="padding")
    less = {"ids": padded.inputs["ids"], "note": "the same ids, less padding"}
    return [
        case("prefill", "xxxxx xxxxx", (5,), **small),
        case("prefill", "x", (1,), **small, room=4),
        case("prefill", "xxxx", (4,), **deep, dtype=double, room=9),
        case("prefill", "xxx xxx", (3,), V=5, T=3, D=8, H=8, L=2),
        case("one at a time", "xxxxxx xxxxxx", (3, 1, 1, 1), **deep),
        case(
            "one at a time",
            "xxxx xxxx",
            (1, 1, 1, 1),
            **small,
            dtype=double,
            room=8,
            two=True,
            note="two caches in turn",
        ),
        case("chunks and padding", "xxxxxx", (3, 2, 1), **small),
        padded,
        case("chunks and padding", "xxxxxx .xxxxx ..xxxx", (4, 1, 1), **deep, room=8, **less),
        case("chunks and padding", "..xxx", (3, 2), **small, note="padding"),
        case("chunks and padding", "..xx..xx .xxx.xxx xxxxxxxx", (4, 4), **deep, note="both chunks padded"),
        case("chunks and padding", "..xxx xxxxx", (4, 1), **small, dtype=double, **far(g), note="padding, far apart"),
        case("memory", "x" * 70, (69, 1), V=3, T=70, D=8, H=1, L=1, watched=True),
        # Two heads and room behind them: a slice of it lies in pieces.
        case("memory", "x" * 70, (69, 1), V=3, T=80, D=16, H=2, L=1, room=80, watched=True, note="two heads"),
    ]


def probe(case, Cache, forward_cached):
    """The logits of all real tokens, chunk after chunk; and the largest tensor that a call for one token makes."""
    model = _model(case)
    cache = _room(Cache, case)
    other = _room(Cache, case) if "two" in case else None
    logits, largest, sent, n = [], 0, 0, 0
    for t in case["chunks"]:
        ids, real = case["ids"][:, n : n + t], case["real"][:, : n + t]
        watch = NewTensors(model.blocks[0].qkv.weight) if case["watched"] and t == 1 else nullcontext()
        with watch as made:
            logits.append(_called(forward_cached, model, ids, cache, real))
        largest = max(largest, made.elements if made else 0)
        sent = max(sent, made.rows if made else 0)
        if other is not None:
            _called(forward_cached, model, (ids + 1) % case["V"], other, real)
        n += t
    if any(not p.requires_grad for p in model.parameters()):
        raise Wrong("weights of the model are frozen afterwards (requires_grad is False), so it would not be trained")
    found = {"logits": torch.cat(logits, 1).where(case["real"][..., None], 0.0)}
    if case["watched"]:
        found |= as_measurements(
            {"largest": largest, "keys": case["n"] * case["D"], "sent": sent, "places": case["n"]}, case["ids"].device
        )
    return found


def _model(case):
    """Its weights are the case's own tensors, so that a change of one is a change of an input, and told as such."""
    model = Tree(case | {"head": False}, case["L"])
    for name, x in case.items():
        if "." in name:
            module, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(module), leaf, nn.Parameter(x))
    return model


def _room(Cache, case):
    like = case["norm.weight"]
    return Cache(case["L"], case["B"], case["H"], case["room"], case["D"] // case["H"], like.dtype, like.device)


@torch.no_grad()
def _called(forward_cached, model, ids, cache, real):
    logits = forward_cached(model, ids, cache, real)
    if logits.shape != (want := (*ids.shape, len(model.tokens.weight))):
        raise Wrong(f"logits has shape {tuple(logits.shape)}, expected {want}: those of every new token")
    return logits


class NewTensors(TorchDispatchMode):
    """`with NewTensors(W) as made: ...` leaves in `made.elements` the size of the largest memory that was taken.

    What looks into memory that was there, or writes into it, takes none. In `made.rows` it leaves how many rows were
    made of W, or of parts of it: a text that is read again in small pieces takes no large memory. What torch's own
    attention makes for itself is not counted, which is another thing for each of its layouts.
    """

    def __init__(self, weight):
        super().__init__()
        self.elements, self.rows, self.weight = 0, 0, _memory(weight)
        self.attending = _Attending()

    def __enter__(self):
        self.attending.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.attending.__exit__(*error)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if self.attending.now:
            return result
        there = {_memory(x) for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        for x in tree_leaves(result):
            if isinstance(x, torch.Tensor) and _memory(x) not in there:
                self.elements = max(self.elements, x.untyped_storage().nbytes() // x.element_size())
                self.rows += x.numel() // x.shape[-1] if self.weight in there and x.dim() else 0
        return result


class _Attending(TorchFunctionMode):
    """Whether torch's own attention is running now."""

    now = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.now = func is scaled_dot_product_attention
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.now = False


def _memory(x):
    return x.untyped_storage().data_ptr()


# Where it is watched there is one head, so that all scores are an eighth of the keys, which are d = 8 wide. A copy of
# keys, or of keys and values, is told from what is larger, such as a network 4 d wide that reads the past again.
NOTHING_OF_THE_PASTS_SIZE = Count(
    "largest",
    "a call for one token makes a tensor of {n:.0f} numbers, and all keys of a layer are {of:.0f}: compute the new "
    "token alone, and write into the room that the cache has",
    "watched",
    lambda n, of, p: n > of / 2,
    lambda one, other: max(one[0], other[0]) < max(2.5 * one[1], 1.25 * min(one[0], other[0])),
    "keys",
    of_costs=True,
)

NOTHING_AGAIN = Count(
    "sent",
    "a call for one token sends {n:.0f} tokens through qkv, and one of them is new: what is in the cache is not "
    "computed again",
    "watched",
    lambda n, of, p: n > of / 2,
    lambda one, other: True,
    "places",
    of_costs=True,
)

EXERCISE = Exercise(
    id="gpt.cache",
    title="A cache",
    parts={"prefill": 1, "one at a time": 1, "chunks and padding": 1, "memory": 1},
    minutes=45,
    difficulty="core",
    importance=5,
    calls=("Cache(L, B, H, S, d, dtype, device)", "forward_cached(model, ids, cache, real) -> logits"),
    cases=cases,
    probe=probe,
    laws=(NOTHING_OF_THE_PASTS_SIZE, NOTHING_AGAIN),
    # Logits add up many products that partly cancel. In float64 they agree far better than what was kept in float32,
    # which differs by some 1e-8.
    tolerance={torch.float32: (1e-5, 3e-5), torch.float64: (1e-9, 1e-9)},
)
