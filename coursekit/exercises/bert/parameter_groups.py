"""parameter_groups(parts, rate, factor, decay) and warm_up(step, warm, total): what an optimiser is told."""

import math

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
        groups("decay", "1 layer, embeddings frozen", 1, frozen=["0."]),
        groups("decay", "1 layer, of the embeddings only the tokens' frozen", 1, frozen=["0.token"]),
        groups("rates", "3 layers", 3, drawn(0.6, 0.9)),
        groups("rates", "2 layers, embeddings and layer 0 frozen", 2, drawn(0.5, 0.8), frozen=["0.", "1."]),
        groups("rates", "1 layer, decay 0", 1, drawn(0.6, 0.9), decay=0.0),
        groups("rates", "16 layers", 16, drawn(0.6, 0.9)),
        schedule(warm, warm + 6),
        schedule(warm, warm + 4),
        schedule(1, warm + 6),
        schedule(0, 5),
        schedule(3, 4),
    ]


class Rescale(nn.Module):
    """A norm that is none of torch's: x / sqrt(mean(x^2)), times a weight."""

    def __init__(self, D):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(D))

    def forward(self, x):
        return x * x.pow(2).mean(-1, keepdim=True).rsqrt() * self.weight


class Layer(nn.Module):
    """Names and kinds as they differ from model to model; a gate of one row, a convolution, a weight with two names."""

    def __init__(self):
        super().__init__()
        self.query, self.output = nn.Linear(3, 4), nn.Linear(4, 3)
        self.norm_output, self.ln_1, self.scaled = nn.LayerNorm(3), nn.LayerNorm(3), Rescale(3)
        self.gate, self.near = nn.Linear(3, 1), nn.Conv1d(3, 3, 2)
        self.tied = nn.Linear(4, 3, bias=False)
        self.tied.weight = self.output.weight


class Embeddings(nn.Module):
    def __init__(self):
        super().__init__()
        self.token, self.position = nn.Embedding(5, 3), nn.Embedding(4, 3)
        self.norm = nn.LayerNorm(3)


def _parts(layers, frozen):
    """Embeddings, layers and head, without any model around them; frozen is what has a name that begins so."""
    parts = nn.ModuleList([Embeddings(), *(Layer() for _ in range(layers)), nn.Linear(3, 2)])
    for name, p in parts.named_parameters():
        p.requires_grad_(not any(name.startswith(begin) for begin in frozen))
    return list(parts)


def probe(case, parameter_groups, warm_up):
    if "warm" in case:
        shares = [number(warm_up(step, case["warm"], case["total"]), "the share") for step in range(LONGEST)]
        return {"warm_up(step, warm, total)": torch.stack(shares)}
    parts = _parts(case["layers"], case["frozen"])
    given = [*parts]
    kinds = {
        p: _kind(m, name, p) for part in parts for m in part.modules() for name, p in m.named_parameters(recurse=False)
    }
    found, before = {p: [] for p in kinds}, {p: p.detach().clone() for p in kinds}
    groups = _checked(parameter_groups(given, case["rate"], case["factor"], case["decay"]))
    # How the parts begin is random, and not the same everywhere: the numbers are compared here.
    if any(p.shape != was.shape or not torch.equal(p, was) for p, was in before.items()):
        raise Wrong("the weights of the parts are changed: their groups are asked for, and nothing of them is altered")
    for group in groups:
        for p in group["params"]:
            if p not in found:
                raise Wrong("a group holds a parameter that belongs to none of the parts")
            found[p].append((group["lr"], group["weight_decay"]))
    last = {p: mine[-1] if mine else (math.inf, math.inf) for p, mine in found.items()}  # of those that no group holds
    by_kind = {kind: [p for p in kinds if kinds[p] == kind] for kind in sorted({*kinds.values()})}
    return {
        **{f"groups that hold {kind}": torch.tensor([len(found[p]) for p in ps]) for kind, ps in by_kind.items()},
        **{f"weight_decay of {kind}": torch.tensor([last[p][1] for p in ps]) for kind, ps in by_kind.items()},
        "lr of each parameter, from the lowest part to the head": torch.tensor([rate for rate, _ in last.values()]),
        "order of the parts, afterwards": torch.tensor([parts.index(part) for part in given]),
        "requires_grad of each parameter, afterwards": torch.tensor([p.requires_grad for p in kinds]),
    }


def _kind(module, name, p):
    """What a parameter is, in the words of the exercise."""
    if name == "bias":
        return "biases"
    kinds = {nn.Embedding: "embeddings", nn.LayerNorm: "weights of nn.LayerNorm", Rescale: "weights of another norm"}
    if type(module) in kinds:
        return kinds[type(module)]
    return "a weight of three dimensions" if p.ndim == 3 else "a matrix of one row" if len(p) == 1 else "matrices"


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
    params = [group["params"]] if isinstance(group["params"], torch.Tensor) else list(map(_parameter, group["params"]))
    if odd := [p for p in params if not isinstance(p, torch.Tensor)]:
        raise Wrong(f"'params' holds a {type(odd[0]).__name__}, expected parameters")
    return {"params": params} | {key: number(group[key], repr(key)).item() for key in ("lr", "weight_decay")}


def _parameter(entry):
    """The parameter, also of a pair of a name and a parameter, which torch's optimisers take too."""
    named = isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str)
    return entry[1] if named and isinstance(entry[1], torch.Tensor) else entry


EXERCISE = Exercise(
    id="bert.parameter_groups",
    title="Parameter groups and a schedule",
    parts={"decay": 1, "rates": 1, "warm-up": 1},
    minutes=25,
    difficulty="core",
    importance=2,
    calls=("parameter_groups(parts, rate, factor, decay)", "warm_up(step, warm, total)"),
    cases=cases,
    probe=probe,
    ordered=False,
)
