"""Answers to bert.words."""

import re
import string

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.words",
    spared={
        "given": "a string cannot be altered",
        "onward": "there is no event: a text comes, a list goes",
        "far": "there are no numbers",
        "dependence": "nothing is drawn",
        "surroundings": "a string has no surroundings, and none of the usual ways touches the process",
        "unwatched": "nothing is watched but the result",
    },
)
ARTICLES = {"a", "an", "the"}


@ANSWERS.wrong(
    "named",
    "what is no letter, digit or underscore goes: other marks are lost, the underscore stays",
    true="NotWordCharacters",
)
def not_word_or_space(text):
    return [w for w in re.sub(r"[^\w\s]", "", text.lower()).split() if w not in ARTICLES]


@ANSWERS.wrong(
    "named",
    "isalnum deletes dashes, quotes and currencies that are not in string.punctuation",
    true="OnlyLettersAndDigits",
)
def alphanumeric(text):
    kept = "".join(c for c in text.lower() if c.isalnum() or c.isspace())
    return [w for w in kept.split() if w not in ARTICLES]


@ANSWERS.wrong("named", "articles go before punctuation: one in quotes stays", true="ArticlesBeforePunctuation")
def articles_first(text):
    found = [w for w in text.lower().split() if w not in ARTICLES]
    return "".join(c for c in " ".join(found) if c not in string.punctuation).split()


@ANSWERS.wrong("plain", "words are stripped of punctuation at their ends only", true="PunctuationStripped")
def stripped(text):
    found = [w.strip(string.punctuation) for w in text.lower().split()]
    return [w for w in found if w and w not in ARTICLES]


@ANSWERS.wrong("plain", "punctuation becomes a space: one word becomes two", true="SplitAtPunctuation")
def to_spaces(text):
    table = str.maketrans(string.punctuation, " " * len(string.punctuation))
    return [w for w in text.lower().translate(table).split() if w not in ARTICLES]


