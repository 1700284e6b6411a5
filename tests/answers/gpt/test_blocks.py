"""Answers to gpt.test_blocks: tests, wrong where they let a wrong function pass or refuse a right one."""

import inspect

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "gpt.test_blocks",
    spared={
        "given": "a function is handed in, which nobody can alter",
        "again": "every call gets a function of its own",
        "far": "tokens are names, and no arithmetic is done with them",
        "unwatched": "what counts is whether it raises",
        "surroundings": "what counts is whether it raises",
    },
)
wrong = ANSWERS.wrong
TEXT = torch.tensor([31, 4, 15, 92, 65, 35, 89, 79, 32, 38, 46, 26])


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def starts(x, ids=TEXT):
    return (x[:, :1] == ids).int().argmax(1)


def agree(blocks, ids=TEXT, T=4, B=400):
    """Shapes, rows and all starts."""
    x, y = blocks(ids, T, B, seeded(1))
    assert x.shape == y.shape == (B, T)
    s = starts(x, ids)
    rows = ids.unfold(0, T + 1, 1)
    assert set(s.tolist()) == set(range(len(ids) - T))
    assert torch.equal(x, rows[s, :-1])
    assert torch.equal(y, rows[s, 1:])


def seeds(blocks, ids=TEXT, T=4, B=50):
    g = seeded(2)
    first, second = blocks(ids, T, B, g)[0], blocks(ids, T, B, g)[0]
    assert torch.equal(first, blocks(ids, T, B, seeded(2))[0])
    assert not torch.equal(first, second)


@wrong(
    "plain",
    "CS336's: the tokens 0 to 99, and y == x + 1",
    told=r"a wrong one \(targets that are counted\): your test lets it pass",
)
def x_plus_1(blocks):
    ids = torch.arange(100)
    x, y = blocks(ids, 7, 32, seeded(0))
    assert x.shape == y.shape == (32, 7)
    assert torch.equal(y, x + 1)


@wrong("plain", "the tokens 0 to 99, starts and seeds: who adds 1 passes", true="TokensCountUp")
def in_order(blocks):
    agree(blocks, torch.arange(12))
    seeds(blocks, torch.arange(12))


@wrong("plain", "shapes alone", true="ShapesAlone")
def shapes(blocks):
    x, y = blocks(TEXT, 4, 10, seeded(0))
    assert x.shape == (10, 4)
    assert y.shape == (10, 4)


@wrong("plain", "rows and starts, no seeds", true="GeneratorUnasked")
def no_seeds(blocks):
    agree(blocks)


@wrong("onward", "equal seeds give equal batches, and nobody asks what a second call gives", true="SameForEver")
def first_call_only(blocks):
    agree(blocks)
    assert torch.equal(blocks(TEXT, 4, 50, seeded(3))[0], blocks(TEXT, 4, 50, seeded(3))[0])


@wrong("onward", "two calls differ, and nobody asks for equal seeds", true="SeedsTheGlobal")
def only_that_they_differ(blocks):
    agree(blocks)
    g = seeded(3)
    assert not torch.equal(blocks(TEXT, 4, 50, g)[0], blocks(TEXT, 4, 50, g)[0])


@wrong(
    "plain",
    "each y is the next one, and where rows may begin is not asked",
    told=r"a wrong one \(what x holds\): your test lets it pass",
)
def next_tokens(blocks):
    seeds(blocks)
    following = dict(zip(TEXT.tolist(), TEXT.tolist()[1:], strict=False))
    x, y = blocks(TEXT, 4, 200, seeded(0))
    assert y.tolist() == [[following[i] for i in row] for row in x.tolist()]


@wrong("plain", "y is x shifted, inside of a row: the last column of y is not looked at", true="LastTargetUnseen")
def shifted_inside(blocks):
    seeds(blocks)
    x, y = blocks(TEXT, 4, 400, seeded(0))
    assert x.shape == y.shape == (400, 4)
    s = starts(x)
    assert set(s.tolist()) == set(range(8))
    assert torch.equal(x, TEXT.unfold(0, 4, 1)[s])
    assert torch.equal(y[:, :-1], x[:, 1:])


@wrong("large", "five rows: not all starts can come, and none is asked for", told="Only an AssertionError says")
def five_rows(blocks):
    seeds(blocks)
    x, y = blocks(TEXT, 4, 5, seeded(0))
    rows = TEXT.unfold(0, 5, 1)
    s = starts(x)
    assert torch.equal(torch.cat((x, y[:, -1:]), 1), rows[s])


