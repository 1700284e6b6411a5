"""SGD and AdamW: what step() makes of gradients that are there, rates that change, and parameters that come late."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong

SHAPES = ((3, 2), (4,), (1,))
PATH, RATE = "parameters, step by step", 0.1
NONE, ZERO = "-", "0"  # in a picture of which gradients there are


def cases(g):
    double = torch.float64

    def case(part, label, there, dtype=torch.float32, scale=1.0, shapes=SHAPES, rates=None, **given):
        """`there` has a word a step, and in it a sign a parameter: "x" for a gradient, "-" for none, "0" for zeros."""
        words, count = there.split(), len(shapes)
        grads = {f"g{i}": scale * normal(g, len(words), *shape, dtype=dtype) for i, shape in enumerate(shapes)}
        for i in range(count):
            for step, word in enumerate(words):
                if word[i] == ZERO:
                    grads[f"g{i}"][step] = 0
        weights = {f"w{i}": normal(g, *shape, dtype=dtype) for i, shape in enumerate(shapes)}
        plain = {"there": words, "count": count, "rates": rates or [RATE] * len(words)}
        plain |= {"once": False, "two": False, "turns": False, "thawed": False}
        text = ", ".join([label, *([dtype_name(dtype)] if dtype == double else [])])
        return Case(part, text, weights | grads | plain | given)

    def sgd(label, there, momentum=0.9, nesterov=False, weight_decay=0.0, **given):
        settings = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
        return case("SGD", label, there, settings=settings, **given)

    def adamw(label, there, betas=(0.9, 0.99), eps=1e-2, weight_decay=0.0, **given):
        settings = {"betas": list(betas), "eps": eps, "weight_decay": weight_decay}
        return case("AdamW", label, there, settings=settings, **given)

    falling, five = [0.2, 0.1, 0.05, 0.02, 0.0], "xxx " * 5
    late, frozen = "xx- xxx x-x xxx xxx", "x-x " * 4
    many = {"there": "x " * 50, "shapes": ((5,),), "dtype": double}
    return [
        sgd("one step, no momentum", "xxx", momentum=0.0),
        sgd("momentum 0.9", five),
        sgd("Nesterov", five, momentum=0.8, nesterov=True, dtype=double),
        sgd("weight decay", five, momentum=0.5, weight_decay=0.3),
        sgd("weight decay and Nesterov", five, momentum=0.7, nesterov=True, weight_decay=0.2, dtype=double),
        sgd("the rate falls", five, rates=falling),
        sgd("a gradient comes late, another is missing once", late, weight_decay=0.1),
        sgd("a frozen parameter", frozen, weight_decay=0.5, dtype=double),
        sgd("a parameter is frozen at first, its gradients come late", late, thawed=True),
        sgd("in turns with another one, of the same parameters", five, turns=True, dtype=double),
        sgd("from a generator, and beside another one", five, once=True, two=True),
        sgd("50 steps", momentum=0.95, **many),
        adamw("one step", "xxx"),
        adamw("five steps", five),
        adamw("a small eps", five, eps=1e-8, dtype=double),
        adamw("other betas", five, betas=(0.5, 0.8), dtype=double),
        adamw("weight decay", five, weight_decay=0.3),
        adamw("weight decay, and the rate falls", five, weight_decay=0.5, rates=falling, dtype=double),
        adamw("a gradient comes late, another is missing once", late, weight_decay=0.1, dtype=double),
        adamw("a frozen parameter", frozen, weight_decay=0.5),
        adamw("a parameter is frozen at first, its gradients come late", late, thawed=True, dtype=double),
        adamw("in turns with another one, of the same parameters", five, turns=True),
        adamw("gradients of 0", "x0x 00x 0xx 00x", weight_decay=0.1, eps=1e-3, dtype=double),
        adamw("small gradients", five, eps=1e-6, scale=1e-5, dtype=double),
        adamw("from a generator, and beside another one", five, once=True, two=True),
        adamw("50 steps", weight_decay=0.01, **many),
    ]


def probe(case, SGD, AdamW):
    """Where the parameters stand after each step; nothing but them has changed."""
    names = range(case["count"])
    make = SGD if "momentum" in case["settings"] else AdamW
    params = [nn.Parameter(case[f"w{i}"].clone()) for i in names]
    for p, there in zip(params, case["there"][0], strict=True):
        p.requires_grad_(there != NONE or not case["thawed"])
    optimiser = _made(make, case, iter(params) if case["once"] else params)
    other = params if case["turns"] else [nn.Parameter(case[f"w{i}"].clone()) for i in names]
    beside = _made(make, case, other) if case["two"] or case["turns"] else None
    path, seen = [], []
    for step, word in enumerate(case["there"]):
        seen += _stepped(case, optimiser, params, step, word)
        if beside is not None:
            _stepped(case, beside, other, step, "x" * case["count"], sign=-1)
        path.append(torch.cat([p.detach().flatten() for p in params]))
    if any(not torch.equal(grad, was) for grad, was in seen):
        raise Wrong("a later step() writes into the gradients of an earlier one: keep a copy of p.grad, not itself")
    if any(not p.requires_grad or p.grad_fn is not None for p in params):
        raise Wrong("a parameter is frozen afterwards, or has a graph: an optimiser's step is no part of one (no_grad)")
    return {PATH: torch.stack(path)}


def _made(make, case, params):
    settings = dict(case["settings"])
    if "betas" in settings:
        settings["betas"] = tuple(settings["betas"])
    return make(params, case["rates"][0], *settings.values())


def _stepped(case, optimiser, params, step, word, sign=1):
    for i, p in enumerate(params):
        p.requires_grad_(p.requires_grad or word[i] != NONE)
        p.grad = None if word[i] == NONE else sign * case[f"g{i}"][step]
    grads, before = [p.grad for p in params], [None if p.grad is None else p.grad.clone() for p in params]
    optimiser.lr = case["rates"][step]  # as a schedule does
    optimiser.step()
    for p, grad, was in zip(params, grads, before, strict=True):
        if grad is not None and p.grad is None:
            raise Wrong(
                "step() takes gradients away (p.grad is None afterwards): that is for zero_grad, others look at it"
            )
        if grad is not None and (p.grad is not grad or not torch.equal(grad, was)):
            raise Wrong("step() changes gradients: whoever looks at them afterwards finds other ones. Work on copies")
    return [(grad, was) for grad, was in zip(grads, before, strict=True) if grad is not None]


EXERCISE = Exercise(
    id="core.optimisers",
    title="SGD and AdamW",
    parts={"SGD": 2, "AdamW": 2},
    minutes=35,
    difficulty="core",
    importance=5,
    calls=("SGD(params, lr, momentum, nesterov, weight_decay)", "AdamW(params, lr, betas, eps, weight_decay)"),
    cases=cases,
    probe=probe,
    ordered=False,
    # Fifty steps add up their rounding, and the order of products is free.
    tolerance={torch.float32: (1e-4, 2e-5), torch.float64: (1e-7, 1e-8)},
)
