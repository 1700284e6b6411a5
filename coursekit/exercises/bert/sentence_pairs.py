"""sentence_pairs: [CLS] A [SEP] B [SEP] with B the next sentence or one of another document; judged by counting."""

import collections
import itertools
import math
from collections.abc import Sequence

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.laws import as_measurements, at_most, between, deviation, evenness, none, share
from coursekit.checking.probing import Wrong, whole_numbers

FIRST = 10  # tokens are numbered from here on: [CLS] and [SEP] lie below
RANDOM, CUT = 60, 8  # calls in cases that are about chance, and in those about the cut


def cases(g):
    def draw(part, longest, *documents):
        """Documents whose sentences have these lengths; every token stands in one place only."""
        total = sum(map(sum, documents))
        tokens = iter((torch.randperm(total, generator=g) + FIRST).tolist())
        texts = [[list(itertools.islice(tokens, n)) for n in document] for document in documents]
        cls, sep = (1 + torch.randperm(FIRST - 1, generator=g)[:2]).tolist()
        given = {"documents": texts, "longest": longest, "cls": cls, "sep": sep, "random": part == "pairs"}
        seed = torch.randint(2**31, (), generator=g).item()
        label = f"{len(documents)} documents, every pair fits" if part == "pairs" else f"longest={longest}"
        return Case(part, label, given | {"seed": seed})

    def some(n, low, high):
        return torch.randint(low, high, (n,), generator=g).tolist()

    return [
        # A document of one sentence among long ones: from a pool of all sentences it would hardly be drawn.
        draw("pairs", 30, some(4, 2, 9), some(1, 3, 9), some(6, 2, 9), some(3, 2, 9)),
        draw("pairs", 45, some(7, 3, 12), some(1, 3, 12), some(4, 3, 12)),
        # Long after short, short after long, both too long, one just fitting: every way in which a cut can go.
        draw("truncation", 14, [3, 17, 4, 13, 12, 5, 4], [9, *some(2, 2, 17), 3], [15, 2], some(3, 5, 20)),
        draw("truncation", 23, [18, 5, *some(3, 4, 30)], [6, 25, 11], [12, 21, *some(2, 8, 30)]),
        # Sentences of one token, and a long document.
        draw("truncation", 7, [1, 6, 1, 1, 9], [1], some(24, 1, 5)),
    ]


def calls_of(case):
    return RANDOM if case["random"] else CUT


def probe(case, sentence_pairs):
    arguments = (case["longest"], case["cls"], case["sep"])
    before = [[list(sentence) for sentence in document] for document in case["documents"]]
    g = torch.Generator().manual_seed(case["seed"])
    calls = [_plain(sentence_pairs(case["documents"], *arguments, g))]  # the input itself: a change in place is told
    for call in range(calls_of(case)):
        given = [[list(sentence) for sentence in document] for document in before]
        if call == calls_of(case) - 1:
            g.manual_seed(case["seed"])
        calls.append(_plain(sentence_pairs(given, *arguments, g)))
    return {"calls": _packed(calls)}


def measure(case, outputs):
    """Counts over all calls; the last one is the first one again."""
    *calls, again = _unpacked(outputs["calls"].tolist())
    if len(calls) != calls_of(case):
        raise ValueError(f"{len(calls)} calls, expected {calls_of(case)}")
    counts = _counted(case, list(itertools.chain.from_iterable(calls)), len(calls)) | _chances(case, calls)
    same = sum(one == other for one, other in itertools.pairwise(calls))
    return as_measurements(counts | {"again": again != calls[0], "same": same > len(calls) / 2})


def _packed(calls):
    """One row of numbers: how many pairs a call gives; of each pair both lengths and is_next, then ids and segments."""
    row = []
    for pairs in calls:
        row.append(len(pairs))
        for ids, segments, is_next in pairs:
            row += [len(ids), len(segments), is_next, *ids, *segments]
    return torch.tensor(row).clamp(-(2**31), 2**31 - 1).to(torch.int32)


def _unpacked(row):
    """The calls in a row of numbers. Raises StopIteration or ValueError where it is not one."""
    numbers, calls = iter(row), []
    for count in numbers:
        pairs = []
        for _ in range(count):
            n, m, is_next = next(numbers), next(numbers), next(numbers)
            ids, segments = list(itertools.islice(numbers, n)), list(itertools.islice(numbers, m))
            pairs.append((ids, segments, is_next))
        calls.append(pairs)
    return calls


