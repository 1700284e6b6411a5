"""parameter_groups(parts, rate, factor, decay) and warm_up(step, warm, total): what an optimiser is told."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.probing import Wrong, number

LONGEST = 12  # steps at which a schedule is read


def cases(g):
    def drawn(low, high):
        return round(low + (high - low) * torch.rand((), generator=g, dtype=torch.float64).item(), 4)

    def groups(part, label, layers, factor=1.0, decay=None, frozen=()):
        decay = drawn(0.01, 0.1) if decay is None else decay
        given = {"layers": layers, "frozen": list(frozen), "rate": drawn(0.1, 1), "factor": factor, "decay": decay}
        return Case(part, label, given)

    def schedule(warm, total):
        return Case("warm-up", f"warm={warm}, total={total}", {"warm": warm, "total": total})

    warm = 2 + torch.randint(3, (), generator=g).item()
    return [
        groups("decay", "2 layers, equal rates", 2),
        groups("decay", "1 layer, embeddings frozen", 1, frozen=[0]),
        groups("rates", "3 layers", 3, drawn(0.6, 0.9)),
        groups("rates", "2 layers, embeddings and layer 0 frozen", 2, drawn(0.5, 0.8), frozen=[0, 1]),
        groups("rates", "1 layer, decay 0", 1, drawn(0.6, 0.9), decay=0.0),
        schedule(warm, warm + 6),
        schedule(1, 7),
        schedule(0, 5),
    ]


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.output = nn.Linear(3, 4), nn.Linear(4, 3)
        self.norm_output = nn.LayerNorm(3)


class Embeddings(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Embedding(5, 3), nn.Embedding(4, 3)
        self.norm = nn.LayerNorm(3)


def _parts(layers, frozen):
    """Embeddings, layers and head, without any model around them."""
    parts = [Embeddings(), *(Layer() for _ in range(layers)), nn.Linear(3, 2)]
    for i in frozen:
        parts[i].requires_grad_(False)
    return parts


def probe(case, parameter_groups, warm_up):
    if "warm" in case:
        shares = [number(warm_up(step, case["warm"], case["total"]), "the share") for step in range(LONGEST)]
        return {"warm_up(step, warm, total)": torch.stack(shares)}
    parts = _parts(case["layers"], case["frozen"])
    found = {id(p): [] for part in parts for p in part.parameters()}
    for group in _checked(parameter_groups(parts, case["rate"], case["factor"], case["decay"])):
        for p in group["params"]:
            if id(p) not in found:
                raise Wrong("a group holds a parameter that belongs to none of the parts")
            found[id(p)].append((group["lr"], group["weight_decay"]))
    last = [mine[-1] if mine else (-1.0, -1.0) for mine in found.values()]  # -1: an optimiser would not know it
    return {
        "groups that hold each parameter": torch.tensor(list(map(len, found.values()))),
        "weight_decay of each parameter": torch.tensor([decay for _, decay in last]),
        "lr of each parameter": torch.tensor([rate for rate, _ in last]),
    }


def _checked(groups):
    """The groups, when an optimiser could read them: a list of dicts with lists of parameters and two numbers."""
    if not isinstance(groups, (list, tuple)):
        raise Wrong(f"parameter_groups returned a {type(groups).__name__}, expected a list of dicts")
    return [_group(group) for group in groups]


def _group(group):
    if not isinstance(group, dict):
        raise Wrong(f"a group is a {type(group).__name__}, expected a dict")
    if missing := [key for key in ("params", "lr", "weight_decay") if key not in group]:
        has = ", ".join(map(repr, group)) or "none"
        raise Wrong(f"a group has no {' and no '.join(map(repr, missing))}; it has the keys {has}")
    params = [group["params"]] if isinstance(group["params"], torch.Tensor) else list(group["params"])
    if odd := [p for p in params if not isinstance(p, torch.Tensor)]:
        raise Wrong(f"'params' holds a {type(odd[0]).__name__}, expected parameters: named_parameters() gives pairs")
    return {"params": params} | {key: number(group[key], repr(key)).item() for key in ("lr", "weight_decay")}


EXERCISE = Exercise(
    id="bert.parameter_groups",
    title="Parameter groups and a schedule",
    parts={"decay": 1, "rates": 1, "warm-up": 1},
    minutes=25,
    difficulty="core",
    calls=("parameter_groups(parts, rate, factor, decay)", "warm_up(step, warm, total)"),
    cases=cases,
    probe=probe,
    ordered=False,
)
