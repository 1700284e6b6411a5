"""filter_logits and draw: which tokens may follow, compared; and one of them by chance, judged by counting."""

import math

import torch

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.laws import as_measurements, at_most, none, surprise
from coursekit.checking.probing import Wrong

# A threshold is so many of 101 parts, and the weights of a row sum to 100 at most: no token lies on a boundary.
PARTS = 101
ROWS = 400  # of each kind, in one call of `draw`
SETTINGS = ("temperature", "top_k", "top_p", "min_p")


def cases(g):
    double = torch.float64

    def case(part, *rows, temperature=1.0, k=None, p=None, m=None, note="", dtype=torch.float32, apart=0.0):
        """Probabilities are as the weights of a row, from which the logits are made; the ids are shuffled.

        Equal weights give equal logits. Rows are shifted, which a softmax does not see.
        """
        V = len(rows[0])
        weights = torch.stack([torch.tensor(row, dtype=double)[torch.randperm(V, generator=g)] for row in rows])
        shift = apart * torch.randn(len(rows), 1, generator=g, dtype=double)
        given = {"temperature": temperature, "top_k": k, "top_p": p and p / PARTS, "min_p": m and m / PARTS}
        told = [f"{name}={value:.4g}" for name, value in given.items() if value is not None]
        words = [f"B={len(rows)}", f"V={V}", *told, note, dtype_name(dtype) if dtype == torch.float64 else ""]
        logits = (temperature * (weights.log() + shift)).to(dtype)
        return Case(
            part, ", ".join(filter(None, words)), {"logits": logits, **given, "counted": False, "several": False}
        )

    def drawing(note, *rows, each=ROWS, shifts=(0.0,), dtype=torch.float32):
        """Kinds of rows, each of which stands in a batch many times."""
        logits = torch.tensor([[math.log(w) if w else -math.inf for w in row] for row in rows], dtype=double)
        logits = logits[:, torch.randperm(len(rows[0]), generator=g)] + torch.tensor(shifts)[:, None]
        seed = torch.randint(2**31, (), generator=g).item()
        given = {"kinds": logits.to(dtype), "rows": each, "seed": seed, "counted": True, "several": each > 1}
        given["ids"] = len(rows) * each
        kinds = f"{len(rows)} kinds of rows" if len(rows) > 1 else "equal rows"
        return Case("draw", f"{kinds}, V={len(rows[0])}{note and ', '}{note}", given)

    def between(least, most):
        return torch.randint(least, most, (), generator=g).item()

    steep, flat, even = (40, 20, 12, 8, 6, 5, 3), (18, 17, 16, 14, 12, 10, 9), (34, 30, 3, 2, 2, 1, 1)
    tied, twins, few = (20, 12, 12, 12, 9, 9, 4), (20, 20, 7, 7, 7, 3, 2), (50, 30, 0, 0, 0, 6, 2)
    pairs = (12, 12, 12, 12, 5, 4, 1)
    many, crowd = [2] * 30 + [1] * 40 + [0] * 230, ([2] * 150 + [1] * 370, [3] * 60 + [2] * 80 + [1] * 380)
    return [
        case("top-k", steep, flat, temperature=0.7),
        case("top-k", flat, steep, temperature=1.6),
        case("top-k", steep, flat, even, k=3, dtype=double),
        case("top-k", tied, twins, k=3, note="ties"),
        case("top-k", flat, steep, k=50, temperature=1.7, note="k above V"),
        case("top-k", steep, k=1),
        case("top-k", (5,), k=1, temperature=0.5),
        case("top-k", few, (40, 9, 8, 0, 0, 0, 0), k=5, note="some are -inf already"),
        case("top-k", (40, 1e-80, 1e-90, 1e-95, 0), k=3, note="logits far apart"),
        case("top-k", many, k=60, temperature=1.3, note="ties"),
        case("top-p", steep, flat, even, p=between(64, 74)),
        case("top-p", steep, flat, temperature=0.4, p=between(64, 74), dtype=double),
        case("top-p", flat, steep, temperature=2.5, p=between(64, 74)),
        case("top-p", even, flat, p=0, note="one stays"),
        case("top-p", tied, pairs, p=between(44, 56), note="ties"),
        case("top-p", steep, p=between(20, 35), apart=900.0, note="logits far from 0"),
        case("top-p", few, even, p=100, note="some are -inf already"),
        case("top-p", (9, 4), p=between(75, 95)),
        case("top-p", (25, 25, 25, 25), p=PARTS / 2, note="two of four reach it exactly"),
        case("top-p", *crowd, p=between(75, 95), note="ties"),
        case("top-p", flat, steep, k=4, p=between(74, 76)),
        case("min-p and all", steep, even, flat, m=between(32, 47)),
        case("min-p and all", steep, flat, temperature=2.0, m=between(32, 47), dtype=double),
        case("min-p and all", tied, twins, m=PARTS, note="ties"),
        case("min-p and all", (13, 12, 12, 11, 11, 10, 9), even, m=between(90, 92)),
        case("min-p and all", (30, 20, 19, 12, 10, 6, 3), flat, p=between(79, 80), m=between(35, 39)),
        case("min-p and all", steep, tied, flat, temperature=0.8, k=5, p=between(85, 88), m=between(12, 19)),
        case("min-p and all", steep, flat, k=3, m=between(32, 47)),
        case("min-p and all", (2, 1, 1, 0, 0), k=2, p=90, m=10, dtype=double, apart=900.0, note="logits far from 0"),
        case("min-p and all", steep, few, m=0, note="0 keeps all that is left"),
        drawing("", (40, 30, 20, 10), (10, 10, 20, 60), (25, 25, 25, 25)),
        drawing("", (50, 0, 30, 0, 20), (0, 10, 0, 90, 0), dtype=double),
        drawing("logits far from 0", (60, 25, 15), (10, 45, 45), shifts=(800.0, -800.0)),
        drawing("one row", (30, 70), each=1),
        drawing("many rows", (70, 20, 9, 1), each=5000),
        drawing("", [1] * 9 + [0] * 400, [0] * 400 + [1] * 9, each=20),
        drawing("rare tokens", [1200] + [1] * 1200, each=40),
        drawing("many tokens", [1] * 300, each=300),
    ]


