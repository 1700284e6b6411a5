"""x_t = Norm(E_token[id_t] + E_segment[s_t] + E_position[t]), t = 0, 1, ... Devlin et al. 2019, section 3, figure 2."""

import torch
from torch import nn
from torch.nn import functional

from grader.contract import Trusted


class Steps(nn.Module):
    """In steps: a mistake below is written as the one step in which it differs."""

    def __init__(self, V, D, longest):
        super().__init__()
        self.token = nn.Embedding(V, D)
        self.segment = nn.Embedding(2, D)
        self.position = nn.Embedding(longest, D)
        self.norm = nn.LayerNorm(D, eps=1e-12)

    def forward(self, ids, segments):
        return self.normalise(self.tokens(ids), self.segments(segments), self.positions(ids, segments))

    def tokens(self, ids):
        return self.token(ids)

    def segments(self, segments):
        return self.segment(segments)

    def positions(self, ids, segments):
        return self.position(self.places(ids))

    def places(self, ids):
        return torch.arange(ids.shape[1], device=ids.device)

    def normalise(self, tokens, segments, positions):
        return self.norm(tokens + segments + positions)


class Reference(Steps):
    def forward(self, ids, segments):
        sentences = [
            self.token.weight[row] + self.segment.weight[halves] + self.position.weight[: len(row)]
            for row, halves in zip(ids, segments, strict=True)
        ]
        x = torch.stack(sentences)
        centred = x - x.mean(-1, keepdim=True)
        variance = (centred**2).mean(-1, keepdim=True)
        return centred / (variance + self.norm.eps) ** 0.5 * self.norm.weight + self.norm.bias


TRUSTED = Trusted(Reference, budget="three tables and a norm, each of which can be read in several wrong ways")
TRUSTED.add_alternative("in_steps", Steps)


@TRUSTED.mistake(
    "The positions are forgotten. Attention itself does not know the order of tokens: without a position vector "
    '"dog bites man" and "man bites dog" are the same.'
)
class NoPositions(Steps):
    def positions(self, ids, segments):
        return 0


@TRUSTED.mistake(
    "The positions start at 1, and at full length there is no row left for the last token. The first token stands at "
    "position 0: `torch.arange(T)`."
)
class PositionsFromOne(Steps):
    def positions(self, ids, segments):
        return self.position(self.places(ids) + 1)


@TRUSTED.mistake(
    "The positions start again at the second segment. They count through the whole input; the segment vector says "
    "which sentence a token belongs to."
)
class PositionsRestart(Steps):
    def positions(self, ids, segments):
        t = self.places(ids).expand_as(ids)
        return self.position(torch.where(segments == 1, t - (segments == 0).sum(1, keepdim=True), t))


@TRUSTED.mistake(
    "The positions count on from one sentence of the batch to the next: in every sentence they are 0 to T - 1."
)
class PositionsThroughTheBatch(Steps):
    def places(self, ids):
        return torch.arange(ids.numel(), device=ids.device).view_as(ids) % self.position.num_embeddings


@TRUSTED.mistake("Tokens 0 are not counted, as if they were padding: positions are 0 to T - 1 whatever the ids are.")
class PositionsOfTheOthers(Steps):
    def places(self, ids):
        return ((ids != 0).cumsum(1) - 1).clamp_min(0)


@TRUSTED.mistake("Every token gets the vector of position 0: look up T different rows, `torch.arange(T)`.")
class OnePosition(Steps):
    def positions(self, ids, segments):
        return self.position.weight[0]


@TRUSTED.mistake("The segments are forgotten: the encoder could not tell the first sentence from the second.")
class NoSegments(Steps):
    def segments(self, segments):
        return 0


@TRUSTED.mistake("The segments are exchanged: look up `segments` as it is; 0 is the first sentence.")
class SegmentsExchanged(Steps):
    def segments(self, segments):
        return self.segment(1 - segments)


@TRUSTED.mistake("The norm is left out: `self.norm` is made and never used.")
class NoNorm(Steps):
    def normalise(self, tokens, segments, positions):
        return tokens + segments + positions


@TRUSTED.mistake(
    "Only the token vectors are normalised, and the rest is added afterwards. Sum all three, then normalise."
)
class SummedAfterTheNorm(Steps):
    def normalise(self, tokens, segments, positions):
        return self.norm(tokens) + segments + positions


