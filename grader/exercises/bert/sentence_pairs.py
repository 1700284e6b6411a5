"""Pairs for next-sentence prediction. Devlin et al. 2019, section 3.1, task 2, and appendix A.2.

For each sentence A that has a next one: with probability 1/2, B is that next sentence (is_next = 1), else a random
sentence of another document (is_next = 0). While A and B with their three special tokens are longer than `longest`,
the longer of the two loses its last token. ids = [CLS] A [SEP] B [SEP], segments 0 up to the first [SEP], then 1.
"""

import itertools
import random

import torch

from grader.contract import Trusted


def reference(documents, longest, cls, sep, g):
    pairs = []
    for d, document in enumerate(documents):
        others = [other for i, other in enumerate(documents) if i != d]
        for a, following in itertools.pairwise(document):
            is_next = int(torch.randint(2, (), generator=g))
            if is_next:
                b = following
            else:
                other = others[torch.randint(len(others), (), generator=g)]
                b = other[torch.randint(len(other), (), generator=g)]
            n_a, n_b = len(a), len(b)
            while n_a + n_b + 3 > longest:
                if n_a > n_b:
                    n_a -= 1
                else:
                    n_b -= 1
            ids = [cls, *a[:n_a], sep, *b[:n_b], sep]
            segments = [0] * (1 + n_a + 1) + [1] * (n_b + 1)
            pairs.append((ids, segments, is_next))
    return pairs


TRUSTED = Trusted(reference, budget="two draws, a frame, segments and a cut")


class Steps:
    """The same in steps, so that a mistake below is written as the one step in which it differs."""

    frame = 3

    def __call__(self, documents, longest, cls, sep, g):
        pairs = []
        for d, document in enumerate(documents):
            for s in range(len(document) - 1):
                for is_next in self.coins(g):
                    B = document[s + 1] if is_next else self.stranger(documents, d, s, g)
                    a, b = self.cut(self.own(document[s]), self.own(B), longest - self.frame)
                    pairs.append((self.ids(a, b, cls, sep), self.segments(a, b), self.label(is_next)))
        return self.finished(pairs, longest)

    def coins(self, g):
        return (torch.rand((), generator=g).item() < 0.5,)

    def stranger(self, documents, d, s, g):
        other = torch.randint(len(documents) - 1, (), generator=g).item()
        document = documents[other + (other >= d)]
        return document[torch.randint(len(document), (), generator=g).item()]

    def own(self, sentence):
        return list(sentence)

    def cut(self, a, b, room):
        while len(a) + len(b) > room:
            longer = a if len(a) > len(b) else b
            longer.pop()
        return a, b

    def ids(self, a, b, cls, sep):
        return [cls, *a, sep, *b, sep]

    def segments(self, a, b):
        return [0] * (len(a) + 2) + [1] * (len(b) + 1)

    def label(self, is_next):
        return int(is_next)

    def finished(self, pairs, longest):
        return pairs


(wrong,) = TRUSTED.one_by_one(lambda steps: steps().__call__)


@wrong("`is_next` is the wrong way round: 1 (True) means that B follows A in the document.")
class Inverted(Steps):
    def label(self, is_next):
        return int(not is_next)


@wrong(
    "The sentence that should come from elsewhere comes from A's own document, though never the true next one. Leave "
    "the whole document out: its other sentences fit A far too well."
)
class SameDocument(Steps):
    def stranger(self, documents, d, s, g):
        document = documents[d]
        others = [i for i in range(len(document)) if i != s + 1]
        return document[others[torch.randint(len(others), (), generator=g).item()]]


@wrong(
    "The random sentence may come from A's own document, and is sometimes the true next one with `is_next` = 0: leave "
    "A's document out."
)
class AnyDocument(Steps):
    def stranger(self, documents, d, s, g):
        sentences = [sentence for document in documents for sentence in document]
        return sentences[torch.randint(len(sentences), (), generator=g).item()]


@wrong(
    "The other documents do not come up equally often: B is drawn from one pool of all their sentences, or some of "
    "them are never drawn from. First draw the document, each with the same chance, then one of its sentences."
)
class FlatPool(Steps):
    def stranger(self, documents, d, s, g):
        pool = [sentence for i, document in enumerate(documents) if i != d for sentence in document]
        return pool[torch.randint(len(pool), (), generator=g).item()]


@wrong("Every pair is a true one: in half of the pairs B must come from elsewhere, or there is nothing to learn.")
class AlwaysNext(Steps):
    def coins(self, g):
        return (True,)


@wrong("Each sentence gives two pairs, a true and a random one. Here each gives one, and a coin decides which.")
class BothForEach(Steps):
    def coins(self, g):
        return True, False