def probe(case, filter_logits, draw):
    return _drawn(case, draw) if case["counted"] else _filtered(case, filter_logits)


def _filtered(case, filter_logits):
    """What stays, after a call with other logits of the same shape."""
    settings = [case[name] for name in SETTINGS]
    filter_logits(case["logits"].flip(-1), *settings)
    kept = filter_logits(case["logits"], *settings)
    if kept.shape == case["logits"].shape and kept.is_floating_point():
        return {"stays": kept > -math.inf, "logits that are left": kept}
    return {"stays": kept, "logits that are left": kept}  # the shape or the kind is told


def _drawn(case, draw):
    """The ids of two calls that follow each other, and of the first one with the generator set back."""
    logits = case["kinds"].repeat(case["rows"], 1)  # handed over and looked at outside: it may not change
    g = torch.Generator(device=logits.device)

    def call():
        ids = draw(logits, g)
        if ids.shape != logits.shape[:1] or ids.device != logits.device:
            found, want = ((tuple(x.shape), str(x.device)) for x in (ids, logits[:, 0]))
            raise Wrong(f"the ids are {found}, expected {want}: one id for each row, however many rows there are")
        if ids.dtype == torch.bool or ids.is_floating_point() or ids.is_complex():
            raise Wrong(f"the ids are {dtype_name(ids.dtype)}, expected integers")
        return ids.to(torch.int64)

    drawn = []
    for setting in (case["seed"], None, case["seed"]):
        if setting is not None:
            g.manual_seed(setting)
        drawn.append(call())
    return {"drawn": torch.stack(drawn), "logits afterwards": logits}


def measure(case, outputs):
    """Of `draw` counts; what `filter_logits` gives is compared as it is."""
    if not case["counted"]:
        return outputs
    given = case["kinds"].repeat(case["rows"], 1)
    first, second, again = outputs["drawn"].view(3, case["rows"], -1)  # (rows, kinds) each
    chances = case["kinds"].double().softmax(-1)  # (kinds, V)
    inside = (first >= 0) & (first < chances.shape[1])
    ids = first.where(inside, 0)
    found = {
        "changed": not torch.equal(outputs["logits afterwards"], given),
        "again": (first != again).sum(),
        "outside": (~inside).sum(),
        "removed": (chances.expand(len(ids), -1, -1).gather(2, ids[..., None]) == 0).sum(),
    }
    if case["several"]:
        found |= _spread(first, second, ids, chances)
    return as_measurements(found, first.device)


