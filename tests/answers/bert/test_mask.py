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
    "plain", "the real tokens are exchanged, and the results shall not move", true="ComparesFiller", told="right layer"
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
