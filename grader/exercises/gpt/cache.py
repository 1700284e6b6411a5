"""Keys and values of the past, kept: Shazeer 2019, "multi-head attention (incremental)"; the model is GPT-2.

Place i of a row attends to the real places up to and including i, and its position is the number of real places before
it. A past place's keys and values depend on nothing after it, so they are computed once.
"""

import math
from typing import ClassVar

import torch
from torch.nn.functional import gelu, scaled_dot_product_attention

from grader.contract import Trusted
from grader.steps.blocks import gelu_tanh, layer_norm


class Room:
    """Keys and values (L, B, H, S, d), of which the first `n` places are taken."""

    def __init__(self, L, B, H, S, d, dtype, device):
        self.keys, self.values = torch.zeros(2, L, B, H, S, d, dtype=dtype, device=device)
        self.n = 0


def reference(model, ids, cache, real):
    t, n = ids.shape[1], cache.n
    H, d = cache.keys.shape[2], cache.keys.shape[-1]
    E, P = model.tokens.weight, model.positions.weight
    m = n + t
    position = (real.cumsum(1) - 1).clamp_min(0)
    place = torch.arange(m, device=ids.device)
    seen = real[:, None, None] & (place <= place[n:, None])  # (B, 1, t, m)
    h = E[ids] + P[position[:, n:]]
    for block, keys, values in zip(model.blocks, cache.keys, cache.values, strict=True):
        Q, K, V = block.qkv(layer_norm(h, block.norm1)).unflatten(-1, (3, H, d)).permute(2, 0, 3, 1, 4)
        keys[:, :, n:m], values[:, :, n:m] = K, V
        scores = Q @ keys[:, :, :m].mT / math.sqrt(d)
        A = scores.masked_fill(seen.logical_not(), -math.inf).softmax(-1).nan_to_num(0.0)  # padding may see nothing
        h = h + block.out((A @ values[:, :, :m]).transpose(1, 2).flatten(2))
        h = h + block.down(gelu_tanh(block.up(layer_norm(h, block.norm2))))
    cache.n = m
    return layer_norm(h, model.norm) @ E.T


TRUSTED = Trusted((Room, reference), budget="positions, a mask, a room and the model's own parts can each go wrong")


class Steps:
    """The same in steps, with a mask: a mistake is written as the one in which it differs."""

    Cache = Room

    def __call__(self, model, ids, cache, real):
        n, t = cache.n, ids.shape[1]
        H = cache.keys.shape[2]
        x = model.tokens(ids) + model.positions(self.positions(real, n, t))
        for layer, block in enumerate(model.blocks):
            q, k, v = (part.unflatten(-1, (H, -1)).transpose(1, 2) for part in block.qkv(block.norm1(x)).chunk(3, -1))
            keys, values = self.keep(cache, layer, k, v)
            x = x + block.out(self.attend(q, keys, values, self.seen(real, n, t)).transpose(1, 2).flatten(2))
            x = x + block.down(self.act(block.up(block.norm2(x))))
        self.advance(cache, t)
        return self.scores(model, self.last_norm(model, x))

    def positions(self, real, n, t):
        return (real.cumsum(1) - 1).clamp_min(0)[:, n:]

    def keep(self, cache, layer, k, v):
        n, m = cache.n, cache.n + k.shape[2]
        cache.keys[layer, :, :, n:m], cache.values[layer, :, :, n:m] = k, v
        return cache.keys[layer, :, :, :m], cache.values[layer, :, :, :m]

    def seen(self, real, n, t):
        """(B, t, n + t); a padded place sees itself, so that its softmax is one."""
        return (self.tokens_seen(real, n) & self.causal(real, n, t)) | self.itself(real, n)

    def tokens_seen(self, real, n):
        return real[:, None]

    def causal(self, real, n, t):
        place = torch.arange(n + t, device=real.device)
        return place <= place[n:, None]

    def itself(self, real, n):
        place = torch.arange(real.shape[1], device=real.device)
        return place == place[n:, None]

    def attend(self, q, keys, values, seen):
        scores = q @ keys.mT / math.sqrt(q.shape[-1])
        return scores.masked_fill(~seen[:, None], -math.inf).softmax(-1) @ values

    def advance(self, cache, t):
        cache.n += t

    def scores(self, model, x):
        return x @ model.tokens.weight.T

    def act(self, x):
        return gelu(x, approximate="tanh")

    def last_norm(self, model, x):
        return model.norm(x)


