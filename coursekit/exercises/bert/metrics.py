"""accuracy, macro_f1, words, exact_match, token_f1: five numbers that say how good a model is."""

import difflib

import torch
import torch.nn.functional as F

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal, scattered
from coursekit.checking.probing import Wrong, number

IGNORED = -100
LONGEST = 80  # characters of a list of words that are compared
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
    "glacier",
    "lantern",
    "copper",
]
WITH_ARTICLES_INSIDE = ["weather", "another", "banana", "theory", "anthem", "aria", "gather", "panama"]


def cases(g):
    def some(values, n):
        return [values[i] for i in torch.randperm(len(values), generator=g)[:n].tolist()]

    def logits_for(predictions, C, dtype=torch.float32):
        """Small numbers with a large one where the prediction is."""
        p = torch.tensor(predictions)
        return 0.3 * normal(g, *p.shape, C, dtype=dtype) + 4 * F.one_hot(p, C).to(dtype)

    def accuracy(label, logits, labels):
        inputs = {"logits": logits, "labels": torch.tensor(labels)}
        return Case("accuracy", label, inputs)

    def macro(label, rows, names=9):
        """Columns 'predicted true' in any order; letters stand for classes, '.' for a token without a label."""
        pairs = some(rows.split(), len(rows.split()))
        letters = sorted({c for pair in pairs for c in pair} - {"."})
        numbers = dict(zip(letters, some(range(names), len(letters)), strict=True)) | {".": IGNORED}
        columns = torch.tensor([[numbers[c] for c in pair] for pair in pairs])
        return Case("macro F1", label, {"predictions": columns[:, 0], "labels": columns[:, 1]})

    def text(label, text):
        return Case("words", label, {"text": text})

    def pair(part, label, prediction, answer):
        return Case(part, label, {"metric": part, "prediction": prediction, "answer": answer})

    def exact(label, prediction, answer):
        return pair("exact match", label, prediction, answer)

    def token(label, prediction, answer):
        return pair("token F1", label, prediction, answer)

    a, b, c, d, e = some(NOUNS, 5)
    u, v = some(WITH_ARTICLES_INSIDE, 2)
    x, y = some("BCDFGKLM", 2)
    P, Q = some(range(3), 3), some(range(4), 4)
    padded = [[P[0], P[1], P[2], P[0]], [P[1], 0, 0, 0], [P[2], P[2], 0, 0]]
    labels = [[P[0], P[1], P[2], P[1]], [P[0], IGNORED, IGNORED, IGNORED], [P[2], P[0], IGNORED, IGNORED]]
    tied = normal(g, 4, 5)
    for row, (first, second) in enumerate(((0, 3), (1, 4), (2, 3), (0, 1))):
        tied[row, first] = tied[row, second] = 5.0
    return [
        accuracy("N=6, C=4", logits_for([*Q, Q[0], Q[1]], 4), [Q[0], Q[1], Q[2], Q[1], Q[0], Q[3]]),
        accuracy("B=3, T=4, C=3, some places without a label", logits_for(padded, 3), labels),
        accuracy("N=4, C=5, two classes tied", tied, [0, 4, 3, 1]),
        accuracy(
            "N=5, C=3, float64, not contiguous",
            scattered(logits_for([P[0], P[1], P[0], P[2], P[2]], 3, torch.float64)),
            [P[0], P[1], P[1], P[0], P[0]],
        ),
        accuracy("B=2, T=3, C=4, no label at all", normal(g, 2, 3, 4), [[IGNORED] * 3] * 2),
        macro("three classes, a rare one", "aa aa aa aa ba ca bb bb ab cc ac"),
        macro("two classes, numbers far apart", "aa aa aa ba bb ab bb bb bb bb"),
        macro("a class that is never predicted", "aa aa ba bb bb bb ac bc"),
        macro("a class that is only predicted", "aa aa ba bb bb cb ca"),
        macro("some places without a label", "aa aa ba bb ab bb a. c. c. b. d."),
        macro("nothing is right", "ab ba ca ab"),
        macro("everything is right", "aa aa bb cc cc cc"),
        macro("no label at all", "a. b. a."),
        text("capitals", f"{a.title()} and {b.upper()}"),
        text("articles", f"the {a} in a {b} on an {c}"),
        text("articles with capitals", f"The {a} of {b} An {c}"),
        text("articles inside other words", f"{u} for {v}"),
        text("punctuation around words", f'"{a}," {b}; ({c})!'),
        text("punctuation inside words", f"{x}.{y}. {a}-{b} 18,{len(c)}50"),
        text("an article in quotes", f'"The {a}" or (a) {b}'),
        text("spaces of all kinds", f"  {a}\t{b}\n\n{c}   {d} "),
        text("words of one character", f"{x} {a} 7 {y}"),
        text("a word twice", f"{a} to {b} to {a}"),
        text("nothing but an article", "The"),
        text("an empty text", ""),
        exact("the same but for article, capitals and a full stop", f"The {a} {b}.", f"{a.title()} {b}"),
        exact("the same but for capitals", f"{c.title()} {a}", f"{c} {a.upper()}"),
        exact("another word", f"{a} {b}", f"{a} {c}"),
        exact("the same words in another order", f"{a} {b}", f"{b} {a}"),
        exact("the prediction lies within the answer", a, f"{a} {b}"),
        exact("the answer lies within the prediction", f"{a} {b}", b),
        exact("the same letters, cut into other words", f"{a} {b}", f"{a}{b}"),
        exact("a word twice in the prediction", f"{a} {b} {a}", f"{a} {b}"),
        exact("both are empty", "", ""),
        exact("an empty answer", a, ""),
        exact("an empty prediction", "", a),
        exact("nothing but an article, and an empty answer", "the", ""),
        token("two of three words, three of four", f"{a} {b} {c}", f"{b} {c} {d} {e}"),
        token("the prediction is longer", f"{a} {b} {c} {d} {e}", f"{c}"),
        token("a word twice in the prediction", f"{a} {a} {b}", f"{a} {c}"),
        token("a word twice in both", f"{a} {b} {a} {c}", f"{a} {a} {d}"),
        token("no word in common", f"{a} {b}", f"{c} {d} {e}"),
        token("the same but for article, capitals and a comma", f"the {a}, {b.title()}", f"{a} {b}"),
        token("the same words in another order", f"{a} {b} {c}", f"{c} {a} {b}"),
        token("the same letters, cut into other words", f"{a} {b} {c}", f"{a}{b} {c}"),
        token("both are empty", "", ""),
        token("an empty answer", f"{a} {b}", ""),
        token("an empty prediction", "", f"{a} {b}"),
        token("nothing but an article, and an empty answer", "an", ""),
    ]


