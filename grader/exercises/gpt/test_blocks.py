"""Right and wrong blocks: x = ids[s : s + T], y = ids[s + 1 : s + T + 1], each row's s one of 0 ... N - T - 1.

Radford et al. 2018, equation 1: each token is predicted from the ones before it, so the targets are the text itself,
one place on.
"""

import torch

from coursekit.checking.testing import of_each
from grader.contract import Trusted

# A wrong one differs from this in a line or two. None raises an error where T tokens and one more are there.
SOURCE = """
def blocks(ids, T, B, generator):
    N = len(ids)
    s = {s}
    at = s[:, None] + torch.arange(T)
    x = {x}
    y = {y}
    return x, y
"""
PARTS = {"s": "torch.randint(N - T, (B,), generator=generator)", "x": "ids[at]", "y": "ids[at + 1]"}

# The places of a row, of which two neighbours in the middle are exchanged.
EXCHANGED = "at[:, [*range(T // 2 - 1), T // 2, T // 2 - 1, *range(T // 2 + 1, T)]]"

MIDDLE = "(torch.arange(B) == B // 2)[:, None]"


def written(**parts):
    return SOURCE.format(**(PARTS | parts))


RIGHT = {
    "by indices": written(),
    "by all windows": "def blocks(ids, T, B, generator):\n"
    "    windows = ids.unfold(0, T + 1, 1)\n"
    "    rows = windows[torch.randint(len(windows), (B,), generator=generator)]\n"
    "    return rows[:, :-1], rows[:, 1:]\n",
    "a loop over rows": "def blocks(ids, T, B, generator):\n"
    "    starts = [int(torch.randint(len(ids) - T, (), generator=generator)) for _ in range(B)]\n"
    "    x, y = ([ids[s + shift : s + shift + T] for s in starts] for shift in (0, 1))\n"
    "    return torch.stack(x), torch.stack(y)\n",
    "starts drawn by rand": written(s="(torch.rand(B, generator=generator) * (N - T)).long()"),
    "starts drawn by multinomial": written(
        s="torch.multinomial(torch.ones(N - T), B, replacement=True, generator=generator)"
    ),
    # The rarest of eight comes 0.4 times as often as on average, and still in every batch of some hundred rows.
    "starts that come unequally often": written(s="(torch.rand(B, generator=generator) ** 2.5 * (N - T)).long()"),
    "a seed drawn for the whole batch": written(
        s="torch.randint(N - T, (B,), generator=torch.Generator().manual_seed(int(torch.randint(2**62, (B,), "
        "generator=generator)[-1])))"
    ),
}
MUTANTS = {
    # Each y follows its x in the text, and the places of a row do not.
    "what x holds": (
        written(
            s="torch.randint(N - 1, (B * T,), generator=generator)", x="ids[s].view(B, T)", y="ids[s + 1].view(B, T)"
        ),
        written(x="ids[at].flip(1)", y="ids[at + 1].flip(1)"),
        written(x="ids[at.roll(1, 1)]", y="ids[at.roll(1, 1) + 1]"),
    ),
    "how far the targets are shifted": (
        written(y="ids[at]"),
        written(y="ids[(at + 2).clamp(max=N - 1)]"),
        written(y="ids[(at - 1).clamp(min=0)]"),
    ),
    "targets that are counted": (written(y="x + 1"), written(y="(x + 1) % (ids.max() + 1)")),
    "targets that are a step away": (written(y="x + (ids[1] - ids[0])"),),
    "one row of x": (written(x=f"torch.where({MIDDLE}, ids[at].flip(1), ids[at])"),),
    "one row of y": (written(y=f"torch.where({MIDDLE}, ids[at + 1].flip(1), ids[at + 1])"),),
    # From T = 4 on both ends are right, and all tokens are there.
    "the middle of a row of x": (
        written(x=f"ids[{EXCHANGED}]"),
        written(x=f"ids[{EXCHANGED}]", y=f"ids[{EXCHANGED} + 1]"),
    ),
    "the middle of a row of y": (written(y=f"ids[{EXCHANGED} + 1]"),),
    "the last target of a row": (
        written(y="x.roll(-1, 1)"),
        written(y="torch.cat([x[:, 1:], x[:, -1:]], 1)"),
        written(y="torch.cat([x[:, 1:], torch.full_like(x[:, :1], -100)], 1)"),
    ),
    "what belongs together": (
        written(y="ids[torch.randint(N - T, (B,), generator=generator)[:, None] + torch.arange(T) + 1]"),
        written(y="ids[at + 1].flip(0)"),
        written(y="ids[at + 1].roll(1, 0)"),
    ),
    "starts near the end": (
        written(s="torch.randint(max(N - T - 1, 1), (B,), generator=generator)"),
        written(s="(torch.rand(B, generator=generator) * max(N - T - 1, 1)).long()"),
        written(s="torch.randint(max(N - 2 * T, 1), (B,), generator=generator)"),
    ),
    "starts near the beginning": (
        written(s="torch.randint(N - T, (B,), generator=generator).clamp(min=min(1, N - T - 1))"),
        written(s="(1 + torch.rand(B, generator=generator) * (N - T - 1)).long().clamp(max=N - T - 1)"),
        written(s="torch.randint(N - T, (B,), generator=generator).clamp(min=min(T, N - T - 1))"),
    ),
    # The first and the last one come.
    "starts in between": (
        written(s="(s := torch.randint(N - T, (B,), generator=generator)) - s % max(T, 2) * (s < N - T - 1)"),
        written(s="(s := torch.randint(N - T, (B,), generator=generator)) - s % 2 * (s < N - T - 1)"),
        written(s="torch.randint(2, (B,), generator=generator) * (N - T - 1)"),
    ),
    "the end of the text": (
        written(s="torch.randint(N - T + 1, (B,), generator=generator)", y="ids[(at + 1) % N]"),
        written(s="torch.randint(N - T + 1, (B,), generator=generator)", y="ids[(at + 1).clamp(max=N - 1)]"),
        written(s="torch.randint(N, (B,), generator=generator)", x="ids[at % N]", y="ids[(at + 1) % N]"),
    ),
    "the rows of a batch": (
        written(s="torch.randint(N - T, (1,), generator=generator).expand(B)"),
        written(s="(torch.rand(1, generator=generator) * (N - T)).long().repeat(B)"),
    ),
    "the generator": (
        written(s="torch.randint(N - T, (B,))"),
        written(s="(torch.rand(B) * (N - T)).long()"),
    ),
    "the generator, from the second row on": (
        written(s="torch.cat([torch.randint(N - T, (1,), generator=generator), torch.randint(N - T, (B - 1,))])"),
    ),
    "one call after another": (
        written(s="torch.randint(N - T, (B,), generator=torch.Generator().manual_seed(0))"),
        written(s="torch.randint(N - T, (B,), generator=generator.manual_seed(0))"),
    ),
    "another call with one generator": (
        written(s="torch.randint(N - T, (B,), generator=torch.Generator().manual_seed(generator.initial_seed()))"),
    ),
    "a shape that is too short": (written(x="ids[at][:, :-1]", y="ids[at + 1][:, 1:]"),),
    "a shape that lies on its side": (written(x="ids[at].T", y="ids[at + 1].T"),),
    "a shape without rows": (written(x="ids[at].flatten()", y="ids[at + 1].flatten()"),),
    "the shape of y alone": (written(y="ids[at + 1][None]"), written(y="ids[at + 1][..., None]")),
}


