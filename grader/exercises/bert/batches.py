"""Padding to the longest sentence of a batch, batches of neighbours in length, results in the sentences' order."""

import itertools

import torch

from grader.contract import Trusted


def pad_reference(sentences, pad_id):
    T = max(len(sentence) for sentence in sentences)
    ids = torch.tensor([sentence + [pad_id] * (T - len(sentence)) for sentence in sentences])
    real = torch.tensor([[t < len(sentence) for t in range(T)] for sentence in sentences])
    return ids, real


def batches_reference(lengths, size):
    by_length = sorted(range(len(lengths)), key=lambda i: lengths[i])
    return [by_length[start : start + size] for start in range(0, len(lengths), size)]


def order_reference(batches, results):
    rows = {
        i: row for batch, result in zip(batches, results, strict=True) for i, row in zip(batch, result, strict=True)
    }
    return torch.stack([rows[i] for i in range(len(rows))])


TRUSTED = Trusted((pad_reference, batches_reference, order_reference))
wrong_pad, wrong_batches, wrong_order = TRUSTED.one_by_one()


@wrong_pad(
    "pad fills every batch up to the same fixed length. That is what dynamic padding saves: T is the length of the "
    "longest sentence in this batch."
)
def pad_to_a_fixed_length(sentences, pad_id):
    ids, real = pad_reference([*sentences, [pad_id] * 128], pad_id)
    return ids[:-1], real[:-1]


@wrong_pad(
    "The mask is upside down: `real` is True where a token stands and False on filler. (Some libraries ask the "
    "opposite question; look each time.)"
)
def mask_inverted(sentences, pad_id):
    ids, real = pad_reference(sentences, pad_id)
    return ids, ~real


@wrong_pad(
    "The mask is read off the ids, `ids != pad_id`. A real token can have that id too (GPT-2 is padded with its "
    "end-of-text token). Only the lengths say what is filler."
)
def mask_from_pad_id(sentences, pad_id):
    ids, _ = pad_reference(sentences, pad_id)
    return ids, ids != pad_id


@wrong_pad(
    "The mask is read off the ids, `ids != 0`. 0 is an id like any other, and filler need not be 0: only the lengths "
    "say what is filler."
)
def mask_from_nonzero(sentences, pad_id):
    ids, _ = pad_reference(sentences, pad_id)
    return ids, ids != 0


@wrong_pad("The filler is 0 whatever `pad_id` says: other tokenizers use another id.")
def pad_id_ignored(sentences, pad_id):
    return pad_reference(sentences, 0)


@wrong_pad(
    "The filler stands in front of the sentences. BERT is padded on the right: [CLS] must be the first token, at "
    "position 0."
)
def pad_on_the_left(sentences, pad_id):
    ids, real = pad_reference([sentence[::-1] for sentence in sentences], pad_id)
    return ids.flip(1), real.flip(1)


@wrong_pad("The mask is one token too long: it marks the first filler as real. Position t is real where t < length.")
def mask_too_long(sentences, pad_id):
    ids, _ = pad_reference(sentences, pad_id)
    lengths = torch.tensor([[len(sentence)] for sentence in sentences])
    return ids, torch.arange(ids.shape[1]) <= lengths


@wrong_pad(
    "pad appends the filler to the sentences that it was given, so the caller's lists are longer afterwards. Build "
    "new lists, `sentence + [...]`, or fill a new tensor."
)
def pad_in_place(sentences, pad_id):
    T = max(map(len, sentences))
    real = torch.tensor([[t < len(sentence) for t in range(T)] for sentence in sentences])
    for sentence in sentences:
        sentence += [pad_id] * (T - len(sentence))
    return torch.tensor(sentences), real


def chunks(order, size):
    return [order[start : start + size] for start in range(0, len(order), size)]


def sorting(lengths):
    return sorted(range(len(lengths)), key=lambda i: lengths[i])


