"""exact_match(prediction, answer): 1 where both have the same words in the same order, else 0."""

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import some
from coursekit.exercises.bert.words import NOUNS


def cases(g):
    a, b, c = some(g, NOUNS, 3)
    pairs = {
        "the same but for article, capitals and a full stop": (f"The {a} {b}.", f"{a.title()} {b}"),
        "the same but for capitals": (f"{c.title()} {a}", f"{c} {a.upper()}"),
        "the same but for an article": (f"{a} and the {b}", f"{a} and {b}"),
        "the same but for punctuation": (f"{a}, {c}!", f"{a} {c}"),
        "another word": (f"{a} {b}", f"{a} {c}"),
        "the same words in another order": (f"{a} {b}", f"{b} {a}"),
        "the prediction lies within the answer": (a, f"{a} {b}"),
        "the answer lies within the prediction": (f"{a} {b}", b),
        "the same letters, cut into other words": (f"{a} {b}", f"{a}{b}"),
        "a word twice in the prediction": (f"{a} {b} {a}", f"{a} {b}"),
        "both are empty": ("", ""),
        "an empty answer": (a, ""),
        "an empty prediction": ("", a),
        "nothing but an article, and an empty answer": ("the", ""),
    }
    return [Case("exact match", label, {"prediction": p, "answer": q}) for label, (p, q) in pairs.items()]


EXERCISE = Exercise(
    id="bert.exact_match",
    title="Exact match",
    parts={"exact match": 1},
    minutes=4,
    difficulty="core",
    calls=("exact_match(prediction, answer) -> exact match: number",),
    cases=cases,
)
