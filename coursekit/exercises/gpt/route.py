"""route(logits, k, capacity): which experts a token goes to, and balance_loss(logits, k), which keeps them all busy."""

import torch

from coursekit.checking.calls import Call, probe_of
from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal
from coursekit.checking.probing import gradients, leaves, returned

CALLS = ("route(logits, k, capacity) -> expert, weight, kept", "balance_loss(logits, k) -> loss")
ROUTER = Shapes("logits: T E", told="T E k capacity")


def cases(g):
    draw, double = ROUTER.cases(g), torch.float64

    def case(part, T, E, k, capacity=None, dtype=torch.float32, **given):
        """Logits by which some experts are far more popular than others. `capacity` is left out of the balance."""
        logits = 1.5 * normal(g, T, E, dtype=dtype) + 2 * normal(g, E, dtype=dtype)
        call = {"call": "balance_loss"} if part == "balance" else {"call": "route", "capacity": capacity or k * T}
        return draw(part, T=T, E=E, k=k, logits=logits, dtype=dtype, **call | given)

    return [
        case("choice", 5, 4, k=2),
        case("choice", 4, 6, k=1, dtype=double),
        case("choice", 1, 3, k=2, dtype=double),
        case("choice", 3, 4, k=4),
        case("choice", 2, 1, k=1),
        apart(case("choice", 4, 6, k=2, dtype=double, note="logits far apart")),
        swapped(case("choice", 20, 24, k=6, note="many experts, not contiguous")),
        case("choice", 4, 5, k=2, dtype=double, dweight=normal(g, 4, 2, dtype=double), note="gradients"),
        case("capacity", 6, 3, k=2, capacity=2),
        case("capacity", 7, 4, k=2, capacity=1),
        case("capacity", 6, 3, k=1, capacity=2),
        case("capacity", 5, 4, k=3, capacity=3, dtype=double),
        case("capacity", 30, 4, k=2, capacity=9),
        case("capacity", 600, 2, k=1, capacity=280, note="a long text"),
        case("capacity", 6, 3, k=2, capacity=2, dtype=double, dweight=normal(g, 6, 2, dtype=double), note="gradients"),
        case("balance", 6, 4, k=2),
        case("balance", 5, 3, k=1, dtype=double),
        case("balance", 1, 5, k=2),
        apart(case("balance", 4, 6, k=2, dtype=double, note="logits far apart")),
        swapped(case("balance", 20, 24, k=6, note="many experts, not contiguous")),
        case("balance", 6, 4, k=2, dtype=double, dloss=normal(g, 1, dtype=double)[0], note="gradients"),
    ]


def apart(case):
    """Rows that lie far from each other, and in each row experts that are out of the question."""
    logits = case.inputs["logits"]
    logits += torch.tensor([[1000.0], [-1000.0], [500.0], [0.0]])
    logits[0, :3] -= 900.0
    logits[2, 3:] -= 900.0
    return case


def swapped(case):
    case.inputs["logits"] = case.inputs["logits"].T.contiguous().T
    return case


called = probe_of([Call.parse(call) for call in CALLS])


def probe(case, route, balance_loss):
    """What the chosen function returns; where the case has `dweight`, the gradient of the logits too."""
    if "dweight" not in case:
        found = called(case, route, balance_loss)
    else:
        (logits,) = leaves(case["logits"])
        expert, weight, kept = returned(route(logits, case["k"], case["capacity"]), "expert", "weight", "kept")
        found = {"expert": expert, "weight": weight, "kept": kept}
        found |= gradients(weight, {"logits": logits}, case["dweight"])
    if "expert" in found and not (found["expert"].is_floating_point() or found["expert"].dtype == torch.bool):
        found["expert"] = found["expert"].int()  # numbers of experts are as good in any integer dtype
    return found


EXERCISE = Exercise(
    id="gpt.route",
    title="Mend this code, which expert reads a token",
    parts={"choice": 1, "capacity": 1, "balance": 1},
    minutes=25,
    difficulty="core",
    importance=3,
    calls=CALLS,
    cases=cases,
    probe=probe,
    ordered=False,
    tolerance={torch.float64: (1e-6, 1e-6)},  # a share of the choices may be counted in float32
)
