"""Answers to bert.classifier."""

import copy

import torch
import torch.nn.functional as F
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.classifier",
    spared={
        "far": "all but the encoder is linear: numbers far apart meet no exponential",
        "unwatched": "logits and what is drawn are handed over as they are",
    },
)
wrong = ANSWERS.wrong


class Base(nn.Module):
    """The right one, from which short answers differ in one method."""

    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.encoder, self.pool, self.p = encoder, pool, p
        self.dropout, self.linear = nn.Dropout(p), nn.Linear(D, C)

    def y(self, ids, real):
        return self.pool(self.encoder(ids, real), real)

    def forward(self, ids, real):
        return self.linear(self.dropout(self.y(ids, real)))


@wrong(
    "given", "a copy of the encoder, so that groups made of the encoder's weights train nothing here", told="is a copy"
)
class CopiesTheEncoder(Base):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(copy.deepcopy(encoder), pool, D, C, p)


@wrong("given", "the encoder is frozen: only the head can learn", told="is frozen")
class FreezesTheEncoder(Base):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder.requires_grad_(False), pool, D, C, p)


@wrong("given", "the encoder runs without a graph, as a source of features", true="EncoderDetached")
class EncoderWithoutGraph(Base):
    def y(self, ids, real):
        with torch.no_grad():
            return super().y(ids, real)


@wrong("ones", "squeeze at the end: one sentence has lost its dimension", told="lost a dimension")
class Squeezed(Base):
    def forward(self, ids, real):
        return super().forward(ids, real).squeeze()


@wrong(
    "again",
    "the mask is drawn at the first call and kept",
    told="two calls in training drop the same",
    advice="right where p is 0, wrong where it is more",
)
class OneMaskForEver(Base):
    mask = None

    def forward(self, ids, real):
        y = self.y(ids, real)
        if self.training:
            if self.mask is None or self.mask.shape != y.shape:
                self.mask = (torch.rand_like(y) >= self.p) / (1 - self.p)
            y = y * self.mask
        return self.linear(y)


@wrong(
    "onward",
    "whether dropout acts is decided at the first call",
    true="DropoutAlways",
    told="follows the mode|after eval",
)
class DecidesOnce(Base):
    acts = None

    def forward(self, ids, real):
        if self.acts is None:
            self.acts = self.training
        return self.linear(F.dropout(self.y(ids, real), self.p, self.acts))


@wrong(
    "onward",
    "after the first evaluation dropout is gone for good",
    told="after an evaluation nothing is dropped",
    advice="right where p is 0, wrong where it is more",
)
class GoneAfterEvaluation(Base):
    def forward(self, ids, real):
        if not self.training:
            self.dropout.p = 0.0
        return super().forward(ids, real)


@wrong("plain", "dropout acts on the logits", true="DropoutAfterLinear")
class DropsLogits(Base):
    def forward(self, ids, real):
        return self.dropout(self.linear(self.y(ids, real)))


@wrong("plain", "F.dropout is not told the mode: it acts in evaluation too", true="DropoutAlways")
class AlwaysDrops(Base):
    def forward(self, ids, real):
        return self.linear(F.dropout(self.y(ids, real), self.p))


@wrong("plain", "a softmax at the end", true="Softmaxed")
class Softmax(Base):
    def forward(self, ids, real):
        return super().forward(ids, real).softmax(-1)


@wrong("plain", "two slips: a softmax at the end, and dropout before the pool", true="Softmaxed")
class SoftmaxAndEarlyDropout(Base):
    def forward(self, ids, real):
        return self.linear(self.pool(self.dropout(self.encoder(ids, real)), real)).softmax(-1)


@wrong("plain", "the pool is not told which tokens are real", told="missing 1 required positional argument: .real")
class PoolWithoutReal(Base):
    def y(self, ids, real):
        return self.pool(self.encoder(ids, real))


@wrong("plain", "the encoder takes all tokens for real", true="EncoderWithoutMask")
class EncoderSeesPadding(Base):
    def y(self, ids, real):
        return self.pool(self.encoder(ids, torch.ones_like(real)), real)


@wrong("named", "the first token in place of the pool that was given", true="FirstToken")
class FirstToken(Base):
    def y(self, ids, real):
        return self.encoder(ids, real)[:, 0]


@wrong("named", "for two classes one logit is enough, thinks who knows sigmoids", told="has shape \\(1, 6\\)")
class OneLogitForTwo(Base):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, 1 if C == 2 else C, p)


