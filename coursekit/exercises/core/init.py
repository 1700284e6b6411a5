"""init_(layer, kind, generator, layers): the numbers with which a linear layer begins; judged by counting."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.laws import as_measurements, at_most, none
from coursekit.exercises.beginning import (
    CALLS,
    CENTRED,
    DRAWN_ANEW,
    PREFIX,
    ROWS,
    alike,
    apart,
    as_drawn,
    begun,
    deviates,
    off_centre,
    rows_together,
    too_even,
)

MATRICES = ("even", "odd")  # every other layer leads back
DEPTH, LATER = 20, 2  # layers, and how many of them are drawn again
LEFT = 0.25  # what a bias is before a call
SQUARES = 16  # rows of the signal that goes through all layers
NORMAL, UNIFORM = 3.0, 1.8  # fourth moments over the square of the variance


def cases(g):
    def case(kind, a, b, layers, *, deep=True, bias=True, double=False, frozen=False, swapped=False):
        """Layers from a to b numbers and back; what is drawn into them for one kind does not depend on `layers`."""
        plain = {"a": a, "b": b, "layers": layers, "deep": deep, "bias": bias}
        plain |= {"frozen": frozen, "swapped": swapped, "n_even": DEPTH // 2 * a * b, "n_odd": DEPTH // 2 * a * b}
        seed = torch.randint(2**31, (), generator=g).item()
        x = torch.randn(SQUARES, a, generator=g, dtype=torch.float64).to(torch.float64 if double else torch.float32)
        notes = {"no bias": not bias, "frozen": frozen, "not contiguous": swapped, "float64": double}
        label = [f"{DEPTH} layers, Linear({a}, {b}) and Linear({b}, {a})", f"layers={layers}"]
        label += [note for note, told in notes.items() if told]
        return Case(kind, ", ".join(label), {"kind": kind, **plain, "seed": seed, "x": x})

    return [
        case("xavier", 32, 48, 12),
        case("xavier", 56, 20, 1, bias=False, double=True),
        case("xavier", 1, 200, 6, deep=False, swapped=True),
        case("he", 32, 48, 12),
        case("he", 56, 20, 1, frozen=True, double=True),
        case("he", 1, 200, 6, deep=False, bias=False),
        case("residual", 32, 48, 12, deep=False),
        case("residual", 56, 20, 1, double=True, swapped=True, deep=False),
        case("residual", 30, 50, 48, bias=False, deep=False),
    ]


def _layer(case, i):
    """A layer as something has left it: none of its numbers is what it should be."""
    rows, columns = (case["b"], case["a"]) if i % 2 == 0 else (case["a"], case["b"])
    like = {"dtype": case["x"].dtype, "device": case["x"].device}
    layer = nn.Linear(columns, rows, bias=case["bias"], **like)
    if case["swapped"]:
        layer.weight = nn.Parameter(layer.weight.detach().T.contiguous().T)
    if case["bias"]:
        nn.init.constant_(layer.bias, LEFT)
    return layer.requires_grad_(not case["frozen"])


def probe(case, init_):
    """The weights after a round of calls, after calls that go on with the generator, and after the first ones again."""
    g = torch.Generator(case["x"].device).manual_seed(case["seed"])
    chain = [_layer(case, i) for i in range(DEPTH)]
    found = [_begun(case, init_, chain, g), _begun(case, init_, chain[:LATER], g)]
    found.append(_begun(case, init_, chain[:LATER], g.manual_seed(case["seed"])))
    return {f"{kind}, {call}": x for call, kinds in zip(CALLS, found, strict=True) for kind, x in kinds.items()}


def _begun(case, init_, chain, g):
    """One row for each matrix, and all biases."""
    for layer in chain:
        begun(layer, lambda layer=layer: init_(layer, case["kind"], g, case["layers"]))
    biases = [layer.bias.detach() for layer in chain if case["bias"]]
    return {
        **{k: torch.stack([x.weight.detach().flatten() for x in chain[i::2]]) for i, k in enumerate(MATRICES)},
        "biases": torch.cat([*biases, case["x"].new_zeros(1)]),
    }


def measure(case, outputs):
    """Deviations of the matrices of either shape, what becomes of a signal, and counts of all that is not right."""
    drawn, later, again = ({k: outputs[f"{k}, {call}"].double() for k in (*MATRICES, "biases")} for call in CALLS)
    rows = [drawn["even"].unflatten(1, (case["b"], case["a"])), drawn["odd"].unflatten(1, (case["a"], case["b"]))]
    right = {"even": _right(case, case["a"], case["b"]), "odd": _right(case, case["b"], case["a"])}
    moment, sigma = _fourth_moment(drawn)
    counts = {
        "biases_left": (drawn["biases"] == LEFT).sum(),
        "biases": ((drawn["biases"] != 0) & (drawn["biases"] != LEFT)).sum(),
        "rows": rows_together(rows) if min(case["a"], case["b"]) > 1 else 0.0,
        "off_centre": max(map(off_centre, map(drawn.get, MATRICES))),
        "again": sum((drawn[k][: LATER // 2] != again[k]).sum() for k in MATRICES),
        "same": sum((drawn[k][: LATER // 2] == later[k]).all() and drawn[k].any() for k in MATRICES),
        "alike": sum(alike(drawn[k][:, :PREFIX]) for k in MATRICES),
        "even": too_even([(drawn[k], right[k]) for k in MATRICES]),
        "zeros": sum((drawn[k] == 0).sum() for k in MATRICES),
        "moment": moment,
        "heavy": (moment - NORMAL) / sigma,
        "flat": (UNIFORM - moment) / sigma,
        **{f"std_{k}": drawn[k].std() for k in MATRICES},
        **{f"right_{k}": right[k] for k in MATRICES},
    }
    counts["apart"], counts["least"], counts["most"] = max(apart(drawn[k]) for k in MATRICES)
    counts["left"], counts["lost"] = _through(case, rows, right)
    return as_measurements(counts, case["x"].device)


def _right(case, inputs, outputs):
    """The deviation of the weights of Linear(inputs, outputs)."""
    if case["kind"] == "residual":
        return 0.02 / (2 * case["layers"]) ** 0.5
    return (2 / (inputs + outputs if case["kind"] == "xavier" else inputs)) ** 0.5


def _fourth_moment(drawn):
    """E[w^4] / E[w^2]^2 of all weights, and its standard deviation where they are normal."""
    z = torch.cat([(drawn[k] / drawn[k].std().clamp_min(1e-30)).flatten() for k in MATRICES])
    return (z**4).mean() / (z**2).mean().clamp_min(1e-30) ** 2, (24 / z.numel()) ** 0.5


def _through(case, rows, right):
    """What is left of a signal's variance after all layers, over what should be, and how many sigma that is off.

    For "he" a ReLU stands between two layers. With n outputs the logarithm of a layer's factor has a variance of about
    2 / n, of 5 / n after a ReLU, and is a half of that too small in the mean.
    """
    if not case["deep"]:
        return 1.0, 0.0
    x, gain, variance = case["x"].double(), 1.0, 0.0
    relu = case["kind"] == "he"
    for i in range(DEPTH):
        W = rows[i % 2][i // 2]
        variance += (5 if relu else 2) / W.shape[0]
        gain *= W.shape[1] * right[MATRICES[i % 2]] ** 2 * (0.5 if relu and i else 1.0)
        x = (x.relu() if relu and i else x) @ W.T
    share = x.square().mean() / case["x"].double().square().mean() / gain
    return share, (share.log() + variance / 2).abs() / variance**0.5


def _deviates(kind, inputs, outputs):
    layer = f"Linear({{{inputs}}}, {{{outputs}}})"
    return deviates(kind, f"the weights of {layer} have a standard deviation of {{n:.3g}}, expected {{of:.3g}}")


EXERCISE = Exercise(
    id="core.init",
    title="How a layer begins",
    parts={"xavier": 1, "he": 1, "residual": 1},
    minutes=15,
    difficulty="core",
    importance=4,
    calls=("init_(layer, kind, generator, layers)",),
    cases=cases,
    probe=probe,
    measure=measure,
    ordered=False,
    # One law for each kind of slip, in the order in which a learner should mend them.
    laws=(
        none("biases_left", "{n:.0f} entries of biases are what they were before the call, expected 0"),
        none("biases", "{n:.0f} entries of biases are set to other numbers than 0"),
        ROWS,
        at_most("apart", 6, "layers of one shape have different deviations, from {least:.3g} to {most:.3g}"),
        _deviates("even", "a", "b"),
        _deviates("odd", "b", "a"),
        at_most(
            *("lost", 6),
            f"after {DEPTH} layers the variance of a signal is {{left:.2g}} times what it should be",
            "deep",
        ),
        *DRAWN_ANEW,
        CENTRED,  # of matrices that are drawn by themselves
        none("zeros", "{n:.0f} weights are exactly 0, which no drawn number is"),
        at_most("heavy", 6, "too many weights lie far out: E[w^4] / E[w^2]^2 is {moment:.3g}, of normal ones it is 3"),
        at_most(
            "flat",
            6,
            "the weights are too nearly of one size: E[w^4] / E[w^2]^2 is {moment:.3g}, of uniform ones it is 1.8",
        ),
        # At most 4.5 is possible. Uniform numbers vary less than normal ones: theirs comes near to 1.3.
        as_drawn(3.9),
    ),
)
