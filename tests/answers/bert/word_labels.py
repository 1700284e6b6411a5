"""Answers to bert.word_labels."""

import itertools

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.word_labels",
    spared={
        "far": "labels are names, and no arithmetic is done with them",
        "dependence": "nothing is drawn",
        "unwatched": "one tensor is compared",
    },
)
wrong = ANSWERS.wrong


def filled(rows, value=-100):
    T = max(map(len, rows))
    return torch.tensor([row + [value] * (T - len(row)) for row in rows])


def row_of(words, ids):
    """The tutorial's loop over the tokens of one sentence."""
    row, before = [], None
    for i in ids:
        row.append(-100 if i is None or i == before else words[i])
        before = i
    return row


def each(labels, word_ids, row=row_of):
    return [row(words, ids) for words, ids in zip(labels, word_ids, strict=True)]


@wrong("plain", "`if i` is false for word 0", true="WordZeroLost")
def truthy(labels, word_ids):
    def row(words, ids):
        return [words[i] if i and i != before else -100 for before, i in itertools.pairwise([None, *ids])]

    return filled(each(labels, word_ids, row))


@wrong("plain", "every piece has its word's label, label_all_tokens of old scripts", true="EveryPiece")
def all_pieces(labels, word_ids):
    return filled([[-100 if i is None else w[i] for i in ids] for w, ids in zip(labels, word_ids, strict=True)])


@wrong("plain", "the rectangle is filled up with 0", true="PaddedWithZero")
def zeros(labels, word_ids):
    return filled(each(labels, word_ids), 0)


@wrong("plain", "pad_sequence with its own padding value, 0", true="PaddedWithZero")
def by_default(labels, word_ids):
    return pad_sequence([torch.tensor(row) for row in each(labels, word_ids)], batch_first=True)


@wrong("plain", "the last piece carries the label", true="LastPiece")
def last_pieces(labels, word_ids):
    rows = each(labels, [ids[::-1] for ids in word_ids])
    return filled([row[::-1] for row in rows])


@wrong("plain", "special tokens are outside, class 0", true="SpecialTokensAreZero")
def specials_are_outside(labels, word_ids):
    def row(words, ids):
        return [0 if i is None else y for y, i in zip(row_of(words, ids), ids, strict=True)]

    return filled(each(labels, word_ids, row))


@wrong("plain", "later pieces are outside, class 0", true="LaterPiecesAreZero")
def later_are_outside(labels, word_ids):
    def row(words, ids):
        pairs = itertools.pairwise([None, *ids])
        return [-100 if i is None else 0 if i == before else words[i] for before, i in pairs]

    return filled(each(labels, word_ids, row))


@wrong("named", "the word before is remembered from one sentence to the next", true="NotForgotten")
def never_forgotten(labels, word_ids):
    before, rows = None, []
    for words, ids in zip(labels, word_ids, strict=True):
        rows.append([])
        for i in ids:
            rows[-1].append(words[i] if i is not None and i != before else -100)
            before = i
    return filled(rows)


@wrong("named", "words that any sentence has shown are done", true="SeenInAnySentence")
def one_set(labels, word_ids):
    seen, rows = {None}, []
    for words, ids in zip(labels, word_ids, strict=True):
        rows.append([])
        for i in ids:
            rows[-1].append(-100 if i in seen else words[i])
            seen.add(i)
    return filled(rows)


@wrong("named", "labels are taken in order, at each new word the next one", true="LabelsInOrder")
def one_after_another(labels, word_ids):
    def row(words, ids):
        left = iter(words)
        return [-100 if i is None or i == before else next(left) for before, i in itertools.pairwise([None, *ids])]

    return filled(each(labels, word_ids, row))


@wrong(
    "named",
    "without special tokens the first and the last token lose their labels",
    told="no special tokens: word 0 of sentence 0 .* on 0 of 2 pieces",
)
def within(labels, word_ids):
    return filled([[-100, *row[1:-1], -100][: len(row)] for row in each(labels, word_ids)])


@wrong("named", "a word of label -100 gets 0, the smallest class", true="UnlabelledAreZero")
def clamped(labels, word_ids):
    return filled(each([[max(y, 0) for y in words] for words in labels], word_ids))


