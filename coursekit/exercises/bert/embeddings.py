"""BertEmbeddings(V, D, longest): X = Norm(token + segment + position)."""

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong, gradients, load, returned


def cases(g):
    def draw(B, T, V, D, longest, first, dtype=torch.float32, upstream=False):
        """Sentences whose second segment starts after the `first` tokens, the same token in several places."""
        ids = torch.randint(V, (B, T), generator=g)
        ids[:, -1], ids[:, 0] = ids[:, 1], 0
        segments = (torch.arange(T) >= torch.tensor(first)[:, None]).long()
        inputs = {"V": V, "D": D, "longest": longest, "ids": ids, "segments": segments}
        for name, rows in (("token", V), ("segment", 2), ("position", longest)):
            inputs[f"{name}.weight"] = normal(g, rows, D, dtype=dtype)
        inputs["norm.weight"] = 1 + 0.4 * normal(g, D, dtype=dtype)
        inputs["norm.bias"] = 0.6 * normal(g, D, dtype=dtype)
        return inputs | ({"dY": normal(g, B, T, D, dtype=dtype)} if upstream else {})

    double = torch.float64
    return [
        Case("values", "B=2, T=5 of at most 9, D=8", draw(2, 5, 11, 8, 9, (3, 2))),
        Case("values", "B=3, T=6 of at most 7, D=10", draw(3, 6, 13, 10, 7, (6, 4, 1))),
        Case("values", "T=4, the most there is, D=12, float64", draw(1, 4, 7, 12, 4, (2,), double)),
        Case("gradients", "B=2, T=6 of at most 8, D=10", draw(2, 6, 9, 10, 8, (4, 3), upstream=True)),
        Case("gradients", "B=3, T=4 of at most 6, D=8, float64", draw(3, 4, 12, 8, 6, (1, 2, 3), double, True)),
    ]


def probe(case, Embeddings):
    weights = {name: value for name, value in case.items() if "." in name}
    module = load(Embeddings(case["V"], case["D"], case["longest"]), weights)
    if type(module).forward is nn.Module.forward:
        raise Wrong("the class has no method forward(self, ids, segments)")
    X = returned(module(case["ids"], case["segments"]), "X")
    if "dY" not in case:
        return {"X": X}
    sources = {name: module.get_parameter(name) for name in weights}
    return {"X": X} | gradients(X, sources, case["dY"])


class Library(nn.Module):
    """transformers' BertEmbeddings under the names of the exercise."""

    def __init__(self, V, D, longest):
        from transformers import BertConfig  # here, because it takes seconds to import
        from transformers.models.bert.modeling_bert import BertEmbeddings

        super().__init__()
        config = BertConfig(
            vocab_size=V, hidden_size=D, max_position_embeddings=longest, hidden_dropout_prob=0.0, pad_token_id=None
        )
        theirs = BertEmbeddings(config)
        self.token, self.segment = theirs.word_embeddings, theirs.token_type_embeddings
        self.position, self.norm = theirs.position_embeddings, theirs.LayerNorm
        self.theirs = (theirs,)  # in a tuple, so that its weights have one name each

    def forward(self, ids, segments):
        T = ids.shape[1]
        return self.theirs[0](ids, segments, position_ids=torch.arange(T, device=ids.device)[None])


EXERCISE = Exercise(
    id="bert.embeddings",
    title="Token, segment and position in one vector",
    parts={"values": 1, "gradients": 1},
    minutes=15,
    difficulty="core",
    calls=("BertEmbeddings(V, D, longest)",),
    cases=cases,
    probe=probe,
    library=(Library,),
    # Gradients behind a norm add up terms that partly cancel.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
