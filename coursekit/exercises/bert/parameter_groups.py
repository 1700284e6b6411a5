"""parameter_groups(parts, rate, factor, decay) and warm_up(step, warm, total): what an optimiser is told."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.probing import Wrong, number

LONGEST = 12  # steps at which a schedule is read


def cases(g):
    def drawn(low, high):
        return round(low + (high - low) * torch.rand((), generator=g, dtype=torch.float64).item(), 4)

    def groups(layers, factor, decay, frozen=()):
        return {"layers": layers, "frozen": list(frozen), "rate": drawn(0.1, 1), "factor": factor, "decay": decay}

    warm = 2 + torch.randint(3, (), generator=g).item()
    return [
        Case("decay", "2 layers, equal rates", groups(2, 1.0, drawn(0.01, 0.1))),
        Case("decay", "1 layer, embeddings frozen", groups(1, 1.0, drawn(0.01, 0.1), [0])),
        Case("rates", "3 layers", groups(3, drawn(0.6, 0.9), drawn(0.01, 0.1))),
        Case("rates", "2 layers, embeddings and layer 0 frozen", groups(2, drawn(0.5, 0.8), drawn(0.01, 0.1), [0, 1])),
        Case("rates", "1 layer, decay 0", groups(1, drawn(0.6, 0.9), 0.0)),
        Case("warm-up", f"warm={warm}, total={warm + 6}", {"warm": warm, "total": warm + 6}),
        Case("warm-up", "warm=1, total=7", {"warm": 1, "total": 7}),
        Case("warm-up", "warm=0, total=5", {"warm": 0, "total": 5}),
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
    groups = _checked(parameter_groups(parts, case["rate"], case["factor"], case["decay"]))
    found = {}
    for group in groups:
        for p in group["params"]:
            found.setdefault(id(p), []).append((group["lr"], group["weight_decay"]))
    parameters = [p for part in parts for p in part.parameters()]
    known = {id(p) for p in parameters}
    if any(place not in known for place in found):
        raise Wrong("a group holds a parameter that belongs to none of the parts")
    mine = [found.get(id(p), []) for p in parameters]
    last = [(m[-1] if m else (-1.0, -1.0)) for m in mine]  # -1 where an optimiser would not know the parameter
    return {
        "groups that hold each parameter": torch.tensor([len(m) for m in mine]),
        "weight_decay of each parameter": torch.tensor([decay for _, decay in last]),
        "lr of each parameter": torch.tensor([rate for rate, _ in last]),
    }


def _checked(groups):
    """The groups, when an optimiser could read them: a list of dicts with lists of parameters and two numbers."""
    if not isinstance(groups, (list, tuple)):
        raise Wrong(f"parameter_groups returned a {type(groups).__name__}, expected a list of dicts")
    checked = []
    for group in groups:
        if not isinstance(group, dict):
            raise Wrong(f"a group is a {type(group).__name__}, expected a dict")
        if missing := [key for key in ("params", "lr", "weight_decay") if key not in group]:
            has = ", ".join(map(repr, group)) or "none"
            raise Wrong(f"a group has no {' and no '.join(map(repr, missing))}; it has the keys {has}")
        params = [group["params"]] if isinstance(group["params"], torch.Tensor) else list(group["params"])
        for p in params:
            if not isinstance(p, torch.Tensor):
                raise Wrong(f"'params' holds a {type(p).__name__}, expected parameters: named_parameters() gives pairs")
        numbers = {key: number(group[key], repr(key)).item() for key in ("lr", "weight_decay")}
        checked.append({"params": params} | numbers)
    return checked


def _groups(parts, rate, factor, decay):
    """transformers' choice of what decays; torch's geometric series of rates."""
    from transformers.trainer_pt_utils import get_parameter_names  # here, because it takes seconds to import

    depths = torch.arange(len(parts) - 1, -1, -1.0, dtype=torch.float64)
    groups = []
    for part, lr in zip(parts, (rate * torch.pow(factor, depths)).tolist(), strict=True):
        decayed = get_parameter_names(part, [nn.LayerNorm], ["bias"])
        trained = [(n, p) for n, p in part.named_parameters() if p.requires_grad]
        for decays in (True, False):
            params = [p for n, p in trained if (n in decayed) == decays]
            groups.append({"params": params, "lr": lr, "weight_decay": decays * decay})
    return groups


def _schedule(step, warm, total):
    """transformers' schedule, whose warm-up counts from 0: there the first step has the rate 0."""
    from transformers.optimization import _get_linear_schedule_with_warmup_lr_lambda as theirs

    return theirs(step + (step < warm), num_warmup_steps=warm, num_training_steps=total)


EXERCISE = Exercise(
    id="bert.parameter_groups",
    title="Parameter groups and a schedule",
    parts={"decay": 1, "rates": 1, "warm-up": 1},
    minutes=25,
    difficulty="core",
    calls=("parameter_groups(parts, rate, factor, decay)", "warm_up(step, warm, total)"),
    cases=cases,
    probe=probe,
    library=(_groups, _schedule),
    ordered=False,
)
