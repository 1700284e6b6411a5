"""Answers to bert.wordpiece."""

import functools
import re

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.wordpiece",
    spared={
        "far": "there are no numbers but ids, which are not looked at",
        "dependence": "nothing is drawn",
        "surroundings": "a word and a vocabulary come in, a list goes out: nothing else is near",
        "unwatched": "nothing is watched but the result",
    },
)


def longest_first(word, vocabulary, known=None, unknown="[UNK]", limit=None):
    """The right one, with places where one thing can be exchanged."""
    known = known or (lambda piece: piece in vocabulary)
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word) if limit is None else min(len(word), start + limit), start, -1):
            piece = word[start:end] if start == 0 else "##" + word[start:end]
            if known(piece):
                break
        else:
            return [unknown]
        pieces.append(piece)
        start = end
    return pieces


@ANSWERS.wrong(
    "given", "writes every piece that it looked for into the vocabulary", told=r"changes its input vocabulary"
)
def into_the_vocabulary(word, vocabulary):
    return longest_first(word, vocabulary, lambda piece: vocabulary.setdefault(piece, None) is not None)


SEEN: dict[str, list[str]] = {}


@ANSWERS.wrong(
    "again",
    "the cache is asked by word alone: another vocabulary gives the first one's pieces",
    told=r"differ in vocabulary alone",
)
def cached_by_word(word, vocabulary):
    if word not in SEEN:
        SEEN[word] = longest_first(word, vocabulary)
    return SEEN[word]


@ANSWERS.wrong(
    "again", "the pieces of earlier calls stay in a default argument", told=r"keeps something from one call to the next"
)
def growing(word, vocabulary, pieces=[]):  # noqa: B006  # the slip
    found = longest_first(word, vocabulary)
    if found == ["[UNK]"]:
        return found
    pieces += found
    return pieces


@ANSWERS.wrong(
    "onward",
    "only the second piece gets its ##",
    told=r"pieces is \['\w+', '##\w+', '(\w+)'\], expected \['\w+', '##\w+', '##\1'\]",
)
def marked_once(word, vocabulary):
    pieces, start, prefix = [], 0, ""
    while start < len(word):
        end = len(word)
        while end > start and prefix + word[start:end] not in vocabulary:
            end -= 1
        if end == start:
            return ["[UNK]"]
        pieces.append(prefix + word[start:end])
        prefix = "" if prefix else "##"
        start = end
    return pieces


