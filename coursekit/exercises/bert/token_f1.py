"""token_f1(prediction, answer): F1 of the words that both have in common; 1 where both are empty."""

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import some
from coursekit.exercises.bert.words import NOUNS


def cases(g):
    a, b, c, d, e = some(g, NOUNS, 5)
    pairs = {
        "two of three words, three of four": (f"{a} {b} {c}", f"{b} {c} {d} {e}"),
        "the prediction is longer": (f"{a} {b} {c} {d} {e}", c),
        "a word twice in the prediction": (f"{a} {a} {b}", f"{a} {c}"),
        "a word twice in both": (f"{a} {b} {a} {c}", f"{a} {a} {d}"),
        "no word in common": (f"{a} {b}", f"{c} {d} {e}"),
        "the same but for article, capitals and a comma": (f"the {a}, {b.title()} {c.upper()}", f"{a} {b} {c}"),
        "the same words in another order": (f"{a} {b} {c}", f"{c} {a} {b}"),
        "the same letters, cut into other words": (f"{a} {b} {c}", f"{a}{b} {c}"),
        "both are empty": ("", ""),
        "an empty answer": (f"{a} {b}", ""),
        "an empty prediction": ("", f"{a} {b}"),
        "nothing but an article, and an empty answer": ("an", ""),
    }
    return [Case("token F1", label, {"prediction": p, "answer": q}) for label, (p, q) in pairs.items()]


EXERCISE = Exercise(
    id="bert.token_f1",
    title="Token F1",
    parts={"token F1": 1},
    minutes=8,
    difficulty="core",
    calls=("token_f1(prediction, answer) -> token F1: number",),
    cases=cases,
)