def _plain(pairs):
    """The learner's pairs as lists of plain integers. Raises Wrong where they have another form."""
    if not isinstance(pairs, Sequence) or isinstance(pairs, str):
        forgot = " (is there a return?)" if pairs is None else ""
        raise Wrong(f"it returned {type(pairs).__name__}{forgot}, expected a list of pairs")
    found = []
    for pair in pairs:
        if not isinstance(pair, Sequence) or len(pair) != 3:
            raise Wrong("a pair is not of the form (ids, segments, is_next)")
        ids, segments, is_next = pair
        is_next = is_next.item() if isinstance(is_next, torch.Tensor) and is_next.numel() == 1 else is_next
        if is_next not in (0, 1):
            raise Wrong(f"is_next is {is_next!r}, expected 1 or 0 (True or False)")
        found.append((_integers(ids, "ids"), _integers(segments, "segments"), int(is_next)))
    if not found:
        raise Wrong("it returned an empty list: every sentence that has a next one begins a pair")
    return found


def _integers(x, name):
    plain = type(x) is list and {*map(type, x)} == {int}
    return x if plain else whole_numbers(x, name).tolist()


def _counted(case, pairs, calls):
    """What the laws look at: how many of the pairs of all calls are of which kind."""
    documents = case["documents"]
    where = _places(documents)
    n, firsts, seconds, met = collections.Counter(), collections.Counter(), set(), collections.defaultdict(set)
    for ids, segments, is_next in pairs:
        framed = _framed(ids, case, n)
        if framed is None:
            continue
        a, b = framed
        A, B = where.get(a[0]), where.get(b[0])
        if A is None or B is None or {*map(where.get, a)} != {A} or {*map(where.get, b)} != {B}:
            n["strange"] += 1
            continue
        _count_form(ids, segments, a, b, documents[A[0]][A[1]], documents[B[0]][B[1]], case["longest"], n)
        follows = (A[0], A[1] + 1) == B
        firsts[A] += 1
        n["is_next"] += is_next
        n["inverted"] += is_next and not follows
        n["stranger_is_next"] += not is_next and follows
        n["mislabelled"] += is_next != follows
        if not follows:
            n["same_document"] += A[0] == B[0]
            seconds.add(B)
            met[A[0]].add(B[0])
    expected = {(d, s) for d, document in enumerate(documents) for s in range(len(document) - 1)}
    return {name: n[name] for name in COUNTED} | {
        "pairs": len(pairs),
        "no_pair": sum(firsts[A] < calls for A in expected),
        "beyond": len(set(firsts) - expected),
        "twice": sum(count > calls for count in firsts.values()),
        "steps": len(pairs) - 1,
        "turns": sum(one[2] != other[2] for one, other in itertools.pairwise(pairs)),
        "unseen": sum(map(len, documents)) - len(seconds),
        "sentences": sum(map(len, documents)),
        "one_document": sum(len(others) < 2 for others in met.values()),
    }


def _chances(case, calls):
    """How strangers and labels were drawn in all calls.

    A stranger comes from every other document with the same chance, and in it every sentence has the same.
    """
    where, sizes = _places(case["documents"]), [*map(len, case["documents"])]
    shortest, others = sizes.index(min(sizes)), len(sizes) - 1
    strangers, from_shortest, twice, of_twice = 0, 0, 0, 0.0
    for pairs in calls:
        drawn = collections.defaultdict(list)
        for ids, _, is_next in pairs:
            tokens = [where[t] for t in ids if t in where]
            if tokens and not is_next:
                drawn[tokens[0][0]].append(tokens[-1])
        for d, met in drawn.items():
            twice += sum(one == other for one, other in itertools.combinations(met, 2))
            of_twice += math.comb(len(met), 2) * sum(1 / n for e, n in enumerate(sizes) if e != d) / others**2
            strangers += len(met) * (d != shortest)
            from_shortest += sum(e == shortest for e, _ in met) * (d != shortest)
    labels = torch.tensor([sum(is_next for *_, is_next in pairs) for pairs in calls])
    of = torch.tensor([len(pairs) for pairs in calls])
    return {
        "strangers": strangers,
        "from_shortest": from_shortest,
        "expected": strangers / others,
        "odds": abs(deviation(from_shortest, strangers, 1 / others)),
        "repeated": (twice - of_twice) / math.sqrt(of_twice + 1),
        "even_labels": evenness(labels, of, labels.sum().item() / max(of.sum().item(), 1)),
    }


def _places(documents):
    """Where each token stands: (document, sentence)."""
    return {t: (d, s) for d, document in enumerate(documents) for s, sentence in enumerate(document) for t in sentence}


def _framed(ids, case, n):
    """The tokens of A and of B; what is wrong with the frame is counted, and where it hides them there is None."""
    cls, sep = ids[:1] == [case["cls"]], ids[-1:] == [case["sep"]]
    n["no_cls"] += not cls
    n["no_last_sep"] += not sep
    n["too_long"] += len(ids) > case["longest"]
    n["far_too_long"] += len(ids) > case["longest"] + 3
    body = ids[cls : len(ids) - sep]
    if body.count(case["sep"]) != 1:
        n["other_seps"] += 1
        return None
    middle = body.index(case["sep"])
    if middle in (0, len(body) - 1):
        n["strange"] += 1
        return None
    return body[:middle], body[middle + 1 :]


