"""clip_(params, limit): all gradients together brought to a norm of `limit` at most, in place."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong, number


def cases(g):
    double = torch.float64

    def case(part, label, limit, *shapes, scale=1.0, dtype=torch.float32, missing=(), **given):
        """Gradients of these shapes; those in `missing` are not there. `limit` is a share of their common norm."""
        grads = {f"grad{i}": scale * normal(g, *shape, dtype=dtype) for i, shape in enumerate(shapes)}
        norm = torch.cat(
            [x.double().flatten() for i, x in enumerate(grads.values()) if i not in missing] or [torch.zeros(1)]
        ).norm()
        limit = round(limit * norm.item(), 6) if norm else limit
        words = [label, dtype_name(dtype) if dtype == double else ""]
        plain = {
            "limit": limit,
            "count": len(shapes),
            "missing": list(missing),
            "once": False,
            "broken": "",
            "frozen": [],
        }
        return Case(part, ", ".join(filter(None, words)), grads | plain | given)

    three, one = ((2, 3), (4,), (3, 2)), ((3, 4),)
    return [
        case("above the limit", "three gradients", 0.4, *three),
        case("above the limit", "one gradient", 0.1, *one, dtype=double),
        case("above the limit", "gradients of one entry", 0.5, (1,), (1, 1), (1, 1, 1)),
        case("above the limit", "small gradients", 0.5, *three, scale=1e-2, dtype=double),
        case("above the limit", "large gradients", 1e-6, *three, scale=1e6, dtype=double),
        case("above the limit", "40 gradients", 0.3, *[(2, 3)] * 40),
        case("above the limit", "from a generator", 0.4, *three, once=True),
        case("above the limit", "one parameter has been frozen since backward()", 0.4, *three, frozen=[1]),
        case("as they are", "below the limit", 2.0, *three),
        case("as they are", "far below the limit", 50.0, *three, scale=1e-3, dtype=double),
        case("as they are", "all 0", 1.0, *one, scale=0.0),
        case("as they are", "some are missing", 1.5, *three, missing=[1]),
        case("as they are", "below the limit, from a generator", 3.0, *three, once=True),
        case("what is missing or no number", "some are missing, above the limit", 0.4, *three, missing=[0]),
        case("what is missing or no number", "none is there", 1.0, *one, missing=[0]),
        case("what is missing or no number", "one entry is NaN", 0.5, *three, broken="nan"),
        case("what is missing or no number", "one entry is infinite", 0.5, *three, dtype=double, broken="inf"),
    ]


def probe(case, clip_):
    """The norm that is returned and the gradients afterwards, or whether a ValueError is raised."""
    params = []
    for i in range(case["count"]):
        given = case[f"grad{i}"]
        params.append(nn.Parameter(torch.zeros_like(given)))
        if i not in case["missing"]:
            params[-1].grad = given.clone()
        params[-1].requires_grad_(i not in case["frozen"])
    if case["broken"]:
        params[1].grad[-1] = float(case["broken"])
    before = [p.grad for p in params]
    numbers = [None if grad is None else grad.clone() for grad in before]
    like = case["grad0"]
    raised, norm = False, like.new_zeros(())
    try:
        norm = number(
            clip_(iter(params) if case["once"] else params, case["limit"]), "the norm", case["grad0"]
        ).detach()
    except ValueError:
        raised = True
    if any((p.grad is None) != (grad is None) for p, grad in zip(params, before, strict=True)):
        raise Wrong("a gradient that was None is one afterwards, or the other way round: leave it out")
    if any(p.grad is not grad for p, grad in zip(params, before, strict=True)):
        raise Wrong("p.grad is another tensor afterwards: change its numbers in place (mul_), others may hold it")
    if raised and any(
        x is not None and not torch.equal(x.nan_to_num(7), p.grad.nan_to_num(7))
        for p, x in zip(params, numbers, strict=True)
    ):
        raise Wrong("a ValueError is raised, and gradients have been changed before: look at the norm first")
    kept = [p.grad.flatten() for p in params if p.grad is not None and not raised]
    return {
        "a ValueError is raised": torch.tensor(raised, device=like.device),
        "the norm that is returned": norm.to(like),
        "all gradients afterwards": torch.cat([*kept, like.new_zeros(1)]),
        "_limit": torch.tensor(case["limit"], dtype=torch.float64, device=like.device),
    }


def untouched_below_the_limit(inputs, outputs):
    """Below the limit no number changes, not even in its last digit."""
    given = [inputs[f"grad{i}"].flatten() for i in range(inputs["count"]) if i not in inputs["missing"]]
    if not given or inputs["broken"]:
        return None
    before, after = torch.cat(given), outputs["all gradients afterwards"].to(given[0].device)
    if before.double().norm() > inputs["limit"] or before.dtype != after.dtype or torch.equal(before, after[:-1]):
        return None
    return "the norm is below the limit, and gradients have changed all the same: their factor is 1 there"


EXERCISE = Exercise(
    id="core.clip",
    title="Mend this code, clipping",
    parts={"above the limit": 1, "as they are": 1, "what is missing or no number": 1},
    minutes=15,
    difficulty="core",
    importance=4,
    calls=("clip_(params, limit)",),
    cases=cases,
    probe=probe,
    laws=(untouched_below_the_limit,),
    ordered=False,
    # torch's clip_grad_norm_ adds 1e-6 to the norm.
    tolerance={torch.float32: (1e-4, 1e-5), torch.float64: (1e-4, 1e-9)},
)
