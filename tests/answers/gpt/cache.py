"""Answers to gpt.cache."""

import types
from typing import ClassVar

import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers("gpt.cache", spared={"dependence": "nothing is drawn"})
wrong = ANSWERS.wrong


class Room:
    """The right room, of which an answer replaces a method."""

    def __init__(self, L, B, H, S, d, dtype, device):
        self.keys = torch.zeros(L, B, H, S, d, dtype=dtype, device=device)
        self.values = torch.zeros_like(self.keys)
        self.H, self.n = H, 0

    def put(self, layer, n, k, v):
        end = n + k.shape[2]
        self.keys[layer][:, :, n:end] = k
        self.values[layer][:, :, n:end] = v
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]


class Steps:
    """The right call, of which an answer replaces a method."""

    def positions(self, real, n):
        return (real.cumsum(1) - 1).clamp_min(0)[:, n:]

    def mask(self, real, n):
        place = torch.arange(real.shape[1], device=real.device)
        return real[:, None] & (place <= place[n:, None]) | (place == place[n:, None])

    def attention(self, q, k, v, mask):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None])

    def split(self, block, x, H):
        return [y.unflatten(-1, (H, -1)).transpose(1, 2) for y in block.qkv(x).chunk(3, -1)]

    def grow(self, cache, t):
        cache.n += t

    def each_layer(self, cache, t):
        pass

    def gelu(self, x):
        return F.gelu(x, approximate="tanh")

    def result(self, model, h):
        return model.norm(h) @ model.tokens.weight.T

    def __call__(self, model, ids, cache, real):
        n, t = cache.n, ids.shape[1]
        h = model.tokens(ids) + model.positions(self.positions(real, n))
        mask = self.mask(real, n)
        for i, block in enumerate(model.blocks):
            q, k, v = self.split(block, block.norm1(h), cache.H)
            k, v = cache.put(i, cache.n, k, v)
            y = self.attention(q, k, v, mask)
            h = h + block.out(y.transpose(1, 2).flatten(2))
            h = h + block.down(self.gelu(block.up(block.norm2(h))))
            self.each_layer(cache, t)
        self.grow(cache, t)
        return self.result(model, h)


def answer(name, room=Room, **methods):
    """A pair of the two objects, with these methods replaced."""
    call = type(name, (Steps,), methods)()

    def forward_cached(model, ids, cache, real):
        return call(model, ids, cache, real)

    named = types.FunctionType(forward_cached.__code__, globals(), name, None, forward_cached.__closure__)
    return type(f"{name}_room", (room,), {}), named


class Concatenated(Room):
    def __init__(self, L, B, H, S, d, dtype, device):
        self.pairs, self.H, self.n = [None] * L, H, 0

    def put(self, layer, n, k, v):
        if self.pairs[layer] is not None:
            k, v = (torch.cat(pair, 2) for pair in zip(self.pairs[layer], (k, v), strict=True))
        self.pairs[layer] = k, v
        return k, v


wrong("plain", "torch.cat, as transformers' DynamicCache: all of the past is copied", true="CopiesThePast")(
    answer("concatenated", Concatenated)
)


class Copied(Room):
    def put(self, layer, n, k, v):
        return [x.clone() for x in super().put(layer, n, k, v)]


wrong("plain", "the slices are copied, to be contiguous", true="CopiesThePast")(answer("copied", Copied))


class Rebuilt(Room):
    def put(self, layer, n, k, v):
        place = torch.arange(self.keys.shape[3], device=k.device)[:, None] == n
        if k.shape[2] > 1:
            return super().put(layer, n, k, v)
        self.keys = torch.stack([torch.where(place, k, x) if i == layer else x for i, x in enumerate(self.keys)])
        self.values = torch.stack([torch.where(place, v, x) if i == layer else x for i, x in enumerate(self.values)])
        return self.keys[layer][:, :, : n + 1], self.values[layer][:, :, : n + 1]


wrong("plain", "a new room for each token, as a functional style has it", true="CopiesThePast")(
    answer("rebuilt", Rebuilt)
)


class Ids(Room):
    """Keeps the ids alone."""

    def __init__(self, L, B, H, S, d, dtype, device):
        self.sizes, self.ids = (L, B, H, S, d, dtype, device), []


