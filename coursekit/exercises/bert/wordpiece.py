"""wordpiece(word, vocabulary): the pieces of a word by greedy longest match, ["[UNK]"] where it cannot be spelled."""

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.probing import Wrong

UNKNOWN = "[UNK]"


def cases(g):
    def syllables(n):
        """Different syllables from letters of their own, so that no syllable begins inside another."""
        letters = [chr(ord("a") + i) for i in torch.randperm(26, generator=g).tolist()]
        return ["".join(letters[2 * i : 2 * i + 2]) for i in range(n)]

    def case(part, label, word, *pieces, without=""):
        """Single letters are pieces too, apart from those that the vocabulary is `without`."""
        letters = [p for c in sorted(set(word) - set(without)) for p in (c, f"##{c}")]
        known = [UNKNOWN, *dict.fromkeys([*pieces, *letters])]
        order = torch.randperm(len(known), generator=g).tolist()
        return Case(part, label, {"word": word, "vocabulary": {known[i]: n for n, i in enumerate(order)}})

    a, b, c, d, e = syllables(5)
    f, h, i, j, k = syllables(5)
    return [
        case("longest match", "three pieces", a + b + c + d, a, a + b, b, f"##{b}", c, f"##{c}", d, f"##{d}"),
        case("longest match", "the whole word is a piece", f + h, f, f"##{h}", h, f + h, without=f + h),
        case(
            "longest match",
            "a long piece at the end",
            a + c + d + e,
            *(a, a + c, f"##{c}{d}{e}", f"##{d}", d, d + e, f"##{d}{e}"),
        ),
        case(
            "longest match",
            "two pieces would do, greedy takes more",
            a + b + c,
            *(a + b, a + b[0], f"##{b[1]}{c}", f"##{b}{c}"),
        ),
        case("longest match", "the last piece is one letter", b + c + d[0], b, b + c, f"##{c}", f"##{c}{d[0]}"),
        case("longest match", "a syllable three times", h + h + h + i, h, f"##{h}", i, f"##{i}", h + i),
        case("longest match", "pieces that only begin words", j + k + i, j, j + k, k, i, k + i, f"##{k}"),
        case("longest match", "pieces that only go on", k + j + f, k, f"##{k}{j}", f"##{j}{f}", f"##{j}", f"##{f}"),
        case("longest match", "one letter", e[1]),
        case("unknown words", "the last letter is unknown", a + b + c[:1], a, a + b, f"##{b}", without=c[:1]),
        case("unknown words", "a letter in the middle is unknown", d + e[0] + b, d, f"##{b}", b, without=e[0]),
        case("unknown words", "the first letter is unknown", f[0] + h + i, h, f"##{h}", f"##{i}", without=f[0]),
        case(
            "unknown words",
            "the longest match leads nowhere",
            h + i + j,
            *(h, h + i, f"##{i}{j}", f"##{i}"),
            without=j,
        ),
        case("unknown words", "the rest is known only as a beginning", k + f, k, f, k[0], without=f),
    ]


def probe(case, wordpiece):
    word, vocabulary = case["word"], case["vocabulary"]
    pieces = wordpiece(word, vocabulary)
    if not isinstance(pieces, (list, tuple)):
        forgot = " (is there a return?)" if pieces is None else ""
        raise Wrong(f"it returned a {type(pieces).__name__}{forgot}, expected a list of pieces")
    if odd := [type(p).__name__ for p in pieces if not isinstance(p, str)]:
        raise Wrong(f"the list holds values of type {odd[0]}, expected pieces as the vocabulary has them: strings")
    return {"number of each piece in the vocabulary": torch.tensor([vocabulary.get(p, -1) for p in pieces]).long()}


def _library(word, vocabulary):
    from tokenizers.models import WordPiece  # here, because a notebook without it need not wait

    # Only what could occur: to take in a real vocabulary of 30,000 pieces for one word is slow.
    parts = [word[start:end] for start in range(len(word)) for end in range(start + 1, len(word) + 1)]
    possible = [UNKNOWN, *parts, *(f"##{part}" for part in parts)]
    known = {piece: vocabulary[piece] for piece in possible if piece in vocabulary}
    model = WordPiece(known, unk_token=UNKNOWN, max_input_chars_per_word=1000)
    return [token.value for token in model.tokenize(word)]


EXERCISE = Exercise(
    id="bert.wordpiece",
    title="WordPiece by greedy longest match",
    parts={"longest match": 1, "unknown words": 1},
    minutes=20,
    difficulty="core",
    calls=("wordpiece(word, vocabulary)",),
    cases=cases,
    probe=probe,
    library=(_library,),
)
