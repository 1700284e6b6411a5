"""Byte-pair encoding: Sennrich, Haddow and Birch 2016, algorithm 1, on words' bytes as in Radford et al. 2019, 2.2.

`train` joins the most frequent pair of neighbours within words, n times; of equally frequent ones the smallest pair.
`encode` joins in a word the pair of the lowest rank, as long as there is one. Id 256 + r is what merge r gives.
"""

import re
from collections import Counter
from itertools import pairwise

from grader.contract import Trusted

WORDS = re.compile(r" ?[^ ]+| +")


def joined(pieces, pair):
    """All places of the pair, from the left; what was just joined is not joined again."""
    found, i = [], 0
    while i < len(pieces):
        both = tuple(pieces[i : i + 2]) == pair
        found.append(pieces[i] + pieces[i + 1] if both else pieces[i])
        i += 1 + both
    return found


def octets(word):
    return [bytes([byte]) for byte in word.encode()]


class Train:
    """Learning in steps: the reference, and a mistake is written as the step in which it differs."""

    def __call__(self, text, n):
        words, merges = self.words(text), []
        for _ in range(n):
            counts = self.counts(words)
            if not self.worthy(counts):
                break
            pair = self.best(counts)
            merges.append(pair)
            words = [(self.joined(pieces, pair), times) for pieces, times in words]
        return merges

    def words(self, text):
        return [(self.octets(word), times) for word, times in Counter(WORDS.findall(text)).items()]

    def octets(self, word):
        return octets(word)

    def counts(self, words):
        found = Counter()
        for pieces, times in words:
            for pair in pairwise(pieces):
                found[pair] += times
        return found

    def worthy(self, counts):
        return bool(counts)

    def best(self, counts):
        return min(counts, key=lambda pair: (-counts[pair], pair))

    def joined(self, pieces, pair):
        return joined(pieces, pair)


class Encode:
    """Encoding in steps."""

    def __call__(self, text, merges, special):
        ranks = {pair: rank for rank, pair in enumerate(merges)}
        ids = []
        for part in self.parts(text, special):
            if part in special:
                ids.append(special[part])
            else:
                ids += [self.id(p, merges) for word in self.words(part) for p in self.pieces(octets(word), ranks)]
        return ids

    def parts(self, text, special):
        return re.split(f"({self.pattern(special)})", text) if special else [text]

    def pattern(self, special):
        return "|".join(re.escape(token) for token in sorted(special, key=len, reverse=True))

    def words(self, part):
        return WORDS.findall(part)

    def pieces(self, pieces, ranks):
        while pairs := [pair for pair in pairwise(pieces) if pair in ranks]:
            pieces = joined(pieces, min(pairs, key=ranks.get))
        return pieces

    def id(self, piece, merges):
        return piece[0] if len(piece) == 1 else 256 + [x + y for x, y in merges].index(piece)


class Decode:
    """Decoding in steps."""

    def __call__(self, ids, merges, special):
        names = self.names(merges, special)
        return self.result([names[id] for id in ids])

    def names(self, merges, special):
        made = {256 + rank: x + y for rank, (x, y) in enumerate(merges)}
        return {i: bytes([i]) for i in range(256)} | made | {id: token.encode() for token, id in special.items()}

    def result(self, pieces):
        return b"".join(pieces)


TRUSTED = Trusted(
    (lambda *given: Train()(*given), lambda *given: Encode()(*given), lambda *given: Decode()(*given)),
    budget="three functions, each with slips of its own",
)
wrong_train, wrong_encode, wrong_decode = TRUSTED.one_by_one(
    *(lambda steps: lambda *given: steps()(*given),) * 3,
)


@wrong_train("train joins the first pair that it meets: the most frequent one is joined.")
class FirstPair(Train):
    def best(self, counts):
        return next(iter(counts))


@wrong_train(
    "Of equally frequent pairs train takes the one that was met first (as `max` and `most_common` do): the smallest "
    "pair is taken, for the order in which words are counted is an accident."
)
class TiesByOrder(Train):
    def best(self, counts):
        return max(counts, key=counts.get)


@wrong_train("Of equally frequent pairs train takes the largest one: the smallest is taken.")
class LargestOfTies(Train):
    def best(self, counts):
        return max(counts, key=lambda pair: (counts[pair], pair))


@wrong_train("train joins pairs across words: cut the text into words first, and count within each.")
class AcrossWords(Train):
    def words(self, text):
        return [(octets(text), 1)]


