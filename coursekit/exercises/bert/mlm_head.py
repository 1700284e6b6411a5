"""MaskedWordHead(token): logits through the embedding's own weights; masked_word_loss: their loss."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong, gradients, leaves, load, returned

NAMES = ("dense.weight", "dense.bias", "norm.weight", "norm.bias", "decoder.weight", "decoder.bias")


def cases(g):
    def draw(B, T, D, V, dtype=torch.float32):
        return {
            "X": normal(g, B, T, D, dtype=dtype),
            "dense.weight": normal(g, D, D, dtype=dtype) * 1.5 * D**-0.5,
            "dense.bias": normal(g, D, dtype=dtype) * 0.6,
            "norm.weight": 1 + 0.4 * normal(g, D, dtype=dtype),
            "norm.bias": normal(g, D, dtype=dtype) * 0.6,
            "decoder.weight": normal(g, V, D, dtype=dtype) * 0.8,
            "decoder.bias": normal(g, V, dtype=dtype),
        }

    def asked(inputs, *counts):
        """Labels for that many places of each sentence; as many in one as to tell a mean of means from a mean."""
        (B, T, _), V = inputs["X"].shape, len(inputs["decoder.bias"])
        labels = torch.full((B, T), -100)
        for b, count in enumerate(counts):
            where = torch.randperm(T, generator=g)[:count]
            labels[b, where] = torch.randint(V, (count,), generator=g)
            labels[b, where[:1]] *= b > 0  # token 0 is asked for too
        return inputs | {"labels": labels}

    def upstream(inputs):
        return inputs | {"dL": 1 + normal(g, 1, dtype=inputs["X"].dtype)[0].abs()}

    double = torch.float64
    return [
        Case("head", "B=2, T=5, D=8, V=11", draw(2, 5, 8, 11)),
        Case("head", "B=3, T=4, D=10, V=7, float64", draw(3, 4, 10, 7, double)),
        Case("loss", "1, 4 and 2 of T=6 places, V=9", asked(draw(3, 6, 8, 9), 1, 4, 2)),
        Case("loss", "5, 0 and 2 of T=7 places, V=12, float64", asked(draw(3, 7, 10, 12, double), 5, 0, 2)),
        Case("gradients", "3 and 1 of T=5 places, V=10", upstream(asked(draw(2, 5, 12, 10), 3, 1))),
        Case("gradients", "1, 3 and 2 of T=4 places, float64", upstream(asked(draw(3, 4, 8, 13, double), 1, 3, 2))),
    ]


def probe(case, Head, loss):
    V, D = case["decoder.weight"].shape
    token = nn.Embedding(V, D, device=case["X"].device, dtype=case["X"].dtype)
    head = load(Head(token), {name: case[name] for name in NAMES})
    if not any(p is token.weight for p in head.parameters()):
        raise Wrong(
            "decoder.weight is a matrix of its own: tied means that head.decoder.weight and token.weight are one "
            "Parameter, so that a step that changes one changes the other"
        )
    if "labels" not in case:
        return {"logits": returned(head(case["X"]), "logits")}
    (X,) = leaves(case["X"])
    L = loss(head, X, case["labels"])
    if L.shape != ():
        raise Wrong(f"the loss has shape {tuple(L.shape)}, expected one number: a tensor of shape ()")
    if "dL" not in case:
        return {"loss": L}
    sources = {"X": X, "token.weight": token.weight}
    sources |= {name: head.get_parameter(name) for name in ("dense.weight", "norm.weight", "decoder.bias")}
    return {"loss": L} | gradients(L, sources, case["dL"])


class Library(nn.Module):
    """transformers' head for masked words under the names of the exercise."""

    def __init__(self, token):
        from transformers import BertConfig  # here, because it takes seconds to import
        from transformers.models.bert.modeling_bert import BertLMPredictionHead

        super().__init__()
        V, D = token.weight.shape
        theirs = BertLMPredictionHead(BertConfig(vocab_size=V, hidden_size=D))
        theirs.decoder.weight = token.weight
        self.dense, self.norm, self.decoder = theirs.transform.dense, theirs.transform.LayerNorm, theirs.decoder
        self.theirs = (theirs,)  # in a tuple, so that its weights have one name each

    def forward(self, X):
        return self.theirs[0](X)


def library_loss(head, X, labels):
    """torch's cross-entropy, which leaves out the label -100 by itself."""
    return nn.CrossEntropyLoss()(head(X).mT, labels)


EXERCISE = Exercise(
    id="bert.mlm_head",
    title="The masked-word head and its loss",
    parts={"head": 1, "loss": 1, "gradients": 1},
    minutes=25,
    difficulty="core",
    calls=("MaskedWordHead(token)", "masked_word_loss(head, X, labels) -> loss"),
    cases=cases,
    probe=probe,
    library=(Library, library_loss),
    # Gradients behind a norm add up terms that partly cancel.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
