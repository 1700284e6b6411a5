"""What the checks of pretraining's exercises accept and say beyond what the gate proves."""

import itertools
import re

import pytest
import torch

from coursekit.checking.findings import finding
from coursekit.exercises import find
from grader.drawing import draw, outcome_of
from grader.exercises import trusted
from grader.exercises.bert.sentence_pairs import Steps
from grader.proving.seeds import PUBLIC


def told(exercise_id, *objects):
    """The first finding on the public cases, empty where there is none."""
    exercise, secret = find(exercise_id), trusted(exercise_id)
    drawn = draw(exercise, secret, PUBLIC)
    rows = zip(drawn.cases, drawn.expected, strict=True)
    findings = (finding(exercise, case, outcome_of(exercise, objects, case), right) for case, right in rows)
    return next(filter(None, findings), "")


def mask(p=0.15, hidden=0.8, kept=0.9, **change):
    """A right mask_tokens, or with other shares, or with one of its steps changed."""

    def mask_tokens(ids, real, special, mask_id, V, g):
        word = real & ~torch.isin(ids, torch.tensor(special))
        chosen = change.get("choose", lambda word, u: word & (u < p))(word, torch.rand(ids.shape, generator=g))
        fate = change.get("fate", lambda chosen, u: u)(chosen, torch.rand(ids.shape, generator=g))
        tokens = change.get("tokens", lambda V, shape, g: torch.randint(V, shape, generator=g))(V, ids.shape, g)
        new = torch.where(fate < hidden, mask_id, torch.where(fate < kept, ids, tokens))
        return torch.where(chosen, new, ids), torch.where(chosen, ids, -100)

    return mask_tokens


def in_runs(u):
    """Words in runs of up to three neighbours, 15% in all."""
    begins = u < 1 - 0.85 ** (1 / 3)
    return begins | begins.roll(1, 1) | begins.roll(2, 1)


def by_place(chosen, u):
    """Numbers that rise along a sentence, and are spread evenly over 0 to 1."""
    n = chosen.sum(1, keepdim=True).clamp_min(1)
    return (chosen.cumsum(1) - 0.5) / n + (u - 0.5) / n


