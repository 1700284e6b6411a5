"""Classifier(encoder, pool, D, C, p): logits from a pooled encoder through dropout and a linear layer."""

import torch
from torch import nn

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.checking.laws import at_most, clumping, deviation, none, share
from coursekit.checking.probing import Wrong, gradients, load, returned, trained

MODULE = Shapes(
    "dY: B C, encoder.token.weight: V D, encoder.mix.weight: D D, encoder.mix.bias: D, linear.weight: C D, "
    "linear.bias: C",
    told="pool p T D C",
)


class Encoder(nn.Module):
    """A small stand-in for BERT: every token reads every real token, and nothing is random."""

    def __init__(self, V, D):
        super().__init__()
        self.token = nn.Embedding(V, D)
        self.mix = nn.Linear(D, D)

    def forward(self, ids, real):
        X = self.token(ids)
        weights = real.to(X.dtype) / real.sum(1, keepdim=True)
        place = torch.arange(ids.shape[1], device=ids.device, dtype=X.dtype)[:, None] / 4
        return torch.tanh(self.mix(X) + (weights[:, None] @ X) + place)


def first_token(X, real):
    return X[:, 0]


def mean_of_real(X, real):
    weights = real.to(X.dtype)[:, :, None]
    return (X * weights).sum(1) / weights.sum(1)


POOLS = {"first": first_token, "mean": mean_of_real}


def cases(g):
    draw, double = MODULE.cases(g), torch.float64

    def case(part, pool, B, T, D, C, p=0.0, **given):
        """The first sentence has no padding, the others have some."""
        V, length = 20, torch.cat([torch.tensor([T]), torch.randint(2, T, (B - 1,), generator=g)])
        sentences = {"ids": torch.randint(V, (B, T), generator=g), "real": torch.arange(T) < length[:, None]}
        return draw(part, **sentences, pool=pool, p=p, B=B, T=T, D=D, C=C, V=V, **given)

    # The identity as linear layer shows in each logit what became of one pooled number, and its bias lies far from 0.
    shown = {"linear.weight": torch.eye(6), "linear.bias": torch.full((6,), 2.0)}
    return [
        case("logits", "mean", B=3, T=5, D=6, C=2),
        case("logits", "first", B=4, T=6, D=4, C=3, two=True, note="another classifier is made before it is called"),
        case("logits", "mean", B=400, T=5, D=6, C=6, dtype=double),
        case("logits", "mean", B=3, T=5, D=6, C=2, dtype=double, upstream=True),
        case("logits", "mean", B=1, T=4, D=5, C=3, note="one sentence"),
        case("logits", "mean", B=1, T=600, D=3, C=2, note="one long sentence"),
        case("dropout", "mean", B=400, T=5, D=6, C=6, p=0.3, **shown),
        case("dropout", "first", B=400, T=5, D=6, C=6, p=0.1, **shown),
    ]


def probe(case, Classifier):
    """Logits and gradients without dropout; with it, logits in training, in evaluation, and in training again.

    Whether the encoder is the one that was handed in, only this process can see.
    """
    weights = {name: value for name, value in case.items() if "." in name}
    V, D = weights["encoder.token.weight"].shape
    encoder, pool = Encoder(V, D), POOLS[case["pool"]]
    module = load(_untouched(Classifier, encoder, pool, D, case["C"], case["p"]), weights)
    if "two" in case:
        other = first_token if pool is mean_of_real else mean_of_real
        Classifier(Encoder(V + 1, D + 1), other, D + 1, case["C"] + 1, case["p"] / 2 + 0.25)
    if type(module).forward is nn.Module.forward:
        raise Wrong("the class has no method forward(self, ids, real)")
    if module.encoder is not encoder:
        raise Wrong(
            "self.encoder is a copy, not the encoder that was handed in: an optimiser of that one trains no copy"
        )

    def logits(mode, turn=0):
        given = (x.roll(turn, 0) for x in (case["ids"], case["real"]))
        return returned(module.train(mode)(*given), "logits")

    if case["p"]:
        return {"training": logits(True), "evaluation": logits(False), "training again": logits(True)}
    logits(True, turn=1)  # nothing of it may be kept
    Y = logits(True)
    mode = torch.tensor([m.training for m in encoder.modules()], device=case["ids"].device)
    modes = {"training mode of the encoder, afterwards": mode}
    if "dY" not in case:
        return {"logits": Y} | modes
    sources = {name: trained(module, name) for name in ("encoder.token.weight", "linear.weight", "linear.bias")}
    return {"logits": Y} | modes | gradients(Y, sources, case["dY"])


def _untouched(Classifier, encoder, *arguments):
    """A classifier. Raises Wrong where the encoder has other numbers than before, which loading would hide."""
    before = {name: x.clone() for name, x in encoder.state_dict().items()}
    module = Classifier(encoder, *arguments)
    if changed := [name for name, x in encoder.state_dict().items() if not torch.equal(x, before[name])]:
        raise Wrong(
            f"making the classifier changes the encoder's {', '.join(changed)}: a pretrained encoder would lose what "
            "it has learned (self.apply and self.modules reach into it; a new linear layer is all that begins anew)"
        )
    return module


