"""Answers to bert.embeddings."""

import math

import torch
from torch import nn
from torch.nn import functional

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.embeddings",
    spared={
        "onward": "there is no event: each call stands alone",
        "far": "a sum of three rows and a norm: no slice is compared with another",
        "dependence": "nothing is drawn",
        "unwatched": "nothing is watched but the result and its gradients",
    },
)


class Given(nn.Module):
    """What the released cell gives."""

    def __init__(self, V, D, longest):
        super().__init__()
        self.token = nn.Embedding(V, D)
        self.segment = nn.Embedding(2, D)
        self.position = nn.Embedding(longest, D)
        self.norm = nn.LayerNorm(D, eps=1e-12)

    def at(self, ids):
        return torch.arange(ids.shape[1], device=ids.device)

    def forward(self, ids, segments):
        return self.norm(self.token(ids) + self.segment(segments) + self.position(self.at(ids)))


@ANSWERS.wrong("plain", "no norm", true="NoNorm")
class WithoutNorm(Given):
    def forward(self, ids, segments):
        return self.token(ids) + self.segment(segments) + self.position(self.at(ids))


@ANSWERS.wrong("plain", "each of the three is normalised, then added", true="NormOfEach")
class NormEach(Given):
    def forward(self, ids, segments):
        return self.norm(self.token(ids)) + self.norm(self.segment(segments)) + self.norm(self.position(self.at(ids)))


@ANSWERS.wrong("plain", "the norm comes before position is added", true="PositionsAfterTheNorm")
class PositionAfterNorm(Given):
    def forward(self, ids, segments):
        return self.norm(self.token(ids) + self.segment(segments)) + self.position(self.at(ids))


@ANSWERS.wrong("plain", "positions begin at 1, as some models have it behind padding", true="PositionsFromOne")
class FromOne(Given):
    def forward(self, ids, segments):
        return self.norm(
            self.token(ids)
            + self.segment(segments)
            + self.position(self.at(ids).add(1).clamp_max(self.position.num_embeddings - 1))
        )


@ANSWERS.wrong("plain", "the ids are taken for positions", true="PositionsOfTheIds")
class IdsAsPositions(Given):
    def forward(self, ids, segments):
        return self.norm(self.token(ids) + self.segment(segments) + self.position(ids % self.position.num_embeddings))


@ANSWERS.wrong("plain", "the tokens are scaled by sqrt(D), as in the Annotated Transformer", true="TokensScaled")
class Scaled(Given):
    def forward(self, ids, segments):
        X = self.token(ids) * math.sqrt(self.token.embedding_dim)
        return self.norm(X + self.segment(segments) + self.position(self.at(ids)))


@ANSWERS.wrong("plain", "dropout acts", told=r"dropout")
class WithDropout(Given):
    def forward(self, ids, segments):
        return functional.dropout(super().forward(ids, segments), 0.1)


@ANSWERS.wrong(
    "plain",
    "a norm with PyTorch's own epsilon of 1e-5, and without its weights",
    true="NormWithoutItsWeights",
    told=r"no gradient reaches norm.weight: the result does not depend on it",
)
class BareNorm(Given):
    def forward(self, ids, segments):
        X = self.token(ids) + self.segment(segments) + self.position(self.at(ids))
        return functional.layer_norm(X, X.shape[-1:])


@ANSWERS.wrong("plain", "normalised over time and width together", true="NormOfTheSentence")
class NormOverBoth(Given):
    def forward(self, ids, segments):
        X = self.token(ids) + self.segment(segments) + self.position(self.at(ids))
        X = functional.layer_norm(X, X.shape[1:])
        return X * self.norm.weight + self.norm.bias


@ANSWERS.wrong(
    "plain",
    "positions run over the batch, not over time",
    true="PositionsOfTheBatch",
    told=r"an nn.Embedding was asked for a row",
)
class AlongTheBatch(Given):
    def forward(self, ids, segments):
        P = self.position(torch.arange(ids.shape[0], device=ids.device))
        return self.norm(self.token(ids) + self.segment(segments) + P[:, None])


@ANSWERS.wrong(
    "plain",
    "sinusoids in place of the learned table",
    told=r"no gradient reaches position.weight: the result does not depend",
)
class Sinusoids(Given):
    def forward(self, ids, segments):
        D = self.token.embedding_dim
        angles = self.at(ids)[:, None] / 10000 ** (torch.arange(0, D, 2, device=ids.device) / D)
        P = torch.stack((angles.sin(), angles.cos()), -1).flatten(-2)
        return self.norm(self.token(ids) + self.segment(segments) + P.to(self.token.weight.dtype))


