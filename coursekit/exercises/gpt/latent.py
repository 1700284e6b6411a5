"""LatentAttention(D, H, d, c, r): attention whose cache holds a latent vector and one rotary key for each token."""

import contextlib

import torch

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, normal
from coursekit.checking.probing import LargestTensor, Wrong, gradients, leaves, load, returned, tensors_in

HEADS = Shapes(
    "x: B T D, q.weight: HQ D, down.weight: CR D, up_k.weight: HD c, up_v.weight: HD c, out.weight: D HD, dY: B T D",
    told="B T D H d c r",
)
LONG = 40  # tokens in the cache of the case that watches memory


def cases(g):
    draw, double = HEADS.cases(g), torch.float64

    def case(part, B, T, D, H, d, c, r, **given):
        widths = {"HQ": H * (d + r), "CR": c + r, "HD": H * d}
        return draw(part, B=B, T=T, D=D, H=H, d=d, c=c, r=r, **widths, stepwise=part == "steps", **given)

    # Some sizes differ in one alone: what is kept of a class for another one of the same other sizes shows.
    texts = [
        {"B": 2, "T": 3, "D": 5, "H": 3, "d": 3, "c": 4, "r": 2},
        {"B": 1, "T": 4, "D": 5, "H": 2, "d": 3, "c": 4, "r": 4, "dtype": double},
        {"B": 2, "T": 1, "D": 5, "H": 1, "d": 1, "c": 1, "r": 2, "dtype": double, "note": "one token, one head"},
        {"B": 1, "T": 3, "D": 3, "H": 9, "d": 2, "c": 3, "r": 6, "dtype": double, "note": "many heads"},
    ]
    far = {"B": 1, "T": 4, "D": 5, "H": 2, "d": 3, "c": 4, "r": 2, "dtype": double, "note": "scores far apart"}
    return [
        *(case("plain", **sizes) for sizes in texts),
        apart(case("plain", **far)),
        case("plain", 1, 40, 2, H=2, d=3, c=3, r=2, note="a long text"),
        case("plain", 2, 3, 2, H=2, d=3, c=4, r=2, dtype=double, upstream=True),
        *(case("steps", **sizes) for sizes in texts[:3]),
        apart(case("steps", **far)),
        # The keys of one head are larger than a mask (n, n), and than the cache would be if each head had its own.
        case("steps", 1, 2, 5, H=2, d=64, c=4, r=2, kept=normal(g, 1, LONG, 6), note=f"{LONG} tokens in the cache"),
    ]


def apart(case):
    """Scores that differ by more than exp can tell, by what is not rotary in them.

    Number 0 of a token says how large its queries are, number 1 how large its keys are. What is hidden from the first
    token has far larger scores than it has with itself, which lie below -100,000.
    """
    x, q, up = (case.inputs[name] for name in ("x", "q.weight", "up_k.weight"))
    H, d, r = (case.inputs[name] for name in "Hdr")
    x[..., 0] = torch.tensor([2.0, -2.0, 2.0, -2.0])
    x[..., 1] = torch.tensor([-1.0, 1.0, -2.0, 2.0])
    case.inputs["down.weight"][0] = torch.eye(x.shape[-1], dtype=x.dtype)[1]
    for i in range(H):
        q[i * (d + r) : i * (d + r) + d] = 0.0
        q[i * (d + r), 0] = 2e5
        up[i * d] = torch.eye(case.inputs["c"], dtype=x.dtype)[0]
    return case


def probe(case, LatentAttention):
    """The plain form and its gradients, or one step after another."""
    model = _made(case, LatentAttention)
    if not callable(getattr(model, "step", None)):
        raise Wrong("the class has no method step(self, x, cache)")
    if case["stepwise"]:
        return _steps(case, model, _made(case, LatentAttention))
    with torch.no_grad():
        model(case["x"][:, : max(1, case["T"] - 1)])  # nothing may be kept from an earlier call
    if "dY" not in case:
        return {"Y": returned(model(case["x"]), "Y")}
    (x,) = leaves(case["x"])
    Y = returned(model(x), "Y")
    return {"Y": Y} | gradients(Y, {"x": x, **dict(model.named_parameters())}, case["dY"])


def _made(case, LatentAttention):
    made = LatentAttention(*(case[name] for name in ("D", "H", "d", "c", "r")))
    return load(made, {name: x for name, x in case.items() if name.endswith(".weight")})