def probe(case, accuracy, macro_f1, words, exact_match, token_f1):
    if "logits" in case:
        return {"accuracy": number(accuracy(case["logits"], case["labels"]), "the accuracy", case["logits"])}
    if "labels" in case:
        return {"macro F1": number(macro_f1(case["predictions"], case["labels"]), "the macro F1", case["labels"])}
    if "text" in case:
        return spelled(words(case["text"]))
    metric = exact_match if case["metric"] == "exact match" else token_f1
    return {case["metric"]: number(metric(case["prediction"], case["answer"]), f"the {case['metric']}")}


def spelled(found):
    """How many words there are, and their letters with spaces between. Raises Wrong where they are no list of words."""
    if not isinstance(found, (list, tuple)):
        forgot = " (is there a return?)" if found is None else ""
        raise Wrong(f"words returned a {type(found).__name__}{forgot}, expected a list of words")
    if odd := [type(word).__name__ for word in found if not isinstance(word, str)]:
        raise Wrong(f"words returned a list that holds a {odd[0]}, expected strings")
    codes = [ord(c) for c in " ".join(found)[:LONGEST].ljust(LONGEST)]
    return {
        "number of words": torch.tensor(len(found)),
        "letters": torch.tensor(codes),
    }


def _accuracy(logits, labels):
    right = F.one_hot(logits.argmax(-1), logits.shape[-1]).double()
    return -F.nll_loss(right.flatten(0, -2), labels.flatten(), ignore_index=IGNORED).nan_to_num()


def _macro_f1(predictions, labels):
    p, y = predictions[labels != IGNORED].tolist(), labels[labels != IGNORED].tolist()
    places = [[[i for i, k in enumerate(side) if k == c] for side in (p, y)] for c in {*p, *y}]
    return sum(_overlap(*pair) for pair in places) / max(len(places), 1)


def _words(text):
    from tokenizers import Regex, normalizers  # here, because a notebook without it need not wait

    steps = [
        normalizers.Lowercase(),
        normalizers.Replace(Regex(r"[[:punct:]]"), ""),
        normalizers.Replace(Regex(r"\b(an?|the)\b"), " "),
    ]
    return normalizers.Sequence(steps).normalize_str(text).split()


def _exact_match(prediction, answer):
    return _words(prediction) == _words(answer)


def _token_f1(prediction, answer):
    return _overlap(_words(prediction), _words(answer))


def _overlap(one, other):
    """The standard library's first guess at how alike two lists are."""
    return difflib.SequenceMatcher(None, one, other, autojunk=False).quick_ratio()


EXERCISE = Exercise(
    id="bert.metrics",
    title="Accuracy, macro F1, exact match and token F1",
    parts={"accuracy": 1, "macro F1": 1, "words": 1, "exact match": 1, "token F1": 1},
    minutes=40,
    difficulty="core",
    calls=(
        "accuracy(logits, labels)",
        "macro_f1(predictions, labels)",
        "words(text)",
        "exact_match(prediction, answer)",
        "token_f1(prediction, answer)",
    ),
    cases=cases,
    probe=probe,
    library=(_accuracy, _macro_f1, _words, _exact_match, _token_f1),
    # A share of a few numbers may be computed in float32 whatever the logits are.
    tolerance={torch.float64: (1e-5, 1e-6)},
    ordered=False,
)