@wrong(
    "large",
    "a sentence is cut after 512 tokens",
    told="one long sentence",
    advice=r"right where T is 6 or less, wrong where it is \d+ or more",
)
class CutsAt512(Base):
    def forward(self, ids, real):
        return super().forward(ids[:, :512], real[:, :512])


@wrong("surroundings", "the encoder is put into evaluation mode, also in training", told="training mode of the encoder")
class EncoderAtRest(Base):
    def forward(self, ids, real):
        self.encoder.eval()
        return super().forward(ids, real)


@wrong("surroundings", "the seed is set before each dropout", told="sets the seed")
class SetsTheSeed(Base):
    def forward(self, ids, real):
        torch.manual_seed(0)
        return super().forward(ids, real)


@wrong(
    "dependence",
    "exactly the share p of each sentence's numbers is dropped",
    told="depends on what else",
    advice="right where p is 0, wrong where it is more",
)
class ExactlyP(Base):
    def forward(self, ids, real):
        y = self.y(ids, real)
        if self.training and self.p:
            rank = torch.rand_like(y).argsort(-1).argsort(-1)
            n = torch.floor(self.p * y.shape[1] + torch.rand(len(y), 1, device=y.device))
            y = y * (rank >= n) / (1 - self.p)
        return self.linear(y)


@wrong(
    "dependence",
    "neighbours are dropped in pairs",
    told="depends on what else",
    advice="right where p is 0, wrong where it is more",
)
class InPairs(Base):
    def forward(self, ids, real):
        y = self.y(ids, real)
        if self.training and self.p:
            kept = (torch.rand(len(y), (y.shape[1] + 1) // 2, device=y.device) >= self.p).repeat_interleave(2, 1)
            y = y * kept[:, : y.shape[1]] / (1 - self.p)
        return self.linear(y)


@wrong(
    "dependence",
    "one mask for the whole batch",
    true="OneMask",
    told="mask of its own",
    advice="right where p is 0, wrong where it is more",
)
class OneMaskForAll(Base):
    def forward(self, ids, real):
        y = self.y(ids, real)
        if self.training:
            y = y * (torch.rand(y.shape[1], device=y.device) >= self.p) / (1 - self.p)
        return self.linear(y)


@wrong("plain", "what is kept is not divided by 1 - p", true="NotScaled")
class NotDivided(Base):
    def forward(self, ids, real):
        y = self.y(ids, real)
        return self.linear(y * (torch.rand_like(y) >= self.p) if self.training else y)


@wrong(
    "plain",
    "p is taken for the chance to be kept",
    true="KeptShare",
    told="are dropped, expected",
    advice="right where p is 0, wrong where it is more",
)
class KeepsP(Base):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, C, p)
        self.dropout = nn.Dropout(1 - p if p else 0.0)


@wrong("plain", "the new layer has no bias", true="WithoutBias")
class NoBias(Base):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, C, p)
        self.linear = nn.Linear(D, C, bias=False)


@wrong("plain", "a tanh between pool and dropout, as BERT's own pooler has it")
class Tanh(Base):
    def y(self, ids, real):
        return super().y(ids, real).tanh()


@wrong("plain", "super().__init__() is forgotten", told=r"super\(\).__init__")
class NoSuper(nn.Module):
    def __init__(self, encoder, pool, D, C, p):
        self.encoder, self.pool = encoder, pool
        self.linear = nn.Linear(D, C)


@wrong(
    "given",
    "self.apply draws new weights, as Hugging Face's models do: the encoder's too",
    told="changes the encoder's",
)
class BeginsAnew(Base):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, C, p)
        self.apply(self.begin)

    def begin(self, module):
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)


@wrong("given", "only the encoder's last layer is drawn anew", told="changes the encoder's")
class LastLayerAnew(Base):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, C, p)
        encoder.mix.reset_parameters()


@wrong("again", "pool is kept on the class", told="another classifier is made before it is called")
class PoolOnTheClass(Base):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, C, p)
        type(self).reads = staticmethod(pool)

    def y(self, ids, real):
        return self.reads(self.encoder(ids, real), real)


@wrong("again", "p is kept on the class", told="another classifier is made before it is called")
class ShareOnTheClass(Base):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, C, p)
        type(self).p = p
        del self.p

    def forward(self, ids, real):
        return self.linear(F.dropout(self.y(ids, real), type(self).p, self.training))


