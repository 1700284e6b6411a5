"""Right and wrong ways to cut a flat vector of N numbers anew, from n shards of ceil(N / n) into n' of ceil(N / n').

Behind the end of the vector stand zeros. A checkpoint of four ranks has to be cut anew for three.
"""

import math

import torch

from coursekit.checking.testing import of_each
from grader.contract import Trusted

# A wrong one differs from this in a line or two. None raises an error where it is handed shards as they should be.
SOURCE = """
kept = {{}}
def reshard(shards, N, n_new):
    n, k = len(shards), -(-N // n_new)
    old = {old}
    flat = {flat}
    padded = {padded}
    new = {new}
    {then}
    return {result}
"""
PARTS = {
    "old": "list(shards)",
    "flat": "torch.cat(old)[:N]",
    "padded": "torch.cat([flat, flat.new_zeros(n_new * k)])[: n_new * k]",
    "new": "[padded[i * k : (i + 1) * k] for i in range(n_new)]",
    "then": "pass",
    "result": "new",
}


def written(**parts):
    return SOURCE.format(**(PARTS | parts))


RIGHT = {
    "cat, pad and cut": written(),
    "number by number": "def reshard(shards, N, n_new):\n"
    "    k, all_of_them = -(-N // n_new), torch.cat(shards)\n"
    "    new = [shards[0].new_zeros(k) for _ in range(n_new)]\n"
    "    for i in range(N):\n"
    "        new[i // k][i % k] = all_of_them[i]\n"
    "    return new\n",
    "with NumPy, in float64": "import numpy as np\n"
    "def reshard(shards, N, n_new):\n"
    "    k, dtype = -(-N // n_new), shards[0].dtype\n"
    "    table = np.zeros((n_new, k))\n"
    "    table.flat[:N] = np.concatenate([shard.detach().double().numpy() for shard in shards])[:N]\n"
    "    return [torch.tensor(row).to(dtype) for row in table]\n",
    "rows of one new tensor": "def reshard(shards, N, n_new):\n"
    "    table = shards[0].new_zeros(n_new, -(-N // n_new))\n"
    "    table.view(-1)[:N] = torch.cat(shards)[:N]\n"
    "    return list(table)\n",
    "columns of one new tensor": "def reshard(shards, N, n_new):\n"
    "    k, i = -(-N // n_new), torch.arange(N)\n"
    "    table = shards[0].new_zeros(k, n_new)\n"
    "    table[i % k, i // k] = torch.cat(shards)[:N]\n"
    "    return list(table.unbind(1))\n",
    "for each rank the pieces that it needs": "def reshard(shards, N, n_new):\n"
    "    k_old, k, new = -(-N // len(shards)), -(-N // n_new), []\n"
    "    for first in range(0, n_new * k, k):\n"
    "        rest = min(first + k, N) - first\n"
    "        pieces = [shard[max(0, first - i * k_old) : max(0, first + rest - i * k_old)]\n"
    "                  for i, shard in enumerate(shards)] if rest > 0 else []\n"
    "        new.append(torch.cat([*pieces, shards[0].new_zeros(k - max(rest, 0))]))\n"
    "    return new\n",
    "with the old zeros": written(flat="torch.cat(old)"),
    "rows by torch.stack": "def reshard(shards, N, n_new):\n"
    "    k = -(-N // n_new)\n"
    "    flat = torch.stack(list(shards)).view(-1)[:N]\n"
    "    return [torch.cat([p, p.new_zeros(k)])[:k] for p in (flat[i * k : (i + 1) * k] for i in range(n_new))]\n",
    "as whole numbers of the same bits": "def reshard(shards, N, n_new):\n"
    "    k, dtype = -(-N // n_new), shards[0].dtype\n"
    "    bits = {torch.float32: torch.int32, torch.float64: torch.int64}[dtype]\n"
    "    table = torch.zeros(n_new * k, dtype=bits)\n"
    "    table[:N] = torch.cat([shard.view(bits) for shard in shards])[:N]\n"
    "    return [row.clone().view(dtype) for row in table.view(n_new, k)]\n",
    "in plain lists": "def reshard(shards, N, n_new):\n"
    "    k = -(-N // n_new)\n"
    "    numbers = [x for shard in shards for x in shard.tolist()][:N]\n"
    "    numbers += [0] * (n_new * k - N)\n"
    "    return [torch.tensor(numbers[i * k : (i + 1) * k], dtype=shards[0].dtype) for i in range(n_new)]\n",
}
# Another order of ranks: [0, 1, 10, 11, 2, ...] and [0, 10, 1, 11, 2, ...]
BY_NAME, BY_LAST_DIGIT = "sorted(range({n}), key=str)", "sorted(range({n}), key=lambda i: str(i)[::-1])"
ZEROS_ALONE = "[i for i in range(n_new) if i * k >= N]"  # new ranks that hold no number of the vector
FITTED = "[torch.cat([p, p.new_zeros(k)])[:k] for p in {pieces}]"
KEPT = "[p.clone() for p in kept.setdefault({key}, new)]"

