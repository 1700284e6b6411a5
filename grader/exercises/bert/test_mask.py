"""A test for the law of chapter 3: what a real token becomes must not depend on what stands where the filler is."""

import textwrap

import torch

from coursekit.checking.testing import of_each
from grader.contract import Trusted


def of(body):
    """A layer of width 8 with two heads and drawn weights; `body` makes Y (B, 2, T, 4) of Q, K, V and real."""
    return textwrap.dedent("""
        import torch
        g = torch.Generator().manual_seed(5)
        W_Q, W_K, W_V, W_O, W_1 = (torch.randn(8, 8, generator=g, dtype=torch.float64) / 8**0.5 for _ in range(5))
        def attend(Q, K, V, real):
        {body}
        def layer(X, real):
            Q, K, V = ((X @ W).unflatten(-1, (2, 4)).transpose(1, 2) for W in (W_Q, W_K, W_V))
            H = X + attend(Q, K, V, real).transpose(1, 2).flatten(2) @ W_O
            return norm(H + torch.nn.functional.gelu(norm(H) @ W_1))
        def norm(X):
            return torch.nn.functional.layer_norm(X, (8,))
    """).format(body=textwrap.indent(textwrap.dedent(body).strip(), " " * 4))


FUSED = "return torch.nn.functional.scaled_dot_product_attention(Q, K, V, attn_mask=real[:, None, None, :])"
SCORES = "S = Q @ K.mT / 2\n"
RIGHT = {
    "by torch's own function": of(FUSED),
    "the formula": of(SCORES + "return S.masked_fill(~real[:, None, None, :], -torch.inf).softmax(-1) @ V"),
    "a loop over sentences": of("""
        Y = torch.full_like(Q, 7.0)
        for b in range(len(Q)):
            k, v = K[b][:, real[b]], V[b][:, real[b]]
            Y[b][:, real[b]] = (Q[b][:, real[b]] @ k.mT / 2).softmax(-1) @ v
        return Y
    """),
    "other numbers on filler": of("""
        Y = torch.nn.functional.scaled_dot_product_attention(Q, K, V, attn_mask=real[:, None, None, :])
        return torch.where(real[:, None, :, None], Y, V.flip(1))
    """),
    "0 on filler": of(FUSED) + "of_all = layer\ndef layer(X, real): return of_all(X, real) * real[:, :, None]\n",
    # What is taken away from all scores of a row changes no weight, but their last digits.
    "other last digits": of(
        SCORES + "S = S - S.mean(-1, keepdim=True).sin()\n"
        "return S.masked_fill(~real[:, None, None, :], -torch.inf).softmax(-1) @ V"
    ),
    "exponentials by hand": of(
        SCORES
        + """
top = S.masked_fill(~real[:, None, None, :], -1e300).amax(-1, keepdim=True)
A = (S - top).clamp(max=0).exp() * real[:, None, None, :]
return A / A.sum(-1, keepdim=True) @ V.masked_fill(~real[:, None, :, None], 0)
"""
    ),
}
MUTANTS = {
    "no mask": (of(SCORES + "return S.softmax(-1) @ V"), of("return Q * 0 + V.mean(2, keepdim=True)")),
    "the wrong tokens are hidden": (
        of(SCORES + "return S.masked_fill(~real[:, None, :, None], 0).softmax(-1) @ V"),
        of(SCORES + "return S.masked_fill(~real[:, None, :, None], -1e9).softmax(-1) @ V"),
    ),
    "a weak mask": (
        of(SCORES + "return (S + real[:, None, None, :].double()).softmax(-1) @ V"),
        of(SCORES + "return (S - 5.0 * ~real[:, None, None, :]).softmax(-1) @ V"),
        of(SCORES + "return S.masked_fill(~real[:, None, None, :], 0).softmax(-1) @ V"),
    ),
    "filler is read a little": (
        of(SCORES + "return (S - 9.0 * ~real[:, None, None, :]).softmax(-1) @ V"),
        of(FUSED + " + 1e-3 * V.mul(~real[:, None, :, None]).mean(2, keepdim=True)"),
    ),
    "after the softmax": (
        of(SCORES + "return (S.softmax(-1) * real[:, None, None, :]) @ V"),
        of(SCORES + "return S.softmax(-1) @ V.masked_fill(~real[:, None, :, None], 0)"),
    ),
    "one row's mask for all": (
        of(SCORES + "return S.masked_fill(~real[:1, None, None, :], -torch.inf).softmax(-1) @ V"),
        of(SCORES + "return S.masked_fill(~real.any(0), -torch.inf).softmax(-1) @ V"),
    ),
    "filler on the left is read": (
        of("""
            last = torch.arange(real.shape[1]).mul(real).amax(1)
            shown = torch.arange(real.shape[1]) <= last[:, None]
            return torch.nn.functional.scaled_dot_product_attention(Q, K, V, attn_mask=shown[:, None, None, :])
        """),
    ),
    "filler on the right is read": (
        of("""
            first = real.long().argmax(1)
            shown = torch.arange(real.shape[1]) >= first[:, None]
            return torch.nn.functional.scaled_dot_product_attention(Q, K, V, attn_mask=shown[:, None, None, :])
        """),
    ),
    "NaN": (
        of(FUSED + " * torch.where(real.all(1), 1.0, torch.nan).double()[:, None, None, None]"),
        of(FUSED + " + torch.where((~real).any(1), torch.nan, 0.0).double()[:, None, None, None]"),
    ),
}


