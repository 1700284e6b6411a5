"""Answers to bert.test_mask: tests that are too weak or too strict, and right ones."""

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.test_mask",
    spared={
        "given": "a layer is handed in, which is called and not altered",
        "again": "each layer is tested once",
        "onward": "nothing happens after which it goes on",
        "dependence": "what is drawn is the test's own affair",
        "surroundings": "nothing lies around that a test would touch",
        "unwatched": "the verdict alone is compared",
    },
)
wrong = ANSWERS.wrong
REAL = torch.tensor([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1], [0, 0, 1, 0, 0]]).bool()


def inputs(real=REAL, size=10.0):
    g = torch.Generator().manual_seed(1)
    X, Z = (torch.randn(*real.shape, 8, generator=g, dtype=torch.float64) for _ in range(2))
    return X, torch.where(real[:, :, None], X, size * Z), real


def compare(layer, real=REAL, size=10.0):
    X, changed, real = inputs(real, size)
    torch.testing.assert_close(layer(changed, real)[real], layer(X, real)[real])


@wrong("plain", "it only calls the layer", true="AssertsNothing")
def calls(layer):
    X, _, real = inputs()
    layer(X, real)


@wrong("plain", "the shape is right", true="AssertsNothing")
def shape(layer):
    X, _, real = inputs()
    assert layer(X, real).shape == X.shape


@wrong("plain", "the comparison is returned and not asserted", true="AssertsNothing")
def returned(layer):
    X, changed, real = inputs()
    return torch.allclose(layer(changed, real)[real], layer(X, real)[real])


@wrong("plain", "filler's vectors are compared too", true="ComparesFiller")
def compares_filler(layer):
    X, changed, real = inputs()
    torch.testing.assert_close(layer(changed, real), layer(X, real))


@wrong("named", "filler only where batches have it, on the right", true="RightOnly")
def right_only(layer):
    compare(layer, torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]]).bool())


@wrong("named", "filler only on the left", true="LeftOnly")
def left_only(layer):
    compare(layer, torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1], [0, 0, 0, 0, 1]]).bool())


@wrong("ones", "a batch of one sentence: nobody else's mask can be taken", true="OneMask")
def one_sentence(layer):
    compare(layer, torch.tensor([[0, 1, 1, 1, 0]]).bool())


@wrong("named", "all sentences have one mask", true="OneMask")
def one_mask(layer):
    compare(layer, torch.tensor([[0, 1, 1, 1, 0]] * 3).bool())


@wrong("named", "NaN is not larger than a bound", true="NaNPasses")
def nan_passes(layer):
    X, changed, real = inputs()
    if ((layer(changed, real) - layer(X, real))[real].abs() > 1e-6).any():
        raise AssertionError("filler is read")


@wrong("far", "the bound is as wide as the numbers are", true="WideTolerance", told="wrong layer")
def wide(layer):
    X, changed, real = inputs(size=1.0)
    assert (layer(changed, real) - layer(X, real))[real].abs().max() < 1.0


@wrong("large", "the filler is exchanged for almost the same", true="ChangesNothing")
def tiny_change(layer):
    X, _, real = inputs()
    changed = X + 1e-9 * ~real[:, :, None]
    torch.testing.assert_close(layer(changed, real)[real], layer(X, real)[real])


@wrong("plain", "nothing is exchanged", true="ChangesNothing")
def nothing_exchanged(layer):
    X, _, real = inputs()
    torch.testing.assert_close(layer(X.clone(), real)[real], layer(X, real)[real])


@wrong(
    "plain",
    "the real tokens are exchanged, and the results shall not move",
    told="right layer",
    true="RefusesEverything",
)
def exchanges_real(layer):
    X, _, real = inputs()
    changed = torch.where(real[:, :, None], X + 1, X)
    torch.testing.assert_close(layer(changed, real)[real], layer(X, real)[real])


@ANSWERS.right
def filler_of_both_signs(layer):
    X, _, real = inputs()
    for filler in (-40.0, 0.0, 40.0):
        pattern = filler * torch.linspace(-1, 1, 8, dtype=X.dtype)
        changed = torch.where(real[:, :, None], X, X + 1 + pattern)
        assert torch.allclose(layer(changed, real)[real], layer(X, real)[real], atol=1e-9)


@ANSWERS.right
def sentence_alone(layer):
    X, _, real = inputs()
    Y = layer(X, real)
    for b in range(len(X)):
        alone = layer(X[b, real[b]][None], real.new_ones(1, int(real[b].sum())))
        torch.testing.assert_close(Y[b, real[b]], alone[0])


@ANSWERS.right
def by_differences(layer):
    """Each place of filler is pushed alone, and the sum of all changes is looked at."""
    X, _, real = inputs()
    Y, moved = layer(X, real), 0.0
    for b, t in (~real).nonzero().tolist():
        changed = X.clone()
        changed[b, t] += torch.arange(8.0, dtype=X.dtype)
        moved += (layer(changed, real) - Y)[real].abs().sum().item()
    assert moved < 1e-8


@wrong("plain", "everything is refused", true="RefusesEverything")
def refuses_all(layer):
    raise AssertionError("padding is read")


@wrong("plain", "it asks for numbers that are no NaN, and for nothing else", true="ChangesNothing")
def finite_shapes(layer):
    X, _, real = inputs()
    Y = layer(X, real)
    assert Y.shape == X.shape
    assert not Y[real].isnan().any()