def no_cache_at_all(model, ids, cache, real):
    cache.ids.append(ids)
    return Steps()(model, torch.cat(cache.ids, 1), Room(*cache.sizes), real)[:, -ids.shape[1] :]


wrong("large", "nothing is kept but ids: the whole text is read anew", true="AllAnew")((Ids, no_cache_at_all))


def one_by_one(model, ids, real, H):
    """All logits, where no tensor is larger than what one token needs."""
    past = [[] for _ in model.blocks]
    logits = []
    for j in range(ids.shape[1]):
        h = model.tokens(ids[:, j]) + model.positions((real[:, : j + 1].sum(1) - 1).clamp_min(0))
        for layer, block in enumerate(model.blocks):
            q, k, v = (y.unflatten(-1, (H, -1)) for y in block.qkv(block.norm1(h)).chunk(3, -1))
            past[layer].append((k, v))
            seen = [real[:, i, None] | (i == j) for i in range(j + 1)]
            Z = [(q * k).sum(-1) / k.shape[-1] ** 0.5 for k, _ in past[layer]]
            Z = torch.stack([z.masked_fill(~s, -torch.inf) for z, s in zip(Z, seen, strict=True)], -1)
            A = Z.softmax(-1)
            y = sum(A[..., i, None] * v for i, (_, v) in enumerate(past[layer]))
            h = h + block.out(y.flatten(1))
            h = h + block.down(F.gelu(block.up(block.norm2(h)), approximate="tanh"))
        logits.append(model.norm(h) @ model.tokens.weight.T)
    return logits


def recomputed_in_pieces(model, ids, cache, real):
    cache.ids.append(ids)
    logits = one_by_one(model, torch.cat(cache.ids, 1), real, cache.sizes[2])
    return torch.stack(logits[-ids.shape[1] :], 1)


wrong(
    "unwatched",
    "nothing is kept but ids: the text is read anew token by token, in tensors that are small",
    told="sends .* tokens through qkv",
    advice="right where n is 8 or less",
)((Ids, recomputed_in_pieces))

wrong("named", "positions are places, padding too", true="PaddingCounted")(
    answer("places", positions=lambda self, real, n: torch.arange(n, real.shape[1], device=real.device)[None])
)
wrong("onward", "each call counts its positions from 0", true="PositionsFromZero")(
    answer("from_zero", positions=lambda self, real, n: (real[:, n:].cumsum(1) - 1).clamp_min(0))
)
wrong(
    "onward",
    "a new token's position is the number of tokens so far, itself among them: one too large",
    true="PositionsFromOne",
)(answer("one_too_large", positions=lambda self, real, n: real.cumsum(1)[:, n:].clamp_max(real.shape[1] - 1)))
wrong(
    "named",
    "positions are not held at 0 or above: padding asks for row -1",
    told="asked for a row that its table does not have",
)(answer("row_minus_one", positions=lambda self, real, n: (real.cumsum(1) - 1)[:, n:]))


def causal_alone(self, real, n):
    place = torch.arange(real.shape[1], device=real.device)
    return (place <= place[n:, None]).expand(len(real), -1, -1)


wrong("named", "padding is seen", true="PaddedKeysSeen")(answer("padding_seen", mask=causal_alone))
wrong("onward", "is_causal: the table begins at the upper left, also where there is a past", true="IsCausal")(
    answer(
        "upper_left",
        attention=lambda self, q, k, v, mask: F.scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1),
    )
)


def all_of_the_past_and_the_chunk(self, real, n):
    if n == 0:
        return Steps.mask(self, real, n)
    return (
        real[:, None].expand(-1, real.shape[1] - n, -1)
        | torch.eye(real.shape[1], dtype=torch.bool, device=real.device)[n:]
    )


wrong("onward", "a later chunk's tokens see what comes after them", true="LaterChunksSeeAhead")(
    answer("chunks_see_ahead", mask=all_of_the_past_and_the_chunk)
)


def no_mask_for_one(self, real, n):
    return causal_alone(self, real, n) if real.shape[1] - n == 1 else Steps.mask(self, real, n)


wrong("onward", "one token needs no mask: it sees the padding of the past", true="OneTokenSeesAll")(
    answer("one_sees_all", mask=no_mask_for_one)
)


