"""Answers to bert.sentence_pairs."""

import itertools
import random

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.sentence_pairs",
    spared={
        "far": "ids are names, not sizes",
        "unwatched": "nothing is watched but the results",
    },
)


def draw(n, g):
    return int(torch.randint(n, (), generator=g))


def coin(g):
    return bool(torch.rand((), generator=g) < 0.5)


def stranger(documents, d, g):
    other = draw(len(documents) - 1, g)
    other += other >= d
    return documents[other][draw(len(documents[other]), g)]


def cut(a, b, room):
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        (a if len(a) > len(b) else b).pop()
    return a, b


def pair(A, B, is_next, longest, cls, sep):
    a, b = cut(A, B, longest - 3)
    return [cls, *a, sep, *b, sep], [0] * (len(a) + 2) + [1] * (len(b) + 1), int(is_next)


def pairs(documents, longest, cls, sep, g, toss=coin, other=stranger, make=pair):
    found = []
    for d, document in enumerate(documents):
        for A, following in itertools.pairwise(document):
            is_next = toss(g)
            B = following if is_next else other(documents, d, g)
            found.append(make(A, B, is_next, longest, cls, sep))
    return found


@ANSWERS.wrong(
    "dependence",
    "a flat pool: long documents give more strangers than short ones",
    true="FlatPool",
    told=r"first draw another document",
)
def flat_pool(documents, longest, cls, sep, g):
    def other(documents, d, g):
        pool = [sentence for e, document in enumerate(documents) if e != d for sentence in document]
        return pool[draw(len(pool), g)]

    return pairs(documents, longest, cls, sep, g, other=other)


@ANSWERS.wrong(
    "dependence", "never the first sentence of another document", told=r"are never drawn as B|first draw another"
)
def never_the_first(documents, longest, cls, sep, g):
    def other(documents, d, g):
        others = [e for e in range(len(documents)) if e != d and len(documents[e]) > 1] or [(d + 1) % len(documents)]
        document = documents[others[draw(len(others), g)]]
        return document[1 + draw(len(document) - 1, g)] if len(document) > 1 else document[0]

    return pairs(documents, longest, cls, sep, g, other=other)


@ANSWERS.wrong("dependence", "always the first sentence of another document", told=r"are never drawn as B")
def always_the_first(documents, longest, cls, sep, g):
    def other(documents, d, g):
        e = draw(len(documents) - 1, g)
        return documents[e + (e >= d)][0]

    return pairs(documents, longest, cls, sep, g, other=other)


@ANSWERS.wrong("dependence", "strangers come from the next document only", told=r"all come from one other document")
def next_document(documents, longest, cls, sep, g):
    def other(documents, d, g):
        document = documents[(d + 1) % len(documents)]
        return document[draw(len(document), g)]

    return pairs(documents, longest, cls, sep, g, other=other)


@ANSWERS.wrong("dependence", "labels take turns: 1, 0, 1, 0", told=r"toss a coin for each pair")
def by_turns(documents, longest, cls, sep, g):
    turns = itertools.cycle([True, False])
    return pairs(documents, longest, cls, sep, g, toss=lambda g: next(turns))


