"""parameters(c), flops(c), cache_bytes(c, B), training_bytes(c): what makes a decoder large, from its configuration."""

import math

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.probing import Wrong

CALLS = {"parameters": ("c",), "flops": ("c",), "cache_bytes": ("c", "B"), "training_bytes": ("c",)}
PARTS = {"parameters": "parameters", "flops": "FLOPs", "cache_bytes": "bytes", "training_bytes": "bytes"}


def cases(g):
    def among(*values):
        return values[torch.randint(len(values), (), generator=g).item()]

    def config(H, d, G, L, F, T, V, gated=False, tied=False, E=1, k=1):
        return {
            **{"D": H * d, "H": H, "G": G, "L": L, "F": F, "T": T, "V": V},
            **{"gated": gated, "tied": tied, "E": E, "k": k},
        }

    small = config(H=4, d=8, G=4, L=3, F=among(96, 112, 128), T=50, V=among(97, 101, 103))
    kinds = {
        "as many key heads as heads": small,
        "shared key heads": config(H=8, d=16, G=2, L=among(5, 7), F=300, T=900, V=5000, gated=True),
        "one key head": config(H=6, d=among(10, 14), G=1, L=2, F=64, T=30, V=70),
        "a tied embedding": config(H=3, d=8, G=3, L=4, F=among(72, 80), T=11, V=1300, tied=True),
        "a gated network": config(H=2, d=20, G=1, L=6, F=among(90, 110), T=64, V=200, gated=True, tied=True),
        "8 experts, 2 of them active": config(H=4, d=12, G=2, L=3, F=60, T=among(40, 70), V=500, gated=True, E=8, k=2),
        "16 experts, 1 of them active": config(H=2, d=8, G=2, L=2, F=among(24, 40), T=20, V=90, E=16, k=1),
        "one layer, one head": config(H=1, d=among(7, 9), G=1, L=1, F=5, T=1, V=3),
        "70 billion numbers": config(H=63, d=129, G=7, L=80, F=28_671, T=8191, V=128_257, gated=True),
        "a trillion numbers": config(H=63, d=113, G=63, L=61, F=2047, T=131_071, V=163_839, gated=True, E=384, k=8),
    }
    found = []
    for call, arguments in CALLS.items():
        for label, c in kinds.items():
            B = {"B": among(1, 3, 7)} if "B" in arguments else {}
            part, words = PARTS[call], ", ".join([call, label, *(f"B={size}" for size in B.values())])
            found.append(Case(part, words, {"call": call, "c": c, **B}))
    return sorted(found, key=lambda case: list(dict.fromkeys(PARTS.values())).index(case.part))


def probe(case, *functions):
    """A whole number, exactly; of a float that comes nearer to one than float64 can hold, that one."""
    name = case["call"]
    f = functions[[*CALLS].index(name)]
    given = dict(case["c"])
    found = f(given, *(case[n] for n in CALLS[name][1:]))
    plain = found.item() if getattr(found, "shape", None) == () else found
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise Wrong(f"{name} returned a {type(found).__name__}, expected one number")
    if not math.isclose(plain, round(plain) if math.isfinite(plain) else 0, rel_tol=1e-14):
        raise Wrong(f"{name} returned {plain}, which is no whole number")
    if given != case["c"]:
        raise Wrong(f"{name} changes the configuration that it is given")
    return {name: torch.tensor(round(plain))}


EXERCISE = Exercise(
    id="core.large",
    title="What makes a model large",
    parts={"parameters": 1, "FLOPs": 1, "bytes": 1},
    minutes=30,
    difficulty="core",
    importance=5,
    calls=("parameters(c)", "flops(c)", "cache_bytes(c, B)", "training_bytes(c)"),
    cases=cases,
    probe=probe,
    ordered=False,
)
