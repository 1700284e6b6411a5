"""fit(N, D, L): the law of loss over parameters and bytes that runs follow, judged by what it says of larger ones."""

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import scattered
from coursekit.checking.probing import number, several

NUMBERS = ("E", "A", "B", "alpha", "beta")
EXACT, MEASURED = "exact laws", "measured runs"
ALLOWED = {EXACT: 0.005, MEASURED: 0.02}  # relative errors
LARGER = ((4.0, 4.0), (10.0, 1.0), (1.0, 10.0))  # times the largest N, the largest D


def cases(g):
    def between(low, high):
        return low + (high - low) * torch.rand((), generator=g, dtype=torch.float64).item()

    def crossed(smallest_N, smallest_D, sizes=6, lengths=3, apart=100.0):
        """Each of so many sizes with each of so many lengths, row by row."""
        powers = [torch.linspace(0, 1, n, dtype=torch.float64) for n in (sizes, lengths)]
        N = smallest_N * between(0.5, 2) * apart ** powers[0]
        D = smallest_D * between(0.5, 2) * (apart / 4) ** powers[1]
        return N.repeat_interleave(lengths), D.repeat(sizes)

    def scattered_runs(n, smallest_N, smallest_D):
        """No two with the same N or D, in no order."""
        within = torch.rand(2, n, generator=g, dtype=torch.float64)
        places = [(torch.randperm(n, generator=g) + x) / n for x in within]
        return smallest_N * 1000 ** places[0], smallest_D * 1000 ** places[1]

    def case(part, note, runs, noise=0.0, apart=False):
        """At the smallest run N and D each cost some tenths of a nat above the floor."""
        N, D = (x.round() for x in runs)
        alpha, beta = between(0.22, 0.32), between(0.5, 0.62)
        if torch.rand((), generator=g) < 0.5:
            alpha, beta = beta, alpha
        A, B = (between(0.6, 1.2) * x.min() ** power for x, power in ((N, alpha), (D, beta)))
        L = between(0.8, 1.6) + A / N**alpha + B / D**beta
        L = L * (1 + noise * torch.randn(len(L), generator=g, dtype=torch.float64))
        L = L.round(decimals=9)  # the last bits of a power differ between processors
        if apart:
            N, D, L = scattered(torch.stack([N, D, L])).unbind()
        label = ", ".join([f"{len(N)} runs", note, *["not contiguous"] * apart])
        larger = {"larger_N": N.max() * torch.tensor([n for n, _ in LARGER], dtype=torch.float64)}
        larger["larger_D"] = D.max() * torch.tensor([d for _, d in LARGER], dtype=torch.float64)
        smallest = {"smallest_N": N.min(), "smallest_D": D.min()}
        return Case(part, label, {"N": N, "D": D, "L": L, **larger, **smallest, "part": part})

    return [
        case(EXACT, "6 sizes by 3 lengths", crossed(2e4, 5e5)),
        case(EXACT, "small ones, of all sizes", scattered_runs(12, 1e3, 1e4), apart=True),
        case(EXACT, "up to 10 billion parameters", scattered_runs(20, 1e7, 1e9)),
        case(MEASURED, "off by 0.1%, 6 sizes by 3 lengths", crossed(2e4, 5e5), noise=1e-3),
        case(MEASURED, "off by 0.1%, of all sizes", scattered_runs(40, 1e6, 1e8), noise=1e-3),
    ]


def told(part):
    """What is said of predictions that are off by more than is allowed; of others nothing, which lets them pass."""
    allowed = ALLOWED[part]

    def said(found, right):
        error = found / right - 1
        if bool((error.abs() <= allowed).all()):
            return ""
        if not found.isfinite().all():
            return "some losses that your law predicts, for larger runs and the smallest one, are no finite numbers"
        high, low = int((error > allowed).sum()), int((error < -allowed).sum())
        sides = [(high, "too high"), (low, "too low")]
        off = " and ".join(f"{n} {'is' if n == 1 else 'are'} {side}" for n, side in sides if n)
        return (
            f"of the {len(right)} losses that your law predicts, for larger runs and for one as small as the smallest, "
            f"{off} by more than {allowed:.1%}"
        )

    return said


def output(part):
    return f"predicted losses, {part}"


def probe(case, fit):
    """What the law says of larger runs and of a small one.

    Its numbers are not well determined: a smaller E goes with a smaller power.
    """
    found = fit(*(case[name].cpu() for name in "NDL"))  # some dozens of numbers
    found = several(found.tolist() if hasattr(found, "tolist") else found, *NUMBERS, kind="numbers")
    E, A, B, alpha, beta = (number(x, name).item() for x, name in zip(found, NUMBERS, strict=True))
    others = [torch.cat([case[f"larger_{n}"], case[f"smallest_{n}"][None]]) for n in "ND"]
    return {output(case["part"]): E + A / others[0] ** alpha + B / others[1] ** beta}


EXERCISE = Exercise(
    id="core.scaling_law",
    title="A scaling law",
    parts={EXACT: 1, MEASURED: 1},
    minutes=40,
    difficulty="challenge",
    importance=3,
    calls=("fit(N, D, L)",),
    cases=cases,
    probe=probe,
    said={output(part): told(part) for part in ALLOWED},
    # Of what is not measured a law may predict what lies so near: a search ends somewhere.
    tolerance={torch.float64: (ALLOWED[EXACT], 0.0)},
)
