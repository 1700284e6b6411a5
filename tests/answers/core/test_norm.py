"""Answers to core.test_norm: tests of learners, of which each leaves one thing out, or asks for too much."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.test_norm",
    spared={
        "surroundings": "a test may set what it likes: its process is its own",
        "dependence": "nothing is drawn that a text promises",
        "given": "a test may do with a class what it likes",
    },
)
wrong = ANSWERS.wrong
NAMES = ("weight", "bias", "running_mean", "running_var")


def begun(BatchNorm, D=3, eps=0.3, momentum=0.4, own=True):
    """The module and torch's, with the same numbers of their own in weight and bias."""
    norm, twin = BatchNorm(D, eps, momentum), nn.BatchNorm1d(D, eps=eps, momentum=momentum)
    if own:
        for name in ("weight", "bias"):
            numbers = torch.randn(D) + 0.5
            for module in (norm, twin):
                getattr(module, name).data.copy_(numbers)
    return norm, twin


def close(one, other):
    torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


def averages_agree(norm, twin):
    close(norm.running_mean, twin.running_mean)
    close(norm.running_var, twin.running_var)


def agree(norm, twin, x, modes=(True, False), gradient=True, averages=True):
    """Results, gradients and running averages of batches of this kind, mode by mode."""
    for mode in modes:
        batch = x + torch.randn_like(x)
        leaves = [batch.clone().requires_grad_() for _ in range(2)]
        results = [module.train(mode)(leaf) for module, leaf in zip((norm, twin), leaves, strict=True)]
        close(*results)
        if gradient:
            grads = [torch.autograd.grad((y**3).sum(), leaf)[0] for y, leaf in zip(results, leaves, strict=True)]
            close(*grads)
        if averages:
            averages_agree(norm, twin)


def begins_well(norm):
    assert (norm.weight == 1).all()
    assert (norm.bias == 0).all()
    assert (norm.running_mean == 0).all()
    assert (norm.running_var == 1).all()


def two_are_apart(BatchNorm, momentum=0.4):
    """One learns, and the other is as it was; then it learns itself, as if it were alone."""
    one, other = BatchNorm(3, 0.3, momentum), BatchNorm(3, 0.3, momentum)
    one.train()(torch.randn(6, 3) - 3)
    one.weight.data.fill_(7.0)
    one.bias.data.fill_(7.0)
    begins_well(other)
    x = torch.randn(6, 3)
    other.train()(x)
    close(other.running_mean, momentum * x.mean(0))
    close(other.running_var, 1 - momentum + momentum * x.var(0))


def whole(BatchNorm, **given):
    """All of it."""
    begins_well(BatchNorm(3, 0.3, 0.4))
    norm, twin = begun(BatchNorm)
    agree(norm, twin, 2 * torch.randn(6, 3) + 1, **{"modes": (True, True, False, False, True, False)} | given)


def complete(BatchNorm, **given):
    whole(BatchNorm, **given)
    two_are_apart(BatchNorm)


@wrong("named", "an epsilon so small that nobody notices where it stands", true="SmallEps")
def small_epsilon(BatchNorm):
    begins_well(BatchNorm(3, 1e-5, 0.4))
    norm, twin = begun(BatchNorm, eps=1e-8)
    agree(norm, twin, 2 * torch.randn(6, 3) + 1, modes=(True, True, False, False, True))
    two_are_apart(BatchNorm)


@wrong("named", "a momentum of a half, at which both shares are equal", true="HalfMomentum")
def half(BatchNorm):
    begins_well(BatchNorm(3, 0.3, 0.5))
    norm, twin = begun(BatchNorm, momentum=0.5)
    agree(norm, twin, 2 * torch.randn(6, 3) + 1, modes=(True, True, False, False, True))
    two_are_apart(BatchNorm, 0.5)


@wrong("unwatched", "the running averages are not looked at, and evaluation is not either", true="RestUnasked")
def training_alone(BatchNorm):
    complete(BatchNorm, modes=(True, True), averages=False)


@wrong("plain", "no gradient", true="GradientUnseen")
def no_gradient(BatchNorm):
    complete(BatchNorm, gradient=False)


@wrong("plain", "weight and bias keep their beginning, 1 and 0", true="OnesAndZeros")
def scale_and_shift_untouched(BatchNorm):
    begins_well(BatchNorm(3, 0.3, 0.4))
    norm, twin = begun(BatchNorm, own=False)
    agree(norm, twin, 2 * torch.randn(6, 3) + 1, modes=(True, True, False, False, True))
    two_are_apart(BatchNorm)


@wrong("again", "two objects are never there at once", true="Alone")
def alone(BatchNorm):
    whole(BatchNorm)


@wrong("onward", "one batch in training and one at rest", told=r"a wrong one \(in training, from the second batch on\)")
def one_batch(BatchNorm):
    complete(BatchNorm, modes=(True, False))


@wrong("large", "a batch so large that B and B - 1 are one")
def huge_batch(BatchNorm):
    begins_well(BatchNorm(3, 0.3, 0.4))
    norm, twin = begun(BatchNorm)
    beside = BatchNorm(3, 0.3, 0.4)
    for mode in (True, True, False, False, True):
        beside.train()(torch.randn(6, 3) - 3)
        agree(norm, twin, 2 * torch.randn(5000, 3) + 1, modes=(mode,))


