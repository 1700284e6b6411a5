"""training_bytes(P, n, stage, master, activations): what one of n ranks needs, entry by entry, in whole bytes."""

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.probing import Wrong

KEYS = ("weights", "gradients", "optimizer", "activations", "total")
STAGES, NO_STAGES = range(4), (-2, -1, 4, 5, 12)
LARGEST = 10**17  # floats of this size are multiples of 16
RAISED = "a ValueError is raised"


def cases(g):
    def some(low, high):
        return int(torch.randint(low, high, (1,), generator=g))

    def case(part, P, n, stage, master=True, activations=None, again=False):
        activations = some(10_000, 99_999) if activations is None else activations
        none = f"n={n}, stage={stage}, which is none" if n == 1 else f"stage={stage}, which is none"
        label = f"P={P}, n={n}, stage={stage}, {'with' if master else 'without'} master"
        label += ", read after another call" if again else ""
        inputs = {"P": P, "n": n, "stage": stage, "master": master, "activations": activations, "again": again}
        return Case(part, label if stage in STAGES else none, inputs)

    n, shard, activations = some(3, 9), 12 * some(100, 999), some(10_000, 99_999)
    whole = [
        case("the stages", n * shard, n, stage, master, activations) for master in (True, False) for stage in STAGES
    ]
    # One other number each: 12 ranks, which divide P too.
    whole += [
        case("the stages", n * shard, 12, 3, True, activations),
        case("the stages", 2 * n * shard, n, 3, True, activations),
        case("the stages", n * shard, n, 3, True, activations + some(1, 99)),
    ]
    odd = [case("any size", 8 * some(20, 90) + 3, 8, stage, stage != 2) for stage in STAGES]
    large = [
        case("any size", LARGEST - 16 * some(0, 99) - 3, *kind)
        for kind in ((2, 0, True), (2, 1, False), (2, 2, True), (2, 3, False), (1, 3, True), (1, 0, False))
    ]
    return [
        *whole,
        *odd,
        *large,
        case("any size", 5, 8, 3, again=True),
        case("any size", 1, 1, 3, activations=0),
        case("any size", some(1000, 9999), 1, 2),
        case("any size", 7_000_000_000 + some(0, 9), 1024, 3, False),
        case("any size", 70_000_000_000 + some(0, 9), 64, 1),
        *(case("any size", 24, 4, stage) for stage in (*NO_STAGES, some(100, 999))),
        case("any size", 24, 1, 4),
    ]


def probe(case, training_bytes):
    given = [case[name] for name in ("P", "n", "stage", "master", "activations")]
    if case["stage"] in STAGES:
        found = training_bytes(*given)
        if case["again"]:
            before = entries(found)
            training_bytes(2 * case["P"], *given[1:])
            if entries(found) != before:
                raise Wrong("the second call changes what the first one returned: give each call a dict of its own")
        return entries(found)
    try:
        training_bytes(*given)
    except ValueError:
        return {RAISED: torch.tensor(True)}
    except (LookupError, AssertionError, TypeError, UnboundLocalError) as error:
        raise Wrong(f"a stage that is none raises {type(error).__name__}, expected a ValueError") from error
    return {RAISED: torch.tensor(False)}


def entries(found):
    if not isinstance(found, dict):
        kind = "None (is there a return?)" if found is None else f"something of type {type(found).__name__}"
        raise Wrong(f"it returned {kind}, expected a dict with the keys {', '.join(KEYS)}")
    if missing := [key for key in KEYS if key not in found]:
        raise Wrong(f"the dict has no key {missing[0]!r}, expected {', '.join(KEYS)}")
    if len(found) > len(KEYS):
        raise Wrong(f"the dict has {len(found)} keys, expected these {len(KEYS)} alone: {', '.join(KEYS)}")
    return {key: whole(key, found[key]) for key in KEYS}


def whole(key, value):
    if isinstance(value, float):
        raise Wrong(f"{key!r} is a float, expected an int: a float does not hold every large whole number")
    if type(value) is not int:
        raise Wrong(f"{key!r} is of type {type(value).__name__}, expected an int")
    if not 0 <= value < 2**63:
        raise Wrong(f"{key!r} is {'negative' if value < 0 else 'far too large'}, which no number of bytes here can be")
    return torch.tensor(value)


EXERCISE = Exercise(
    id="distributed.training_bytes",
    title="What a rank has to hold",
    parts={"the stages": 1, "any size": 1},
    minutes=20,
    difficulty="core",
    importance=4,
    calls=("training_bytes(P, n, stage, master, activations)",),
    cases=cases,
    probe=probe,
)
