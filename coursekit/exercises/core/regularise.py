"""dropout, decay_groups and average_: noise while training, what shrinks, and a model that is the mean of many."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal, scattered
from coursekit.checking.laws import Count, as_measurements, at_most, clumping, evenness, none, share
from coursekit.checking.probing import Wrong, returned

DROPOUT, GROUPS, AVERAGE = "dropout", "decay groups", "averages"
CALLS = 30
IN_BOTH = "times in decay and no_decay, "
FROZEN, TWICE = "frozen parameters", "a weight under two names"
OF_TYPES = {nn.Embedding: "vectors of an embedding", nn.LayerNorm: "weights of nn.LayerNorm"}
SIZES = ("numbers without dimensions", "vectors of another norm", "matrices", "kernels of a convolution")
KINDS = (FROZEN, TWICE, "biases", *OF_TYPES.values(), *SIZES)
STEPS = "after each step, "


def cases(g):
    return [*_dropout_cases(g), *_group_cases(), *_average_cases(g)]


def _dropout_cases(g):
    def case(*shape, p, training=True, note="", dtype=torch.float32, swapped=False):
        """No entry of x is 0, so that a dropped one is known."""
        x = normal(g, *shape, dtype=torch.float64)
        x = (x.sign() * (0.5 + x.abs())).to(dtype)
        words = [f"x {shape}".replace(",)", ")"), f"p={p:g}", "training" if training else "evaluation", note]
        words += [dtype_name(dtype)] * (dtype != torch.float32)
        inputs = {"x": scattered(x) if swapped else x, "dy": normal(g, *shape, dtype=dtype)}
        # How many entries are dropped is chance where there is a choice; what the others are is not.
        inputs |= {"p": p, "training": training, "chance": training and 0 < p < 1}
        inputs["seed"] = torch.randint(2**31, (), generator=g).item()
        return Case(DROPOUT, ", ".join(filter(None, words)), inputs)

    double = torch.float64
    return [
        case(6, 10, 8, p=0.2),
        case(24, 20, p=0.7, dtype=double),
        case(400, p=0.5),
        case(30, 1, 12, p=0.1, dtype=double, swapped=True, note="not contiguous"),
        case(6, 10, 8, p=0.2, training=False),
        case(3, 5, p=0.9, training=False, dtype=double, note="its gradient"),
        case(6, 10, 8, p=0.0),
        case(3, 5, p=1.0, dtype=double, note="nothing is left"),
    ]


class Rescale(nn.Module):
    """A norm of another type, whose vector has a name of its own."""

    def __init__(self, D):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(D))


class Block(nn.Module):
    """Names that say little: a gate of one row, a convolution, a map called norm_map, a number without dimensions."""

    def __init__(self):
        super().__init__()
        self.query, self.output, self.gate = nn.Linear(3, 4), nn.Linear(4, 3), nn.Linear(3, 1)
        self.ln_1, self.rescale, self.near = nn.LayerNorm(3), Rescale(3), nn.Conv1d(3, 3, 2)
        self.norm_map = nn.Linear(3, 3, bias=False)
        self.temperature = nn.Parameter(torch.tensor(1.0))


class Text(nn.Module):
    """Embeddings, blocks and a head, which may be tied."""

    def __init__(self, blocks, tied):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(5, 3), nn.Embedding(4, 3)
        self.blocks = nn.ModuleList(Block() for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(3), nn.Linear(3, 5)
        if tied:
            self.head.weight = self.tokens.weight


def _group_cases():
    def case(label, blocks=1, tied=False, frozen=()):
        return Case(GROUPS, label, {"blocks": blocks, "tied": tied, "frozen": list(frozen), "chance": False})

    return [
        case("one block"),
        case("3 blocks, head.weight is tokens.weight", blocks=3, tied=True),
        case("2 blocks, the first of them frozen", blocks=2, frozen=["blocks.0"]),
        case("embeddings and a head, tied and frozen", blocks=0, tied=True, frozen=["tokens"]),
        case("all is frozen but the norms", frozen=["tokens", "positions", "blocks.0.", "head"]),
    ]


class Running(nn.Module):
    """Weights, a running mean, a count of batches and a mask: what a model's state is made of."""

    def __init__(self, D, E, tied):
        super().__init__()
        self.first, self.second = nn.Linear(D, E), nn.Linear(D, E, bias=False)
        if tied:
            self.second.weight = self.first.weight
        self.register_buffer("mean", torch.zeros(E))
        self.register_buffer("batches", torch.tensor(0))
        self.register_buffer("seen", torch.zeros(E, dtype=torch.bool))
        self.register_buffer("unsaved", torch.zeros(E), persistent=False)