@torch.no_grad()
def measure(case, outputs):
    """With dropout, what its laws look at; without, the outputs themselves."""
    if case["p"] == 0:
        return outputs
    own = {n.removeprefix("encoder."): v for n, v in case.items() if n.startswith("encoder.")}
    encoder = load(Encoder(*own["token.weight"].shape), own)
    pooled = POOLS[case["pool"]](encoder(case["ids"], case["real"]), case["real"])
    for Y in outputs.values():
        if Y.shape != pooled.shape:
            raise Wrong(f"the logits have shape {tuple(Y.shape)}, expected {tuple(pooled.shape)}")
    # With the identity as weight, logits less bias are pooled numbers.
    training, evaluation, again = (Y.to(pooled.dtype) - case["linear.bias"] for Y in outputs.values())
    found = _counted(training, evaluation, pooled, case["linear.bias"], case["p"]) | _between(training, again, pooled)
    return {f"_{name}": torch.as_tensor(n).double() for name, n in found.items()}


def _alike(a, b):
    return torch.isclose(a, b, rtol=1e-4, atol=1e-4)


def _counted(training, evaluation, pooled, bias, p):
    gone, clear = _alike(training, torch.zeros_like(training)), pooled.abs() > 0.05
    scale = (training / pooled)[~gone & clear]
    untouched, changed = _alike(training, pooled).all(), (~_alike(evaluation, pooled)).any()
    # What dropout leaves are zeros and numbers that are kept, scaled or not.
    dropped = _alike(evaluation, torch.zeros_like(evaluation))
    kept = _alike(evaluation, pooled) | _alike(evaluation * (1 - p), pooled) | _alike(evaluation * p, pooled)
    lost = changed & (dropped | kept | _alike(evaluation, -bias)).all()
    counts, of = (gone & clear).double(), clear.double()
    return {
        "reversed": untouched & lost,
        "lost": lost,
        "changed": changed & ~lost,
        "untouched": untouched,
        "on logits": _alike(training, -bias).double().mean() > p / 2,
        "elsewhere": len(scale) > 0 and not scale.max() - scale.min() <= 0.05,
        "unscaled": (scale.mean() - 1).abs() < 0.02,
        "one mask": (gone.all(0) | ~gone.any(0)).all(),
        "all or none": (gone.all(1) | ~gone.any(1)).all(),
        "dropped": counts.sum(),
        "clear": of.sum(),
        "in a sentence": clumping(counts.sum(1), of.sum(1), p),
        "as planned": -clumping(counts.sum(1), of.sum(1), p),
        "at a place": clumping(counts.sum(0), of.sum(0), p),
        "with the one before": deviation((counts[1:] * counts[:-1]).sum(), (of[1:] * of[:-1]).sum(), p * p),
    }


def _between(training, again, pooled):
    """What two calls in training tell, with an evaluation between them."""
    gone, gone_again = (_alike(Y, torch.zeros_like(Y)) for Y in (training, again))
    drops = gone.any()
    return {"repeated": drops & (gone == gone_again).all(), "never again": drops & _alike(again, pooled).all()}


# What must not happen where there is dropout, in the order in which it is told.
FORBIDDEN = {
    "reversed": "dropout acts after eval() and not after train()",
    "lost": "after eval() the logits are not W y + b of all of y: dropout acts there",
    "changed": "after eval() the logits are not W y + b, and it is not dropout that makes the difference",
    "untouched": "in training nothing is dropped",
    "on logits": "in training some logits are exactly 0: dropout acts on them, after the linear layer",
    "elsewhere": "in training a pooled number is neither dropped nor kept: dropout acts somewhere else",
    "unscaled": "what dropout keeps is not divided by 1 - p, so that the logits are smaller in training on average",
    "one mask": "every sentence of the batch loses the same numbers: each needs a mask of its own",
    "all or none": "a sentence loses all of its pooled numbers or none: each number has a chance of its own",
    "repeated": "two calls in training drop the same numbers: a new mask has to be drawn for each call",
    "never again": "after an evaluation nothing is dropped in training any more: dropout follows the mode of each call",
}


DEPEND = "what is dropped depends on what else is dropped, while each number has a chance of its own"


EXERCISE = Exercise(
    id="bert.classifier",
    title="Mend the classifier",
    parts={"logits": 2, "dropout": 1},
    minutes=10,
    difficulty="core",
    importance=4,
    calls=("Classifier(encoder, pool, D, C, p)",),
    cases=cases,
    probe=probe,
    measure=measure,
    laws=(
        *(none(name, says, when="p") for name, says in FORBIDDEN.items()),
        share("dropped", "clear", "p", "{share:.0%} of the pooled numbers are dropped, expected {p:.0%}", when="p"),
        at_most("in a sentence", 5, f"{DEPEND}: many or none of one sentence", when="p"),
        at_most("as planned", 5, f"{DEPEND}: nearly the same number from every sentence", when="p"),
        # Each sentence stands in two pairs: for p = 0.3 the count of pairs varies 1.2 times as much as by itself.
        at_most("with the one before", 7, f"{DEPEND}: the same places of two sentences in a row", when="p"),
        at_most("at a place", 8, f"{DEPEND}: some of the D places more often than others", when="p"),
    ),
)
