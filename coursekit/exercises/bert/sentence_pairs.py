"""sentence_pairs: [CLS] A [SEP] B [SEP] with B the next sentence or one of another document; judged by counting."""

import itertools
import math
from collections.abc import Sequence

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.probing import Wrong, whole_numbers

CLS, SEP, FIRST = 1, 2, 10
CALLS = 100


def cases(g):
    def draw(part, label, longest, documents):
        """Documents whose sentences have these lengths; every token stands in one place only."""
        total = sum(map(sum, documents))
        tokens = iter((torch.randperm(total, generator=g) + FIRST).tolist())
        texts = [[list(itertools.islice(tokens, n)) for n in document] for document in documents]
        seed = torch.randint(2**31, (), generator=g).item()
        return Case(part, label, {"documents": texts, "longest": longest, "cls": CLS, "sep": SEP, "seed": seed})

    def some(n, low, high):
        return torch.randint(low, high, (n,), generator=g).tolist()

    return [
        draw("pairs", "4 documents, every pair fits", 30, [some(4, 2, 9), some(1, 3, 9), some(6, 2, 9), some(3, 2, 9)]),
        draw("pairs", "3 documents, every pair fits", 45, [some(5, 3, 12), some(2, 3, 12), some(4, 3, 12)]),
        # Long after short, short after long, both too long, one just fitting: every way in which a cut can go.
        draw(
            "truncation", "longest=14", 14, [[3, 17, 4, 13, 12, 5, 4], [9, *some(2, 2, 17), 3], [15, 2], some(3, 5, 20)]
        ),
        draw("truncation", "longest=23", 23, [[18, 5, *some(3, 4, 30)], [6, 25, 11], [12, 21, *some(2, 8, 30)]]),
    ]


def probe(case, sentence_pairs):
    arguments = (case["documents"], case["longest"], case["cls"], case["sep"])
    copies = [[list(sentence) for sentence in document] for document in case["documents"]]
    g = torch.Generator().manual_seed(case["seed"])
    first = _plain(sentence_pairs(*arguments, g))  # the input itself, so that a change in place is told
    calls = [first]
    for _ in range(CALLS - 1):
        given = [[list(sentence) for sentence in document] for document in copies]
        calls.append(_plain(sentence_pairs(given, *arguments[1:], g)))
    given = [[list(sentence) for sentence in document] for document in copies]
    again = _plain(sentence_pairs(given, *arguments[1:], g.manual_seed(case["seed"])))
    return {"calls": _packed([*calls, again])}


def measure(case, outputs):
    """Counts over all calls; the last one is the first one again."""
    *calls, again = _unpacked(outputs["calls"].tolist())
    if len(calls) != CALLS:
        raise ValueError(f"{len(calls)} calls, expected {CALLS}")
    counts = counted(case["documents"], case, list(itertools.chain.from_iterable(calls)))
    counts |= {"again": float(again != calls[0]), "same": float(len({str(call) for call in calls}) < CALLS / 2)}
    return {f"_{name}": torch.tensor(float(n), dtype=torch.float64) for name, n in counts.items()}


def _packed(calls):
    """One row of numbers: how many pairs a call gives; of each pair both lengths and is_next, then ids and segments."""
    row = []
    for pairs in calls:
        row.append(len(pairs))
        for ids, segments, is_next in pairs:
            row += [len(ids), len(segments), is_next, *ids, *segments]
    return torch.tensor([min(max(i, -(2**31)), 2**31 - 1) for i in row], dtype=torch.int32)


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
        lists = [x if _is_plain(x) else whole_numbers(x, n).tolist() for x, n in ((ids, "ids"), (segments, "segments"))]
        found.append((*lists, int(is_next)))
    if not found:
        raise Wrong("it returned an empty list: every sentence that has a next one begins a pair")
    return found


def _is_plain(x):
    return type(x) is list and all(type(i) is int for i in x)


COUNTED = (
    *("no_cls", "no_last_sep", "other_seps", "strange", "too_long", "far_too_long", "segment_of_sep"),
    *("segments_unlike", "not_from_start", "too_short", "b_cut_alone", "a_cut_alone", "inverted", "stranger_is_next"),
    *("strangers", "same_document", "is_next"),
)


