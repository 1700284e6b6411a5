"""x_t = Norm(E_token[id_t] + E_segment[s_t] + E_position[t]), t = 0, 1, ... Devlin et al. 2019, section 3, figure 2."""

import torch
from torch import nn
from torch.nn import functional

from grader.contract import Trusted


class Parts(nn.Module):
    """The three tables and the norm; forward is what each implementation writes."""

    def __init__(self, V, D, longest):
        super().__init__()
        self.token = nn.Embedding(V, D)
        self.segment = nn.Embedding(2, D)
        self.position = nn.Embedding(longest, D)
        self.norm = nn.LayerNorm(D, eps=1e-12)

    def places(self, ids):
        return torch.arange(ids.shape[1], device=ids.device)


class Reference(Parts):
    def forward(self, ids, segments):
        sentences = []
        for sentence, halves in zip(ids, segments, strict=True):
            rows = [
                self.token.weight[i] + self.segment.weight[s] + self.position.weight[t]
                for t, (i, s) in enumerate(zip(sentence, halves, strict=True))
            ]
            sentences.append(torch.stack(rows))
        x = torch.stack(sentences)
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred**2).mean(-1, keepdim=True)
        return centred / (variance + self.norm.eps) ** 0.5 * self.norm.weight + self.norm.bias


TRUSTED = Trusted(Reference)


class Summed(Parts):
    """The sum and the norm in steps, so that a mistake below is written as the one step in which it differs."""

    def forward(self, ids, segments):
        return self.normalise(self.token(ids) + self.segments(ids, segments) + self.positions(ids, segments))

    def segments(self, ids, segments):
        return self.segment(segments)

    def positions(self, ids, segments):
        return self.position(self.places(ids))

    def normalise(self, X):
        return self.norm(X)


@TRUSTED.mistake(
    "The positions are forgotten. Attention itself does not know the order of tokens: without a position vector "
    '"dog bites man" and "man bites dog" are the same.'
)
class NoPositions(Summed):
    def positions(self, ids, segments):
        return 0


@TRUSTED.mistake("The positions start at 1. The first token, [CLS], stands at position 0: `torch.arange(T)`.")
class PositionsFromOne(Summed):
    def positions(self, ids, segments):
        # The last row again where the table ends, as a clamp would give.
        return self.position((self.places(ids) + 1).clamp_max(self.position.num_embeddings - 1))


@TRUSTED.mistake(
    "The positions start at 1, and at full length there is no row left for the last token. The first token stands at "
    "position 0: `torch.arange(T)`."
)
class PositionsBeyondTheTable(Summed):
    def positions(self, ids, segments):
        return self.position(self.places(ids) + 1)


@TRUSTED.mistake(
    "The positions start again at the second segment. They count through the whole input; the segment vector says "
    "which sentence a token belongs to."
)
class PositionsRestart(Summed):
    def positions(self, ids, segments):
        t = self.places(ids).expand_as(ids)
        return self.position(torch.where(segments == 1, t - (segments == 0).sum(1, keepdim=True), t))


@TRUSTED.mistake("Every token gets the vector of position 0: look up T different rows, `torch.arange(T)`.")
class OnePosition(Summed):
    def positions(self, ids, segments):
        return self.position.weight[0]


@TRUSTED.mistake("The positions are counted from the end of the sentence: the first token stands at position 0.")
class PositionsReversed(Summed):
    def positions(self, ids, segments):
        return self.position(self.places(ids).flip(0))


@TRUSTED.mistake("The segments are forgotten: the encoder could not tell the first sentence from the second.")
class NoSegments(Summed):
    def segments(self, ids, segments):
        return 0


@TRUSTED.mistake("Every token gets segment 0, as if there were one sentence: look up `segments`.")
class SegmentZero(Summed):
    def segments(self, ids, segments):
        return self.segment(torch.zeros_like(segments))


@TRUSTED.mistake("The segments are exchanged: look up `segments` as it is; 0 is the first sentence.")
class SegmentsExchanged(Summed):
    def segments(self, ids, segments):
        return self.segment(1 - segments)


@TRUSTED.mistake("The norm is left out: `self.norm` is made and never used.")
class NoNorm(Summed):
    def normalise(self, X):
        return X


@TRUSTED.mistake(
    "Only the token vectors are normalised, and the rest is added afterwards. Sum all three, then normalise."
)
class SummedAfterTheNorm(Parts):
    def forward(self, ids, segments):
        return self.norm(self.token(ids)) + self.segment(segments) + self.position(self.places(ids))


@TRUSTED.mistake("Position comes after the norm: sum token, segment and position first, then normalise once.")
class PositionAfterTheNorm(Parts):
    def forward(self, ids, segments):
        return self.norm(self.token(ids) + self.segment(segments)) + self.position(self.places(ids))


@TRUSTED.mistake("Each of the three is normalised by itself. Sum them first, then normalise once.")
class NormOfEach(Parts):
    def forward(self, ids, segments):
        return (
            self.norm(self.token(ids)) + self.norm(self.segment(segments)) + self.norm(self.position(self.places(ids)))
        )


@TRUSTED.mistake(
    "The norm's own weight and bias have no effect: call `self.norm(...)`, which holds them, in place of a bare "
    "layer_norm."
)
class NormWithoutItsWeights(Summed):
    def normalise(self, X):
        return functional.layer_norm(X, X.shape[-1:], eps=self.norm.eps)


@TRUSTED.mistake(
    "The token vectors are multiplied by sqrt(D). The transformer of 2017 did that because its positions were fixed "
    "sinusoids; BERT adds the three as they are."
)
class TokensScaled(Parts):
    def forward(self, ids, segments):
        D = self.token.embedding_dim
        return self.norm(self.token(ids) * D**0.5 + self.segment(segments) + self.position(self.places(ids)))


@TRUSTED.mistake(
    "The values are right, but no gradient reaches the position table (`.data`, `detach` or `no_grad`): BERT learns "
    "its positions."
)
class PositionsFixed(Summed):
    def positions(self, ids, segments):
        return super().positions(ids, segments).detach()


@TRUSTED.mistake(
    "The values are right, but no gradient reaches the token table (`.data`, `detach` or `no_grad`): the words could "
    "not be learned."
)
class TokensFixed(Parts):
    def forward(self, ids, segments):
        return self.norm(self.token(ids).detach() + self.segment(segments) + self.position(self.places(ids)))


TRUSTED.add_alternative("in_steps", Summed)


@TRUSTED.alternative
class Sliced(Parts):
    """A slice of the position table, and the segments chosen by a condition."""

    def forward(self, ids, segments):
        A, B = self.segment.weight
        X = self.token.weight[ids] + torch.where(segments[..., None] == 0, A, B)
        X = X + self.position.weight[: ids.shape[1]]
        return functional.layer_norm(X, (X.shape[-1],), self.norm.weight, self.norm.bias, self.norm.eps)


@TRUSTED.alternative
class OneHot(Parts):
    """Look-ups as products with one-hot rows."""

    def forward(self, ids, segments):
        total = self.position(self.places(ids).expand_as(ids))
        for table, rows in ((self.token, ids), (self.segment, segments)):
            total = total + functional.one_hot(rows, table.num_embeddings).to(total.dtype) @ table.weight
        return self.norm(total)


@TRUSTED.alternative
class Averaged(Parts):
    """The mean in place of the sum: the norm takes the factor away again."""

    def forward(self, ids, segments):
        t = self.places(ids).expand_as(ids)
        return self.norm(torch.stack([self.token(ids), self.segment(segments), self.position(t)]).mean(0))