@wrong_train("train counts each different word once: a word that comes a hundred times counts a hundred times.")
class WordsOnce(Train):
    def words(self, text):
        return [(pieces, 1) for pieces, _ in super().words(text)]


@wrong_train("train joins letters: it begins with the bytes of UTF-8, of which a letter may have several.")
class Letters(Train):
    def octets(self, word):
        return [letter.encode() for letter in word]


@wrong_train("train stops at pairs that come once: it goes on until n merges are made or no pair is left.")
class StopsAtOnce(Train):
    def worthy(self, counts):
        return max(counts.values(), default=0) > 1


@wrong_train("train does not stop when no pair is left, and fails: then it returns the merges that it has.")
class FailsAtTheEnd(Train):
    def worthy(self, counts):
        return True


@wrong_train("train joins a pair at its first place in a word alone: all of its places are joined.")
class OnePlace(Train):
    def joined(self, pieces, pair):
        for i, both in enumerate(pairwise(pieces)):
            if both == pair:
                return [*pieces[:i], pieces[i] + pieces[i + 1], *pieces[i + 2 :]]
        return pieces


@wrong_train("train throws the spaces away: a word begins with the space before it, which is a byte like the others.")
class NoSpaces(Train):
    def words(self, text):
        return [(octets(word), times) for word, times in Counter(text.split()).items()]


@wrong_encode(
    "encode joins whatever pair comes first in the text: the pair with the lowest rank, which was learned first, is "
    "joined first."
)
class ByPlace(Encode):
    def pieces(self, pieces, ranks):
        while pairs := [pair for pair in pairwise(pieces) if pair in ranks]:
            pieces = joined(pieces, pairs[0])
        return pieces


@wrong_encode("encode takes the longest piece that it knows, as WordPiece does: join pairs by their rank.")
class LongestPiece(Encode):
    def pieces(self, pieces, ranks):
        known, whole, found = {x + y for x, y in ranks}, b"".join(pieces), []
        while whole:
            size = next((n for n in range(len(whole), 1, -1) if whole[:n] in known), 1)
            found.append(whole[:size])
            whole = whole[size:]
        return found


@wrong_encode("encode joins the pair with the *highest* rank first: low ranks were learned first, and come first.")
class HighestRank(Encode):
    def pieces(self, pieces, ranks):
        while pairs := [pair for pair in pairwise(pieces) if pair in ranks]:
            pieces = joined(pieces, max(pairs, key=ranks.get))
        return pieces


@wrong_encode(
    "encode goes through the merges once per word and joins one place of each: a pair may stand there several times."
)
class OnceEach(Encode):
    def pieces(self, pieces, ranks):
        for pair in ranks:
            pieces = OnePlace().joined(pieces, pair)
        return pieces


@wrong_encode("encode joins across words: cut the text into words, as train did.")
class EncodesAcross(Encode):
    def words(self, part):
        return [part] if part else []


@wrong_encode(
    "encode does not look for special tokens, or finds none that stands inside of a word: cut the text at them first, "
    "each is one id."
)
class NoSpecial(Encode):
    def parts(self, text, special):
        return [text]


@wrong_encode(
    "encode finds `<|end|>` wherever it stands. Text of users may hold it: only what is in `special` is special."
)
class AlwaysSpecial(Encode):
    def __call__(self, text, merges, special):
        return super().__call__(text, merges, {"<|end|>": 300} | special)


@wrong_encode(
    "Of two special tokens that begin alike encode takes the shorter one, or the one that was listed first: look for "
    "the longest first."
)
class ShortestFirst(Encode):
    def pattern(self, special):
        return "|".join(re.escape(token) for token in sorted(special, key=len))


@wrong_encode(
    "encode reads special tokens as patterns, in which | . [ and + have meanings of their own: `re.escape` them."
)
class Unescaped(Encode):
    def pattern(self, special):
        return "|".join(sorted(special, key=len, reverse=True))


@wrong_decode(
    "decode fails on half a letter: it gives bytes, whatever they spell, and leaves text to whoever reads them."
)
class StrictText(Decode):
    def result(self, pieces):
        return b"".join(pieces).decode().encode()


@wrong_decode("decode replaces what is no text by a sign for it: the bytes themselves are asked for.")
class Replaced(Decode):
    def result(self, pieces):
        return b"".join(pieces).decode(errors="replace").encode()


