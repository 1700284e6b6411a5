"""words(text): the words that count when answers are compared: lower case, no punctuation, no articles."""

import string

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import some

NOUNS = [
    "tower",
    "river",
    "paris",
    "iron",
    "harbour",
    "lisbon",
    "engine",
    "comet",
    "volcano",
    "madrid",
    "opera",
    "canal",
]
WITH_ARTICLES_INSIDE = ["weather", "another", "banana", "theory", "anthem", "aria", "gather", "panama"]


def cases(g):
    a, b, c, d = some(g, NOUNS, 4)
    u, v = some(g, WITH_ARTICLES_INSIDE, 2)
    x, y = some(g, "BCDFGKLM", 2)
    texts = {
        "capitals": f"{a.title()} and {b.upper()}",
        "articles": f"the {a} in a {b} on an {c}",
        "articles with capitals": f"The {a} of {b} An {c}",
        "articles in a row": f"a the {a} an a the {b} the a",
        "articles inside other words": f"{u} for {v}",
        "articles at the ends of other words": f"bathe a panama the {a} pan on a banana {b}",
        "punctuation around words": f'"{a}," {b}; ({c})!',
        "punctuation inside words": f"{x}.{y}. {a}-{b} 18,{len(c)}50",
        "words of one character": f"{x} {a} 7 {y}",
        "every mark of string.punctuation": f"{a}{string.punctuation}{b} {string.punctuation} snake_{c}",
        "letters with accents": f"Café {a} NAÏVE Ångström São Ελλάδα",
        "marks that are not in string.punctuation": f"“{a}” – €7… ¿{b}?",
        "an article in quotes": f'"The {a}" or (a) {b}',
        "spaces of all kinds": f"  {a}\t{b}\n\n{c}   {d} ",
        "single line breaks and tabs": f"{a}\n{b}\tthe\n{c}",
        "an article beside punctuation": f"9 a.m. the-{a} {b}-a o'an",
        "words that are parts of articles": f"he {a} t n th e {b}",
        "a word twice": f"{a} to {b} to {a}",
        "nothing but an article": "The",
        "an empty text": "",
        "nothing but punctuation": "?!",
        "a long text": " ".join(f"{noun}, the {noun}_{n}." for n in range(40) for noun in (a, b, c)),
    }
    return [Case("words", label, {"text": text}) for label, text in texts.items()]


EXERCISE = Exercise(
    id="bert.words",
    title="The words that count",
    parts={"words": 1},
    minutes=8,
    difficulty="core",
    calls=("words(text) -> words: texts",),
    cases=cases,
)
