"""masked_attention_or_zero(Q, K, V, allowed): a query without any allowed key gives 0, and gradients of 0."""

from dataclasses import replace

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal, places
from coursekit.exercises.layouts import as_split

QKV = Shapes("Q: B H T d, K: B H S d, V: B H S e, dY: B H T e", told="T S")


def far_above(g, B, H, d, allowed):
    """A case in which a key that some query may not see scores higher by 1000 for all of them."""
    T, S = allowed.shape
    Q, K = normal(g, B, H, T, d, dtype=torch.float64), normal(g, B, H, S, d, dtype=torch.float64)
    Q[..., 0] = 1.0
    K[..., 0] = 1000 * d**0.5 * (torch.arange(S) == S - 1)
    sizes = {"B": B, "H": H, "T": T, "S": S, "d": d}
    return {"Q": Q, "K": K, "allowed": allowed, "note": "a hidden key far above, query 1 sees nothing", **sizes}


def cases(g):
    case, double = QKV.cases(g), torch.float64
    # A row that sees everything is beside it: a row is empty where no key is allowed, not where one is hidden.
    one_row = {"allowed": places("x.xx. ..... xxxxx"), "note": "query 1 sees nothing"}
    other_row = {"allowed": places(".xx.x xxx.. ....."), "note": "query 2 sees nothing"}
    by_query = {"allowed": places("x . x"), "note": "one truth value for each query"}
    by_key = {"allowed": places("x.xx."), "note": "one truth value for each key"}
    # What counts the keys in 8 bits counts 256 of them as none.
    wide = {"allowed": places("x" * 256 + " " + "." * 256), "note": "query 1 sees nothing"}
    full = {"allowed": places("x.x .x."), "note": "every query sees something"}
    by_head = torch.stack([places("xx.x .... .x.x"), places("x.x. xxxx ....")])[None]
    heads = {"allowed": by_head, "note": "heads with masks of their own"}
    sequence = {"allowed": places("xx.x. .....")[:, None, None], "note": "one sequence is all padding"}
    two_rows, first_row = places("..... x...x .xx.. .....")[None, None], places("...... x.xx.x")
    sees = case("forward", B=1, H=2, T=2, S=3, d=4, e=3, **full)
    blind = {"allowed": places("x.x ...")}
    return [
        case("forward", B=2, H=2, T=3, S=5, d=4, e=3, **one_row),
        case("forward", B=1, H=2, T=3, S=4, d=8, e=5, **heads),
        case("forward", B=2, H=3, T=3, S=5, d=4, e=2, **sequence),
        as_split(case("forward", B=1, H=3, T=4, S=5, d=3, e=4, allowed=two_rows)),
        case("forward", B=2, H=1, T=2, S=6, d=5, e=3, allowed=first_row, dtype=double),
        case("forward", B=1, H=2, T=3, S=5, d=4, e=3, dtype=double, scores=-20_000, **other_row),
        sees,
        replace(sees, label="the same Q, K and V, query 1 sees nothing", inputs=sees.inputs | blind),
        case("forward", B=2, H=2, T=3, S=4, d=3, e=5, **by_query),
        case("forward", B=2, H=1, T=3, S=5, d=4, e=2, **by_key),
        case("forward", B=1, H=1, T=2, S=256, d=3, e=2, **wide),
        case("forward", e=4, dtype=double, **far_above(g, 2, 2, 4, places("x.xx. ..... .xx.x"))),
        case("backward", B=1, H=2, T=3, S=5, d=4, e=3, upstream=True, **one_row),
        case("backward", B=2, H=1, T=3, S=5, d=3, e=4, upstream=True, **sequence),
        case("backward", B=1, H=2, T=3, S=4, d=5, e=2, dtype=double, upstream=True, **heads),
        case("backward", B=1, H=2, T=2, S=3, d=4, e=3, upstream=True, **full),
    ]


def exactly_zero_where_empty(inputs, outputs):
    """A tolerance would let 1e-9 pass for 0."""
    empty = ~inputs["allowed"].any(-1).expand(outputs["Y"].shape[:-1])
    found = outputs["Y"][empty]
    if found.any():
        most = "NaN" if found.isnan().any() else f"{found.abs().max():.1e}"
        return f"a query without any allowed key gives {most}, expected exactly 0"
    return None


EXERCISE = Exercise(
    id="attention.empty_rows",
    title="Mend this code, queries that may look at nothing",
    parts={"backward": 1, "forward": 1},  # the code that is given is right forwards
    minutes=20,
    difficulty="stretch",
    importance=3,
    calls=("masked_attention_or_zero(Q, K, V, allowed) -> Y",),
    cases=cases,
    laws=(exactly_zero_where_empty,),
)