@ANSWERS.wrong("plain", "the position's gradient is cut off", true="PositionsFixed")
class FrozenPositions(Given):
    def forward(self, ids, segments):
        P = self.position.weight.data[: ids.shape[1]]
        return self.norm(self.token(ids) + self.segment(segments) + P)


@ANSWERS.wrong("again", "segments of the first call stay", told=r"keeps something from one call to the next")
class KeptSegments(Given):
    def forward(self, ids, segments):
        if not hasattr(self, "segments") or self.segments.shape != segments.shape:
            self.segments = segments
        return self.norm(self.token(ids) + self.segment(self.segments) + self.position(self.at(ids)))


@ANSWERS.wrong(
    "again", "positions of the first call stay, whatever the length", told=r"keeps something from one call to the next"
)
class KeptPositions(Given):
    def forward(self, ids, segments):
        if not hasattr(self, "positions"):
            self.positions = self.at(ids)
        return self.norm(self.token(ids) + self.segment(segments) + self.position(self.positions[: ids.shape[1]]))


@ANSWERS.wrong("ones", "squeeze() loses a batch of one sentence", told=r"lost a dimension of size 1")
class Squeezed(Given):
    def forward(self, ids, segments):
        return super().forward(ids, segments).squeeze()


@ANSWERS.wrong("ones", "the segment of the first token of a sentence stands for all")
class OneSegment(Given):
    def forward(self, ids, segments):
        return self.norm(self.token(ids) + self.segment(segments[:, :1]) + self.position(self.at(ids)))


@ANSWERS.wrong(
    "large",
    "positions are cut off at 512, BERT's own longest",
    told=r"a long sentence: .*only where index -2 is 512 to ",
    advice=r"right where T is 7 or less, wrong where it is \d+ or more",
)
class UpTo512(Given):
    def forward(self, ids, segments):
        return self.norm(self.token(ids) + self.segment(segments) + self.position(self.at(ids).clamp_max(511)))


