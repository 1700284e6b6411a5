"""Answers to bert.spans."""

import itertools
import math

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.spans",
    spared={
        "onward": "nothing happens after which it goes on",
        "dependence": "nothing is drawn",
        "unwatched": "the spans are handed over as they are",
    },
)
wrong = ANSWERS.wrong


def table(start, end, context, limit, lowest=-math.inf):
    """The sums of every allowed pair; elsewhere the lowest number."""
    T = start.shape[1]
    band = torch.ones(T, T, dtype=torch.bool).triu().tril(limit - 1)
    allowed = band & context[:, :, None] & context[:, None, :]
    return (start[:, :, None] + end[:, None, :]).masked_fill(~allowed, lowest)


def chosen(scores, start, end, margin, beats=torch.gt):
    best, k = scores.flatten(1).max(1)
    T = start.shape[1]
    spans = torch.stack([k // T, k % T], 1)
    return spans * beats(best, start[:, 0] + end[:, 0] + margin)[:, None]


@wrong("plain", "the argmax of the starts and that of the ends", true="ChosenIndependently")
def two_argmaxes(start, end, context, limit, margin):
    S, E = start.masked_fill(~context, -math.inf), end.masked_fill(~context, -math.inf)
    i, j = S.argmax(1), E.argmax(1)
    best = S.amax(1) + E.amax(1)
    return torch.stack([i, j], 1) * (best > start[:, 0] + end[:, 0] + margin)[:, None]


@wrong("plain", "a span may have one token too many", true="OneTooLong")
def one_too_long(start, end, context, limit, margin):
    return chosen(table(start, end, context, limit + 1), start, end, margin)


@wrong("plain", "a span may have one token too few", true="OneTooShort")
def one_too_short(start, end, context, limit, margin):
    return chosen(table(start, end, context, max(limit - 1, 1)), start, end, margin)


@wrong("plain", "the end may come before the start", true="EndBeforeStart")
def without_order(start, end, context, limit, margin):
    T = start.shape[1]
    i = torch.arange(T)
    allowed = ((i[:, None] - i).abs() < limit) & context[:, :, None] & context[:, None, :]
    return chosen((start[:, :, None] + end[:, None]).masked_fill(~allowed, -math.inf), start, end, margin)


@wrong("plain", "first and last are exchanged", true="LastFirst")
def exchanged(start, end, context, limit, margin):
    return chosen(table(start, end, context, limit), start, end, margin).flip(1)


@wrong("plain", "the last token is one past the end, as a slice wants it", true="EndExclusive")
def as_a_slice(start, end, context, limit, margin):
    spans = chosen(table(start, end, context, limit), start, end, margin)
    return spans + torch.tensor([0, 1]) * (spans.sum(1, keepdim=True) > 0)


@wrong("plain", "the context is not asked", true="AnyToken")
def anywhere(start, end, context, limit, margin):
    return chosen(table(start, end, torch.ones_like(context), limit), start, end, margin)


@wrong("plain", "the null score is not asked", true="AlwaysAnswered")
def always_answers(start, end, context, limit, margin):
    return chosen(table(start, end, context, limit), start, end, -math.inf)


@wrong("plain", "the margin has the wrong sign", true="MarginSubtracted")
def margin_turned(start, end, context, limit, margin):
    return chosen(table(start, end, context, limit), start, end, -margin)


@wrong("plain", "two slips: no limit, and the margin is left out", true="NoMargin NoLimit", told="margin=|limit=3")
def no_limit_no_margin(start, end, context, limit, margin):
    return chosen(table(start, end, context, start.shape[1]), start, end, 0.0)


@wrong("named", "a span that beats the null score by just the margin wins", true="TiesWin")
def ties_win(start, end, context, limit, margin):
    return chosen(table(start, end, context, limit), start, end, margin, torch.ge)


@wrong("named", "a context of two pieces: what lies between them is taken for context", true="GapsFilled")
def from_first_to_last(start, end, context, limit, margin):
    i = torch.arange(start.shape[1])
    first = context.int().argmax(1, keepdim=True)
    last = start.shape[1] - 1 - context.flip(1).int().argmax(1, keepdim=True)
    inside = (i >= first) & (i <= last) & context.any(1, keepdim=True)
    return chosen(table(start, end, inside, limit), start, end, margin)


@wrong(
    "named",
    "a span may not reach over a gap in the context, though only its ends must lie in it",
    told="context in pieces",
)
def without_gaps(start, end, context, limit, margin):
    T = start.shape[1]
    scores = table(start, end, context, limit)
    holes = (~context).long().cumsum(1)
    return chosen(
        scores.masked_fill(holes[:, None, :] != holes[:, :, None], -math.inf).view(-1, T, T), start, end, margin
    )


@wrong(
    "ones",
    "squeeze takes the batch away where there is one row",
    told="lost a dimension|has shape .2,.",
    advice="right where B is more than 1, wrong where it is 1",
)
def squeezed(start, end, context, limit, margin):
    return chosen(table(start, end, context, limit), start, end, margin).squeeze()


@wrong("far", "a forbidden pair has the score 0", true="ForbiddenAsZero")
def zero_is_forbidden(start, end, context, limit, margin):
    T = start.shape[1]
    band = torch.ones(T, T).triu().tril(limit - 1)
    allowed = band * context[:, :, None] * context[:, None, :]
    return chosen((start[:, :, None] + end[:, None]) * allowed, start, end, margin)


@wrong("far", "a forbidden pair loses 100, which logits may exceed", told="logits far apart")
def minus_a_hundred(start, end, context, limit, margin):
    T = start.shape[1]
    band = torch.ones(T, T, dtype=torch.bool).triu().tril(limit - 1)
    allowed = band & context[:, :, None] & context[:, None, :]
    return chosen(start[:, :, None] + end[:, None] - 100.0 * ~allowed, start, end, margin)


@wrong("far", "products of probabilities: far below the best they are all 0", true="ProbabilitiesAdded")
def of_probabilities(start, end, context, limit, margin):
    S, E = start.softmax(1), end.softmax(1)
    best, k = table(S, E, context, limit).flatten(1).max(1)
    T = start.shape[1]
    spans = torch.stack([k // T, k % T], 1)
    return spans * (best > S[:, 0] + E[:, 0] + margin)[:, None]


@wrong(
    "large",
    "only the twenty best starts and ends are tried, as in the library's n-best",
    told="large starts and large ends far apart",
)
def n_best(start, end, context, limit, margin):
    rows = []
    for s, e, c in zip(start, end, context, strict=True):
        S, E = s.argsort(descending=True)[:20].tolist(), e.argsort(descending=True)[:20].tolist()
        allowed = [(i, j) for i, j in itertools.product(S, E) if c[i] and c[j] and i <= j < i + limit]
        best = max(allowed, key=lambda p: (s[p[0]] + e[p[1]]).item(), default=None)
        beats = best and s[best[0]] + e[best[1]] > s[0] + e[0] + margin
        rows.append(best if beats else (0, 0))
    return torch.tensor(rows)


@wrong(
    "large",
    "at most 30 tokens whatever the limit is",
    told="a long span",
    advice=r"right where limit is \d+ or less, wrong where it is \d+ or more",
)
def thirty_tokens(start, end, context, limit, margin):
    return chosen(table(start, end, context, min(limit, 30)), start, end, margin)


@wrong("given", "the logits are masked in place", told="changes its input start")
def masks_in_place(start, end, context, limit, margin):
    null = start[:, 0] + end[:, 0] + margin
    start[~context] = -math.inf
    scores = table(start, end, context, limit)
    best, k = scores.flatten(1).max(1)
    T = start.shape[1]
    return torch.stack([k // T, k % T], 1) * (best > null)[:, None]


BANDS = {}


@wrong("again", "the band is remembered by T alone, not by the limit")
def remembers_the_band(start, end, context, limit, margin):
    T = start.shape[1]
    band = BANDS.setdefault(T, torch.ones(T, T, dtype=torch.bool).triu().tril(limit - 1))
    allowed = band & context[:, :, None] & context[:, None, :]
    return chosen((start[:, :, None] + end[:, None]).masked_fill(~allowed, -math.inf), start, end, margin)


@wrong("surroundings", "gradients are switched off and stay so", told="leaves gradients switched off")
def switches_gradients_off(start, end, context, limit, margin):
    torch.set_grad_enabled(False)
    return chosen(table(start, end, context, limit), start, end, margin)


@wrong("plain", "max without .indices", told="values and indices")
def max_without_indices(start, end, context, limit, margin):
    T = start.shape[1]
    k = table(start, end, context, limit).flatten(1).max(1)
    return torch.stack([k // T, k % T], 1)


@wrong("plain", "divided by T the other way round: // and % are exchanged", true="LastFirst")
def rows_for_columns(start, end, context, limit, margin):
    best, k = table(start, end, context, limit).flatten(1).max(1)
    T = start.shape[1]
    return torch.stack([k % T, k // T], 1) * (best > start[:, 0] + end[:, 0] + margin)[:, None]


BEATEN = {}


@wrong("again", "the margin is kept by the sizes of all the rest", told="differ in margin alone")
def margin_by_sizes(start, end, context, limit, margin):
    key = start.shape, start.dtype, limit, str(context.tolist())
    return chosen(table(start, end, context, limit), start, end, BEATEN.setdefault(key, margin))


@ANSWERS.right
def two_loops(start, end, context, limit, margin):
    spans = torch.zeros(len(start), 2, dtype=torch.int64)
    for b in range(len(start)):
        best = (start[b, 0] + end[b, 0] + margin).item()
        for i in range(start.shape[1]):
            for j in range(i, min(i + limit, start.shape[1])):
                if context[b, i] and context[b, j] and (start[b, i] + end[b, j]).item() > best:
                    best, spans[b] = (start[b, i] + end[b, j]).item(), torch.tensor([i, j])
    return spans


@ANSWERS.right
def with_numpy(start, end, context, limit, margin):
    s, e, c = start.double().numpy(), end.double().numpy(), context.numpy()
    i = np.arange(s.shape[1])
    band = (i[None, :] >= i[:, None]) & (i[None, :] - i[:, None] < limit)
    scores = np.where(band & c[:, :, None] & c[:, None, :], s[:, :, None] + e[:, None, :], -np.inf)
    k = scores.reshape(len(s), -1).argmax(1)
    found = np.stack(np.unravel_index(k, scores.shape[1:]), 1)
    found[scores.reshape(len(s), -1).max(1) <= s[:, 0] + e[:, 0] + margin] = 0
    return torch.from_numpy(found)


@ANSWERS.right
def by_windows(start, end, context, limit, margin):
    """For each length the best start; the longest window is not longer than the text."""
    B, T = start.shape
    S, E = start.masked_fill(~context, -math.inf), end.masked_fill(~context, -math.inf)
    best, spans = torch.full((B,), -math.inf, dtype=start.dtype), torch.zeros(B, 2, dtype=torch.int64)
    for n in range(min(limit, T)):
        score, i = (S[:, : T - n] + E[:, n:]).max(1)
        better = score > best
        spans[better] = torch.stack([i, i + n], 1)[better]
        best = torch.maximum(best, score)
    spans[~(best > start[:, 0] + end[:, 0] + margin)] = 0
    return spans


# A second round.


@wrong("plain", "the null span is a candidate of the table like any other: the margin is not asked", true="NoMargin")
def null_in_the_table(start, end, context, limit, margin):
    scores = table(start, end, context, limit)
    scores[:, 0, 0] = start[:, 0] + end[:, 0]
    k = scores.flatten(1).argmax(1)
    return torch.stack([k // start.shape[1], k % start.shape[1]], 1)


@wrong("plain", "start first, then the best end behind it", true="StartChosenFirst")
def greedy(start, end, context, limit, margin):
    i = start.masked_fill(~context, -math.inf).argmax(1)
    t = torch.arange(start.shape[1])
    ends = end.masked_fill(~context | (t < i[:, None]) | (t >= i[:, None] + limit), -math.inf)
    best, j = ends.max(1)
    return (
        torch.stack([i, j], 1) * (start.gather(1, i[:, None])[:, 0] + best > start[:, 0] + end[:, 0] + margin)[:, None]
    )


@wrong("plain", "the result is float", told="dtype float32, expected int64")
def as_floats(start, end, context, limit, margin):
    return chosen(table(start, end, context, limit), start, end, margin).float()


@wrong("named", "-1, -1 for no answer", told="-1, expected 0")
def minus_one(start, end, context, limit, margin):
    spans = chosen(table(start, end, context, limit), start, end, margin)
    return torch.where(spans.sum(1, keepdim=True) == 0, -1, spans)


@wrong("far", "numbers in half precision: close sums become equal")
def in_half(start, end, context, limit, margin):
    return chosen(table(start.bfloat16(), end.bfloat16(), context, limit), start.bfloat16(), end.bfloat16(), margin)


@ANSWERS.right
def with_unfold(start, end, context, limit, margin):
    """A table (B, T, limit) of starts and lengths; a text shorter than the limit is padded."""
    B, T = start.shape
    S = start.masked_fill(~context, -math.inf)
    E = torch.cat([end.masked_fill(~context, -math.inf), end.new_full((B, limit), -math.inf)], 1)
    best, k = (S[:, :, None] + E.unfold(1, limit, 1)[:, :T]).reshape(B, -1).max(-1)
    i, n = k.div(limit, rounding_mode="floor"), k % limit
    return torch.where((best - margin > start[:, 0] + end[:, 0])[:, None], torch.stack([i, i + n], -1), 0)
