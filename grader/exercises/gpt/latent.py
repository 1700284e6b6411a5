"""Multi-head latent attention. DeepSeek-AI 2024 (DeepSeek-V2), section 2.1, without compressed queries.

c_t = W_DKV h_t,  k_t^C = W_UK c_t,  v_t = W_UV c_t,  k_t^R = RoPE(W_KR h_t), one for all heads (equations 9 to 15);
q_t,i = [q^C_t,i; RoPE(q^R_t,i)],  o_t,i = sum_j softmax_j(q_t,i^T [k^C_j,i; k^R_j] / sqrt(d + r)) v_j,i (16 and 17).
Absorbed (section 2.1.2): q^C^T W_UK c = (W_UK^T q^C)^T c, and sum_j a_j W_UV c_j = W_UV sum_j a_j c_j.
"""

import math

import torch
from torch import nn

from grader.contract import Trusted


def turn(x, positions):
    """Neighbours 2i and 2i + 1 of x (..., T, r) turned by position * 10000^(-2i/r), as the chapter gives it."""
    r = x.shape[-1]
    angle = positions[:, None] * 10000.0 ** (torch.arange(0, -r, -2, dtype=torch.float64, device=x.device) / r)
    a, b, cos, sin = x[..., 0::2], x[..., 1::2], angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)


class Maps(nn.Module):
    """The maps under the exercise's names."""

    def __init__(self, D, H, d, c, r):
        super().__init__()
        self.H, self.d, self.c, self.r = H, d, c, r
        self.q = nn.Linear(D, H * (d + r), bias=False)
        self.down = nn.Linear(D, c + r, bias=False)
        self.up_k, self.up_v = nn.Linear(c, H * d, bias=False), nn.Linear(c, H * d, bias=False)
        self.out = nn.Linear(H * d, D, bias=False)


class Reference(Maps):
    def forward(self, x):
        T, d, r = x.shape[1], self.d, self.r
        at = torch.arange(T, device=x.device)
        c, k_R = self.down(x).split([self.c, r], -1)
        k_R = turn(k_R, at)
        heads, queries = [], self.q(x)
        for i in range(self.H):
            q_C, q_R = queries[..., i * (d + r) : (i + 1) * (d + r)].split([d, r], -1)
            W_UK, W_UV = (up.weight[i * d : (i + 1) * d] for up in (self.up_k, self.up_v))
            k, q = torch.cat((c @ W_UK.T, k_R), -1), torch.cat((q_C, turn(q_R, at)), -1)
            S = (q @ k.mT / math.sqrt(d + r)).masked_fill(at > at[:, None], float("-inf"))
            heads.append(S.softmax(-1) @ (c @ W_UV.T))
        return self.out(torch.cat(heads, -1))

    def step(self, x, cache):
        d, r = self.d, self.r
        at = torch.tensor([cache.shape[1]], device=x.device)
        c, k_R = self.down(x).split([self.c, r], -1)
        cache = torch.cat((cache, torch.cat((c, turn(k_R, at)), -1)), 1)
        c, k_R = cache.split([self.c, r], -1)
        heads, queries = [], self.q(x)
        for i in range(self.H):
            q_C, q_R = queries[..., i * (d + r) : (i + 1) * (d + r)].split([d, r], -1)
            W_UK, W_UV = (up.weight[i * d : (i + 1) * d] for up in (self.up_k, self.up_v))
            S = (q_C @ W_UK @ c.mT + turn(q_R, at) @ k_R.mT) / math.sqrt(d + r)
            heads.append((S.softmax(-1) @ c) @ W_UV.T)
        return self.out(torch.cat(heads, -1)), cache


class Parts(Maps):
    """The same in steps, all heads at once: a mistake is written as the one step in which it differs."""

    def forward(self, x):
        at = torch.arange(x.shape[1], device=x.device)
        row = self.row(x, at)
        return self.expanded(*self.queries(x, at), row, self.future(at))

    def step(self, x, cache):
        at = self.place(torch.tensor([cache.shape[1]], device=x.device))
        row = torch.cat((cache, self.row(x, at)), 1)
        return self.absorbed(*self.queries(x, at), self.read(row)), row

    def row(self, x, at):
        """What is kept of each token: (B, T, c + r)."""
        c, k_R = self.down(x).split([self.c, self.r], -1)
        return torch.cat((c, self.turned_key(k_R, at)), -1)

    def queries(self, x, at):
        """The part that meets the latent vectors (B, H, T, d), and the turned one (B, H, T, r)."""
        q_C, q_R = self.cut(self.q(x))
        return q_C, self.turned_query(q_R, at)

    def cut(self, q):
        return q.unflatten(-1, (self.H, -1)).transpose(1, 2).split([self.d, self.r], -1)

    def turned_key(self, k_R, at):
        return turn(k_R, at)

    def turned_query(self, q_R, at):
        return turn(q_R, at)

    def future(self, at):
        return at > at[:, None]

    def place(self, at):
        return at

    def read(self, row):
        return row

    def scale(self):
        return (self.d + self.r) ** 0.5

    def values(self):
        return self.up_v.weight.view(self.H, self.d, self.c)

    def expanded(self, q_C, q_R, row, future=None):
        c, k_R = (x[:, None] for x in row.split([self.c, self.r], -1))
        k = c @ self.up_k.weight.view(self.H, self.d, self.c).mT  # (B, H, T, d)
        S = (q_C @ k.mT + q_R @ k_R.mT) / self.scale()
        A = (S if future is None else S.masked_fill(future, float("-inf"))).softmax(-1)
        return self.merged(A @ (c @ self.values().mT))

    def absorbed(self, q_C, q_R, row):
        c, k_R = (x[:, None] for x in row.split([self.c, self.r], -1))
        q = q_C @ self.up_k.weight.view(self.H, self.d, self.c)  # (B, H, 1, c)
        A = ((q @ c.mT + q_R @ k_R.mT) / self.absorbed_scale()).softmax(-1)
        return self.merged(A @ c @ self.values().mT)

    def absorbed_scale(self):
        return self.scale()

    def merged(self, Y):
        return self.out(Y.transpose(1, 2).flatten(2))


