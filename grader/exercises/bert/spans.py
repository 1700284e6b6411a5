"""s_ij = S_i + E_j for i <= j < i + limit, both in the context; the best of them, if it beats S_0 + E_0 + margin.

Devlin et al. 2019, sections 4.2 and 4.3: token 0 is [CLS], its score that of no answer, and the margin is their tau.
"""

import math

import torch

from grader.contract import Trusted


def reference(start, end, context, limit, margin):
    spans = []
    for S, E, inside in zip(start.tolist(), end.tolist(), context.tolist(), strict=True):
        T = len(S)
        scores = {(i, j): S[i] + E[j] for i in range(T) for j in range(i, min(i + limit, T)) if inside[i] and inside[j]}
        best = max(scores, key=scores.get, default=None)
        found = best is not None and scores[best] > S[0] + E[0] + margin
        spans.append(best if found else (0, 0))
    return torch.tensor(spans, device=start.device)


class Steps:
    """The same in steps, so that a mistake below is written as the one step in which it differs."""

    def __call__(self, start, end, context, limit, margin):
        scores = self.scores(start, end)  # (B, T, T)
        scores = self.hide(scores, ~self.allowed(context, limit))
        best, where = scores.flatten(1).max(1)
        spans = self.unravel(where, start.shape[1])
        return torch.where(self.answered(best, start, end, margin)[:, None], spans, 0)

    def scores(self, start, end):
        return start[:, :, None] + end[:, None, :]

    def allowed(self, context, limit):
        t = torch.arange(context.shape[1], device=context.device)
        return self.inside(context) & self.ordered(t - t[:, None], limit)

    def inside(self, context):
        return context[:, :, None] & context[:, None, :]

    def ordered(self, further, limit):
        """Whether an end `further` behind its start is allowed."""
        return (further >= 0) & (further < limit)

    def hide(self, scores, hidden):
        return scores.masked_fill(hidden, -math.inf)

    def unravel(self, where, T):
        return torch.stack([where // T, where % T], 1)

    def answered(self, best, start, end, margin):
        return best > self.null(start, end) + margin

    def null(self, start, end):
        return start[:, 0] + end[:, 0]


TRUSTED = Trusted(reference, budget="a span has four rules to keep, and no answer three")
TRUSTED.add_alternative("in_steps", Steps())
(wrong_step,) = TRUSTED.one_by_one(lambda steps: steps())


@wrong_step(
    "Start and end are chosen independently, each where its own logit is largest: the end may lie before the start, or "
    "too far behind it. Choose the best pair."
)
class ChosenIndependently(Steps):
    def allowed(self, context, limit):
        return self.inside(context)


@wrong_step(
    "The start is chosen first, and then the best end for it: a start that is a little worse may have a much "
    "better end. Choose the best pair."
)
class StartChosenFirst(Steps):
    def scores(self, start, end):
        self.start = start
        return super().scores(start, end)

    def hide(self, scores, hidden):
        first = self.start.masked_fill(hidden.all(2), -math.inf).argmax(1, keepdim=True)
        others = torch.arange(scores.shape[1], device=scores.device) != first
        return super().hide(scores, hidden | others[:, :, None])


@wrong_step("A span may end before it starts: only pairs with start <= end count.")
class EndBeforeStart(Steps):
    def ordered(self, further, limit):
        return further.abs() < limit


@wrong_step("The limit is ignored: a span holds at most `limit` tokens, first and last included.")
class NoLimit(Steps):
    def ordered(self, further, limit):
        return further >= 0


@wrong_step(
    "A span may be one token longer than the limit: first and last both count, so it holds end - start + 1 tokens."
)
class OneTooLong(Steps):
    def ordered(self, further, limit):
        return (further >= 0) & (further <= limit)


@wrong_step("An answer of a single token is ruled out: start may equal end.")
class NoSingleTokens(Steps):
    def ordered(self, further, limit):
        return (further > 0) & (further < max(limit, 2))


@wrong_step("The context is ignored: spans in the question, in special tokens or in padding are no answers.")
class AnyToken(Steps):
    def inside(self, context):
        return torch.ones_like(super().inside(context))


@wrong_step(
    "Forbidden pairs get the score 0 in place of minus infinity: where all allowed scores are negative, a "
    "forbidden pair wins."
)
class ForbiddenAsZero(Steps):
    def hide(self, scores, hidden):
        return scores.masked_fill(hidden, 0.0)


@wrong_step(
    "Probabilities of start and end are added: that is not the probability of both, which is their product. Add logits "
    "(or log-probabilities), or multiply probabilities."
)
class ProbabilitiesAdded(Steps):
    def scores(self, start, end):
        return super().scores(start.softmax(-1), end.softmax(-1))

    def null(self, start, end):
        return super().null(start.softmax(-1), end.softmax(-1))


@wrong_step("Every question gets an answer: where no span beats [CLS] by more than the margin, return (0, 0).")
class AlwaysAnswered(Steps):
    def answered(self, best, start, end, margin):
        return best > -math.inf


@wrong_step("The margin is ignored: the best span must beat the score of [CLS] by more than it.")
class NoMargin(Steps):
    def answered(self, best, start, end, margin):
        return best > self.null(start, end)


@wrong_step(
    "A span wins that is exactly as good as the score of [CLS] and the margin: it must beat them, and at a tie there "
    "is no answer."
)
class TiesWin(Steps):
    def answered(self, best, start, end, margin):
        return best >= self.null(start, end) + margin


@wrong_step(
    "Everything from the first token of the context to the last is taken for context: it may have gaps, and first and "
    "last must both lie where it is True."
)
class GapsFilled(Steps):
    def inside(self, context):
        filled = context.cumsum(1).bool() & context.flip(1).cumsum(1).flip(1).bool()
        return super().inside(filled)


@wrong_step("The margin has the wrong sign: a larger one should make an answer rarer.")
class MarginSubtracted(Steps):
    def answered(self, best, start, end, margin):
        return best > self.null(start, end) - margin


@wrong_step("The end is returned one too far, as in a Python slice: each row is (first, last), both included.")
class EndExclusive(Steps):
    def unravel(self, where, T):
        return super().unravel(where, T) + torch.tensor([0, 1], device=where.device)


@wrong_step("First and last are exchanged: each row is (first, last).")
class LastFirst(Steps):
    def unravel(self, where, T):
        return super().unravel(where, T).flip(1)


@wrong_step("A span may not be as long as the limit: first and last both count, and `limit` tokens are allowed.")
class OneTooShort(Steps):
    def ordered(self, further, limit):
        return (further >= 0) & (further < max(limit - 1, 1))


@wrong_step(
    "The best pair of the whole batch is given to every row: take the maximum within each row, for example of "
    "scores.flatten(1)."
)
class BestOfTheBatch(Steps):
    def hide(self, scores, hidden):
        scores = super().hide(scores, hidden)
        best = scores.flatten(1).amax(1).argmax()
        return scores[best].expand_as(scores)


@TRUSTED.alternative
def triangles(start, end, context, limit, margin):
    S = start.masked_fill(~context, -torch.inf)
    E = end.masked_fill(~context, -torch.inf)
    T = start.shape[1]
    band = torch.ones(T, T, dtype=torch.bool, device=start.device).triu().tril(limit - 1)
    scores = (S.unsqueeze(2) + E.unsqueeze(1)).masked_fill(~band, -torch.inf).reshape(len(start), T * T)
    flat = scores.argmax(dim=1)
    best = scores.gather(1, flat[:, None]).squeeze(1)
    spans = torch.stack(torch.unravel_index(flat, (T, T)), dim=1)
    spans[best <= start[:, 0] + end[:, 0] + margin] = 0
    return spans


@TRUSTED.alternative
def log_probabilities(start, end, context, limit, margin):
    """Summed log-probabilities differ from summed logits by the same number for every span, [CLS] included."""
    return triangles(start.log_softmax(-1), end.log_softmax(-1), context, limit, margin)


@TRUSTED.alternative
def in_loops(start, end, context, limit, margin):
    spans = torch.zeros(len(start), 2, dtype=torch.long, device=start.device)
    for b in range(len(start)):
        best = start[b, 0] + end[b, 0] + margin
        where = context[b].nonzero()[:, 0].tolist()
        for i in where:
            for j in where:
                if i <= j and j - i + 1 <= limit and start[b, i] + end[b, j] > best:
                    best = start[b, i] + end[b, j]
                    spans[b] = torch.tensor([i, j])
    return spans
