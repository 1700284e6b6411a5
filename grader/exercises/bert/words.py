"""The words of an answer, with the normalisation of SQuAD's official script (Rajpurkar et al. 2016, section 6.1)."""

import re
import string

from grader.contract import Trusted
from grader.steps import answers
from grader.steps.answers import ARTICLES, Words


def reference(text):
    letters = "".join(c for c in text.lower() if c not in string.punctuation)
    return [word for word in letters.split() if word not in ARTICLES]


TRUSTED = Trusted(reference, budget="four ways to delete too much or too little, beside thirteen slips in other steps")
TRUSTED.add_slips(
    lambda words: words().__call__,
    answers.CapitalsKept,
    answers.PunctuationKept,
    answers.ArticlesKept,
    answers.PunctuationStripped,
    answers.SplitAtPunctuation,
)
(wrong,) = TRUSTED.one_by_one(lambda words: words().__call__)


@wrong("Only 'the' is dropped: a and an are articles too.")
class OnlyThe(Words):
    def chosen(self, words):
        return [word for word in words if word != "the"]


@wrong(
    "The letters of articles are deleted inside other words too, so that 'weather' becomes 'wear': drop whole words."
)
class LettersOfArticles(Words):
    def split(self, text):
        for article in ("the", "an", "a"):
            text = text.replace(article, "")
        return text.split()


@wrong("Articles are looked for before the letters are lowered: 'The' stays as 'the'.")
class ArticlesBeforeLower(Words):
    def lower(self, text):
        return " ".join(self.chosen(text.split())).lower()

    def __call__(self, text):
        return self.plain(self.lower(text)).split()


@wrong(
    "Articles are dropped before punctuation is gone: in '\"The' the quotation mark still hides one. Delete "
    "punctuation first."
)
class ArticlesBeforePunctuation(Words):
    def __call__(self, text):
        return self.plain(" ".join(self.chosen(text.lower().split()))).split()


@wrong(
    "The text is split at every single space, so that two spaces leave an empty word between them, and tabs and line "
    "breaks stay: split() without an argument splits at any white space."
)
class SplitAtOneSpace(Words):
    def split(self, text):
        return text.split(" ")


@wrong("Every word is given once: token F1 counts how often a word occurs, so keep them all, in order.")
class Once(Words):
    def chosen(self, words):
        return list(dict.fromkeys(super().chosen(words)))


@wrong("The words are sorted: their order matters for exact match.")
class Sorted(Words):
    def chosen(self, words):
        return sorted(super().chosen(words))


@wrong("The words are joined into one text again: a list of words is asked for.")
class Joined(Words):
    def chosen(self, words):
        return " ".join(super().chosen(words))


@wrong(
    "The loop removes words from the list that it walks through, and so skips the word behind each: of two articles in "
    "a row the second stays. Make a new list."
)
class RemovedWhileWalking(Words):
    def chosen(self, words):
        for word in words:
            if word in ARTICLES:
                words.remove(word)
        return words


@wrong(
    "What is no letter, digit or underscore is deleted: string.punctuation holds the underscore, and does not hold "
    "marks such as the dash –, the euro sign and curly quotes."
)
class NotWordCharacters(Words):
    def plain(self, text):
        return re.sub(r"[^\w\s]", "", text)


@wrong(
    "Only letters, digits and white space stay: marks that string.punctuation does not hold, such as the dash –, the "
    "euro sign and curly quotes, stay too."
)
class OnlyLettersAndDigits(Words):
    def plain(self, text):
        return "".join(c for c in text if c.isalnum() or c.isspace())


@wrong("Characters outside of ASCII are lost: letters with accents are letters, and stay.")
class AsciiOnly(Words):
    def plain(self, text):
        return super().plain(text).encode("ascii", "ignore").decode()


TRUSTED.add_alternative("in_steps", Words())


@TRUSTED.alternative
def by_the_script(text):
    """In the steps of SQuAD's evaluate-v2.0.py."""
    text = "".join(ch for ch in text.lower() if ch not in set(string.punctuation))
    return re.sub(re.compile(r"\b(a|an|the)\b", re.UNICODE), " ", text).split()


@TRUSTED.alternative
def translated(text):
    plain = text.lower().translate(str.maketrans("", "", string.punctuation))
    return [word for word in plain.split() if word not in ("a", "an", "the")]
