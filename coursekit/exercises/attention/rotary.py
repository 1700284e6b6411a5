"""apply_rotary(Q, K, positions, base): queries and keys turned by angles that grow with their positions."""

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered

SHIFT = 5  # by which the law on relative positions moves every token


def cases(g):
    def draw(H, G, d, positions, dtype=torch.float32, **more):
        B, T = positions.shape
        Q, K = (normal(g, B, heads, T, d, dtype=dtype) for heads in (H, G))
        return {"Q": Q, "K": K, "positions": positions} | more

    def counted(B, T):
        return torch.arange(T).expand(B, T).contiguous()

    def anywhere(B, T, limit):
        return torch.randint(1, limit, (B, T), generator=g)

    strided = draw(2, 1, 6, anywhere(2, 3, 50))
    return [
        Case("counted from 0", "positions 0 to 3, d=6", draw(2, 1, 6, counted(2, 4))),
        Case("counted from 0", "positions 0 to 4, d=8, one head", draw(1, 1, 8, counted(1, 5))),
        Case(
            "any positions",
            "positions 7 to 10 and 2 to 5",
            draw(2, 1, 6, counted(2, 4) + torch.tensor([[7], [2]])),
        ),
        Case("any positions", "in any order, other ones in each sequence", draw(4, 2, 4, anywhere(2, 5, 50))),
        Case("any positions", "not contiguous", strided | {n: scattered(strided[n]) for n in "QK"}),
        Case("any positions", "up to 1000", draw(2, 1, 6, anywhere(1, 7, 1000))),
        Case("any base or dtype", "base=500", draw(2, 1, 6, anywhere(2, 3, 50), base=500.0)),
        Case("any base or dtype", "float64", draw(1, 2, 4, anywhere(2, 3, 50), torch.float64)),
        Case("any base or dtype", "bfloat16", draw(2, 1, 8, anywhere(2, 4, 500), torch.bfloat16)),
    ]


def probe(case, rotate):
    Q, K, positions = case["Q"], case["K"], case["positions"]
    more = (case["base"],) if "base" in case else ()
    rotated_Q, rotated_K = rotate(Q, K, positions, *more)
    shifted_Q, shifted_K = rotate(Q, K, positions + SHIFT, *more)
    return {
        "Q_rotated": rotated_Q,
        "K_rotated": rotated_K,
        "_moved": (scores(rotated_Q, rotated_K) - scores(shifted_Q, shifted_K)).abs().max(),
    }


def scores(Q, K):
    """Every query of the first head with every key of the first head."""
    return Q[:, 0].double() @ K[:, 0].double().mT


def lengths_stay(inputs, outputs):
    for name in "QK":
        before, after = inputs[name].double().norm(dim=-1), outputs[f"{name}_rotated"].double().norm(dim=-1)
        if not torch.allclose(before, after, rtol=slack(inputs)):
            return f"some rows of {name} change their length: a rotation keeps it"
    return None


def scores_depend_on_distance(inputs, outputs):
    size = inputs["Q"].double().norm(dim=-1).max() * inputs["K"].double().norm(dim=-1).max()
    if outputs["_moved"] <= slack(inputs) * size:
        return None
    return f"the scores change when every position grows by {SHIFT}: they must depend on distances only"


def slack(inputs):
    """Of the length of a row: bfloat16 numbers keep 8 bits, and a turned one rounds three times."""
    return 3e-2 if inputs["Q"].dtype == torch.bfloat16 else 1e-3


def from_library(Q, K, positions, base=10000.0):
    from transformers import CohereConfig
    from transformers.models.cohere import modeling_cohere as cohere

    rope = {"rope_type": "default", "rope_theta": base}
    config = CohereConfig(hidden_size=Q.shape[-1], num_attention_heads=1, rope_parameters=rope)
    cos, sin = cohere.CohereRotaryEmbedding(config)(Q.float(), positions)
    return cohere.apply_rotary_pos_emb(Q, K, cos.to(Q.device), sin.to(Q.device))


EXERCISE = Exercise(
    id="attention.rotary",
    title="Rotary positions",
    parts={"counted from 0": 1, "any positions": 1, "any base or dtype": 1},
    minutes=25,
    difficulty="core",
    calls=("apply_rotary(Q, K, positions, base) -> Q_rotated, K_rotated",),
    cases=cases,
    probe=probe,
    library=(from_library,),
    laws=(lengths_stay, scores_depend_on_distance),
    # Angles may be computed in float32 whatever the inputs are, as real models do: near 1000 they are known to
    # about 2e-4. In bfloat16 (8 bits) sine, cosine, products and sum may each round numbers of up to 4.
    tolerance={torch.float32: (0.0, 2e-3), torch.float64: (0.0, 2e-3), torch.bfloat16: (1.6e-2, 6e-2)},
)