@wrong_batches(
    "The batches take the sentences as they come; to sort inside each batch, or to sort the lengths alone, changes "
    "nothing about who shares a batch. Sort the numbers of the sentences by length first, then cut."
)
def batches_unsorted(lengths, size):
    return chunks(list(range(len(lengths))), size)


@wrong_batches(
    "The last batch is dropped when it is not full. Its sentences would never be seen: the last batch may be smaller."
)
def last_batch_dropped(lengths, size):
    return [batch for batch in batches_reference(lengths, size) if len(batch) == size]


@wrong_batches(
    "Sentences are found again by their length (`lengths.index`), and that always finds the first of several equally "
    "long ones. Sort the numbers of the sentences, not their lengths."
)
def found_by_length(lengths, size):
    return chunks([lengths.index(length) for length in sorted(lengths)], size)


@wrong_batches("The batches hold lengths; they should hold the numbers of the sentences, so that we can fetch them.")
def batches_of_lengths(lengths, size):
    return chunks(sorted(lengths), size)


@wrong_batches("There is an empty batch at the end when the sentences divide evenly: count up in steps of `size`.")
def empty_last_batch(lengths, size):
    order = sorting(lengths)
    return [order[k * size : (k + 1) * size] for k in range(len(order) // size + 1)]


@wrong_batches("`size` is taken as the number of batches; it is the number of sentences in each.")
def size_is_the_number_of_batches(lengths, size):
    return chunks(sorting(lengths), -(-len(lengths) // size))


def flat(batches):
    return torch.tensor([i for batch in batches for i in batch])


@wrong_order(
    "The results are joined as they come, in the order of the batches. Row i should be the result of sentence i: put "
    "each row where its sentence's number says."
)
def joined_as_they_come(batches, results):
    return torch.cat(results)


@wrong_order(
    "You read with the numbers of the sentences, `together[order]`, which sorts by batch once more. You need the "
    "opposite way: `Y[order] = together`, or read with `order.argsort()`."
)
def permuted_twice(batches, results):
    return torch.cat(results)[flat(batches)]


def pad_with_full(sentences, pad_id):
    lengths = torch.tensor([len(sentence) for sentence in sentences])
    ids = torch.full((len(sentences), int(lengths.max())), pad_id)
    for row, sentence in zip(ids, sentences, strict=True):
        row[: len(sentence)] = torch.tensor(sentence)
    return ids, torch.arange(ids.shape[1]) < lengths[:, None]


def pad_by_zip(sentences, pad_id):
    columns = list(itertools.zip_longest(*sentences))
    ids = [[pad_id if i is None else i for i in column] for column in columns]
    real = [[i is not None for i in column] for column in columns]
    return torch.tensor(ids).T, torch.tensor(real).T


def longest_first(lengths, size):
    order = torch.tensor(lengths).argsort(descending=True)
    return [order[i : i + size].tolist() for i in range(0, len(lengths), size)]


def as_tensors(lengths, size):
    return torch.tensor(lengths).argsort().split(size)


def shuffled(lengths, size):
    batches = batches_reference(lengths, size)
    return [batches[i][::-1] for i in torch.randperm(len(batches)).tolist()]


def by_writing(batches, results):
    Y = torch.empty_like(torch.cat(results))
    for batch, result in zip(batches, results, strict=True):
        Y[batch] = result
    return Y


def by_inverse(batches, results):
    return torch.cat(results)[flat(batches).argsort().to(results[0].device)]


def by_sorting_pairs(batches, results):
    pairs = [(i, row) for b, r in zip(batches, results, strict=True) for i, row in zip(b, r, strict=True)]
    return torch.stack([row for _, row in sorted(pairs, key=lambda pair: pair[0])])


TRUSTED.add_alternative("tensors_filled", pad_with_full, longest_first, by_writing)
TRUSTED.add_alternative("columns", pad_by_zip, as_tensors, by_inverse)
TRUSTED.add_alternative("shuffled_batches", pad_with_full, shuffled, by_sorting_pairs)
