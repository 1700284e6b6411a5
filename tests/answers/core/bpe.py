"""Answers to core.bpe."""

import re
from collections import Counter
from itertools import pairwise

import numpy as np

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.bpe",
    spared={
        "dependence": "nothing is drawn",
        "unwatched": "what comes back is compared",
        "surroundings": "nothing of the process is used",
        "far": "there are no numbers",
        "onward": "a text is all there at once",
    },
)
wrong = ANSWERS.wrong


def words_of(text):
    return re.findall(r" ?[^ ]+| +", text)


def octets(word):
    return [bytes([byte]) for byte in word.encode()]


def joined(pieces, pair):
    found, i = [], 0
    while i < len(pieces):
        both = tuple(pieces[i : i + 2]) == pair
        found.append(pieces[i] + pieces[i + 1] if both else pieces[i])
        i += 1 + both
    return found


def counted(words):
    counts = Counter()
    for pieces, times in words:
        for pair in pairwise(pieces):
            counts[pair] += times
    return counts


def learn(text, n, *, cut=words_of, best=None, count=counted):
    """Merges, where a part is replaced."""
    best = best or (lambda counts: min(counts, key=lambda pair: (-counts[pair], pair)))
    words, merges = [(octets(word), times) for word, times in Counter(cut(text)).items()], []
    for _ in range(n):
        counts = count(words)
        if not counts:
            break
        merges.append(best(counts))
        words = [(joined(pieces, merges[-1]), times) for pieces, times in words]
    return merges


def pieces_by_rank(word, merges):
    rank, pieces = {pair: r for r, pair in enumerate(merges)}, octets(word)
    while pairs := [pair for pair in pairwise(pieces) if pair in rank]:
        pieces = joined(pieces, min(pairs, key=rank.get))
    return pieces


def ids_of(merges):
    made = {}
    for r, (a, b) in enumerate(merges):
        made.setdefault(a + b, 256 + r)
    return made | {bytes([i]): i for i in range(256)}


def plain(text, merges, cut=words_of, pieces_of=pieces_by_rank):
    ids = ids_of(merges)
    return [ids[piece] for word in cut(text) for piece in pieces_of(word, merges)]


def parts_of(text, special):
    pattern = "|".join(map(re.escape, sorted(special, key=len, reverse=True)))
    return re.split(f"({pattern})", text) if special else [text]


def in_parts(text, merges, special, parts=parts_of, **given):
    found = []
    for part in parts(text, special):
        found += [special[part]] if part in special else plain(part, merges, **given)
    return found


@wrong("plain", "over the borders of words: the text is one list of bytes, as in the demonstration", true="AcrossWords")
def over_borders(text, n):
    return learn(text, n, cut=lambda text: [text] if text else [])


@wrong("plain", "of equally frequent pairs the first one met", true="TiesByOrder")
def first_met(text, n):
    return learn(text, n, best=lambda counts: counts.most_common(1)[0][0])


@wrong("named", "it ends where a pair comes once alone, as Sennrich's does", true="StopsAtOnce")
def once_is_not_enough(text, n):
    words, merges = [(octets(word), times) for word, times in Counter(words_of(text)).items()], []
    for _ in range(n):
        counts = counted(words)
        if not counts or max(counts.values()) < 2:
            break
        merges.append(min(counts, key=lambda pair: (-counts[pair], pair)))
        words = [(joined(pieces, merges[-1]), times) for pieces, times in words]
    return merges


@wrong("plain", "the longest entry of the vocabulary, from the left", at=1, true="LongestPiece")
def longest_match(text, merges, special):
    ids = ids_of(merges)

    def pieces_of(word, merges):
        rest, found = word.encode(), []
        while rest:
            n = max(k for k in range(1, len(rest) + 1) if rest[:k] in ids)
            found, rest = [*found, rest[:n]], rest[n:]
        return found

    return in_parts(text, merges, special, pieces_of=pieces_of)