@ANSWERS.wrong("ones", "a candidate has at least two letters", true="OneLetterForgotten")
def two_letters_at_least(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        end = len(word)
        while end - start > 1:
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
            end -= 1
        else:
            return ["[UNK]"]
        pieces.append(piece)
        start = end
    return pieces


@ANSWERS.wrong("large", "words of more than 100 letters are unknown, as in BERT's own tokenizer", true="limit_of_100")
def limit_of_100(word, vocabulary):
    return ["[UNK]"] if len(word) > 100 else longest_first(word, vocabulary)


@ANSWERS.wrong("large", "no piece is longer than eight letters", told=r"a piece of 12: .*expected")
def short_pieces(word, vocabulary):
    return longest_first(word, vocabulary, limit=8)


@ANSWERS.wrong("named", "the id 0 counts as not found", true="IdAsTruth")
def id_as_truth(word, vocabulary):
    return longest_first(word, vocabulary, lambda piece: vocabulary.get(piece))


@ANSWERS.wrong("named", "letters outside of ASCII are thrown away first", told=r"outside of ASCII: .*expected")
def ascii_only(word, vocabulary):
    return longest_first(word.encode("ascii", "ignore").decode(), vocabulary)


@ANSWERS.wrong(
    "plain", "[UNK] stands for the piece that fits nowhere, and the cutting goes on", true="one_unknown_letter"
)
def unknown_letter(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        end = len(word)
        while end > start and ("##" if start else "") + word[start:end] not in vocabulary:
            end -= 1
        if end == start:
            pieces.append("[UNK]")
            start += 1
        else:
            pieces.append(("##" if start else "") + word[start:end])
            start = end
    return pieces


@ANSWERS.wrong("plain", "[UNK] is appended to the pieces found so far", true="OneUnknownPiece")
def unknown_behind(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                pieces.append(piece)
                start = end
                break
        else:
            pieces.append("[UNK]")
            break
    return pieces


@ANSWERS.wrong("plain", "goes back when the rest cannot be spelled", true="backtracking")
def goes_back(word, vocabulary):
    @functools.cache
    def spelled(start):
        if start == len(word):
            return ()
        for end in range(len(word), start, -1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary and (rest := spelled(end)) is not None:
                return (piece, *rest)
        return None

    found = spelled(0)
    return ["[UNK]"] if found is None else list(found)


@ANSWERS.wrong("plain", "the shortest piece is taken", true="ShortestMatch")
def shortest_first(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        for end in range(start + 1, len(word) + 1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return ["[UNK]"]
        pieces.append(piece)
        start = end
    return pieces


@ANSWERS.wrong("plain", "the first piece of the vocabulary that fits, not the longest", true="ShortestMatch")
def first_in_vocabulary(word, vocabulary):
    pieces, rest = [], word
    while rest:
        for piece in vocabulary:
            letters = piece.removeprefix("##")
            if piece.startswith("##") == bool(pieces) and letters and rest.startswith(letters):
                break
        else:
            return ["[UNK]"]
        pieces.append(piece)
        rest = rest[len(letters) :]
    return pieces


@ANSWERS.wrong(
    "plain",
    "pieces are looked up without ##, which is put in front afterwards",
    told=r"only begin words: pieces is \['\w+', '##(\w)\w'\], expected \['\w+', '##\1'",
)
def marked_afterwards(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        end = len(word)
        while end > start and word[start:end] not in vocabulary:
            end -= 1
        if end == start:
            return ["[UNK]"]
        pieces.append(("##" if start else "") + word[start:end])
        start = end
    return pieces


@ANSWERS.wrong("plain", "pieces are returned without their ##", true="marks_dropped")
def without_marks(word, vocabulary):
    return [piece.removeprefix("##") for piece in longest_first(word, vocabulary)]


@ANSWERS.wrong("plain", "ids in place of pieces", told=r"pieces holds a int, expected strings")
def as_ids(word, vocabulary):
    return [vocabulary[piece] for piece in longest_first(word, vocabulary)]


@ANSWERS.wrong("plain", "from the right: the longest end first", true="from_the_right")
def from_the_right(word, vocabulary):
    pieces, end = [], len(word)
    while end > 0:
        for start in range(end):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return ["[UNK]"]
        pieces.insert(0, piece)
        end = start
    return pieces


@ANSWERS.wrong("plain", "[UNK] alone, not in a list", told=r"it returned a str, expected pieces: a list")
def unknown_bare(word, vocabulary):
    found = longest_first(word, vocabulary)
    return "[UNK]" if found == ["[UNK]"] else found


@ANSWERS.wrong("plain", "what was found is taken out wherever it stands", told="a syllable three times: pieces is")
def replaced_everywhere(word, vocabulary):
    pieces, rest = [], word
    while rest:
        mark = "##" if pieces else ""
        fits = [rest[:n] for n in range(len(rest), 0, -1) if mark + rest[:n] in vocabulary]
        if not fits:
            return ["[UNK]"]
        pieces.append(mark + fits[0])
        rest = rest.replace(fits[0], "")
    return pieces


@ANSWERS.wrong("plain", "lstrip takes off letters, not a beginning", told="a syllable three times: pieces is")
def stripped_letters(word, vocabulary):
    pieces, rest = [], word
    while rest:
        mark = "##" if pieces else ""
        fits = [rest[:n] for n in range(len(rest), 0, -1) if mark + rest[:n] in vocabulary]
        if not fits:
            return ["[UNK]"]
        pieces.append(mark + fits[0])
        rest = rest.lstrip(fits[0])
    return pieces


@ANSWERS.wrong("plain", "yields the pieces", told="it returned a generator, expected pieces: a list of strings")
def yielded(word, vocabulary):
    yield from longest_first(word, vocabulary)


@ANSWERS.wrong("named", "the longest piece's own ## is counted off at the word's beginning too", told=r"expected")
def too_short_at_the_start(word, vocabulary):
    return longest_first(word, vocabulary, limit=max(map(len, vocabulary)) - 2)


BY_SIZE = {}


@ANSWERS.wrong("again", "pieces are kept by the vocabulary alone", told="differ in word alone")
def kept_by_vocabulary(word, vocabulary):
    return list(BY_SIZE.setdefault(str(vocabulary), longest_first(word, vocabulary)))


@ANSWERS.right
def of_the_paper(word, vocabulary):
    """As BERT's tokenization.py has it, without its limit."""
    chars, is_bad, start, sub_tokens = list(word), False, 0, []
    while start < len(chars):
        end, cur_substr = len(chars), None
        while start < end:
            substr = "".join(chars[start:end])
            if start > 0:
                substr = "##" + substr
            if substr in vocabulary:
                cur_substr = substr
                break
            end -= 1
        if cur_substr is None:
            is_bad = True
            break
        sub_tokens.append(cur_substr)
        start = end
    return ["[UNK]"] if is_bad else sub_tokens


@ANSWERS.right
def recursive(word, vocabulary, mark=""):
    for end in range(len(word), 0, -1):
        if mark + word[:end] in vocabulary:
            if end == len(word):
                return [mark + word]
            rest = recursive(word[end:], vocabulary, "##")
            return rest if rest == ["[UNK]"] else [mark + word[:end], *rest]
    return ["[UNK]"]


@ANSWERS.right
def largest_of_the_vocabulary(word, vocabulary):
    pieces, rest = [], word
    while rest:
        mark = "##" if pieces else ""
        fitting = [p for p in vocabulary if p.startswith(mark) and p[len(mark) :] and rest.startswith(p[len(mark) :])]
        if not fitting:
            return ["[UNK]"]
        pieces.append(max(fitting, key=len))
        rest = rest[len(pieces[-1]) - len(mark) :]
    return tuple(pieces)


PIECES: dict[tuple, list[str]] = {}


@ANSWERS.right
def cached_by_both(word, vocabulary):
    key = word, frozenset(vocabulary)
    if key not in PIECES:
        PIECES[key] = longest_first(word, vocabulary)
    return list(PIECES[key])


@ANSWERS.right
def by_regex(word, vocabulary):
    pieces, at = [], 0
    while at < len(word):
        mark = "##" if at else ""
        letters = [p.removeprefix(mark) for p in vocabulary if p.startswith(mark) and p != mark]
        longest = "|".join(map(re.escape, sorted(letters, key=len, reverse=True)))
        if not (found := re.compile(longest or "(?!)").match(word, at)):
            return ["[UNK]"]
        pieces += [mark + found[0]]
        at = found.end()
    return pieces