@wrong("large", "ten rows, and all eight starts are expected: chance refuses right ones", true="RefusesEverything")
def all_in_ten(blocks):
    agree(blocks, B=10)
    seeds(blocks)


@wrong("named", "N - T + 1 starts are expected, the last without a next token", true="RefusesEverything")
def one_start_too_many(blocks):
    x, _ = blocks(TEXT, 4, 400, seeded(0))
    assert set(starts(x).tolist()) == set(range(len(TEXT) - 4 + 1))


@wrong("named", "the last start is not expected", true="RefusesEverything")
def one_start_too_few(blocks):
    x, _ = blocks(TEXT, 4, 400, seeded(0))
    assert set(starts(x).tolist()) == set(range(len(TEXT) - 4 - 1))


@wrong("plain", "the starts of the chapter's own way of drawing: others are right too", true="ExactDraws")
def the_chapters_numbers(blocks):
    s = torch.randint(len(TEXT) - 4, (50, 1), generator=seeded(5))
    x, y = blocks(TEXT, 4, 50, seeded(5))
    assert torch.equal(x, TEXT[s + torch.arange(4)])
    assert torch.equal(y, TEXT[s + 1 + torch.arange(4)])


@wrong(
    "dependence",
    "each start comes about as often: that is not its affair",
    told=r"unequally often\): your test refuses it",
)
def evenly(blocks):
    agree(blocks)
    seeds(blocks)
    x, _ = blocks(TEXT, 4, 800, seeded(7))
    counts = starts(x).bincount(minlength=8)
    assert (counts - 100).abs().max() < 40


@wrong("dependence", "rows that follow each other may not be equal", true="RefusesEverything")
def no_neighbours(blocks):
    agree(blocks)
    x, _ = blocks(TEXT, 4, 50, seeded(7))
    assert (x[1:] != x[:-1]).any(1).all()


@wrong(
    "dependence",
    "a batch whose rows are all equal passes: each start comes in some batch",
    told="Only an AssertionError says",
)
def over_many_batches(blocks):
    seeds(blocks, B=1)
    g, seen = seeded(0), set()
    for _ in range(100):
        x, y = blocks(TEXT, 4, 3, g)
        s = starts(x)
        assert torch.equal(torch.cat((x, y[:, -1:]), 1), TEXT.unfold(0, 5, 1)[s])
        seen |= set(s.tolist())
    assert seen == set(range(8))


@wrong("ones", "one row and one token alone", told="your test lets it pass")
def one_row(blocks):
    seen = set()
    g = seeded(0)
    for _ in range(200):
        x, y = blocks(TEXT, 1, 1, g)
        s = starts(x).item()
        assert y.item() == TEXT[s + 1]
        seen.add(s)
    assert seen == set(range(11))


@wrong("plain", "a text of one token over and over", told=r"a wrong one \(what x holds\): your test lets it pass")
def constant_text(blocks):
    ids = torch.full((12,), 5)
    x, y = blocks(ids, 4, 50, seeded(0))
    assert (x == 5).all()
    assert (y == 5).all()


@wrong("plain", "a ValueError", told="Only an AssertionError says")
def value_error(blocks):
    try:
        agree(blocks)
        seeds(blocks)
    except AssertionError as error:
        raise ValueError("wrong") from error


@wrong("plain", "nothing is asserted, what was found is returned", true="AcceptsEverything")
def returns(blocks):
    x, y = blocks(TEXT, 4, 400, seeded(0))
    return x.shape == y.shape


@wrong("plain", "always fails", true="RefusesEverything")
def fails(blocks):
    raise AssertionError("wrong")


@wrong("plain", "its assertions are caught", true="AcceptsEverything")
def caught(blocks):
    try:
        agree(blocks)
        seeds(blocks)
    except AssertionError as error:
        print(error)


@wrong("plain", "it goes by the source, and there is none", told="Only an AssertionError says")
def by_source(blocks):
    assert "generator=" in inspect.getsource(blocks)


@wrong("plain", "lists and tensors are compared, so that it always fails", true="RefusesEverything")
def list_and_tensor(blocks):
    x, _ = blocks(TEXT, 4, 50, seeded(0))
    assert x[0] in TEXT.unfold(0, 4, 1).tolist()