def counted(documents, case, pairs):
    """What the laws look at: how many of the pairs of all calls are of which kind."""
    where = {}  # the sentence of each token
    for d, document in enumerate(documents):
        for s, sentence in enumerate(document):
            where |= dict.fromkeys(sentence, (d, s))
    n = dict.fromkeys(COUNTED, 0)
    n["pairs"] = len(pairs)
    firsts, seconds, met = {}, set(), {}
    for ids, segments, is_next in pairs:
        n["no_cls"] += ids[:1] != [case["cls"]]
        n["no_last_sep"] += ids[-1:] != [case["sep"]]
        n["too_long"] += len(ids) > case["longest"]
        n["far_too_long"] += len(ids) > case["longest"] + 3
        body = ids[ids[:1] == [case["cls"]] : len(ids) - (ids[-1:] == [case["sep"]])]
        seps = body.count(case["sep"])
        n["other_seps"] += seps != 1
        a, b = (body[: body.index(case["sep"])], body[body.index(case["sep"]) + 1 :]) if seps == 1 else ([], [])
        if not a or not b or any(len({where.get(token) for token in part} - {None}) != 1 for part in (a, b)):
            n["strange"] += seps == 1
            continue
        A, B = where.get(a[0]), where.get(b[0])
        if A is None or B is None:
            n["strange"] += 1
            continue
        right = [0] * (len(a) + 2) + [1] * (len(b) + 1)
        if segments != right:
            early = [0] * (len(a) + 1) + [1] * (len(b) + 2)
            n["segment_of_sep" if segments == early else "segments_unlike"] += 1
        whole_a, whole_b = (documents[d][s] for d, s in (A, B))
        n["not_from_start"] += a != whole_a[: len(a)] or b != whole_b[: len(b)]
        cut_a, cut_b = len(whole_a) - len(a), len(whole_b) - len(b)
        n["too_short"] += bool(cut_a or cut_b) and len(ids) < case["longest"]
        n["b_cut_alone"] += bool(cut_b) and len(b) < len(a) - 1
        n["a_cut_alone"] += bool(cut_a) and len(a) < len(b) - 1
        follows = (A[0], A[1] + 1) == B
        firsts[A] = firsts.get(A, 0) + 1
        n["is_next"] += is_next
        n["inverted"] += is_next and not follows
        n["stranger_is_next"] += not is_next and follows
        if not follows:
            n["strangers"] += 1
            n["same_document"] += A[0] == B[0]
            seconds.add(B)
            met.setdefault(A[0], set()).add(B[0])
    expected = {(d, s) for d, document in enumerate(documents) for s in range(len(document) - 1)}
    n["no_pair"] = sum(firsts.get(A, 0) < CALLS for A in expected)
    n["beyond"] = len(set(firsts) - expected)
    n["twice"] = sum(count > CALLS for count in firsts.values())
    n["turns"] = sum(one[2] != other[2] for one, other in itertools.pairwise(pairs))
    n["unseen"] = sum(len(document) for document in documents) - len(seconds)
    n["met"] = min(map(len, met.values()), default=0)
    n["sentences"] = sum(len(document) for document in documents)
    return n


def _law(name, *, says):
    """A law that is broken where the count `name` is not 0."""

    def law(case, outputs):
        if count := outputs[f"_{name}"].item():
            return says.format(n=f"{count:.0f} of {outputs['_pairs'].item():.0f} pairs")
        return None

    law.__name__ = name
    return law


def labels_are_inverted(case, outputs):
    wrong, strange = outputs["_inverted"].item(), outputs["_stranger_is_next"].item()
    if wrong + strange > 0.9 * outputs["_pairs"].item() > 0:
        return "is_next is 1 where B comes from elsewhere, and 0 where B follows A: it should be the other way round"
    return None


def strangers_are_not_from_the_same_document(case, outputs):
    same, strangers = outputs["_same_document"].item(), outputs["_strangers"].item()
    if strangers and same == strangers:
        return "every sentence B that does not follow A comes from A's own document: take another document"
    return None


def some_follow(case, outputs):
    return None if outputs["_is_next"].item() else "in no pair B follows A, expected half"


def not_all_follow(case, outputs):
    return "in every pair B follows A, expected half" if outputs["_is_next"] == outputs["_pairs"] else None


def half_follow(case, outputs):
    n, share = outputs["_pairs"].item(), outputs["_is_next"].item() / outputs["_pairs"].item()
    if abs(share - 0.5) > 5 * math.sqrt(0.25 / n):
        return f"in {share:.0%} of the pairs B follows A, expected half (counted in {CALLS} calls)"
    return None