@wrong("named", "words of class 0 are taken for words without a label", true="ClassZeroLost")
def or_ignored(labels, word_ids):
    return filled(each([[y or -100 for y in words] for words in labels], word_ids))


@wrong("named", "a new word begins where the label changes", true="LabelsCompared")
def changes_of_the_label(labels, word_ids):
    def row(words, ids):
        all_of_them = [-100 if i is None else words[i] for i in ids]
        return [y if y != before else -100 for before, y in itertools.pairwise([None, *all_of_them])]

    return filled(each(labels, word_ids, row))


@wrong("named", "only words of one piece have a label", told=r"word 1 of sentence 0 .* on 0 of 2 pieces, expected on 1")
def one_piece(labels, word_ids):
    def row(words, ids):
        return [words[i] if i is not None and ids.count(i) == 1 else -100 for i in ids]

    return filled(each(labels, word_ids, row))


@wrong(
    "onward",
    "token t has label t - 1: right up to the first word of several pieces",
    true="ByPlace",
    advice="word 3 of sentence 0 .* on 0 of 1 piece",
)
def by_place(labels, word_ids):
    def row(words, ids):
        first = next((t for t, i in enumerate(ids) if i is not None), 0)
        row = row_of(words, ids)
        shifted = dict(enumerate(words, first))
        return [shifted.get(t, -100) if y != -100 else y for t, y in enumerate(row)]

    return filled(each(labels, word_ids, row))


@wrong(
    "onward",
    "what comes after a special token in the middle is dropped",
    told="one special token in the middle: word 2 of sentence 0 .* on 0 of 1 piece",
)
def up_to_the_next_special(labels, word_ids):
    def row(words, ids):
        first = next((t for t, i in enumerate(ids) if i is not None), len(ids))
        end = next((t for t in range(first, len(ids)) if ids[t] is None), len(ids))
        return row_of(words, ids[:end]) + [-100] * (len(ids) - end)

    return filled(each(labels, word_ids, row))


@wrong("ones", "one sentence loses its dimension", told=r"has shape \(7,\), expected \(1, 7\)")
def squeezed(labels, word_ids):
    return filled(each(labels, word_ids)).squeeze()


@wrong("large", "cut at 512 tokens", told=r"has shape \(\d+, 512\)")
def cut(labels, word_ids):
    return filled(each(labels, word_ids))[:, :512]


@wrong("large", "filled up to 128 at least", told=r"has shape \(\d+, 128\)")
def wide(labels, word_ids):
    return filled([*each(labels, word_ids), [-100] * 128])[:-1]


@wrong("large", "labels are kept in 8 bits", told="many classes", advice="has a label on 0 of . pieces?, expected on 1")
def small_numbers(labels, word_ids):
    return filled(each(labels, word_ids)).to(torch.int8).long()


@wrong("given", "-100 is put behind the caller's labels, for the index -1", told="changes its input labels")
def appended(labels, word_ids):
    for words in labels:
        words.append(-100)
    return filled(each(labels, word_ids))


@wrong("given", "None becomes -1 in the caller's lists", told="changes its input word_ids")
def replaced(labels, word_ids):
    for ids in word_ids:
        ids[:] = [-1 if i is None else i for i in ids]
    return filled(each([[*words, -100] for words in labels], word_ids))


ROWS, KEPT, PLACES = [], {}, {}


@wrong("again", "rows are collected in a list that outlives the call", told="keeps something from one call to the next")
def collected(labels, word_ids):
    ROWS.extend(each(labels, word_ids))
    return filled(ROWS)


@wrong("again", "kept by the word ids, whatever the labels are", told="differ in labels alone")
def kept(labels, word_ids):
    return KEPT.setdefault(str(word_ids), filled(each(labels, word_ids))).clone()


@wrong("surroundings", "the default dtype is changed so that full makes whole numbers of -100", told="default dtype")
def default_dtype(labels, word_ids):
    torch.set_default_dtype(torch.float64)
    return filled(each(labels, word_ids))


@wrong("plain", "a list of lists", told="it returned a list")
def as_lists(labels, word_ids):
    return filled(each(labels, word_ids)).tolist()


