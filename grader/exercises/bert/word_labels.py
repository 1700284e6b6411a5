"""Token t has the label of word i = word_ids[t] where it is that word's first piece, and -100 elsewhere.

So Devlin et al. 2019, section 5.3: the first piece of a word is what the classifier of tokens is given.
"""

import itertools

import torch

from grader.contract import Trusted

IGNORED = -100


def reference(labels, word_ids):
    Y = torch.full((len(word_ids), max(len(ids) for ids in word_ids)), IGNORED)
    for b, ids in enumerate(word_ids):
        for t, i in enumerate(ids):
            if i is not None and i not in ids[:t]:
                Y[b, t] = labels[b][i]
    return Y


class Steps:
    """The same in steps, so that a mistake below is written as the one step in which it differs."""

    of_special = of_later = of_filler = IGNORED

    def __call__(self, labels, word_ids):
        rows = self.rows(labels, word_ids)
        T = max(map(len, rows))
        return torch.tensor([self.filled(row, [self.of_filler] * (T - len(row))) for row in rows])

    def rows(self, labels, word_ids):
        return [self.row(words, ids) for words, ids in zip(labels, word_ids, strict=True)]

    def row(self, words, ids):
        return [self.label(words, before, i) for before, i in itertools.pairwise([None, *ids])]

    def label(self, words, before, i):
        if self.is_special(i):
            return self.of_special
        return self.of_later if self.is_later(before, i) else self.of_word(words, i)

    def is_special(self, i):
        return i is None

    def is_later(self, before, i):
        return i == before

    def of_word(self, words, i):
        return words[i]

    def filled(self, row, filler):
        return row + filler


TRUSTED = Trusted(reference, budget="the given code has three slips: seven mistakes are what of it is left")
TRUSTED.add_alternative("in_steps", Steps())
(wrong_step,) = TRUSTED.one_by_one(lambda steps: steps())

# What is seen, and not which line does it: an answer of one's own errs like the given code in other ways.
WORD_ZERO = (
    "word 0 has no label (0 is false as None is, so ask `i is None`; and where `before` starts as 0, word 0 is taken "
    "for a later piece)"
)
LATER = (
    "later pieces of a word have its label too (compare with the word of the token before, and renew that each time)"
)
FILLER = "the filler has the label 0, which is a class (fill up with -100)"


@wrong_step(f"As in the given code, {WORD_ZERO}.")
class WordZeroLost(Steps):
    def is_special(self, i):
        return not i


@wrong_step(f"As in the given code, {LATER}.")
class EveryPiece(Steps):
    def is_later(self, before, i):
        return False


@wrong_step(f"As in the given code, {FILLER}.")
class PaddedWithZero(Steps):
    of_filler = 0


@wrong_step(
    "This is the code that you were given. What does `if i` say of word 0? Where does `before` learn of the word "
    "before? And what does cross-entropy make of a filler whose label is 0?"
)
class AsGiven(WordZeroLost, EveryPiece, PaddedWithZero):
    pass


@wrong_step(f"As in the given code, {WORD_ZERO}, and {LATER}.")
class FillerMended(WordZeroLost, EveryPiece):
    pass


@wrong_step(f"As in the given code, {WORD_ZERO}, and {FILLER}.")
class LaterMended(WordZeroLost, PaddedWithZero):
    pass


@wrong_step(f"As in the given code, {LATER}, and {FILLER}.")
class WordZeroMended(EveryPiece, PaddedWithZero):
    pass


@wrong_step("The label stands on the last piece of a word: it belongs on the first one.")
class LastPiece(Steps):
    def row(self, words, ids):
        return super().row(words, ids[::-1])[::-1]


@wrong_step("Special tokens have the label 0, as if they were words of that class: give them -100.")
class SpecialTokensAreZero(Steps):
    of_special = 0


@wrong_step("Later pieces have the label 0, as if they were words of that class: give them -100.")
class LaterPiecesAreZero(Steps):
    of_later = 0


@wrong_step(
    "The word of the token before is remembered from one sentence to the next: where no special token stands between "
    "them, word 0 of a sentence is taken for a later piece of the last one's. Forget it at the start of each row."
)
class NotForgotten(Steps):
    def rows(self, labels, word_ids):
        ends = [None, *(ids[-1] if ids else None for ids in word_ids)]
        return [
            [self.label(words, before, i) for before, i in itertools.pairwise([end, *ids])]
            for words, ids, end in zip(labels, word_ids, ends, strict=False)
        ]


