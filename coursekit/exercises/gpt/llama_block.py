"""LlamaBlock(D, H, G, F, base, eps): RMS norms, rotary positions by halves, shared heads, a gated network."""

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal

BLOCK = Shapes(
    "x: B T D, input_layernorm.weight: D, self_attn.q_proj.weight: D D, self_attn.k_proj.weight: Gd D, "
    "self_attn.v_proj.weight: Gd D, self_attn.o_proj.weight: D D, post_attention_layernorm.weight: D, "
    "mlp.gate_proj.weight: F D, mlp.up_proj.weight: F D, mlp.down_proj.weight: D F, dY: B T D",
    told="B T D H G F base eps",
)
QUERIES, KEYS = "self_attn.q_proj.weight", "self_attn.k_proj.weight"


def cases(g):
    draw, double = BLOCK.cases(g), torch.float64

    def case(part, B, T, d, H, G, F, base=10000.0, eps=1e-5, **given):
        return draw(part, B=B, T=T, D=H * d, H=H, G=G, Gd=G * d, F=F, base=base, eps=eps, **given)

    # Blocks that are made alike get texts of another length: nothing may be kept from an earlier one.
    small = {"d": 4, "H": 2, "G": 1, "F": 10, "dtype": double}
    return [
        case("values", 2, 3, d=4, H=6, G=2, F=7),
        case("values", 2, 4, **small),
        case("values", 1, 1, **small, note="one token"),
        case("values", 2, 3, d=4, H=3, G=1, F=5, contiguous=False),
        case("values", 1, 4, d=2, H=12, G=3, F=4, note="many heads"),
        case("values", 1, 70, d=4, H=1, G=1, F=1, note="a long text"),
        case("values", 1, 260, d=2, H=1, G=1, F=1, note="a very long text"),
        apart(case("values", 1, 4, d=4, H=2, G=1, F=5, base=1e6, dtype=double, note="attention scores far apart")),
        case("any base, eps or dtype", 1, 6, d=6, H=2, G=1, F=5, base=100.0),
        case("any base, eps or dtype", 2, 3, d=4, H=2, G=2, F=6, eps=0.05, dtype=double, x=faint(g, 2, 3, 8)),
        outlying(case("any base, eps or dtype", 2, 3, d=4, H=2, G=1, F=6, dtype=torch.float16, note="a large number")),
        case("gradients", 2, 3, d=4, H=2, G=1, F=3, base=500.0, upstream=True),
    ]


def faint(g, *shape):
    """A stream whose mean square is as small as eps."""
    return 0.2 * normal(g, *shape, dtype=torch.float64)


def outlying(case):
    """One number of each token is far larger than all others, as in real models: its square overflows in float16."""
    case.inputs["x"][..., 0] = torch.tensor([[400.0, -500.0, 300.0], [-350.0, 450.0, 600.0]])
    return case


def apart(case):
    """Scores that differ by far more than exp can tell, in a pair of entries that hardly turns at this base.

    Number 0 of a token says how large its queries are in that pair, number 1 how large its keys are: no two scores
    of a row are near each other, and from row to row the largest one has another sign.
    """
    x = case.inputs["x"]
    x[..., 0] = torch.tensor([2.0, -2.0, 2.0, -2.0])
    x[..., 1] = torch.tensor([-1.0, 1.0, -2.0, 2.0])
    case.inputs["input_layernorm.weight"][:2] = 1.0
    case.inputs[QUERIES][[1, 5], 0] = 200.0  # the second pair of both heads, by halves
    case.inputs[KEYS][1, 1] = 200.0
    return case


EXERCISE = Exercise(
    id="gpt.llama_block",
    title="A block of today",
    parts={"values": 1, "any base, eps or dtype": 1, "gradients": 1},
    minutes=35,
    difficulty="core",
    importance=4,
    calls=("LlamaBlock(D, H, G, F, base, eps)(x) -> Y",),
    cases=cases,
    # Angles may be computed in float32 whatever x is, as real models do; gradients of weights add up many products
    # that partly cancel. In float16 (11 bits) every product of the block may be rounded.
    tolerance={torch.float16: (1e-2, 3e-2), torch.float32: (1e-5, 3e-5), torch.float64: (1e-5, 3e-5)},
)
