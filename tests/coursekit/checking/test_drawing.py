"""Cases by the letters of their dimensions: sizes are said once, for the tensors and the label."""

import torch

from coursekit.checking.drawing import Shapes, places, scattered, sealed, size, some
from coursekit.checking.probing import unsealed

LAYER = Shapes("X: B T D, w.weight: 3D D, w.bias: 3D, norm.weight: D, dY: B T D", told="T D")


def case(**options):
    return LAYER.cases(torch.Generator().manual_seed(0))("values", B=2, T=3, D=4, **options)


def test_tensors_have_the_sizes_of_their_letters():
    shapes = {name: tuple(x.shape) for name, x in case(upstream=True).inputs.items() if torch.is_tensor(x)}
    assert shapes == {"X": (2, 3, 4), "w.weight": (12, 4), "w.bias": (12,), "norm.weight": (4,), "dY": (2, 3, 4)}


def test_sizes_and_other_values_are_inputs():
    inputs = case(window=5).inputs
    assert (inputs["B"], inputs["T"], inputs["D"], inputs["window"]) == (2, 3, 4, 5)


def test_a_gradient_from_above_is_drawn_where_it_is_asked_for():
    assert "dY" not in case().inputs


def test_the_label_tells_sizes_and_what_is_special():
    told = case(upstream=True, contiguous=False, dtype=torch.float64, note="the first").label
    assert told == "T=3, D=4, float64, gradients, not contiguous, the first"


def test_without_contiguous_the_values_lie_in_another_order():
    X = case(contiguous=False).inputs["X"]
    assert not X.is_contiguous()
    assert torch.equal(X, case().inputs["X"])


def test_a_tensor_that_is_given_is_not_drawn():
    X = torch.zeros(2, 3, 4)
    assert case(X=X).inputs["X"] is X


def test_scores_are_shifted_where_it_is_asked_for():
    qk = Shapes("Q: B H T d, K: B H S d").cases(torch.Generator().manual_seed(0))
    inputs = qk("values", B=1, H=1, T=2, S=3, d=4, scores=-500).inputs
    scores = inputs["Q"] @ inputs["K"].mT / 2
    assert (scores - -500).abs().max() < 20


def test_weights_keep_sizes_and_norms_lie_around_one():
    wide = Shapes("up.weight: 8 D, norm.weight: D").cases(torch.Generator().manual_seed(0))("values", D=4000).inputs
    assert abs(wide["up.weight"].std().item() * 4000**0.5 - 1) < 0.05
    assert abs(wide["norm.weight"].mean().item() - 1) < 0.05


def test_a_dimension_is_a_letter_a_number_or_a_multiple():
    assert [size(d, {"D": 4}) for d in ("D", "2", "3D")] == [4, 2, 12]


def test_a_picture_becomes_a_mask():
    assert places("x. .x").tolist() == [[True, False], [False, True]]


def test_scattered_keeps_the_values():
    x = torch.arange(6.0).view(2, 3)
    assert torch.equal(scattered(x), x)
    assert scattered(x).stride() == (1, 2)


def test_a_sealed_source_comes_back():
    source = "def f(x): return x + 1"
    assert "return" not in sealed(source)
    assert unsealed(sealed(source))["f"](1) == 2


def test_some_are_different_ones():
    drawn = some(torch.Generator().manual_seed(0), range(5), 4)
    assert len({*drawn}) == len(drawn) == 4
    assert {*drawn} < {*range(5)}
