"""orthogonalise(G) and muon_step(W, G, M, rate, momentum): steps whose singular values are all about 1."""

import contextlib
from functools import partial

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal, scattered
from coursekit.checking.probing import LargestTensor, Wrong, returned

LONG = 150  # the longer side in the cases that watch memory


def cases(g):
    def matrix(part, m, n, dtype=torch.float32, note="", scale=1.0, rank=0, swapped=False, **given):
        G = scale * normal(g, m, n, dtype=dtype)
        if rank:
            G = normal(g, m, rank, dtype=dtype) @ normal(g, rank, n, dtype=dtype)
        G = scattered(G) if swapped else G
        label = ", ".join(filter(None, [f"{m} x {n}", "float64" if dtype == torch.float64 else "", note]))
        return Case(part, label, {"G": G, "steps": 0} | given)

    def stepping(m, n, steps, note="", **given):
        """In float64 alone: the gate also calls a reference with widened copies, where nothing is changed in place."""
        dtype = torch.float64
        case = matrix("muon_step", steps * m, n, dtype, swapped=given.get("swapped", False))
        drawn = {name: normal(g, m, n, dtype=dtype) for name in ("W", "M")}
        plain = {"steps": steps, "rate": 0.1, "momentum": 0.9}
        words = [f"{m} x {n}", f"{steps} step{'s' * (steps > 1)}", note]
        return Case(case.part, ", ".join(filter(None, words)), case.inputs | drawn | plain | given)

    alone, double = partial(matrix, "orthogonalise"), torch.float64
    return [
        alone(1, 4),
        alone(4, 6),
        alone(5, 5, double),
        alone(6, 3, double),
        alone(5, 1, double),
        alone(1, 1),
        alone(4, 5, scale=3000.0, note="large"),
        alone(4, 5, double, scale=1e-2, note="small"),
        alone(4, 5, double, scale=1e100, note="too large for float32"),
        alone(5, 6, double, rank=2, note="of rank 2"),
        alone(3, 5, swapped=True, note="not contiguous"),
        Case("orthogonalise", "3 x 4, all 0", {"G": torch.zeros(3, 4), "steps": 0}),
        alone(LONG, 2, note="tall"),
        alone(2, LONG, note="wide"),
        stepping(4, 6, 1),
        stepping(6, 3, 1),
        stepping(5, 5, 3),
        stepping(5, 3, 1),
        stepping(12, 3, 2, swapped=True, note="not contiguous"),
        stepping(12, 3, 2, rate=0.02, note="rate 0.02"),
        stepping(12, 3, 2, momentum=0.5, note="momentum 0.5"),
        stepping(4, 6, 2, momentum=0.0, note="momentum 0"),
    ]


def probe(case, orthogonalise, muon_step):
    """One matrix made nearly orthogonal, or a weight and its momentum after some steps in place."""
    if not case["steps"]:
        watch = LargestTensor() if LONG in case["G"].shape else contextlib.nullcontext()
        with watch:
            O = returned(orthogonalise(case["G"]), "O")
        return {"O": O, "_largest": torch.tensor(getattr(watch, "elements", 0))}
    W, M = (scattered(case[name]) if case.get("swapped") else case[name].clone() for name in ("W", "M"))
    W = nn.Parameter(W)
    for G in case["G"].chunk(case["steps"]):
        # A caller may still need its gradient: it is given as it is, and a change in place is told.
        found = muon_step(W, G, M, case["rate"], case["momentum"])
        if found is not None:
            raise Wrong(f"muon_step returned a {type(found).__name__}, expected None: it changes W and M in place")
    if not W.requires_grad:
        raise Wrong("W is frozen afterwards (its requires_grad is False), so it would not be trained any more")
    if W.grad_fn is not None or M.requires_grad:
        raise Wrong("W or M has a graph afterwards: what an optimiser does is not part of one (torch.no_grad)")
    return {"W afterwards": W.detach(), "M afterwards": M}


def the_smaller_side(inputs, outputs):
    """The products are as large as the smaller side allows: no matrix beside G is larger than it. NumPy is not seen."""
    if inputs["steps"] or outputs["_largest"] < LONG * LONG:
        return None
    return (
        f"a product of {outputs['_largest']:,} numbers is made: turn a matrix with more rows than columns over first, "
        "then X X^T has the size of the smaller side"
    )


def of_its_own_dtype(inputs, outputs):
    """Not all numbers of a result are such as a coarser dtype has too."""
    O, G = outputs.get("O"), inputs["G"]
    if O is None or O.numel() < 4 or not O.any() or not O.isfinite().all():
        return None
    coarse = next((dtype for dtype in (torch.bfloat16, torch.float16) if torch.equal(O.to(dtype).to(O), O)), None)
    return (
        coarse and f"all numbers of O are such as {dtype_name(coarse)} has: compute in {dtype_name(G.dtype)}, that of G"
    )


EXERCISE = Exercise(
    id="gpt.muon",
    title="Muon",
    parts={"orthogonalise": 1, "muon_step": 1},
    minutes=25,
    difficulty="core",
    importance=2,
    calls=("orthogonalise(G) -> O", "muon_step(W, G, M, rate, momentum)"),
    cases=cases,
    probe=probe,
    laws=(the_smaller_side, of_its_own_dtype),
    # Five steps make the smallest singular values, and rounding among them, up to 485 times larger. Where 1e-7 is not
    # added to the norm but is the least that it may be, singular values differ by as much.
    tolerance={torch.float32: (1e-4, 2e-4), torch.float64: (1e-5, 3e-5)},
)