def only_new_padding(self, real, n):
    real = real.clone()
    real[:, :n] = True
    return Steps.mask(self, real, n)


wrong("onward", "padding is looked for among the new tokens alone", true="PaddingOfThePastSeen")(
    answer("new_padding_only", mask=only_new_padding)
)


def without_itself(self, real, n):
    place = torch.arange(real.shape[1], device=real.device)
    return real[:, None] & (place <= place[n:, None])


def own_attention(self, q, k, v, mask):
    Z = q @ k.mT / q.shape[-1] ** 0.5
    return Z.masked_fill(~mask[:, None], -torch.inf).softmax(-1) @ v


wrong("named", "padding sees nothing, and its NaN spreads", true="NothingToSee")(
    answer("nan_spreads", mask=without_itself, attention=own_attention)
)


def finite_attention(self, q, k, v, mask):
    Z = q @ k.mT / q.shape[-1] ** 0.5
    return Z.masked_fill(~mask[:, None], -100.0).softmax(-1) @ v


wrong("far", "hidden keys have the score -100")(answer("minus_100", attention=finite_attention))


def no_maximum(self, q, k, v, mask):
    E = (q @ k.mT / q.shape[-1] ** 0.5).exp() * mask[:, None]
    return E / E.sum(-1, keepdim=True) @ v


wrong("far", "its own softmax without the maximum", told="far apart: logits is NaN")(
    answer("own_softmax", attention=no_maximum)
)


def grows(self, cache, t):
    cache.n += t


def stays(self, cache, t):
    pass


wrong("plain", "the number of tokens grows in each layer")(answer("grows_in_layers", each_layer=grows, grow=stays))
wrong("onward", "the number of tokens never grows")(answer("never_grows", grow=stays))


class FirstLayer(Room):
    def put(self, layer, n, k, v):
        return super().put(0, n, k, v)


wrong("plain", "all layers write into the first one's room", true="OneForAllLayers")(answer("one_layer", FirstLayer))


class Shared(Room):
    keys = values = None
    n = 0

    def __init__(self, L, B, H, S, d, dtype, device):
        cls, self.H = type(self), H
        if cls.keys is None or cls.keys.shape != (L, B, H, S, d) or cls.keys.dtype != dtype:
            cls.keys = torch.zeros(L, B, H, S, d, dtype=dtype, device=device)
            cls.values = torch.zeros_like(cls.keys)


wrong("again", "the tensors lie on the class: two caches of one size share them", true="SharedByAll")(
    answer("shared", Shared)
)


class CountedOnTheClass(Room):
    count: ClassVar = [0]

    @property
    def n(self):
        return self.count[0]

    @n.setter
    def n(self, value):
        self.count[0] = value


wrong("again", "the number of tokens lies on the class")(answer("counted_on_the_class", CountedOnTheClass))


class SinglePrecision(Room):
    def __init__(self, L, B, H, S, d, dtype, device):
        super().__init__(L, B, H, S, d, torch.float32, device)

    def put(self, layer, n, k, v):
        return [x.to(k.dtype) for x in super().put(layer, n, k, v)]


wrong("named", "float32, whatever dtype is asked for", told="a step in a coarser dtype")(
    answer("single_precision", SinglePrecision)
)


class DefaultSet(Room):
    def __init__(self, L, B, H, S, d, dtype, device):
        torch.set_default_dtype(dtype)
        super().__init__(L, B, H, S, d, dtype, device)


wrong("surroundings", "the default dtype is set", told="changes torch's default dtype")(
    answer("default_set", DefaultSet)
)


def ids_changed(model, ids, cache, real):
    ids.masked_fill_(~real[:, -ids.shape[1] :], 0)
    return Steps()(model, ids, cache, real)


def real_changed(model, ids, cache, real):
    logits = Steps()(model, ids, cache, real)
    real[:, -1] = True
    real[:, 0] = True
    return logits


