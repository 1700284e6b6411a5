"""What stands in for "Byte pairs" while it is unsolved: plain, for no public library breaks ties by this rule."""

import re
from collections import Counter
from itertools import pairwise


def train(text, n):
    words = Counter(re.findall(r" ?[^ ]+| +", text))
    pieces = {word: [bytes([byte]) for byte in word.encode()] for word in words}
    merges = []
    while len(merges) < n:
        counts = Counter()
        for word, times in words.items():
            for pair in pairwise(pieces[word]):
                counts[pair] += times
        if not counts:
            break
        most = max(counts.values())
        merges.append(min(pair for pair, times in counts.items() if times == most))
        pieces = {word: _merged(found, merges[-1]) for word, found in pieces.items()}
    return merges


def _merged(pieces, pair):
    found = []
    for piece in pieces:
        if found and (found[-1], piece) == pair:
            found[-1] += piece
        else:
            found.append(piece)
    return found


def encode(text, merges, special):
    ids = {bytes([i]): i for i in range(256)} | {x + y: 256 + i for i, (x, y) in reversed([*enumerate(merges)])}
    known = "|".join(map(re.escape, sorted(special, key=len, reverse=True)))
    found = []
    for part in re.split(f"({known})", text) if known else [text]:
        if part in special:
            found.append(special[part])
            continue
        for word in re.findall(r" ?[^ ]+| +", part):
            pieces = [bytes([byte]) for byte in word.encode()]
            for pair in merges:
                pieces = _merged(pieces, pair)
            found += [ids[piece] for piece in pieces]
    return found


def decode(ids, merges, special):
    names = {id: text.encode() for text, id in special.items()}
    names |= {i: bytes([i]) for i in range(256)} | {256 + i: x + y for i, (x, y) in enumerate(merges)}
    return b"".join(names[id] for id in ids)


LIBRARY = (train, encode, decode)