def slip(sentence):
    """Registers a class of steps, whose cache may be one of its own."""

    def register(steps):
        TRUSTED.add_mistake(steps.__name__, sentence, steps.Cache, steps().__call__)
        return steps

    return register


@slip(
    "The positions of each call begin with 0 again: the new tokens stand behind those in the cache. `real` says how "
    "many there are."
)
class PositionsFromZero(Steps):
    def positions(self, real, n, t):
        return (real[:, n:].cumsum(1) - 1).clamp_min(0)


@slip("Positions count from 1: the first token's is 0, for no real token stands before it, `real.cumsum(1) - 1`.")
class PositionsFromOne(Steps):
    def positions(self, real, n, t):
        return real.cumsum(1)[:, n:].clamp_max(real.shape[1] - 1)


@slip(
    "Padding counts as a position, so that a text reads otherwise the more padding stands before it. A token's "
    "position is the number of *real* tokens before it."
)
class PaddingCounted(Steps):
    def positions(self, real, n, t):
        return torch.arange(n, n + t, device=real.device).expand(len(real), -1)


@slip(
    "Only padding before the first token is left out of the positions: a later chunk may begin with padding as well. "
    "Count the real tokens before each place, `real.cumsum(1) - 1`."
)
class PaddingAtTheFrontAlone(Steps):
    def positions(self, real, n, t):
        front = (real.cumsum(1) == 0).sum(1, keepdim=True)
        return (torch.arange(n, n + t, device=real.device) - front).clamp_min(0)


@slip("There is no causal mask within a call: of several new tokens each sees the ones after it.")
class NoCausalMask(Steps):
    def causal(self, real, n, t):
        return torch.ones(t, n + t, dtype=torch.bool, device=real.device)


@slip(
    "The causal mask begins at the wrong corner (`is_causal=True` and a plain `tril` do so): the first new token does "
    "not see the keys between the first one and its own. Compare places, `arange(n + t) <= arange(n, n + t)[:, None]`."
)
class MaskFromTheFirstKey(Steps):
    def causal(self, real, n, t):
        return torch.ones(t, n + t, dtype=torch.bool, device=real.device).tril()


@slip(
    "`is_causal=True` lays the triangle into the upper left corner, so that the first of several new tokens sees the "
    "first key alone. And it knows of no padding. A mask (B, 1, t, n + t) from `real` and the places can say both."
)
class IsCausal(Steps):
    def attend(self, q, keys, values, seen):
        return scaled_dot_product_attention(q, keys, values, is_causal=q.shape[2] > 1)


@slip("In a call after the first one there is no causal mask: of several new tokens each sees the ones after it.")
class LaterChunksSeeAhead(Steps):
    def causal(self, real, n, t):
        return torch.ones(t, n + t, dtype=torch.bool, device=real.device) if n else super().causal(real, n, t)


@slip(
    "A call for one token has no mask, so that it sees the padding in the cache: the past of a text has some as well."
)
class OneTokenSeesAll(Steps):
    def tokens_seen(self, real, n):
        return real[:, None] if real.shape[1] - n > 1 else torch.ones_like(real)[:, None]


@slip("Keys of padding are seen: whatever `real` calls padding has to be masked, for every query.")
class PaddedKeysSeen(Steps):
    def tokens_seen(self, real, n):
        return torch.ones_like(real)[:, None]


@slip(
    "Padding is masked among the new tokens alone: the padding of earlier calls is still in the cache, so mask by all "
    "of `real`."
)
class PaddingOfThePastSeen(Steps):
    def tokens_seen(self, real, n):
        return real.index_fill(1, torch.arange(n, device=real.device), True)[:, None]


