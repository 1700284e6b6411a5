"""MaskedWordHead(token): logits through the embedding's own weights; masked_word_loss: their loss."""

import torch
from torch import Tensor, nn

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes, is_weight, normal
from coursekit.checking.probing import Wrong, gradients, leaves, load, returned, trained

HEAD = Shapes(
    "X: B T D, dense.weight: D D, dense.bias: D, norm.weight: D, norm.bias: D, decoder.weight: V D, decoder.bias: V",
    told="B T D V",
)


def cases(g):
    head, double = HEAD.cases(g), torch.float64

    def asked(part, *counts, T, V, **given):
        """Labels for that many places of each sentence; as many in one as to tell a mean of means from a mean."""
        labels = torch.full((len(counts), T), -100)
        for b, count in enumerate(counts):
            where = torch.randperm(T, generator=g)[:count]
            labels[b, where] = torch.randint(V, (count,), generator=g)
            labels[b, where[:1]] *= b > 0  # token 0 is asked for too
        note = f"{', '.join(map(str, counts))} places asked for"
        return head(part, labels=labels, B=len(counts), T=T, V=V, note=note, **given)

    def above(dtype=torch.float32):
        return {"dL": 1 + normal(g, 1, dtype=dtype)[0].abs(), "dtype": dtype}

    # In float64, where numbers far apart leave no rounding to be told from a slip.
    far = {"norm.weight": 400 * normal(g, 6, dtype=double), "dtype": double}
    return [
        head("head", B=2, T=5, D=8, V=11),
        head("head", B=3, T=4, D=10, V=7, dtype=double, two=True, note="another head is made before it is called"),
        head("head", B=1, T=1, D=8, V=9, X=normal(g, 8), note="one vector alone"),
        head("head", B=1, T=1, D=6, V=5, X=normal(g, 3, 6), note="a list of vectors"),
        head("head", B=2, T=1, D=6, V=5, X=normal(g, 2, 1, 3, 6), note="two leading dimensions more"),
        asked("loss", 1, 4, 2, T=6, D=8, V=9),
        asked("loss", 5, 0, 2, T=7, D=10, V=12, dtype=double),
        asked("loss", 1, T=1, D=8, V=6),
        asked("loss", 30, 25, T=32, D=6, V=8),
        asked("loss", 3, 4, T=5, D=6, V=9, **far),
        asked("gradients", 3, 1, T=5, D=12, V=10, **above()),
        asked("gradients", 1, 3, 2, T=4, D=8, V=13, **above(double)),
    ]


def probe(case, Head, loss):
    """The head on the embedding that it is tied to; its loss, and gradients through both.

    What became of the embedding can be looked at in this process alone: one Parameter has no copy to hand over.
    """
    weights = {name: x for name, x in case.items() if is_weight(name)}
    token = nn.Embedding.from_pretrained(case["decoder.weight"].clone(), freeze=False)
    head = load(_tied(Head, token), weights)
    if "two" in case:
        Head(nn.Embedding(token.num_embeddings + 1, token.embedding_dim + 1).to(token.weight))
    with torch.no_grad():
        other = head(-case["X"])
    if "labels" not in case:
        logits = returned(head(case["X"]), "logits")
        if isinstance(other, Tensor) and torch.equal(logits, other):
            raise Wrong("the logits are the same for two calls with other vectors: it keeps what an earlier call gave")
        return {"logits": logits}
    (X,) = leaves(case["X"])
    mode, L = head.training, returned(loss(head, X, case["labels"]), "loss")
    if head.training != mode:
        raise Wrong("the loss switches the head to another mode (train or eval): that is for its user to choose")
    if L.shape != ():
        raise Wrong(f"the loss has shape {tuple(L.shape)}, expected one number: a tensor of shape ()")
    if "dL" not in case:
        return {"loss": L}
    sources = {"X": X, "token.weight": token.weight}
    sources |= {name: trained(head, name) for name in ("dense.weight", "norm.weight", "decoder.bias")}
    return {"loss": L} | gradients(L, sources, case["dL"])


def _tied(Head, token):
    """The head made from `token`, which it leaves as it was. Raises Wrong where it does not."""
    weight, before = token.weight, token.weight.detach().clone()
    head = Head(token)
    if token.weight is not weight:
        raise Wrong(
            "token.weight is another Parameter than before: the embedding keeps its own, and the decoder takes it, "
            "`self.decoder.weight = token.weight`"
        )
    if not torch.equal(weight, before):
        raise Wrong("the numbers of token.weight are changed: it is the encoder's own table, and is used as it is")
    if not weight.requires_grad:
        raise Wrong("token.weight is frozen (its requires_grad is False): it learns from both ends")
    if isinstance(head, nn.Module) and not any(p is weight for p in head.parameters()):
        raise Wrong(
            "decoder.weight is a matrix of its own: tied means that head.decoder.weight and token.weight are one "
            "Parameter, so that a step that changes one changes the other"
        )
    return head


EXERCISE = Exercise(
    id="bert.mlm_head",
    title="The masked-token head and its loss",
    parts={"head": 1, "loss": 1, "gradients": 1},
    minutes=25,
    difficulty="core",
    importance=4,
    calls=("MaskedWordHead(token)", "masked_word_loss(head, X, labels) -> loss"),
    cases=cases,
    probe=probe,
    # Gradients behind a norm add up terms that partly cancel.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