def _average_cases(g):
    def case(label, beta, steps, tied=False, dtype=torch.float32, D=3, E=4, trained=False, scale=1.0):
        """The model's numbers at each of these steps; the first row is where the shadow begins."""
        n = len(steps) + 1
        numbers = {"first.weight": (n, E, D), "second.weight": (n, E, D), "first.bias": (n, E), "mean": (n, E)}
        numbers["unsaved"] = (n, E)
        inputs = {name: scale * normal(g, *shape, dtype=dtype) for name, shape in numbers.items()}
        inputs |= {"batches": torch.randint(3, 10**6, (n,), generator=g), "seen": torch.rand(n, E, generator=g) < 0.5}
        inputs |= {"D": D, "E": E, "beta": beta, "steps": steps, "tied": tied, "trained": trained, "chance": False}
        words = [f"beta={beta:g}", label] + [dtype_name(dtype)] * (dtype == torch.float64)
        return Case(AVERAGE, ", ".join(words), inputs)

    double = torch.float64
    return [
        case("steps 0, 1 and 2", 0.999, [0, 1, 2]),
        case("steps 0 to 3", 0.3, list(range(4)), dtype=double),
        case("steps 20000 and 20001", 0.99, [20_000, 20_001], dtype=double),
        case("step 8", 0.5, [8]),
        case("steps 3 and 4, a weight under two names", 0.9, [3, 4], tied=True),
        case("step 100, the shadow can be trained", 0.95, [100], D=1, E=1, dtype=double, trained=True),
        case("steps 0 and 50, large numbers", 0.9, [0, 50], scale=1e4, dtype=double),
    ]


def probe(case, dropout, decay_groups, average_):
    if "p" in case:
        return _dropped(case, dropout)
    return _grouped(case, decay_groups) if "blocks" in case else _averaged(case, average_)


def _dropped(case, dropout):
    """What many calls give, what the first gives again, and the gradient of one."""
    g = torch.Generator(case["x"].device).manual_seed(case["seed"])

    def call(x):
        y = returned(dropout(x, case["p"], case["training"], g), "y")
        narrower = not y.is_floating_point() or torch.promote_types(y.dtype, x.dtype) != y.dtype
        if y.shape != x.shape or narrower or y.device != x.device:
            found, want = ((tuple(t.shape), t.dtype, str(t.device)) for t in (y, x))
            raise Wrong(f"dropout returned {found}, expected {want}: shape, dtype and device of x")
        return y

    calls = CALLS if case["chance"] else 2
    found = [call(case["x"]).detach().clone() for _ in range(calls)]
    g.manual_seed(case["seed"])
    found.append(call(case["x"].clone()).detach().clone())
    x = case["x"].clone().requires_grad_()
    y = call(x)
    if not y.requires_grad and case["p"] < 1:
        raise Wrong("no gradient can flow back through dropout: it is cut off (by detach, .data or no_grad)")
    dx = torch.autograd.grad(y, x, case["dy"])[0] if y.requires_grad else torch.zeros_like(x)
    return {"calls": torch.stack(found), "y": y.detach(), "dx": dx}


def _grouped(case, decay_groups):
    """How often each parameter is in either list, by what it is."""
    model = Text(case["blocks"], case["tied"])
    for name, p in model.named_parameters():
        p.requires_grad_(not any(name.startswith(begin) for begin in case["frozen"]))
    kinds = {p: _kind(model, m, name, p) for m in model.modules() for name, p in m.named_parameters(recurse=False)}
    before, looks = {name: (p, p.detach().clone(), p.requires_grad) for name, p in _named(model)}, _looks(model)
    found = {p: [0, 0] for p in kinds}
    for place, group in enumerate(_two_lists(decay_groups(model))):
        for p in group:
            if not isinstance(p, torch.Tensor) or p not in found:
                raise Wrong(f"a list holds {_told(p)}, expected parameters of the model")
            found[p][place] += 1
    for name, p in _named(model):
        was, numbers, trained = before[name]
        if p is not was or p.requires_grad != trained or not torch.equal(p, numbers):
            raise Wrong(f"{name} is not what it was: decay_groups sorts parameters, and changes none of them")
    if _looks(model) != looks:
        raise Wrong("the model's mode is another one afterwards: decay_groups sorts parameters, and does nothing else")
    return {
        f"{IN_BOTH}{kind}": torch.tensor([times for p, times in found.items() if kinds[p] == kind])
        for kind in sorted({*kinds.values()})
    }


