"""ring_attention(comm, Q, K, V): causal attention over a sequence that is split among the ranks."""

import contextlib
from dataclasses import replace

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.checking.holding import Living
from coursekit.checking.probing import Wrong, returned
from coursekit.checking.ranks import (
    MESSAGES,
    READ,
    SENDS,
    TOO_LITTLE,
    WATCHED,
    at_most,
    measured,
    on_each,
    traffic,
)
from coursekit.world import World

WHOLE = Shapes("Q: H T d, K: H T d, V: H T d", told="n H Tn d")
MEMORY = "memory"  # the input of a case in which what is alive counts


def cases(g):
    double = torch.float64

    def case(part, n, H, Tn, d, memory=False, watched=False, summed=False, **given):
        """Of one `summed` the sum of Y is compared: its tensors are large."""
        flags = {MEMORY: memory, WATCHED: watched, "summed": summed}
        return WHOLE.cases(g)(part, n=n, H=H, Tn=Tn, d=d, T=n * Tn, **flags, **given)

    def far(n, H, Tn, d, levels, rows=(1.0,), note="", dtype=double):
        """Scores shifted by levels[j], repeated over the keys, times rows[i], repeated over the queries."""
        keys, queries = ([x[i % len(x)] for i in range(n * Tn)] for x in (levels, rows))
        return case("far apart", n, H, Tn, d, dtype=dtype, apart=(queries, keys), note=note)

    return [
        case("values", 3, 2, 4, 5),
        case("values", 4, 2, 3, 2, dtype=double),
        case("values", 2, 2, 1, 3),
        case("values", 1, 2, 5, 4),
        case("values", 5, 1, 2, 1, dtype=double),
        case("values", 3, 1, 50, 1, summed=True),
        far(3, 2, 2, 4, [1000, 1000, 0, 0, 0, 0], note="the first block's scores near 1000"),
        far(3, 1, 2, 4, [0, 0, 1000, 1000, 2000, 2000], note="each block's scores 1000 above those before"),
        far(2, 2, 3, 4, [0, 0, 1000], note="the last key of each block near 1000"),
        far(2, 2, 3, 4, [-20_000], note="all scores near -20000"),
        far(2, 1, 4, 4, [1000], rows=[1, -1], note="rows of scores near 1000 and near -1000"),
        far(3, 1, 2, 4, [0, 0, 100, 100, 0, 0], note="the second block's scores near 100", dtype=torch.float32),
        case("what is alive", 10, 2, 1, 16, memory=True),
        case("what is alive", 2, 1, 32, 16, memory=True, summed=True),
        case("what is sent", 5, 2, 3, 2, watched=True),
        case("what is sent", 2, 1, 4, 3, watched=True, dtype=double),
    ]


def probe(case, ring_attention):
    n, world = case["n"], World(case["n"], only=("send", "recv"))
    wholes = [case[name].split(case["Tn"], 1) for name in ("Q", "K", "V")]
    # Each rank has memory of its own, in which a block lies as in a longer sequence.
    blocks = [[torch.cat([block, block], 1)[:, : case["Tn"]] for block in whole] for whole in wholes]
    most = [0] * n

    def program(comm, Q, K, V):
        seen = case[MEMORY] and comm.rank in (0, n - 1)
        with Living([Q, K, V]) if seen else contextlib.nullcontext() as alive:
            Y = ring_attention(comm, Q, K, V)
        most[comm.rank] = alive.most if alive else 0
        return summed(returned(Y, "Y"), Q) if case["summed"] else Y

    try:
        found = on_each(world.run(program, *blocks), "the sum of Y" if case["summed"] else "Y")
    finally:
        for whole, given in zip(wholes, blocks, strict=True):
            for there, here in zip(whole, given, strict=True):
                there.copy_(here)  # what a rank has changed is seen
    costs = {}
    if case[WATCHED]:
        size = blocks[1][0].numel()
        # Of rank r's result 2 r blocks come from elsewhere.
        costs = traffic(world, 2 * (n - 1) * size, messages=2 * (n - 1), least=n * (n - 1) * size)
    if case[MEMORY]:
        H, Tn, d = blocks[0][0].shape
        costs = {"most": max(most), "most_enough": 10 * H * Tn * d + 8 * H * Tn * Tn}
    return found | measured(case["Q"], **costs)


def summed(Y, Q):
    """All numbers of Y added. Raises Wrong where its shape is not that of Q."""
    if Y.shape != Q.shape:
        raise Wrong(f"Y has shape {tuple(Y.shape)}, expected {tuple(Q.shape)}")
    return Y.detach().sum()


ALIVE = at_most(
    "most",
    "most_enough",
    "a rank holds {n:.0f} numbers at one time, and {of:.0f} are enough: keep no block when the next one is here",
    MEMORY,
)
EXERCISE = Exercise(
    id="distributed.ring_attention",
    title="Attention round the ring",
    parts={"values": 1, "far apart": 1, "what is alive": 1, "what is sent": 1},
    minutes=60,
    difficulty="challenge",
    importance=4,
    calls=("ring_attention(comm, Q, K, V)",),
    cases=cases,
    probe=probe,
    laws=(ALIVE, replace(READ, when=WATCHED), MESSAGES, SENDS, TOO_LITTLE),
    ordered=False,
    tolerance={torch.float32: (1e-4, 5e-5)},  # a score near 100 knows its last digit to 1e-5
)
