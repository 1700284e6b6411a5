"""cls_pooling(X, real) and mean_pooling(X, real): one vector for a sentence, from its first token or from all."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered
from coursekit.checking.probing import gradients, leaves

CLS, MEAN = "cls", "mean"


def cases(g):
    def draw(part, label, pooling, rows, D, dtype=torch.float32):
        real = torch.tensor([[token == "x" for token in row] for row in rows.split()])
        return Case(part, label, {"pooling": pooling, "X": normal(g, *real.shape, D, dtype=dtype), "real": real})

    def turned(case):
        return Case(case.part, case.label, case.inputs | {"X": scattered(case.inputs["X"])})

    def with_zeros(case):
        """Half of the numbers are 0, as after a ReLU: zeros in X do not mean padding."""
        return Case(case.part, case.label, case.inputs | {"X": case.inputs["X"].relu()})

    def with_upstream(case):
        X = case.inputs["X"]
        return Case("gradients", case.label, case.inputs | {"dY": normal(g, len(X), X.shape[2], dtype=X.dtype)})

    double = torch.float64
    return [
        draw("cls", "T=4, D=3, padded", CLS, "xx.. xxxx", 3),
        draw("cls", "T=3, D=6, no padding, float64", CLS, "xxx xxx xxx xxx", 6, double),
        turned(draw("cls", "T=5, D=2, padded, not contiguous", CLS, "xxx.. xxxxx xxxx.", 2)),
        draw("mean", "T=5, D=4, no padding", MEAN, "xxxxx xxxxx", 4),
        draw("mean", "T=4, D=3, padded", MEAN, "xx.. xxxx x...", 3),
        draw("mean", "T=3, D=5, padding on the left, float64", MEAN, ".xx xxx", 5, double),
        turned(draw("mean", "T=6, D=4, padding on both sides, not contiguous", MEAN, "..xxx. xxxx.. .x.xxx", 4)),
        with_zeros(draw("mean", "T=5, D=4, zeros among the numbers", MEAN, "xxx.. xxxxx x....", 4)),
        draw("mean", "T=4, D=2, a row of padding only", MEAN, "xxx. .... x...", 2),
        with_upstream(draw("", "cls, T=4, D=3", CLS, "xx.. xxxx", 3)),
        with_upstream(draw("", "mean, T=5, D=3, padded", MEAN, "xx... xxxx.", 3)),
        with_upstream(draw("", "mean, T=4, D=5, a row of padding only, float64", MEAN, ".... xx..", 5, double)),
    ]


def probe(case, cls_pooling, mean_pooling):
    pool = cls_pooling if case["pooling"] == CLS else mean_pooling
    if "dY" not in case:
        return {"Y": pool(case["X"], case["real"])}
    (X,) = leaves(case["X"])
    Y = pool(X, case["real"])
    return {"Y": Y} | gradients(Y, {"X": X}, case["dY"])


def _cls(X, real):
    from transformers.models.bert import modeling_bert  # here, because it takes seconds to import

    pooler = modeling_bert.BertPooler(modeling_bert.BertConfig(hidden_size=1, num_attention_heads=1))
    pooler.dense = pooler.activation = nn.Identity()  # what is left chooses the token
    return pooler(X)


def _mean(X, real):
    return torch.masked.mean(X, 1, mask=real[..., None].expand_as(X)).nan_to_num()


EXERCISE = Exercise(
    id="bert.pooling",
    title="One vector for a sentence",
    parts={"cls": 1, "mean": 1, "gradients": 1},
    minutes=15,
    difficulty="core",
    calls=("cls_pooling(X, real) -> Y", "mean_pooling(X, real) -> Y"),
    cases=cases,
    probe=probe,
    library=(_cls, _mean),
    ordered=False,
)
