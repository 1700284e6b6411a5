"""layer_norm(x, w, b, eps) and rms_norm(x, w, eps): each token brought to one size, statistics in float32 at least."""

import torch

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal, scattered

CALLS = {"layer norm": "layer_norm", "RMS norm": "rms_norm"}


def cases(g):
    double, half = torch.float64, torch.float16

    def case(
        part, *shape, eps=1e-5, note="", dtype=torch.float32, scale=1.0, shift=0.0, x=None, upstream=False, **given
    ):
        """x has this shape, whose last size is D; w lies around 1, and b around 0."""
        D = shape[-1]
        x = normal(g, *shape, dtype=double) * scale + shift if x is None else x
        x = (scattered(x) if given.get("swapped") else x).to(dtype)
        inputs = {"x": x, "w": (1 + 0.5 * normal(g, D, dtype=double)).to(dtype)}
        if part == "layer norm":
            inputs["b"] = normal(g, D, dtype=dtype)
        if upstream:
            inputs["dy"] = normal(g, *shape, dtype=dtype)
        words = [f"x {shape}", f"eps={eps:g}", dtype_name(dtype) if dtype != torch.float32 else "", note]
        words += ["not contiguous"] * bool(given.get("swapped")) + ["gradients"] * upstream
        label = ", ".join(filter(None, words)).replace(",)", ")")
        return Case(part, label, inputs | {"eps": eps, "D": D, "call": CALLS[part]})

    def outlying(*shape):
        """One number of each token is far larger than all others, as in real models: its square overflows float16."""
        x = normal(g, *shape, dtype=double)
        x[..., 0] = 400 + 100 * x[..., 0]
        return x

    def both(*shape, **given):
        return [case(part, *shape, **given) for part in CALLS]

    found = [
        both(2, 3, 8),
        both(2, 3, 8, eps=0.3),
        both(4, 5, eps=1e-3, dtype=double, scale=0.02, note="numbers near 0.02, where eps counts"),
        both(6),
        both(2, 3, 2, 3, dtype=double),
        both(3, 4, swapped=True),
        both(3, 4, eps=1e-12, dtype=double, scale=1e-4, note="numbers near 0.0001"),
        both(3, 1, dtype=double, eps=0.1, note="one number a token"),
        both(1, 700),
        both(2, 6, shift=5.0, dtype=double, note="numbers near 5"),
        both(2, 4, scale=1e25, dtype=double, note="numbers near 1e25"),
        both(2, 4, x=torch.zeros(2, 4, dtype=double), note="all 0"),
        both(2, 6, x=outlying(2, 6), dtype=half, note="a large number"),
        both(2, 16, shift=1000.0, scale=2.0, dtype=half, note="numbers near 1,000"),
        both(2, 16, shift=100.0, dtype=torch.bfloat16, note="numbers near 100"),
        both(2, 16, shift=300.0, scale=3.0, note="numbers near 300"),
        both(2, 3, 5, dtype=double, eps=0.2, upstream=True),
    ]
    return sorted((one for pair in found for one in pair), key=lambda one: [*CALLS].index(one.part))


EXERCISE = Exercise(
    id="core.norms",
    title="Mend this code, two norms",
    parts={"layer norm": 1, "RMS norm": 1},
    minutes=20,
    difficulty="core",
    importance=4,
    calls=("layer_norm(x, w, b, eps) -> y", "rms_norm(x, w, eps) -> y"),
    cases=cases,
    ordered=False,
    # In float16 (11 bits) and bfloat16 (8 bits) the factors and the result are rounded.
    tolerance={torch.float16: (3e-3, 3e-3), torch.bfloat16: (2e-2, 2e-2), torch.float32: (2e-5, 6e-5)},
)
