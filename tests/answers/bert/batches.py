"""Answers to bert.batches."""

import itertools

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.batches",
    spared={
        "far": "ids are names, and results are moved, never computed with",
        "onward": "there is no event: each call stands alone",
        "dependence": "nothing is drawn",
        "unwatched": "nothing is watched but the results",
        "surroundings": "lists and tensors come in and go out: nothing else is near",
    },
)


def filled(sentences, pad_id):
    T = max(map(len, sentences))
    return [s + [pad_id] * (T - len(s)) for s in sentences]


def real_of(sentences):
    T = max(map(len, sentences))
    return torch.arange(T) < torch.tensor([len(s) for s in sentences])[:, None]


@ANSWERS.wrong("named", "what is no pad_id is real", true="mask_from_pad_id")
def real_by_id(sentences, pad_id):
    ids = torch.tensor(filled(sentences, pad_id))
    return ids, ids != pad_id


@ANSWERS.wrong("named", "filler is found from the right: trailing pad_ids of a sentence are lost")
def real_from_the_right(sentences, pad_id):
    ids = torch.tensor(filled(sentences, pad_id))
    return ids, (ids != pad_id).flip(1).cumsum(1).flip(1) > 0


@ANSWERS.wrong("named", "the filler is 0, whatever pad_id says", true="pad_id_ignored")
def always_zero(sentences, pad_id):
    return torch.tensor(filled(sentences, 0)), real_of(sentences)


@ANSWERS.wrong("plain", "filler on the left", true="pad_on_the_left")
def on_the_left(sentences, pad_id):
    T = max(map(len, sentences))
    ids = torch.tensor([[pad_id] * (T - len(s)) + s for s in sentences])
    return ids, real_of(sentences).flip(1)


@ANSWERS.wrong("plain", "real is the opposite: True where filler is", true="mask_inverted")
def padding_mask(sentences, pad_id):
    return torch.tensor(filled(sentences, pad_id)), ~real_of(sentences)


@ANSWERS.wrong("plain", "real holds 1 and 0, as attention_mask does", told=r"real has dtype int64, expected bool")
def whole_numbers_mask(sentences, pad_id):
    return torch.tensor(filled(sentences, pad_id)), real_of(sentences).long()


@ANSWERS.wrong(
    "large", "cut at 512 tokens", told=r"a sentence of length 530: real has shape \(2, 512\), expected \(2, 530\)"
)
def up_to_512(sentences, pad_id):
    sentences = [s[:512] for s in sentences]
    return torch.tensor(filled(sentences, pad_id)), real_of(sentences)


@ANSWERS.wrong("large", "a fixed width of 64", true="pad_to_a_fixed_length", told=r"real has shape \(4, 64\)")
def fixed_width(sentences, pad_id):
    ids = torch.full((len(sentences), 64), pad_id)
    real = torch.zeros(len(sentences), 64, dtype=torch.bool)
    for i, s in enumerate(sentences):
        ids[i, : len(s)], real[i, : len(s)] = torch.tensor(s), True
    return ids, real


@ANSWERS.wrong("given", "the sentences themselves are filled up", true="pad_in_place")
def fills_in_place(sentences, pad_id):
    real = real_of(sentences)
    T = max(map(len, sentences))
    for s in sentences:
        while len(s) < T:
            s.append(pad_id)
    return torch.tensor(sentences), real


@ANSWERS.wrong("ones", "squeeze() loses a batch of one sentence", told=r"real has shape \(9,\), expected \(1, 9\)")
def squeezed(sentences, pad_id):
    return torch.tensor(filled(sentences, pad_id)).squeeze(), real_of(sentences).squeeze()


@ANSWERS.wrong("plain", "batch_first is forgotten", told=r"real has shape \(7, 4\), expected \(4, 7\)")
def time_first(sentences, pad_id):
    rows = [torch.tensor(s) for s in sentences]
    ids = pad_sequence(rows, padding_value=pad_id)
    return ids, pad_sequence([torch.ones(len(s), dtype=torch.bool) for s in sentences])


@ANSWERS.wrong("plain", "the ids are floats", told=r"ids has dtype float32, expected int64")
def as_floats(sentences, pad_id):
    ids = torch.zeros(real_of(sentences).shape) + pad_id
    for i, s in enumerate(sentences):
        ids[i, : len(s)] = torch.tensor(s).float()
    return ids, real_of(sentences)


@ANSWERS.wrong("plain", "lengths in the batches, not numbers", true="batches_of_lengths", at=1)
def lengths_themselves(lengths, size):
    order = sorted(lengths)
    return [order[i : i + size] for i in range(0, len(order), size)]


