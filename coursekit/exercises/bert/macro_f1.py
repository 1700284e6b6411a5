"""macro_f1(predictions, labels): the mean of F over the classes that occur among predictions or labels."""

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import some

IGNORED = -100
# Fourteen classes, each with another F: of the k-th, k + 1 are right, and one is taken for the next class.
MANY = " ".join(f"{c}{c} " * (k + 1) + chr(ord(c) + 1) + c for k, c in enumerate("abcdefghijklmn"))


def cases(g):
    def case(label, rows, names=9):
        """Columns 'predicted true' in any order; letters stand for classes, '.' for a token without a label."""
        pairs = some(g, rows.split(), len(rows.split()))
        letters = sorted({*rows} - {".", " "})
        numbers = dict(zip(letters, some(g, range(names), len(letters)), strict=True)) | {".": IGNORED}
        predictions, labels = (torch.tensor([numbers[c] for c in side]) for side in zip(*pairs, strict=True))
        return Case("macro F1", label, {"predictions": predictions, "labels": labels})

    return [
        case("three classes, a rare one", "aa aa aa aa ba ca bb bb ab cc ac"),
        case("two classes, numbers far apart", "aa aa aa ba bb ab bb bb bb bb"),
        case("a class that is never predicted", "aa aa ba bb bb bb ac bc"),
        case("a class that is only predicted", "aa aa ba bb bb cb ca"),
        case("some places without a label", "aa aa ba bb ab bb a. c. c. b. d."),
        case("nothing is right", "ab ba ca ab"),
        case("everything is right", "aa aa bb cc cc cc"),
        case("no label at all", "a. b. a."),
        case("one place", "aa"),
        case("one place with a label", "aa b. a."),
        case("many classes", MANY, names=60),
    ]


EXERCISE = Exercise(
    id="bert.macro_f1",
    title="Mend macro F1",
    parts={"macro F1": 1},
    minutes=10,
    difficulty="core",
    importance=2,
    calls=("macro_f1(predictions, labels) -> macro F1: number",),
    cases=cases,
)