@wrong(
    "The text is treated as one long document: the last sentence of one document and the first of the next are no pair."
)
class AcrossDocuments(Steps):
    def __call__(self, documents, longest, cls, sep, g):
        # Every document but the last goes on with the next one's first sentence; strangers come from whole documents.
        self.whole = documents
        joined = [[*one, other[0]] for one, other in itertools.pairwise(documents)]
        return super().__call__([*joined, documents[-1]], longest, cls, sep, g)

    def stranger(self, documents, d, s, g):
        return super().stranger(self.whole, d, s, g)


@wrong("Not every random number comes from g, so the same seed gives other pairs each time: pass `generator=g`.")
class GeneratorIgnored(Steps):
    def __call__(self, documents, longest, cls, sep, g):
        return super().__call__(documents, longest, cls, sep, None)


@wrong("Every call gives the same pairs, because the function seeds a generator itself: draw from g as it is.")
class SeededInside(Steps):
    def __call__(self, documents, longest, cls, sep, g):
        return super().__call__(documents, longest, cls, sep, torch.Generator().manual_seed(0))


@wrong("The [SEP] between A and B is missing: without it, where does A end?")
class NoSepBetween(Steps):
    def ids(self, a, b, cls, sep):
        return [cls, *a, *b, sep]

    def segments(self, a, b):
        return [0] * (len(a) + 1) + [1] * (len(b) + 1)


@wrong("The [SEP] behind A is counted to segment 1. It ends A, so it has segment 0: len(A) + 2 zeros, [CLS] included.")
class SepInSegmentOne(Steps):
    def segments(self, a, b):
        return [0] * (len(a) + 1) + [1] * (len(b) + 2)


@wrong(
    "The whole list of ids is cut at `longest`, so the last [SEP] goes first, and with a long A all of B. Cut the "
    "sentences before you put them together."
)
class CutAtTheEnd(Steps):
    def cut(self, a, b, room):
        return a, b

    def finished(self, pairs, longest):
        return [(ids[:longest], segments[:longest], label) for ids, segments, label in pairs]


@wrong("`longest` counts [CLS] and both [SEP] too: the two sentences share longest - 3 places.")
class SpecialTokensNotCounted(Steps):
    frame = 0


@wrong("Nothing is cut: a pair must not be longer than `longest`.")
class NotCut(Steps):
    def cut(self, a, b, room):
        return a, b


@wrong("Only B is cut, even where A is the longer one: take each token from the one that is longer at that moment.")
class OnlyTheSecond(Steps):
    def cut(self, a, b, room):
        a = a[: room - 1]  # B keeps one token at least
        return a, b[: room - len(a)]


@wrong(
    "Each sentence is cut to half of the room. Where one is short, the other may keep more: what the short one leaves "
    "free is lost."
)
class HalfForEach(Steps):
    def cut(self, a, b, room):
        if len(a) + len(b) <= room:
            return a, b
        return a[: room // 2], b[: room // 2]


@wrong(
    "The documents lose their words: `pop` and `del` on a sentence change the input. Copy it first, `list(sentence)`."
)
class ChangesTheDocuments(Steps):
    def own(self, sentence):
        return sentence


TRUSTED.add_alternative("in_steps", Steps().__call__)


@TRUSTED.alternative
def drawn_at_once(documents, longest, cls, sep, g):
    """All coins first; strangers from the list of other documents; lengths by arithmetic."""
    starts = [(d, s) for d, document in enumerate(documents) for s in range(len(document) - 1)]
    coins = torch.randint(0, 2, (len(starts),), generator=g)
    pairs = []
    for (d, s), coin in zip(starts, coins, strict=True):
        A, B = documents[d][s], documents[d][s + 1]
        if coin == 0:
            document = (documents[:d] + documents[d + 1 :])[torch.randint(len(documents) - 1, (1,), generator=g)]
            B = document[torch.randint(len(document), (1,), generator=g)]
        room = longest - 3
        n_b = min(len(B), max(room - len(A), room // 2))
        A, B = A[: room - n_b], B[:n_b]
        ids = torch.tensor([cls, *A, sep, *B, sep])
        segments = torch.cat([torch.zeros(len(A) + 2), torch.ones(len(B) + 1)]).long()
        pairs.append((ids, segments, bool(coin)))
    return pairs


@TRUSTED.alternative
def with_rejection(documents, longest, cls, sep, g):
    """Draws documents until one is another; randomness from Python, seeded by g; tuples for lists."""
    chance = random.Random(torch.randint(2**31, (), generator=g).item())
    pairs = []
    for document in documents:
        for A, following in itertools.pairwise(document):
            is_next = chance.random() >= 0.5
            B = following
            while not is_next:
                other = chance.choice(documents)
                if other is not document:
                    B = chance.choice(other)
                    break
            a, b = A, B
            while len(a) + len(b) > longest - 3:
                a, b = (a[:-1], b) if len(a) >= len(b) else (a, b[:-1])
            ids = (cls, *a, sep, *b, sep)
            pairs.append([ids, [int(t > len(a) + 1) for t in range(len(ids))], int(is_next)])
    return pairs