@wrong_decode("decode makes text of each id by itself, and a letter may need several: join the bytes first.")
class PieceByPiece(Decode):
    def result(self, pieces):
        return "".join(piece.decode(errors="replace") for piece in pieces).encode()


@wrong_decode("decode returns text: bytes are asked for.")
class ReturnsText(Decode):
    def result(self, pieces):
        return b"".join(pieces).decode(errors="replace")


@wrong_decode("decode leaves special tokens out: they are bytes of the text like the others.")
class SpecialLost(Decode):
    def names(self, merges, special):
        return super().names(merges, special) | dict.fromkeys(special.values(), b"")


def train_with_strings(text, n):
    """Latin-1 letters stand for bytes: they are sorted as bytes are."""
    counts = Counter(word.encode().decode("latin-1") for word in WORDS.findall(text))
    words = {tuple(word): times for word, times in counts.items()}
    merges = []
    while len(merges) < n:
        pairs = Counter()
        for word, times in words.items():
            for pair in pairwise(word):
                pairs[pair] += times
        if not pairs:
            break
        pair = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[0][0]
        merges.append(tuple(piece.encode("latin-1") for piece in pair))
        words = dict(_rewritten(words, pair))
    return merges


def _rewritten(words, pair):
    for word, times in words.items():
        new = []
        for piece in word:
            if new and (new[-1], piece) == pair:
                new[-1] += piece
            else:
                new.append(piece)
        yield tuple(new), times


def encode_by_ids(text, merges, special):
    """Pairs of ids in place of pairs of bytes."""
    number = {bytes([i]): i for i in range(256)}
    for x, y in merges:
        number.setdefault(x + y, 256 + merges.index((x, y)))
    table = {(number[x], number[y]): number[x + y] for x, y in merges if x in number and y in number}
    ids, start = [], 0
    while start < len(text):
        token = max((t for t in special if text.startswith(t, start)), key=len, default=None)
        if token is not None:
            ids.append(special[token])
            start += len(token)
            continue
        end = min((i for t in special if (i := text.find(t, start)) >= 0), default=len(text))
        for word in WORDS.findall(text[start:end]):
            row = [*word.encode()]
            while len(row) > 1:
                new, at = min((table.get(pair, 10**9), i) for i, pair in enumerate(pairwise(row)))
                if new == 10**9:
                    break
                row[at : at + 2] = [new]
            ids += row
        start = end
    return ids


def decode_into_an_array(ids, merges, special):
    out, names = bytearray(), {id: token for token, id in special.items()}
    for id in ids:
        if id in names:
            out += names[id].encode()
        elif id < 256:
            out.append(id)
        else:
            out += b"".join(merges[id - 256])
    return bytes(out)


def train_incrementally(text, n):
    """Only the words that held a pair are counted anew."""
    words = [[octets(word), times] for word, times in Counter(WORDS.findall(text)).items()]
    counts, where = Counter(), {}
    for i, (pieces, times) in enumerate(words):
        for pair in pairwise(pieces):
            counts[pair] += times
            where.setdefault(pair, set()).add(i)
    merges = []
    while len(merges) < n and (most := max(counts.values(), default=0)) > 0:
        best = min(pair for pair, count in counts.items() if count == most)
        merges.append(best)
        for i in list(where[best]):
            pieces, times = words[i]
            for pair in pairwise(pieces):
                counts[pair] -= times
            words[i][0] = joined(pieces, best)
            for pair in pairwise(words[i][0]):
                counts[pair] += times
                where.setdefault(pair, set()).add(i)
    return merges


def encode_in_order(text, merges, special):
    """All merges, one after the other, over each word."""
    reference = Encode()
    found = []
    for part in reference.parts(text, special):
        if part in special:
            found += [special[part]]
            continue
        for word in WORDS.findall(part):
            pieces = octets(word)
            for pair in merges:
                pieces = joined(pieces, pair)
            found += [reference.id(piece, merges) for piece in pieces]
    return found


def decode_by_a_list(ids, merges, special):
    table = [bytes((i,)) for i in range(256)] + [b"".join(pair) for pair in merges]
    names = dict(zip(special.values(), special, strict=True))
    return b"".join(names[i].encode("utf-8") if i in names else table[i] for i in ids)


TRUSTED.add_alternative("by_ids", train_with_strings, encode_by_ids, decode_into_an_array)
TRUSTED.add_alternative("incremental", train_incrementally, encode_in_order, decode_by_a_list)
