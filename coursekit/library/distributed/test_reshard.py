"""What stands in for "Write the test, a checkpoint for other ranks" while it is unsolved: NumPy's rows beside it."""

import itertools

import numpy as np
import torch


def against_numpy(reshard):
    draw = np.random.default_rng(3)
    ranks, lengths = (1, 2, 3, 4, 11, 12), (1, 3, 10, 24)
    for n, N, m, kind in itertools.product(ranks, lengths, ranks, (np.float32, np.float64)):
        for _ in range(2):
            x = draw.normal(size=N).astype(kind) * (draw.random(N) < 0.8)
            given = [torch.tensor(row) for row in rows(x, n)]
            kept = list(given)
            found = reshard(given, N, m)
            assert [id(row) for row in given] == [id(row) for row in kept], "another list"
            assert len(found) == m, "another number of shards"
            for row, right in zip(found, rows(x, m), strict=True):
                np.testing.assert_array_equal(row.numpy(), right, strict=True)
            for i, row in enumerate(found):
                row[:] = i
            for i, row in enumerate(found):
                np.testing.assert_array_equal(row.numpy(), i)
            np.testing.assert_array_equal(np.stack([row.numpy() for row in given]), rows(x, n))


def rows(x, n):
    table = np.zeros((n, -(-len(x) // n)), x.dtype)
    table.flat[: len(x)] = x
    return table


LIBRARY = (against_numpy,)
