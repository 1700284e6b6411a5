"""train, encode and decode: byte pairs learned from a text, a text as their ids, and the bytes of ids."""

import re

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import some
from coursekit.checking.probing import Wrong, octets, several, texts, whole_numbers

MERGES = "merges, in order"
SYLLABLES = ("lo", "wer", "est", "new", "wi", "d", "s", "ing", "an", "the", "qu", "u", "mm", "ee", "o")
FOREIGN = "ä日本語語é中文🐋"


def words(text):
    """As the chapter cuts a text: a word with the space before it, or several spaces."""
    return re.findall(r" ?[^ ]+| +", text)


def cases(g):
    def drawn(n, longest=3):
        """A text of n words of one to three syllables."""
        sizes = torch.randint(1, longest + 1, (n,), generator=g).tolist()
        picks = iter(torch.randint(len(SYLLABLES), (sum(sizes),), generator=g).tolist())
        return " ".join("".join(SYLLABLES[next(picks)] for _ in range(size)) for size in sizes)

    def train(label, text, n):
        return Case("train", label, {"call": "train", "text": text, "n": n})

    def plain(merges):
        """Bytes as letters of Latin-1, for a case holds text and no bytes."""
        return [[x.decode("latin-1"), y.decode("latin-1")] for x, y in merges]

    def encode(label, text, merges, special=None, part="encode"):
        return Case(part, label, {"call": "encode", "text": text, "merges": plain(merges), "special": special or {}})

    def decode(label, ids, merges, special=None, part="decode"):
        return Case(part, label, {"call": "decode", "ids": ids, "merges": plain(merges), "special": special or {}})

    a, b, c, d, e = (letter.encode() for letter in some(g, "bcdfghjklmnp", 5))
    joined = [(b, c), (a, b), (a, b + c), (d, d), (b" ", a), (b" " + a, b + c)]
    A, B, C, D = (x.decode() for x in (a, b, c, d))
    some_text = drawn(40)
    learned = [(x.encode(), y.encode()) for x, y in (("e", "r"), ("l", "o"), ("w", "er"), ("lo", "wer"), ("i", "n"))]
    whale = "🐋".encode()
    halves = [(whale[:2], whale[2:3]), (whale[:1], whale[1:2])]
    end, begin = "<|end|>", "<|end|>er"
    ids = {end: 300, begin: 301}
    return [
        train("12 words, 6 merges", drawn(12), 6),
        train("one word many times", f"{A}{B}{C} " * 5 + f"{D}{A} {D}{B}", 4),
        train("pairs that come equally often", f"{A}{B} {C}{D} {B}{A} {D}{C}", 3),
        train("one letter again and again", f"{A * 7} {A * 4} {B}{A}", 5),
        train("the same pair at the ends of words", f"{A}{B} {A}{B} {A}{B} {B}{A}", 4),
        train("more merges than pairs", f"{A}{B}{C}", 9),
        train("letters of several bytes", " ".join(some(g, FOREIGN, 6)) + " 日本 日本 語中文 中文", 8),
        train("no merge", drawn(5), 0),
        train("an empty text", "", 3),
        train("spaces in a row", f"{A}   {B}   {A}   {C}", 4),
        train("300 words, 30 merges", drawn(300), 30),
        encode("ranks against places", f"{A}{B}{C} {B}{A}{B}{C}{C}", joined),
        encode("the pair with the lower rank comes first", f"{B}{C}{D}", [(b, c), (c, d)]),
        encode("two spaces before a word", f"{A}  {A}{D}", joined),
        encode("a letter in a row", f"{D * 5} {D * 2}", joined),
        encode("a word and its space", f"{A}{B}{C} {A}{B}{C} {A}", joined),
        encode("no merges", drawn(3), []),
        encode("letters of several bytes", f"{A}{B} é日本", joined),
        encode("a letter whose bytes are merged in another order", "🐋🐋", [(whale[1:2], whale[2:3]), *halves]),
        encode("an empty text", "", joined),
        encode("40 words", some_text, learned),
        encode("the same words, fewer merges", some_text, learned[:2]),
        encode("the same words, no merges", some_text, []),
        encode("what looks like a special token, and none is given", f"lower{end}", learned),
        decode("five ids", [256 + i for i in (3, 0, 5, 2, 1)], joined),
        decode("bytes and merges", [*b"lo", 256, 32, 258], learned),
        decode("half a letter", [*whale[:3]], joined),
        decode("no ids", [], joined),
        decode("every byte", torch.randperm(256, generator=g).tolist(), []),
        encode("one special token", f"lower{end}lower", learned, {end: 300}, "special"),
        encode("side by side, and at both ends", f"{end}{end}er{end}", learned, {end: 300}, "special"),
        encode("one begins like another", f"low{begin}low{end}low", learned, ids, "special"),
        encode("none in the text", "lower lower", learned, ids, "special"),
        encode("signs that a pattern would read", "a.b[x]+lower", learned, {"[x]+": 290, ".": 291}, "special"),
        decode("special ids", [300, *b"er", 301, 258], learned, ids, "special"),
    ]


def probe(case, train, encode, decode):
    """What the function that the case calls gives, as text, ids or bytes."""
    if case["call"] == "train":
        return texts(_written(train(case["text"], case["n"])), MERGES)
    merges = [(x.encode("latin-1"), y.encode("latin-1")) for x, y in case["merges"]]
    given, special = [*merges], dict(case["special"])
    what = {"encode": (encode, case.get("text")), "decode": (decode, [*case.get("ids", [])])}
    function, first = what[case["call"]]
    found = function(first, given, special)
    if given != merges or special != case["special"] or (case["call"] == "decode" and first != case["ids"]):
        raise Wrong(f"{case['call']} changes what it is given: the next call finds other merges, ids or special tokens")
    if case["call"] == "encode":
        return {"ids": whole_numbers(found, "ids").int()}
    return octets(found, "the bytes")


def _written(merges):
    """Each pair as text. Raises Wrong where one is no pair of bytes."""
    if not isinstance(merges, list | tuple):
        raise Wrong(f"train returned a {type(merges).__name__}, expected a list of pairs of bytes")
    found = []
    for pair in merges:
        left, right = several(pair, "left", "right")
        if not isinstance(left, bytes) or not isinstance(right, bytes):
            raise Wrong(f"a merge is ({type(left).__name__}, {type(right).__name__}), expected two bytes objects")
        found.append(f"{left!r} + {right!r}")
    return found


EXERCISE = Exercise(
    id="core.bpe",
    title="Byte pairs",
    parts={"train": 1, "encode": 1, "decode": 1, "special": 1},
    minutes=45,
    difficulty="core",
    importance=4,
    calls=("train(text, n)", "encode(text, merges, special)", "decode(ids, merges, special)"),
    cases=cases,
    probe=probe,
    ordered=False,
)
EXERCISE.written.update({MERGES: "texts", "the bytes": "bytes"})