# All of one kind are found by the same sort of test, for a learner sees one of them, and grading draws another.
MUTANTS = {
    # ceil(n ceil(N / n) / n') is not always ceil(N / n').
    "the old zeros": (
        written(
            flat="torch.cat(old)",
            padded="torch.cat([flat, flat.new_zeros(n_new * -(-len(flat) // n_new) - len(flat))])",
            new="list(padded.view(n_new, -1))",
        ),
        written(
            flat="torch.cat(old)",
            padded="torch.cat([flat, flat.new_zeros(-len(flat) % n_new)])",
            new="[p.clone() for p in padded.tensor_split(n_new)]",
        ),
    ),
    "two or three times as many new shards": (
        written(
            then="m = n_new // n",
            result=FITTED.format(
                pieces="[q for s in old for q in torch.cat([s, s.new_zeros(-len(s) % m)]).view(m, -1)]"
            )
            + " if n_new % n == 0 else new",
        ),
        written(
            then="m = n_new // n",
            result=FITTED.format(
                pieces="[s[j * -(-len(s) // m) : (j + 1) * -(-len(s) // m)] for s in old for j in range(m)]"
            )
            + " if n_new % n == 0 else new",
        ),
    ),
    "a half or a third of the old ones": (
        written(
            result=FITTED.format(pieces="[torch.cat(old[i : i + n // n_new]) for i in range(0, n, n // n_new)]")
            + " if n % n_new == 0 else new"
        ),
        written(
            then="m = n // n_new",
            result=FITTED.format(pieces="[torch.cat(old[i * m : (i + 1) * m]) for i in range(n_new)]")
            + " if n == m * n_new else new",
        ),
    ),
    "a rest of N over the new ranks": (
        written(flat="torch.cat(old)[: N // n_new * n_new]"),
        written(flat="torch.cat(old)[: N - N % n_new]"),
    ),
    "a rest of N over the old ranks": (
        written(flat="torch.cat(old)[: N // n * n]"),
        written(flat="torch.cat(old)[: N - N % n]"),
    ),
    "the order": (
        written(old="shards[::-1]"),
        written(result="new[::-1]"),
        written(new="[padded[i::n_new] for i in range(n_new)]"),
    ),
    "more than ten old shards": (
        written(old=f"[shards[i] for i in {BY_NAME.format(n='n')}]"),
        written(old=f"[shards[i] for i in {BY_LAST_DIGIT.format(n='n')}]"),
    ),
    "more than ten new shards": (
        written(result=f"[new[i] for i in {BY_NAME.format(n='n_new')}]"),
        written(result=f"[new[i] for i in {BY_LAST_DIGIT.format(n='n_new')}]"),
    ),
    "what stands behind the end": (
        written(padded="torch.cat([flat, flat.new_ones(n_new * k)])[: n_new * k]"),
        written(padded="torch.cat([flat, flat.new_full((n_new * k,), -1)])[: n_new * k]"),
        written(padded="torch.cat([flat, flat.new_full((n_new * k,), float('nan'))])[: n_new * k]"),
    ),
    "the lengths where N leaves a rest": (
        written(new="[flat[i * k : (i + 1) * k].clone() for i in range(n_new)]"),
        written(new="[part.clone() for part in flat.tensor_split(n_new)]"),
    ),
    "the lengths where N leaves no rest": (
        written(result="[torch.cat([p, p.new_zeros(1)]) for p in new] if N % n_new == 0 else new"),
        written(
            padded="torch.cat([flat, flat.new_zeros(n_new * (N // n_new + 1) - N)])", new="list(padded.view(n_new, -1))"
        ),
    ),
    "how many new shards": (
        written(result="[*new, torch.zeros_like(new[0])]"),
        written(result="new + [p.clone() for p in new[:1]]"),
    ),
    "new shards of zeros alone": (
        written(new="[torch.cat([p, p.new_zeros(k)])[:k] for p in flat.split(k)]"),
        written(result=f"new[: n_new - len({ZEROS_ALONE})]"),
    ),
    "the dtype of shards in float64": (
        written(result="[p.float() for p in new]"),
        written(padded="torch.zeros(n_new * k).index_copy_(0, torch.arange(N), flat.float())"),
    ),
    "the dtype of shards in float32": (
        written(result="[p.double() for p in new]"),
        written(padded="torch.zeros(n_new * k, dtype=torch.float64).index_copy_(0, torch.arange(N), flat.double())"),
    ),
    "digits of the numbers": (
        written(flat="torch.cat(old)[:N].bfloat16().to(shards[0].dtype)"),
        written(flat="torch.cat(old)[:N].half().to(shards[0].dtype)"),
    ),
    "digits of numbers in float64": (
        written(flat="torch.cat(old)[:N].float().to(shards[0].dtype)"),
        written(flat="torch.tensor(torch.cat(old)[:N].tolist()).to(shards[0].dtype)"),
    ),
    "zeros among the numbers": (
        written(flat="(found := torch.cat(old)[:N])[found != 0]"),
        written(flat="(found := torch.cat(old)[:N])[: int((found == 0).int().argmax()) if (found == 0).any() else N]"),
    ),
    "the tensors that are handed in": (
        written(then="[shard.zero_() for shard in old]"),
        written(then="[shard.add_(1) for shard in old[:1]]"),
    ),
    "the list that is handed in": (written(then="shards.clear()"), written(then="shards.pop()")),
    "other tensors in the list that is handed in": (
        written(then="shards[:] = [s.clone() for s in shards]"),
        written(then="shards[0] = shards[0].clone()"),
    ),
    "memory, for as many ranks as before": (
        written(result="[shard.view(-1) for shard in shards] if n == n_new else new"),
        written(result="[shard[:] for shard in shards] if n == n_new else new"),
    ),
    "memory of an old shard, for more ranks": (
        written(result="[shards[0][:k], *new[1:]] if n < n_new else new"),
        written(result="[shards[0].narrow(0, 0, k), *new[1:]] if n < n_new else new"),
    ),
    "memory of new shards": (
        written(
            then="zeros = torch.zeros_like(new[0])",
            result="[zeros.view(-1) if i * k >= N else p for i, p in enumerate(new)]",
        ),
        written(result=f"new if len({ZEROS_ALONE}) < 2 else [*new[:-2], new[-1].view(-1), new[-1]]"),
    ),
    "fewer numbers than new ranks": (
        written(new="[flat[i : i + 1].clone() for i in range(n_new)] if N < n_new else list(padded.view(n_new, k))"),
        written(result="[torch.cat([flat, flat.new_zeros(1)])[:N] for _ in range(n_new)] if N < n_new else new"),
    ),
    "fewer numbers than old ranks": (
        written(result="[torch.zeros_like(p) for p in new] if N < n else new"),
        written(result="[torch.ones_like(p) for p in new] if N < n else new"),
    ),
    "old shards of zeros alone": (
        written(result="[torch.zeros_like(p) for p in new] if (n - 1) * len(old[0]) >= N else new"),
        written(result="[p + 1 for p in new] if (n - 1) * len(old[0]) >= N else new"),
    ),
    "one new rank": (
        written(result="[torch.cat(old)] if n_new == 1 else new"),
        written(result="[torch.cat([*old, old[0][:0]])] if n_new == 1 else new"),
    ),
    "one old rank": (
        written(result="[old[0][:k].clone() for _ in range(n_new)] if n == 1 else new"),
        written(result="[old[0].clone(), *(torch.zeros_like(old[0]) for _ in range(n_new - 1))] if n == 1 else new"),
    ),
    "shards of one number": (
        written(result="[p.squeeze() for p in new]"),
        written(result="[p[0] for p in new] if k == 1 else new"),
    ),
    "the shape of new shards": (written(result="[p[None] for p in new]"), written(result="[p[:, None] for p in new]")),
    "another call with the same sizes": (
        written(result=KEPT.format(key="(n, N, n_new, flat.dtype)")),
        written(result=KEPT.format(key="str((N, n_new, n, flat.dtype))")),
    ),
}