def _spread(first, second, ids, chances):
    """How the ids of a kind are spread, and how they go together with those beside them and in the next call."""
    n = len(first)
    counts = torch.zeros_like(chances).scatter_add_(1, ids.T, torch.ones_like(ids.T, dtype=chances.dtype))
    off = torch.where(chances > 0, surprise(counts, n, chances), 0.0)
    worst = off.flatten().argmax()
    same = ((counts / n) ** 2).sum(1)  # how often two draws are equal, whatever was drawn from
    alike = (first == first[:1]).all(0) & (chances.amax(1) ** n < 1e-9)  # kinds of which all rows get one id
    # Where counts are nearly normal, and where all tokens are alike: chi square's variance is twice its mean.
    often = (n * chances >= 5) | (chances.amin(1) == chances.amax(1))[:, None]
    fit = ((counts - n * chances) ** 2 / (n * chances))[often].sum()
    free = (often.sum(1) - 1).clamp_min(0).sum()  # chi square's degrees of freedom
    even = (free - fit) / (2 * free).sqrt().clamp_min(1)
    z = first.double() - first.double().mean(0)
    z = z / (z**2).mean(0).clamp_min(1e-9).sqrt()  # ids of a kind, standardised
    half = n // 2  # rows beside each other, as far apart as can be, and as in a mirror
    pairs = (z[1:], z[:-1]), (z[:half], z[half : 2 * half]), (z[:half], z.flip(0)[:half])
    together = max((one * other).sum().abs() / max(one.numel(), 1) ** 0.5 for one, other in pairs)
    beside = (first[1:] == first[:-1]).double().mean()
    repeated = (first == second).double().mean()
    return {
        "alike": alike.sum(),
        "likeliest": (ids == chances.argmax(1)).double().mean(),
        "even": even,
        "uneven": -even if free > 100 else 0,  # with fewer it is far from normal, and tokens are looked at one by one
        "off": off.max(),
        "frequency": counts.flatten()[worst] / n,
        "chance": chances.flatten()[worst],
        "repeated": surprise(repeated * first.numel(), first.numel(), same.mean()) * (repeated > same.mean()),
        "frozen": (first == second).all(),
        "neighbours": surprise(beside * first[1:].numel(), first[1:].numel(), same.mean()),
        "together": together,
        "beside": beside,
        "by_chance": same.mean(),
    }


EXERCISE = Exercise(
    id="gpt.filter",
    title="Which tokens may follow",
    parts={"top-k": 1, "top-p": 1, "min-p and all": 1, "draw": 1},
    minutes=35,
    difficulty="core",
    importance=4,
    calls=("filter_logits(logits, temperature, top_k, top_p, min_p) -> kept", "draw(logits, generator) -> ids"),
    cases=cases,
    probe=probe,
    measure=measure,
    ordered=False,
    # One law for each kind of slip, in the order in which a learner should mend them.
    laws=(
        none("changed", "it changes its input logits in place: work on a copy", "counted"),
        none("outside", "{n:.0f} ids lie outside of 0 ... V - 1", when="counted"),
        none("removed", "{n:.0f} of {ids:.0f} ids are tokens whose logit is -inf: their probability is 0", "counted"),
        none("again", "{n:.0f} ids differ between two calls with equal seeds: draw from `generator`", "counted"),
        none(
            "alike",
            "all rows with equal logits get the same id, by no chance: each row draws for itself, by its chances",
            "several",
            ("likeliest",),
        ),
        none("frozen", "the next call with the same generator gives the same ids again, in all rows", "several"),
        at_most(
            *("neighbours", 6),
            "rows with equal logits that follow each other get the same id in {beside:.1%} of the cases, by chance it "
            "would be {by_chance:.1%}: each row draws for itself",
            "several",
        ),
        at_most(
            *("together", 6),
            "ids of rows beside each other, or half a batch apart, go together: each row draws for itself",
            "several",
        ),
        at_most(
            *("repeated", 6),
            "the next call with the same generator gives the same id in more rows than chance explains",
            "several",
        ),
        at_most(
            *("off", 6),
            "a token is drawn in {frequency:.1%} of the rows where its probability, softmax(logits), is {chance:.1%}",
            "several",
            ("frequency", "chance"),
        ),
        at_most(
            *("even", 5),
            "each token is drawn almost exactly as often as its probability says, closer than chance comes: the rows "
            "do not draw independently",
            "several",
        ),
        at_most(
            *("uneven", 7),
            "of tokens that are equally likely some are drawn far more often than others: rows do not draw "
            "independently, or the random numbers are too coarse",
            "several",
        ),
    ),
)