@ANSWERS.wrong("named", "segments are made up: 1 behind the middle")
class MadeUpSegments(Given):
    def forward(self, ids, segments):
        second = (self.at(ids) >= ids.shape[1] // 2).long().expand_as(ids)
        return self.norm(self.token(ids) + self.segment(second) + self.position(self.at(ids)))


@ANSWERS.wrong("named", "token 0 is taken for padding, and its vector is zero", true="ZeroIsFiller")
class ZeroIsPadding(Given):
    def forward(self, ids, segments):
        X = self.token(ids) * (ids != 0)[..., None]
        return self.norm(X + self.segment(segments) + self.position(self.at(ids)))


@ANSWERS.wrong("given", "the ids are altered in place", told=r"changes its input ids in place")
class AltersIds(Given):
    def forward(self, ids, segments):
        X = super().forward(ids, segments)
        ids.add_(segments)
        return X


@ANSWERS.wrong("surroundings", "sets the seed of all random numbers", told=r"sets the seed")
class SetsTheSeed(Given):
    def forward(self, ids, segments):
        torch.manual_seed(0)
        return super().forward(ids, segments)


@ANSWERS.wrong(
    "surroundings", "a list in place of modules: no weights are registered", told=r"modules in its list tables"
)
class InAList(nn.Module):
    def __init__(self, V, D, longest):
        super().__init__()
        self.tables = [nn.Embedding(n, D) for n in (V, 2, longest)]
        self.norm = nn.LayerNorm(D, eps=1e-12)

    def forward(self, ids, segments):
        token, segment, position = self.tables
        return self.norm(token(ids) + segment(segments) + position(torch.arange(ids.shape[1])))


@ANSWERS.wrong("plain", "normalised twice", true="NormTwice")
class NormTwice(Given):
    def forward(self, ids, segments):
        return self.norm(super().forward(ids, segments))


@ANSWERS.wrong("again", "positions are kept on the class")
class KeptOnTheClass(Given):
    positions = None

    def forward(self, ids, segments):
        if KeptOnTheClass.positions is None or len(KeptOnTheClass.positions) < ids.shape[1]:
            KeptOnTheClass.positions = self.position.weight[: ids.shape[1]].detach()
        P = KeptOnTheClass.positions[: ids.shape[1]]
        return self.norm(self.token(ids) + self.segment(segments) + P)


@ANSWERS.wrong("plain", "positions count from the end")
class FromTheEnd(Given):
    def at(self, ids):
        return torch.arange(ids.shape[1] - 1, -1, -1, device=ids.device)


@ANSWERS.wrong("surroundings", "long vectors are shortened in the table itself (max_norm)")
class Shortened(Given):
    def __init__(self, V, D, longest):
        super().__init__(V, D, longest)
        self.token = nn.Embedding(V, D, max_norm=0.5)


@ANSWERS.wrong("plain", "the result comes with a mask", told="it returned a tuple of 2, expected the tensor X")
class WithAMask(Given):
    def forward(self, ids, segments):
        return super().forward(ids, segments), ids != 0


@ANSWERS.right
class WithPositionIds(Given):
    """As transformers has it: the positions are a buffer."""

    def __init__(self, V, D, longest):
        super().__init__(V, D, longest)
        self.register_buffer("position_ids", torch.arange(longest).expand((1, -1)))
        self.register_buffer("scale", torch.tensor(1.0))

    def forward(self, ids, segments):
        P = self.position(self.position_ids[:, : ids.size(1)])
        return self.norm(self.scale * (self.token(ids) + self.segment(segments) + P))


@ANSWERS.right
class WithUnsavedBuffer(Given):
    def __init__(self, V, D, longest):
        super().__init__(V, D, longest)
        self.register_buffer("places", torch.arange(longest), persistent=False)
        self.dropout = nn.Dropout(0.0)

    def forward(self, ids, segments):
        return self.dropout(
            self.norm(self.token(ids) + self.segment(segments) + self.position(self.places[: len(ids[0])]))
        )


@ANSWERS.right
class TwoNames(Given):
    """One table under two names is one table."""

    def __init__(self, V, D, longest):
        super().__init__(V, D, longest)
        self.word_embeddings = self.token
        self.LayerNorm = self.norm

    def forward(self, ids, segments):
        return self.LayerNorm(self.word_embeddings(ids) + self.segment(segments) + self.position(self.at(ids)))


@ANSWERS.right
class ByMatrices(Given):
    def forward(self, ids, segments):
        one_hot = functional.one_hot
        X = one_hot(ids, self.token.num_embeddings).to(self.token.weight.dtype) @ self.token.weight
        S = torch.where(segments[..., None] == 0, self.segment.weight[0], self.segment.weight[1])
        X = X + S + self.position.weight[: ids.shape[-1]]
        X = (X - X.mean(-1, keepdim=True)) / (X.var(-1, keepdim=True, correction=0) + self.norm.eps).sqrt()
        return X * self.norm.weight + self.norm.bias


@ANSWERS.right
class TokenByToken(Given):
    def forward(self, ids, segments):
        rows = []
        for row, seg in zip(ids.tolist(), segments.tolist(), strict=True):
            X = [
                self.token.weight[i] + self.segment.weight[s] + self.position.weight[t]
                for t, (i, s) in enumerate(zip(row, seg, strict=True))
            ]
            rows.append(torch.stack(X))
        return self.norm(torch.stack(rows))


@ANSWERS.right
class CachedByLength(Given):
    def forward(self, ids, segments):
        T = ids.shape[1]
        if getattr(self, "positions", None) is None or len(self.positions) < T:
            self.positions = torch.arange(T, device=ids.device)
        X = self.token(ids)
        X += self.segment(segments)
        X += self.position(self.positions[:T])
        return self.norm(X)


@ANSWERS.right
class SummedInOne(Given):
    def forward(self, ids, segments):
        places = torch.arange(segments.size(-1)).to(ids).expand_as(ids)
        tables, rows = (self.segment, self.position, self.token), (segments, places, ids)
        stacked = torch.stack([functional.embedding(r, t.weight) for t, r in zip(tables, rows, strict=True)])
        return functional.layer_norm(
            stacked.sum(0), self.norm.normalized_shape, self.norm.weight, self.norm.bias, 1e-12
        )


@ANSWERS.wrong("plain", "as many positions as there should be, and still standing under the batch")
class UnderTheBatch(Given):
    def at(self, ids):
        return torch.arange(ids.shape[1])[: len(ids), None]


@ANSWERS.wrong("plain", "places counted through the whole batch", true="PositionsThroughTheBatch")
class ThroughTheBatch(Given):
    def at(self, ids):
        return torch.arange(ids.numel()).view_as(ids) % self.position.num_embeddings


@ANSWERS.wrong("named", "token 0 is taken for padding, and does not count", true="PositionsOfTheOthers")
class CountsTokens(Given):
    def at(self, ids):
        return ((ids != 0).cumsum(1) - 1).clamp_min(0)


@ANSWERS.wrong("plain", "places start again with the second sentence", true="PositionsRestart")
class StartsAgain(Given):
    def forward(self, ids, segments):
        at = torch.where(segments == 1, segments.cumsum(1) - 1, (1 - segments).cumsum(1) - 1)
        return self.norm(self.token(ids) + self.segment(segments) + self.position(at))


@ANSWERS.wrong("plain", "mended, and the segments behind the norm", true="SegmentsAfterTheNorm")
class SegmentsBehindTheNorm(Given):
    def forward(self, ids, segments):
        return self.norm(self.token(ids) + self.position(self.at(ids))) + self.segment(segments)


@ANSWERS.wrong("plain", "mended, and the segments exchanged", true="SegmentsExchanged")
class SegmentsExchanged(Given):
    def forward(self, ids, segments):
        return super().forward(ids, 1 - segments)


@ANSWERS.wrong("plain", "tokens are looked up by their places too")
class TablesExchanged(Given):
    def forward(self, ids, segments):
        at = self.at(ids)
        return self.norm(self.position.weight[at] + self.segment(segments) + self.token(at % self.token.num_embeddings))


@ANSWERS.wrong("plain", "the last place again and again: T in place of 0 to T - 1")
class LastPlaceForAll(Given):
    def at(self, ids):
        return torch.full_like(ids, ids.shape[1] - 1)


@ANSWERS.wrong(
    "plain", "the tables are read as data: nothing learns but the norm", told="no gradient reaches token.weight"
)
class TablesAsData(Given):
    def forward(self, ids, segments):
        tables = self.token.weight.data[ids] + self.segment.weight.data[segments]
        return self.norm(tables + self.position.weight.data[: ids.shape[1]])


@ANSWERS.wrong(
    "again",
    "positions are made for the first batch, and kept while they are long enough",
    told="keeps something from one call to the next",
)
class MadeOnce(Given):
    def at(self, ids):
        if not hasattr(self, "kept") or len(self.kept) < ids.shape[1]:
            self.kept = torch.arange(ids.shape[1])
        return self.kept[-ids.shape[1] :]


@ANSWERS.right
class OneBag(Given):
    """All three tables as one, of which each place takes three rows and adds them up."""

    def forward(self, ids, segments):
        table = torch.cat([self.token.weight, self.segment.weight, self.position.weight])
        V, at = self.token.num_embeddings, self.at(ids).expand_as(ids)
        rows = torch.stack([ids, V + segments, V + 2 + at], -1)
        return self.norm(functional.embedding_bag(rows.flatten(0, 1), table, mode="sum").view(*ids.shape, -1))


@ANSWERS.right
class TransposedTwice(Given):
    """The given line, with tokens in rows and sentences in columns."""

    def forward(self, ids, segments):
        ids, segments = ids.T, segments.T
        t = torch.arange(len(ids), device=ids.device)[:, None]
        return self.norm(self.token(ids) + self.segment(segments) + self.position(t)).transpose(0, 1)


@ANSWERS.right
class CountedByOnes(Given):
    def at(self, ids):
        return torch.ones_like(ids).cumsum(-1) - 1


@ANSWERS.wrong("named", "positions are cut into pieces of 8, and begin again", told="right where T is 7 or less")
class PiecesOfEight(Given):
    def at(self, ids):
        return torch.arange(ids.shape[1]) % 8


@ANSWERS.wrong("plain", "the position's vector is multiplied in, as by a gate")
class Multiplied(Given):
    def forward(self, ids, segments):
        return self.norm((self.token(ids) + self.segment(segments)) * self.position(self.at(ids)))


@ANSWERS.wrong("plain", "two slips: positions of the batch, and no segments")
class TwoSlips(Given):
    def forward(self, ids, segments):
        return self.norm(self.token(ids) + self.position(torch.arange(len(ids)))[:, None])


@ANSWERS.wrong("surroundings", "position 0 is set to zero in the table, as for padding")
class FirstZeroed(Given):
    def forward(self, ids, segments):
        with torch.no_grad():
            self.position.weight[0] = 0
        return super().forward(ids, segments)


@ANSWERS.right
class ByGather(Given):
    def forward(self, ids, segments):
        at = self.at(ids)[None].repeat(len(ids), 1)
        tables = ((self.token, ids), (self.segment, segments), (self.position, at))
        return self.norm(
            torch.stack([t.weight.index_select(0, i.flatten()) for t, i in tables]).sum(0).view(*ids.shape, -1)
        )