@ANSWERS.right
class Functional(nn.Module):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.encoder = encoder
        self.linear = nn.Linear(in_features=D, out_features=C)
        self.config = {"pool": pool, "p": p}

    def forward(self, ids, real):
        hidden = self.encoder(ids, real)
        pooled = F.dropout(self.config["pool"](hidden, real), p=self.config["p"], training=self.training)
        return pooled @ self.linear.weight.T + self.linear.bias


@ANSWERS.right
class OwnMask(nn.Module):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.linear = nn.Linear(D, C)
        self.encoder = encoder
        self.register_buffer("p", torch.tensor(p))
        self.pool = pool

    def forward(self, ids, real):
        y = self.pool(self.encoder(ids, real), real)
        if self.training:
            y = torch.where(torch.rand(y.shape, device=y.device) < self.p, 0.0, y / (1 - self.p))
        return self.linear(y)


@ANSWERS.right
class InSequence(nn.Module):
    """The layer has two names, and is one."""

    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.encoder, self.pool = encoder, pool
        self.linear = nn.Linear(D, C)
        self.head = nn.Sequential(nn.Dropout(p=p), self.linear)

    def forward(self, ids, real):
        return self.head(self.pool(self.encoder(ids, real), real))


@ANSWERS.right
class Bernoulli(nn.Module):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.encoder, self.linear, self.keep = encoder, nn.Linear(D, C), 1 - p
        self.pool = lambda ids, real: pool(self.encoder(ids, real), real)

    def forward(self, ids, real):
        y = self.pool(ids, real)
        if self.training and self.keep < 1:
            y = y * torch.bernoulli(torch.full_like(y, self.keep)).div(self.keep)
        return self.linear(y)


# A second round.


@wrong("named", "the padding's ids are cleared before the encoder reads them, and nothing is said of real")
class ClearsPadding(Base):
    def y(self, ids, real):
        return self.pool(self.encoder(ids * real, torch.ones_like(real)), real)


@wrong(
    "plain",
    "dropout twice: after the encoder and after the pool",
    told="dropout acts somewhere else",
    advice="right where p is 0, wrong where it is more",
)
class DropsTwice(Base):
    def y(self, ids, real):
        return self.pool(self.dropout(self.encoder(ids, real)), real)


@wrong("plain", "p is forgotten: PyTorch's own is 0.5", true="DefaultShare")
class DefaultP(Base):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, C, p)
        self.dropout = nn.Dropout()


@wrong("plain", "the layer is called head, not linear", told="no weight called 'linear.weight'")
class CalledHead(nn.Module):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.encoder, self.pool, self.dropout, self.head = encoder, pool, nn.Dropout(p), nn.Linear(D, C)

    def forward(self, ids, real):
        return self.head(self.dropout(self.pool(self.encoder(ids, real), real)))


@wrong("plain", "the result is the class, not the logits", told="logits has shape \\(3,\\), expected \\(3, 2\\)")
class Predicts(Base):
    def forward(self, ids, real):
        return super().forward(ids, real).argmax(-1)


@wrong(
    "dependence",
    "a place's mask is drawn once for two sentences in a row",
    told="two sentences in a row",
    advice="right where p is 0, wrong where it is more",
)
class TwoSentencesAlike(Base):
    def forward(self, ids, real):
        y = self.y(ids, real)
        if self.training and self.p:
            kept = (torch.rand((len(y) + 1) // 2, y.shape[1], device=y.device) >= self.p).repeat_interleave(2, 0)
            y = y * kept[: len(y)] / (1 - self.p)
        return self.linear(y)


@ANSWERS.right
class KeywordArguments(nn.Module):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.encoder, self.linear = encoder, nn.Linear(D, C)
        self.steps = (pool, nn.Dropout(p))
        self.drop = self.steps[1]

    def forward(self, ids, real):
        X = self.encoder.forward(ids, real=real)
        return nn.functional.linear(self.drop(self.steps[0](X, real=real)), self.linear.weight, bias=self.linear.bias)


@wrong("plain", "logarithms of the softmax, with which the loss is right by luck", told="a log-softmax does")
class LogSoftmax(Base):
    def forward(self, ids, real):
        return super().forward(ids, real).log_softmax(-1)


@wrong("plain", "a sigmoid in place of the softmax")
class Sigmoid(Base):
    def forward(self, ids, real):
        return super().forward(ids, real).sigmoid()


@wrong(
    "named",
    "logits in training, probabilities in evaluation",
    told="not dropout that makes the difference",
    advice="right where p is 0",
)
class ByMode(Base):
    def forward(self, ids, real):
        Y = super().forward(ids, real)
        return Y if self.training else Y.softmax(-1)


@wrong("plain", "dropout on the encoder's tokens, before they are pooled", true="DropoutBeforePool")
class DropoutOnTokens(Base):
    def forward(self, ids, real):
        return self.linear(self.pool(self.dropout(self.encoder(ids, real)), real))


@wrong("plain", "p is 0.1, whatever was asked")
class OneTenth(Base):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, C, 0.1)


@wrong("plain", "a hidden layer of its own before the answer", told="not asked for: hidden.weight")
class HiddenLayer(Base):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, C, p)
        self.hidden = nn.Linear(D, D)

    def y(self, ids, real):
        return torch.tanh(self.hidden(super().y(ids, real)))


