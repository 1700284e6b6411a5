"""rank_indices(N, size, rank, epoch, seed, drop_last): what a rank sees in an epoch; judged by what all ranks get."""

import contextlib
import inspect
import math
from collections import defaultdict

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.laws import as_measurements, at_most, clumping, none, share
from coursekit.checking.probing import Wrong, returned

EPOCHS, FEW, OFTEN = 20, 3, 1000  # in cases about chance: of the first two seeds, of the others, of one seed alone
LATER = (
    0,
    20,
    50,
    64,
    100,
    128,
    256,
    1000,
    1024,
    4096,
    10_000,
    65_536,
)  # epochs that one seed has orders of its own in
APART = (100, 256, 1000, 1024, 65_536)  # by so much seeds are apart that have orders of their own
MANY = 8  # sigma: 2,500 draws of right orders show none above 5
UNEVEN = 5.5  # sigma of chi square: right orders have at most 4, each place swapped with any place 7 and more


def cases(g):
    def drawn(low, high):
        return int(torch.randint(low, high, (), generator=g))

    def case(part, N, size, asked, drop_last=False):
        label = f"N={N}, size={size}" + ", drop_last" * drop_last
        given = {"N": N, "size": size, "drop_last": drop_last, "asked": asked(drawn(10**5, 2**30))}
        return Case(part, label, given | {"random": part == "epochs and seeds"})

    def one(N, size, drop_last=False):
        # Of few samples more often: there a wrong order can be right by chance.
        epochs = range(4) if size >= N else (0,)
        return case(
            "one epoch", N, size, lambda far: [(s, e + 7 * (s > 0)) for s in (0, far) for e in epochs], drop_last
        )

    def by_chance(N, size, drop_last=False, asked=_of_four_seeds):
        return case("epochs and seeds", N, size, asked, drop_last)

    q = [drawn(3, 8) for _ in range(6)]
    return [
        one(4 * q[0], 4),
        one(4 * q[1] + 1, 4),
        one(5 * q[2] + 3, 5),
        one(4 * q[3] + 3, 4, drop_last=True),
        one(3 * q[4], 3, drop_last=True),
        one(6 + q[5], 1),
        one(3, 3),
        one(2, 5),
        one(3, 8),
        one(1, 3),
        one(2, 5, drop_last=True),
        one(7 * drawn(250, 290) + 2, 7),
        one(16 * drawn(50, 60) + 8, 16, drop_last=True),
        by_chance(4 * drawn(5, 8), 4),
        by_chance(4 * drawn(5, 8) + 2, 4),
        by_chance(3 * drawn(7, 10) + 2, 3, drop_last=True),
        by_chance(drawn(22, 30), 1),
        by_chance(20, 1, asked=lambda far: [(far, epoch) for epoch in range(OFTEN)]),
        by_chance(2 * drawn(20_000, 21_000) + 1, 2, asked=lambda far: [(far, 0)]),
        by_chance(drawn(22, 30), 2, True, lambda far: [(far, e) for e in LATER] + [(far + d, 0) for d in APART]),
    ]


def _of_four_seeds(far):
    of = {0: EPOCHS, far: EPOCHS, 1: FEW, far + 1: FEW}
    return [(seed, epoch) for seed, epochs in of.items() for epoch in range(epochs)]


def probe(case, rank_indices):
    """What all ranks get, epoch by epoch, and in the last rows what the last epoch's ranks get when they ask again."""

    def asked(seed, epoch, rank):
        return _plain(rank_indices(case["N"], case["size"], rank, epoch, seed, case["drop_last"]))

    ranks, state = range(case["size"]), torch.get_rng_state()
    with _no_hash_of_texts(rank_indices):
        rows = [asked(seed, epoch, rank) for seed, epoch in case["asked"] for rank in ranks]
        rows += [asked(*case["asked"][-1], rank) for rank in reversed(ranks)]
    return {
        "lengths": torch.tensor([len(row) for row in rows]),
        "indices": torch.cat(rows),
        "draws from the global numbers": torch.tensor(not torch.equal(state, torch.get_rng_state())),
    }


@contextlib.contextmanager
def _no_hash_of_texts(function):
    """Inside, `hash` of a text raises Wrong in the function's module: what it gives is another number in each process.

    Nothing else in one process could show it.
    """

    def watched(x):
        if any(isinstance(part, str | bytes) for part in tree_leaves(x)):
            raise Wrong(
                "`hash` of a text is salted anew in every process (PYTHONHASHSEED), so each rank draws another order: "
                "make the seed of whole numbers"
            )
        return hash(x)

    names = getattr(inspect.unwrap(function), "__globals__", {})
    if "hash" in names:  # another one, of the learner's
        yield
        return
    names["hash"] = watched
    try:
        yield
    finally:
        del names["hash"]


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
    if len(epochs) != (n := len(case["asked"])):
        raise ValueError(f"{len(rows)} rows, expected {size} for each of {n} epochs, and for one more")
    counts = _of_each(case, epochs)
    counts |= {"again": not _same(epochs[-1], again[::-1]), "touched": outputs["draws from the global numbers"]}
    return as_measurements(counts | _over_epochs(case, epochs, whole=not any(counts[name] for name in SINGLE)))


def _same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(map(torch.equal, one, other))


def _k(case):
    return case["N"] // case["size"] if case["drop_last"] else -(-case["N"] // case["size"])


