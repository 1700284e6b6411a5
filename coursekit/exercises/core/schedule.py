"""rate(step, peak, warmup, total, floor): a warm-up, half a cosine, and a floor."""

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.probing import number


def cases(g):
    def case(part, warmup, total, floor, steps, note=""):
        peak = round(10 ** (-4 + 2 * torch.rand((), generator=g, dtype=torch.float64).item()), 7)
        plain = {"peak": peak, "warmup": warmup, "total": total, "floor": round(floor * peak, 9)}
        words = [f"warmup={warmup}, total={total}", f"floor={plain['floor']:g}", note]
        return Case(part, ", ".join(filter(None, words)), plain | {"steps": list(steps)})

    def twin(part, label, **other):
        """The settings of one schedule, of which one is another one."""
        plain = {"peak": 0.004, "warmup": 4, "total": 12, "floor": 0.0005} | other
        return Case(part, label, plain | {"steps": [4, 6, 9, 11]})

    def between(least, most):
        return least + torch.randint(most - least + 1, (), generator=g).item()

    warmup = between(4, 7)
    return [
        case("warm-up", warmup, 40, 0.1, range(warmup)),
        case("warm-up", 1, 9, 0.1, range(1)),
        case("warm-up", 9, 20, 0.3, range(9), note="a high floor"),
        case("warm-up", 300, 5000, 0.0, (0, 1, 149, 298, 299)),
        case("cosine", warmup, between(20, 30), 0.0, range(warmup, 20)),
        case("cosine", 3, between(10, 12), 0.1, range(3, 10), note="a floor"),
        case("cosine", 0, 8, 0.0, range(8), note="no warm-up"),
        case("cosine", 5, 6, 0.2, (5,), note="one step of cosine"),
        case("cosine", 2000, 1_000_000, 0.05, (2000, 2001, 250_000, 501_000, 999_999), note="long"),
        case("cosine", 2, 9, 1.0, range(2, 9), note="the floor is the peak"),
        twin("cosine", "settings of a schedule"),
        twin("cosine", "the same, another peak", peak=0.008),
        twin("cosine", "the same, another warm-up", warmup=2),
        twin("cosine", "the same, another total", total=16),
        twin("cosine", "the same, another floor", floor=0.001),
        case("afterwards", 3, 12, 0.1, (12, 13, 15, 21, 22, 40)),
        case("afterwards", 4, 4, 0.3, (4, 5), note="no cosine"),
        case("afterwards", 0, 5, 0.0, (5, 6, 10, 11)),
    ]


def probe(case, rate):
    """The rate at each of some steps."""
    settings = [case[name] for name in ("peak", "warmup", "total", "floor")]
    # A share of the peak: rates are small, and a difference between two of them is smaller still.
    found = [number(rate(step, *settings), "the rate").double() / case["peak"] for step in case["steps"]]
    return {"rate / peak, step by step": torch.stack(found).float()}


EXERCISE = Exercise(
    id="core.schedule",
    title="Mend this code, a schedule",
    parts={"warm-up": 1, "cosine": 1, "afterwards": 1},
    minutes=15,
    difficulty="core",
    importance=3,
    calls=("rate(step, peak, warmup, total, floor)",),
    cases=cases,
    probe=probe,
    ordered=False,
)