def test_a_right_mask_passes():
    assert not told("bert.mask_tokens", mask())


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (mask(p=0.12), "1[12]..% of the words are chosen"),
        (mask(p=0.2), "of the words are chosen, expected 15%"),
        (mask(hidden=0.7), "become \\[MASK\\], expected 80%"),
        (mask(kept=0.95), "stay as they are, expected 10%"),
        (mask(kept=0.84), "stay as they are, expected 10%"),
        (mask(choose=lambda word, u: word & (u.cumsum(1) % 1 < 0.15) & (u > 2)), "of the words are chosen"),
        (mask(choose=lambda word, u: word & (torch.arange(word.shape[1]) % 7 == 0)), "choose the same words"),
        (mask(tokens=lambda V, shape, g: torch.randint(V // 2, shape, generator=g)), "spread over the whole"),
        (mask(tokens=lambda V, shape, g: torch.randint(V // 2, V, shape, generator=g)), "spread over the whole"),
        (mask(tokens=lambda V, shape, g: torch.randint(3 * V, shape, generator=g)), "outside the vocabulary"),
        (mask(tokens=lambda V, shape, g: torch.randint(V, shape[1:], generator=g).expand(shape)), "draw one for each"),
        (mask(tokens=lambda V, shape, g: torch.randint(V, (shape[0], 1), generator=g)), "draw one for each"),
        (mask(choose=lambda word, u: word & in_runs(u)), "two neighbours are chosen together"),
        (mask(fate=lambda chosen, u: u[:, :1].expand_as(u)), "decided for many words at once"),
        (mask(fate=by_place), "depends on its place in the sentence"),
        (lambda ids, real, *a: mask()(ids, real & (ids != 0), *a), "the word with the id 0 is chosen in 0.0%"),
    ],
)
def test_a_mask_with_other_shares_is_told_by_its_share(wrong, says):
    assert re.search(says, told("bert.mask_tokens", wrong))


@pytest.mark.parametrize(
    "extreme",
    [mask(p=0), mask(p=1), mask(hidden=1), mask(hidden=0, kept=1), mask(hidden=0, kept=0)],
    ids=["nothing chosen", "all chosen", "all hidden", "all kept", "all exchanged"],
)
def test_every_mask_can_be_measured(extreme):
    """While grading, a measurement that is no number is taken for a forged one."""
    exercise = find("bert.mask_tokens")
    for case in draw(exercise, trusted(exercise.id), PUBLIC).cases:
        assert all(value.isfinite() for value in outcome_of(exercise, (extreme,), case).outputs.values())
    assert told(exercise.id, extreme)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c, y: (c, y.float()), "labels is .*float32.*expected .*int64"),
        (lambda c, y: (c[:, :-1], y), "corrupted is"),
        (lambda c, y: (c, y, y), "a tuple of 3, expected 2 tensors"),
        (lambda c, y: c, "expected 2 tensors"),
        (lambda c, y: None, "None"),
    ],
)
def test_a_mask_of_another_form_is_told_by_its_form(change, says):
    assert re.search(says, told("bert.mask_tokens", lambda *a: change(*mask()(*a))))


def right_pairs(*arguments):
    return trusted("bert.sentence_pairs").reference[0](*arguments)


def with_step(**steps):
    """sentence_pairs with some of its steps changed."""
    return type("Changed", (Steps,), {name: staticmethod(step) for name, step in steps.items()})()


def turns():
    """Pairs whose labels take turns."""
    coins = itertools.cycle([True, False])
    return with_step(coins=lambda g: (next(coins),))


def one_of(items, g):
    return items[torch.randint(len(items), (), generator=g)]


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        (with_step(coins=lambda g: (False,)), "in 0% of the pairs B follows A"),
        (with_step(coins=lambda g: (torch.rand((), generator=g) < 0.15,)), "1.% of the pairs B follows A"),
        (turns(), "toss a coin"),
        (with_step(stranger=lambda docs, d, s, g: docs[d - 1][0]), "one other document"),
        (with_step(stranger=lambda docs, d, s, g: one_of(docs[d - 1], g)), "one other document"),
        (with_step(stranger=lambda docs, d, s, g: one_of(docs[:d] + docs[d + 1 :], g)[0]), "never drawn as B"),
        (with_step(stranger=lambda docs, d, s, g: one_of(docs[:d] + docs[d + 1 :], g)[-1]), "never drawn as B"),
        (with_step(ids=lambda a, b, cls, sep: [*a, sep, *b, sep]), "do not begin with"),
        (with_step(ids=lambda a, b, cls, sep: [cls, *a, sep, *b]), "do not end with"),
        (with_step(ids=lambda a, b, cls, sep: [cls, *a, sep, cls, *b, sep]), "not one sentence of the documents"),
        (with_step(segments=lambda a, b: [0] * (len(a) + len(b) + 3)), "segments that are not 0 up to"),
        (with_step(cut=lambda a, b, room: (a[: max(room - len(b), 1)], b[: room - 1])), "A cut although B is longer"),
    ],
)
def test_pairs_that_are_drawn_or_framed_otherwise_are_told(pairs, says):
    assert re.search(says, told("bert.sentence_pairs", pairs.__call__))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda pairs: None, "is there a return"),
        (lambda pairs: [], "an empty list"),
        (lambda pairs: [p[:2] for p in pairs], r"not of the form \(ids, segments, is_next\)"),
        (lambda pairs: [(*p[:2], "next") for p in pairs], "is_next is 'next'"),
        (lambda pairs: [("ids", *p[1:]) for p in pairs], "ids"),
        (lambda pairs: [(p[0], p[1][:-1], p[2]) for p in pairs], "segments"),
        (lambda pairs: pairs[:-1], "do not all begin a pair"),
        (lambda pairs: pairs + pairs[:1], "more than one pair"),
        (lambda pairs: sorted(pairs, key=lambda p: p[2]), "toss a coin"),
        (lambda pairs: [([p[0][0], *p[0][2:]], p[1][1:], p[2]) for p in pairs], "cut elsewhere than at its end"),
    ],
)
def test_pairs_of_another_form_are_told_by_their_form(change, says):
    assert re.search(says, told("bert.sentence_pairs", lambda *a: change(right_pairs(*a))))


def test_pairs_may_hold_tensors_and_booleans():
    def pairs(*arguments):
        return tuple(
            [torch.tensor(ids), torch.tensor(s), torch.tensor(bool(n))] for ids, s, n in right_pairs(*arguments)
        )

    assert not told("bert.sentence_pairs", pairs)


@pytest.mark.parametrize("case", [2, 3])
def test_the_cases_of_truncation_have_every_way_of_being_cut(case):
    given = draw(find("bert.sentence_pairs"), trusted("bert.sentence_pairs"), PUBLIC).cases[case].inputs
    room = given["longest"] - 3
    pairs = [[*map(len, pair)] for document in given["documents"] for pair in itertools.pairwise(document)]
    assert any(a + b <= room for a, b in pairs)
    assert any(a + b > room and b < room // 2 for a, b in pairs)
    assert any(a + b > room and a < room // 2 for a, b in pairs)
    assert any(min(a, b) > room // 2 for a, b in pairs)


def test_a_head_that_is_tied_by_storage_only_is_told():
    secret = trusted("bert.mlm_head")
    Head, loss = secret.alternatives["chosen_first"]

    class SharesStorage(Head):
        def __init__(self, token):
            super().__init__(token)
            self.decoder.weight = torch.nn.Parameter(token.weight.data)

    assert "a matrix of its own" in told("bert.mlm_head", SharesStorage, loss)


def test_a_loss_of_another_shape_is_told():
    Head, loss = trusted("bert.mlm_head").alternatives["chosen_first"]
    assert "shape (1,)" in told("bert.mlm_head", Head, lambda *arguments: loss(*arguments)[None])