@wrong("plain", "a float tensor", told="has dtype float32, expected int64")
def as_floats(labels, word_ids):
    return filled(each(labels, word_ids)).float()


@wrong("plain", "one label further, for [CLS]", true="OneLabelBack")
def off_by_one(labels, word_ids):
    def row(words, ids):
        return row_of([*words[-1:], *words[:-1]], ids)

    return filled(each(labels, word_ids, row))


@wrong("plain", "filler on the left", true="PaddedOnTheLeft")
def on_the_left(labels, word_ids):
    rows = each(labels, word_ids)
    T = max(map(len, rows))
    return torch.tensor([[-100] * (T - len(row)) + row for row in rows])


@wrong("plain", "two slips of the given code are left: word 0, and the padding", true="LaterMended")
def two_left(labels, word_ids):
    def row(words, ids):
        return [words[i] if i and i != before else -100 for before, i in itertools.pairwise([None, *ids])]

    return filled(each(labels, word_ids, row), 0)


@wrong("plain", "two slips of the given code are left: all pieces, and word 0", true="FillerMended")
def two_others_left(labels, word_ids):
    return filled([[w[i] if i else -100 for i in ids] for w, ids in zip(labels, word_ids, strict=True)])


@wrong("large", "the same object, not the same number: Python keeps one 5 for all, and not one 1500", true="SameObject")
def the_same_object(labels, word_ids):
    def row(words, ids):
        return [-100 if i is None or i is before else words[i] for before, i in itertools.pairwise([None, *ids])]

    return filled(each(labels, word_ids, row))


@wrong("named", "what stands before the first token is taken to be the last, ids[-1]", true="FirstAfterLast")
def before_the_first_the_last(labels, word_ids):
    def row(words, ids):
        return [-100 if i is None or i == ids[t - 1] else words[i] for t, i in enumerate(ids)]

    return filled(each(labels, word_ids, row))


@wrong("plain", "one list in every row of the table, and only labels are written", true="OneListForAll")
def one_list_for_all(labels, word_ids):
    Y = [[-100] * max(map(len, word_ids))] * len(word_ids)
    for b, ids in enumerate(word_ids):
        for t, i in enumerate(ids):
            if i is not None and i not in ids[:t]:
                Y[b][t] = labels[b][i]
    return torch.tensor(Y)


@wrong(
    "plain",
    "one list in every row of the table, and every place is written",
    told=r"of sentence 0 is the first piece of word 0 .*, and has \d+, as word 0 of sentence 1 does",
)
def one_list_written_over(labels, word_ids):
    Y = [[-100] * max(map(len, word_ids))] * len(word_ids)
    for kept, row in zip(Y, each(labels, word_ids), strict=True):
        kept[: len(row)] = row
    return torch.tensor(Y)


@wrong(
    "named",
    "neighbouring special tokens are one token",
    told=r"special tokens side by side: .* shape \(2, 7\), expected \(2, 9\)",
)
def one_of_each_group(labels, word_ids):
    def row(words, ids):
        groups = [(i, len([*group])) for i, group in itertools.groupby(ids)]
        return [y for i, n in groups for y in ([-100] if i is None else [words[i], *[-100] * (n - 1)])]

    return filled(each(labels, word_ids, row))


@wrong("plain", "a column a sentence", told=r"has shape \(6, 2\), expected \(2, 6\)")
def a_column_a_sentence(labels, word_ids):
    return torch.tensor([*itertools.zip_longest(*each(labels, word_ids), fillvalue=-100)])


@wrong(
    "plain",
    "the longest sentence comes first, as for packing",
    told=r"word 1 of sentence 0 .* on 2 of 2 pieces, expected on 1 \(\d+ is the label of word \d of sentence [12]\)",
)
def longest_first(labels, word_ids):
    return filled(sorted(each(labels, word_ids), key=len, reverse=True))


@wrong("plain", "T is a multiple of 8, as pad_to_multiple_of makes it", told=r"has shape \(2, 8\), expected \(2, 6\)")
def multiple_of_eight(labels, word_ids):
    Y = filled(each(labels, word_ids))
    return torch.nn.functional.pad(Y, (0, -Y.shape[1] % 8), value=-100)