def _named(model):
    return model.named_parameters(remove_duplicate=False)


def _two_lists(value):
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Wrong(f"decay_groups returned {_told(value)}, expected two lists: decay, no_decay")
    if odd := [x for x in value if not isinstance(x, (tuple, list, set))]:
        raise Wrong(f"decay_groups returned {_told(odd[0])} in place of a list")
    return [[*group] for group in value]


def _told(value):
    return f"{len(value)} things" if isinstance(value, (tuple, list)) else f"a {type(value).__name__}"


def _kind(model, module, name, p):
    """What a parameter is, in the words of the exercise."""
    if not p.requires_grad:
        return FROZEN
    if p is model.tokens.weight and p is model.head.weight:
        return TWICE
    if name == "bias":
        return "biases"
    return OF_TYPES.get(type(module)) or SIZES[p.ndim]


def _averaged(case, average_):
    """The shadow's state after each step, where nothing but its numbers has changed."""
    model, shadow = (Running(case["D"], case["E"], case["tied"]) for _ in range(2))
    for one in (model, shadow):
        one.to(case["mean"])
    _filled(shadow, case, 0)
    shadow.requires_grad_(case["trained"])
    model.first.bias.requires_grad_(False)
    model.train(case["steps"][0] != 0)
    found = []
    for i, step in enumerate(case["steps"], 1):
        _filled(model, case, i)
        state, looks, before = {n: x.clone() for n, x in _objects(model).items()}, _looks(model), _objects(shadow)
        average_(shadow, model, case["beta"], step)
        if any(not torch.equal(x, state[name]) for name, x in _objects(model).items()):
            raise Wrong("the model is changed: the average is written into the shadow, and the model is only read")
        if _looks(model) != looks:
            raise Wrong("the model's mode, or what of it is frozen, is another one afterwards: it is only read")
        _same_objects(shadow, before, case["trained"])
        theirs = {x.data_ptr() for x in _objects(model).values()}
        if odd := [name for name, x in _objects(shadow).items() if x.data_ptr() in theirs]:
            raise Wrong(f"{odd[0]} of the shadow is the model's own tensor, and changes with it: copy its numbers")
        found.append({name: x.detach().clone() for name, x in _objects(shadow).items()})
    return {f"{STEPS}{name}": torch.stack([state[name] for state in found]) for name in found[0]}


def _filled(model, case, i):
    """The i-th numbers; a weight under two names has one."""
    with torch.no_grad():
        for name, x in _objects(model).items():
            x.copy_(case["first.weight" if case["tied"] and "weight" in name else name][i])


def _looks(model):
    """The mode of each module, and whether each parameter can learn."""
    return [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]


def _objects(model):
    return dict(_named(model)) | dict(model.named_buffers())


def _same_objects(shadow, before, trained):
    """Parameters are the objects that they were; a buffer may be another tensor."""
    for name, p in _named(shadow):
        if p is not before[name]:
            raise Wrong(f"{name} of the shadow is another Parameter than before: change its numbers in place")
        if p.requires_grad != trained or p.grad_fn is not None:
            raise Wrong(f"{name} of the shadow is frozen, thawed or has a graph afterwards: work under torch.no_grad()")
    for name, x in shadow.named_buffers():
        if x.dtype != before[name].dtype or x.shape != before[name].shape:
            raise Wrong(f"{name} of the shadow is {tuple(x.shape)}, {x.dtype}, expected what it was before")


