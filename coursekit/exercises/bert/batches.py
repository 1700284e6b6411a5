"""pad, batches_by_length, in_order: sentences of unlike length in batches, and their results in the old order."""

import dataclasses
import itertools

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong, returned, several, whole_numbers

END = -(2**40)  # behind every batch where batches are one row of numbers


def cases(g):
    def shuffled(values):
        """In an order that is neither nearly sorted nor nearly its own inverse."""
        while True:
            order, values = torch.randperm(len(values), generator=g), torch.as_tensor(values)
            if (
                len(values) < 2
                or min((values[order] != values).sum(), (order != order.argsort()).sum()) > len(order) / 2
            ):
                return values[order].tolist()

    def pad(label, lengths, pad_id, *tokens):
        """Sentences of these lengths; each of `tokens` stands at the end, in the middle and at a start of some."""
        sentences = [torch.randint(20, 90, (n,), generator=g).tolist() for n in lengths]
        for token in tokens:
            for sentence, place in ((0, -1), (1, len(sentences[1]) // 2), (-1, 0)):
                sentences[sentence][place] = token
        return Case("pad", label, {"sentences": sentences, "pad_id": pad_id})

    def split(size, *lengths, note=""):
        label = f"{len(lengths)} sentences, size {size}{note}"
        return Case("batches", label, {"lengths": shuffled(lengths), "size": size})

    def order(label, sizes, *width, dtype=torch.float32):
        batches = [part.tolist() for part in torch.tensor(shuffled(range(sum(sizes)))).split(sizes)]
        return Case("order", label, {"batches": batches, "results": normal(g, sum(sizes), *width, dtype=dtype)})

    def other(case, label, **given):
        """The same but for one argument."""
        return dataclasses.replace(case, label=label, inputs=case.inputs | given)

    sevens, threes = pad("pad_id=7, lengths 3, 6, 5", [3, 6, 5], 7), split(3, 3, 4, 6, 7, 9, 12, 14)
    return [
        pad("lengths 4, 7, 2, 5", [4, 7, 2, 5], 0),
        sevens,
        other(sevens, "the same sentences, pad_id=2", pad_id=2),
        pad("pad_id=3, sentences that hold 3 and 0 themselves", [5, 3, 6, 4], 3, 3, 0),
        pad("pad_id=0, sentences that hold 0 themselves", [3, 5, 8], 0, 0),
        pad("no padding needed, lengths 6, 6, 6", [6, 6, 6], 0),
        pad("one sentence of length 9", [9], 1),
        pad("one sentence of one token", [1], 2),
        pad("a sentence of length 530", [3, 530], 6),
        threes,
        other(threes, "the same sentences, size 2", size=2),
        split(4, 2, 5, 7, 8, 10, 11, 13, 17),
        split(4, 3, 3, 5, 5, 5, 8, 8, 9, 9, 9, note=", equal lengths among them"),
        split(8, 4, 6, 7, 9, 11),
        split(1, 5, 2, 9),
        split(40, *torch.randint(3, 90, (300,), generator=g).tolist()),
        order("batches of 3, 3 and 1, width 4", (3, 3, 1), 4),
        order("batches of 4 and 4, one number each", (4, 4)),
        order("batches of 4 and 4 in another order, one number each", (4, 4)),
        order("batches of 2, 5 and 3, width 2, float64", (2, 5, 3), 2, dtype=torch.float64),
        order("batches of 2 and 2, width 1", (2, 2), 1),
        order("batches of 3 and 2, a matrix for each", (3, 2), 2, 3),
        order("one sentence", (1,), 3),
    ]


def probe(case, pad, batches_by_length, in_order):
    """The call of the case, and what it returned."""
    if "sentences" in case:
        ids, real = several(pad(case["sentences"], case["pad_id"]), "ids", "real")
        return {"real": returned(real, "real"), "ids": returned(ids, "ids")}
    if "lengths" in case:
        return {"batches": _row(batches_by_length(case["lengths"], case["size"]))}
    results = case["results"].split([len(batch) for batch in case["batches"]])
    return {"in_order(batches, results)": in_order(case["batches"], list(results))}


def _row(batches):
    """Batches as one row of numbers, each with END behind it."""
    if not isinstance(batches, (list, tuple)) and not hasattr(batches, "tolist"):
        raise Wrong(f"batches_by_length returned a {type(batches).__name__}, expected a list of batches")
    batches = batches.tolist() if hasattr(batches, "tolist") else batches
    return torch.tensor([n for batch in batches for n in (*whole_numbers(batch, "a batch").tolist(), END)]).long()


def measure(case, outputs):
    """What any two right answers have in common, in place of the batches: see `_in_common`."""
    if "lengths" not in case:
        return outputs
    numbers = outputs["batches"].tolist()
    ends = [i for i, n in enumerate(numbers) if n == END]
    return _in_common([numbers[a + 1 : b] for a, b in itertools.pairwise([-1, *ends])], case["lengths"])


def _in_common(found, lengths):
    """Batches may come in any order, and equal lengths in any place."""
    taken = torch.tensor([i for batch in found for i in batch]).long()
    if (outside := taken[(taken < 0) | (taken >= len(lengths))]).numel():
        raise Wrong(
            f"a batch holds the number {outside[0]}, and there are {len(lengths)} sentences, 0 to {len(lengths) - 1}: "
            "a batch lists which sentences it takes, not how long they are"
        )
    kept = [[lengths[i] for i in batch] for batch in found if batch]
    shortest, longest = (torch.tensor([f(batch) for batch in kept]) for f in (min, max))
    reaches = shortest[:, None] < longest  # batch i begins before batch j ends
    return {
        "how often each sentence is taken": torch.bincount(taken, minlength=len(lengths)),
        "sizes of the batches, largest first": torch.tensor(sorted(map(len, found), reverse=True)).long(),
        "pairs of batches whose lengths overlap": (reaches & reaches.mT).triu(1).sum(),
    }


EXERCISE = Exercise(
    id="bert.batches",
    title="Padding, masks and batches by length",
    parts={"pad": 1, "batches": 1, "order": 1},
    minutes=25,
    difficulty="core",
    importance=5,
    calls=(
        "pad(sentences, pad_id) -> ids, real",
        "batches_by_length(lengths, size)",
        "in_order(batches, results) -> Y",
    ),
    cases=cases,
    probe=probe,
    measure=measure,
    ordered=False,
)