@TRUSTED.mistake("Each of the three is normalised by itself. Sum them first, then normalise once.")
class NormOfEach(Steps):
    def normalise(self, tokens, segments, positions):
        return self.norm(tokens) + self.norm(segments) + self.norm(positions)


@TRUSTED.mistake(
    "The norm's own weight and bias have no effect: call `self.norm(...)`, which holds them, in place of a bare "
    "layer_norm."
)
class NormWithoutItsWeights(Steps):
    def normalise(self, tokens, segments, positions):
        X = tokens + segments + positions
        return functional.layer_norm(X, X.shape[-1:], eps=self.norm.eps)


@TRUSTED.mistake(
    "The token vectors are multiplied by sqrt(D). The transformer of 2017 did that because its positions were fixed "
    "sinusoids; BERT adds the three as they are."
)
class TokensScaled(Steps):
    def tokens(self, ids):
        return super().tokens(ids) * self.token.embedding_dim**0.5


@TRUSTED.mistake(
    "The values are right, but no gradient reaches the position table (`.data`, `detach` or `no_grad`): BERT learns "
    "its positions."
)
class PositionsFixed(Steps):
    def positions(self, ids, segments):
        return super().positions(ids, segments).detach()


@TRUSTED.mistake(
    "Tokens and segments are normalised, and positions are added afterwards. Sum all three, then normalise."
)
class PositionsAfterTheNorm(Steps):
    def normalise(self, tokens, segments, positions):
        return self.norm(tokens + segments) + positions


@TRUSTED.mistake("Segments are added after the norm. Sum all three, then normalise.")
class SegmentsAfterTheNorm(Steps):
    def normalise(self, tokens, segments, positions):
        return self.norm(tokens + positions) + segments


@TRUSTED.mistake(
    "This is what the code does that you were given: all tokens of a sentence get the same position, and sentences get "
    "different ones. What does `arange` count there, and what should it count?"
)
class PositionsOfTheBatch(Steps):
    def positions(self, ids, segments):
        return self.position(torch.arange(len(ids), device=ids.device))[:, None]


@TRUSTED.mistake(
    "Mean and variance are taken over all tokens of a sentence at once: a layer norm looks at one token's D numbers."
)
class NormOfTheSentence(Steps):
    def normalise(self, tokens, segments, positions):
        X = tokens + segments + positions
        return functional.layer_norm(X, X.shape[1:]) * self.norm.weight + self.norm.bias


@TRUSTED.mistake("Token 0 is taken for filler: its vector is 0. Here it is a token as any other.")
class ZeroIsFiller(Steps):
    def tokens(self, ids):
        return super().tokens(ids) * (ids != 0)[..., None]


@TRUSTED.mistake(
    "The positions are looked up by ids: a token would have one position wherever it stands. Use arange(T)."
)
class PositionsOfTheIds(Steps):
    def positions(self, ids, segments):
        return self.position(ids % self.position.num_embeddings)


@TRUSTED.mistake("The result is normalised twice: once is enough, on the sum of the three.")
class NormTwice(Steps):
    def normalise(self, tokens, segments, positions):
        return self.norm(super().normalise(tokens, segments, positions))


@TRUSTED.alternative
class Sliced(Steps):
    """A slice of the position table, and the segments chosen by a condition."""

    def forward(self, ids, segments):
        A, B = self.segment.weight
        X = self.token.weight[ids] + torch.where(segments[..., None] == 0, A, B)
        X = X + self.position.weight[: ids.shape[1]]
        return functional.layer_norm(X, (X.shape[-1],), self.norm.weight, self.norm.bias, self.norm.eps)


@TRUSTED.alternative
class OneHot(Steps):
    """Look-ups as products with one-hot rows."""

    def forward(self, ids, segments):
        total = self.position(self.places(ids).expand_as(ids))
        for table, rows in ((self.token, ids), (self.segment, segments)):
            total = total + functional.one_hot(rows, table.num_embeddings).to(total.dtype) @ table.weight
        return self.norm(total)


@TRUSTED.alternative
class Averaged(Steps):
    """The mean in place of the sum: the norm takes the factor away again."""

    def forward(self, ids, segments):
        positions = self.position(self.places(ids).expand_as(ids))
        return self.norm(torch.stack([self.token(ids), self.segment(segments), positions]).mean(0))
