"""rank_indices(N, size, rank, epoch, seed, drop_last): what a rank sees in an epoch; judged by what all ranks get."""

import torch
from torch import Tensor

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.laws import as_measurements, at_most, clumping, none, share
from coursekit.checking.probing import Wrong, returned

EPOCHS, FEW = 20, 3  # in cases about chance: of the first two seeds, and of the others
MANY = 8  # sigma: 2,500 draws of right orders show none above 5


def cases(g):
    def drawn(low, high):
        return int(torch.randint(low, high, (), generator=g))

    def case(part, N, size, drop_last=False):
        far = drawn(10**5, 2**30)
        random = part == "epochs and seeds"
        label = f"N={N}, size={size}" + ", drop_last" * drop_last
        given = {"N": N, "size": size, "drop_last": drop_last, "random": random}
        return Case(part, label, given | {"seeds": [0, far, 1, far + 1] if random else [0, far]})

    q = [drawn(3, 8) for _ in range(6)]
    return [
        case("one epoch", 4 * q[0], 4),
        case("one epoch", 4 * q[1] + 1, 4),
        case("one epoch", 5 * q[2] + 3, 5),
        case("one epoch", 4 * q[3] + 3, 4, drop_last=True),
        case("one epoch", 3 * q[4], 3, drop_last=True),
        case("one epoch", 6 + q[5], 1),
        case("one epoch", 3, 3),
        case("one epoch", 2, 5),
        case("one epoch", 3, 8),
        case("one epoch", 1, 3),
        case("one epoch", 2, 5, drop_last=True),
        case("one epoch", 7 * drawn(250, 290) + 2, 7),
        case("one epoch", 16 * drawn(50, 60) + 8, 16, drop_last=True),
        case("epochs and seeds", 4 * drawn(5, 8), 4),
        case("epochs and seeds", 4 * drawn(5, 8) + 2, 4),
        case("epochs and seeds", 3 * drawn(7, 10) + 2, 3, drop_last=True),
        case("epochs and seeds", drawn(22, 30), 1),
    ]


def records(case):
    """(seed, epoch) of each epoch that is asked for."""
    if not case["random"]:
        # Of few samples more often: there a wrong order can be right by chance.
        epochs = range(4) if case["N"] <= case["size"] else (0,)
        return [(seed, epoch + 7 * i) for i, seed in enumerate(case["seeds"]) for epoch in epochs]
    epochs = [EPOCHS if i < 2 else FEW for i in range(4)]
    return [(seed, epoch) for seed, n in zip(case["seeds"], epochs, strict=True) for epoch in range(n)]


def probe(case, rank_indices):
    """What all ranks get, epoch by epoch, and in the last rows what the last epoch's ranks get when they ask again."""

    def asked(seed, epoch, rank):
        return _plain(rank_indices(case["N"], case["size"], rank, epoch, seed, case["drop_last"]))

    ranks, state = range(case["size"]), torch.get_rng_state()
    rows = [asked(seed, epoch, rank) for seed, epoch in records(case) for rank in ranks]
    rows += [asked(*records(case)[-1], rank) for rank in reversed(ranks)]
    return {
        "lengths": torch.tensor([len(row) for row in rows]),
        "indices": torch.cat(rows),
        "draws from the global numbers": torch.tensor(not torch.equal(state, torch.get_rng_state())),
    }


def _plain(x):
    """A rank's indices as integers on the CPU. Raises Wrong where they are none."""
    x = returned(x, "indices")
    if x.dim() != 1:
        raise Wrong(f"the indices have shape {tuple(x.shape)}, expected one dimension, (k)")
    if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
        hint = " (an empty list becomes one of float32: say dtype=torch.long)" if not len(x) else ""
        raise Wrong(f"the indices have dtype {dtype_name(x.dtype)}, expected integers{hint}")
    return x.detach().cpu().long()


def measure(case, outputs):
    size, lengths = case["size"], outputs["lengths"].tolist()
    rows = list(outputs["indices"].split(lengths))
    *epochs, again = (rows[i : i + size] for i in range(0, len(rows), size))
    if len(epochs) != len(records(case)):
        raise ValueError(f"{len(rows)} rows, expected {size} for each of {len(records(case))} epochs, and for one more")
    counts = _of_each(case, epochs)
    counts |= {"again": not _same(epochs[-1], again[::-1]), "touched": outputs["draws from the global numbers"]}
    return as_measurements(counts | _over_epochs(case, epochs, whole=not any(counts[name] for name in SINGLE)))


def _same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(map(torch.equal, one, other))


def _k(case):
    return case["N"] // case["size"] if case["drop_last"] else -(-case["N"] // case["size"])