@wrong_step(
    "The first token of a sentence is compared with its last one: `ids[t - 1]` is `ids[-1]` there, and `roll` begins "
    "again at the end. A sentence that is one word, without special tokens, loses its label. Nothing stands before a "
    "first token."
)
class FirstAfterLast(Steps):
    def row(self, words, ids):
        return [self.label(words, before, i) for before, i in itertools.pairwise([*ids[-1:], *ids])]


@wrong_step(
    "Numbers of words are compared as objects (`is`). Python keeps one object for each small number, and not for each "
    "large one: in a long text two pieces of one word seem to be of two words. Compare with `==`; `is` is for None."
)
class SameObject(Steps):
    def is_later(self, before, i):
        return i is before


@wrong_step(
    "All rows are one and the same list, which holds the labels of all sentences: `[row] * B` is B times that list. "
    "Make a row for each sentence (`[[-100] * T for _ in range(B)]`)."
)
class OneListForAll(Steps):
    def rows(self, labels, word_ids):
        rows = [[self.of_filler] * max(map(len, word_ids))] * len(word_ids)
        for kept, row in zip(rows, super().rows(labels, word_ids), strict=True):
            kept[: len(row)] = [old if new == IGNORED else new for old, new in zip(kept, row, strict=False)]
        return rows


@wrong_step(
    "A word counts as seen once any sentence of the batch has a word of that number: only the first sentence keeps all "
    "its labels. Begin anew for each sentence."
)
class SeenInAnySentence(Steps):
    def rows(self, labels, word_ids):
        done, rows = {None}, []
        for words, ids in zip(labels, word_ids, strict=True):
            first = [t for t, i in enumerate(ids) if i not in {*ids[:t]} | done]
            rows.append([words[i] if t in first else IGNORED for t, i in enumerate(ids)])
            done.update(ids)
        return rows


@wrong_step(
    "Labels are handed out in order, at each new word the next one. A row may lack words, at its start too: look up "
    "`labels[b][i]` by the number i of the word."
)
class LabelsInOrder(Steps):
    def row(self, words, ids):
        left = iter(words)
        return super().row({i: next(left) for i in dict.fromkeys(ids) if i is not None}, ids)


@wrong_step("Words whose label is -100 get class 0: they have no label, and neither have their tokens.")
class UnlabelledAreZero(Steps):
    def of_word(self, words, i):
        return max(words[i], 0)


@wrong_step("Words of class 0 lose their label: 0 is a class like any other, and only -100 says that there is none.")
class ClassZeroLost(Steps):
    def of_word(self, words, i):
        return words[i] or IGNORED


@wrong_step(
    "A new word is said to begin where the label changes: neighbours of the same class are two words all the same. "
    "Compare the numbers of the words."
)
class LabelsCompared(Steps):
    def row(self, words, ids):
        of_token = [IGNORED if i is None else words[i] for i in ids]
        return [IGNORED if y == before else y for before, y in itertools.pairwise([None, *of_token])]


@wrong_step(
    "Tokens are counted as if each were a word: behind the first word of two pieces all labels stand too far to the "
    "left. `word_ids` says which word a token belongs to."
)
class ByPlace(Steps):
    def row(self, words, ids):
        return [IGNORED, *words, *([IGNORED] * len(ids))][: len(ids)]


@wrong_step(
    "Each token has the label of the word before its own: `word_ids` counts words from 0, and special tokens are not "
    "counted."
)
class OneLabelBack(Steps):
    def of_word(self, words, i):
        return words[i - 1]


@wrong_step("The rows are filled up on the left: labels stand where their tokens do, and filler on the right.")
class PaddedOnTheLeft(Steps):
    def filled(self, row, filler):
        return filler + row


@TRUSTED.alternative
def by_difference(labels, word_ids):
    ids = [torch.tensor([-1 if i is None else i for i in row], dtype=torch.long) for row in word_ids]
    rows = []
    for words, row in zip(labels, ids, strict=True):
        first = torch.cat([torch.ones(1, dtype=torch.bool), row[1:] != row[:-1]]) & (row >= 0)
        rows.append(torch.where(first, torch.tensor([*words, IGNORED])[row], IGNORED))
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORED)


@TRUSTED.alternative
def by_taking_away(labels, word_ids):
    rows = []
    for words, ids in zip(labels, word_ids, strict=True):
        left = dict(enumerate(words))
        rows.append([left.pop(i, IGNORED) for i in ids])
    return torch.tensor(list(itertools.zip_longest(*rows, fillvalue=IGNORED))).T.contiguous()
