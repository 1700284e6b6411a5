"""EncoderLayer(D, H, F): BERT's layer, post-norm, in which real tokens never read padding."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong, gradients, leaves, load, returned


def cases(g):
    def draw(real, D, H, F, dtype=torch.float32, upstream=False):
        real = torch.tensor([[token == "x" for token in row] for row in real.split()])
        X = normal(g, *real.shape, D, dtype=dtype)
        # What stands on filler is no zero: whoever reads it is found out.
        inputs = {"X": torch.where(real[..., None], X, 3 * X), "real": real, "H": H, "F": F}
        shapes = {
            **{f"{name}.weight": (D, D) for name in ("query", "key", "value", "output")},
            **{f"{name}.bias": (D,) for name in ("query", "key", "value", "output")},
            **{"up.weight": (F, D), "up.bias": (F,), "down.weight": (D, F), "down.bias": (D,)},
            **{f"norm_{name}.{part}": (D,) for name in ("attention", "output") for part in ("weight", "bias")},
        }
        # Norms far from the identity and scores of ordinary size, so that every part of the layer shows.
        for name, shape in shapes.items():
            scale = 0.5 if name.startswith("norm") else shape[-1] ** -0.5 if len(shape) > 1 else 0.5
            offset = 1.0 if name.startswith("norm") and name.endswith("weight") else 0.0
            inputs[name] = normal(g, *shape, dtype=dtype) * scale + offset
        return inputs | ({"dY": normal(g, *X.shape, dtype=dtype)} if upstream else {})

    double = torch.float64
    return [
        Case("values", "T=5, D=8, H=2, F=20, no padding", draw("xxxxx xxxxx", 8, 2, 20)),
        Case("values", "T=4, D=12, H=3, F=18, float64, no padding", draw("xxxx", 12, 3, 18, double)),
        Case("padding", "T=5, D=8, H=4, F=14, lengths 5 and 3", draw("xxxxx xxx..", 8, 4, 14)),
        Case("padding", "T=6, D=12, H=2, F=10, padded on the left too", draw("xxxx.. xxxxxx ..xxx.", 12, 2, 10)),
        Case("padding", "T=4, D=6, H=3, F=16, float64", draw("xx.. xxx. x...", 6, 3, 16, double)),
        # Wide tokens: a norm over few numbers that happen to be nearly equal would magnify every rounding error.
        Case("gradients", "T=4, D=12, H=3, F=10", draw("xxx. xxxx", 12, 3, 10, upstream=True)),
        Case("gradients", "T=3, D=12, H=2, F=16, float64", draw("xx. xxx", 12, 2, 16, double, True)),
    ]


def probe(case, Layer):
    weights = {name: value for name, value in case.items() if "." in name}
    layer = load(Layer(case["X"].shape[-1], case["H"], case["F"]), weights)
    if type(layer).forward is nn.Module.forward:
        raise Wrong("the class has no method forward(self, X, real)")
    (X,), real = leaves(case["X"]), case["real"]
    Y = returned(layer(X, real), "Y")
    if Y.shape != X.shape:
        raise Wrong(f"Y has shape {tuple(Y.shape)}, expected {tuple(X.shape)}, that of X")
    # What stands on filler afterwards is nobody's business, as long as it is a number: NaN would spread.
    outputs = {"Y of the real tokens": Y[real], "Y is finite": Y.isfinite().all()}
    if "dY" not in case:
        return outputs
    sources = {name: layer.get_parameter(f"{name}.weight") for name in ("query", "value", "output", "up", "down")}
    return outputs | gradients(Y[real], {"X": X} | sources, case["dY"][real])


class Library(nn.Module):
    """transformers' BertLayer under the names of the exercise."""

    def __init__(self, D, H, F):
        from transformers import BertConfig  # here, because it takes seconds to import
        from transformers.models.bert.modeling_bert import BertLayer

        super().__init__()
        config = BertConfig(
            hidden_size=D,
            num_attention_heads=H,
            intermediate_size=F,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            attn_implementation="sdpa",
        )
        theirs = BertLayer(config)
        attention = theirs.attention
        self.query, self.key, self.value = attention.self.query, attention.self.key, attention.self.value
        self.output, self.norm_attention = attention.output.dense, attention.output.LayerNorm
        self.up, self.down, self.norm_output = theirs.intermediate.dense, theirs.output.dense, theirs.output.LayerNorm
        self.theirs = (theirs,)  # in a tuple, so that its weights have one name each

    def forward(self, X, real):
        return self.theirs[0](X, real[:, None, None, :])


EXERCISE = Exercise(
    id="bert.encoder_layer",
    title="An encoder layer that padding does not touch",
    parts={"values": 1, "padding": 1, "gradients": 1},
    minutes=30,
    difficulty="core",
    calls=("EncoderLayer(D, H, F)",),
    cases=cases,
    probe=probe,
    library=(Library,),
    # Gradients of weights add up many products that partly cancel.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
