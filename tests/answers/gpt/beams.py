"""Answers to gpt.beams."""

import heapq
import itertools
import math
import random

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers("gpt.beams", spared={"dependence": "nothing is drawn"})
wrong = ANSWERS.wrong


class Search:
    """A beam search in steps: a slip is written as the one in which it differs."""

    def __call__(self, step, start, width, length_power, end, T):
        self.step, self.start, self.width, self.power, self.end, self.T = step, start, width, length_power, end, T
        opened, ended = self.first(), []
        for _ in range(self.rounds()):
            if not opened or self.enough(ended, opened):
                break
            best = self.best(self.continued(opened), ended)
            ended += [pair for pair in best if self.is_over(pair[0])]
            opened = [pair for pair in best if not self.is_over(pair[0])]
        return self.results(ended, opened)

    def first(self):
        return [([], 0.0)]

    def rounds(self):
        return self.T

    def enough(self, ended, opened):
        return False

    def continued(self, opened):
        rows = self.step([self.start + ids for ids, _ in opened]).tolist()
        pairs = zip(opened, rows, strict=True)
        return [([*ids, token], total + p) for (ids, total), row in pairs for token, p in enumerate(row)]

    def key(self, pair):
        return pair[1]

    def best(self, pairs, ended):
        return sorted(pairs, key=self.key, reverse=True)[: self.width]

    def is_over(self, ids):
        return ids[-1] == self.end

    def found(self, ended, opened):
        return ended + opened

    def length(self, ids):
        return len(ids)

    def score(self, ids, total):
        return total / self.length(ids) ** self.power

    def shown(self, ids):
        return ids

    def results(self, ended, opened):
        scored = [(ids, self.score(ids, total)) for ids, total in self.found(ended, opened)]
        return [(self.shown(ids), s) for ids, s in sorted(scored, key=lambda pair: pair[1], reverse=True)[: self.width]]


def search(cls):
    def beam_search(step, start, width, length_power, end, T):
        return cls()(step, start, width, length_power, end, T)

    beam_search.__name__ = cls.__name__
    return beam_search


def slip(kind, says, **told):
    def register(cls):
        wrong(kind, says, **told)(search(cls))
        return cls

    return register


@slip("plain", "each beam keeps its own best continuation, so that beams never compete", true="OneOfEachBeam")
class OneOfEach(Search):
    def best(self, pairs, ended):
        if len(pairs[0][0]) == 1:
            return super().best(pairs, ended)
        groups = itertools.groupby(pairs, key=lambda pair: pair[0][:-1])
        return [max(group, key=lambda pair: pair[1]) for _, group in groups]


@slip("plain", "it begins with `width` copies of the prompt, and all beams are the same text", true="StartRepeated")
class Copies(Search):
    def first(self):
        return [([], 0.0)] * self.width


@slip(
    "named",
    "copies of the prompt at -1e9, as Hugging Face begins: where there is room they come back as results",
    told=r"the text \[.*\] comes \d+ times",
)
class FarCopies(Search):
    def first(self):
        return [([], 0.0)] + [([], -1e9)] * (self.width - 1)


@slip(
    "plain",
    "2 * width continuations are looked at, so that `width` texts stay open, as Hugging Face does",
    true="RefillsTheBeam",
)
class TwiceAsMany(Search):
    def best(self, pairs, ended):
        best = sorted(pairs, key=self.key, reverse=True)[: 2 * self.width]
        stay = [pair for pair in best if not self.is_over(pair[0])][: self.width]
        return [pair for pair in best if self.is_over(pair[0])] + stay


@slip("plain", "what has ended keeps its place among the beams", true="EndedTakeUpRoom")
class KeepsItsPlace(Search):
    def best(self, pairs, ended):
        both = sorted([*pairs, *ended], key=self.key, reverse=True)[: self.width]
        ended[:] = [pair for pair in ended if pair in both]
        return [pair for pair in both if pair not in ended]


@slip("plain", "the width shrinks by one with each text that ends", true="EndedTakeUpRoom")
class Shrinks(Search):
    def best(self, pairs, ended):
        return sorted(pairs, key=self.key, reverse=True)[: max(self.width - len(ended), 0)]


