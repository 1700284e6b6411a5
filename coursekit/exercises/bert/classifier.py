"""Classifier(encoder, pool, D, C, p): logits from a pooled encoder through dropout and a linear layer."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong, gradients, load, returned

SIGMAS = 5
B_DROPOUT, D_DROPOUT = 400, 6


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
    def draw(B, T, D, C, pool, p=0.0, dtype=torch.float32, upstream=False):
        V = 20
        inputs = {"D": D, "C": C, "p": p, "pool": pool, "ids": torch.randint(V, (B, T), generator=g)}
        # The first sentence has no padding, the others have some.
        length = torch.cat([torch.tensor([T]), torch.randint(2, T, (B - 1,), generator=g)])
        inputs["real"] = torch.arange(T) < length[:, None]
        inputs |= {
            "encoder.token.weight": normal(g, V, D, dtype=dtype),
            "encoder.mix.weight": normal(g, D, D, dtype=dtype) / D**0.5,
            "encoder.mix.bias": normal(g, D, dtype=dtype),
            "linear.weight": normal(g, C, D, dtype=dtype) / D**0.5,
            "linear.bias": normal(g, C, dtype=dtype),
        }
        if upstream:
            inputs["dY"] = normal(g, B, C, dtype=dtype)
        return inputs

    def dropped(p, pool):
        # The identity as linear layer shows in each logit what became of one pooled number.
        D, T = D_DROPOUT, 5
        inputs = draw(B_DROPOUT, T, D, D, pool, p)
        return inputs | {"linear.weight": torch.eye(D), "linear.bias": torch.full((D,), 2.0)}

    double = torch.float64
    return [
        Case("logits", "pool: mean of real tokens, T=5, D=6, C=2", draw(3, 5, 6, 2, "mean")),
        Case("logits", "pool: first token, T=6, D=4, C=3", draw(4, 6, 4, 3, "first")),
        Case("logits", "pool: mean of real tokens, float64", draw(2, 4, 5, 3, "mean", dtype=double)),
        Case("logits", "gradients", draw(3, 5, 6, 2, "mean", dtype=double, upstream=True)),
        Case("dropout", "p=0.3, pool: mean of real tokens", dropped(0.3, "mean")),
        Case("dropout", "p=0.1, pool: first token", dropped(0.1, "first")),
    ]


def probe(case, Classifier):
    weights = {name: value for name, value in case.items() if "." in name}
    V, D = weights["encoder.token.weight"].shape
    pool = POOLS[case["pool"]]
    module = load(Classifier(Encoder(V, D), pool, D, case["C"], case["p"]), weights)
    if type(module).forward is nn.Module.forward:
        raise Wrong("the class has no method forward(self, ids, real)")

    def logits():
        return returned(module(case["ids"], case["real"]), "logits")

    if case["p"] == 0:
        Y = logits()
        if "dY" not in case:
            return {"logits": Y}
        trained = dict(module.named_parameters())
        sources = {name: trained[name] for name in ("encoder.token.weight", "linear.weight", "linear.bias")}
        return {"logits": Y} | gradients(Y, sources, case["dY"])
    module.train()
    training = logits()
    module.eval()
    return {"training": training, "evaluation": logits()}


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
    return _counted(
        *(outputs[name].to(pooled.dtype) for name in ("training", "evaluation")), pooled, case["linear.bias"]
    )


def _counted(training, evaluation, pooled, bias):
    """What the laws look at, in a few numbers. With the identity as weight, logits less bias are pooled numbers."""

    def alike(a, b):
        return torch.isclose(a, b, rtol=1e-4, atol=1e-4)

    left = training - bias
    gone = alike(left, torch.zeros_like(left))
    ratio = (left / pooled)[~gone & (pooled.abs() > 0.05)]
    numbers = {
        "_kept in evaluation": alike(evaluation - bias, pooled).double().mean(),
        "_changed in training": (~alike(left, pooled)).double().mean(),
        "_logits of 0": alike(training, torch.zeros_like(training)).double().mean(),
        "_scale": torch.stack([ratio.min(), ratio.max()]) if len(ratio) else pooled.new_zeros(2),
        "_dropped": gone.double().mean(),
        "_dropped by column": gone.double().mean(0),
        "_rows with both": (gone.any(1) & ~gone.all(1)).double().mean(),
    }
    return {name: value.double() for name, value in numbers.items()}


def dropout_follows_the_mode(case, out):
    if case["p"] and not out["_changed in training"] and out["_kept in evaluation"] < 1:
        return "dropout acts after eval() and not after train()"


def evaluation_keeps_everything(case, out):
    if case["p"] and out["_kept in evaluation"] < 1:
        return "after eval() the logits are not those of the whole pooled vector: dropout must not act there"


def training_drops_something(case, out):
    if case["p"] and not out["_changed in training"]:
        return "in training nothing is dropped"


def the_bias_survives(case, out):
    # The bias lies far from 0, so a logit of 0 is no coincidence.
    if case["p"] and out["_logits of 0"] > case["p"] / 2:
        return "in training some logits are exactly 0: dropout acts on them, after the linear layer"


def pooled_numbers_are_dropped(case, out):
    low, high = out["_scale"] if case["p"] else (0, 0)
    if high - low > 0.05:
        return "in training a pooled number is neither dropped nor kept: dropout acts somewhere else"


def what_stays_is_scaled(case, out):
    if case["p"] and abs(out["_scale"].mean() - 1) < case["p"] / 2:
        return "what dropout keeps is not divided by 1 - p, so that the logits are smaller in training on average"


def every_number_has_a_chance_of_its_own(case, out):
    if not case["p"]:
        return None
    columns = out["_dropped by column"]
    if ((columns == 0) | (columns == 1)).all():
        return "every sentence of the batch loses the same numbers: each needs a mask of its own"
    if not out["_rows with both"]:
        return "a sentence loses all of its pooled numbers or none: each number has a chance of its own"


def the_share_is_p(case, out):
    p, share = case["p"], out["_dropped"].item() if case["p"] else 0.0
    # A pooled number that is 0 by itself looks dropped: there are very few.
    if abs(share - p) > SIGMAS * (p * (1 - p) / (B_DROPOUT * D_DROPOUT)) ** 0.5 + 1e-3:
        return f"{share:.0%} of the pooled numbers are dropped in training, expected {p:.0%}"


class _Pooled(nn.Module):
    """The encoder and the pool in the place of transformers' BertModel."""

    def __init__(self, encoder, pool):
        super().__init__()
        self.encoder, self.pool = encoder, pool

    def forward(self, ids, attention_mask, **_):
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        X = self.encoder(ids, attention_mask)
        return BaseModelOutputWithPooling(X, self.pool(X, attention_mask))