@ANSWERS.wrong("dependence", "exactly half of the labels, in random order", told=r"toss a coin for each pair")
def exactly_half(documents, longest, cls, sep, g):
    n = sum(len(document) - 1 for document in documents)
    labels = iter((torch.randperm(n, generator=g) < (n + 1) // 2).tolist())
    return pairs(documents, longest, cls, sep, g, toss=lambda g: next(labels))


@ANSWERS.wrong("dependence", "one coin for each document", told=r"toss a coin for each pair")
def one_coin_each(documents, longest, cls, sep, g):
    coins = [coin(g) for _ in documents]
    labels = iter([c for c, document in zip(coins, documents, strict=True) for _ in document[1:]])
    return pairs(documents, longest, cls, sep, g, toss=lambda g: next(labels))


@ANSWERS.wrong(
    "dependence", "one stranger for all pairs of a document", told=r"the same stranger stands in several pairs"
)
def one_stranger_each(documents, longest, cls, sep, g):
    strangers = [stranger(documents, d, g) for d in range(len(documents))]
    return pairs(documents, longest, cls, sep, g, other=lambda documents, d, g: strangers[d])


@ANSWERS.wrong(
    "plain",
    "another document may be the sentence's own (any index is drawn)",
    true="AnyDocument",
    told=r"although B is the sentence that follows A",
)
def own_document_too(documents, longest, cls, sep, g):
    def other(documents, d, g):
        document = documents[draw(len(documents), g)]
        return document[draw(len(document), g)]

    return pairs(documents, longest, cls, sep, g, other=other)


@ANSWERS.wrong("plain", "a third of the pairs follow", told=r"3.% of the pairs B follows A, expected half")
def a_third(documents, longest, cls, sep, g):
    return pairs(documents, longest, cls, sep, g, toss=lambda g: bool(torch.rand((), generator=g) < 1 / 3))


@ANSWERS.wrong("plain", "labels are the wrong way round, as the original BERT has them (0: is next)", true="Inverted")
def inverted_labels(documents, longest, cls, sep, g):
    return [(ids, segments, 1 - n) for ids, segments, n in pairs(documents, longest, cls, sep, g)]


@ANSWERS.wrong("plain", "two pairs for each sentence: one that follows, one that does not", true="BothForEach")
def both_pairs(documents, longest, cls, sep, g):
    found = []
    for d, document in enumerate(documents):
        for A, following in itertools.pairwise(document):
            found.append(pair(A, following, True, longest, cls, sep))
            found.append(pair(A, stranger(documents, d, g), False, longest, cls, sep))
    return found


@ANSWERS.wrong(
    "onward",
    "each second sentence begins a pair only: what was B is not A again",
    told=r"do not all begin a pair in every call",
)
def without_overlap(documents, longest, cls, sep, g):
    found = []
    for d, document in enumerate(documents):
        for A, following in zip(document[::2], document[1::2], strict=False):
            is_next = coin(g)
            B = following if is_next else stranger(documents, d, g)
            found.append(pair(A, B, is_next, longest, cls, sep))
    return found


@ANSWERS.wrong(
    "onward",
    "the last sentence of a document is paired with a stranger too",
    told=r"the last sentence of a document begins a pair",
)
def last_one_too(documents, longest, cls, sep, g):
    found = pairs(documents, longest, cls, sep, g)
    return found + [
        pair(doc[-1], stranger(documents, d, g), False, longest, cls, sep) for d, doc in enumerate(documents)
    ]


@ANSWERS.wrong(
    "named",
    "room for two special tokens only",
    true="SpecialTokensNotCounted",
    told=r"are longer than `longest`, special",
)
def two_special_tokens(documents, longest, cls, sep, g):
    return pairs(documents, longest + 1, cls, sep, g)


def made_by(cutting):
    def make(A, B, is_next, longest, cls, sep):
        a, b = cutting(list(A), list(B), longest - 3)
        return [cls, *a, sep, *b, sep], [0] * (len(a) + 2) + [1] * (len(b) + 1), int(is_next)

    return make


@ANSWERS.wrong("plain", "each is cut to half of the room", true="HalfForEach")
def halved(documents, longest, cls, sep, g):
    return pairs(documents, longest, cls, sep, g, make=made_by(lambda a, b, room: (a[: room // 2], b[: room // 2])))


@ANSWERS.wrong("plain", "the end of the whole is cut off, its [SEP] too", true="CutAtTheEnd")
def end_cut_off(documents, longest, cls, sep, g):
    found = pairs(documents, 10**6, cls, sep, g)
    return [(ids[:longest], segments[:longest], n) for ids, segments, n in found]


@ANSWERS.wrong("plain", "only B is cut", true="OnlyTheSecond", told=r"have B cut although A is longer")
def only_b(documents, longest, cls, sep, g):
    return pairs(
        documents, longest, cls, sep, g, make=made_by(lambda a, b, room: (a[: room - 1], b[: max(room - len(a), 1)]))
    )


@ANSWERS.wrong(
    "plain",
    "the longer one loses its first token, as BERT's own code does at random",
    told=r"cut elsewhere than at its end",
)
def from_the_front(documents, longest, cls, sep, g):
    def cutting(a, b, room):
        while len(a) + len(b) > room:
            (a if len(a) > len(b) else b).pop(0)
        return a, b

    return pairs(documents, longest, cls, sep, g, make=made_by(cutting))


@ANSWERS.wrong(
    "given", "the documents' own sentences are cut", true="ChangesTheDocuments", told=r"changes its input documents"
)
def cuts_the_documents(documents, longest, cls, sep, g):
    def cutting(a, b, room):
        while len(a) + len(b) > room:
            (a if len(a) > len(b) else b).pop()
        return a, b

    def make(A, B, is_next, longest, cls, sep):
        a, b = cutting(A, B, longest - 3)
        return [cls, *a, sep, *b, sep], [0] * (len(a) + 2) + [1] * (len(b) + 1), int(is_next)

    return pairs(documents, longest, cls, sep, g, make=make)


@ANSWERS.wrong("plain", "segment 1 begins at the first [SEP]", true="SepInSegmentOne")
def segment_at_sep(documents, longest, cls, sep, g):
    return [
        (ids, [0] * ids.index(sep) + [1] * (len(ids) - ids.index(sep)), n)
        for ids, _, n in pairs(documents, longest, cls, sep, g)
    ]


@ANSWERS.wrong("plain", "no [SEP] at the end", told=r"do not end with \[SEP\]")
def without_last_sep(documents, longest, cls, sep, g):
    return [(ids[:-1], segments[:-1], n) for ids, segments, n in pairs(documents, longest, cls, sep, g)]


@ANSWERS.wrong(
    "surroundings", "tosses with Python's random", true="GeneratorIgnored", told=r"draw every random number from g"
)
def python_coin(documents, longest, cls, sep, g):
    return pairs(documents, longest, cls, sep, g, toss=lambda g: random.random() < 0.5)


@ANSWERS.wrong(
    "surroundings",
    "tosses with torch's global generator",
    true="GeneratorIgnored",
    told=r"draw every random number from g",
)
def global_coin(documents, longest, cls, sep, g):
    return pairs(documents, longest, cls, sep, g, toss=lambda g: bool(torch.rand(()) < 0.5))


@ANSWERS.wrong("again", "seeds g anew at each call", told="draw new numbers from g in each")
def seeded_anew(documents, longest, cls, sep, g):
    g.manual_seed(1)
    return pairs(documents, longest, cls, sep, g)


@ANSWERS.wrong("again", "pairs of earlier calls stay in a default argument", told=r"more than one pair in a call")
def growing(documents, longest, cls, sep, g, found=[]):  # noqa: B006  # the slip
    found += pairs(documents, longest, cls, sep, g)
    return found


@ANSWERS.wrong(
    "ones",
    "a document of one sentence is paired with a stranger",
    told=r"the last sentence of a document begins a pair",
)
def single_sentences_too(documents, longest, cls, sep, g):
    found = pairs(documents, longest, cls, sep, g)
    return found + [
        pair(doc[0], stranger(documents, d, g), False, longest, cls, sep)
        for d, doc in enumerate(documents)
        if len(doc) == 1
    ]


@ANSWERS.wrong(
    "large", "no more than ten sentences of a document begin a pair", told=r"do not all begin a pair in every call"
)
def ten_at_most(documents, longest, cls, sep, g):
    return pairs([document[:11] for document in documents], longest, cls, sep, g)


@ANSWERS.wrong(
    "named", "pairs that do not fit are left out", told="every sentence that has a next one|do not all begin"
)
def left_out(documents, longest, cls, sep, g):
    return [p for p in pairs(documents, 10**6, cls, sep, g) if len(p[0]) <= longest]


@ANSWERS.wrong("named", "strangers never come from a document of one sentence", true="FlatPool")
def never_alone(documents, longest, cls, sep, g):
    def other(documents, d, g):
        others = [e for e, document in enumerate(documents) if e != d and len(document) > 1]
        document = documents[others[draw(len(others), g)]] if others else documents[d - 1]
        return document[draw(len(document), g)]

    return pairs(documents, longest, cls, sep, g, other=other)


@ANSWERS.wrong("plain", "the longer one is cut at once, as far as it takes", told="longer than `longest`")
def longer_at_once(documents, longest, cls, sep, g):
    def cutting(a, b, room):
        if len(a) + len(b) <= room:
            return a, b
        return (a[: max(room - len(b), 1)], b) if len(a) > len(b) else (a, b[: max(room - len(a), 1)])

    return pairs(documents, longest, cls, sep, g, make=made_by(cutting))


@ANSWERS.wrong("plain", "segments are 1 and 2", told="segments that are not 0 up to the first")
def segments_from_one(documents, longest, cls, sep, g):
    return [(ids, [s + 1 for s in segments], n) for ids, segments, n in pairs(documents, longest, cls, sep, g)]


@ANSWERS.wrong("plain", "A and B are exchanged where B follows")
def exchanged(documents, longest, cls, sep, g):
    def make(A, B, is_next, longest, cls, sep):
        return pair(B, A, is_next, longest, cls, sep) if is_next else pair(A, B, is_next, longest, cls, sep)

    return pairs(documents, longest, cls, sep, g, make=make)


@ANSWERS.right
def in_random_order(documents, longest, cls, sep, g):
    """The pairs shuffled: no order is asked for."""
    found = pairs(documents, longest, cls, sep, g)
    return [found[i] for i in torch.randperm(len(found), generator=g).tolist()]


@ANSWERS.right
def by_masks(documents, longest, cls, sep, g):
    owners = [(d, s) for d, document in enumerate(documents) for s in range(len(document) - 1)]
    follows = torch.randint(2, (len(owners),), generator=g).bool()
    found = []
    for (d, s), n in zip(owners, follows, strict=True):
        others = documents[:d] + documents[d + 1 :]
        document = others[draw(len(others), g)]
        B = documents[d][s + 1] if n else document[draw(len(document), g)]
        found.append(pair(documents[d][s], B, n, longest, cls, sep))
    return tuple(found)


@ANSWERS.right
def tried_again(documents, longest, cls, sep, g):
    """Another document by drawing until it is another one; the first of two equally long ones is cut."""

    def other(documents, d, g):
        while (e := draw(len(documents), g)) == d:
            pass
        return documents[e][draw(len(documents[e]), g)]

    def cutting(a, b, room):
        while len(a) + len(b) > room:
            (a if len(a) >= len(b) else b).pop(-1)
        return a, b

    return pairs(documents, longest, cls, sep, g, other=other, make=made_by(cutting))


@ANSWERS.right
def by_a_seed_for_python(documents, longest, cls, sep, g):
    rng = random.Random(int(torch.randint(2**62, (), generator=g)))

    def other(documents, d, g):
        return rng.choice(rng.choice([document for e, document in enumerate(documents) if e != d]))

    found = pairs(documents, longest, cls, sep, g, toss=lambda g: rng.random() < 0.5, other=other)
    return [[torch.tensor(ids), torch.tensor(segments), bool(n)] for ids, segments, n in found]


@ANSWERS.right
def by_cumulative_shares(documents, longest, cls, sep, g):
    """A stranger from one number: which document, and the rest of it for the sentence."""

    def other(documents, d, g):
        others = documents[:d] + documents[d + 1 :]
        u = float(torch.rand((), generator=g, dtype=torch.float64)) * len(others)
        document = others[int(u)]
        return document[int((u - int(u)) * len(document))]

    return [list(p) for p in pairs(documents, longest, cls, sep, g, other=other)]
