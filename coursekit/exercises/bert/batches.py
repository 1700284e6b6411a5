"""pad, batches_by_length, in_order: sentences of unlike length in batches, and their results in the old order."""

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong, whole_numbers


def cases(g):
    def numbers(n, low, high):
        return torch.randint(low, high, (n,), generator=g).tolist()

    def pad(label, lengths, pad_id, *tokens):
        """Sentences of these lengths; each of `tokens` stands at the end, in the middle and at a start of some."""
        sentences = [numbers(n, 20, 90) for n in lengths]
        for token in tokens:
            for sentence, place in ((0, -1), (1, len(sentences[1]) // 2), (-1, 0)):
                sentences[sentence][place] = token
        return Case("pad", label, {"sentences": sentences, "pad_id": pad_id})

    def split(label, lengths, size):
        return Case("batches", label, {"lengths": lengths, "size": size})

    def mixed(*lengths):
        """The same lengths in an order in which neither halves nor neighbours are sorted by accident."""
        while True:
            order = torch.randperm(len(lengths), generator=g).tolist()
            shuffled = [lengths[i] for i in order]
            # Sorting must move most sentences, and be another permutation than its own inverse.
            moved = sum(a != b for a, b in zip(shuffled, sorted(shuffled), strict=True))
            if 2 * moved > len(order) and order != torch.tensor(order).argsort().tolist():
                return shuffled

    def order(label, sizes, *shape, dtype=torch.float32):
        while True:
            sentences = torch.randperm(sum(sizes), generator=g)
            if (sentences != sentences.argsort()).sum() > sum(sizes) / 2:  # not its own inverse
                break
        batches = [part.tolist() for part in sentences.split(sizes)]
        return Case("order", label, {"batches": batches, "results": normal(g, sum(sizes), *shape, dtype=dtype)})

    return [
        pad("lengths 4, 7, 2, 5", [4, 7, 2, 5], 0),
        pad("pad_id=7, lengths 3, 6, 5", [3, 6, 5], 7),
        pad("pad_id=3, sentences that hold 3 and 0 themselves", [5, 3, 6, 4], 3, 3, 0),
        pad("pad_id=0, sentences that hold 0 themselves", [3, 5, 8], 0, 0),
        pad("no padding needed, lengths 6, 6, 6", [6, 6, 6], 0),
        pad("one sentence of length 9", [9], 1),
        split("7 sentences, size 3", mixed(3, 4, 6, 7, 9, 12, 14), 3),
        split("8 sentences, size 4", mixed(2, 5, 7, 8, 10, 11, 13, 17), 4),
        split("10 sentences, size 4, equal lengths among them", mixed(3, 3, 5, 5, 5, 8, 8, 9, 9, 9), 4),
        split("9 sentences, size 2", mixed(2, 3, 5, 6, 9, 10, 12, 14, 15), 2),
        split("5 sentences, size 8", mixed(4, 6, 7, 9, 11), 8),
        order("batches of 3, 3 and 1, width 4", (3, 3, 1), 4),
        order("batches of 4 and 4, one number each", (4, 4)),
        order("batches of 2, 5 and 3, width 2, float64", (2, 5, 3), 2, dtype=torch.float64),
    ]


def probe(case, pad, batches_by_length, in_order):
    if "sentences" in case:
        ids, real = pad(case["sentences"], case["pad_id"])
        return {"real": real, "ids": ids}
    if "lengths" in case:
        return _measured(batches_by_length(case["lengths"], case["size"]), case["lengths"])
    results = case["results"].split([len(batch) for batch in case["batches"]])
    return {"in_order(batches, results)": in_order(case["batches"], list(results))}


def _measured(batches, lengths):
    """What two right answers have in common: batches may come in any order, and equal lengths in any place."""
    batches = batches.tolist() if isinstance(batches, torch.Tensor) else batches
    if not isinstance(batches, (list, tuple)):
        raise Wrong(f"batches_by_length returned a {type(batches).__name__}, expected a list of batches")
    found = [whole_numbers(batch, "a batch").tolist() for batch in batches]
    if outside := [i for batch in found for i in batch if not 0 <= i < len(lengths)]:
        raise Wrong(
            f"a batch holds the number {outside[0]}, and there are {len(lengths)} sentences, 0 to {len(lengths) - 1}: "
            "a batch lists which sentences it takes, not how long they are"
        )
    taken = torch.tensor([i for batch in found for i in batch], dtype=torch.int64)
    kept = [[lengths[i] for i in batch] for batch in found if batch]
    mixed = sum(
        min(one) < max(other) and min(other) < max(one) for k, one in enumerate(kept) for other in kept[k + 1 :]
    )
    return {
        "how often each sentence is taken": torch.bincount(taken, minlength=len(lengths)),
        "sizes of the batches, largest first": torch.tensor(sorted(map(len, found), reverse=True), dtype=torch.int64),
        "pairs of batches whose lengths overlap": torch.tensor(mixed),
    }


def _pad(sentences, pad_id):
    from torch.nn.utils.rnn import pad_sequence

    rows = [torch.tensor(sentence) for sentence in sentences]
    ones = [torch.ones(len(sentence), dtype=torch.bool) for sentence in sentences]
    return pad_sequence(rows, batch_first=True, padding_value=pad_id), pad_sequence(ones, batch_first=True)


def _batches_by_length(lengths, size):
    from torch.utils.data import BatchSampler

    return list(BatchSampler(torch.tensor(lengths).argsort().tolist(), size, drop_last=False))


def _in_order(batches, results):
    together = torch.cat(results)
    rows = torch.tensor([i for batch in batches for i in batch], device=together.device)
    return torch.empty_like(together).index_copy(0, rows, together)


EXERCISE = Exercise(
    id="bert.batches",
    title="Padding, masks and batches by length",
    parts={"pad": 1, "batches": 1, "order": 1},
    minutes=25,
    difficulty="core",
    calls=(
        "pad(sentences, pad_id) -> ids, real",
        "batches_by_length(lengths, size)",
        "in_order(batches, results) -> Y",
    ),
    cases=cases,
    probe=probe,
    library=(_pad, _batches_by_length, _in_order),
    ordered=False,
)