wrong("given", "padding's ids become 0, in place", told="changes its input ids")((Room, ids_changed))
wrong("given", "`real` becomes the mask, in place", told="changes its input real")((Room, real_changed))
wrong("ones", "one token loses its dimension", told=r"expected \(1, 1, 8\)")(
    answer("squeezed", result=lambda self, model, h: (model.norm(h) @ model.tokens.weight.T).squeeze(1))
)
wrong("plain", "the logits of the last token, as a generating loop wants them", true="LastTokenAlone")(
    answer("last_alone", result=lambda self, model, h: model.norm(h[:, -1:]) @ model.tokens.weight.T)
)
wrong("plain", "GELU's exact form", true="ExactGelu")(answer("exact_gelu", gelu=lambda self, x: F.gelu(x)))
wrong("plain", "the last norm is forgotten", true="NoLastNorm")(
    answer("no_last_norm", result=lambda self, model, h: h @ model.tokens.weight.T)
)
wrong("plain", "heads first, then queries, keys and values, as in GPT-NeoX")(
    answer(
        "heads_first",
        split=lambda self, block, x, H: block.qkv(x).unflatten(-1, (H, 3, -1)).transpose(1, 2).unbind(3),
    )
)


def whole_table(self, real, n):
    S = real.shape[1]
    table = torch.ones(S, S, dtype=torch.bool, device=real.device).tril()
    return (real[:, None] & table | torch.eye(S, dtype=torch.bool, device=real.device))[:, n:]


wrong("large", "the whole table of places against places for each token", true="WholeTable")(
    answer("whole_table", mask=whole_table)
)


# Right ones.


class Flat:
    """One tensor (S, L, 2, B, H d), places first."""

    def __init__(self, L, B, H, S, d, dtype, device):
        self.kv = torch.empty(S, L, 2, B, H * d, dtype=dtype, device=device)
        self.heads, self.filled = H, 0