class Steps:
    """A test in steps, so that a mistake is written as the one in which it differs."""

    __name__ = "test"
    dtypes = (torch.float32, torch.float64)
    # n, N, n'
    sizes = (
        *((4, 10, 3), (4, 9, 2), (2, 10, 4), (3, 7, 3), (2, 8, 4), (1, 7, 3), (3, 7, 1), (2, 3, 6), (6, 3, 2)),
        *((12, 23, 5), (5, 23, 12)),
    )

    def __call__(self, reshard):
        g = torch.Generator().manual_seed(1)
        for i, (n, N, n_new) in enumerate(self.sizes):
            self.one(reshard, self.vector(N, self.dtypes[i % len(self.dtypes)], g), n, n_new)
        self.again(reshard, g)

    def again(self, reshard, g):
        n, N, n_new = self.sizes[0]
        self.one(reshard, self.vector(N, self.dtypes[0], g), n, n_new)

    def vector(self, N, dtype, g):
        x = torch.randn(N, generator=g, dtype=torch.float64).to(dtype)
        x[1:-1:3] = 0
        return x

    def cut(self, x, n):
        k = math.ceil(len(x) / n)
        padded = torch.cat([x, x.new_zeros(n * k - len(x))])
        return [padded[i * k : (i + 1) * k].clone() for i in range(n)]

    def one(self, reshard, x, n, n_new):
        shards = self.cut(x, n)
        before = list(shards), [shard.clone() for shard in shards]
        new = reshard(shards, len(x), n_new)
        self.results(new, self.cut(x, n_new), x)
        self.unchanged(shards, before)
        self.memory(new, before)

    def results(self, new, right, x):
        assert len(new) == len(right)
        for one, other in zip(new, right, strict=True):
            assert one.shape == other.shape
            self.dtype(one, other)
            self.numbers(one, other)

    def dtype(self, one, other):
        assert one.dtype == other.dtype

    def numbers(self, one, other):
        assert torch.equal(one, other)

    def unchanged(self, shards, before):
        assert len(shards) == len(before[0])
        assert all(a is b for a, b in zip(shards, before[0], strict=True))
        assert all(map(torch.equal, shards, before[1]))

    def memory(self, new, before):
        for i, one in enumerate(new):
            one.fill_(5 + i)
        assert all((one == 5 + i).all() for i, one in enumerate(new))
        assert all(map(torch.equal, *before))