TRUSTED = Trusted(Reference, budget="two forms of one attention: maps, turning, scale and cache each go wrong alone")


@TRUSTED.mistake(
    "The scores are divided by sqrt(d). A query and a key have d + r numbers each, those that turn included: divide by "
    "sqrt(d + r)."
)
class ScaledByContent(Parts):
    def scale(self):
        return self.d**0.5


@TRUSTED.mistake(
    "`step` divides by sqrt(c + r), the width of what is cached. The scores are those of the plain form, only computed "
    "in another order, so their scale is sqrt(d + r) still."
)
class ScaledByLatent(Parts):
    def absorbed_scale(self):
        return (self.c + self.r) ** 0.5


@TRUSTED.mistake("The scores are not scaled: divide them by sqrt(d + r), or the softmax saturates.")
class NotScaled(Parts):
    def scale(self):
        return 1.0


@TRUSTED.mistake(
    "The scores of both forms are divided by sqrt(c + r). A query and a key have d + r numbers: their root."
)
class BothScaledByLatent(Parts):
    def scale(self):
        return (self.c + self.r) ** 0.5


@TRUSTED.mistake(
    "The latent vectors are normalised, as DeepSeek's code does with a norm of its own. Here l is as it is."
)
class LatentNormed(Parts):
    def row(self, x, at):
        c, k_R = super().row(x, at).split([self.c, self.r], -1)
        return torch.cat((torch.nn.functional.rms_norm(c, c.shape[-1:]), k_R), -1)


@TRUSTED.mistake(
    "The first r rows of `down` are taken for the key that turns: its first c rows make the latent vector."
)
class KeyFirstInDown(Parts):
    def row(self, x, at):
        k_R, c = self.down(x).split([self.r, self.c], -1)
        return torch.cat((c, self.turned_key(k_R, at)), -1)


@TRUSTED.mistake("The first r rows of each head of `q` are taken for the part that turns: it has d rows and then r.")
class TurnedPartFirst(Parts):
    def cut(self, q):
        return q.unflatten(-1, (self.H, -1)).transpose(1, 2).split([self.r, self.d], -1)[::-1]


@TRUSTED.mistake(
    "The cache holds keys that are not turned, and all of them turn anew at each step. A row holds the turned key: its "
    "position never changes."
)
class TurnedAfterTheCache(Parts):
    def step(self, x, cache):
        at = torch.tensor([cache.shape[1]], device=x.device)
        cache = torch.cat((cache, self.down(x)), 1)
        c, k_R = cache.split([self.c, self.r], -1)
        row = torch.cat((c, turn(k_R, torch.arange(cache.shape[1], device=x.device))), -1)
        return self.absorbed(*self.queries(x, at), row), cache


@TRUSTED.mistake(
    "The heads are joined without exchanging heads and tokens first: the shape is right, but a row holds pieces of "
    "several tokens."
)
class MergedWithoutTranspose(Parts):
    def merged(self, Y):
        B, H, T, d = Y.shape
        return self.out(Y.reshape(B, T, H * d))


@TRUSTED.mistake(
    "In `step` the weights of `up_k` and `up_v` are viewed as (H, c, d). Their rows are those of head after head, so "
    "that `.view(H, d, c)` holds the U_i; transpose that where you need it."
)
class ViewedTheOtherWay(Parts):
    def absorbed(self, q_C, q_R, row):
        c, k_R = (x[:, None] for x in row.split([self.c, self.r], -1))
        U, V = (up.weight.view(self.H, self.c, self.d) for up in (self.up_k, self.up_v))
        A = ((q_C @ U.mT @ c.mT + q_R @ k_R.mT) / self.scale()).softmax(-1)
        return self.merged(A @ c @ V)


