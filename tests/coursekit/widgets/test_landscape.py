"""Loss landscape: gradients, minima and saddle are what the text says, Muon moves as told, bad values are answered."""

import math

import pytest
import torch

from coursekit.widgets import landscape
from coursekit.widgets.controls import Notice, Page
from coursekit.widgets.landscape import OPTIMISERS, SCALES, START, STEPS, draw_landscape, loss, loss_landscape, path

GOOD = {"rate": 0.05, "momentum": 0.9, "noise": 0.0, "scale": 1.0, "seed": 0}
BAD = {
    "rate": [0, -1, 2, None, "1", True, math.nan, math.inf],
    "momentum": [-0.1, 1, None, "0", True, math.nan],
    "noise": [-1, 11, None, "0", True, math.nan],
    "scale": [0, 1000, None, "1", True, math.nan],
    "seed": [-1, 0.5, None, "0", True, math.nan, 10**9],
}


def walk(name, **settings):
    return path(OPTIMISERS[name], *(GOOD | settings).values())


def curvatures(*at):
    x, y = torch.tensor(at, dtype=torch.float64)
    H = torch.stack([torch.stack(row) for row in torch.autograd.functional.hessian(loss, (x, y))])
    return torch.linalg.eigvalsh(H).tolist()


@pytest.mark.parametrize(
    ("at", "signs"), [((1, 0.5), [True, True]), ((-1, 0.5), [True, True]), ((0, 0), [False, True])]
)
def test_minima_and_saddle_are_where_they_are_drawn(at, signs):
    x, y = (torch.tensor(float(one), requires_grad=True) for one in at)
    assert [g.item() for g in torch.autograd.grad(loss(x, y), (x, y))] == [0, 0]
    assert [one > 0 for one in curvatures(*map(float, at))] == signs


def test_sgd_goes_against_the_gradient():
    W = torch.tensor(START, requires_grad=True)
    loss(*W).backward()
    torch.testing.assert_close(walk("SGD")[1], W.detach() - 0.05 * W.grad)


def test_without_momentum_both_sgds_are_the_same():
    torch.testing.assert_close(walk("SGD", momentum=0.0), walk("with momentum", momentum=0.0))


def test_muon_moves_both_numbers_by_about_the_rate_whatever_the_gradients_size():
    for scale in SCALES:
        moved = walk("Muon", scale=scale, momentum=0.0).diff(dim=0)[:10].abs()
        assert (moved > 0.6 * 0.05).all()
        assert (moved < 1.3 * 0.05).all()


def test_adamw_does_not_see_the_losss_scale():
    torch.testing.assert_close(walk("AdamW", scale=10.0), walk("AdamW"), atol=1e-3, rtol=1e-3)


def test_sgd_does():
    assert (walk("SGD", scale=0.1) - walk("SGD")).abs().max() > 0.1


def test_sgd_stays_at_a_minimum_up_to_the_rate_that_its_curvature_allows():
    limit = 2 / max(curvatures(1.0, 0.5))
    assert walk("SGD", rate=0.9 * limit)[-1].sub(torch.tensor([1, 0.5])).abs().max() < 0.05
    assert loss(*walk("SGD", rate=1.7 * limit)[-1]) > 0.01


def test_all_meet_the_same_noise():
    one, other = walk("SGD", noise=1.0), walk("with momentum", noise=1.0)
    torch.testing.assert_close(one[1], other[1])


def test_a_seed_gives_the_same_noise_again():
    assert torch.equal(walk("AdamW", noise=1.0, seed=3), walk("AdamW", noise=1.0, seed=3))
    assert not torch.equal(walk("AdamW", noise=1.0, seed=3), walk("AdamW", noise=1.0, seed=4))


def test_a_path_that_leaves_is_told_with_the_step():
    assert len(walk("with momentum", rate=0.5)) <= STEPS
    assert "with momentum: out of sight since step 1" in draw_landscape(0.5, 0.9).alt


def test_what_muon_steps_is_told_below_the_figure():
    html = draw_landscape(0.05, 0.9).html
    assert html.index("<img") < html.index("diagonal of a 2 × 2 matrix")


@pytest.mark.parametrize("rate", [1e-3, 0.05, 1.0])
@pytest.mark.parametrize(("momentum", "noise"), [(0.0, 0.0), (0.99, 4.0)])
@pytest.mark.parametrize("scale", [SCALES[0], SCALES[-1]])
def test_all_ends_of_the_sliders_are_drawn_so_that_they_can_be_read(rate, momentum, noise, scale, monkeypatch):
    monkeypatch.setenv("COURSEKIT_STRICT", "1")
    assert isinstance(draw_landscape(rate, momentum, noise, scale), Page)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_setting_that_does_not_work_is_told(name, value):
    told = draw_landscape(**GOOD | {name: value})
    assert isinstance(told, Notice)
    assert name in told.text
    assert "choose a" in told.text


def test_the_first_values_give_a_picture(monkeypatch):
    shown = {}
    monkeypatch.setattr(landscape, "live", lambda draw, controls: shown.update(draw=draw, controls=controls))
    loss_landscape()
    assert isinstance(shown["draw"](**{name: control.value for name, control in shown["controls"].items()}), Page)