TRUSTED = Trusted(Steps(), cases=of_each(RIGHT, MUTANTS), budget="a test may look away in many ways")


def slip(sentence):
    def register(cls):
        TRUSTED.add_mistake(cls.__name__, sentence, cls())
        return cls

    return register


@slip(
    "Your test lets every wrong function pass: nothing in it could fail, or all of them do right what it asks for, "
    "or it looks at the first function only. "
    "What a test returns is not looked at: use `assert`."
)
class AcceptsEverything(Steps):
    def results(self, new, right, x):
        pass

    def unchanged(self, shards, before):
        pass

    def memory(self, new, before):
        pass


@slip(
    "Your test refuses every right function. Write one down in three lines and hand it in: which assertion fails, and "
    "does it have to hold? The second of three shards of ten numbers holds four, and behind the end stand zeros."
)
class RefusesEverything(Steps):
    def results(self, new, right, x):
        raise AssertionError


@slip(
    "Your test refuses right functions whose new shards are views of one new tensor. They may be: who writes into one "
    "of them changes no other. Write into each, and look at the others."
)
class OneStorage(Steps):
    def memory(self, new, before):
        assert len({one.untyped_storage().data_ptr() for one in new}) == len(new)
        super().memory(new, before)


@slip(
    "Your test refuses a right function that cuts its new shards from the old ones with the zeros behind the end. They "
    "are promised: are there zeros behind the end in all that your test hands in?"
)
class NoZerosBehind(Steps):
    def one(self, reshard, x, n, n_new):
        shards = self.cut(x, n)
        torch.cat(shards)
        for i, shard in enumerate(shards):
            shard[max(0, len(x) - i * len(shard)) :] = 9
        before = list(shards), [shard.clone() for shard in shards]
        new = reshard(shards, len(x), n_new)
        self.results(new, self.cut(x, n_new), x)
        self.unchanged(shards, before)
        self.memory(new, before)