@wrong("ones", "a batch of one, which has no variance over B - 1", true="RefusesEverything")
def batch_of_one(BatchNorm):
    norm = BatchNorm(3, 0.3, 0.4)
    assert norm(torch.randn(1, 3)).shape == (1, 3)
    assert norm.running_var.isfinite().all()
    complete(BatchNorm)


@wrong("far", "equal to the last bit", told=r"your test refuses it, and it is right")
def to_the_last_bit(BatchNorm):
    norm, _ = begun(BatchNorm)
    x = 2 * torch.randn(6, 3) + 1
    y = norm.weight * (x - x.mean(0)) / (x.var(0, unbiased=False) + 0.3).sqrt() + norm.bias
    assert torch.equal(norm(x), y)
    complete(BatchNorm)


@wrong("plain", "it returns False where it should raise", true="AcceptsEverything")
def returns_false(BatchNorm):
    try:
        complete(BatchNorm)
    except AssertionError:
        return False
    return True


@wrong(
    "plain",
    "how it begins is not looked at, for own numbers are given to all of it",
    told=r"a wrong one \(the beginning\)",
)
def beginning_untested(BatchNorm):
    norm, twin = begun(BatchNorm)
    for name in ("running_mean", "running_var"):
        numbers = torch.rand(3) + 0.5
        for module in (norm, twin):
            getattr(module, name).data.copy_(numbers)
    agree(norm, twin, 2 * torch.randn(6, 3) + 1, modes=(True, True, False, False, True, False))
    one, other = BatchNorm(3, 0.3, 0.4), BatchNorm(3, 0.3, 0.4)
    before = [getattr(other, name).clone() for name in NAMES]
    one.train()(torch.randn(6, 3) - 3)
    assert all(torch.equal(getattr(other, name), x) for name, x in zip(NAMES, before, strict=True))


ANSWERS.right(complete)


@ANSWERS.right
def in_double(BatchNorm):
    """All in float64 and by the formulas, with keywords."""
    torch.manual_seed(0)
    D, eps, momentum = 5, 0.7, 0.25
    norm, other = (BatchNorm(D=D, eps=eps, momentum=momentum).double() for _ in range(2))
    begins_well(norm)
    w, b, mean, var = (torch.randn(D).double() for _ in range(4))
    with torch.no_grad():
        norm.weight.copy_(w)
        norm.bias.copy_(b)
    mean, var = torch.zeros(D).double(), torch.ones(D).double()
    for training in (True, False, True, True, False, False):
        norm.train(training)
        x = (3 * torch.randn(4, D).double() + 2).requires_grad_()
        m, v = (x.mean(0), x.var(0, correction=0)) if training else (mean, var)
        y = w * (x - m) / (v + eps) ** 0.5 + b
        found = norm(x)
        assert torch.allclose(found, y)
        dy = torch.randn_like(y)
        assert torch.allclose(torch.autograd.grad(found, x, dy)[0], torch.autograd.grad(y, x, dy)[0])
        if training:
            other.train()(x.detach() - 9)
            mean = (1 - momentum) * mean + momentum * m.detach()
            var = (1 - momentum) * var + momentum * x.detach().var(0)
        assert torch.allclose(norm.running_mean, mean)
        assert torch.allclose(norm.running_var, var)


@ANSWERS.right
def with_functional(BatchNorm):
    """F.batch_norm beside it, numbers through NumPy, batches of two and of one feature too, and load_state_dict."""
    for D, B in ((1, 2), (4, 7)):
        norm, other = BatchNorm(D, 0.5, 0.2), BatchNorm(D, 0.5, 0.2)
        for module in (norm, other):
            begins_well(module)
        w, b = torch.rand(D) + 0.3, torch.rand(D) - 2
        norm.load_state_dict({"weight": w, "bias": b}, strict=False)
        mean, var = torch.zeros(D), torch.ones(D)
        for training in (True, True, False, True, False, False):
            norm.train() if training else norm.eval()
            x = torch.randn(B, D) * 1.5 - 1
            pair = [x.clone().requires_grad_() for _ in range(2)]
            y = norm(pair[0])
            want = F.batch_norm(pair[1], mean, var, w, b, training, 0.2, 0.5)
            np.testing.assert_allclose(y.detach().numpy(), want.detach().numpy(), rtol=1e-3, atol=1e-4)
            (y.sin().sum() + y.pow(2).sum()).backward()
            (want.sin().sum() + want.pow(2).sum()).backward()
            np.testing.assert_allclose(pair[0].grad.numpy(), pair[1].grad.numpy(), rtol=1e-3, atol=1e-4)
            for found, right in ((norm.running_mean, mean), (norm.running_var, var)):
                assert torch.allclose(found, right, rtol=1e-4, atol=1e-5)
            other.train()(torch.randn(B, D) + 9)


@ANSWERS.right
def with_what_a_module_has(BatchNorm):
    norm = BatchNorm(3, 0.3, 0.4)
    assert {*NAMES} <= {*norm.state_dict()}
    assert {name for name, _ in norm.named_parameters()} == {"weight", "bias"}
    assert norm.training
    complete(BatchNorm)