def measure(case, outputs):
    """Dropout's counts over all calls; the last one is the first one again. Other parts are compared as they are."""
    if "p" not in case:
        return outputs
    if not case["chance"]:
        return {name: outputs[name] for name in ("y", "dx")}
    x, p = case["x"], case["p"]
    tolerance = 1e-4 if x.dtype == torch.float32 else 1e-9
    x = x.double()
    Y, again = outputs["calls"][:-1].double(), outputs["calls"][-1].double()
    kept = Y != 0
    factor = (Y / x)[kept].mean().item() if kept.any() else 0.0
    y, dx, dy = (t.double() for t in (outputs["y"], outputs["dx"], case["dy"]))
    dropped, share_ = ~kept, (~kept).double().mean().item()
    clumped = [clumping(*counted, share_) for counted in _along(dropped)]
    counts = {
        "entries": Y.numel(),
        "dropped": dropped.sum(),
        "factor": factor,
        "wanted": 1 / (1 - p),
        "odd": (kept & ((Y / (factor * x) - 1).abs() > tolerance)).sum(),
        "again": (Y[0] != again).sum(),
        "same": (Y[0] == Y[1]).all(),
        # Of a mask that is the same in all calls another law speaks.
        "clumped": max(clumped[1:]),
        "dim": clumped.index(max(clumped[1:])) - 1,
        "favoured": clumped[0],
        "even": max(evenness(*counted, share_) for counted in [*_along(dropped)[1:], _by_call(dropped)]),
        "gradients": ((dx - dy * y / x).abs() > tolerance * dy.abs() / (1 - p)).sum(),
    }
    return as_measurements(counts, x.device)


def _along(dropped):
    """For each dimension, calls first, how many entries are dropped along it, and of how many; nothing along ones."""
    counts = [dropped.sum(dim) for dim in range(dropped.dim())]
    return [(count, torch.full_like(count, n if n > 1 else 0)) for count, n in zip(counts, dropped.shape, strict=True)]


def _by_call(dropped):
    count = dropped.flatten(1).sum(1)
    return count, torch.full_like(count, dropped[0].numel())


def _said(kind):
    """What is said of parameters of this kind that are in the wrong list, in both, or in none."""

    def told(found, right):
        wrong = next(i for i in range(len(found)) if not torch.equal(found[i], right[i]))
        (decay, none_), (wanted, _) = found[wrong].tolist(), right[wrong].tolist()
        place = "in `decay` once" if wanted else "in neither list" if kind == FROZEN else "in `no_decay` once"
        return f"{kind}: one is {decay} times in `decay` and {none_} times in `no_decay`, expected {place}"

    return told


EXERCISE = Exercise(
    id="core.regularise",
    title="Mend this code, three ways to regularise",
    parts={DROPOUT: 1, GROUPS: 1, AVERAGE: 1},
    minutes=30,
    difficulty="core",
    importance=4,
    calls=(
        "dropout(x, p, training, g)",
        "decay_groups(model)",
        "average_(shadow, model, beta, step)",
    ),
    cases=cases,
    probe=probe,
    measure=measure,
    ordered=False,
    said={f"{IN_BOTH}{kind}": _said(kind) for kind in KINDS},
    # In the order in which a learner should mend them.
    laws=(
        none("again", "{n:.0f} entries differ between two calls with equal seeds: draw all of them from `g`", "chance"),
        none("same", "two calls with the same generator drop the same entries", "chance"),
        at_most(
            *("clumped", 7),
            "along dimension {dim:.0f} entries are dropped together: each has a draw of its own",
            "chance",
        ),
        at_most("favoured", 7, "some places are dropped in most calls, and others in few", "chance"),
        share("dropped", "entries", "p", "{share:.1%} of the entries are dropped, expected {p:.0%}", "chance"),
        Count(
            "factor",
            "what is kept is {n:.4g} times x, expected 1 / (1 - p), which is {of:.4g}",
            "chance",
            lambda n, of, p: not abs(n / of - 1) <= 1e-3,
            lambda one, other: abs(one[0] / one[1] - other[0] / other[1]) <= 0.02,
            "wanted",
        ),
        none("odd", "{n:.0f} entries are neither dropped nor multiplied by the same number as others", "chance"),
        at_most(
            *("even", 6),
            "as good as the same number of entries is dropped each time: each entry has a chance of its own",
            "chance",
        ),
        none("gradients", "{n:.0f} entries of the gradient of x are not those of what is returned", "chance"),
    ),
)