def coins_are_tossed(case, outputs):
    n, turns = outputs["_pairs"].item() - 1, outputs["_turns"].item()
    if abs(turns / n - 0.5) > 5 * math.sqrt(0.25 / n):
        return f"is_next changes from one pair to the next in {turns / n:.0%} of all cases: toss a coin for each pair"
    return None


def strangers_come_from_several_documents(case, outputs):
    if outputs["_met"] < 2:
        return "the strangers of one document all come from one other document: draw the document too"
    return None


def every_sentence_can_be_the_stranger(case, outputs):
    if missing := outputs["_unseen"].item():
        return f"{missing:.0f} of {outputs['_sentences'].item():.0f} sentences are never drawn as B: draw from all"
    return None


def _library(documents, longest, cls, sep, g):
    """Pairs framed, cut and numbered by the tokenizers library, whose words here are the ids."""
    from tokenizers import Tokenizer, models, processors

    ids = {cls, sep}.union(*itertools.chain.from_iterable(documents))
    framed = Tokenizer(models.WordLevel({str(i): i for i in ids}, unk_token=str(sep)))
    framed.post_processor = processors.BertProcessing((str(sep), sep), (str(cls), cls))
    framed.enable_truncation(longest, strategy="longest_first")
    words = [[list(map(str, sentence)) for sentence in document] for document in documents]
    following = [pair for document in words for pair in itertools.pairwise(document)]
    owners = [d for d, document in enumerate(words) for _ in document[1:]]
    labels = torch.randint(2, (len(owners),), generator=g).tolist()
    others = [list(itertools.chain.from_iterable(words[:d] + words[d + 1 :])) for d in range(len(words))]
    draws = torch.rand(len(owners), generator=g).tolist()
    pairs = [
        (a, b if label else others[d][int(u * len(others[d]))])
        for (a, b), d, label, u in zip(following, owners, labels, draws, strict=True)
    ]
    encoded = framed.encode_batch(pairs, is_pretokenized=True)
    return [(e.ids, e.type_ids, label) for e, label in zip(encoded, labels, strict=True)]


EXERCISE = Exercise(
    id="bert.sentence_pairs",
    title="Pairs of sentences: next, or from elsewhere",
    parts={"pairs": 2, "truncation": 1},
    minutes=25,
    difficulty="core",
    calls=("sentence_pairs(documents, longest, cls, sep, g)",),
    cases=cases,
    probe=probe,
    measure=measure,
    library=(_library,),
    # One law for each kind of mistake, in the order in which a learner should mend them.
    laws=(
        _law("no_cls", says="{n} do not begin with [CLS]"),
        _law("no_last_sep", says="{n} do not end with [SEP]"),
        _law("other_seps", says="{n} do not have exactly one [SEP] between A and B"),
        _law("strange", says="{n} have an A or a B that is not one sentence of the documents"),
        _law("no_pair", says="sentences that have a next one do not all begin a pair in every call"),
        _law("beyond", says="the last sentence of a document begins a pair, though no sentence follows it"),
        _law("twice", says="some sentences begin more than one pair in a call"),
        labels_are_inverted,
        _law("inverted", says="{n} have is_next = 1 although B does not follow A"),
        strangers_are_not_from_the_same_document,
        _law("stranger_is_next", says="{n} have is_next = 0 although B is the sentence that follows A"),
        _law("same_document", says="{n} have a B from A's own document that does not follow A"),
        some_follow,
        not_all_follow,
        _law("same", says="calls in a row give the same pairs: draw new numbers from g in each"),
        _law("again", says="two calls with the same state of g differ: draw every random number from g"),
        half_follow,
        coins_are_tossed,
        strangers_come_from_several_documents,
        every_sentence_can_be_the_stranger,
        _law("segment_of_sep", says="{n} count the [SEP] behind A to segment 1: it belongs to A"),
        _law("segments_unlike", says="{n} have segments that are not 0 up to the first [SEP] and 1 after it"),
        _law("far_too_long", says="{n} are longer than `longest` by more than three tokens"),
        _law("too_long", says="{n} are longer than `longest`, special tokens included"),
        _law("not_from_start", says="{n} have a sentence cut elsewhere than at its end"),
        _law("b_cut_alone", says="{n} have B cut although A is longer: cut the longer one"),
        _law("a_cut_alone", says="{n} have A cut although B is longer: cut the longer one"),
        _law("too_short", says="{n} are cut shorter than `longest`"),
    ),
)