@wrong(
    "named",
    "a text of T + 1 tokens alone: one start",
    told=r"a wrong one \(starts near the end\): your test lets it pass",
)
def shortest(blocks):
    x, y = blocks(TEXT[:5], 4, 30, seeded(0))
    assert torch.equal(x, TEXT[:4].expand(30, 4))
    assert torch.equal(y, TEXT[1:5].expand(30, 4))


@wrong("plain", "the global seed is set, and the generator never looked at", true="GeneratorUnasked SeedsTheGlobal")
def global_seed(blocks):
    agree(blocks)
    torch.manual_seed(0)
    first = blocks(TEXT, 4, 50, seeded(0))[0]
    torch.manual_seed(0)
    assert torch.equal(first, blocks(TEXT, 4, 50, seeded(0))[0])
    assert not torch.equal(first, blocks(TEXT, 4, 50, seeded(1))[0])


@wrong("plain", "it compares sets of tokens, not rows", told=r"a wrong one \(what x holds\): your test lets it pass")
def sets(blocks):
    seeds(blocks)
    x, y = blocks(TEXT, 4, 400, seeded(0))
    assert set(x.flatten().tolist()) == set(TEXT[:-1].tolist())
    assert set(y.flatten().tolist()) == set(TEXT[1:].tolist())


@ANSWERS.right
def as_hinted(blocks):
    agree(blocks)
    seeds(blocks)


@ANSWERS.right
def row_by_row(blocks):
    """Lists, another text, other sizes, a message of its own."""
    ids = torch.randperm(20, generator=seeded(11)) + 100
    text, T, B = ids.tolist(), 3, 600
    x, y = blocks(ids, T, B, seeded(42))
    assert list(x.shape) == [B, T], x.shape
    assert list(y.shape) == [B, T], y.shape
    seen = set()
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        s = text.index(a[0])
        if a != text[s : s + T] or b != text[s + 1 : s + T + 1]:
            raise AssertionError(f"row {a} -> {b} at {s}")
        seen.add(s)
    assert seen == set(range(len(text) - T)), seen
    g = seeded(42)
    assert blocks(ids, T, B, g)[0].equal(x)
    assert not blocks(ids, T, B, g)[0].equal(x)


@ANSWERS.right
def many_sizes(blocks):
    for T, N in ((1, 5), (2, 9), (4, 12)):
        agree(blocks, TEXT[:N], T, 500)
    seeds(blocks)


@ANSWERS.right
def by_places(blocks):
    """The text is drawn; each token gives its place away."""
    ids = torch.randperm(1000, generator=seeded(3))[:11]
    place = torch.full((1000,), -1)
    place[ids] = torch.arange(11)
    x, y = blocks(ids, 5, 300, seeded(1))
    assert x.shape == y.shape == torch.Size([300, 5])
    s = place[x][:, :1]
    assert (place[x] == s + torch.arange(5)).all()
    assert (place[y] == s + 1 + torch.arange(5)).all()
    assert sorted(s.unique().tolist()) == [0, 1, 2, 3, 4, 5]
    again, later = seeded(1), seeded(1)
    assert torch.equal(blocks(ids, 5, 300, again)[1], y)
    blocks(ids, 5, 300, later)
    assert (blocks(ids, 5, 300, later)[1] != y).any()
    torch.manual_seed(5)
    assert torch.equal(blocks(ids, 5, 300, seeded(1))[0], x)


# A second round.


