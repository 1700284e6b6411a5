"""diagnose(run): what a training suffers from, by its curves; judged by how many of eighty fresh runs are named."""

import dataclasses

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.probing import Wrong
from coursekit.material.clinic import ILLNESSES, Run, train_with

NAMES = tuple(ILLNESSES)
FIELDS = tuple(field.name for field in dataclasses.fields(Run))
EACH = 8  # runs of every illness: with four, chance lets many pass who name every second one of a kind
# What may be named wrongly: of all eighty a share and one of each illness, of five illnesses one and another run.
MISSED, MISSED_OF_EACH, MISSED_OF_FIVE = 0.1, 1, 0.25
PARTS = {
    "one look": ("healthy", "rate too low", "dead units", "inputs not scaled", "labels leak"),
    "two curves": (
        *("rate too high", "gradients not zeroed", "labels mixed up", "batches sorted by class", "over-fitting"),
    ),
    "all ten": NAMES,
}


def cases(g):
    runs = {name: [_clear(name, g) for _ in range(EACH)] for name in NAMES}

    def case(part):
        """The runs of the part in a mixed order, field by field: nothing says which is which."""
        chosen = [run for name in PARTS[part] for run in runs[name]]
        order = torch.randperm(len(chosen), generator=g).tolist()
        label = f"{len(chosen)} runs, {EACH} each of {len(PARTS[part])} kinds"
        return Case(part, label, {name: _stacked([chosen[i] for i in order], name) for name in FIELDS})

    return [case(part) for part in PARTS]


def _clear(name, g):
    """A run of this kind. Of the healthy ones a few end as those with mixed-up labels do, and are drawn again."""
    run = train_with(name, torch.randint(2**31, (), generator=g).item())
    ended = (run.training_loss[-10:].mean() / run.validation_loss[-10:].mean()).item()
    return _clear(name, g) if name == "healthy" and ended > 1 else run


def _stacked(runs, name):
    return torch.stack([torch.as_tensor(getattr(run, name)) for run in runs])


def probe(case, diagnose):
    """The place in NAMES of what each run is called. In another order, one by one, a run is called the same."""
    curves = [case[name].cpu() for name in FIELDS]  # eighty small runs are looked at one by one
    copies = [curve.clone() for curve in curves]
    once, later = ([Run(*rows, last.item()) for *rows, last in zip(*of, strict=True)] for of in (curves, copies))
    found = [_named(diagnose(run)) for run in once]
    again = [_named(diagnose(run)) for run in reversed(later)]
    if found != again[::-1]:
        raise Wrong(
            "diagnose called a run one thing, and another when it was shown once more: a diagnosis follows from the "
            "run alone, not from chance or from what was seen before"
        )
    return {"names": torch.tensor(found, device=case["steps"].device)}


def _named(found):
    if not isinstance(found, str) or found not in NAMES:
        told = f"{found!r}"[:60] if isinstance(found, str) else f"something of type {type(found).__name__}"
        raise Wrong(f"diagnose returned {told}, expected one of the names {', '.join(map(repr, NAMES))}")
    return NAMES.index(found)


def told(found, right):
    """Which illnesses were taken for which, three pairs at most; nothing where enough runs are named."""
    wrong = found != right
    each = torch.bincount(right[wrong], minlength=len(NAMES))
    all_ten = len(right) == EACH * len(NAMES)
    if wrong.sum() <= (MISSED if all_ten else MISSED_OF_FIVE) * len(right) and (
        each.max() <= MISSED_OF_EACH or not all_ten
    ):
        return ""
    pairs = [pair for pair in zip(right[wrong].tolist(), found[wrong].tolist(), strict=True) if pair[1] in range(10)]
    counts = sorted(((pairs.count(pair), *pair) for pair in dict.fromkeys(pairs)), key=lambda row: (-row[0], *row[1:]))
    shown = [f"{n} of {(right == a).sum()} '{NAMES[a]!s}' were called '{NAMES[b]!s}'" for n, a, b in counts[:3]]
    others = len(pairs) - sum(n for n, _, _ in counts[:3])
    more = [f"and {others} others"] if others > 1 else ["and another one"] * others
    named = f"{len(right) - wrong.sum()} of {len(right)} runs are named"
    return "; ".join(filter(None, [named, ", ".join([*shown, *more])]))


EXERCISE = Exercise(
    id="core.clinic",
    title="The clinic",
    parts={"one look": 1, "two curves": 1, "all ten": 2},
    minutes=60,
    difficulty="challenge",
    importance=5,
    calls=("diagnose(run)",),
    cases=cases,
    probe=probe,
    said={"names": told},
    trained=True,
    ordered=False,
)
