"""What is told of vectors that should be turned in pairs, in answers that no known mistake explains."""

import pytest
import torch

from coursekit.checking.contract import Case
from coursekit.checking.drawing import normal
from coursekit.checking.observing import observe_all
from coursekit.checking.symptoms import symptom
from coursekit.exercises import find

ROTARY = find("attention.rotary")


def turned(x, angle):
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous())
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angle), angle)).flatten(-2)


def turning(angle, scale=1.0):
    """Turns pair i of the token at p by angle(p, i)."""

    def turn(Q, K, positions, base=None):
        pairs = torch.arange(Q.shape[-1] // 2)
        by = angle(positions[:, None, :, None].double(), pairs)
        return turned(Q, by) * scale, turned(K, by) * scale

    return turn


RIGHT = turning(lambda p, i: p / 10**i)


def said(wrong):
    g = torch.Generator().manual_seed(0)
    heads = {name: normal(g, 2, 1, 3, 6, dtype=torch.float64) for name in "QK"}
    cases = [Case("values", "one", {**heads, "positions": torch.randint(1, 50, (2, 3), generator=g)})]
    expected = [outcome.outputs for outcome in observe_all(ROTARY, (RIGHT,), cases)]
    return symptom(ROTARY, cases, observe_all(ROTARY, (wrong,), cases), expected)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (turning(lambda p, i: p / 10**i + 0.1 * i, 2.0), "Q_rotated is no rotation of Q: lengths change"),
        (turning(lambda p, i: p / 7**i), "Q_rotated turns the first pair rightly, and later pairs by other angles"),
        (turning(lambda p, i: p**2 / 10**i), ""),
    ],
)
def test_how_a_turn_differs_is_told(wrong, told):
    assert said(wrong).removeprefix("one: ").startswith(told)
    assert bool(said(wrong)) == bool(told)
