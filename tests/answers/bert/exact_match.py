"""Answers to bert.exact_match."""

import re
import string
import unicodedata
from collections import Counter

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.exact_match",
    spared={
        "given": "two strings are handed in, which nobody can alter",
        "onward": "nothing happens after which it goes on",
        "dependence": "nothing is drawn",
        "unwatched": "one number is compared",
        "far": "words are equal or not",
    },
)
wrong = ANSWERS.wrong


def words(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return [w for w in text.split() if w not in ("a", "an", "the")]


@wrong("plain", "the texts as they are", true="AsTheyAre")
def as_they_are(prediction, answer):
    return float(prediction == answer)


@wrong("plain", "sets of words", true="Sets")
def as_sets(prediction, answer):
    return float(set(words(prediction)) == set(words(answer)))


@wrong("plain", "counts of words, in any order", true="AnyOrder")
def as_counts(prediction, answer):
    return float(Counter(words(prediction)) == Counter(words(answer)))


@wrong("plain", "the answer is somewhere in the prediction", true="AnswerWithin")
def contained(prediction, answer):
    return float(" ".join(words(answer)) in " ".join(words(prediction)))


@wrong("plain", "only as many words as the shorter one has are compared", true="Zipped")
def zipped(prediction, answer):
    return float(all(p == a for p, a in zip(words(prediction), words(answer), strict=False)))


@wrong("ones", "two texts without words do not match", true="EmptyIsWrong")
def empty_is_wrong(prediction, answer):
    p, a = words(prediction), words(answer)
    return float(bool(p) and p == a)


@wrong("ones", "only the first words are compared", true="FirstWords")
def first_words(prediction, answer):
    return float(words(prediction)[:1] == words(answer)[:1])


@wrong("named", "underscores stay: \\w takes them for letters", told="but for an underscore")
def by_word_characters(prediction, answer):
    def own(text):
        return [w for w in re.sub(r"[^\w\s]", "", text.lower()).split() if w not in ("a", "an", "the")]

    return float(own(prediction) == own(answer))


@wrong("named", "articles go before punctuation does: '\"The' keeps its article", told="article in quotes")
def articles_first(prediction, answer):
    def own(text):
        kept = " ".join(w for w in text.lower().split() if w not in ("a", "an", "the"))
        return "".join(c for c in kept if c not in string.punctuation).split()

    return float(own(prediction) == own(answer))


@wrong(
    "named",
    "letters that are not ASCII are thrown away with the punctuation",
    told="a dash that string.punctuation has not|not ASCII",
)
def ascii_only(prediction, answer):
    def own(text):
        return [w for w in re.sub(r"[^a-z0-9\s]", "", text.lower()).split() if w not in ("a", "an", "the")]

    return float(own(prediction) == own(answer))


@wrong("named", "accents are taken off, as BERT's tokenizer does", told="but for an accent")
def without_accents(prediction, answer):
    def own(text):
        return words("".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn"))

    return float(own(prediction) == own(answer))


@wrong("named", "a hyphen becomes a space", told="a hyphen in place of a space")
def hyphens_split(prediction, answer):
    return float(words(prediction.replace("-", " ")) == words(answer.replace("-", " ")))


@wrong("named", "the words are joined without spaces", true="JoinedWithoutSpaces")
def joined(prediction, answer):
    return float("".join(words(prediction)) == "".join(words(answer)))


@wrong("large", "the first twenty words are compared", told="many words, the last")
def twenty_words(prediction, answer):
    return float(words(prediction)[:20] == words(answer)[:20])


KNOWN = {}


@wrong("again", "the words of an answer are remembered by the answer's length", told="another number|in another order")
def remembers(prediction, answer):
    a = KNOWN.setdefault(len(answer), words(answer))
    return float(words(prediction) == a)


@wrong("surroundings", "the seed is set, out of habit", told="sets the seed")
def sets_the_seed(prediction, answer):
    torch.manual_seed(0)
    return float(words(prediction) == words(answer))


@wrong("plain", "1 where they differ", true="TurnedRound")
def turned_round(prediction, answer):
    return float(words(prediction) != words(answer))


@wrong("plain", "a share of the words, as for token F1", told="another word: exact match differs")
def a_share(prediction, answer):
    p, a = words(prediction), words(answer)
    return 2 * (Counter(p) & Counter(a)).total() / (len(p) + len(a)) if p or a else 1.0


@wrong("plain", "two slips: sets, and the answer need only be part of it")
def subset(prediction, answer):
    return float(set(words(answer)) <= set(words(prediction)))


@ANSWERS.right
def a_boolean(prediction, answer):
    return words(prediction) == words(answer)


@ANSWERS.right
def joined_with_spaces(prediction, answer):
    return int(" ".join(words(prediction)) == " ".join(words(answer)))


@ANSWERS.right
def official_script(a_pred, a_gold):
    """SQuAD's own: punctuation, articles by a regular expression, white space."""

    def normalize_answer(s):
        s = "".join(ch for ch in s.lower() if ch not in set(string.punctuation))
        return " ".join(re.sub(r"\b(a|an|the)\b", " ", s).split())

    return float(normalize_answer(a_pred) == normalize_answer(a_gold))


@ANSWERS.right
def word_by_word(prediction, answer):
    p, a = words(prediction), words(answer)
    return torch.tensor(1.0 if len(p) == len(a) and all(x == y for x, y in zip(p, a, strict=True)) else 0.0)


# A second round.


@wrong("named", "the words are sorted by length, to be sure", told="another order")
def sorted_by_length(prediction, answer):
    return float(sorted(words(prediction), key=len) == sorted(words(answer), key=len))


@wrong("plain", "the same number of words", told="another word: exact match differs")
def same_number(prediction, answer):
    return float(len(words(prediction)) == len(words(answer)))


@wrong("plain", "identity in place of equality: two lists are never the same object", true="NeverTheSame")
def identity(prediction, answer):
    return float(words(prediction) is words(answer))


@wrong("plain", "the words themselves are returned", told="returned a tuple of 2")
def returns_words(prediction, answer):
    return words(prediction), words(answer)


@ANSWERS.right
def by_enumerating(prediction, answer):
    p, a = words(prediction), words(answer)
    return 1.0 * (set(enumerate(p)) == set(enumerate(a)))