@slip("plain", "the best results are chosen by their sums", true="ChosenBySum")
class ChosenBySum(Search):
    def found(self, ended, opened):
        return sorted(ended + opened, key=self.key, reverse=True)[: self.width]


@slip("plain", "the score is the sum", true="NotNormalised")
class NoPower(Search):
    def score(self, ids, total):
        return total


@slip("plain", "the score is the mean, whatever the power", told=r"the logarithms of its \d tokens sum to")
class Mean(Search):
    def score(self, ids, total):
        return total / len(ids)


@slip(
    "plain",
    "multiplied by the power of the length",
    advice="right where length_power is 0",
    told=r"the logarithms of its \d+ tokens sum to",
)
class Multiplied(Search):
    def score(self, ids, total):
        return total * len(ids) ** self.power


@slip(
    "plain",
    "the length penalty of GNMT, ((5 + n) / 6) ** power",
    told=r"the logarithms of its \d tokens sum to",
    advice="right where length_power is 0",
)
class Gnmt(Search):
    def length(self, ids):
        return (5 + len(ids)) / 6


@slip("plain", "the length counts the prompt", true="PromptCounted")
class PromptCounted(Search):
    def length(self, ids):
        return len(self.start) + len(ids)


@slip("plain", "the length does not count `end`", true="EndNotCounted")
class EndNotCounted(Search):
    def length(self, ids):
        return max(len(ids) - self.is_over(ids), 1)


@slip("plain", "only texts that have ended are results", true="UnfinishedLost")
class EndedAlone(Search):
    def found(self, ended, opened):
        return ended


@slip("named", "open texts are results only where none has ended")
class OpenIfNoneEnded(Search):
    def found(self, ended, opened):
        return ended or opened


@slip("onward", "stops when the first text has ended", told="without `end`, and was not continued")
class StopsAtTheFirst(Search):
    def enough(self, ended, opened):
        return bool(ended)


@slip("onward", "stops when `width` texts have ended", true="StopsWhenEnoughHaveEnded")
class StopsAtWidth(Search):
    def enough(self, ended, opened):
        return len(ended) >= self.width


@slip(
    "onward",
    "stops when the best that has ended is better than all that are open",
    told="without `end`, and was not continued",
)
class StopsAtTheBest(Search):
    def enough(self, ended, opened):
        return bool(ended) and max(t for _, t in ended) > max(t for _, t in opened)


@slip("plain", "`end` is taken off the results", true="EndRemoved")
class WithoutEnd(Search):
    def shown(self, ids):
        return [i for i in ids if i != self.end]


@slip("plain", "the prompt stands in front of the results", true="PromptReturned")
class WithPrompt(Search):
    def shown(self, ids):
        return self.start + ids


@slip(
    "named",
    "a text has ended when `end` is anywhere in it, the prompt included",
    told="without `end`, and was not continued",
)
class EndInThePrompt(Search):
    def is_over(self, ids):
        return self.end in self.start + ids


@slip("named", "T counts the prompt, as max_length does", told="without `end`, and was not continued")
class PromptInT(Search):
    def rounds(self):
        return max(self.T - len(self.start), 1)


@slip(
    "far",
    "probabilities are multiplied, until they are 0",
    told=r"the logarithms of its \d+ tokens sum to -[\d.]+, its score is -inf",
)
class Multiplies(Search):
    def first(self):
        return [([], 1.0)]

    def continued(self, opened):
        rows = self.step([self.start + ids for ids, _ in opened]).exp().tolist()
        pairs = zip(opened, rows, strict=True)
        return [([*ids, token], total * p) for (ids, total), row in pairs for token, p in enumerate(row)]

    def score(self, ids, total):
        return (math.log(total) if total else -math.inf) / len(ids) ** self.power


@slip(
    "far",
    "unlikely tokens, below -100, are not tried",
    told=r"probabilities far apart, float64: number of texts is \d+, expected 40",
    advice="scores is 0 everywhere",
)
class NeverUnlikely(Search):
    def continued(self, opened):
        before = {tuple(ids): total for ids, total in opened}
        pairs = super().continued(opened)
        return [pair for pair in pairs if pair[1] - before[tuple(pair[0][:-1])] > -100]