@wrong(
    "plain", "the first input is overwritten before it is used: the same is compared with itself", true="ChangesNothing"
)
def same_tensor(layer):
    X, changed, real = inputs()
    X_other = X
    X_other[~real] = changed[~real]
    torch.testing.assert_close(layer(X_other, real)[real], layer(X, real)[real])


@wrong("plain", "equal to the last bit", true="Exact")
def bit_for_bit(layer):
    for size in (1.0, 100.0):
        X, changed, real = inputs(size=size)
        assert torch.equal(layer(changed, real)[real], layer(X, real)[real])


@wrong("plain", "a tolerance of a tenth, and fillers of size 1", told="filler is read a little.*lets it pass")
def tolerant(layer):
    X, changed, real = inputs(size=1.0)
    torch.testing.assert_close(layer(changed, real)[real], layer(X, real)[real], rtol=0.1, atol=0.1)


@wrong("named", "the filler is NaN, which 0 times NaN brings into right layers too", true="FillerOfNaN")
def filler_of_nan(layer):
    X, _, real = inputs()
    changed = torch.where(real[:, :, None], X, torch.nan)
    torch.testing.assert_close(layer(changed, real)[real], layer(X, real)[real])


@wrong("plain", "results on filler have to be 0", true="ComparesFiller")
def zero_on_filler(layer):
    compare(layer)
    X, _, real = inputs()
    assert (layer(X, real)[~real] == 0).all()


@wrong("plain", "allclose is called, and nobody looks at what it says", true="AssertsNothing")
def forgotten_assert(layer):
    X, changed, real = inputs()
    torch.allclose(layer(changed, real)[real], layer(X, real)[real])


@wrong("named", "more filler of zeros is put behind the sentences, and that is all", true="OneMask")
def more_zeros(layer):
    X, _, real = inputs()
    X = X * real[:, :, None]
    longer, more = torch.cat([X, 0 * X[:, :2]], 1), torch.cat([real, torch.zeros_like(real[:, :2])], 1)
    torch.testing.assert_close(layer(longer, more)[:, :5][real], layer(X, real)[real])


@wrong("plain", "the answer is an error of another kind", told="Only an AssertionError")
def value_error(layer):
    X, changed, real = inputs()
    if not torch.allclose(layer(changed, real)[real], layer(X, real)[real]):
        raise ValueError("a real token reads filler")


@wrong("plain", "the mean of all results is compared, not each", true="ChangesNothing")
def means_alone(layer):
    X, changed, real = inputs()
    assert abs(layer(changed, real)[real].mean() - layer(X, real)[real].mean()) < 1e-6


@ANSWERS.right
def many_fillers(layer):
    torch.manual_seed(0)
    for size in (0.0, 1.0, 100.0):
        X, other = torch.randn(2, 5, 7, 8, dtype=torch.float64)
        real = torch.rand(5, 7) < 0.6
        real[:, 3] = True
        real[0], real[1] = torch.arange(7) < 4, torch.arange(7) > 2
        changed = torch.where(real[:, :, None], X, size * other)
        torch.testing.assert_close(layer(changed, real)[real], layer(X, real)[real])


@ANSWERS.right
def written_into_a_copy(layer):
    """Large and small fillers, put where the mask is False; a message in each assertion."""
    X, _, real = inputs()
    Y = layer(X.clone(), real.clone())[real]
    assert not torch.isnan(Y).any(), "NaN"
    for filler in (1e-3, -1.0, 1e4):
        changed = X.clone()
        changed[~real] = filler * torch.arange(8, dtype=X.dtype)
        gap = (layer(changed, real)[real] - Y).abs().max().item()
        assert gap < 1e-7, f"filler {filler} moves a real token by {gap}"


@ANSWERS.right
def with_the_test_cases_of_unittest(layer):
    import unittest

    X, changed, real = inputs(size=50.0)
    Y, Y_changed = (layer(x, real)[real].flatten().tolist() for x in (X, changed))
    for y, y_changed in zip(Y, Y_changed, strict=True):
        unittest.TestCase().assertAlmostEqual(y, y_changed, places=6)  # noqa: PT009 (a learner may)


@wrong("plain", "only the first token of each sentence is looked at", true="RightOnly")
def first_token(layer):
    X, changed, real = inputs(torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 0, 0, 0, 0]]).bool())
    torch.testing.assert_close(layer(changed, real)[:, 0], layer(X, real)[:, 0])


@wrong("named", "filler stands in one place only, in the middle of every sentence", true="OneMask")
def in_the_middle(layer):
    compare(layer, torch.tensor([[1, 1, 0, 1, 1]] * 3).bool())


@wrong("plain", "float32, where the layers have float64", told="raises RuntimeError")
def in_float32(layer):
    X, changed, real = inputs()
    torch.testing.assert_close(layer(changed.float(), real)[real], layer(X.float(), real)[real])


@wrong("plain", "the whole layer without a mask must give something else")
def differs_without_mask(layer):
    X, _, real = inputs()
    assert not torch.allclose(layer(X, torch.ones_like(real))[real], layer(X, real)[real])


@ANSWERS.right
def one_filler_at_a_time(layer):
    X, _, real = inputs(size=1.0)
    Y = layer(X, real)
    for k, (b, t) in enumerate((~real).nonzero().tolist()):
        changed = X.clone()
        changed[b, t] = torch.linspace(-1, 1, 8, dtype=X.dtype) * 10.0 ** (k % 3)
        if not (layer(changed, real)[real] - Y[real]).abs().max() <= 1e-8:
            raise AssertionError(f"sentence {b} reads place {t}")
    return Y
