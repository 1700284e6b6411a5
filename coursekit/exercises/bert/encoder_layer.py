"""EncoderLayer(D, H, F): BERT's layer, post-norm, in which real tokens never read padding."""

import torch

from coursekit.checking.calls import Call, probe_of
from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, places
from coursekit.checking.probing import Wrong

CALL = "EncoderLayer(D, H, F)(X, real) -> Y"
called = probe_of([Call.parse(CALL)])
LAYER = Shapes(
    "X: B T D, dY: B T D, query.weight: D D, query.bias: D, key.weight: D D, key.bias: D, value.weight: D D,"
    "value.bias: D, output.weight: D D, output.bias: D, norm_attention.weight: D, norm_attention.bias: D,"
    "up.weight: F D, up.bias: F, down.weight: D F, down.bias: D, norm_output.weight: D, norm_output.bias: D",
    told="T D H F",
)


def cases(g):
    draw, double = LAYER.cases(g), torch.float64

    def case(part, rows, **given):
        real = places(rows)
        B, T = real.shape
        return draw(part, B=B, T=T, real=real, **given)

    return [
        case("values", "xxxxx xxxxx", D=8, H=2, F=20, note="no padding"),
        case("values", "xxxx", D=12, H=3, F=18, dtype=double, note="no padding"),
        case("padding", "xxxxx xxx..", D=8, H=4, F=14, note="lengths 5 and 3"),
        case("padding", "xxxx.. xxxxxx ..xxx.", D=12, H=2, F=10, note="padded on the left too"),
        case("padding", "xx.. xxx. x...", D=6, H=3, F=16, dtype=double),
        # Wide tokens: a norm over few numbers that happen to be nearly equal would magnify every rounding error.
        case("gradients", "xxx. xxxx", D=12, H=3, F=10, upstream=True),
        case("gradients", "xx. xxx", D=12, H=2, F=16, dtype=double, upstream=True),
    ]


def probe(case, Layer):
    """What stands on filler afterwards is nobody's business, as long as it is a number: NaN would spread."""
    real = case["real"]
    found = called(case | {"dY": case["dY"] * real[..., None]} if "dY" in case else case, Layer)
    Y = found.pop("Y")
    if Y.shape != case["X"].shape:
        raise Wrong(f"Y has shape {tuple(Y.shape)}, expected {tuple(case['X'].shape)}, that of X")
    return {"Y of the real tokens": Y[real], "Y is finite": Y.isfinite().all()} | found


EXERCISE = Exercise(
    id="bert.encoder_layer",
    title="An encoder layer that padding does not touch",
    parts={"values": 1, "padding": 1, "gradients": 1},
    minutes=30,
    difficulty="core",
    calls=(CALL,),
    cases=cases,
    probe=probe,
    # Gradients of weights add up many products that partly cancel.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