def _of_each(case, epochs):
    """What is wrong with epochs, each looked at by itself: in how many of them, and with how many samples."""
    N, k, n = case["N"], _k(case), dict.fromkeys(SINGLE, 0)
    for ranks in epochs:
        lengths, met = {len(row) for row in ranks}, torch.cat(ranks)
        known = met[(met >= 0) & (met < N)]
        times = torch.bincount(known, minlength=N)
        n["strange"] += len(met) - len(known)
        n["unequal"] += len(lengths) > 1
        n["short"] += len(lengths) == 1 and max(lengths) < k
        n["long"] += len(lengths) == 1 and min(lengths) > k
        seen = min(N, case["size"] * k)
        n["unseen"] += max(0, seen - int((times > 0).sum()))
        n["often"] += int((times > -(-case["size"] * k // N)).sum())
    return n | {"k": k, "epochs": len(epochs)}


def _over_epochs(case, epochs, whole):
    """How the orders of different epochs and seeds go together, in sigma; 0 where single epochs are not whole."""
    if not case["random"]:
        return {}
    by_seed = [epochs[i * EPOCHS : (i + 1) * EPOCHS] for i in range(2)]
    rest = epochs[2 * EPOCHS :]
    few = [*by_seed, rest[:FEW], rest[FEW:]]
    n = {
        "same_epochs": sum(_repeats(seed) for seed in by_seed),
        "same_seeds": sum(_repeats([seed[e] for seed in few]) for e in range(FEW)),
        "compared": 2 * EPOCHS,
    }
    if not whole:
        return n | dict.fromkeys(CHANCES, 0.0) | {"ascents": 0, "pairs": 0}
    return n | _chances(case, torch.stack([torch.stack(ranks) for seed in by_seed for ranks in seed]))


def _repeats(epochs):
    """How many of them are one before, once more."""
    return len(epochs) - len({tuple(tuple(row.tolist()) for row in ranks) for ranks in epochs})


def _chances(case, X):
    """Of the orders X (R, size, k): how far what they have in common goes beyond chance."""
    N, (R, size, k) = case["N"], X.shape
    at = torch.zeros(R, N, size, dtype=torch.float64)
    at.scatter_add_(1, X.mT, torch.ones(R, k, size, dtype=torch.float64))  # how often a sample is at a rank
    odd = at.sum(2)
    odd = odd - 1 if size * k > N else 1 - odd  # who comes once more, or not at all
    together = torch.einsum("rns,rms->nm", at, at).triu(1)[tuple(torch.triu_indices(N, N, 1))]
    record = torch.arange(R)[:, None, None]
    # Where the order begins again, a pair may come once more.
    pairs = ((record * N + X[..., :-1]) * N + X[..., 1:]).unique()
    record, a, b = pairs // N**2, pairs // N % N, pairs % N
    record, a, b = record[a != b], a[a != b], b[a != b]
    follow = torch.bincount(a * (N - 1) + b - (b > a).long(), minlength=N * (N - 1))
    steps = torch.bincount(record * (N - 1) + (b - a) % N - 1, minlength=R * (N - 1))
    places = torch.bincount((X.flatten(1) + N * torch.arange(size * k)).flatten(), minlength=N * size * k)
    return {
        "ascents": (b > a).sum(),
        "pairs": len(a),
        "stays": _clumps(at.sum(0), R, k / N),
        "tail": _clumps(odd.sum(0), R, abs(size * k - N) / N),
        "steps": _clumps(steps, size * (k - 1), 1 / (N - 1)),
        "follow": _clumps(follow, len(a), 1 / (N * (N - 1))),
        "together": _clumps(together, R, (together.mean() / R).item()),
        "places": _clumps(places, R, 1 / N),
    }


def _clumps(counts, n, p):
    return clumping(counts.double(), torch.full(counts.shape, n), p)


# What is wrong with single epochs, in the order in which a learner should mend it.
SINGLE = {
    "strange": "{n:.0f} indices are those of no sample: samples have the numbers 0 to N - 1",
    "unequal": "in {n:.0f} of {epochs:.0f} epochs ranks get different numbers of indices: who is done first leaves the "
    "others waiting",
    "short": "in {n:.0f} of {epochs:.0f} epochs each rank gets fewer than {k:.0f} indices",
    "long": "in {n:.0f} of {epochs:.0f} epochs each rank gets more than {k:.0f} indices",
    "unseen": "{n:.0f} samples are missing that some rank should see in the epoch ({epochs:.0f} epochs were looked at)",
    "often": "{n:.0f} samples come more often in one epoch than they have to ({epochs:.0f} epochs were looked at)",
}
REPEATED = {
    "same_epochs": "{n:.0f} of {compared:.0f} epochs are an earlier epoch of the same seed once more",
    "same_seeds": "two seeds give the same epoch, {n:.0f} times",
}
CHANCES = {
    "steps": "from one index to the next it is the same step too often, as in a rotation: each order is to be as "
    "likely as any other",
    "stays": "samples come to the same rank too often: each epoch has an order of its own",
    "tail": "it is too often the same samples that are left out, or that come once more",
    "together": "the same samples meet at one rank too often",
    "follow": "the same sample follows the same one too often: each epoch has an order of its own",
    "places": "samples stand at the same place of an epoch too often",
}


EXERCISE = Exercise(
    id="distributed.rank_indices",
    title="Mend this code, who sees what",
    parts={"one epoch": 1, "epochs and seeds": 1},
    minutes=20,
    difficulty="core",
    importance=4,
    calls=("rank_indices(N, size, rank, epoch, seed, drop_last)",),
    cases=cases,
    probe=probe,
    measure=measure,
    laws=(
        none(
            "again",
            "a rank that asks again for the same epoch gets other indices: everything has to follow from the arguments",
        ),
        none(
            "touched",
            "it draws from torch's global random numbers, and so changes what others draw: use a generator of its own",
        ),
        *(none(name, says) for name, says in SINGLE.items()),
        *(none(name, says, when="random") for name, says in REPEATED.items()),
        share(
            "ascents",
            "pairs",
            0.5,
            "{share:.0%} of the indices are larger than the one before, expected half",
            when="random",
        ),
        *(at_most(name, MANY, says, when="random") for name, says in CHANCES.items()),
    ),
)
