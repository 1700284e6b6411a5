"""Exact match as SQuAD scores it (Rajpurkar et al. 2016, section 6.1): the same words in the same order."""

from grader.contract import Trusted
from grader.steps import answers

words = answers.Words()


def reference(prediction, answer):
    return float(words(prediction) == words(answer))


class Steps:
    """Exact match in steps, so that a mistake below is written as the one in which it differs."""

    words = words

    def __call__(self, prediction, answer):
        return float(self.same(self.words(prediction), self.words(answer)))

    def same(self, p, a):
        return p == a


TRUSTED = Trusted(reference)
TRUSTED.add_slips(
    lambda words: type(words.__name__, (Steps,), {"words": words()})(),
    answers.CapitalsKept,
    answers.PunctuationKept,
    answers.ArticlesKept,
)
(wrong,) = TRUSTED.one_by_one(lambda steps: steps())


@wrong("The texts are compared as they are: compare words(prediction) with words(answer).")
class AsTheyAre(Steps):
    words = staticmethod(lambda text: text)


@wrong("Only capitals are made equal: articles and punctuation should not matter either. Use `words`.")
class OnlyLowered(Steps):
    words = staticmethod(lambda text: text.lower().strip())


def within(inner, outer):
    """Whether the words of `inner` stand side by side in `outer`; nothing stands in nothing only."""
    return f" {' '.join(inner)} " in f" {' '.join(outer)} " if inner else inner == outer


@wrong("It is enough for you that the answer lies somewhere within the prediction: they must be equal.")
class AnswerWithin(Steps):
    def same(self, p, a):
        return within(a, p)


@wrong("It is enough for you that the prediction lies somewhere within the answer: they must be equal.")
class PredictionWithin(Steps):
    def same(self, p, a):
        return within(p, a)


@wrong("Sets of words are compared: order and repetition matter.")
class Sets(Steps):
    def same(self, p, a):
        return set(p) == set(a)


@wrong("The order of the words is ignored: they must be the same list.")
class AnyOrder(Steps):
    def same(self, p, a):
        return sorted(p) == sorted(a)


@wrong("The words are joined without a space between: two words would equal the one that they make together.")
class JoinedWithoutSpaces(Steps):
    def same(self, p, a):
        return "".join(p) == "".join(a)


@wrong("It is 0 when both are empty: a question without an answer is answered rightly by saying nothing.")
class EmptyIsWrong(Steps):
    def same(self, p, a):
        return bool(p) and p == a


@wrong("It is 1 whenever the answer is empty: only an empty prediction matches it.")
class EmptyAnswerIsRight(Steps):
    def same(self, p, a):
        return not a or p == a


@wrong("Only as many words as the shorter text has are compared: the longer one may go on.")
class Zipped(Steps):
    def same(self, p, a):
        return all(one == other for one, other in zip(p, a, strict=False))


@wrong("Only the first words are compared: all of them must be the same.")
class FirstWords(Steps):
    def same(self, p, a):
        return p[:1] == a[:1]


@wrong("It is 0 even for two equal texts: == asks whether two lists hold the same, `is` whether they are one object.")
class NeverTheSame(Steps):
    def same(self, p, a):
        return False


@wrong("It is 1 where the words differ and 0 where they are the same: it should be the other way round.")
class TurnedRound(Steps):
    def same(self, p, a):
        return p != a


TRUSTED.add_alternative("in_steps", Steps())


@TRUSTED.alternative
def as_int(prediction, answer):
    return int(" ".join(words(prediction)) == " ".join(words(answer)))


@TRUSTED.alternative
def word_by_word(prediction, answer):
    p, a = words(prediction), words(answer)
    return len(p) == len(a) and all(one == other for one, other in zip(p, a, strict=True))
