"""Greedy longest-match-first: Wu et al. 2016, section 4.1, as BERT uses it (Devlin et al. 2019, section 3).

From the left, take the longest piece that the vocabulary knows; pieces inside a word carry ##. A word with a rest that
no piece fits is unknown as a whole.
"""

import re

from coursekit.exercises.bert.wordpiece import UNKNOWN
from grader.contract import Trusted


def reference(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        mark = "##" if start else ""
        ends = [end for end in range(start + 1, len(word) + 1) if mark + word[start:end] in vocabulary]
        if not ends:
            return [UNKNOWN]
        pieces.append(mark + word[start : ends[-1]])
        start = ends[-1]
    return pieces


TRUSTED = Trusted(reference)


def greedy(word, fits, longest=True):
    """(start, end) of one match after the other, where fits(start, end) says so, and where the first rest starts."""
    spans, start = [], 0
    while start < len(word):
        ends = [end for end in range(start + 1, len(word) + 1) if fits(start, end)]
        if not ends:
            return spans, start
        spans.append((start, ends[-1 if longest else 0]))
        start = spans[-1][1]
    return spans, None


def marked(word, start, end):
    return "##" * (start > 0) + word[start:end]


@TRUSTED.mistake(
    "You take the shortest piece that fits, so every word falls into letters. Begin with the longest candidate and "
    "shorten it until the vocabulary has it."
)
def shortest_match(word, vocabulary):
    spans, rest = greedy(word, lambda s, e: marked(word, s, e) in vocabulary, longest=False)
    return [UNKNOWN] if rest is not None else [marked(word, *span) for span in spans]


@TRUSTED.mistake(
    "You cut the pieces from the right end of the word. WordPiece reads from the left: the longest beginning first, "
    "then the longest piece of what is left."
)
def from_the_right(word, vocabulary):
    pieces, end = [], len(word)
    while end > 0:
        start = next((s for s in range(end) if marked(word, s, end) in vocabulary), None)
        if start is None:
            return [UNKNOWN]
        pieces.insert(0, marked(word, start, end))
        end = start
    return pieces


@TRUSTED.mistake(
    "Every piece is looked up without ##. Only the first piece of a word is: `able` at the start of a word and "
    "`##able` inside one are different entries of the vocabulary."
)
def without_marks(word, vocabulary):
    spans, rest = greedy(word, lambda s, e: word[s:e] in vocabulary)
    return [UNKNOWN] if rest is not None else [word[s:e] for s, e in spans]


@TRUSTED.mistake(
    "The cuts are right, but the ## is missing from the pieces that you return: a piece inside a word is called "
    "`##able`, as in the vocabulary."
)
def marks_dropped(word, vocabulary):
    return [piece.removeprefix("##") for piece in reference(word, vocabulary)]


@TRUSTED.mistake("The first piece of a word carries ## too. ## says that something stands before the piece.")
def marks_everywhere(word, vocabulary):
    spans, rest = greedy(word, lambda s, e: "##" + word[s:e] in vocabulary)
    return [UNKNOWN] if rest is not None else ["##" + word[s:e] for s, e in spans]


@TRUSTED.mistake(
    "Inside a word you accept pieces with and without ##. After the first piece only those with ## count, even where "
    "one without would be longer."
)
def either_way(word, vocabulary):
    spans, rest = greedy(word, lambda s, e: marked(word, s, e) in vocabulary or word[s:e] in vocabulary)
    if rest is not None:
        return [UNKNOWN]
    return [m if (m := marked(word, s, e)) in vocabulary else word[s:e] for s, e in spans]


@TRUSTED.mistake(
    "Where nothing fits you keep the pieces found so far and add `[UNK]`. One unknown rest makes the whole word "
    'unknown: return ["[UNK]"] alone.'
)
def one_unknown_piece(word, vocabulary):
    spans, rest = greedy(word, lambda s, e: marked(word, s, e) in vocabulary)
    return [marked(word, *span) for span in spans] + [UNKNOWN] * (rest is not None)


@TRUSTED.mistake(
    "A letter that no piece fits becomes `[UNK]` and you go on behind it. One unknown rest makes the whole word "
    'unknown: return ["[UNK]"] alone.'
)
def unknown_letters(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        ends = [e for e in range(start + 1, len(word) + 1) if marked(word, start, e) in vocabulary]
        pieces.append(marked(word, start, ends[-1]) if ends else UNKNOWN)
        start = ends[-1] if ends else start + 1
    return pieces


@TRUSTED.mistake(
    "Where nothing fits you return the pieces found so far: the rest of the word is silently lost. The whole word is "
    "unknown then."
)
def rest_dropped(word, vocabulary):
    spans, _ = greedy(word, lambda s, e: marked(word, s, e) in vocabulary)
    return [marked(word, *span) for span in spans]


@TRUSTED.mistake("A word that cannot be spelled gives an empty list; it should give [`[UNK]`], a piece of its own.")
def nothing_for_unknown(word, vocabulary):
    pieces = reference(word, vocabulary)
    return [] if pieces == [UNKNOWN] else pieces


@TRUSTED.mistake(
    "You search for a way to spell the word when the longest match leads nowhere. Greedy means that no choice is taken "
    "back: the longest piece is taken, and if no piece fits the rest, the word is unknown."
)
def backtracking(word, vocabulary):
    def spell(start):
        if start == len(word):
            return []
        for end in range(len(word), start, -1):
            if marked(word, start, end) in vocabulary and (rest := spell(end)) is not None:
                return [marked(word, start, end), *rest]
        return None

    return spell(0) or [UNKNOWN]


@TRUSTED.mistake(
    "You find the spelling with the fewest pieces. Greedy is simpler and sometimes longer: always the longest piece "
    "from the left, whatever it leaves over."
)
def fewest_pieces(word, vocabulary):
    best = {0: []}
    for end in range(1, len(word) + 1):
        ways = [
            best[s] + [marked(word, s, end)] for s in range(end) if s in best and marked(word, s, end) in vocabulary
        ]
        if ways:
            best[end] = min(ways, key=len)
    return best.get(len(word), [UNKNOWN])


@TRUSTED.mistake(
    "A piece of one letter is never tried: the shortest candidate is word[start : start + 1], so the last `end` to "
    "try is start + 1."
)
def one_letter_forgotten(word, vocabulary):
    spans, rest = greedy(word, lambda s, e: e - s > 1 and marked(word, s, e) in vocabulary)
    return [UNKNOWN] if rest is not None else [marked(word, *span) for span in spans]


@TRUSTED.mistake(
    "The longest candidate leaves out the last letter: word[start:end] does not contain word[end], so `end` begins "
    "at len(word)."
)
def last_letter_forgotten(word, vocabulary):
    spans, rest = greedy(word, lambda s, e: e < len(word) + (s == len(word) - 1) and marked(word, s, e) in vocabulary)
    return [UNKNOWN] if rest is not None else [marked(word, *span) for span in spans]


@TRUSTED.mistake("The pieces come in the wrong order: the first piece of the word first.")
def reversed_pieces(word, vocabulary):
    return reference(word, vocabulary)[::-1]


@TRUSTED.mistake(
    "Only the first piece is found by the longest match; the rest of the word is looked up as one piece. Repeat the "
    "search on what is left until nothing is."
)
def first_piece_only(word, vocabulary):
    end = next((e for e in range(len(word), 0, -1) if word[:e] in vocabulary), 0)
    pieces = [word[:end]] + ["##" + word[end:]] * (end < len(word))
    return pieces if all(p in vocabulary for p in pieces) else [UNKNOWN]


@TRUSTED.alternative
def shortening(word, vocabulary):
    """As google-research/bert writes it."""
    pieces, start = [], 0
    while start < len(word):
        end, found = len(word), None
        while start < end:
            piece = word[start:end] if start == 0 else "##" + word[start:end]
            if piece in vocabulary:
                found = piece
                break
            end -= 1
        if found is None:
            return ["[UNK]"]
        pieces.append(found)
        start = end
    return pieces


@TRUSTED.alternative
def consuming_the_rest(word, vocabulary):
    """The rest of the word carries its mark along."""
    pieces, rest = [], word
    while rest not in ("", "##"):
        piece = next((rest[:n] for n in range(len(rest), 0, -1) if rest[:n] in vocabulary and rest[:n] != "##"), None)
        if piece is None:
            return [UNKNOWN]
        pieces.append(piece)
        rest = "##" + rest[len(piece) :]
    return pieces


@TRUSTED.alternative
def recursive(word, vocabulary, mark=""):
    if not word:
        return []
    for end in reversed(range(1, len(word) + 1)):
        if mark + word[:end] in vocabulary:
            rest = recursive(word[end:], vocabulary, "##")
            return [UNKNOWN] if rest == [UNKNOWN] else [mark + word[:end], *rest]
    return [UNKNOWN]


@TRUSTED.alternative
def by_regular_expression(word, vocabulary):
    """Alternatives that are tried from the longest to the shortest are a longest match."""

    def matcher(pieces):
        return re.compile("|".join(map(re.escape, sorted(pieces, key=len, reverse=True))) or "(?!)")

    inside = matcher([p[2:] for p in vocabulary if p.startswith("##")])
    pieces, at = [], matcher([p for p in vocabulary if not p.startswith("##") and p != UNKNOWN]).match(word)
    while at:
        pieces.append(marked(word, *at.span()))
        if at.end() == len(word):
            return pieces
        at = inside.match(word, at.end())
    return [UNKNOWN]
