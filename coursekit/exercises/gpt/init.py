"""init_gpt(model, layers, generator): the numbers with which a GPT begins; judged by counting."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.laws import SIGMAS, Count, as_measurements, at_most, none, share, surprise
from coursekit.checking.probing import Wrong

KINDS = ("tokens", "positions", "qkv", "up", "out", "down")
STREAM = ("out", "down")
LEFT = {"biases": 0.25, "norms": 0.75}  # what they are before a call
BEGIN = {"biases": 0.0, "norms": 1.0}
CALLS = ("first call", "next call", "first call again")
DEVIATION = 0.02
BEYOND, FAR_BEYOND = 0.0455, 0.0027  # the shares of a normal distribution beyond two and three deviations
PREFIX = 64  # so many numbers of two matrices are looked at to see that one was drawn as the other


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
    """The parameters by their names, after a call that leaves them the objects that they were.

    Objects can be looked at in this process alone: a Parameter has no copy to hand over.
    """
    before = dict(model.named_parameters(remove_duplicate=False))
    kinds = {name: (tuple(p.shape), p.dtype) for name, p in before.items()}
    init_gpt(model, layers, g)
    after = dict(model.named_parameters(remove_duplicate=False))
    for name, p in after.items():
        if before.get(name) is not p:
            raise Wrong(
                f"{name} is another Parameter than before. Change its numbers in place: an optimiser may hold it, and "
                "a matrix under two names is one Parameter"
            )
        if (now := (tuple(p.shape), p.dtype)) != kinds[name]:
            raise Wrong(f"{name} is {now} afterwards, expected {kinds[name]}, the shape and dtype that it had")
        if not p.requires_grad:
            raise Wrong(f"{name} is frozen afterwards (its requires_grad is False), so no optimiser would train it")
    return after


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
    begins = torch.cat([drawn[kind][:, :PREFIX] for kind in KINDS])  # (matrices, PREFIX)
    begins = begins / begins.norm(dim=1, keepdim=True)
    counts = {
        "off_centre": max(abs(x.mean() / x.std()) * x.numel() ** 0.5 for x in map(drawn.get, KINDS)),
        "again": sum((drawn[kind] != again[kind]).sum() for kind in drawn),
        "same": sum((drawn[kind] == later[kind]).all() and drawn[kind].any() for kind in KINDS),
        # The same numbers but for a factor, as far as float32 rounds.
        "alike": ((begins @ begins.T).triu(1) > 1 - 1e-5).sum(),
        "rows": _rows_together(drawn, case),
        "even": _too_even(drawn, case),
        "beyond": sum((z.abs() > 2).sum() for z in around),
        "numbers": sum(z.numel() for z in around),
        "zeros": sum((drawn[kind] == 0).sum() for kind in KINDS if drawn[kind].any()),
    }
    far = sum(((z.abs() > 3).sum() for z in around), torch.tensor(0))
    counts["far_beyond"] = far / max(counts["numbers"], 1)
    counts["odd_tails"] = surprise(far, max(counts["numbers"], 1), torch.tensor(FAR_BEYOND))
    for kind in KINDS:
        counts[f"std_{kind}"] = drawn[kind].std()
        counts[f"right_{kind}"] = DEVIATION / (2 * case["layers"]) ** 0.5 if kind in STREAM else DEVIATION
    counts["apart"], counts["least"], counts["most"] = max(_apart(drawn[kind]) for kind in KINDS)
    for kind, right in BEGIN.items():
        counts[f"{kind}_left"] = (drawn[kind] == LEFT[kind]).sum()
        counts[kind] = (drawn[kind] != right).sum() - counts[f"{kind}_left"]
    return as_measurements(counts)


def _apart(matrices):
    """How many sigma the deviation of one matrix of a kind lies from that of all, the smallest and the largest one."""
    each = matrices.std(1)
    off = (each / matrices.std().clamp_min(1e-30) - 1).abs().max() * (2 * matrices.shape[1]) ** 0.5
    return off.item(), each.min().item(), each.max().item()


def _rows_together(drawn, case):
    """How many sigma the rows of matrices are nearer to one direction, or to right angles, than independent ones."""
    excess, variance = 0.0, 0.0
    for kind in KINDS:
        columns = 4 * case["D"] if kind == "down" else case["D"]
        x = drawn[kind] - drawn[kind].mean(1, keepdim=True)
        Z = (x / x.std(1, keepdim=True).clamp_min(1e-30)).unflatten(1, (-1, columns))  # (matrices, rows, columns)
        squares = ((Z @ Z.mT) ** 2 / columns).triu(1).sum((1, 2))
        pairs = Z.shape[1] * (Z.shape[1] - 1) / 2
        excess += (squares - pairs).sum().item()
        variance += len(Z) * pairs * (2 + 6 / columns)
    return abs(excess) / variance**0.5


def _too_even(drawn, case):
    """How many sigma means and deviations of the matrices lie nearer to the right ones than chance brings them."""
    fit, free = 0.0, 0
    for kind in KINDS:
        right = DEVIATION / (2 * case["layers"]) ** 0.5 if kind in STREAM else DEVIATION
        n = drawn[kind].shape[1]
        fit += ((drawn[kind].mean(1) / right) ** 2 * n + (drawn[kind].std(1) / right - 1) ** 2 * 2 * n).sum().item()
        free += 2 * len(drawn[kind])
    return (free - fit) / (2 * free) ** 0.5


def deviates(kind, what):
    """The law that numbers of this kind have the right deviation, as far as so many drawn ones can show."""
    return Count(
        f"std_{kind}",
        f"{what} have a standard deviation of {{n:.3g}}, expected {{of:.3g}}",
        "stream" if kind in STREAM else "",
        lambda n, of, numbers: not abs(n / of - 1) <= SIGMAS / (2 * numbers) ** 0.5,
        lambda one, other: abs(one[0] - other[0]) <= 0.1 * max(one[0], other[0]),
        f"right_{kind}",
        f"n_{kind}",
    )


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
        at_most("rows", 6, "rows of a matrix depend on each other: each number is drawn by itself"),
        at_most(
            *("apart", 6),
            "matrices of one kind have different deviations in different blocks, from {least:.3g} to {most:.3g}: all "
            "blocks begin alike",
        ),
        deviates("tokens", "the vectors of tokens"),
        deviates("positions", "the vectors of positions"),
        deviates("qkv", "the weights of qkv"),
        deviates("up", "the weights of up"),
        deviates("out", "the weights of out"),
        deviates("down", "the weights of down"),
        at_most("off_centre", 5, "the mean of some matrices is too far from 0 for chance"),
        none("again", "{n:.0f} numbers differ between two calls with equal seeds: draw all of them from `generator`"),
        none("same", "another call with the same generator draws the same numbers again"),
        none("alike", "matrices begin with the same numbers: each of them is drawn anew"),
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
        at_most(
            *("even", 5),
            "means and deviations of the matrices are almost exactly 0 and the right ones, closer than chance comes: "
            "leave drawn numbers as they are",
        ),
    ),
)