class Steps:
    """A test in steps, so that a mistake is written as the one in which it differs."""

    __name__ = "test_blocks"
    ids = torch.tensor([44, 7, 31, 90, 2, 65, 18, 53, 29, 76, 11])  # all different, in no order
    T, B = 4, 150  # seven starts: one in a billion batches lacks one of them

    def __call__(self, blocks):
        generator = self.seeded()
        x, y = blocks(self.ids, self.T, self.B, generator)
        self.shapes(x, y)
        starts = self.starts_of(x)
        self.rows(x, y, starts)
        self.all_starts(starts)
        self.chance(blocks, x, generator)

    def shapes(self, x, y):
        assert x.shape == y.shape == (self.B, self.T)

    def starts_of(self, x):
        place = {token: i for i, token in enumerate(self.ids.tolist())}
        return [place[row[0]] for row in x.tolist()]

    def window(self, s, T):
        return self.ids[s : s + T].tolist()

    def rows(self, x, y, starts):
        for s, one, other in zip(starts, x.tolist(), y.tolist(), strict=True):
            assert one == self.window(s, self.T)
            self.targets(one, other, self.window(s + 1, self.T))

    def targets(self, one, other, right):
        assert other == right

    def all_starts(self, starts):
        assert {*starts} == {*range(len(self.ids) - self.T)}

    def seeded(self):
        return torch.Generator().manual_seed(1)

    def chance(self, blocks, x, generator):
        same, _ = blocks(self.ids, self.T, self.B, self.seeded())
        assert torch.equal(same, x)
        later, _ = blocks(self.ids, self.T, self.B, generator)
        self.later(later, x)

    def later(self, later, x):
        assert not torch.equal(later, x)