@wrong("plain", "from the left, whatever the rank", at=1, true="ByPlace")
def leftmost(text, merges, special):
    def pieces_of(word, merges):
        pieces = octets(word)
        while pair := next((pair for pair in pairwise(pieces) if pair in merges), None):
            pieces = joined(pieces, pair)
        return pieces

    return in_parts(text, merges, special, pieces_of=pieces_of)


@wrong("named", "special tokens are read as patterns", at=1, true="Unescaped")
def patterns(text, merges, special):
    def parts(text, special):
        return re.split("(" + "|".join(sorted(special, key=len, reverse=True)) + ")", text) if special else [text]

    return in_parts(text, merges, special, parts=parts)


@wrong("large", "the first hundred words", told=r"300 words")
def hundred(text, n):
    return learn(text, n, cut=lambda text: words_of(text)[:100])


@wrong("given", "merges are taken out as they are used", at=1)
def uses_up(text, merges, special):
    found, kept = [], [*merges]
    words = [
        (part, [] if part in special else [octets(word) for word in words_of(part)]) for part in parts_of(text, special)
    ]
    while merges:
        pair = merges.pop(0)
        words = [(part, [joined(pieces, pair) for pieces in some]) for part, some in words]
    ids = ids_of(kept)
    for part, some in words:
        found += [special[part]] if part in special else [ids[piece] for pieces in some for piece in pieces]
    return found


CACHE = {}


@wrong("again", "GPT-2's cache of words, whatever the merges", at=1)
def cached(text, merges, special):
    def pieces_of(word, merges):
        if word not in CACHE:
            CACHE[word] = pieces_by_rank(word, merges)
        return CACHE[word]

    return in_parts(text, merges, special, pieces_of=pieces_of)


@wrong("ones", "an empty text has an id", at=1, told=r"an empty text: ids has shape \(1,\)")
def empty_is_one(text, merges, special):
    return in_parts(text, merges, special) or [0]


@wrong("named", "what spells nothing is replaced", at=2, true="Replaced")
def replaced(ids, merges, special):
    return right_decode(ids, merges, special).decode("utf-8", errors="replace").encode()


@wrong("named", "special ids are left out, as skip_special_tokens has it", at=2, true="SpecialLost")
def skipped(ids, merges, special):
    return right_decode([i for i in ids if i not in special.values()], merges, special)


def right_decode(ids, merges, special):
    names = {i: text for text, i in special.items()}
    return b"".join(
        names[i].encode() if i in names else bytes([i]) if i < 256 else b"".join(merges[i - 256]) for i in ids
    )


ANSWERS.right_at(2)(right_decode)


@ANSWERS.right
def by_sorting(text, n):
    """Words as tuples in a list, every word by itself, and a sort."""
    words, merges = [tuple(octets(word)) for word in words_of(text)], []
    while len(merges) < n:
        counts = Counter(pair for word in words for pair in pairwise(word))
        if not counts:
            break
        pair = sorted(counts.items(), key=lambda item: (-item[1], item[0][0], item[0][1]))[0][0]
        merges += [pair]
        words = [tuple(joined(list(word), pair)) for word in words]
    return merges


@ANSWERS.right_at(1)
def place_by_place(text, merges, special):
    """Letter by letter with startswith; in a word the lowest rank is joined at its first place alone, and again."""
    rank, ids, found = {pair: r for r, pair in reversed([*enumerate(merges)])}, ids_of(merges), []

    def close(part):
        for word in words_of(part):
            pieces = octets(word)
            while True:
                ranked = [(rank[pair], i) for i, pair in enumerate(pairwise(pieces)) if pair in rank]
                if not ranked:
                    break
                _, i = min(ranked)
                pieces[i : i + 2] = [pieces[i] + pieces[i + 1]]
            found.extend(ids[piece] for piece in pieces)

    start = i = 0
    while i < len(text):
        here = [token for token in special if text.startswith(token, i)]
        if here:
            close(text[start:i])
            token = max(here, key=len)
            found.append(special[token])
            i = start = i + len(token)
        else:
            i += 1
    close(text[start:])
    return np.array(found, dtype=np.int64)