def places_first(model, ids, cache, real):
    B, t = ids.shape
    n, H = cache.filled, cache.heads
    place = torch.arange(n + t, device=ids.device)
    hidden = ~real[:, None, :] | (place > place[n:, None])
    hidden[:, torch.arange(t), place[n:]] = False
    x = F.embedding(ids, model.tokens.weight) + model.positions.weight[real.cumsum(1).sub(1).clamp(min=0)[:, n:]]
    for layer, block in enumerate(model.blocks):
        q, k, v = block.qkv(block.norm1(x)).split(x.shape[-1], -1)
        cache.kv[n : n + t, layer, 0], cache.kv[n : n + t, layer, 1] = k.transpose(0, 1), v.transpose(0, 1)
        K, V = (cache.kv[: n + t, layer, i].unflatten(-1, (H, -1)) for i in (0, 1))
        Z = torch.einsum("bihd,jbhd->bhij", q.unflatten(-1, (H, -1)), K) / (x.shape[-1] // H) ** 0.5
        A = Z.masked_fill(hidden[:, None], torch.finfo(Z.dtype).min).softmax(-1)
        x = x + block.out(torch.einsum("bhij,jbhd->bihd", A, V).reshape(B, t, -1))
        x = x + block.down(F.gelu(block.up(block.norm2(x)), approximate="tanh"))
    cache.filled = n + t
    return F.linear(model.norm(x), model.tokens.weight)


ANSWERS.right((Flat, places_first))


def chunk_token_by_token(model, ids, cache, real):
    """A chunk is read one token at a time."""
    n = cache.n
    return torch.cat([Steps()(model, ids[:, [i]], cache, real[:, : n + i + 1]) for i in range(ids.shape[1])], 1)


ANSWERS.right((Room, chunk_token_by_token))


class KeysAcross(Room):
    """Keys lie the other way round in memory, (d, S); the number of tokens is a tensor."""

    def __init__(self, L, B, H, S, d, dtype, device):
        super().__init__(L, B, H, S, d, dtype, device)
        self.keys = torch.zeros(L, B, H, d, S, dtype=dtype, device=device).mT


def added_mask(self, q, k, v, mask):
    bias = torch.zeros(mask.shape, dtype=q.dtype, device=q.device).masked_fill(~mask, float("-inf"))
    return torch.softmax(torch.einsum("bhid,bhjd->bhij", q, k) / k.shape[-1] ** 0.5 + bias.unsqueeze(1), -1) @ v


ANSWERS.right(answer("keys_across", KeysAcross, attention=added_mask))


class Kept:
    """A list of each token's keys, and nothing of them is put together."""

    def __init__(self, L, B, H, S, d, dtype, device):
        self.past, self.H = [[] for _ in range(L)], H


def lists(model, ids, cache, real):
    logits = []
    for j in range(real.shape[1] - ids.shape[1], real.shape[1]):
        now = real[:, : j + 1]
        h = model.tokens(ids[:, j - real.shape[1]]) + model.positions((now.sum(1) - 1).clamp_min(0))
        for past, block in zip(cache.past, model.blocks, strict=True):
            q, k, v = (y.unflatten(-1, (cache.H, -1)) for y in block.qkv(block.norm1(h)).chunk(3, -1))
            past.append((k, v))
            Z = torch.stack([(q * k).sum(-1) / k.shape[-1] ** 0.5 for k, _ in past], -1)
            seen = now.clone()
            seen[:, -1] = True
            A = Z.masked_fill(~seen[:, None], -torch.inf).softmax(-1)
            h = h + block.out(sum(A[..., i, None] * v for i, (_, v) in enumerate(past)).flatten(1))
            h = h + block.down(F.gelu(block.up(block.norm2(h)), approximate="tanh"))
        logits.append(model.norm(h) @ model.tokens.weight.T)
    return torch.stack(logits, 1)


ANSWERS.right((Kept, lists))


# A second round.


def shifted_positions(self, real, n):
    return (real.long().cumsum(1) - real.long())[:, n:] + (n > 0)


wrong("onward", "after the prefill positions are one too large")(answer("after_prefill", positions=shifted_positions))


class NoRoom(Room):
    """Writes into new tensors each time, and copies the old ones into them layer by layer."""

    def put(self, layer, n, k, v):
        if k.shape[2] == 1:
            self.values[layer] = self.values[layer].roll(0, -1)
        return super().put(layer, n, k, v)


wrong("plain", "the values are rolled in their room: copied", true="CopiesThePast")(answer("rolled", NoRoom))


class SmallRoom(Room):
    def __init__(self, L, B, H, S, d, dtype, device):
        super().__init__(L, B, H, min(S, 64), d, dtype, device)


wrong("large", "room for 64 tokens at most", told="must match the existing size")(answer("small_room", SmallRoom))


def own_padding(self, real, n):
    """Padding sees everything: its logits are not looked at, and nobody sees it."""
    return Steps.mask(self, real, n) | ~real[:, n:, None]


def padding_of_the_first_row(self, real, n):
    return Steps.mask(self, real[:1].expand_as(real), n)


wrong("ones", "the first row's padding serves all rows")(answer("first_row", mask=padding_of_the_first_row))
ANSWERS.right(answer("padding_sees_all", mask=own_padding))


# A third round.


class Contiguous(Room):
    def put(self, layer, n, k, v):
        return [x.contiguous() for x in super().put(layer, n, k, v)]


wrong("plain", "slices are made contiguous, which copies them where there are several heads", true="CopiesThePast")(
    answer("contiguous", Contiguous)
)


def frozen(self, model, h):
    model.requires_grad_(False)
    return model.norm(h) @ model.tokens.weight.T


wrong("surroundings", "the model is frozen", told="frozen afterwards")(answer("frozen", result=frozen))


def far_below(self, q, k, v, mask):
    S = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(~mask[:, None], -1e4)
    return S.softmax(-1) @ v


wrong("far", "-10,000 in place of -inf", told="far apart")(answer("far_below", attention=far_below))


# An eighth round.


def rows_from_the_first_place(self, real, n):
    place = torch.arange(real.shape[1], device=real.device)
    return real[:, None] & (place <= place[: len(place) - n, None]) | (place == place[n:, None])


wrong("plain", "rows of the causal part from place 0 on, and each place sees itself", true="MaskFromTheFirstKey")(
    answer("first_places", mask=rows_from_the_first_place)
)


# A ninth round.


def text_by_text(self, q, k, v, mask):
    """Attention of three dimensions, for which torch's own makes scaled keys."""
    rows = zip(q, k, v, mask, strict=True)
    return torch.stack([F.scaled_dot_product_attention(*row, attn_mask=m) for *row, m in rows])


ANSWERS.right(answer("text_by_text", attention=text_by_text))