class Steps:
    """A test in steps, so that a mistake is written as the one in which it differs."""

    __name__ = "mask_test"
    sizes = (1.0, 30.0)
    real = torch.tensor([[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]]).bool()

    def __call__(self, layer):
        g = torch.Generator().manual_seed(0)
        X = torch.randn(*self.real.shape, 8, generator=g, dtype=torch.float64)
        for size in self.sizes:
            other = size * torch.randn(X.shape, generator=g, dtype=torch.float64)
            changed = torch.where(self.real[:, :, None], X, other)
            self.compare(layer(changed, self.real), layer(X, self.real))

    def compare(self, changed, Y):
        torch.testing.assert_close(changed[self.real], Y[self.real])


TRUSTED = Trusted(Steps(), cases=of_each(RIGHT, MUTANTS))


def slip(sentence):
    def register(cls):
        TRUSTED.add_mistake(cls.__name__, sentence, cls())
        return cls

    return register


@slip("Your test lets every wrong layer pass: nothing in it could fail. Compare two results by `assert`.")
class AssertsNothing(Steps):
    def compare(self, changed, Y):
        pass


@slip("Right layers are refused. Filler may become any number, so compare Y[real] only, and change nothing but filler.")
class ComparesFiller(Steps):
    def compare(self, changed, Y):
        torch.testing.assert_close(changed, Y)


@slip(
    "Your test refuses every right layer, whatever stands on filler: which assertion fails, and does it have to hold?"
)
class RefusesEverything(Steps):
    def compare(self, changed, Y):
        raise AssertionError


@slip("Right layers are refused. Other filler may change the last digits of a sum: compare with a tolerance.")
class Exact(Steps):
    def compare(self, changed, Y):
        assert torch.equal(changed[self.real], Y[self.real])


@slip("Right layers are refused, for your filler is NaN: a weight of 0 times NaN is NaN. Try numbers, large ones too.")
class FillerOfNaN(Steps):
    sizes = (torch.nan,)


@slip("NaN passes: it is neither larger nor smaller than a bound. Ask for a difference below it, or use assert_close.")
class NaNPasses(Steps):
    def compare(self, changed, Y):
        assert not ((changed - Y)[self.real].abs() > 1e-6).any()


@slip("Filler stands on the right only: a layer that hides what comes after the last token passes. Try the left too.")
class RightOnly(Steps):
    real = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]]).bool()


@slip("Filler stands on the left only: a layer that hides what comes before the first token passes. Try the right too.")
class LeftOnly(Steps):
    real = torch.tensor([[0, 0, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1], [1, 1, 1, 1, 1, 1]]).bool()


@slip("A layer that takes one row's mask for all passes: exchange the filler in rows whose masks differ.")
class OneMask(Steps):
    real = torch.tensor([[0, 1, 1, 1, 1, 0]] * 3).bool()


@slip("The tolerance is so wide that a layer which reads filler a little passes: rounding is below 1e-6 in float64.")
class WideTolerance(Steps):
    sizes = (1.0,)

    def compare(self, changed, Y):
        torch.testing.assert_close(changed[self.real], Y[self.real], rtol=0.0, atol=0.5)


@slip(
    "What you compare is the same whatever a layer reads: nothing is exchanged, or too little, or in both, or you look "
    "at what never moves. Exchange what stands on filler, and compare all numbers of Y[real]."
)
class ChangesNothing(Steps):
    sizes = ()

    def __call__(self, layer):
        X = torch.randn(*self.real.shape, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        self.compare(layer(X.clone(), self.real), layer(X, self.real))


@TRUSTED.alternative
def beside_the_sentence_alone(layer):
    """Each sentence in a batch and alone, without any filler."""
    real = torch.tensor([[1, 1, 1, 0, 0], [0, 1, 1, 1, 1], [0, 0, 0, 1, 0]]).bool()
    X = 10 * torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    Y = layer(X, real)
    for x, y, r in zip(X, Y, real, strict=True):
        alone = layer(x[r][None], torch.ones(1, int(r.sum())).bool())[0]
        assert torch.allclose(y[r], alone, rtol=1e-6, atol=1e-8)


@TRUSTED.alternative
def by_gradients(layer):
    """No gradient reaches filler from a real token."""
    real = torch.tensor([[1, 1, 0, 0, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 0, 0]]).bool()
    X = torch.randn(4, 5, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
    Y = layer(X, real)[real]
    assert Y.isfinite().all()
    (dX,) = torch.autograd.grad((Y * torch.linspace(-1, 2, Y.numel(), dtype=Y.dtype).view(Y.shape)).sum(), X)
    assert dX[~real].abs().max() < 1e-12
