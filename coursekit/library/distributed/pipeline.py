"""What stands in for "One forward, one backward" while it is unsolved, and the other plans that a figure compares.

Every plan here is made by one rule: do the first kind of step that is allowed.
"""

import torch


def one_f_one_b(stage, stages, m):
    return _greedy(m, stages - stage, None)


def zero_bubble(stage, stages, m):
    return _greedy(m, stages - stage, stage)


def all_forward(stage, stages, m):
    """All forward passes, then all backward passes: GPipe, Huang et al. 2019."""
    return _greedy(m, m, None)


def interleaved(stage, stages, m, chunks=2):
    """1F1B with several chunks a stage: Narayanan et al. 2021, section 2.2, with groups of about `stages`.

    Each group goes through one chunk before the next chunk begins. Groups are equal there; here their sizes differ by
    one at most, so that m may be any number.
    """
    sizes = [len(part) for part in torch.arange(m).tensor_split(max(1, m // stages))]
    groups = [range(sum(sizes[:k]), sum(sizes[: k + 1])) for k in range(len(sizes))]
    order = {
        kind: [(kind, i, chunk) for group in groups for chunk in range(chunks)[::way] for i in group]
        for kind, way in (("F", 1), ("B", -1))
    }
    alive = 2 * (stages - stage - 1) + (chunks - 1) * sizes[0] + 1
    return [order[kind][k] for kind, k in _greedy(m * chunks, alive, None)]


def _greedy(m, alive, delay):
    """F while fewer than `alive` wait for their B; W, if there is any, when more than `delay` wait for it."""
    done = dict.fromkeys("FBW", 0)
    plan = []
    while done["B"] < m or (delay is not None and done["W"] < m):
        if delay is not None and (done["B"] - done["W"] > delay or done["B"] == m):
            kind = "W"
        else:
            kind = "F" if done["F"] < min(m, done["B"] + alive) else "B"
        plan.append((kind, done[kind]))
        done[kind] += 1
    return plan


def from_library(comm, module, plan, inputs, loss):
    """The steps of a stage; what is kept of a micro-batch is the input and what gradients begin with."""
    sizes = [x.shape[0] for x in inputs]
    before = comm.rank - 1 if comm.rank else None
    after = comm.rank + 1 if comm.rank + 1 < comm.size else None
    pending: dict = {}
    means = torch.zeros(len(sizes), dtype=torch.float64)
    for step, number in plan:
        if step == "B":
            given, result = pending.pop(number)
            torch.autograd.backward(result, None if after is None else comm.recv(after))
            if before is not None:
                comm.send(given.grad, before)
            continue
        given = inputs[number] if before is None else torch.nn.Parameter(comm.recv(before))
        result = module(given)
        if after is None:
            result = loss(result, number).mul(sizes[number]).div(sum(sizes))
            means[number] = result.item()
        else:
            comm.send(result, after)
        pending[number] = (given, result)
    return means.sum() if after is None else None


LIBRARY = (one_f_one_b, from_library, zero_bubble)
