"""init_gpt(model, layers, generator): the numbers with which a GPT begins; judged by counting."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.laws import as_measurements, at_most, none, share, surprise
from coursekit.exercises.beginning import (
    CALLS,
    CENTRED,
    DRAWN_ANEW,
    PREFIX,
    PRESSED,
    ROWS,
    alike,
    apart,
    as_drawn,
    begun,
    deviates,
    off_centre,
    pressed,
    rows_together,
    too_even,
)

KINDS = ("tokens", "positions", "qkv", "up", "out", "down")
STREAM = ("out", "down")
LEFT = {"biases": 0.25, "norms": 0.75}  # what they are before a call
BEGIN = {"biases": 0.0, "norms": 1.0}
DEVIATION = 0.02
BEYOND, FAR_BEYOND = 0.0455, 0.0027  # the shares of a normal distribution beyond two and three deviations


def cases(g):
    def case(part, L, D, V, T, **given):
        """A model that has been trained before: none of its numbers is what it should be."""
        sizes = {"layers": L, "D": D, "V": V, "T": T}
        numbers = {"tokens": V * D, "positions": T * D, "qkv": 3 * L * D * D, "up": 4 * L * D * D}
        numbers |= {"out": L * D * D, "down": 4 * L * D * D}
        plain = {"head": False, "double": False, "stream": part == "stream"} | given
        seed = torch.randint(2**31, (), generator=g).item()
        notes = [note for note, told in (("head.weight is tied", plain["head"]), ("float64", plain["double"])) if told]
        label = ", ".join([*(f"{name}={size}" for name, size in sizes.items()), *notes])
        return Case(part, label, sizes | plain | {f"n_{kind}": n for kind, n in numbers.items()} | {"seed": seed})

    return [
        case("weights", 3, 16, 40, 24),
        case("weights", 2, 16, 50, 20, head=True, double=True),
        case("stream", 3, 16, 40, 24),
        case("stream", 1, 24, 30, 20, head=True, double=True),
        case("stream", 12, 8, 60, 40),
    ]


class Tree(nn.Module):
    """The names of a GPT and nothing that computes."""

    def __init__(self, case, layers):
        super().__init__()
        D = case["D"]
        self.tokens, self.positions = nn.Embedding(case["V"], D), nn.Embedding(case["T"], D)
        self.blocks = nn.ModuleList(nn.Module() for _ in range(layers))
        for block in self.blocks:
            block.norm1, block.norm2 = nn.LayerNorm(D), nn.LayerNorm(D)
            block.qkv, block.out = nn.Linear(D, 3 * D), nn.Linear(D, D)
            block.up, block.down = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)
        self.norm = nn.LayerNorm(D)
        if case["head"]:
            self.head = nn.Linear(D, case["V"], bias=False)
            self.head.weight = self.tokens.weight


def _trained(case, layers):
    """A model with numbers as training may have left them; its matrices are as torch begins them."""
    model = Tree(case, layers)
    if case["double"]:
        model.double()
    for name, p in model.named_parameters():
        if p.dim() == 1:
            nn.init.constant_(p, LEFT["norms" if name.endswith("weight") else "biases"])
    return model


def probe(case, init_gpt):
    """The weights after a first call, after one that goes on with the generator, and after the first one again."""
    model, other = _trained(case, case["layers"]), _trained(case, 1)
    g = torch.Generator().manual_seed(case["seed"])
    found = [_by_kind(_begun(init_gpt, model, case["layers"], g))]
    _begun(init_gpt, other, 1, g)
    found.append(_by_kind(_begun(init_gpt, model, case["layers"], g)))
    found.append(_by_kind(_begun(init_gpt, model, case["layers"], g.manual_seed(case["seed"]))))
    return {f"{kind}, {call}": x for call, kinds in zip(CALLS, found, strict=True) for kind, x in kinds.items()}


def _begun(init_gpt, model, layers, g):
    """The parameters by their names, after a call that leaves them the objects that they were."""
    return begun(model, lambda: init_gpt(model, layers, g))


def _by_kind(parameters):
    """One row for each matrix of a kind; all biases in one row, and all weights of norms."""
    found = {}
    for name, p in parameters.items():
        *_, part, end = name.split(".")
        if part == "head":
            continue  # it is the vectors of tokens
        kind = part if p.dim() == 2 else "biases" if end == "bias" else "norms"
        found.setdefault(kind, []).append(p.detach().flatten())
    return {kind: torch.stack(xs) if kind in KINDS else torch.cat(xs) for kind, xs in found.items()}


def measure(case, outputs):
    """Deviations of the matrices by what they are for, and counts of all that is not as it should be."""
    drawn, later, again = ({k: outputs[f"{k}, {call}"].double() for k in (*KINDS, *BEGIN)} for call in CALLS)
    around = [(x - x.mean()) / x.std() for x in map(drawn.get, KINDS) if x.any()]
    counts = {
        "off_centre": max(map(off_centre, map(drawn.get, KINDS))),
        "again": sum((drawn[kind] != again[kind]).sum() for kind in drawn),
        "same": sum((drawn[kind] == later[kind]).all() and drawn[kind].any() for kind in KINDS),
        "alike": alike(torch.cat([drawn[kind][:, :PREFIX] for kind in KINDS])),
        "pressed": pressed([x for kind in KINDS for x in drawn[kind]]),
        "rows": rows_together([drawn[k].unflatten(1, (-1, (4 if k == "down" else 1) * case["D"])) for k in KINDS]),
        "even": too_even([(drawn[kind], _right(kind, case)) for kind in KINDS]),
        "beyond": sum((z.abs() > 2).sum() for z in around),
        "numbers": sum(z.numel() for z in around),
        "zeros": sum((drawn[kind] == 0).sum() for kind in KINDS if drawn[kind].any()),
    }
    far = sum(((z.abs() > 3).sum() for z in around), torch.tensor(0))
    counts["far_beyond"] = far / max(counts["numbers"], 1)
    counts["odd_tails"] = surprise(far, max(counts["numbers"], 1), torch.tensor(FAR_BEYOND))
    for kind in KINDS:
        counts[f"std_{kind}"] = drawn[kind].std()
        counts[f"right_{kind}"] = _right(kind, case)
    counts["apart"], counts["least"], counts["most"] = max(apart(drawn[kind]) for kind in KINDS)
    for kind, right in BEGIN.items():
        counts[f"{kind}_left"] = (drawn[kind] == LEFT[kind]).sum()
        counts[kind] = (drawn[kind] != right).sum() - counts[f"{kind}_left"]
    return as_measurements(counts)


def _right(kind, case):
    """The deviation that numbers of this kind should have."""
    return DEVIATION / (2 * case["layers"]) ** 0.5 if kind in STREAM else DEVIATION


def _deviates(kind, what):
    says = f"{what} have a standard deviation of {{n:.3g}}, expected {{of:.3g}}"
    return deviates(kind, says, "stream" if kind in STREAM else "")


EXERCISE = Exercise(
    id="gpt.init",
    title="Mend this code, how a GPT begins",
    parts={"weights": 1, "stream": 1},
    minutes=15,
    difficulty="core",
    importance=3,
    calls=("init_gpt(model, layers, generator)",),
    cases=cases,
    probe=probe,
    measure=measure,
    # One law for each kind of slip, in the order in which a learner should mend them.
    laws=(
        none("biases_left", "{n:.0f} biases are what they were before the call, expected 0"),
        none("biases", "{n:.0f} biases are set to other numbers than 0"),
        none("norms_left", "{n:.0f} weights of norms are what they were before the call, expected 1"),
        none("norms", "{n:.0f} weights of norms are set to other numbers than 1"),
        ROWS,
        at_most(
            *("apart", 6),
            "matrices of one kind have different deviations in different blocks, from {least:.3g} to {most:.3g}: all "
            "blocks begin alike",
        ),
        _deviates("tokens", "the vectors of tokens"),
        _deviates("positions", "the vectors of positions"),
        _deviates("qkv", "the weights of qkv"),
        _deviates("up", "the weights of up"),
        _deviates("out", "the weights of out"),
        _deviates("down", "the weights of down"),
        *DRAWN_ANEW,
        CENTRED,  # of matrices that are drawn by themselves
        PRESSED,
        share(
            "beyond",
            "numbers",
            BEYOND,
            "{share:.1%} of the weights lie beyond two deviations; of normal ones it is 4.6%",
        ),
        at_most(
            *("odd_tails", 5.5),
            "{far_beyond:.2%} of the weights lie beyond three deviations; of normal ones it is 0.27%",
        ),
        none("zeros", "{n:.0f} weights of matrices are exactly 0, which no drawn number is"),
        as_drawn(5),
    ),
)