def _count_form(ids, segments, a, b, whole_a, whole_b, longest, n):
    """Segments and cut of a pair whose sentences `a` and `b` are parts of `whole_a` and `whole_b`."""
    if segments != [0] * (len(a) + 2) + [1] * (len(b) + 1):
        early = [0] * (len(a) + 1) + [1] * (len(b) + 2)
        n["segment_of_sep" if segments == early else "segments_unlike"] += 1
    cut_a, cut_b = len(a) < len(whole_a), len(b) < len(whole_b)
    n["not_from_start"] += a != whole_a[: len(a)] or b != whole_b[: len(b)]
    n["too_short"] += (cut_a or cut_b) and len(ids) < longest
    n["b_cut_alone"] += cut_b and len(b) < len(a) - 1
    n["a_cut_alone"] += cut_a and len(a) < len(b) - 1


# What is wrong with single pairs, in the order in which a learner should mend it.
FRAME = {
    "no_cls": "do not begin with [CLS]",
    "no_last_sep": "do not end with [SEP]",
    "other_seps": "do not have exactly one [SEP] between A and B",
    "strange": "have an A or a B that is not one sentence of the documents",
}
LABELS = {
    "inverted": "have is_next = 1 although B does not follow A",
    "stranger_is_next": "have is_next = 0 although B is the sentence that follows A",
    "same_document": "have a B from A's own document that does not follow A",
}
FORM = {
    "segment_of_sep": "count the [SEP] behind A to segment 1: it belongs to A",
    "segments_unlike": "have segments that are not 0 up to the first [SEP] and 1 after it",
    "far_too_long": "are longer than `longest` by more than three tokens",
    "too_long": "are longer than `longest`, special tokens included",
    "not_from_start": "have a sentence cut elsewhere than at its end",
    "b_cut_alone": "have B cut although A is longer: cut the longer one",
    "a_cut_alone": "have A cut although B is longer: cut the longer one",
    "too_short": "are cut shorter than `longest`",
}
COUNTED = (*FRAME, *LABELS, *FORM, "mislabelled", "is_next")


def _no_pairs(kinds):
    return tuple(none(name, f"{{n:.0f}} of {{pairs:.0f}} pairs {says}") for name, says in kinds.items())


EXERCISE = Exercise(
    id="bert.sentence_pairs",
    title="Pairs of sentences: next, or from elsewhere",
    parts={"pairs": 2, "truncation": 1},
    minutes=25,
    difficulty="core",
    importance=2,
    calls=("sentence_pairs(documents, longest, cls, sep, g)",),
    cases=cases,
    probe=probe,
    measure=measure,
    laws=(
        *_no_pairs(FRAME),
        none("no_pair", "sentences that have a next one do not all begin a pair in every call"),
        none("beyond", "the last sentence of a document begins a pair, though no sentence follows it"),
        none("twice", "some sentences begin more than one pair in a call"),
        between(
            *("mislabelled", "pairs", 0, 0.9),
            "is_next is 1 where B comes from elsewhere, and 0 where B follows A: it should be the other way round",
        ),
        *_no_pairs(LABELS),
        between("is_next", "pairs", 0, 0.99, "in every pair B follows A, expected half"),
        none("same", "calls in a row give the same pairs: draw new numbers from g in each"),
        none("again", "two calls with the same state of g differ: draw every random number from g"),
        share("is_next", "pairs", 0.5, "in {share:.0%} of the pairs B follows A, expected half", when="random"),
        share(
            *("turns", "steps", 0.5),
            "is_next changes from one pair to the next in {share:.0%} of all cases: toss a coin for each pair",
            when="random",
        ),
        none(
            "one_document",
            "the strangers of one document all come from one other document: draw the document too",
            when="random",
        ),
        at_most(
            *("even_labels", 5),
            "the number of pairs that follow varies too little from call to call: toss a coin for each pair",
            when="random",
        ),
        at_most(
            *("repeated", 8),
            "the same stranger stands in several pairs of a document and a call: draw one for each pair",
            when="random",
        ),
        # One or two of them may be missed by chance.
        at_most(
            *("unseen", 2),
            "{n:.0f} of {sentences:.0f} sentences are never drawn as B: draw from all",
            when="random",
        ),
        at_most(
            *("odds", 5),
            "{from_shortest:.0f} of {strangers:.0f} strangers come from the shortest document, expected about "
            "{expected:.0f}: first draw another document, then one of its sentences",
            when="random",
        ),
        *_no_pairs(FORM),
    ),
)