@wrong("plain", "columns in which nobody has a label are cut off", told=r"has shape \(2, 4\), expected \(2, 6\)")
def without_empty_columns(labels, word_ids):
    Y = filled(each(labels, word_ids))
    return Y[:, (Y != -100).any(0)]


@wrong(
    "named",
    "nobody looks whether the first token had the word already: it is taken for a special one",
    told="no special tokens: word 0 of sentence 0 .* on 2 of 2 pieces, expected on 1",
)
def first_token_passed_over(labels, word_ids):
    def row(words, ids):
        return [-100 if i is None or i in ids[1:t] else words[i] for t, i in enumerate(ids)]

    return filled(each(labels, word_ids, row))


@wrong("named", "a window's first word is taken for word 0", told="a window that begins with word")
def counted_from_the_window(labels, word_ids):
    def row(words, ids):
        first = min((i for i in ids if i is not None), default=0)
        return row_of(words, [None if i is None else i - first for i in ids])

    return filled(each(labels, word_ids, row))


@wrong(
    "again",
    "the places of first pieces are kept by the sentences' lengths",
    told="kept what an earlier call",
)
def places_kept_by_shape(labels, word_ids):
    kept = [[i if y != -100 else None for i, y in zip(ids, row_of(ids, ids), strict=True)] for ids in word_ids]
    kept = PLACES.setdefault(tuple(map(len, word_ids)), kept)
    return filled([[dict(enumerate(w)).get(i, -100) for i in ids] for w, ids in zip(labels, kept, strict=True)])


@wrong("plain", "map is gone through for T, and gives nothing the second time", told="is empty")
def map_gone_through_twice(labels, word_ids):
    rows = map(row_of, labels, word_ids)
    T = max(map(len, rows))
    return torch.tensor([row + [-100] * (T - len(row)) for row in rows], dtype=torch.int64)


@wrong("plain", "`before` starts as 0, and special tokens do not change it", true="WordZeroLost")
def before_starts_as_zero(labels, word_ids):
    def row(words, ids):
        row, before = [], 0
        for i in ids:
            row.append(-100 if i is None or i == before else words[i])
            before = before if i is None else i
        return row

    return filled(each(labels, word_ids, row))


