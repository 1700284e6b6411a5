"""Beam search: Sutskever et al. 2014, section 3.2; a score by length: Wu et al. 2016, section 7, in its simplest form.

Of all continuations of the open texts the best `width` are kept, by the sum of log p. Those that end are put aside. At
last the best of all texts, ended or T tokens long, by sum / length^power.
"""

import heapq

import torch

from grader.contract import Trusted


def reference(step, start, width, length_power, end, T):
    opened, ended = [([], 0.0)], []
    while opened and len(opened[0][0]) < T:
        rows = step([start + ids for ids, _ in opened]).tolist()
        longer = [
            ([*ids, token], total + log_p)
            for (ids, total), row in zip(opened, rows, strict=True)
            for token, log_p in enumerate(row)
        ]
        best = sorted(longer, key=lambda text: text[1], reverse=True)[:width]
        ended += [text for text in best if text[0][-1] == end]
        opened = [text for text in best if text[0][-1] != end]
    scored = [(ids, total / len(ids) ** length_power) for ids, total in ended + opened]
    return sorted(scored, key=lambda text: text[1], reverse=True)[:width]


TRUSTED = Trusted(reference, budget="a round, what ends, when to stop and the score each go wrong by themselves")


class Search:
    """The same in steps: a mistake is written as the one in which it differs."""

    def __call__(self, step, start, width, length_power, end, T):
        self.width, self.end, self.power, self.start = width, end, length_power, start
        opened, done = self.begin(), []
        for _ in range(self.rounds(T)):
            if not opened or self.enough(done):
                break
            rows = step([start + ids for ids, _ in opened])
            groups = [
                [([*ids, token], self.added(total, log_p, len(ids))) for token, log_p in enumerate(row.tolist())]
                for (ids, total), row in zip(opened, rows, strict=True)
            ]
            opened, done = self.divided(self.kept(groups, done), done)
        scored = [(self.shown(ids), self.score(total, ids)) for ids, total in self.results(done, opened)]
        return self.ranked(scored)[:width]

    def begin(self):
        return [([], 0.0)]

    def rounds(self, T):
        return T

    def enough(self, done):
        return False

    def added(self, total, log_p, n):
        return total + log_p

    def kept(self, groups, done):
        return self.best([text for group in groups for text in group])

    def best(self, texts):
        return sorted(texts, key=lambda text: -text[1])[: self.width]

    def divided(self, kept, done):
        return [t for t in kept if not self.is_end(t)], done + [t for t in kept if self.is_end(t)]

    def is_end(self, text):
        return text[0][-1] == self.end

    def results(self, done, opened):
        return done + opened

    def shown(self, ids):
        return ids

    def score(self, total, ids):
        return total / self.length(ids) ** self.power

    def length(self, ids):
        return max(len(ids), 1)

    def ranked(self, scored):
        return sorted(scored, key=lambda text: -text[1])


(slip,) = TRUSTED.one_by_one(lambda steps: lambda *given: steps()(*given))


@slip("`step` is given texts that have ended: put those whose last token is `end` aside, and go on with the others.")
class EndedContinued(Search):
    def is_end(self, text):
        return False


@slip(
    "Texts that have ended take up room in the beam. They are put aside, and every round keeps the best `width` "
    "continuations of the open texts, however many have ended before."
)
class EndedTakeUpRoom(Search):
    def kept(self, groups, done):
        return self.best([text for group in groups for text in group] + done)

    def divided(self, kept, done):
        return super().divided(kept, [])


@slip("The search stops when the first text has ended: others that are still open may score better.")
class StopsAtTheFirstEnd(Search):
    def enough(self, done):
        return bool(done)

    def results(self, done, opened):
        return done or opened


@slip(
    "The search stops when `width` texts have ended, but those that are open may still score better: it goes on until "
    "none is open or T is reached."
)
class StopsWhenEnoughHaveEnded(Search):
    def enough(self, done):
        return len(done) >= self.width


@slip(
    "After some of the best continuations have ended, others are taken so that `width` texts stay open (libraries do). "
    "Here the best `width` of a round are those that end and those that do not, together."
)
class RefillsTheBeam(Search):
    def kept(self, groups, done):
        texts = sorted([text for group in groups for text in group], key=lambda text: -text[1])[: 2 * self.width]
        opened = [text for text in texts if not self.is_end(text)][: self.width]
        return [text for text in texts if self.is_end(text)] + opened