class Library(nn.Module):
    """transformers' BertForSequenceClassification on top of the given encoder and pool."""

    def __init__(self, encoder, pool, D, C, p):
        from transformers import BertConfig, BertForSequenceClassification  # here, because it takes seconds to import

        super().__init__()
        config = BertConfig(hidden_size=D, num_labels=C, classifier_dropout=p, num_hidden_layers=0, vocab_size=1)
        head = BertForSequenceClassification(config)
        head.bert = _Pooled(encoder, pool)
        self.encoder, self.linear = encoder, head.classifier
        self.theirs = (head,)  # in a tuple, so that no weight is counted twice

    def forward(self, ids, real):
        (head,) = self.theirs
        return head.train(self.training)(ids, attention_mask=real).logits


EXERCISE = Exercise(
    id="bert.classifier",
    title="A classifier on top of the encoder",
    parts={"logits": 2, "dropout": 1},
    minutes=20,
    difficulty="core",
    calls=("Classifier(encoder, pool, D, C, p)",),
    cases=cases,
    probe=probe,
    measure=measure,
    library=(Library,),
    laws=(
        dropout_follows_the_mode,
        evaluation_keeps_everything,
        training_drops_something,
        the_bias_survives,
        pooled_numbers_are_dropped,
        what_stays_is_scaled,
        every_number_has_a_chance_of_its_own,
        the_share_is_p,
    ),
)