@slip("plain", "the worst first", told="the best comes first")
class WorstFirst(Search):
    def results(self, ended, opened):
        return super().results(ended, opened)[::-1]


@slip("plain", "one best text, not a list of them", told="expected 2 results: ids, score")
class BestAlone(Search):
    def results(self, ended, opened):
        return super().results(ended, opened)[0]


@slip("plain", "all results, not `width` of them", told=r"number of texts is \d+, expected 3")
class AllOfThem(Search):
    def results(self, ended, opened):
        self.width = 10**6
        return super().results(ended, opened)


@slip("plain", "greedy, whatever the width", true="Greedy")
class Greedy(Search):
    def best(self, pairs, ended):
        return [max(pairs, key=self.key)]


@slip("large", "20 beams at most", told="right where width is 9 or less")
class TwentyAtMost(Search):
    def best(self, pairs, ended):
        return super().best(pairs, ended)[:20]


@slip("large", "20 tokens at most", told="right where T is 12 or less", advice="without `end`, and was not continued")
class TwentyTokens(Search):
    def rounds(self):
        return min(self.T, 20)


@slip("large", "`width` tokens of each beam are enough, it is said: but no more than V / 2")
class HalfOfTheVocabulary(Search):
    def continued(self, opened):
        rows = self.step([self.start + ids for ids, _ in opened])
        p, tokens = rows.topk(min(self.width, (rows.shape[1] + 1) // 2))
        pairs = zip(opened, p.tolist(), tokens.tolist(), strict=True)
        return [([*ids, i], t + x) for (ids, t), row, those in pairs for i, x in zip(those, row, strict=True)]


@slip("ones", "squeezed: one open text loses its row", told="IndexError|too many indices|dimension")
class Squeezed(Search):
    def continued(self, opened):
        rows = self.step([self.start + ids for ids, _ in opened]).squeeze()
        return [
            ([*ids, token], total + rows[i][token].item())
            for i, (ids, total) in enumerate(opened)
            for token in range(rows.shape[1])
        ]


@slip("given", "the caller's prompt grows", told="changes its input start")
class PromptGrows(Search):
    def results(self, ended, opened):
        found = super().results(ended, opened)
        self.start += found[0][0]
        return found


KEPT: dict = {}
ENDED: list = []


@slip(
    "again", "what has ended is kept in a list that outlives the call", told="keeps something from one call to the next"
)
class OneListForAll(Search):
    def results(self, ended, opened):
        ENDED.extend(ended)
        return super().results([*ENDED], opened)


@slip("again", "rows are kept by the text, whatever model is asked", advice=r"the logarithms of its \d+ tokens sum to")
class KeptByText(Search):
    def continued(self, opened):
        for ids, _ in opened:
            text = tuple(self.start + ids)
            if text not in KEPT:
                KEPT[text] = self.step([list(text)])[0].tolist()
        rows = [KEPT[tuple(self.start + ids)] for ids, _ in opened]
        pairs = zip(opened, rows, strict=True)
        return [([*ids, token], total + p) for (ids, total), row in pairs for token, p in enumerate(row)]


@slip("surroundings", "Python's random numbers are seeded for ties that never come", told="random.seed")
class Seeds(Search):
    def key(self, pair):
        random.seed(0)
        return pair[1], random.random()


@slip("surroundings", "double precision for all that comes", told="default dtype")
class DefaultDtype(Search):
    def first(self):
        torch.set_default_dtype(torch.float64)
        return super().first()


@slip("unwatched", "every text there is, where that is possible: better texts than a beam search finds")
class Exhaustive(Search):
    def best(self, pairs, ended):
        return pairs if len(pairs) < 300 else super().best(pairs, ended)


@slip(
    "unwatched",
    "the model is asked for texts that have ended too, and the answer is thrown away",
    true="EndedContinued",
)
class AsksForAll(Search):
    def enough(self, ended, opened):
        self.step([self.start + ids for ids, _ in [*ended, *opened]])
        return False


@slip("unwatched", "the search goes on for one round, which is thrown away", told="T new tokens already")
class OneRoundMore(Search):
    def results(self, ended, opened):
        if opened:
            self.continued(opened)
        return super().results(ended, opened)


@slip("plain", "sums in half precision", told="its score is")
class Half(Search):
    def continued(self, opened):
        return [(ids, float(np.float16(total))) for ids, total in super().continued(opened)]


@slip(
    "plain",
    "the last token's probability alone is the score of a beam",
    told=r"the logarithms of its \d+ tokens sum to",
)
class LastAlone(Search):
    def continued(self, opened):
        return super().continued([(ids, 0.0) for ids, _ in opened])


@slip(
    "plain", "two slips: prompt copies, and only what has ended", told="no text comes back", advice=r"comes \d+ times"
)
class CopiesEnded(Copies, EndedAlone):
    pass


@slip("plain", "`end` may not come first: short texts are held back, as min_length does")
class NotAtOnce(Search):
    def continued(self, opened):
        return [pair for pair in super().continued(opened) if pair[0] != [self.end]]


@ANSWERS.right
def with_a_heap(step, start, width, length_power, end, T):
    """nlargest, and the model asked for one text at a time."""
    opened, done = [((), 0.0)], []
    for _ in range(T):
        news = [
            ((*ids, i), total + p) for ids, total in opened for i, p in enumerate(step([[*start, *ids]])[0].tolist())
        ]
        opened = []
        for ids, total in heapq.nlargest(width, news, key=lambda pair: pair[1]):
            (done if ids[-1] == end else opened).append((ids, total))
        if not opened:
            break
    scored = [(list(ids), total / len(ids) ** length_power) for ids, total in done + opened]
    return heapq.nlargest(width, scored, key=lambda pair: pair[1])


@ANSWERS.right
def with_topk(step, start, width, length_power, end, T):
    """Tensors of ids and sums; scores are tensors too, and ids arrays."""
    prompt = torch.tensor(start)
    ids, sums, found = torch.empty(1, 0, dtype=torch.long), torch.zeros(1, dtype=torch.float64), []
    for n in range(1, T + 1):
        if not len(ids):
            break
        rows = step(torch.cat([prompt.expand(len(ids), -1), ids], 1).tolist())
        V = rows.shape[1]
        every = (sums[:, None] + rows.double()).flatten()
        sums, at = every.topk(min(width, len(every)))
        ids = torch.cat([ids[at // V], (at % V)[:, None]], 1)
        over = (ids[:, -1] == end) | (n == T)
        found += [(row, s / n**length_power) for row, s in zip(ids[over], sums[over], strict=True)]
        ids, sums = ids[~over], sums[~over]
    return sorted(found, key=lambda pair: -pair[1])[:width]


@ANSWERS.right
def one_list(step, start, width, length_power, end, T):
    """All texts in one list, with the ended ones beside."""
    texts = [([*start], 0.0, False)]
    n = len(start)
    while any(not over for *_, over in texts) and all(len(t) - n < T for t, _, over in texts if not over):
        opened = [(t, s) for t, s, over in texts if not over]
        logs = step([t for t, _ in opened]).double().numpy()
        new = [
            ([*t, i], s + float(p), i == end)
            for (t, s), row in zip(opened, logs, strict=True)
            for i, p in enumerate(row)
        ]
        new.sort(key=lambda one: -one[1])
        texts = [one for one in texts if one[2]] + new[:width]
    texts.sort(key=lambda one: one[1] / (len(one[0]) - n) ** length_power, reverse=True)
    return [[t[n:], s / (len(t) - n) ** length_power] for t, s, _ in texts[:width]]


@ANSWERS.right
def pruned(step, start, width, length_power, end, T):
    """Only the best `width` of what has ended are kept on the way: no other can be a result."""

    def score(pair):
        return pair[1] * len(pair[0]) ** -length_power

    def deeper(opened, ended, left):
        if not left or not opened:
            best = sorted(opened + ended, key=score, reverse=True)[:width]
            return [(ids, score((ids, s))) for ids, s in best]
        rows = step([start + ids for ids, _ in opened])
        every = [([*ids, i], s + rows[b, i].item()) for b, (ids, s) in enumerate(opened) for i in range(len(rows[b]))]
        best = sorted(every, key=lambda pair: -pair[1])[:width]
        over = sorted(ended + [x for x in best if x[0][-1] == end], key=score)[-width:]
        return deeper([x for x in best if x[0][-1] != end], over, left - 1)

    return deeper([([], 0.0)], [], T)


@ANSWERS.right
@search
class ComparedByScore(Search):
    """All open texts are of one length, so scores have the order of sums."""

    def key(self, pair):
        return self.score(*pair)


# A second round.


@slip("large", "topk of a row takes `width` tokens, and a row has not so many", told="selected index k out of range")
class MoreThanThereAre(Search):
    def continued(self, opened):
        p, tokens = self.step([self.start + ids for ids, _ in opened]).topk(self.width)
        pairs = zip(opened, p.tolist(), tokens.tolist(), strict=True)
        return [([*ids, i], t + x) for (ids, t), row, those in pairs for i, x in zip(those, row, strict=True)]


@slip(
    "plain",
    "a token is appended to the beam's own list, which all its continuations share",
    advice=r"comes \d times",
    told="T new tokens already",
)
class SharedLists(Search):
    def continued(self, opened):
        rows = self.step([self.start + ids for ids, _ in opened]).tolist()
        pairs = []
        for (ids, total), row in zip(opened, rows, strict=True):
            for token, p in enumerate(row):
                ids.append(token)
                pairs.append((ids, total + p))
        return pairs


@slip("named", "`if end and ...`: the token 0 ends nothing", told="step was given a text that has ended")
class ZeroEndsNothing(Search):
    def is_over(self, ids):
        return bool(self.end) and super().is_over(ids)


@slip(
    "plain",
    "divided by a power of T",
    told=r"the logarithms of its \d+ tokens sum to",
    advice="right where length_power is 0",
)
class DividedByT(Search):
    def length(self, ids):
        return self.T


@slip("ones", "a round of one token is taken for the prompt's: texts that end at once are lost")
class EndsAtOnce(Search):
    def found(self, ended, opened):
        return [pair for pair in ended if len(pair[0]) > 1] + opened


@ANSWERS.right
@search
class BestOfEachFirst(Search):
    """At most `width` tokens of a beam can be among the best `width`."""

    def continued(self, opened):
        rows = self.step([self.start + ids for ids, _ in opened])
        p, tokens = rows.topk(min(self.width, rows.shape[1]))
        pairs = zip(opened, p.tolist(), tokens.tolist(), strict=True)
        return [([*ids, i], t + x) for (ids, t), row, those in pairs for i, x in zip(those, row, strict=True)]


# A third round.


@wrong("onward", "step is asked even when no text is open", told="step was called with no text at all")
def asks_when_none_is_open(step, start, width, length_power, end, T):
    opened, ended = [([], 0.0)], []
    for _ in range(T):
        rows = step([start + ids for ids, _ in opened]).tolist()
        longer = [([*ids, t], s + p) for (ids, s), row in zip(opened, rows, strict=True) for t, p in enumerate(row)]
        best = sorted(longer, key=lambda pair: -pair[1])[:width]
        ended += [pair for pair in best if pair[0][-1] == end]
        opened = [pair for pair in best if pair[0][-1] != end]
    scored = [(ids, s / len(ids) ** length_power) for ids, s in ended + opened]
    return sorted(scored, key=lambda pair: -pair[1])[:width]


# A seventh round.


@wrong("named", "an end in the prompt is taken for an end", told="no text comes back")
def stops_at_the_prompts_end(step, start, width, length_power, end, T):
    opened, ended = [([*start], 0.0)], []
    for _ in range(T):
        opened = [pair for pair in opened if end not in pair[0]]
        if not opened:
            break
        rows = step([ids for ids, _ in opened]).tolist()
        longer = [([*ids, t], s + p) for (ids, s), row in zip(opened, rows, strict=True) for t, p in enumerate(row)]
        opened = sorted(longer, key=lambda pair: -pair[1])[:width]
        ended += [pair for pair in opened if end in pair[0]]
    results = ended + [pair for pair in opened if end not in pair[0]]
    scored = [(ids[len(start) :], s / len(ids[len(start) :]) ** length_power) for ids, s in results]
    return sorted(scored, key=lambda pair: -pair[1])[:width]