@wrong("plain", "the piece in the middle carries the label", told="is the first piece of word 1 .*, and has -100")
def middle_pieces(labels, word_ids):
    def row(words, ids):
        places = {i: [t for t, other in enumerate(ids) if other == i] for i in {*ids} - {None}}
        middle = {places[i][len(places[i]) // 2]: words[i] for i in places}
        return [middle.get(t, -100) for t in range(len(ids))]

    return filled(each(labels, word_ids, row))


@wrong(
    "named",
    "token t has label t - 1, or the last one where there are too few",
    told=r"sentence (\d) is the first piece of word (\d) .*, and has \d+, as word (?!\2)\d of sentence \1 does",
)
def by_place_up_to_the_last(labels, word_ids):
    def row(words, ids):
        return [y if y == -100 else words[min(t - 1, len(words) - 1)] for t, y in enumerate(row_of(words, ids))]

    return filled(each(labels, word_ids, row))


@wrong(
    "named",
    "all labels are one list, in which each sentence takes as many places as it has words with tokens",
    told=r"sentence (\d) is the first piece of word 0 .*, and has \d+, as word \d of sentence (?!\1)\d does",
)
def one_list_of_labels(labels, word_ids):
    everything, start, rows = [y for words in labels for y in words], 0, []
    for ids in word_ids:
        rows.append(row_of(everything[start:], ids))
        start += len({*ids} - {None})
    return filled(rows)


@wrong("plain", "later pieces go on with a word, B becomes I: an odd label plus 1", told="has a label on 2 of 2 pieces")
def inside_a_name(labels, word_ids):
    def row(words, ids):
        goes_on = [None if i is None or y != -100 else words[i] for y, i in zip(row_of(words, ids), ids, strict=True)]
        return [y if on is None else on + on % 2 for y, on in zip(row_of(words, ids), goes_on, strict=True)]

    return filled(each(labels, word_ids, row))


@wrong(
    "plain",
    "the labels of the first sentence for all",
    told="token 1 of sentence 1 is the first piece of word 0 .*, as word 0 of sentence 0 does",
)
def labels_of_the_first(labels, word_ids):
    words = labels[0] + [-100] * max(map(len, labels))
    return filled([row_of(words, ids) for ids in word_ids])


@wrong(
    "onward",
    "one row is written over for each sentence, and never cleared",
    told=r"word 0 of sentence 1 .* on 2 of 2 pieces, expected on 1 \(\d+ is the label of word \d of sentence 0\)",
)
def never_cleared(labels, word_ids):
    row, rows = [-100] * max(map(len, word_ids)), []
    for words, ids in zip(labels, word_ids, strict=True):
        for t, y in enumerate(row_of(words, ids)):
            row[t] = row[t] if y == -100 else y
        rows.append([*row])
    return torch.tensor(rows)


@wrong(
    "named",
    "a label counts once a sentence",
    told=r"class 0 among others: word \d of sentence 0 \(label 0\) has a label on 0 of",
)
def each_label_once(labels, word_ids):
    def row(words, ids):
        row = row_of(words, ids)
        return [-100 if y in row[:t] else y for t, y in enumerate(row)]

    return filled(each(labels, word_ids, row))


@wrong(
    "named",
    "words are numbered through the batch as i + b T: high numbers of a late window meet those of the next sentence",
    told="a late window, then an early one: word 2 of sentence 1 .* on 0 of 1 piece",
)
def numbered_by_the_width(labels, word_ids):
    T, seen, rows = max(map(len, word_ids)), set(), []
    for b, (words, ids) in enumerate(zip(labels, word_ids, strict=True)):
        rows.append(
            [-100 if i is None or i + b * T in seen else y for y, i in zip(row_of(words, ids), ids, strict=True)]
        )
        seen.update(i + b * T for i in ids if i is not None)
    return filled(rows)


@wrong(
    "named",
    "None is -1, and -1 is the last word",
    told=r"token 0 of sentence 0 is a special token, and has the label \d+, as word 3 of sentence 0 does",
)
def the_last_words_label(labels, word_ids):
    rows = [[-1 if i is None else i for i in ids] for ids in word_ids]
    return filled(each([words or [-100] for words in labels], rows))


@wrong(
    "named",
    "argmax of nothing found is 0: words without a token write on token 0",
    told=r"words without a token: token 0 of sentence 0 is a special token, .* as word \d of sentence 0 does",
)
def found_at_zero(labels, word_ids):
    Y = torch.full((len(word_ids), max(map(len, word_ids))), -100)
    for y, words, ids in zip(Y, labels, word_ids, strict=True):
        for i in range(len(words)):
            y[np.argmax([j == i for j in ids])] = words[i]
    return Y


@wrong(
    "onward",
    "a word that has no token ends the search for all behind it",
    told="words without a token: word 4 of sentence 0 .* on 0 of 1 piece",
)
def up_to_the_first_without_a_token(labels, word_ids):
    Y = torch.full((len(word_ids), max(map(len, word_ids))), -100)
    for y, words, ids in zip(Y, labels, word_ids, strict=True):
        for i in itertools.takewhile(ids.__contains__, range(len(words))):
            y[ids.index(i)] = words[i]
    return Y


@wrong(
    "plain",
    "filler repeats the last token's label",
    told=r"is filler, and has the label \d+, as word \d of sentence \d does",
)
def last_token_repeated(labels, word_ids):
    rows, T = each(labels, word_ids), max(map(len, word_ids))
    return torch.tensor([row + row[-1:] * (T - len(row)) for row in rows])


@ANSWERS.right
def by_first_place(labels, word_ids):
    Y = torch.full((len(word_ids), max(map(len, word_ids))), -100)
    for b, ids in enumerate(word_ids):
        for word in {*ids} - {None}:
            Y[b, ids.index(word)] = labels[b][word]
    return Y


@ANSWERS.right
def by_groups(labels, word_ids):
    rows = []
    for words, ids in zip(labels, word_ids, strict=True):
        row = []
        for word, group in itertools.groupby(ids):
            n = len([*group])
            row += [-100] * n if word is None else [words[word]] + [-100] * (n - 1)
        rows.append(torch.tensor(row, dtype=torch.long))
    return pad_sequence(rows, batch_first=True, padding_value=-100)


@ANSWERS.right
def with_a_set_for_each(labels, word_ids):
    def row(words, ids):
        left = dict(enumerate(words))
        return [left.pop(i, -100) for i in ids]

    return filled(each(labels, word_ids, row))


@ANSWERS.right
def columns(labels, word_ids):
    rows = each(labels, word_ids)
    return torch.tensor([*itertools.zip_longest(*rows, fillvalue=-100)]).T


@ANSWERS.right
def by_numpy(labels, word_ids):
    Y = np.full((len(labels), max(map(len, word_ids))), -100)
    for b, ids in enumerate(word_ids):
        numbers = np.array([-1 if i is None else i for i in ids])
        first = np.diff(numbers, prepend=-1) != 0
        Y[b, : len(ids)] = np.where(first & (numbers >= 0), np.array([*labels[b], -100])[numbers], -100)
    return torch.from_numpy(Y)


@ANSWERS.right
def sparse(labels, word_ids):
    first = {(b, i): t for b, ids in enumerate(word_ids) for t, i in reversed([*enumerate(ids)]) if i is not None}
    places = torch.tensor([(b, t) for (b, _), t in first.items()], dtype=torch.int64).reshape(-1, 2).T
    values = torch.tensor([labels[b][i] + 100 for b, i in first], dtype=torch.int64)
    return torch.sparse_coo_tensor(places, values, (len(word_ids), max(map(len, word_ids)))).to_dense() - 100


@ANSWERS.right
def gathered(labels, word_ids):
    def table(rows):
        return pad_sequence([torch.tensor(row, dtype=torch.int64) for row in rows], batch_first=True, padding_value=-1)

    ids = table([[-1 if i is None else i for i in row] for row in word_ids])
    first = ids.diff(prepend=ids.new_full((len(ids), 1), -1)).ne(0) & (ids >= 0)
    words = table([[*row, -100] for row in labels])
    return words.gather(1, ids.clamp(min=0)).where(first, torch.tensor(-100))


@ANSWERS.right
def by_unique(labels, word_ids):
    Y = np.full((len(word_ids), max(map(len, word_ids))), torch.nn.CrossEntropyLoss().ignore_index, np.int64)
    for y, words, ids in zip(Y, labels, word_ids, strict=True):
        found, at = np.unique([-1 if i is None else i for i in ids], return_index=True)
        y[at[found >= 0]] = np.array(words, np.int64)[found[found >= 0]]
    return torch.from_numpy(Y)


@ANSWERS.right
def only_upwards(labels, word_ids):
    """Word ids never fall within a sentence."""

    def row(words, ids):
        reached = itertools.accumulate((-1 if i is None else i for i in ids), max, initial=-1)
        return [-100 if i is None or i <= before else words[i] for before, i in zip(reached, ids, strict=False)]

    return filled(each(labels, word_ids, row))


@ANSWERS.right
def smallest_place(labels, word_ids):
    """Special tokens and filler belong to a word behind the last, words without a token stand in a column too many."""
    T, W = max(map(len, word_ids)), max(map(len, labels))
    ids = torch.tensor([[W if i is None else i for i in row] + [W] * (T - len(row)) for row in word_ids])
    first = torch.full((len(ids), W + 1), T).scatter_reduce(1, ids, torch.arange(T).expand_as(ids), "amin")
    words = torch.tensor([row + [-100] * (W + 1 - len(row)) for row in labels])
    return torch.full((len(ids), T + 1), -100).scatter(1, first[:, :W], words[:, :W])[:, :T]


@ANSWERS.right
def from_the_end(labels, word_ids):
    Y = torch.full((len(word_ids), max(map(len, word_ids))), -100)
    for y, words, ids in zip(Y, labels, word_ids, strict=True):
        for t in reversed(range(len(ids))):
            if ids[t] is not None:
                y[t] = words[ids[t]]
                if ids[t : t + 2] == [ids[t]] * 2:
                    y[t + 1] = -100
    return Y