@ANSWERS.wrong("named", "numbers by index(): of equal lengths the first is taken twice", true="found_by_length", at=1)
def by_index(lengths, size):
    order = [lengths.index(n) for n in sorted(lengths)]
    return [order[i : i + size] for i in range(0, len(order), size)]


@ANSWERS.wrong(
    "named", "a dictionary by length: equal lengths are lost", told=r"how often each sentence is taken", at=1
)
def by_dictionary(lengths, size):
    where = {n: i for i, n in enumerate(lengths)}
    order = [where[n] for n in sorted(where)]
    return [order[i : i + size] for i in range(0, len(order), size)]


@ANSWERS.wrong("plain", "the last, smaller batch is dropped", true="last_batch_dropped", at=1)
def rest_dropped(lengths, size):
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    return [order[i : i + size] for i in range(0, len(order) - size + 1, size)]


@ANSWERS.wrong("plain", "as many batches as `size` says", true="size_is_the_number_of_batches", at=1)
def size_batches(lengths, size):
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    each = -(-len(order) // size)
    return [order[i : i + each] for i in range(0, len(order), each)]


@ANSWERS.wrong("plain", "not sorted at all", true="batches_unsorted", at=1)
def as_they_come(lengths, size):
    return [list(range(i, min(i + size, len(lengths)))) for i in range(0, len(lengths), size)]


@ANSWERS.wrong("given", "the lengths are sorted in place", told=r"changes its input lengths in place", at=1)
def sorts_in_place(lengths, size):
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    lengths.sort()
    return [order[i : i + size] for i in range(0, len(order), size)]


@ANSWERS.wrong(
    "large",
    "numbers above 255 overflow (uint8)",
    told=r"300 sentences, size 40: how often each sentence is taken",
    at=1,
    advice=r"right where size is 8 or less, wrong where it is \d+ or more",
)
def small_numbers(lengths, size):
    order = torch.tensor(lengths).argsort().to(torch.uint8).tolist()
    return [order[i : i + size] for i in range(0, len(order), size)]


@ANSWERS.wrong(
    "named",
    "batches of equal length only, none larger than size",
    told=r"sizes of the batches",
    advice="differ in size alone",
    at=1,
)
def equal_lengths_only(lengths, size):
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    found = []
    for _, same in itertools.groupby(order, key=lambda i: lengths[i]):
        numbers = list(same)
        found += [numbers[i : i + size] for i in range(0, len(numbers), size)]
    return found


@ANSWERS.wrong("plain", "joined as the batches come", true="joined_as_they_come", at=2)
def joined_only(batches, results):
    return torch.cat(results)


@ANSWERS.wrong("plain", "the joined rows are read with the order: the inverse", true="permuted_twice", at=2)
def read_with_order(batches, results):
    return torch.cat(results)[list(itertools.chain.from_iterable(batches))]


@ANSWERS.wrong("again", "the table of the first call is filled on", at=2)
def kept_table(batches, results, table={}):  # noqa: B006  # the slip
    for batch, rows in zip(batches, results, strict=True):
        for i, row in zip(batch, rows, strict=True):
            table.setdefault(i, row)
    return torch.stack([table[i] for i in range(sum(map(len, batches)))])


@ANSWERS.wrong("named", "always float32", told=r"has dtype float32, expected float64", at=2)
def always_float32(batches, results):
    Y = torch.zeros(sum(map(len, batches)), *results[0].shape[1:])
    for batch, rows in zip(batches, results, strict=True):
        Y[batch] = rows.float()
    return Y


@ANSWERS.wrong("named", "results have two dimensions", told=r"IndexError|tuple index out of range|must match", at=2)
def two_dimensions(batches, results):
    Y = torch.empty(sum(map(len, batches)), results[0].shape[1], dtype=results[0].dtype)
    for batch, rows in zip(batches, results, strict=True):
        Y[batch] = rows
    return Y


@ANSWERS.wrong("ones", "a width of 1 is lost", told=r"lost a dimension of size 1", at=2)
def width_lost(batches, results):
    together = torch.cat(results)
    Y = torch.empty_like(together)
    Y[list(itertools.chain.from_iterable(batches))] = together
    return Y.squeeze(-1) if Y.dim() > 1 else Y


@ANSWERS.wrong("plain", "a list of rows", told=r"it returned a list of", at=2)
def as_a_list(batches, results):
    rows = dict(zip(itertools.chain(*batches), torch.cat(results), strict=True))
    return [rows[i] for i in sorted(rows)]


@ANSWERS.wrong("large", "filled up to a multiple of 8", told=r"real has shape \(4, 8\), expected \(4, 7\)")
def multiple_of_8(sentences, pad_id):
    T = -(-max(map(len, sentences)) // 8) * 8
    ids = torch.tensor([s + [pad_id] * (T - len(s)) for s in sentences])
    return ids, torch.arange(T) < torch.tensor([len(s) for s in sentences])[:, None]


@ANSWERS.wrong(
    "plain",
    "real comes first",
    told="real has dtype int64, expected bool",
    advice="ids and real are exchanged: each is what the other should be",
)
def real_first(sentences, pad_id):
    return real_of(sentences), torch.tensor(filled(sentences, pad_id))


@ANSWERS.wrong("plain", "yields the batches", told="batches_by_length returned a generator, expected a list", at=1)
def yielded(lengths, size):
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    for i in range(0, len(order), size):
        yield order[i : i + size]


@ANSWERS.wrong("named", "sorted as text: 10 before 9", told="pairs of batches whose lengths overlap", at=1)
def sorted_as_text(lengths, size):
    order = sorted(range(len(lengths)), key=lambda i: str(lengths[i]))
    return [order[i : i + size] for i in range(0, len(order), size)]


@ANSWERS.wrong("named", "the batches are sorted, not their rows", told="the right numbers at the wrong places", at=2)
def batches_sorted(batches, results):
    order = sorted(range(len(batches)), key=lambda k: batches[k])
    return torch.cat([results[k] for k in order])


PADDED, SPLIT, ORDER = {}, {}, {}


@ANSWERS.wrong("again", "padded sentences are kept, whatever the pad_id is", told="differ in pad_id alone")
def padded_once(sentences, pad_id):
    key = str(sentences)
    if key not in PADDED:
        PADDED[key] = torch.tensor(filled(sentences, pad_id)), real_of(sentences)
    return tuple(x.clone() for x in PADDED[key])


@ANSWERS.wrong("again", "batches are kept by the lengths, whatever the size is", told="differ in size alone", at=1)
def split_once(lengths, size):
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return SPLIT.setdefault(tuple(lengths), [order[i : i + size] for i in range(0, len(order), size)])


@ANSWERS.wrong(
    "again",
    "the order is kept by the sizes of the batches",
    told="in another order",
    advice="the right numbers at the wrong places",
    at=2,
)
def order_once(batches, results):
    key = tuple(map(len, batches)), results[0].shape[1:]
    order = ORDER.setdefault(key, torch.tensor([i for batch in batches for i in batch]).argsort())
    return torch.cat(results)[order]


@ANSWERS.right
def by_nested_tensors(sentences, pad_id):
    nested = torch.nested.nested_tensor([torch.tensor(s) for s in sentences])
    ones = torch.nested.nested_tensor([torch.ones(len(s), dtype=torch.bool) for s in sentences])
    return nested.to_padded_tensor(pad_id), ones.to_padded_tensor(False)


@ANSWERS.right
def by_zip_longest(sentences, pad_id):
    ids = torch.tensor(list(itertools.zip_longest(*sentences, fillvalue=pad_id))).T
    real = torch.tensor(list(itertools.zip_longest(*[[True] * len(s) for s in sentences], fillvalue=False))).T
    return [ids, real]


@ANSWERS.right_at(1)
def longest_first(lengths, size):
    order = torch.tensor(lengths).argsort(descending=True)
    return order.split(size)


@ANSWERS.right_at(1)
def by_numpy(lengths, size):
    import numpy as np

    order = np.argsort(lengths, kind="stable")
    return list(np.array_split(order, range(size, len(order), size)))


@ANSWERS.right_at(2)
def by_argsort(batches, results):
    order = torch.tensor([i for batch in batches for i in batch])
    return torch.cat(results)[order.argsort()]


@ANSWERS.right_at(2)
def row_by_row(batches, results):
    N = sum(len(batch) for batch in batches)
    Y = [None] * N
    for batch, rows in zip(batches, results, strict=True):
        for i, row in zip(batch, rows, strict=True):
            Y[i] = row
    return nn.utils.rnn.pad_sequence(Y, batch_first=True) if Y[0].dim() > 0 else torch.stack(Y)


@ANSWERS.right_at(2)
def by_scatter(batches, results):
    together = torch.cat(list(results), dim=0)
    order = torch.as_tensor([*itertools.chain(*batches)])
    index = order.view(-1, *[1] * (together.dim() - 1)).expand_as(together)
    return torch.zeros_like(together).scatter(0, index, together)