@ANSWERS.wrong(
    "plain", "split(' ') gives empty words, and keeps tabs and line breaks inside of words", true="SplitAtOneSpace"
)
def at_single_spaces(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return [w for w in kept.split(" ") if w not in ARTICLES]


@ANSWERS.wrong(
    "named",
    "split(' ') without empty words: tabs and line breaks stay inside of words",
    told=r"is \['tower\\n",
)
def at_spaces_alone(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return [w for w in kept.split(" ") if w and w not in ARTICLES]


@ANSWERS.wrong(
    "named",
    "removes from the list that it walks through: of two articles in a row one stays",
    true="RemovedWhileWalking",
)
def removed_while_walking(text):
    found = "".join(c for c in text.lower() if c not in string.punctuation).split()
    for w in found:
        if w in ARTICLES:
            found.remove(w)
    return found


@ANSWERS.wrong(
    "named",
    "articles are cut out of the text with the space behind them: ends of words go too",
    told=r"expected \['bathe', 'panama'",
)
def cut_with_space(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    for article in ("the ", "an ", "a "):
        kept = kept.replace(article, "")
    return kept.split()


@ANSWERS.wrong(
    "named", "an article needs a space on both sides: at the beginning and the end it stays", told=r"words is \['the"
)
def between_spaces(text):
    kept = " ".join("".join(c for c in text.lower() if c not in string.punctuation).split())
    for article in (" the ", " an ", " a "):
        kept = kept.replace(article, " ")
    return kept.split()


@ANSWERS.wrong(
    "named", "only letters a to z and digits make a word: accents cut it", told=r"is \['caf'.*expected \['café'"
)
def ascii_words(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return [w for w in re.findall(r"[a-z0-9]+", kept) if w not in ARTICLES]


@ANSWERS.wrong("named", "encodes to ASCII and drops the rest", true="AsciiOnly")
def ascii_text(text):
    plain = text.lower().encode("ascii", "ignore").decode()
    return [w for w in plain.translate(str.maketrans("", "", string.punctuation)).split() if w not in ARTICLES]


@ANSWERS.wrong(
    "again",
    "the list of the first call goes on growing (a default argument)",
    told=r"keeps something from one call to the next",
)
def growing(text, found=[]):  # noqa: B006  # the slip
    for w in "".join(c for c in text.lower() if c not in string.punctuation).split():
        if w not in ARTICLES:
            found.append(w)
    return found


@ANSWERS.wrong(
    "ones",
    "words of one character are dropped with the article",
    told=r"words of one character: words is \['\w+'\], expected",
)
def longer_than_one(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return [w for w in kept.split() if len(w) > 1 and w not in ARTICLES]


@ANSWERS.wrong("large", "every mark is deleted once only", told=r"punctuation around words: words is")
def once(text):
    for mark in string.punctuation:
        text = text.replace(mark, "", 1)
    return [w for w in text.lower().split() if w not in ARTICLES]


@ANSWERS.wrong("plain", "the items of a set, sorted: order and repetitions are lost", true="Sorted")
def as_set(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return sorted(set(kept.split()) - ARTICLES)


@ANSWERS.wrong("plain", "no lower case, and articles stay when they are capitalised", true="CapitalsKept")
def case_kept(text):
    kept = "".join(c for c in text if c not in string.punctuation)
    return [w for w in kept.split() if w not in ARTICLES]


@ANSWERS.wrong("plain", "the text is joined again: one string", true="Joined")
def joined(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(w for w in kept.split() if w not in ARTICLES)


@ANSWERS.wrong("named", "`not in` a string asks for a part of it: he and t are dropped too", told=r"expected \['he'")
def parts_of_a_string(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return [w for w in kept.split() if w not in "a an the"]


@ANSWERS.wrong(
    "named", "articles are cut out at word borders before punctuation goes: a.m. loses its a", told=r"'9', 'm'"
)
def word_borders_first(text):
    kept = re.sub(r"\b(a|an|the)\b", " ", text.lower())
    return "".join(c for c in kept if c not in string.punctuation).split()


@ANSWERS.wrong(
    "plain", "drops other frequent words too", told=r"capitals: words is \['\w+', '\w+'\], expected \['\w+', 'and'"
)
def stop_words(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return [w for w in kept.split() if w not in ARTICLES | {"and", "of", "in", "on", "for", "to"}]


@ANSWERS.wrong("plain", "digits go with the punctuation", told=r"expected \[.*'18")
def without_digits(text):
    kept = "".join(c for c in text.lower() if c not in string.punctuation + string.digits)
    return [w for w in kept.split() if w not in ARTICLES]


@ANSWERS.right
def squad(text):
    """The official script of SQuAD."""
    exclude = set(string.punctuation)
    text = "".join(ch for ch in text.lower() if ch not in exclude)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split()).split()


@ANSWERS.right
def by_table(text):
    table = {ord(mark): None for mark in string.punctuation}
    return tuple(filter(lambda w: w not in ("a", "an", "the"), text.translate(table).lower().split()))


@ANSWERS.right
def word_by_word(text):
    found = []
    for word in text.split():
        word = re.sub("[" + re.escape(string.punctuation) + "]+", "", word).lower()
        if word and word not in ["the", "an", "a"]:
            found.append(word)
    return found


@ANSWERS.right
def letter_by_letter(text):
    found, current = [], ""
    for c in text + " ":
        if c.isspace():
            found += [current] if current not in ("", "a", "an", "the") else []
            current = ""
        elif c not in string.punctuation:
            current += c.lower()
    return found


@ANSWERS.right
def split_by_regex(text):
    kept = re.sub(rf"[{re.escape(string.punctuation)}]", "", text).lower()
    return list(filter(lambda w: w and w not in frozenset(("a", "an", "the")), re.split(r"\s+", kept)))
