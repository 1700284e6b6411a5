"""The words of an answer in steps, as SQuAD's official script makes them (Rajpurkar et al. 2016, section 6.1)."""

from __future__ import annotations

import string

from grader.steps import slip

ARTICLES = {"a", "an", "the"}


class Words:
    """The words of a text that count: in lower case, without punctuation, without articles."""

    def __call__(self, text: str) -> list[str]:
        return self.chosen(self.split(self.plain(self.lower(text))))

    def lower(self, text: str) -> str:
        return text.lower()

    def plain(self, text: str) -> str:
        return "".join(c for c in text if c not in string.punctuation)

    def split(self, text: str) -> list[str]:
        return text.split()

    def chosen(self, words: list[str]) -> list[str]:
        return [word for word in words if word not in ARTICLES]


@slip("Capitals are kept: Paris and paris would be two words. Use lower().")
class CapitalsKept(Words):
    def lower(self, text):
        return text


@slip("Punctuation is kept: 'Paris.' would not match 'Paris'.")
class PunctuationKept(Words):
    def plain(self, text):
        return text


@slip("The articles a, an and the are kept: 'the Danube' would not match 'Danube'.")
class ArticlesKept(Words):
    def chosen(self, words):
        return words


@slip(
    "Punctuation is taken off the ends of a word only: delete it inside as well, so that U.S. and US are the same word."
)
class PunctuationStripped(Words):
    def plain(self, text):
        return " ".join(word.strip(string.punctuation) for word in text.split())


@slip(
    "A space is put where punctuation was, or the text is split there: delete it, so that U.S. becomes us, as in the "
    "official script."
)
class SplitAtPunctuation(Words):
    def plain(self, text):
        return text.translate(dict.fromkeys(map(ord, string.punctuation), " "))