@slip(
    "Your test refuses a right function that fetches from each old shard what a new rank needs. It counts on "
    "ceil(N / n) numbers in each of them: are the shards that your test hands in that long, with zeros behind the end?"
)
class UnequalShards(Steps):
    def one(self, reshard, x, n, n_new):
        shards = [part.clone() for part in x.tensor_split(n)]
        before = list(shards), [shard.clone() for shard in shards]
        new = reshard(shards, len(x), n_new)
        self.results(new, self.cut(x, n_new), x)
        self.unchanged(shards, before)
        self.memory(new, before)


@slip(
    "Functions that are right for few sizes pass your test. Try more of them: one rank before or after, more than ten, "
    "fewer numbers than ranks, a rest and none, more ranks than before and fewer."
)
class OneExample(Steps):
    sizes = ((4, 10, 3),)


@slip(
    "Functions pass that put more than ten ranks into another order, as names do, in which 10 comes before 2. Let "
    "there be more than ten, old ones and new ones."
)
class TenAtMost(Steps):
    sizes = tuple(size for size in Steps.sizes if max(size[0], size[2]) < 11)


@slip(
    "Functions pass that are wrong where there are no more numbers than ranks. There a new shard holds a single "
    "number, or zeros alone: try three numbers on six ranks."
)
class TwoAtLeast(Steps):
    sizes = tuple(size for size in Steps.sizes if size[1] > size[2])


@slip(
    "The dtype of what comes back is never asked for, or of float64 alone: a function passes that gives float64 for "
    "float32. torch.equal takes equal numbers of two dtypes for equal."
)
class DtypeUnasked(Steps):
    def dtype(self, one, other):
        pass


@slip(
    "No shard is of float64 in your test: functions pass that give float32 for it, or lose the digits that float32 "
    "does not have."
)
class Float32Alone(Steps):
    dtypes = (torch.float32,)


@slip(
    "Only the N numbers are compared, one behind the other: functions pass whose shards have other lengths, or hold "
    "anything behind the end. Compare shard by shard, and their number."
)
class NumbersAlone(Steps):
    def results(self, new, right, x):
        found = torch.cat([one.reshape(-1) for one in new])[: len(x)]
        assert found.dtype == x.dtype
        assert found.tolist() == x.tolist()


@slip("What stands behind the end is never looked at: functions pass that leave anything there. Zeros are promised.")
class BehindTheEnd(Steps):
    def results(self, new, right, x):
        assert [(one.shape, one.dtype) for one in new] == [(other.shape, other.dtype) for other in right]
        assert torch.cat(list(new))[: len(x)].equal(x)


@slip(
    "A function passes that throws zeros away, or takes the first one for the end: in your vectors no zero stands "
    "among the numbers."
)
class NoZeros(Steps):
    def vector(self, N, dtype, g):
        return torch.randn(N, generator=g, dtype=torch.float64).to(dtype) + 7


@slip(
    "Functions pass that lose digits on the way, through float16 or float32, say. Your numbers have so few digits that "
    "it does not show, or are compared with a tolerance: take random ones, and ask for the same bits."
)
class FewDigits(Steps):
    def vector(self, N, dtype, g):
        return torch.arange(N, dtype=dtype) % 3 * torch.randint(1, 9, (), generator=g)


@slip(
    "What was handed in is not compared with what it was: functions pass that empty the caller's list or write into "
    "its tensors. Keep copies, and compare afterwards."
)
class HandedInUnseen(Steps):
    def unchanged(self, shards, before):
        pass

    def memory(self, new, before):
        super().memory(new, ([], []))