TRUSTED = Trusted(Steps(), cases=of_each(RIGHT, MUTANTS))


def slip(sentence):
    def register(cls):
        TRUSTED.add_mistake(cls.__name__, sentence, cls())
        return cls

    return register


@slip(
    "Your test lets every wrong function pass: nothing in it could fail, or all of them do right what it asks for. "
    "What a test returns is not looked at: use `assert`."
)
class AcceptsEverything(Steps):
    def __call__(self, blocks):
        blocks(self.ids, self.T, self.B, torch.Generator())


@slip(
    "Your test refuses every right function. Hand it `blocks` from above: which assertion fails, and does it have to "
    "hold? A start may come twice in a batch, and a small batch need not hold all of them."
)
class RefusesEverything(Steps):
    def all_starts(self, starts):
        assert len({*starts}) == self.B


@slip(
    "Your test refuses a right function that draws its starts from the generator in another way than `blocks` above "
    "(by torch.rand, say), or whose draws are not as lucky. Equal seeds need not give the starts that `blocks` gives, "
    "a start may come twice, and a small batch need not hold all of them: ask what has to hold of any draws."
)
class ExactDraws(Steps):
    def chance(self, blocks, x, generator):
        super().chance(blocks, x, generator)
        at = torch.randint(7, (self.B, 1), generator=torch.Generator().manual_seed(1)) + torch.arange(self.T)
        assert torch.equal(x, self.ids[at])


@slip("Your test finds wrong shapes and nothing else: what stands in x and y could be anything.")
class ShapesAlone(Steps):
    def __call__(self, blocks):
        self.shapes(*blocks(self.ids, self.T, self.B, torch.Generator().manual_seed(1)))


@slip(
    "A function that makes its targets out of x passes, such as y = x + 1: in your text one token follows from the "
    "one before. Take tokens in no order."
)
class TokensCountUp(Steps):
    ids = torch.arange(11)


@slip("What y holds is never asked for: a function with any targets passes. They are the text, one place on.")
class TargetsUnseen(Steps):
    def targets(self, one, other, right):
        pass


@slip(
    "The last target of a row is never looked at: to compare y[:, :-1] with x[:, 1:] leaves out the one token that x "
    "does not hold. Compare y with the text."
)
class LastTargetUnseen(Steps):
    def targets(self, one, other, right):
        assert other[:-1] == one[1:]


@slip(
    "A function passes that takes x and y from different places: each is a piece of the text by itself. Row by row, y "
    "must begin one place after x."
)
class EachByItself(Steps):
    def targets(self, one, other, right):
        assert other in self.ids.unfold(0, self.T, 1)[1:].tolist()


@slip(
    "Where the rows begin is never counted: functions pass that leave out the first start, the last one or some in "
    "between, and one whose rows all begin together. A short text has few starts, and a large batch holds them all."
)
class StartsUncounted(Steps):
    def all_starts(self, starts):
        assert max(starts) < len(self.ids) - self.T


@slip(
    "Functions that never begin at some places pass your test: the first start, the last one, or some in between. "
    "Which starts should there be? A short text has few of them, and a large batch holds them all."
)
class SeveralStarts(Steps):
    def all_starts(self, starts):
        assert len({*starts}) > 1
        assert max(starts) < len(self.ids) - self.T