def _of_each(case, epochs):
    """What is wrong with epochs, each looked at by itself: in how many of them, and with how many samples."""
    N, size, k = case["N"], case["size"], _k(case)
    lengths = torch.tensor([[len(row) for row in ranks] for ranks in epochs])  # (epoch, rank)
    met = torch.cat([row for ranks in epochs for row in ranks])
    epoch = torch.arange(len(epochs)).repeat_interleave(lengths.sum(1))
    known = (met >= 0) & (met < N)
    times = torch.bincount((epoch * N + met)[known], minlength=len(epochs) * N).view(-1, N)
    shortest, longest = lengths.min(1).values, lengths.max(1).values
    equal = shortest == longest
    return {
        "strange": (~known).sum(),
        "unequal": (~equal).sum(),
        "short": (equal & (longest < k)).sum(),
        "long": (equal & (shortest > k)).sum(),
        "unseen": (min(N, size * k) - (times > 0).sum(1)).clamp(min=0).sum(),
        "often": (times > -(-size * k // N)).sum(),
        "k": k,
        "epochs": len(epochs),
    }


def _over_epochs(case, epochs, whole):
    """How the orders of different epochs and seeds go together, in sigma; 0 where single epochs are not whole."""
    if not case["random"]:
        return {}
    of_seed, at_epoch = defaultdict(list), defaultdict(list)
    for (seed, epoch), ranks in zip(case["asked"], epochs, strict=True):
        of_seed[seed].append(ranks)
        at_epoch[epoch].append(ranks)
    n = {
        "same_epochs": sum(map(_repeats, of_seed.values())),
        "same_seeds": sum(map(_repeats, at_epoch.values())),
        "compared": len(epochs),
    } | dict.fromkeys(["ascents", "pairs", "early", *CHANCES], 0)
    if not whole:
        return n
    # Seeds of few epochs are left out: (0, 1) and (1, 0) may share an order.
    often = [of for of in of_seed.values() if len(of) >= EPOCHS]
    orders = torch.stack([torch.stack(ranks) for of in often or [epochs] for ranks in of])
    n |= _ascents(case["N"], orders) | {"early": _early(orders)}
    return n | _chances(case["N"], orders) if often else n


def _repeats(epochs):
    """How many of them are one before, once more."""
    return len(epochs) - len({tuple(tuple(row.tolist()) for row in ranks) for ranks in epochs})


def _followers(N, X):
    """(record, a, b) of each b behind an a in orders X (R, size, k); once, where the order begins again."""
    record = torch.arange(len(X))[:, None, None]
    pairs = ((record * N + X[..., :-1]) * N + X[..., 1:]).unique()
    record, a, b = pairs // N**2, pairs // N % N, pairs % N
    return record[a != b], a[a != b], b[a != b]


def _ascents(N, X):
    _, a, b = _followers(N, X)
    return {"ascents": (b > a).sum(), "pairs": len(a)}


def _early(X):
    """How many sigma places and indices go together, either way."""
    places = torch.arange(X.shape[-1], dtype=torch.float64).expand(X.shape)
    a, b = (x - x.mean() for x in (places, X.double()))
    return abs((a * b).sum() / (a.norm() * b.norm())).item() * math.sqrt(X.numel())


def _chances(N, X):
    """Of the orders X (R, size, k): how far what they have in common goes beyond chance."""
    R, size, k = X.shape
    at = torch.zeros(R, N, size, dtype=torch.float64)
    at.scatter_add_(1, X.mT, torch.ones(R, k, size, dtype=torch.float64))  # how often a sample is at a rank
    odd = at.sum(2)
    odd = odd - 1 if size * k > N else 1 - odd  # who comes once more, or not at all
    together = torch.einsum("rns,rms->nm", at, at).triu(1)[tuple(torch.triu_indices(N, N, 1))]
    record, a, b = _followers(N, X)
    follow = torch.bincount(a * (N - 1) + b - (b > a).long(), minlength=N * (N - 1))
    steps = torch.bincount(record * (N - 1) + (b - a) % N - 1, minlength=R * (N - 1))
    return {
        "stays": _clumps(at.sum(0), R, k / N),
        "tail": _clumps(odd.sum(0), R, abs(size * k - N) / N),
        "steps": _clumps(steps, size * (k - 1), 1 / (N - 1)),
        "follow": _clumps(follow, len(a), 1 / (N * (N - 1))),
        "together": _clumps(together, R, (together.mean() / R).item()),
        "places": _unevenness(X.flatten(1), N) if R >= OFTEN else 0.0,
    }


def _clumps(counts, n, p):
    return clumping(counts.double(), torch.full(counts.shape, n), p)


def _unevenness(orders, N):
    """How many sigma the table of which sample stands where, of whole orders (R, N), lies above chance, by chi square.

    Its rows and columns all have the sum R, so (N - 1)² numbers in it are free.
    """
    counts = torch.bincount((orders + N * torch.arange(N)).flatten(), minlength=N * N).double()
    expected, free = len(orders) / N, (N - 1) ** 2
    square = ((counts - expected) ** 2 / expected).sum().item() * (N - 1) / N
    return (square - free) / math.sqrt(2 * free)


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
    "stays": "samples come to the same rank too often: any order is to be as likely as any other",
    "tail": "it is too often the same samples that are left out, or that come once more",
    "together": "the same samples meet at one rank too often",
    "follow": "the same sample follows the same one too often: any order is to be as likely as any other",
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
        *(at_most(name, UNEVEN if name == "places" else MANY, says, when="random") for name, says in CHANCES.items()),
        at_most(
            "early",
            MANY,
            "large indices come late in an epoch too often, or early: any order is to be as likely as any other",
            when="random",
        ),
    ),
)
