"""Answers to bert.token_f1."""

import re
import string
from collections import Counter

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.token_f1",
    spared={
        "given": "two strings are handed in, which nobody can alter",
        "onward": "nothing happens after which it goes on",
        "dependence": "nothing is drawn",
        "unwatched": "one number is compared",
        "far": "words are counted, and no count is far from another",
    },
)
wrong = ANSWERS.wrong


def words(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return [w for w in text.split() if w not in ("a", "an", "the")]


def f(p, a):
    return 2 * (Counter(p) & Counter(a)).total() / (len(p) + len(a)) if p or a else 1.0


@wrong("plain", "sets: a repeated word counts once", true="Sets")
def as_sets(prediction, answer):
    p, a = set(words(prediction)), set(words(answer))
    return 2 * len(p & a) / (len(p) + len(a)) if p or a else 1.0


@wrong("plain", "common words by set, lengths by list", true="CommonBySets")
def set_over_lists(prediction, answer):
    p, a = words(prediction), words(answer)
    return 2 * len({*p} & {*a}) / (len(p) + len(a)) if p or a else 1.0


@wrong(
    "plain", "every word of the prediction that occurs in the answer is common, however often", true="RepeatsArePaid"
)
def each_occurrence(prediction, answer):
    p, a = words(prediction), words(answer)
    common = sum(w in a for w in p)
    return 2 * common / (len(p) + len(a)) if p or a else 1.0


@wrong("plain", "precision alone", true="Precision")
def precision(prediction, answer):
    p, a = words(prediction), words(answer)
    return (Counter(p) & Counter(a)).total() / len(p) if p else float(p == a)


@wrong("plain", "recall alone", true="Recall")
def recall(prediction, answer):
    p, a = words(prediction), words(answer)
    return (Counter(p) & Counter(a)).total() / len(a) if a else float(p == a)


@wrong("plain", "the arithmetic mean of precision and recall", true="ArithmeticMean")
def arithmetic(prediction, answer):
    p, a = words(prediction), words(answer)
    common = (Counter(p) & Counter(a)).total()
    return (common / len(p) + common / len(a)) / 2 if p and a else float(p == a)


@wrong("plain", "the factor 2 is missing", true="Half")
def half(prediction, answer):
    return f(words(prediction), words(answer)) / 2


@wrong("plain", "intersection over union", true="Jaccard")
def jaccard(prediction, answer):
    p, a = Counter(words(prediction)), Counter(words(answer))
    return (p & a).total() / (p | a).total() if p or a else 1.0


@wrong("plain", "F1 of the letters", true="Letters")
def of_letters(prediction, answer):
    return f("".join(words(prediction)), "".join(words(answer)))


@wrong("ones", "two texts without words divide by 0", told="both are empty: line")
def both_empty(prediction, answer):
    p, a = words(prediction), words(answer)
    return 2 * (Counter(p) & Counter(a)).total() / (len(p) + len(a))


@wrong("ones", "two texts without words give 0", true="EmptyIsWrong")
def both_empty_are_wrong(prediction, answer):
    p, a = words(prediction), words(answer)
    common = (Counter(p) & Counter(a)).total()
    return 2 * common / (len(p) + len(a)) if common else 0.0


@wrong("ones", "nothing in common is 0 / 0 by precision and recall", true="ErrorWithoutCommon")
def nothing_common(prediction, answer):
    p, a = words(prediction), words(answer)
    if not p or not a:
        return float(p == a)
    common = (Counter(p) & Counter(a)).total()
    P, R = common / len(p), common / len(a)
    return 2 * P * R / (P + R)


@wrong("named", "emptiness is asked of the texts, not of their words", true="RawTextsEmpty")
def empty_texts(prediction, answer):
    if not prediction or not answer:
        return float(prediction == answer)
    return f(words(prediction), words(answer)) if words(prediction) else 0.0


@wrong("named", "underscores stay: \\w takes them for letters", told="but for an underscore")
def by_word_characters(prediction, answer):
    def own(text):
        return [w for w in re.sub(r"[^\w\s]", "", text.lower()).split() if w not in ("a", "an", "the")]

    return f(own(prediction), own(answer))


@wrong("named", "articles go before punctuation does", told="article in quotes")
def articles_first(prediction, answer):
    def own(text):
        kept = " ".join(w for w in text.lower().split() if w not in ("a", "an", "the"))
        return "".join(c for c in kept if c not in string.punctuation).split()

    return f(own(prediction), own(answer))


@wrong("named", "plain split: capitals, punctuation and articles count", true="RawTexts")
def split_alone(prediction, answer):
    return f(prediction.split(), answer.split())


@wrong("large", "the first ten words of each", told="many words")
def ten_words(prediction, answer):
    return f(words(prediction)[:10], words(answer)[:10])


COUNTS = Counter()


@wrong("again", "a counter outside of the function is filled and never emptied", told="keeps something from one call")
def one_counter(prediction, answer):
    p, a = words(prediction), words(answer)
    COUNTS.update(a)
    return 2 * (Counter(p) & COUNTS).total() / (len(p) + len(a)) if p or a else 1.0


@wrong("surroundings", "the seed is set, out of habit", told="sets the seed")
def sets_the_seed(prediction, answer):
    torch.manual_seed(0)
    return f(words(prediction), words(answer))


@wrong("plain", "two slips: sets, and precision alone", true="Precision")
def set_precision(prediction, answer):
    p, a = {*words(prediction)}, {*words(answer)}
    return len(p & a) / len(p) if p else float(p == a)


@ANSWERS.right
def official_script(prediction, answer):
    """SQuAD 2.0's own compute_f1."""
    gold, pred = words(answer), words(prediction)
    num_same = sum((Counter(gold) & Counter(pred)).values())
    if len(gold) == 0 or len(pred) == 0:
        return int(gold == pred)
    if num_same == 0:
        return 0
    precision, recall = 1.0 * num_same / len(pred), 1.0 * num_same / len(gold)
    return (2 * precision * recall) / (precision + recall)


@ANSWERS.right
def taking_away(prediction, answer):
    p, left = words(prediction), words(answer)
    n, common = len(p) + len(left), 0
    for w in p:
        if w in left:
            left.remove(w)
            common += 1
    return torch.tensor(2 * common / n if n else 1.0, dtype=torch.float64)


@ANSWERS.right
def by_smaller_counts(prediction, answer):
    p, a = words(prediction), words(answer)
    if p == a:
        return True
    return 2 * sum(min(p.count(w), a.count(w)) for w in {*p}) / (len(p) + len(a))


# A second round.


@wrong("plain", "the geometric mean of precision and recall")
def geometric(prediction, answer):
    p, a = words(prediction), words(answer)
    common = (Counter(p) & Counter(a)).total()
    return (common / len(p) * common / len(a)) ** 0.5 if p and a else float(p == a)


@wrong("plain", "words at the same place only", told="in another order|")
def by_place(prediction, answer):
    p, a = words(prediction), words(answer)
    return 2 * sum(x == y for x, y in zip(p, a, strict=False)) / (len(p) + len(a)) if p or a else 1.0


@wrong("plain", "the larger count of each word: union in place of intersection")
def union(prediction, answer):
    p, a = words(prediction), words(answer)
    return 2 * (Counter(p) | Counter(a)).total() / (len(p) + len(a)) if p or a else 1.0


@wrong("plain", "1 where one of both is empty", true="EmptyAnswerIsRight")
def one_empty(prediction, answer):
    p, a = words(prediction), words(answer)
    return f(p, a) if p and a else 1.0


@ANSWERS.right
def sorted_lists(prediction, answer):
    p, a = sorted(words(prediction)), sorted(words(answer))
    n, i, j, common = len(p) + len(a), 0, 0, 0
    while i < len(p) and j < len(a):
        common += p[i] == a[j]
        i, j = i + (p[i] <= a[j]), j + (a[j] <= p[i])
    return common / (n / 2) if n else 1
