"""EncoderLayer(D, H, F): BERT's layer, post-norm, in which real tokens never read padding."""

import torch

from coursekit.checking.calls import Call, probe_of
from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, places

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

    def case(part, rows, loud=False, **given):
        """Of the rows, "x" is a real token and "." filler; `loud` filler has scores far above all others."""
        real = places(rows)
        B, T = real.shape
        drawn = draw(part, B=B, T=T, real=real, **given)
        if loud:
            drawn.inputs["X"][~real] *= 500
        return drawn

    # Cases of equal D, H and F are calls of one module: with another mask, with another length.
    wide, few = {"D": 8, "H": 4, "F": 14}, {"D": 12, "H": 2, "F": 10}
    return [
        case("values", "xxxxx xxxxx", D=8, H=2, F=20, note="no padding"),
        case("values", "xxxx", D=12, H=3, F=18, dtype=double, note="no padding"),
        case("values", "x x x", D=6, H=1, F=8, note="one token"),
        case("padding", "xxxxx xxx..", note="lengths 5 and 3", **wide),
        case("padding", "xx... xxxxx", note="lengths 2 and 5", **wide),
        case("padding", "xxxx.. xxxxxx ..xxx.", note="padded on the left too", **few),
        case("padding", "x.x .xx", note="padding in the middle too", **few),
        case("padding", "xxx. x... ..xx", D=8, H=2, F=6, loud=True, note="numbers far larger on the padding"),
        case("padding", 130 * "x" + "..", D=4, H=1, F=4, note="a long sentence"),
        # Wide tokens: a norm over few numbers that happen to be nearly equal would magnify every rounding error.
        case("gradients", "xxx. xxxx", D=12, H=3, F=10, upstream=True),
        case("gradients", "xx. xxx", D=12, H=2, F=16, dtype=double, upstream=True),
    ]


def probe(case, Layer):
    """Numbers on filler are nobody's business and become 0; NaN would spread, and stays."""
    filler = ~case["real"][..., None]
    found = called(case | {"dY": case["dY"] * ~filler} if "dY" in case else case, Layer)
    Y = found["Y"]
    return found | {"Y": Y.masked_fill(filler & Y.isfinite(), 0)} if Y.shape == case["X"].shape else found


EXERCISE = Exercise(
    id="bert.encoder_layer",
    title="An encoder layer that padding does not touch",
    parts={"values": 1, "padding": 1, "gradients": 1},
    minutes=30,
    difficulty="core",
    importance=5,
    calls=(CALL,),
    cases=cases,
    probe=probe,
    # Gradients of weights add up many products that partly cancel.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
