"""Greedy longest-match-first: Wu et al. 2016, section 4.1, as BERT uses it (Devlin et al. 2019, section 3).

From the left, take the longest piece that the vocabulary knows; pieces inside a word carry ##. A word with a rest that
no piece fits is unknown as a whole.
"""

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


def marked(word, start, end):
    return "##" * (start > 0) + word[start:end]


class Steps:
    """The same in steps: a mistake below is written as the one step in which it differs."""

    def __call__(self, word, vocabulary):
        pieces, start = [], 0
        while start < len(word):
            fits = {end: p for end in range(start + 1, len(word) + 1) if (p := self.fit(word, start, end, vocabulary))}
            if not fits:
                return self.unknown(pieces)
            start = self.choose(fits)
            pieces.append(fits[start])
        return pieces

    def fit(self, word, start, end, vocabulary):
        """The piece for word[start:end], where there is one."""
        piece = self.piece(word, start, end)
        return piece if piece in vocabulary else None

    def piece(self, word, start, end):
        return marked(word, start, end)

    def choose(self, fits):
        return max(fits)

    def unknown(self, pieces):
        return [UNKNOWN]


TRUSTED = Trusted(reference)
TRUSTED.add_alternative("in_steps", Steps())
(wrong_step,) = TRUSTED.one_by_one(lambda steps: steps())


@wrong_step(
    "Of several pieces that fit you take the shortest one, or the first that you meet in the vocabulary. Begin with "
    "the longest candidate and shorten it until the vocabulary has it."
)
class ShortestMatch(Steps):
    def choose(self, fits):
        return min(fits)


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


@wrong_step(
    "Every piece is looked up without ##. Only the first piece of a word is: `able` at the start of a word and "
    "`##able` inside one are different entries of the vocabulary."
)
class WithoutMarks(Steps):
    def piece(self, word, start, end):
        return word[start:end]


@TRUSTED.mistake(
    "The cuts are right, but the ## is missing from the pieces that you return: a piece inside a word is called "
    "`##able`, as in the vocabulary."
)
def marks_dropped(word, vocabulary):
    return [piece.removeprefix("##") for piece in reference(word, vocabulary)]


@wrong_step("The first piece of a word carries ## too. ## says that something stands before the piece.")
class MarksEverywhere(Steps):
    def piece(self, word, start, end):
        return "##" + word[start:end]


@wrong_step(
    "Inside a word you accept pieces with and without ##. After the first piece only those with ## count, even where "
    "one without would be longer."
)
class EitherWay(Steps):
    def fit(self, word, start, end, vocabulary):
        return next((p for p in (marked(word, start, end), word[start:end]) if p in vocabulary), None)


@wrong_step(
    "Where nothing fits you keep the pieces found so far and add `[UNK]`. One unknown rest makes the whole word "
    'unknown: return ["[UNK]"] alone.'
)
class OneUnknownPiece(Steps):
    def unknown(self, pieces):
        return [*pieces, UNKNOWN]


@wrong_step(
    "Where nothing fits you return the pieces found so far: the rest of the word is silently lost. The whole word is "
    "unknown then."
)
class RestDropped(Steps):
    def unknown(self, pieces):
        return pieces


@TRUSTED.mistake(
    "Where nothing fits you put `[UNK]` for one letter and cut on behind it. One unknown rest makes the whole word "
    'unknown: return ["[UNK]"] alone.'
)
def one_unknown_letter(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        ends = [end for end in range(start + 1, len(word) + 1) if marked(word, start, end) in vocabulary]
        pieces.append(marked(word, start, ends[-1]) if ends else UNKNOWN)
        start = ends[-1] if ends else start + 1
    return pieces


@wrong_step("A piece whose id is 0 counts as missing: 0 is no True. Ask whether the piece is `in` the vocabulary.")
class IdAsTruth(Steps):
    def fit(self, word, start, end, vocabulary):
        piece = self.piece(word, start, end)
        return piece if vocabulary.get(piece) else None


@TRUSTED.mistake(
    "Words of more than 100 letters are given up, as some tokenizers do: here every word is cut, however long it is."
)
def limit_of_100(word, vocabulary):
    return [UNKNOWN] if len(word) > 100 else reference(word, vocabulary)


@wrong_step("A word that cannot be spelled gives an empty list; it should give [`[UNK]`], a piece of its own.")
class NothingForUnknown(Steps):
    def unknown(self, pieces):
        return []


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


@wrong_step(
    "A piece of one letter is never tried: the shortest candidate is word[start : start + 1], so the last `end` to "
    "try is start + 1."
)
class OneLetterForgotten(Steps):
    def fit(self, word, start, end, vocabulary):
        return super().fit(word, start, end, vocabulary) if end - start > 1 else None


@wrong_step(
    "The longest candidate leaves out the last letter: word[start:end] does not contain word[end], so `end` begins "
    "at len(word)."
)
class LastLetterForgotten(Steps):
    def fit(self, word, start, end, vocabulary):
        return super().fit(word, start, end, vocabulary) if end < len(word) or start == end - 1 else None


@TRUSTED.mistake(
    "Only the first piece is found by the longest match; the rest of the word is looked up as one piece. Repeat the "
    "search on what is left until nothing is."
)
def first_piece_only(word, vocabulary):
    end = next((e for e in range(len(word), 0, -1) if word[:e] in vocabulary), 0)
    pieces = [word[:end]] + ["##" + word[end:]] * (end < len(word))
    return pieces if all(p in vocabulary for p in pieces) else [UNKNOWN]


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