@wrong("ones", "a batch of one sentence loses its dimension before the linear layer", told="lost a dimension of size 1")
class SqueezedBefore(Base):
    def y(self, ids, real):
        return super().y(ids, real).squeeze()


@wrong("plain", "the softmax runs over the batch")
class OverTheBatch(Base):
    def forward(self, ids, real):
        return super().forward(ids, real).softmax(0)


@wrong("plain", "logits at a temperature of 2, so that the loss is softer", told=r"0\.5 times what is expected")
class Tempered(Base):
    def forward(self, ids, real):
        return super().forward(ids, real) / 2


@wrong("plain", "no dropout at all: it went with the softmax", true="DropoutNever")
class NoDropout(Base):
    def forward(self, ids, real):
        return self.linear(self.y(ids, real))


@ANSWERS.right
class Lazy(nn.Module):
    """The new layer finds its width out by itself."""

    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.encoder, self.pool, self.dropout, self.linear = encoder, pool, nn.Dropout(p), nn.LazyLinear(C)

    def forward(self, ids, real):
        return self.linear(self.dropout(self.pool(self.encoder(ids, real), real)))


@ANSWERS.right
class StepByStep(Base):
    """As many do it, the new layer begins with small weights and a bias of 0."""

    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, C, p)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, ids, real):
        value = (ids, real)
        for step in (lambda x: self.encoder(*x), lambda X: self.pool(X, real), self.dropout, self.linear):
            value = step(value)
        return value


@ANSWERS.right
class DroppedByTheWeights(Base):
    """Dropout of y by a mask of ones, drawn by the layer itself."""

    def forward(self, ids, real):
        y = self.y(ids, real)
        return torch.einsum("bd,bd,cd->bc", y, self.dropout(torch.ones_like(y)), self.linear.weight) + self.linear.bias


@wrong("plain", "half of p", told="dropped, expected 30%", advice="right where p is 0")
class HalfInTraining(Base):
    def forward(self, ids, real):
        y = self.y(ids, real)
        return self.linear(F.dropout(y, self.p / 2, self.training))


@wrong("named", "logits less the largest, so that they are small", told="any shift of a row")
class Shifted(Base):
    def forward(self, ids, real):
        Y = super().forward(ids, real)
        return Y - Y.amax(-1, keepdim=True)


@wrong("given", "the encoder's weights are halved to begin calmly", told="changes the encoder")
class Halved(Base):
    def __init__(self, encoder, pool, D, C, p):
        super().__init__(encoder, pool, D, C, p)
        with torch.no_grad():
            for parameter in self.encoder.parameters():
                parameter *= 0.5


@wrong("plain", "the pool's result goes through a layer norm first")
class NormFirst(Base):
    def y(self, ids, real):
        y = super().y(ids, real)
        return F.layer_norm(y, y.shape[-1:])


@ANSWERS.right
class DropoutInAList(nn.Module):
    """The parts in a list of modules, which have no weights under other names."""

    def __init__(self, encoder, pool, D, C, p):
        super().__init__()
        self.encoder, self.linear = encoder, nn.Linear(D, C)
        self.others = nn.ModuleList([nn.Dropout(p)])
        self.pool = pool

    def forward(self, ids, real):
        y = self.pool(self.encoder(ids, real), real)
        for part in self.others:
            y = part(y)
        return self.linear(y)
