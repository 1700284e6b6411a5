"""Token F1 as SQuAD scores it: F1 of the words in common, each as often as it occurs in both.

Rajpurkar et al. 2016, section 6.1; an empty answer matches an empty prediction only (Rajpurkar et al. 2018).
"""

from collections import Counter

from grader.contract import Trusted
from grader.steps import answers

words = answers.Words()


def reference(prediction, answer):
    p, a = words(prediction), words(answer)
    if not p or not a:
        return float(p == a)
    common = sum(min(p.count(word), a.count(word)) for word in {*p})
    P, R = common / len(p), common / len(a)
    return 2 * P * R / (P + R) if common else 0.0


class Steps:
    """Token F1 in steps, so that a mistake below is written as the one in which it differs."""

    words = words

    def __call__(self, prediction, answer):
        return self.f1(self.words(prediction), self.words(answer))

    def f1(self, p, a):
        return self.score(self.common(p, a), len(p), len(a)) if p and a else self.without_words(p, a)

    def without_words(self, p, a):
        return float(p == a)

    def common(self, p, a):
        return (Counter(p) & Counter(a)).total()

    def score(self, common, n, m):
        return 2 * common / (n + m)


TRUSTED = Trusted(reference, budget="the words, what is common and how it is counted go wrong independently")
TRUSTED.add_slips(
    lambda words: type(words.__name__, (Steps,), {"words": words()})(),
    answers.CapitalsKept,
    answers.PunctuationKept,
    answers.ArticlesKept,
)
(wrong,) = TRUSTED.one_by_one(lambda steps: steps())


@wrong("The raw texts are split: capitals, articles and punctuation should not matter. Use `words`.")
class RawTexts(Steps):
    words = staticmethod(str.split)


@wrong("Letters are compared: the tokens are the words of `words`.")
class Letters(Steps):
    def f1(self, p, a):
        return super().f1("".join(p), "".join(a))


@wrong(
    "You work on sets, so a word that stands twice counts once: use a multiset, collections.Counter, whose & takes the "
    "smaller count of each word."
)
class Sets(Steps):
    def f1(self, p, a):
        return super().f1(set(p), set(a))


@wrong(
    "Every word of the prediction that occurs in the answer counts, however often: repeating one right word would be "
    "paid again and again. A word is common as often as it occurs in both."
)
class RepeatsArePaid(Steps):
    def common(self, p, a):
        return sum(word in a for word in p)


@wrong("It is 0 when both are empty: then the prediction is right, and F1 is 1.")
class EmptyIsWrong(Steps):
    def without_words(self, p, a):
        return 0.0


@wrong("It is 1 whenever the answer is empty: only an empty prediction is right then.")
class EmptyAnswerIsRight(Steps):
    def without_words(self, p, a):
        return float(not a)


@wrong("You ask whether the raw texts are empty: 'the' has no words that count. Ask after `words`.")
class RawTextsEmpty(Steps):
    def __call__(self, prediction, answer):
        return super().__call__(prediction, answer) if prediction and answer else float(prediction == answer)


@wrong("You divide by 0 where there is no word at all. With both empty F1 is 1, with one empty it is 0.")
class ErrorOnEmpty(Steps):
    def without_words(self, p, a):
        return self.common(p, a) / min(len(p), len(a))


@wrong("You divide by 0 where no word is common: precision and recall are both 0. Give 0 there.")
class ErrorWithoutCommon(Steps):
    def score(self, common, n, m):
        P, R = common / n, common / m
        return 2 * P * R / (P + R)


@wrong("This is precision, the share of the prediction that is right: recall is missing.")
class Precision(Steps):
    def score(self, common, n, m):
        return common / n


@wrong("This is recall, the share of the answer that was found: precision is missing.")
class Recall(Steps):
    def score(self, common, n, m):
        return common / m


@wrong("This is the ordinary mean of precision and recall: F1 is the harmonic one, 2 P R / (P + R).")
class ArithmeticMean(Steps):
    def score(self, common, n, m):
        return (common / n + common / m) / 2


@wrong("These are common words over all words (Jaccard): F1 counts the common ones twice.")
class Jaccard(Steps):
    def score(self, common, n, m):
        return common / (n + m - common)


@wrong(
    "Common words are counted by sets: a word that stands twice in both texts is common twice. Use a multiset, "
    "collections.Counter."
)
class CommonBySets(Steps):
    def common(self, p, a):
        return len({*p} & {*a})


@wrong("Half of what it should be: common words count twice, 2 common / (words of the one + words of the other).")
class Half(Steps):
    def __call__(self, prediction, answer):
        return super().__call__(prediction, answer) / 2


TRUSTED.add_alternative("in_steps", Steps())


@TRUSTED.alternative
def counted(prediction, answer):
    """In the steps of SQuAD's evaluate-v2.0.py."""
    p, a = words(prediction), words(answer)
    same = sum((Counter(p) & Counter(a)).values())
    if len(p) == 0 or len(a) == 0:
        return int(p == a)
    if same == 0:
        return 0
    precision, recall = 1.0 * same / len(p), 1.0 * same / len(a)
    return (2 * precision * recall) / (precision + recall)


@TRUSTED.alternative
def by_removal(prediction, answer):
    p, a = words(prediction), words(answer)
    if not p and not a:
        return 1.0
    rest, common = list(a), 0
    for word in p:
        if word in rest:
            rest.remove(word)
            common += 1
    return 2 * common / (len(p) + len(a))
