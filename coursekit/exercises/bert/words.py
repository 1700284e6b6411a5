"""words(text): the words that count when answers are compared: lower case, no punctuation, no articles."""

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
        "articles inside other words": f"{u} for {v}",
        "punctuation around words": f'"{a}," {b}; ({c})!',
        "punctuation inside words": f"{x}.{y}. {a}-{b} 18,{len(c)}50",
        "an article in quotes": f'"The {a}" or (a) {b}',
        "spaces of all kinds": f"  {a}\t{b}\n\n{c}   {d} ",
        "words of one character": f"{x} {a} 7 {y}",
        "a word twice": f"{a} to {b} to {a}",
        "nothing but an article": "The",
        "an empty text": "",
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