@slip(
    "Functions pass whose new shards are the old ones' memory, or share their own, so that a training step on one "
    "changes another. Write into each of the new ones, and then look at all of them and at the old ones."
)
class MemoryUnseen(Steps):
    def memory(self, new, before):
        pass


@slip(
    "A function passes that keeps its first result, and gives it again for other numbers of the same sizes. Call it "
    "twice, with other numbers."
)
class OneCall(Steps):
    def again(self, reshard, g):
        pass


@slip(
    "What comes back from one call is all that is looked at. Functions pass that change what they are handed, whose "
    "new shards share memory, or that give their first result again. See the last three promises."
)
class ResultsAlone(Steps):
    def unchanged(self, shards, before):
        pass

    def memory(self, new, before):
        pass

    def again(self, reshard, g):
        pass


@slip(
    "Your test looks at what one call gives, and at little of that. Functions pass that mix up more than ten ranks, "
    "give float32 for float64, change what they are handed, or whose new shards share memory. Take the promises one by "
    "one."
)
class ANaturalFirstOne(ResultsAlone):
    dtypes = (torch.float32,)
    sizes = TenAtMost.sizes


@TRUSTED.alternative
def by_assert_close(test_me):
    """Whole tables beside each other."""
    g = torch.Generator().manual_seed(1)
    pairs = [(1, 2), (2, 1), (2, 4), (4, 2), (3, 3), (2, 11), (11, 2)]
    for (n, n_new), N in [*((pair, 13) for pair in pairs), ((1, 4), 2), ((2, 4), 24), ((2, 1), 13), ((4, 2), 3)]:
        for dtype in (torch.float64, torch.float32)[: 1 + (n == 1)]:
            x = torch.randn(N, dtype=dtype, generator=g)
            x[N // 2] = 0
            k_old, k = (N + n - 1) // n, (N + n_new - 1) // n_new
            old = torch.nn.functional.pad(x, (0, n * k_old - N)).view(n, k_old)
            handed = [row.clone() for row in old]
            same = [*handed]
            new = test_me(handed, N, n_new)
            wanted = torch.nn.functional.pad(x, (0, n_new * k - N)).view(n_new, k)
            assert [row.shape for row in new] == [row.shape for row in wanted]
            torch.testing.assert_close(torch.stack(new), wanted, rtol=0, atol=0)
            for i in range(n_new):
                new[i] += 3 * i + 3
                wanted[i] += 3 * i + 3
            assert torch.equal(torch.stack(new), wanted)
            assert list(map(id, same)) == list(map(id, handed))
            assert torch.equal(torch.stack(handed), old)


@TRUSTED.alternative
def number_by_number(reshard):
    """In plain lists, and where memory begins."""
    sizes = ((1, 7, 4), (4, 7, 1), (2, 10, 4), (6, 14, 3), (3, 8, 3), (11, 31, 4), (4, 24, 12), (5, 2, 7))
    for shift, (n, N, n_new) in enumerate([*sizes, sizes[0], sizes[0]]):
        numbers = [((i + shift) * 37 % 11) / 7 - 1 for i in range(N)]
        numbers[N // 3] = 0.0
        dtype = (torch.float32, torch.float64)[shift % 2]
        x = torch.tensor(numbers, dtype=dtype)
        k_old, k = math.ceil(N / n), math.ceil(N / n_new)
        shards = [torch.zeros(k_old, dtype=dtype) for _ in range(n)]
        for i in range(N):
            shards[i // k_old][i % k_old] = x[i]
        before, held = [s.tolist() for s in shards], [*map(id, shards)]
        new = reshard(shards, N, n_new)
        assert len(new) == n_new, "how many"
        for r, shard in enumerate(new):
            assert shard.shape == (k,), "shape"
            assert shard.dtype == dtype, "dtype"
            right = x[r * k : (r + 1) * k].tolist()
            assert shard.tolist() == right + [0] * (k - len(right)), "numbers"
        assert [*map(id, shards)] == held, "other tensors in the list"
        assert [s.tolist() for s in shards] == before, "what was handed in"
        starts = [s.data_ptr() for s in [*new, *shards]]
        assert len({*starts}) == n + n_new, "memory"