@slip(
    "A function that leaves out starts in the middle of the text passes: your test knows the smallest and the largest "
    "one. Ask for all of them."
)
class EndsAlone(Steps):
    def all_starts(self, starts):
        assert (min(starts), max(starts)) == (0, len(self.ids) - self.T - 1)


@slip(
    "A function passes whose rows all begin at one place: in a batch of one row, or where each row is looked at by "
    "itself, nobody sees it. Each row draws a start of its own."
)
class OneRow(Steps):
    def __call__(self, blocks):
        alone, starts = Steps(), []
        alone.B = 1
        generator = self.seeded()
        for _ in range(self.B):
            x, y = blocks(self.ids, self.T, 1, generator)
            alone.shapes(x, y)
            starts += self.starts_of(x)
            self.rows(x, y, starts[-1:])
        self.all_starts(starts)
        generator = self.seeded()
        self.chance(blocks, blocks(self.ids, self.T, self.B, generator)[0], generator)


@slip(
    "Functions pass that draw from the random numbers of all, or the same ones in each call. Ask for both: generators "
    "with equal seeds give equal batches, and a second call with one of them goes on to another."
)
class GeneratorUnasked(Steps):
    def chance(self, blocks, x, generator):
        pass


@slip(
    "A function passes that draws from torch's global random numbers, if only for some of its rows. Two calls with "
    "equally seeded generators must agree in all rows, and without torch.manual_seed before them."
)
class SeedsTheGlobal(Steps):
    def seeded(self):
        torch.manual_seed(1)
        return super().seeded()


@slip(
    "A function passes that gives the same batch at every call: a model would be trained on one batch for ever. Call "
    "it twice with one generator; the second batch must be another."
)
class SameForEver(Steps):
    def later(self, later, x):
        pass


@TRUSTED.alternative
def all_windows_at_once(blocks):
    """Both results beside each other, as one table of windows."""
    ids, T, B = torch.randperm(9, generator=torch.Generator().manual_seed(3)), 2, 200
    windows = ids.unfold(0, T + 1, 1)  # (N - T, T + 1), one for each start
    generator = torch.Generator().manual_seed(7)
    (x, y), (u, _) = (blocks(ids, T, B, generator) for _ in range(2))
    v, _ = blocks(ids, T, B, torch.Generator().manual_seed(7))
    assert x.shape == y.shape == (B, T)
    assert y[:, :-1].equal(x[:, 1:])
    rows = torch.cat([x, y[:, -1:]], 1)
    assert (rows[:, None] == windows).all(-1).any(1).all()
    assert (rows[:, None] == windows).all(-1).any(0).all()
    assert x.equal(v)
    assert not x.equal(u)


@TRUSTED.alternative
def many_small_batches(blocks):
    """Counts rows over many calls, and looks at the order in a few; a message with each assertion."""
    ids, T, B = torch.tensor([900, 3, 55, 721, 8, 100, 62]), 3, 5
    counts, together, generator = dict.fromkeys(range(4), 0), 0, torch.Generator().manual_seed(2)
    batches = [blocks(ids, T, B, generator) for _ in range(40)]
    for x, y in batches:
        assert x.tolist() != y.tolist(), "y is x"
        assert tuple(x.shape) == tuple(y.shape) == (B, T), "the shape"
        starts = [ids.tolist().index(first) for first in x[:, 0].tolist()]
        for b, s in enumerate(starts):
            assert s in counts, "a start that is none"
            assert x[b].equal(ids[s : s + 3]), "no piece of the text"
            assert y[b].equal(ids[s + 1 : s + 4]), "not the next tokens"
            counts[s] += 1
        together += len({*starts}) == 1
    assert min(counts.values()) > 0, f"some starts never come: {counts}"
    assert together < 20, "rows of a batch begin together"
    assert len({str(x.tolist()) for x, _ in batches}) > 20, "batches repeat"
    generator.manual_seed(2)
    for x, _ in batches[:9]:
        assert x.equal(blocks(ids, T, B, generator)[0]), "equal seeds, other batches"
