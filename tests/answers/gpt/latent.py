"""Answers to gpt.latent."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers("gpt.latent", spared={"dependence": "nothing is drawn"})
wrong = ANSWERS.wrong


def turn(x, positions):
    r = x.shape[-1]
    angle = positions[:, None] * 10000.0 ** (-torch.arange(0, r, 2, device=x.device) / r)
    turned = torch.complex(x[..., 0::2], x[..., 1::2]) * torch.polar(torch.ones_like(angle), angle).to(
        torch.complex128 if x.dtype == torch.float64 else torch.complex64
    )
    return torch.view_as_real(turned).flatten(-2)


class Base(nn.Module):
    """Both forms in steps: a slip is written as the one in which it differs."""

    def __init__(self, D, H, d, c, r):
        super().__init__()
        self.H, self.d, self.c, self.r = H, d, c, r
        self.q = nn.Linear(D, H * (d + r), bias=False)
        self.down = nn.Linear(D, c + r, bias=False)
        self.up_k = nn.Linear(c, H * d, bias=False)
        self.up_v = nn.Linear(c, H * d, bias=False)
        self.out = nn.Linear(H * d, D, bias=False)

    def queries(self, x, positions):
        z = self.q(x).unflatten(-1, (self.H, self.d + self.r)).transpose(1, 2)
        a, b = z.split([self.d, self.r], -1)
        return a, self.turned(b, positions)

    def turned(self, x, positions):
        return turn(x, positions)

    def latent(self, x, positions):
        z, k = self.down(x).split([self.c, self.r], -1)
        return z, self.turned(k, positions)

    def heads(self, z):
        return z.unflatten(-1, (self.H, self.d)).transpose(1, 2)

    def scale(self):
        return (self.d + self.r) ** -0.5

    def positions(self, x):
        return torch.arange(x.shape[1], device=x.device)

    def hidden(self, S):
        return torch.ones(S.shape[-2:], dtype=torch.bool, device=S.device).triu(1)

    def merged(self, Y):
        return Y.transpose(1, 2).flatten(2)

    def forward(self, x):
        t = self.positions(x)
        a, b = self.queries(x, t)
        z, k = self.latent(x, t)
        S = (a @ self.heads(self.up_k(z)).mT + b @ k[:, None].mT) * self.scale()
        Y = S.masked_fill(self.hidden(S), -torch.inf).softmax(-1) @ self.heads(self.up_v(z))
        return self.out(self.merged(Y))

    def at(self, cache):
        return cache.shape[1]

    def place(self, cache):
        return torch.tensor([self.at(cache)], device=cache.device)

    def step(self, x, cache):
        t = self.place(cache)
        a, b = self.queries(x, t)
        cache = torch.cat([cache, torch.cat(self.latent(x, t), -1)], 1)
        z, k = cache.split([self.c, self.r], -1)
        return self.out(self.merged(self.absorbed(a, b, z, k))), cache

    def maps(self):
        return [w.weight.view(self.H, self.d, self.c) for w in (self.up_k, self.up_v)]

    def absorbed(self, a, b, z, k):
        U, V = self.maps()
        S = (a @ U @ z[:, None].mT + b @ k[:, None].mT) * self.scale()
        return S.softmax(-1) @ z[:, None] @ V.mT


@wrong("plain", "scaled by sqrt(d)", true="ScaledByContent")
class ScaledByD(Base):
    def scale(self):
        return self.d**-0.5


@wrong("plain", "scaled by sqrt(r + c), the width of a row of the cache", true="BothScaledByLatent")
class ScaledByTheCache(Base):
    def scale(self):
        return (self.c + self.r) ** -0.5


@wrong("plain", "not scaled", true="NotScaled")
class NotScaled(Base):
    def scale(self):
        return 1.0


@wrong("plain", "scaled by the whole width of the queries")
class ScaledByAllHeads(Base):
    def scale(self):
        return (self.H * (self.d + self.r)) ** -0.5


@wrong("plain", "not causal", true="NoMask")
class NotCausal(Base):
    def hidden(self, S):
        return torch.zeros_like(S, dtype=torch.bool)


@wrong("plain", "nothing is turned", true="NothingTurned")
class NotTurned(Base):
    def turned(self, x, positions):
        return x


@wrong("plain", "the shared key is not turned", true="KeyUnturned")
class QueriesAlone(Base):
    def latent(self, x, positions):
        return self.down(x).split([self.c, self.r], -1)


@wrong("plain", "the latent part is turned as well, all that is cached")
class AllTurned(Base):
    def latent(self, x, positions):
        z, k = super().latent(x, positions)
        return (turn(z, positions) if self.c % 2 == 0 else z.flip(-1)), k


@wrong("plain", "positions begin at 1 in step", true="PlaceTooLarge")
class StepFromOne(Base):
    def at(self, cache):
        return cache.shape[1] + 1


@wrong("plain", "in step, every token stands at 0", true="AlwaysPlaceZero")
class StepAtZero(Base):
    def at(self, cache):
        return 0


@wrong("plain", "the cache keeps keys that are not turned, and step turns none of them")
class CacheNotTurned(Base):
    def step(self, x, cache):
        t = torch.tensor([cache.shape[1]])
        a, b = self.queries(x, t)
        cache = torch.cat([cache, self.down(x)], 1)
        z, k = cache.split([self.c, self.r], -1)
        return self.out(self.merged(self.absorbed(a, b, z, k))), cache


@wrong("plain", "the cache keeps keys that are not turned, and step turns them all", true="TurnedAfterTheCache")
class TurnedLater(Base):
    def step(self, x, cache):
        t = torch.arange(cache.shape[1] + 1)
        a, b = self.queries(x, t[-1:])
        cache = torch.cat([cache, self.down(x)], 1)
        z, k = cache.split([self.c, self.r], -1)
        return self.out(self.merged(self.absorbed(a, b, z, turn(k, t)))), cache


@wrong("plain", "the turned key stands in front of the latent vector in a row of the cache", true="RotaryFirst")
class RowsTheOtherWay(Base):
    def step(self, x, cache):
        t = torch.tensor([cache.shape[1]])
        a, b = self.queries(x, t)
        cache = torch.cat([cache, torch.cat(self.latent(x, t)[::-1], -1)], 1)
        k, z = cache.split([self.r, self.c], -1)
        return self.out(self.merged(self.absorbed(a, b, z, k))), cache


@wrong("plain", "the new token is put in front of the cache")
class NewestFirst(Base):
    def step(self, x, cache):
        y, cache = super().step(x, cache)
        return y, cache.roll(1, 1)


@wrong("plain", "the new token does not see itself")
class NotItself(Base):
    def step(self, x, cache):
        if not cache.shape[1]:
            return super().step(x, cache)
        t = torch.tensor([cache.shape[1]])
        a, b = self.queries(x, t)
        z, k = cache.split([self.c, self.r], -1)
        y = self.out(self.merged(self.absorbed(a, b, z, k)))
        return y, torch.cat([cache, torch.cat(self.latent(x, t), -1)], 1)


@wrong("plain", "q holds all a and then all b", true="CutAcrossHeads")
class AllAThenAllB(Base):
    def queries(self, x, positions):
        a, b = self.q(x).split([self.H * self.d, self.H * self.r], -1)
        b = b.unflatten(-1, (self.H, self.r)).transpose(1, 2)
        return self.heads(a), self.turned(b, positions)


@wrong("plain", "in each head r rows and then d, as the turned part comes first", true="TurnedPartFirst")
class TurnedPartFirst(Base):
    def queries(self, x, positions):
        z = self.q(x).unflatten(-1, (self.H, self.d + self.r)).transpose(1, 2)
        b, a = z.split([self.r, self.d], -1)
        return a, self.turned(b, positions)


@wrong("plain", "down gives the key first", true="KeyFirstInDown")
class KeyFirst(Base):
    def latent(self, x, positions):
        k, z = self.down(x).split([self.r, self.c], -1)
        return z, self.turned(k, positions)


@wrong("plain", "heads are cut with the head's number last")
class HeadsLast(Base):
    def heads(self, z):
        return z.unflatten(-1, (self.d, self.H)).permute(0, 3, 1, 2)


@wrong("plain", "heads are merged without the transpose back", true="MergedWithoutTranspose")
class MergedByReshape(Base):
    def merged(self, Y):
        return Y.reshape(len(Y), Y.shape[2], -1)


@wrong("plain", "U and V are exchanged")
class Exchanged(Base):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.up_k, self.up_v = self.up_v, self.up_k

    def forward(self, x):
        self._modules["up_k"], self._modules["up_v"] = self.up_v, self.up_k
        try:
            return super().forward(x)
        finally:
            self._modules["up_k"], self._modules["up_v"] = self.up_v, self.up_k


@wrong("plain", "the absorbed matrix is viewed as (H, c, d)", true="ViewedTheOtherWay")
class WrongView(Base):
    def absorbed(self, a, b, z, k):
        U, V = (w.weight.view(self.H, self.c, self.d) for w in (self.up_k, self.up_v))
        S = (a @ U.mT @ z[:, None].mT + b @ k[:, None].mT) * self.scale()
        return S.softmax(-1) @ z[:, None] @ V


@wrong("plain", "two softmaxes, one for each part of the scores")
class TwoSoftmaxes(Base):
    def absorbed(self, a, b, z, k):
        U, V = (w.weight.view(self.H, self.d, self.c) for w in (self.up_k, self.up_v))
        A = (a @ U @ z[:, None].mT * self.scale()).softmax(-1) + (b @ k[:, None].mT * self.scale()).softmax(-1)
        return A / 2 @ z[:, None] @ V.mT


@wrong("unwatched", "step makes the keys and values of the whole text anew", true="MadeAnew")
class Rebuilt(Base):
    def absorbed(self, a, b, z, k):
        K, V = self.heads(self.up_k(z)), self.heads(self.up_v(z))
        S = (a @ K.mT + b @ k[:, None].mT) * self.scale()
        return S.softmax(-1) @ V


@wrong("unwatched", "step makes keys of one head after another", true="MadeAnew")
class HeadByHead(Base):
    def absorbed(self, a, b, z, k):
        Y = []
        for i in range(self.H):
            U, V = (w.weight[i * self.d : (i + 1) * self.d] for w in (self.up_k, self.up_v))
            S = (a[:, i] @ (z @ U.T).mT + b[:, i] @ k.mT) * self.scale()
            Y.append(S.softmax(-1) @ (z @ V.T))
        return torch.stack(Y, 1)


@wrong("unwatched", "keys are absorbed, and values are made anew", true="MadeAnew")
class ValuesRebuilt(Base):
    def absorbed(self, a, b, z, k):
        U = self.up_k.weight.view(self.H, self.d, self.c)
        S = (a @ U @ z[:, None].mT + b @ k[:, None].mT) * self.scale()
        return S.softmax(-1) @ self.heads(self.up_v(z))


@wrong("unwatched", "the cache is copied for each head", true="MadeAnew")
class CopiedForEachHead(Base):
    def absorbed(self, a, b, z, k):
        return super().absorbed(a, b, z, k) + 0 * z.repeat(1, 10 * self.H, 2).sum()


@wrong(
    "unwatched",
    "forward on the cache: the text is kept on the module and read again",
    told=r"step returned a cache of shape \(2, 4, 6\)",
)
class KeepsTheText(Base):
    def step(self, x, cache):
        if not cache.shape[1]:
            self.text = x[:, :0]
        self.text = torch.cat([self.text, x], 1)
        z, k = self.latent(self.text, torch.arange(self.text.shape[1]))
        return self(self.text)[:, -1:], torch.cat([z, k], -1)


@wrong(
    "onward",
    "the cache has room for what was there, and a new token takes the oldest's place",
    told="step returned a cache of shape",
)
class Window(Base):
    def step(self, x, cache):
        y, new = super().step(x, cache)
        return y, new if new.shape[1] <= 2 else new[:, 1:]


@wrong(
    "given",
    "the given cache is written to: room is kept behind its end",
    told="step changes the cache that it is given",
)
class WritesIntoTheCache(Base):
    def step(self, x, cache):
        y, new = super().step(x, cache)
        if cache.shape[1]:
            cache[:, -1] = new[:, -1]
        return y, new


@wrong("given", "the cache is made longer in place", told="step changes the cache that it is given")
class ResizedInPlace(Base):
    def step(self, x, cache):
        y, new = super().step(x, cache)
        cache.data = new
        return y, cache


@wrong("given", "the last row alone comes back", told="step returned a cache of shape")
class LastRowAlone(Base):
    def step(self, x, cache):
        y, new = super().step(x, cache)
        return y, new[:, -1:]


@wrong("again", "positions are counted on the module", told="it remembers more than the cache")
class CountsOnItself(Base):
    n = 0

    def at(self, cache):
        self.n = self.n + 1 if cache.shape[1] else 0
        return self.n


@wrong("again", "the mask of the first text is kept", told="must match the size")
class MaskKept(Base):
    def hidden(self, S):
        self.__dict__.setdefault("mask", super().hidden(S))
        return self.mask[: S.shape[-2], : S.shape[-1]]


@wrong("again", "the absorbed matrix is computed when the module is made, from weights that are then loaded over")
class AbsorbedTooEarly(Base):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.U = self.up_k.weight.detach().clone().view(self.H, self.d, self.c)

    def absorbed(self, a, b, z, k):
        V = self.up_v.weight.view(self.H, self.d, self.c)
        S = (a @ self.U.to(a) @ z[:, None].mT + b @ k[:, None].mT) * self.scale()
        return S.softmax(-1) @ z[:, None] @ V.mT


@wrong("ones", "squeezed: the token's dimension is lost", told=r"step returned y of shape \(2, 5\)")
class Squeezed(Base):
    def step(self, x, cache):
        y, new = super().step(x, cache)
        return y.squeeze(1), new


@wrong("ones", "one text's dimension is lost", told="has lost a dimension of size 1")
class SqueezedBatch(Base):
    def forward(self, x):
        return super().forward(x).squeeze(0)


@ANSWERS.right
class EmptyCacheAside(Base):
    """At position 0 nothing turns, and one token alone is what forward gives."""

    def step(self, x, cache):
        if not cache.shape[1]:
            return self(x), torch.cat([cache, self.down(x)], 1)
        last = cache[:, -1:]
        y, new = super().step(x, cache)
        return y, new + 0 * last


@wrong("far", "hidden scores are -100")
class SmallMask(Base):
    def forward(self, x):
        t = self.positions(x)
        a, b = self.queries(x, t)
        z, k = self.latent(x, t)
        S = (a @ self.heads(self.up_k(z)).mT + b @ k[:, None].mT) * self.scale()
        Y = S.masked_fill(self.hidden(S), -100.0).softmax(-1) @ self.heads(self.up_v(z))
        return self.out(self.merged(Y))


@wrong("far", "hidden scores are -1e4")
class FiniteMask(Base):
    def forward(self, x):
        t = self.positions(x)
        a, b = self.queries(x, t)
        z, k = self.latent(x, t)
        S = (a @ self.heads(self.up_k(z)).mT + b @ k[:, None].mT) * self.scale()
        Y = S.masked_fill(self.hidden(S), -1e4).softmax(-1) @ self.heads(self.up_v(z))
        return self.out(self.merged(Y))


@wrong("far", "exponentials without the maximum, in step", told="scores far apart: y of each step is NaN")
class Unshifted(Base):
    def absorbed(self, a, b, z, k):
        U, V = (w.weight.view(self.H, self.d, self.c) for w in (self.up_k, self.up_v))
        E = ((a @ U @ z[:, None].mT + b @ k[:, None].mT) * self.scale()).exp()
        return E / E.sum(-1, keepdim=True) @ z[:, None] @ V.mT


@wrong("large", "a table of 32 positions", told="wrong where it is 40 or more")
class Table(Base):
    def turned(self, x, positions):
        return turn(x, positions.clamp(max=31))


@wrong("named", "more heads than four are left out", told="wrong where it is 9 or more")
class FourHeads(Base):
    def queries(self, x, positions):
        a, b = super().queries(x, positions)
        keep = (torch.arange(self.H) < 4)[:, None, None]
        return a * keep, b * keep


@wrong("surroundings", "gradients are switched off in step, and stay off", told="gradients switched off")
class GradientsOff(Base):
    def step(self, x, cache):
        torch.set_grad_enabled(False)
        return super().step(x, cache)

    def forward(self, x):
        torch.set_grad_enabled(False)
        return super().forward(x)


@wrong("surroundings", "double precision for all that comes", told="default dtype")
class DefaultDtype(Base):
    def queries(self, x, positions):
        torch.set_default_dtype(torch.float64)
        return super().queries(x, positions)


@wrong("plain", "a norm on the latent vector, as DeepSeek's code has it", true="LatentNormed")
class Normed(Base):
    def latent(self, x, positions):
        z, k = super().latent(x, positions)
        return F.rms_norm(z, z.shape[-1:]), k


@wrong("plain", "step is missing", told="no method step")
class NoStep(Base):
    step = None


@wrong("plain", "the cache alone comes back from step", told="expected 2 tensors: y, cache")
class CacheAlone(Base):
    def step(self, x, cache):
        return super().step(x, cache)[1]


@wrong("plain", "two slips: not scaled, and positions from 1", true="NotScaled")
class TwoSlips(NotScaled, StepFromOne):
    pass


@ANSWERS.right
class InSteps(Base):
    pass


@ANSWERS.right
class InEinsums(nn.Module):
    """Both forms absorbed, in einsums; the mask is a sum."""

    def __init__(self, D: int, H: int, d: int, c: int, r: int):
        super().__init__()
        shapes = {"q": (D, H * (d + r)), "down": (D, c + r), "up_k": (c, H * d), "up_v": (c, H * d), "out": (H * d, D)}
        for name, (i, o) in shapes.items():
            self.add_module(name, nn.Linear(i, o, bias=False))
        self.sizes = H, d, c, r

    def _attend(self, x, rows, at, mask):
        H, d, c, r = self.sizes
        q = self.q(x).unflatten(-1, (H, d + r))
        b = turn(q[..., d:].transpose(1, 2), at)
        a = torch.einsum("bthd,hdc->bhtc", q[..., :d], self.up_k.weight.reshape(H, d, c))
        S = torch.einsum("bhtc,bnc->bhtn", torch.cat([a, b], -1), rows) / math.sqrt(d + r) + mask
        mixed = torch.einsum("bhtn,bnc->bhtc", S.softmax(-1), rows[..., :c])
        y = torch.einsum("bhtc,hdc->bthd", mixed, self.up_v.weight.reshape(H, d, c))
        return self.out(y.flatten(2))

    def _rows(self, x, at):
        c = self.sizes[2]
        row = self.down(x)
        return torch.cat([row[..., :c], turn(row[..., c:], at)], -1)

    def forward(self, x):
        at = torch.arange(x.shape[1], device=x.device)
        mask = torch.where(at[:, None] < at, -torch.inf, 0.0).to(x)
        return self._attend(x, self._rows(x, at), at, mask)

    def step(self, x, cache):
        at = torch.tensor([cache.shape[1]], device=x.device)
        rows = torch.cat([cache, self._rows(x, at)], dim=1)
        return self._attend(x, rows, at, 0.0), rows


@ANSWERS.right
class WithTorchs(Base):
    """Keys of d + r numbers for torch's attention; step works with a head's query and the cache as its keys."""

    def forward(self, x):
        t = torch.arange(x.shape[1], device=x.device)
        Q = torch.cat(self.queries(x, t), -1)
        z, k = self.latent(x, t)
        K = torch.cat([self.heads(self.up_k(z)), k[:, None].expand(-1, self.H, -1, -1)], -1)
        Y = F.scaled_dot_product_attention(Q, K, self.heads(self.up_v(z)), is_causal=True)
        return self.out(self.merged(Y))


@ANSWERS.right
class TokenByToken(Base):
    """forward is step after step."""

    def forward(self, x):
        cache, Y = x.new_empty(len(x), 0, self.c + self.r), []
        for now in x.split(1, 1):
            y, cache = self.step(now, cache)
            Y.append(y)
        return torch.cat(Y, 1)


# A second round.


@wrong("plain", "values are taken from rows that hold the turned key as well")
class ValuesOfTheRow(Base):
    def absorbed(self, a, b, z, k):
        U, V = (w.weight.view(self.H, self.d, self.c) for w in (self.up_k, self.up_v))
        S = (a @ U @ z[:, None].mT + b @ k[:, None].mT) * self.scale()
        return S.softmax(-1) @ (z + k.mean(-1, keepdim=True))[:, None] @ V.mT


@wrong("named", "an empty cache is filled with a row of zeros, against errors", told="step returned a cache of shape")
class RowOfZeros(Base):
    def step(self, x, cache):
        if not cache.shape[1]:
            cache = cache.new_zeros(len(cache), 1, cache.shape[2])
        return super().step(x, cache)


@wrong("ones", "the batch's first text gives the shared key of all")
class FirstTextsKey(Base):
    def absorbed(self, a, b, z, k):
        return super().absorbed(a, b, z, k[:1].expand_as(k))


@wrong(
    "again",
    "the last cache is kept on the class, and a call with an empty one goes on from there",
    told="step returned a cache of shape|remembers more",
)
class KeptOnTheClass(Base):
    kept = None

    def step(self, x, cache):
        if not cache.shape[1] and type(self).kept is not None and len(type(self).kept) == len(x):
            cache = type(self).kept[:, :, : cache.shape[2]]
            cache = cache if cache.shape[2] == self.c + self.r else x.new_empty(len(x), 0, self.c + self.r)
        y, new = super().step(x, cache.to(x.dtype))
        type(self).kept = new
        return y, new


@ANSWERS.right
class Buffered(Base):
    """Room for rows is kept on the module, and what is given out is a copy of its beginning."""

    def step(self, x, cache):
        n = cache.shape[1]
        room = x.new_zeros(len(x), 2 * n + 8, self.c + self.r)
        room[:, :n] = cache
        t = torch.tensor([n])
        room[:, n : n + 1] = torch.cat(self.latent(x, t), -1)
        rows = room[:, : n + 1]
        z, k = rows.split([self.c, self.r], -1)
        return self.out(self.merged(self.absorbed(*self.queries(x, t), z, k))), rows


# A third round.


@wrong("again", "the absorbed weights are kept", told="it keeps old ones")
class KeepsItsWeights(Base):
    def maps(self):
        if not hasattr(self, "kept"):
            self.kept = [w.detach().clone() for w in super().maps()]
        return self.kept


@wrong("surroundings", "a step switches gradients off for good", told="gradients are switched off")
class GradientsOffInSteps(Base):
    def step(self, x, cache):
        torch.set_grad_enabled(False)
        return super().step(x, cache)


@wrong("surroundings", "a step puts the module into evaluation", told="training mode")
class Evaluates(Base):
    def step(self, x, cache):
        self.eval()
        return super().step(x, cache)


@wrong("surroundings", "a step freezes the weights", told="frozen after a step")
class Freezes(Base):
    def step(self, x, cache):
        for p in self.parameters():
            p.requires_grad_(False)
        return super().step(x, cache)


@ANSWERS.right
class TableOfPositions(Base):
    """A buffer that is larger than all that a step makes: it is there already."""

    def __init__(self, D, H, d, c, r):
        super().__init__(D, H, d, c, r)
        self.register_buffer("places", torch.arange(4096), persistent=False)

    def place(self, cache):
        n = cache.shape[1]
        return self.places[n : n + 1]