@slip(
    "NaN spreads from padding: a place that sees nothing has the softmax of nothing but -inf, which is NaN, and 0 "
    "times NaN is NaN in the next layer. Let a padded place see itself."
)
class NothingToSee(Steps):
    def itself(self, real, n):
        return torch.zeros(real.shape[1] - n, real.shape[1], dtype=torch.bool, device=real.device)


@slip("All layers write into the same place, so that each finds the keys of the last one: every layer keeps its own.")
class OneForAllLayers(Steps):
    def keep(self, cache, layer, k, v):
        return super().keep(cache, 0, k, v)


@slip(
    "New keys and values are always written to the front of the room: they belong behind the n that are there already."
)
class AlwaysAtTheFront(Steps):
    def keep(self, cache, layer, k, v):
        m, t = cache.n + k.shape[2], k.shape[2]
        cache.keys[layer, :, :, :t], cache.values[layer, :, :, :t] = k, v
        return cache.keys[layer, :, :, :m], cache.values[layer, :, :, :m]


@slip(
    "The whole room is attended to, where nobody has written yet as well: an empty place has the score 0, not -inf. "
    "Cut keys and values to the n + t places that are taken, or mask the rest."
)
class EmptyRoomSeen(Steps):
    def keep(self, cache, layer, k, v):
        super().keep(cache, layer, k, v)
        return cache.keys[layer], cache.values[layer]

    def attend(self, q, keys, values, seen):
        empty = torch.ones(*seen.shape[:2], keys.shape[2] - seen.shape[2], dtype=torch.bool, device=seen.device)
        return super().attend(q, keys, values, torch.cat([seen, empty], -1))


class Growing(Room):
    def __init__(self, L, B, H, S, d, dtype, device):
        super().__init__(L, B, H, 0, d, dtype, device)
        self.pairs = [*zip(self.keys, self.values, strict=True)]


@slip(
    "The values are right, but a call for one token makes something as large as the past: `torch.cat`, `torch.stack`, "
    "an index of places and `.contiguous()` copy it, and a product with `*` in place of `@` is as large. Take the room "
    "for S tokens when the cache is made, write into it and read slices."
)
class CopiesThePast(Steps):
    Cache = Growing

    def keep(self, cache, layer, k, v):
        cache.pairs[layer] = tuple(torch.cat(both, 2) for both in zip(cache.pairs[layer], (k, v), strict=True))
        return cache.pairs[layer]


@slip(
    "The values are right, but a call for one token computes the whole text anew, all places against all. "
    "Compute the new tokens alone, with the keys and values of the past from the cache."
)
class AllAnew(Steps):
    def __call__(self, model, ids, cache, real):
        cache.ids = torch.cat([cache.ids, ids], 1) if cache.n else ids
        room = Room(*cache.keys.shape, cache.keys.dtype, ids.device)
        cache.n += ids.shape[1]
        return super().__call__(model, cache.ids, room, real)[:, -ids.shape[1] :]


class OfTheClass(Room):
    """The room stands on the class, so that every object has the same."""

    taken: ClassVar[dict] = {}

    def __init__(self, L, B, H, S, d, dtype, device):
        super().__init__(L, B, H, S, d, dtype, device)
        self.taken.clear()


@slip(
    "All caches are one: what they hold stands on the class, in the model or in a global name, and two conversations "
    "in turn read each other's past. Each `Cache(...)` has its own, `self.keys = ...` in `__init__`."
)
class SharedByAll(Steps):
    Cache = OfTheClass

    def keep(self, cache, layer, k, v):
        pair = cache.taken.setdefault((layer, cache.keys.shape), (cache.keys[layer], cache.values[layer]))
        for room, new in zip(pair, (k, v), strict=True):
            room[:, :, cache.n : cache.n + k.shape[2]] = new
        return [room[:, :, : cache.n + k.shape[2]] for room in pair]


@slip("The values are right, but also a call for one token makes a mask with a row for each place: make its row alone.")
class WholeTable(Steps):
    def seen(self, real, n, t):
        table = torch.ones(n + t, n + t, dtype=torch.bool, device=real.device).tril()
        return ((real[:, None] & table) | torch.eye(n + t, dtype=torch.bool, device=real.device))[:, n:]


