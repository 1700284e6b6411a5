"""BertEmbeddings(V, D, longest): X = Norm(token + segment + position)."""

import torch
from torch import nn

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes

MODULE = Shapes(
    "dX: B T D, token.weight: V D, segment.weight: 2 D, position.weight: longest D, norm.weight: D, norm.bias: D",
    told="B T D longest",
)


def cases(g):
    draw, double = MODULE.cases(g), torch.float64

    def case(part, segments, V, note="", **given):
        """The same token in several places, token 0 among them; the segments of each sentence are written as digits."""
        rows = [[int(digit) for digit in row] for row in segments.split()]
        B, T = len(rows), len(rows[0])
        ids = torch.randint(V, (B, T), generator=g)
        ids[:, -1] = ids[:, min(1, T - 1)]
        ids[0, 0] = 0
        return draw(part, ids=ids, segments=torch.tensor(rows), B=B, T=T, V=V, note=note, **given)

    # Cases of equal V, D and longest are calls of one module: with other segments, with another length.
    small, full = {"V": 11, "D": 8, "longest": 9}, {"V": 7, "D": 12, "longest": 4, "dtype": double}
    return [
        case("values", "00011 00111", **small),
        case("values", "01111 00000", note="other segments", **small),
        case("values", "000000 000011 011111", V=13, D=10, longest=7),
        case("values", "0011", note="as long as can be", **full),
        case("values", "0 1 0", note="one token", **full),
        # Some models stop at 512 positions, and some repeat themselves behind.
        case("values", 350 * "0" + 170 * "1", V=5, D=4, longest=524, note="a long sentence"),
        case("values", "0011100 1010011", V=9, D=10, longest=8, note="segments that come again"),
        case("gradients", "000011 000111", V=9, D=10, longest=8, upstream=True),
        case("gradients", "0111 0011 0001", V=12, D=8, longest=6, dtype=double, upstream=True),
    ]


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
    calls=("BertEmbeddings(V, D, longest)(ids, segments) -> X",),
    cases=cases,
    library=(Library,),
    # Gradients behind a norm add up terms that partly cancel.
    tolerance={torch.float32: (1e-5, 3e-5)},
)