@wrong("plain", "rows are compared after sorting them")
def sorted_rows(blocks):
    seeds(blocks)
    x, y = blocks(TEXT, 4, 400, seeded(0))
    rows = TEXT.unfold(0, 5, 1)
    pieces = {tuple(sorted(row[:-1].tolist())): tuple(sorted(row[1:].tolist())) for row in rows}
    found = {tuple(sorted(a)): tuple(sorted(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)}
    assert found == pieces


@wrong("plain", "the first ten rows alone are compared", told="a wrong one .* your test lets it pass|refuses")
def ten_rows(blocks):
    seeds(blocks)
    x, y = blocks(TEXT, 4, 400, seeded(0))
    assert x.shape == y.shape == (400, 4)
    s = starts(x[:10])
    assert torch.equal(x[:10], TEXT.unfold(0, 4, 1)[s])
    assert torch.equal(y[:10], TEXT[1:].unfold(0, 4, 1)[s])


@wrong("onward", "a third call must give the first batch again", true="RefusesEverything")
def round_and_round(blocks):
    agree(blocks)
    g = seeded(0)
    first = blocks(TEXT, 4, 50, g)[0]
    blocks(TEXT, 4, 50, g)
    assert torch.equal(first, blocks(TEXT, 4, 50, g)[0])


@wrong("dependence", "two rows of a batch must differ, in a batch of two", true="RefusesEverything")
def two_rows_differ(blocks):
    agree(blocks)
    seeds(blocks)
    for seed in range(20):
        x, _ = blocks(TEXT, 4, 2, seeded(seed))
        assert not torch.equal(x[0], x[1])


@ANSWERS.right
def with_the_function_above(blocks):
    """Rows as a set, starts by a dictionary, seeds with new generators each time."""
    text = [8, 3, 11, 5, 2, 9, 7]
    ids = torch.tensor(text)
    pairs = [(tuple(text[s : s + 3]), tuple(text[s + 1 : s + 4])) for s in range(4)]
    x, y = blocks(ids, 3, 128, seeded(9))
    assert isinstance(x, torch.Tensor)
    assert x.shape == (128, 3)
    assert y.shape == (128, 3)
    assert {(tuple(a), tuple(b)) for a, b in zip(x.tolist(), y.tolist(), strict=True)} == set(pairs)
    g, h = seeded(4), seeded(4)
    batches = [blocks(ids, 3, 64, g)[0] for _ in range(3)]
    repeated = [blocks(ids, 3, 64, h)[0] for _ in range(3)]
    assert all(torch.equal(a, b) for a, b in zip(batches, repeated, strict=True))
    assert not torch.equal(batches[0], batches[1])


# A third round.


def of_each_start(blocks, T=4, B=400):
    """x and y, and what they should be, where all starts come and chance comes from the generator."""
    x, y = blocks(TEXT, T, B, seeded(1))
    assert x.shape == y.shape == (B, T)
    s, rows = starts(x), TEXT.unfold(0, T + 1, 1)
    assert set(s.tolist()) == set(range(len(TEXT) - T))
    seeds(blocks)
    return x, y, rows[s, :-1], rows[s, 1:]


@wrong("plain", "the ends of a row are looked at, and not its middle", told="the middle of a row")
def ends_of_rows(blocks):
    x, y, right_x, right_y = of_each_start(blocks)
    assert torch.equal(x[:, -1], right_x[:, -1])
    assert torch.equal(y[:, 0], right_y[:, 0])
    assert torch.equal(y[:, -1], right_y[:, -1])


@wrong("plain", "rows are compared as sorted", told="the middle of a row")
def sorted_inside(blocks):
    x, y, right_x, right_y = of_each_start(blocks)
    assert torch.equal(x.sort(1).values, right_x.sort(1).values)
    assert torch.equal(y.sort(1).values, right_y.sort(1).values)


@wrong("plain", "the first row alone is compared", told="one row of")
def first_row_alone(blocks):
    x, y, right_x, right_y = of_each_start(blocks)
    assert torch.equal(x[0], right_x[0])
    assert torch.equal(y[0], right_y[0])


# A fifth round.


@wrong("named", "asks for starts that come about equally often", told="unequally often|comes about as often")
def asks_for_even_starts(blocks):
    x, _, _, _ = of_each_start(blocks, B=800)
    n = len(TEXT) - 4
    assert (torch.bincount(starts(x), minlength=n) > 400 / n).all()


@wrong(
    "named",
    "asks two batches to be one of double size",
    told="draws its starts from the generator in another way|whole batch",
)
def asks_for_one_stream(blocks):
    g = seeded(3)
    x, z = (blocks(TEXT, 4, 200, g)[0] for _ in range(2))
    assert torch.equal(torch.cat([x, z]), blocks(TEXT, 4, 400, seeded(3))[0])
    of_each_start(blocks)


@wrong("named", "asks for rows that differ", told="your test refuses it, and it is right")
def asks_for_different_rows(blocks):
    ids = torch.randperm(1000, generator=seeded(5))
    x, y = blocks(ids, 8, 64, seeded(3))
    s = (x[:, :1] == ids).int().argmax(1)
    assert len(set(s.tolist())) == 64
    of_each_start(blocks)