def _steps(case, model, another):
    """All tokens in turn, from a cache that is empty or given; then another way on from the cache behind the first."""
    x = case["x"]
    caches = [case["kept"] if "kept" in case else x.new_empty(len(x), 0, case["c"] + case["r"])]
    there = [x, *caches, *tensors_in(model)]
    found, watch = [], LargestTensor(there) if "kept" in case else contextlib.nullcontext()
    for t, behind in [*((t, t) for t in range(x.shape[1])), (x.shape[1] - 1, 1)]:
        with torch.no_grad(), watch:
            y, cache = _step(model, x[:, t : t + 1], caches[behind])
        found.append(y)
        caches.append(cache)
    _leaves_it_as_it_was(another, x[:, :1], caches[0])
    with torch.no_grad():
        elsewhere, _ = _step(another, x[:, -1:], caches[1])
        anew, _ = _step(model, x[:, :1], caches[0])
    _reads_its_weights(another, x[:, :1], caches[0][:, :0])
    if not _close(elsewhere, found[-1]) or not _close(anew, found[0]):
        raise Wrong(
            "step gives something else for the same token and cache, a second time or in another module of the same "
            "weights: it remembers more than the cache, or something in it is random"
        )
    return {
        "y of each step": torch.cat(found[:-1], 1),
        "y on the other way": found[-1],
        "last rows of the cache behind all tokens": caches[-2][:, -x.shape[1] :],
        "last rows of the cache on the other way": caches[-1][:, -2:],
        "_largest": torch.tensor(getattr(watch, "elements", 0)),
    }


def _step(model, x, cache):
    """One step. Raises Wrong where it gives other shapes than it should, or alters what it is given."""
    before = cache.clone()
    y, longer = returned(model.step(x, cache), "y", "cache")
    B, n, width = before.shape
    if cache.shape != before.shape or not torch.equal(cache, before):
        raise Wrong("step changes the cache that it is given, which stays as it is: another text may go on from there")
    for name, found, shape in (("y", y, tuple(x.shape)), ("a cache", longer, (B, n + 1, width))):
        if found.shape != shape:
            raise Wrong(f"step returned {name} of shape {tuple(found.shape)}, expected {shape}")
    return y, longer


def _leaves_it_as_it_was(model, x, cache):
    """A step with gradients. Raises Wrong where it switches something off for good."""
    modes = [part.training for part in model.modules()]
    _step(model, x, cache)
    try:
        if not torch.is_grad_enabled():
            raise Wrong("gradients are switched off after a step: torch.set_grad_enabled(False) acts beyond the call")
    finally:
        torch.set_grad_enabled(True)
    if modes != [part.training for part in model.modules()]:
        raise Wrong("a step changes the training mode of the module")
    if not all(p.requires_grad for p in model.parameters()):
        raise Wrong("weights are frozen after a step (requires_grad is False), so no optimiser would train them")


@torch.no_grad()
def _reads_its_weights(model, x, empty):
    """Raises Wrong where steps agree with `forward` on three tokens, and no more when the weights have changed."""
    tokens = torch.cat([x, 0.5 * x, -x], 1)

    def agree():
        cache = empty
        for t in range(tokens.shape[1]):
            y, cache = _step(model, tokens[:, t : t + 1], cache)
        return _close(y, returned(model(tokens), "Y")[:, -1:])

    before = agree()
    for p in model.parameters():
        p *= 0.5
    if before and not agree():
        raise Wrong("when the weights have changed, step gives something else than forward: it keeps old ones")


def _close(one, other):
    return torch.allclose(one, other, rtol=1e-3, atol=1e-4, equal_nan=True)


def keys_are_not_rebuilt(inputs, outputs):
    """In a long text no step makes what is as large as the keys of one head. A NumPy array is not seen."""
    if "kept" not in inputs or outputs["_largest"] < LONG * inputs["d"]:
        return None
    return (
        f"a step makes a tensor of {outputs['_largest']:,} numbers, as large as the keys of a head: bring the query "
        "into the latent space, and only the mixture back"
    )


EXERCISE = Exercise(
    id="gpt.latent",
    title="A latent cache",
    parts={"plain": 1, "steps": 1},
    minutes=45,
    difficulty="challenge",
    importance=2,
    calls=("LatentAttention(D, H, d, c, r)",),
    cases=cases,
    probe=probe,
    laws=(keys_are_not_rebuilt,),
    ordered=False,
    # `turn` computes angles in float32, and gradients of weights add up many products.
    tolerance={torch.float32: (1e-5, 3e-5), torch.float64: (1e-5, 3e-5)},
)
