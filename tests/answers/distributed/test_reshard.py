"""Answers to distributed.test_reshard: tests, wrong where they let a wrong function pass or refuse a right one."""

import inspect
import itertools
import random
import unittest

import numpy as np
import torch
from torch.nn import functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "distributed.test_reshard",
    spared={
        "surroundings": "what counts is whether it raises",
    },
)
wrong = ANSWERS.wrong


def cut(v, n):
    k = -(-len(v) // n)
    return [row.clone() for row in F.pad(v, (0, n * k - len(v))).view(n, k)]


def numbers(N, dtype=torch.float64, seed=0):
    v = torch.randn(N, dtype=dtype, generator=torch.Generator().manual_seed(1000 * N + seed))
    if N > 2:
        v[N // 2] = 0
    return v


def shape_of_list(new, want):
    assert isinstance(new, list)
    assert len(new) == len(want)


def same(new, want):
    assert len(new) == len(want)
    for a, b in zip(new, want, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


def untouched(shards, kept, clones):
    assert len(shards) == len(kept)
    for a, b, c in zip(shards, kept, clones, strict=True):
        assert a is b
        assert torch.equal(a, c)


def marks(new, kept, clones):
    for i, x in enumerate(new):
        x.fill_(i + 5)
    for i, x in enumerate(new):
        assert torch.all(x == i + 5)
    for a, c in zip(kept, clones, strict=True):
        assert torch.equal(a, c)


def nothing(*args):
    """In place of a part that is left out."""


def one(
    reshard,
    n,
    N,
    m,
    *,
    dtype=torch.float64,
    v=None,
    seed=0,
    listed=shape_of_list,
    equal=same,
    given=untouched,
    own=marks,
):
    """What a call must do, part by part."""
    v = numbers(N, dtype, seed) if v is None else v
    shards = cut(v, n)
    kept, clones = list(shards), [s.clone() for s in shards]
    new = reshard(shards, N, m)
    want = cut(v, m)
    listed(new, want)
    equal(new, want)
    given(shards, kept, clones)
    own(new, kept, clones)


SIZES = [(n, N, m) for n in range(1, 6) for N in range(1, 13) for m in range(1, 6)]
SIZES += [(4, 10, 11), (11, 10, 4), (3, 2, 9), (9, 2, 3), (12, 12, 12), (7, 100, 9), (1, 1, 1)]


def whole(reshard, sizes=SIZES, dtypes=(torch.float32, torch.float64), later=True, **parts):
    """A right test, of which a part is replaced."""
    for n, N, m in sizes:
        for dtype in dtypes:
            one(reshard, n, N, m, dtype=dtype, **parts)
            if later:
                one(reshard, n, N, m, dtype=dtype, seed=1, **parts)
    if later:
        keeps_earlier(reshard, parts.get("equal", same))


def keeps_earlier(reshard, equal=same, first=None):
    """What an earlier call has returned is not changed by a later one."""
    first = numbers(10, seed=2) if first is None else first
    a = reshard(cut(first, 4), 10, 3)
    b = reshard(cut(first + 1, 4), 10, 3)
    equal(a, cut(first, 3))
    for x in b:
        x.fill_(77)
    equal(a, cut(first, 3))


# Nothing is asserted, or too much.


@wrong("plain", "returns True or False in place of an assertion", true="AcceptsEverything")
def says_true(reshard):
    v = numbers(10)
    return all(map(torch.equal, reshard(cut(v, 4), 10, 3), cut(v, 3)))


@wrong("plain", "assert with parentheses around condition and message: a pair is always true", true="AcceptsEverything")
def asserts_a_pair(reshard):
    v = numbers(10)
    new = reshard(cut(v, 4), 10, 3)
    pair = (len(new) == 3, "number of shards")
    assert pair


@wrong("plain", "always fails", true="RefusesEverything")
def hopeless(reshard):
    assert reshard is None


@wrong("plain", "the exception is caught again", true="AcceptsEverything")
def swallows(reshard):
    try:
        whole(reshard)
    except Exception:
        print("there is something wrong")


@wrong("plain", "raises a ValueError in place of an AssertionError", told=r"Only an AssertionError says")
def raises_value_error(reshard):
    try:
        whole(reshard)
    except AssertionError as e:
        raise ValueError("reshard is wrong") from e


@wrong("plain", "expects floor(N / n) and the rest at the end", true="RefusesEverything")
def expects_the_floor(reshard):
    v = numbers(10)
    want = [v[:3], v[3:6], v[6:]]
    for a, b in zip(reshard(cut(v, 4), 10, 3), want, strict=True):
        assert torch.equal(a, b)


@wrong("plain", "expects torch.chunk: a shorter last shard, without zeros", true="RefusesEverything")
def expects_chunks(reshard):
    v = numbers(10)
    for a, b in zip(reshard(cut(v, 4), 10, 3), v.chunk(3), strict=True):
        assert torch.equal(a, b)


@wrong(
    "plain",
    "hands in chunks as well, of which the last is shorter: equal lengths and zeros behind are promised",
    told=r"a right one \(",
)
def hands_in_chunks(reshard):
    whole(reshard)
    v = numbers(10)
    for n, m in ((4, 3), (3, 4), (4, 11)):
        same(reshard([*v.chunk(n)], 10, m), cut(v, m))


@wrong("plain", "the arguments in another order", true="RefusesEverything")
def other_order(reshard):
    v = numbers(10)
    same(reshard(cut(v, 4), 3, 10), cut(v, 3))


@wrong("plain", "demands that new shards are no views of one tensor", true="OneStorage")
def demands_storages(reshard):
    whole(reshard)
    new = reshard(cut(numbers(10), 4), 10, 3)
    assert len({x.untyped_storage().data_ptr() for x in new}) == 3


@wrong(
    "plain", "demands that new shards are contiguous and begin their memory, which nobody promises", true="OneStorage"
)
def demands_offsets(reshard):
    whole(reshard)
    for x in reshard(cut(numbers(10), 4), 10, 3):
        assert x.is_contiguous()
        assert x.storage_offset() == 0


@wrong("plain", "demands a ValueError for more ranks than numbers", true="RefusesEverything")
def demands_an_error(reshard):
    try:
        reshard(cut(numbers(3), 2), 3, 5)
    except ValueError:
        return
    raise AssertionError("more ranks than numbers should be refused")


# What is handed in is not what the text promises.


@wrong("given", "hands in a tuple, where a list is promised", told=r"'tuple' object has no attribute")
def hands_in_a_tuple(reshard):
    whole(lambda shards, N, m: reshard(tuple(shards), N, m), given=nothing)


@wrong("given", "what was handed in is compared with itself: nothing was kept", true="HandedInUnseen")
def compares_with_itself(reshard):
    def itself(shards, kept, clones):
        for a, b in zip(shards, shards, strict=True):
            assert a is b
            assert torch.equal(a, b)

    def own(new, kept, clones):
        old = kept
        marks(new, old, old)

    whole(reshard, given=itself, own=own)


@wrong("named", "numbers behind the end of the vector, where zeros are promised", true="NoZerosBehind")
def garbage_behind(reshard):
    v = numbers(10)
    shards = cut(v, 4)
    shards[-1][1:] = 77
    whole(reshard)
    same(reshard(shards, 10, 11), cut(v, 11))
    same(reshard(shards, 10, 4), cut(v, 4))


@wrong("named", "float16 and bfloat16, which are not promised", told=r"a right one \(")
def other_dtypes(reshard):
    whole(reshard)
    whole(reshard, dtypes=(torch.float16, torch.bfloat16), sizes=[(4, 10, 3), (3, 10, 4)])


@wrong("named", "N = 0, which is not promised", told=r"range\(\) arg 3 must not be zero")
def no_numbers(reshard):
    whole(reshard)
    new = reshard([torch.zeros(0) for _ in range(4)], 0, 3)
    assert [x.shape for x in new] == [(0,)] * 3


@wrong("named", "NaN is among the numbers, and NaN is not equal to itself", true="RefusesEverything")
def with_nan(reshard):
    v = numbers(10)
    v[3] = torch.nan
    one(reshard, 4, 10, 3, v=v)


# A part is left out.


@wrong("plain", "shapes and the number of shards alone")
def shapes(reshard):
    for n, N, m in SIZES:
        new = reshard(cut(numbers(N), n), N, m)
        assert [x.shape for x in new] == [x.shape for x in cut(numbers(N), m)]


@wrong(
    "plain",
    "the numbers one after the other, whatever shape the shards have",
    told=r"a wrong one \(how many new shards\): your test lets it pass",
)
def joined(reshard):
    def equal(new, want):
        assert torch.equal(torch.cat(new)[: len(torch.cat(want))], torch.cat(want))

    whole(reshard, listed=nothing, equal=equal)


@wrong("plain", "the first N numbers are compared, and not the zeros behind", true="BehindTheEnd")
def zeros_unseen(reshard):
    def equal(new, want):
        assert [(x.shape, x.dtype) for x in new] == [(x.shape, x.dtype) for x in want]

    for n, N, m in SIZES:
        for dtype in (torch.float32, torch.float64):
            new = reshard(cut(numbers(N, dtype, 2), n), N, m)
            assert torch.equal(torch.cat(new)[:N], numbers(N, dtype, 2))
            new = reshard(cut(numbers(N, dtype, 3), n), N, m)
            assert torch.equal(torch.cat(new)[:N], numbers(N, dtype, 3))
    whole(reshard, equal=equal)


@wrong(
    "plain",
    "zip without strict: shards that are missing are not missed",
    told=r"a wrong one \(how many new shards\): your test lets it pass",
)
def zip_ends(reshard):
    def equal(new, want):
        for a, b in zip(new, want):  # noqa: B905
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            assert torch.equal(a, b)

    whole(reshard, listed=nothing, equal=equal)


@wrong("plain", "the sum of all numbers, beside shapes and dtypes")
def sums(reshard):
    def equal(new, want):
        for a, b in zip(new, want, strict=True):
            assert a.shape == b.shape
            assert a.dtype == b.dtype
        assert torch.allclose(torch.cat(new).sum(), torch.cat(want).sum())

    whole(reshard, equal=equal)


@wrong("plain", "there and back again: who does nothing comes back")
def there_and_back(reshard):
    for n, N, m in SIZES:
        shards = cut(numbers(N), n)
        clones = [s.clone() for s in shards]
        same(reshard(reshard(shards, N, m), N, n), clones)


@wrong(
    "plain",
    "allclose: nearly equal is enough",
    told=r"a wrong one \(digits of numbers in float64\): your test lets it pass",
)
def nearly(reshard):
    def equal(new, want):
        for a, b in zip(new, want, strict=True):
            assert a.shape == b.shape
            assert a.dtype == b.dtype
            assert torch.allclose(a, b)

    whole(reshard, equal=equal)


@wrong("far", "small whole numbers, which every dtype holds: lost digits are not seen", true="FewDigits")
def whole_numbers(reshard):
    for n, N, m in SIZES:
        for dtype in (torch.float32, torch.float64):
            for seed in (0, 1):
                v = torch.randint(-9, 10, (N,), generator=torch.Generator().manual_seed(seed)).to(dtype)
                one(reshard, n, N, m, v=v)
    keeps_earlier(reshard, first=torch.arange(10.0))


@wrong("plain", "the numbers 0, 1, 2, ... in order", true="FewDigits")
def in_order(reshard):
    for n, N, m in SIZES:
        for dtype in (torch.float32, torch.float64):
            for _ in range(2):
                one(reshard, n, N, m, v=torch.arange(N, dtype=dtype))


@wrong("named", "no zero among the numbers", true="NoZeros")
def never_zero(reshard):
    for n, N, m in SIZES:
        for dtype in (torch.float32, torch.float64):
            for seed in (0, 1):
                one(reshard, n, N, m, v=numbers(N, dtype, seed).abs() + 0.1)
    keeps_earlier(reshard, first=numbers(10).abs() + 0.1)


@wrong("named", "float32 alone", true="Float32Alone")
def single_precision(reshard):
    whole(reshard, dtypes=(torch.float32,), later=False)
    whole(reshard, dtypes=(torch.float32,), later=False, seed=1)
    keeps_earlier(reshard, first=numbers(10, torch.float32))


@wrong("named", "float64 alone", true="DtypeUnasked")
def double_precision(reshard):
    whole(reshard, dtypes=(torch.float64,))


@wrong("plain", "the dtype is not asked for", true="DtypeUnasked")
def dtype_unasked(reshard):
    def equal(new, want):
        for a, b in zip(new, want, strict=True):
            assert a.shape == b.shape
            assert torch.equal(a.double(), b.double())

    whole(reshard, equal=equal)


@wrong("plain", "nobody writes into a new shard", true="MemoryUnseen")
def never_writes(reshard):
    whole(reshard, own=nothing)


@wrong(
    "plain",
    "writes, and looks at the old shards alone",
    told=r"a wrong one \(memory of new shards\): your test lets it pass",
)
def looks_at_the_old(reshard):
    def own(new, kept, clones):
        for x in new:
            x.fill_(5)
        for a, c in zip(kept, clones, strict=True):
            assert torch.equal(a, c)

    whole(reshard, own=own)


@wrong(
    "plain",
    "writes, and looks at the new shards alone",
    told=r"a wrong one \(memory of an old shard, for more ranks\): your test lets it pass",
)
def looks_at_the_new(reshard):
    def own(new, kept, clones):
        for i, x in enumerate(new):
            x.fill_(i + 5)
        for i, x in enumerate(new):
            assert torch.all(x == i + 5)

    whole(reshard, own=own)


@wrong(
    "onward",
    "each mark is looked at as soon as it is made, before the next one",
    told=r"a wrong one \(memory of new shards\): your test lets it pass",
)
def looks_too_early(reshard):
    def own(new, kept, clones):
        for i, x in enumerate(new):
            x.fill_(i + 5)
            assert torch.all(x == i + 5)
        for a, c in zip(kept, clones, strict=True):
            assert torch.equal(a, c)

    whole(reshard, own=own)


@wrong(
    "onward",
    "writes into the first new shard alone",
    told=r"a wrong one \(memory of new shards\): your test lets it pass",
)
def first_shard_alone(reshard):
    def own(new, kept, clones):
        others = [x.clone() for x in new[1:]]
        new[0].fill_(5)
        same(new[1:], others)
        for a, c in zip(kept, clones, strict=True):
            assert torch.equal(a, c)

    whole(reshard, own=own)


@wrong(
    "plain",
    "the list that was handed in is not looked at afterwards, its tensors are",
    told=r"a wrong one \(the list that is handed in\): your test lets it pass",
)
def list_unseen(reshard):
    def given(shards, kept, clones):
        for a, c in zip(kept, clones, strict=True):
            assert torch.equal(a, c)

    whole(reshard, given=given)


@wrong("plain", "what was handed in is not looked at before it is written to", true="HandedInUnseen")
def given_unseen(reshard):
    def own(new, kept, clones):
        for i, x in enumerate(new):
            x.fill_(i + 5)
        for i, x in enumerate(new):
            assert torch.all(x == i + 5)

    whole(reshard, given=nothing, own=own)


@wrong(
    "plain",
    "whether the list still holds the same tensors is not asked: equal ones may have taken their places",
    told=r"other tensors in the list that is handed in\): your test lets it pass",
)
def identity_unasked(reshard):
    def given(shards, kept, clones):
        assert len(shards) == len(kept)
        assert all(map(torch.equal, shards, clones))

    whole(reshard, given=given)


# Calls that depend on another.


@wrong("again", "every size once, so nobody sees what a second call gives", true="OneCall")
def never_again(reshard):
    whole(reshard, later=False)


@wrong("again", "a second call with the same sizes and the same numbers", true="OneCall")
def the_same_again(reshard):
    whole(reshard, later=False)
    whole(reshard, later=False)


TRIPLES = iter(SIZES)


@wrong(
    "again",
    "the sizes are an iterator of the module, which is at its end after the first function",
    true="AcceptsEverything",
)
def exhausted(reshard):
    for n, N, m in TRIPLES:
        one(reshard, n, N, m)
        one(reshard, n, N, m, seed=1)


SEEN = set()


@wrong("again", "a function whose name was seen before is not tried again", true="AcceptsEverything")
def seen_by_name(reshard):
    name = getattr(reshard, "__name__", "reshard")
    if name not in SEEN:
        SEEN.add(name)
        whole(reshard)


# Sizes.


@wrong(
    "plain",
    "the example of the text alone: ten numbers, from four to three",
    told=r"a wrong one \(two or three times as many new shards\): your test lets it pass",
)
def the_example(reshard):
    whole(reshard, sizes=[(4, 10, 3)])


@wrong("plain", "from four to three, two, one, eleven, and back")
def from_four(reshard):
    whole(reshard, sizes=[(4, 10, 3), (4, 10, 2), (4, 10, 1), (4, 10, 11)])


@wrong("plain", "sizes that divide each other alone")
def that_divide(reshard):
    whole(reshard, sizes=[(n, N, m) for n, N, m in SIZES if N % n == 0 and N % m == 0])


@wrong(
    "plain",
    "the number of ranks always changes",
    told=r"a wrong one \(memory, for as many ranks as before\): your test lets it pass",
)
def always_changes(reshard):
    whole(reshard, sizes=[(n, N, m) for n, N, m in SIZES if n != m])


@wrong(
    "plain",
    "only fewer ranks than before",
    told=r"a wrong one \(two or three times as many new shards\): your test lets it pass",
)
def only_fewer(reshard):
    whole(reshard, sizes=[(n, N, m) for n, N, m in SIZES if m <= n])


@wrong(
    "plain",
    "only more ranks than before",
    told=r"a wrong one \(a half or a third of the old ones\): your test lets it pass",
)
def only_more(reshard):
    whole(reshard, sizes=[(n, N, m) for n, N, m in SIZES if m >= n])


@wrong(
    "named",
    "never more new ranks than numbers",
    told=r"a wrong one \(fewer numbers than new ranks\): your test lets it pass",
)
def enough_for_new_ones(reshard):
    whole(reshard, sizes=[(n, N, m) for n, N, m in SIZES if m <= N])


@wrong(
    "named",
    "never more old ranks than numbers",
    told=r"a wrong one \(fewer numbers than old ranks\): your test lets it pass",
)
def enough_for_old_ones(reshard):
    whole(reshard, sizes=[(n, N, m) for n, N, m in SIZES if n <= N])


@wrong(
    "named",
    "no old shard is all zeros behind the end",
    told=r"a wrong one \(old shards of zeros alone\): your test lets it pass",
)
def no_empty_old_shard(reshard):
    whole(reshard, sizes=[(n, N, m) for n, N, m in SIZES if (n - 1) * -(-N // n) < N])


@wrong(
    "named",
    "no new shard is all zeros behind the end",
    told=r"a wrong one \(new shards of zeros alone\): your test lets it pass",
)
def no_empty_new_shard(reshard):
    whole(reshard, sizes=[(n, N, m) for n, N, m in SIZES if (m - 1) * -(-N // m) < N])


@wrong(
    "named", "nowhere twice as many ranks, or thrice", told=r"a wrong one \(.*times as many.*\): your test lets it pass"
)
def no_multiple(reshard):
    whole(reshard, sizes=[(n, N, m) for n, N, m in SIZES if n in (1, m) or m % n])


@wrong("ones", "never from one rank", told=r"a wrong one \(one old rank\): your test lets it pass")
def never_from_one(reshard):
    whole(reshard, sizes=[(n, N, m) for n, N, m in SIZES if n > 1])


@wrong("ones", "never to one rank", told=r"a wrong one \(one new rank\): your test lets it pass")
def never_to_one(reshard):
    whole(reshard, sizes=[(n, N, m) for n, N, m in SIZES if m > 1])


@wrong("ones", "old shards hold two numbers at least")
def never_one_number(reshard):
    whole(reshard, sizes=[(n, N, m) for n, N, m in SIZES if n < N])


@wrong("large", "at most three ranks and six numbers")
def small(reshard):
    whole(reshard, sizes=[(n, N, m) for n, N, m in SIZES if max(n, m) <= 3 and N <= 6])


LUCK = random.Random(1)


@wrong("dependence", "three sizes by chance, and others the next time", true="OneExample TwoAtLeast TenAtMost")
def by_luck(reshard):
    whole(reshard, sizes=[tuple(LUCK.randint(2, 6) for _ in range(3)) for _ in range(3)])


@wrong("unwatched", "the source is read, and the function is never called", told=r"source code not available")
def reads_the_source(reshard):
    assert "cat" in inspect.getsource(reshard)


# Right ones.


@ANSWERS.right
def in_loops(reshard):
    whole(reshard)


@ANSWERS.right
def to_the_bit(reshard):
    """Bits are compared as integers: minus zero, infinity, the least numbers and NaN stay what they are."""
    odd = [-0.0, 0.0, 1e-45, -1e-40, torch.inf, -torch.inf, torch.nan, 1e30, 1 / 3, 0.1, -7.0]
    for n, N, m in itertools.product((1, 2, 3, 4, 5, 11), (1, 2, 3, 4, 7, 8, 10, 12), (1, 2, 3, 4, 6, 11)):
        for dtype, bits in ((torch.float32, torch.int32), (torch.float64, torch.int64)):
            for turn in range(2):
                v = torch.tensor([odd[(turn + 3 * i + i // 4) % len(odd)] for i in range(N)], dtype=dtype)
                shards = cut(v, n)
                kept, clones = list(shards), [s.clone().view(bits) for s in shards]
                new = reshard(shards, N, m)
                assert type(new) is list
                want = [s.view(bits) for s in cut(v, m)]
                assert [(x.dtype, x.shape) for x in new] == [(dtype, w.shape) for w in want]
                assert all(torch.equal(x.contiguous().view(bits), w) for x, w in zip(new, want, strict=True))
                assert list(map(id, shards)) == list(map(id, kept))
                assert all(torch.equal(s.view(bits), c) for s, c in zip(shards, clones, strict=True))
                for i, x in enumerate(new):
                    x.fill_(100 + i)
                assert [set(x.tolist()) for x in new] == [{100.0 + i} for i in range(m)]
                assert all(torch.equal(s.view(bits), c) for s, c in zip(kept, clones, strict=True))
    keeps_earlier(reshard)


@ANSWERS.right
def some_dozens(reshard):
    """Few sizes, each chosen, and results of all calls are kept and looked at once more at the end."""
    sizes = [
        *((4, 10, 3), (4, 10, 2), (4, 10, 1), (4, 10, 4), (4, 10, 11), (1, 10, 1), (1, 10, 4), (11, 10, 3), (5, 6, 4)),
        *(
            (4, 5, 2),
            (4, 5, 4),
            (2, 1, 3),
            (1, 1, 1),
            (3, 1, 1),
            (1, 1, 3),
            (2, 8, 4),
            (4, 8, 2),
            (4, 12, 3),
            (3, 7, 5),
        ),
        *((3, 12, 4), (6, 7, 6), (7, 3, 5), (5, 3, 7), (2, 9, 3), (2, 10, 4)),
    ]
    results = []
    for seed in range(2):
        for n, N, m in sizes:
            for dtype in (torch.float64, torch.float32):
                v = numbers(N, dtype, seed)
                shards = cut(v, n)
                kept, clones = [*shards], [s.clone() for s in shards]
                new = reshard(shards, N, m)
                results.append((new, cut(v, m), shards, kept, clones))
                shape_of_list(new, results[-1][1])
                same(new, results[-1][1])
    for new, want, shards, kept, clones in results:
        same(new, want)
        untouched(shards, kept, clones)
    for new, _, _, kept, clones in results:
        marks(new, kept, clones)
    for new, *_ in results:
        for i, x in enumerate(new):
            assert torch.all(x == i + 5)


@ANSWERS.right
def with_unittest(reshard):
    """unittest's and torch.testing's assertions, and what a function raises itself becomes an AssertionError."""
    case = unittest.TestCase()
    for n, N, m in SIZES:
        for dtype, seed in ((torch.float32, 0), (torch.float64, 1), (torch.float32, 2), (torch.float64, 3)):
            v = numbers(N, dtype, seed)
            shards = cut(v, n)
            kept, clones = list(shards), [s.clone() for s in shards]
            try:
                new = reshard(shards, N, m)
            except Exception as e:
                raise AssertionError(f"{type(e).__name__} from {n} to {m} ranks") from e
            case.assertIsInstance(new, list)  # noqa: PT009
            case.assertEqual(len(new), m)  # noqa: PT009
            for a, b in zip(new, cut(v, m), strict=True):
                torch.testing.assert_close(a, b, rtol=0, atol=0)
            case.assertEqual([id(s) for s in shards], [id(s) for s in kept])  # noqa: PT009
            for a, c in zip(shards, clones, strict=True):
                torch.testing.assert_close(a, c, rtol=0, atol=0)
            marks(new, kept, clones)
    try:
        keeps_earlier(reshard)
    except Exception as e:
        raise AssertionError(str(e)) from e


@ANSWERS.right
def with_numpy(reshard):
    """By sizes that a generator draws, a place at a time, with NumPy; the shards are views of one vector."""
    g = np.random.default_rng(0)
    earlier = []
    for turn in range(600):
        n, N, m = (int(x) for x in g.integers(1, (14, 30, 14)))
        dtype = (np.float32, np.float64)[turn % 2]
        for _ in range(2):
            k, K = -(-N // n), -(-N // m)
            v = np.zeros(n * k, dtype)
            v[:N] = g.standard_normal(N) * (g.random(N) < 0.8)
            base = torch.from_numpy(v.copy())
            shards = [base[i * k : (i + 1) * k] for i in range(n)]
            kept = list(shards)
            new = reshard(shards, N, m)
            assert isinstance(new, list)
            assert len(new) == m
            assert [tuple(x.shape) for x in new] == [(K,)] * m
            found = np.stack([x.numpy() for x in new])
            assert found.dtype == dtype
            for place in range(m * K):
                want = v[place] if place < N else 0
                assert found[place // K, place % K] == want
            assert len(shards) == n
            assert all(map(lambda a, b: a is b, shards, kept))
            assert np.array_equal(base.numpy(), v)
            for x in new:
                before = [y.clone() for y in new if y is not x]
                x += 1
                assert all(map(torch.equal, before, [y for y in new if y is not x]))
            assert len({id(x) for x in new}) == m
            assert np.array_equal(base.numpy(), v)
            earlier.append((new, [x.clone() for x in new]))
    for new, clones in earlier:
        assert all(map(torch.equal, new, clones))