@TRUSTED.mistake("Nothing turns: the last r numbers of each query, and the rotary key, go through `turn`.")
class NothingTurned(Parts):
    def turned_key(self, k_R, at):
        return k_R

    def turned_query(self, q_R, at):
        return q_R


@TRUSTED.mistake("The rotary key does not turn: queries and keys both do, each by its own position.")
class KeyUnturned(Parts):
    def turned_key(self, k_R, at):
        return k_R


@TRUSTED.mistake("The queries do not turn: their last r numbers turn by their own position, as the rotary keys do.")
class QueryUnturned(Parts):
    def turned_query(self, q_R, at):
        return q_R


@TRUSTED.mistake("`step` takes each token for the first one: its position is the number of tokens in the cache.")
class AlwaysPlaceZero(Parts):
    def place(self, at):
        return torch.zeros_like(at)


@TRUSTED.mistake(
    "`step` counts the new token before it is there, so that its position is one too large. The first token stands at "
    "position 0, and what is cached of it is turned by 0."
)
class PlaceTooLarge(Parts):
    def place(self, at):
        return at + 1


@TRUSTED.mistake(
    "All d-parts of `q` are taken to come first, and then all r-parts. The rows belong to head after head, and each "
    "head has d rows and then r: cut into heads first."
)
class CutAcrossHeads(Parts):
    def cut(self, q):
        parts = q.split([self.H * self.d, self.H * self.r], -1)
        return [part.unflatten(-1, (self.H, -1)).transpose(1, 2) for part in parts]


@TRUSTED.mistake("The values come from `up_k`: it makes the keys, and `up_v` makes the values.")
class ValuesFromKeys(Parts):
    def values(self):
        return self.up_k.weight.view(self.H, self.d, self.c)


@TRUSTED.mistake("The plain form has no causal mask: a place sees what comes after it.")
class NoMask(Parts):
    def future(self, at):
        return torch.zeros_like(super().future(at))


@TRUSTED.mistake("In `step` the new token does not see itself: add its row to the cache before the scores.")
class NotSeenByItself(Parts):
    def read(self, row):
        return row[:, :-1]


@TRUSTED.mistake(
    "`step` is right, but something in it is as large as the keys of a head: keys or values are made anew from the "
    "cache, or the cache is copied for each head. In the absorbed form the query goes through `up_k` (transposed) and "
    "meets the latent vectors as they are, and only what they are mixed to goes through `up_v`."
)
class MadeAnew(Parts):
    def absorbed(self, q_C, q_R, row):
        return self.expanded(q_C, q_R, row)


@TRUSTED.mistake(
    "The rotary key comes first in the cache. The text puts the latent vector first, in the order of the rows of "
    "`down`."
)
class RotaryFirst(Parts):
    def step(self, x, cache):
        cut = [self.r, self.c]
        y, row = super().step(x, torch.cat(cache.split(cut, -1)[::-1], -1))
        return y, torch.cat(row.split(cut[::-1], -1)[::-1], -1)


@TRUSTED.mistake(
    "The cache holds keys and values of all heads, as in ordinary attention. Of each token keep c + r numbers: the "
    "latent vector and the turned rotary key."
)
class KeysAndValuesCached(Parts):
    def step(self, x, cache):
        row = torch.cat((self.first, cache[..., -self.c - self.r :]), 1) if cache.shape[1] else cache
        y, row = super().step(x, row)
        c, k_R = row.split([self.c, self.r], -1)
        self.first = row
        return y, torch.cat((self.up_k(c), self.up_v(c), k_R), -1)

    first = torch.zeros(0)


@TRUSTED.alternative
class InParts(Parts):
    pass


@TRUSTED.alternative
class InOneProduct(Maps):
    """Queries are brought into the latent space in both forms, beside the part that turns: one product, one softmax."""

    def forward(self, x):
        cache = x.new_empty(len(x), 0, self.c + self.r)
        Y = []
        for t in range(x.shape[1]):
            y, cache = self.step(x[:, t : t + 1], cache)
            Y.append(y)
        return torch.cat(Y, 1)

    def step(self, x, cache):
        at = torch.tensor([cache.shape[1]], device=x.device)
        new = self.down(x)
        cache = torch.cat((cache, torch.cat((new[..., : self.c], turn(new[..., self.c :], at)), -1)), 1)
        q = self.q(x)[:, 0].unflatten(-1, (self.H, -1))  # (B, H, d + r)
        W_UK, W_UV = (up.weight.unflatten(0, (self.H, self.d)) for up in (self.up_k, self.up_v))
        latent = torch.einsum("bhd,hdc->bhc", q[..., : self.d], W_UK)
        q_R = turn(q[..., self.d :].unsqueeze(-2), at)[..., 0, :]
        A = torch.cat((latent, q_R), -1).mul((self.d + self.r) ** -0.5).bmm(cache.mT).softmax(-1)  # (B, H, n)
        mixed = torch.einsum("bhn,bnc,hdc->bhd", A, cache[..., : self.c], W_UV)
        return self.out(mixed.flatten(1))[:, None], cache
