"""wordpiece(word, vocabulary): the pieces of a word by greedy longest match, ["[UNK]"] where it cannot be spelled."""

import torch

from coursekit.checking.contract import Case, Exercise

UNKNOWN = "[UNK]"


def cases(g):
    def syllables(n):
        """Different syllables from letters of their own, so that no syllable begins inside another."""
        letters = [chr(ord("a") + i) for i in torch.randperm(26, generator=g).tolist()]
        return ["".join(letters[2 * i : 2 * i + 2]) for i in range(n)]

    def case(part, label, word, pieces="", without="", zero=UNKNOWN):
        """Single letters are pieces too, apart from those that the vocabulary is `without`; `zero` has the id 0."""
        letters = [p for c in sorted(set(word) - set(without)) for p in (c, f"##{c}")]
        known = [p for p in dict.fromkeys([UNKNOWN, *pieces.split(), *letters]) if p != zero]
        order = [zero, *(known[i] for i in torch.randperm(len(known), generator=g).tolist())]
        ids = {piece: n for n, piece in enumerate(order)}
        shuffled = torch.randperm(len(order), generator=g).tolist()  # the order of the dictionary is no order of ids
        return Case(part, label, {"word": word, "vocabulary": {order[i]: ids[order[i]] for i in shuffled}})

    def other(case, label, word):
        """Another word, in the vocabulary of a case."""
        return Case(case.part, label, case.inputs | {"word": word})

    a, b, c, d, e = syllables(5)
    f, h, i, j, k = syllables(5)
    match, unknown = "longest match", "unknown words"
    first = case(match, "three pieces", a + b + c + d, f"{a} {a}{b} {b} ##{b} {c} ##{c} {d} ##{d}")
    return [
        first,
        other(first, "another word in the same vocabulary", b + d),
        case(match, "the whole word is a piece", f + h, f"{f} ##{f} {h} {f}{h}", without=f + h),
        case(match, "a long piece at the end", a + c + d + e, f"{a} {a}{c} ##{c}{d}{e} ##{d} {d} {d}{e} ##{d}{e}"),
        case(match, "two pieces would do, greedy takes more", a + b + c, f"{a}{b} {a}{b[0]} ##{b[1]}{c} ##{b}{c}"),
        case(match, "the last piece is one letter", b + c + d[0], f"{b} {b}{c} ##{c} ##{c}{d[0]}"),
        case(match, "a syllable three times", h + h + h + i, f"{h} ##{h} {i} ##{i} {h}{i}"),
        case(match, "pieces that only begin words", j + k + i, f"{j} {j}{k} {k} {i} {k}{i} ##{k}"),
        case(match, "pieces that only go on", k + j + f, f"{k} ##{k}{j} ##{j}{f} ##{j} ##{f}"),
        case(match, "one letter", e[1]),
        case(match, "the same word in another vocabulary", a + b + c + d, f"{a}{b}{c} ##{b} ##{d} {d}"),
        case(match, "the piece with the id 0", a + b + c, f"{a}{b} {c} ##{c} {b}", zero=f"##{c}"),
        case(match, "letters outside of ASCII", f"{a}é{b}日本{c}", f"{a}é {b} ##{b}日 ##本 é"),
        case(
            match,
            "a word of 150 letters, a piece of 12",
            (a + b + c + d + e + f) * 12 + h * 3,
            f"##{a + b + c + d + e + f}",
        ),
        case(unknown, "the last letter is unknown", a + b + c[:1], f"{a} {a}{b} ##{b}", without=c[:1]),
        case(unknown, "a letter in the middle is unknown", d + e[0] + b, f"{d} ##{b} {b}", without=e[0]),
        case(unknown, "the first letter is unknown", f[0] + h + i, f"{h} ##{h} ##{i}", without=f[0]),
        case(unknown, "the longest match leads nowhere", h + i + j, f"{h} {h}{i} ##{i}{j} ##{i}", without=j),
        case(unknown, "the rest is known only as a beginning", k + f, f"{k} {f} {k[0]}", without=f),
    ]


EXERCISE = Exercise(
    id="bert.wordpiece",
    title="WordPiece by greedy longest match",
    parts={"longest match": 1, "unknown words": 1},
    minutes=20,
    difficulty="core",
    importance=3,
    calls=("wordpiece(word, vocabulary) -> pieces: texts",),
    cases=cases,
)