@slip('GELU is the exact one: GPT-2\'s is the tanh form, `F.gelu(x, approximate="tanh")`.')
class ExactGelu(Steps):
    def act(self, x):
        return gelu(x)


@slip("The last norm is missing: the logits are of `model.norm(h)`.")
class NoLastNorm(Steps):
    def last_norm(self, model, x):
        return x


@slip("Only the logits of the last token are returned: all new tokens have some, (B, t, V).")
class LastTokenAlone(Steps):
    def scores(self, model, x):
        return super().scores(model, x[:, -1:])


class OneTensor:
    """Keys and values of all layers in one tensor, and which places are taken."""

    def __init__(self, L, B, H, S, d, dtype, device):
        self.room = torch.zeros(L, 2, B, H, S, d, dtype=dtype, device=device)
        self.places = torch.arange(S, device=device)
        self.n = 0


def by_fixed_shapes(model, ids, cache, real):
    """Always over the whole room, with one mask: torch's own attention, and shapes that never change."""
    L, _, B, H, S, d = cache.room.shape
    now = cache.places[cache.n : cache.n + ids.shape[1]]
    allowed = torch.zeros(B, S, dtype=torch.bool, device=ids.device)
    allowed[:, : real.shape[1]] = real
    mask = ((allowed[:, None] & (cache.places <= now[:, None])) | (cache.places == now[:, None]))[:, None]
    x = model.tokens(ids) + model.positions((real.cumsum(1) - real.int())[:, now])
    for block, room in zip(model.blocks, cache.room, strict=True):
        q, *new = block.qkv(block.norm1(x)).view(B, -1, 3, H, d).permute(2, 0, 3, 1, 4)
        for held, part in zip(room, new, strict=True):
            held.index_copy_(2, now, part)
        y = scaled_dot_product_attention(q, room[0], room[1], attn_mask=mask)
        x = x + block.out(y.transpose(1, 2).reshape(x.shape))
        x = x + block.down(gelu(block.up(block.norm2(x)), approximate="tanh"))
    cache.n += ids.shape[1]
    return torch.nn.functional.linear(model.norm(x), model.tokens.weight)


class Packed:
    """A list of rows, each with its own number of tokens: padding is never kept."""

    def __init__(self, L, B, H, S, d, dtype, device):
        self.rows = [torch.empty(L, 2, H, S, d, dtype=dtype, device=device) for _ in range(B)]
        self.lengths = [0] * B


def row_by_row(model, ids, cache, real):
    """Without padding there is nothing to mask but the future."""
    logits = model.tokens.weight.new_zeros(*ids.shape, len(model.tokens.weight))
    for b, room in enumerate(cache.rows):
        new = real[b, -ids.shape[1] :]
        n, m = cache.lengths[b], cache.lengths[b] + int(new.sum())
        if n == m:
            continue
        x = model.tokens(ids[b, new]) + model.positions.weight[n:m]
        later = torch.arange(m, device=ids.device) > torch.arange(n, m, device=ids.device)[:, None]
        for block, (keys, values) in zip(model.blocks, room, strict=True):
            q, k, v = (part.unflatten(-1, (len(keys), -1)) for part in block.qkv(block.norm1(x)).chunk(3, -1))
            keys[:, n:m], values[:, n:m] = k.transpose(0, 1), v.transpose(0, 1)
            z = torch.einsum("thd,hsd->hts", q / q.shape[-1] ** 0.5, keys[:, :m]).masked_fill(later, -math.inf)
            x = x + block.out(torch.einsum("hts,hsd->thd", z.softmax(-1), values[:, :m]).flatten(1))
            x = x + block.down(gelu(block.up(block.norm2(x)), approximate="tanh"))
        logits[b, new] = model.norm(x) @ model.tokens.weight.T
        cache.lengths[b] = m
    return logits


TRUSTED.add_alternative("by_fixed_shapes", OneTensor, by_fixed_shapes)
TRUSTED.add_alternative("row_by_row", Packed, row_by_row)