@slip(
    "The results are chosen by their sums, and only then get a score: compare all texts, ended and open, by their "
    "scores, and take the best `width`."
)
class ChosenBySum(Search):
    def results(self, done, opened):
        return self.best(done + opened)


@slip("Texts of T tokens that have not ended are lost: they are results like the others.")
class UnfinishedLost(Search):
    def results(self, done, opened):
        return done


@slip(
    "Each beam keeps one continuation of its own. The best `width` are looked for among all continuations of all open "
    "texts: a good text may have two heirs, and a bad one none."
)
class OneOfEachBeam(Search):
    def kept(self, groups, done):
        if len(groups) == 1:
            return super().kept(groups, done)
        return [max(group, key=lambda text: text[1]) for group in groups]


@slip("The search begins with `width` copies of the prompt, and so finds each text `width` times: begin with one.")
class StartRepeated(Search):
    def begin(self):
        return [([], 0.0)] * self.width


@slip(
    "One text comes back, where `width` are asked for. If it is the only one that is kept in each round, the search is "
    "greedy: keep the best `width` continuations."
)
class Greedy(Search):
    def best(self, texts):
        return super().best(texts)[:1]


@slip("Probabilities are added: the probability of a text is the product of its tokens', so add their logarithms.")
class ProbabilitiesAdded(Search):
    def added(self, total, log_p, n):
        return total + torch.tensor(log_p, dtype=torch.float64).exp().item()


@slip("The score is the bare sum, which gets smaller with every token: divide by length ** length_power.")
class NotNormalised(Search):
    def score(self, total, ids):
        return total


@slip(
    "The sum is divided in every round again, so that early tokens count less than late ones. Add up the logarithms "
    "alone, and divide once, for the score."
)
class DividedOnTheWay(Search):
    def added(self, total, log_p, n):
        return (total * max(n, 1) ** self.power + log_p) / (n + 1) ** (2 * self.power)

    def score(self, total, ids):
        return total


@slip("The length counts the prompt too: only the new tokens were searched for, and only they have a probability.")
class PromptCounted(Search):
    def length(self, ids):
        return len(self.start) + len(ids)


@slip("The end token is left out of the length: it was chosen like the others, and its logarithm is in the sum.")
class EndNotCounted(Search):
    def length(self, ids):
        return max(len(ids) - (ids[-1:] == [self.end]), 1)


@slip("The prompt is returned with the text: only new tokens are asked for.")
class PromptReturned(Search):
    def shown(self, ids):
        return self.start + ids


@slip("The end token is missing from the texts: those that have ended are returned with it.")
class EndRemoved(Search):
    def shown(self, ids):
        return ids[:-1] if ids[-1:] == [self.end] else ids


@slip("The results are not sorted by their scores, the best first.")
class NotSorted(Search):
    def ranked(self, scored):
        best = {id(text) for text in super().ranked(scored)[: self.width]}
        return [text for text in scored if id(text) in best]


@TRUSTED.alternative
def with_tensors(step, start, width, length_power, end, T):
    """The sums in a tensor, the best ones by topk over beams times tokens."""
    texts, sums, found = [start], 0.0, []
    for n in range(1, T + 1):
        scores = step(texts).double() + sums
        sums, places = scores.flatten().topk(min(width, scores.numel()))
        beams, tokens = places // scores.shape[1], places % scores.shape[1]
        texts = [[*texts[b], v] for b, v in zip(beams.tolist(), tokens.tolist(), strict=True)]
        ends = (tokens == end) | (n == T)
        found += [(texts[i][-n:], sums[i] / n**length_power) for i in ends.nonzero()[:, 0].tolist()]
        texts, sums = [text for text, over in zip(texts, ends.tolist(), strict=True) if not over], sums[~ends, None]
        if not texts:
            break
    found.sort(key=lambda pair: pair[1].item(), reverse=True)
    return found[:width]


@TRUSTED.alternative
def with_heaps(step, start, width, length_power, end, T):
    """One text at a time is given to step, and heaps keep the best: of a round, and of all that has ended."""
    results, opened = [], [(0.0, ())]
    for n in range(1, T + 1):
        round_ = []
        for total, ids in opened:
            for token, log_p in enumerate(step([[*start, *ids]])[0].double()):
                push = heapq.heappush if len(round_) < width else heapq.heappushpop
                push(round_, (total + log_p.item(), (*ids, token)))
        opened = []
        for total, ids in round_:
            if ids[-1] != end and n < T:
                opened.append((total, ids))
            else:
                results.append((total / n**length_power, ids))
    return [(list(ids), score) for score, ids in heapq.nlargest(width, results)]
