"""The laws for random answers: what breaks them, and what they say."""

import math

import pytest
import torch

from coursekit.checking.laws import (
    agreement,
    as_measurements,
    at_most,
    between,
    clumping,
    deviation,
    evenness,
    far,
    none,
    repetition,
    share,
    surprise,
    unrevealed,
)


def told(law, case=None, **numbers):
    return law(case or {}, as_measurements(numbers))


@pytest.fixture
def g():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(("count", "broken"), [(0, False), (1, True)])
def test_none_is_broken_by_one(count, broken):
    assert bool(told(none("odd", "{n:.0f} odd"), odd=count)) is broken


def test_what_is_no_number_is_not_none():
    assert told(none("odd", "odd"), odd=float("nan"))


# 5 sigma of 10,000 tosses of a coin are 250.
@pytest.mark.parametrize(("count", "broken"), [(4_751, False), (5_249, False), (4_749, True), (5_251, True)])
def test_a_share_may_lie_five_sigma_away(count, broken):
    assert bool(told(share("heads", "tosses", 0.5, "no coin"), heads=count, tosses=10_000)) is broken


def test_counts_that_overlap_may_lie_further_away():
    assert far(5_300, 10_000, 0.5)
    assert not told(share("heads", "tosses", 0.5, "no coin", pairs=2), heads=5_300, tosses=10_000)


def test_the_expected_share_may_be_an_input_of_the_case():
    law = share("heads", "tosses", "p", "no coin")
    assert not told(law, {"p": 0.2}, heads=2_000, tosses=10_000)
    assert told(law, {"p": 0.3}, heads=2_000, tosses=10_000)


@pytest.mark.parametrize(("count", "broken"), [(10, False), (30, False), (9, True), (31, True)])
def test_between_holds_at_both_ends(count, broken):
    assert bool(told(between("some", "all", 0.1, 0.3, "too few or many"), some=count, all=100)) is broken


@pytest.mark.parametrize(("sigmas", "broken"), [(-9.0, False), (5.0, False), (5.1, True), (float("nan"), True)])
def test_at_most_has_one_end_and_takes_no_nan(sigmas, broken):
    assert bool(told(at_most("clumps", 5, "clumps"), clumps=sigmas)) is broken


def test_a_law_is_asked_only_when_its_input_is_true():
    law = none("odd", "odd", when="counted")
    assert told(law, {"counted": True}, odd=1)
    assert not told(law, {"counted": False}, odd=1)


def test_a_sentence_tells_counts_shares_inputs_and_other_measurements():
    law = between("some", "all", 0.5, 1, "{n:.0f} of {of:.0f}, {share:.0%}, {other:.0f} others, {name}")
    assert told(law, {"name": "here"}, some=1, all=4, other=3) == "1 of 4, 25%, 3 others, here"


def agree(law, one, other, case=None):
    return law.agree(case or {}, as_measurements(one), as_measurements(other))


LAW = share("heads", "tosses", 0.5, "no coin")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ((5_000, 10_000), (5_100, 10_000), True),  # both keep it
        ((5_000, 10_000), (9_000, 10_000), False),  # one does
        ((9_000, 10_000), (9_050, 10_000), True),
        ((900, 1_000), (9_000, 10_000), True),
        ((9_000, 10_000), (7_000, 10_000), False),
        ((9_000, 10_000), (1_000, 10_000), False),
    ],
)
def test_shares_are_alike_where_they_could_be_of_one_probability(one, other, alike):
    pairs = [dict(zip(("heads", "tosses"), counts, strict=True)) for counts in (one, other)]
    assert agree(LAW, *pairs) is alike


@pytest.mark.parametrize(("one", "other", "alike"), [(0, 0, True), (0, 3, False), (100, 120, True), (10, 1_000, False)])
def test_counts_are_alike_where_they_could_be_of_one_event(one, other, alike):
    assert agree(none("odd", "odd"), {"odd": one}, {"odd": other}) is alike


@pytest.mark.parametrize(("one", "other", "alike"), [(5, 10, True), (5, 30, False), (5, 95, False), (50, 65, True)])
def test_what_lies_between_is_alike_and_what_lies_outside_must_be_near(one, other, alike):
    law = between("some", "all", 0.4, 0.7, "")
    assert agree(law, {"some": one, "all": 100}, {"some": other, "all": 100}) is alike


@pytest.mark.parametrize(("one", "other", "alike"), [(1, 4, True), (4, 9, False), (90, 70, True), (90, 20, False)])
def test_deviations_are_alike_where_they_are_of_one_size(one, other, alike):
    assert agree(at_most("clumps", 5, "clumps"), {"clumps": one}, {"clumps": other}) is alike


def test_where_a_law_is_not_asked_all_are_alike():
    law = none("odd", "odd", when="counted")
    assert agree(law, {"odd": 1}, {"odd": 0}, {"counted": False})


@pytest.mark.parametrize(("count", "sigmas"), [(50, 0), (65, 3), (30, -4)])
def test_a_deviation_is_told_in_sigmas(count, sigmas):
    assert deviation(count, 100, 0.5) == pytest.approx(sigmas)


@pytest.mark.parametrize(("n", "p"), [(100, 0.0), (100, 1.0), (0, 0.5), (100, float("nan"))])
def test_where_chance_has_no_part_nothing_deviates(n, p):
    assert deviation(7, n, p) == 0


def test_independent_choices_do_not_clump_and_common_ones_do(g):
    n = torch.full((400,), 50)
    alone = (torch.rand(400, 50, generator=g) < 0.2).sum(1)
    together = 50 * (torch.rand(400, generator=g) < 0.2)
    assert abs(clumping(alone, n, 0.2)) < 5 < 100 < clumping(together, n, 0.2)


@pytest.mark.parametrize("p", [0.0, 1.0, float("nan")])
def test_where_chance_has_no_part_nothing_clumps(p):
    assert clumping(torch.tensor([3]), torch.tensor([3]), p) == 0


def test_nothing_counted_clumps_nothing():
    assert clumping(torch.tensor([0, 0]), torch.tensor([0, 0]), 0.5) == 0


def test_independent_choices_are_not_even_and_fixed_shares_are(g):
    n = torch.full((15,), 400.0)
    assert abs(evenness(torch.binomial(n, torch.tensor(0.15).expand(15), generator=g), n, 0.15)) < 5
    assert evenness(0.15 * n, n, 0.15) > 7


@pytest.mark.parametrize(("count", "n", "p"), [([3], [3], 1.0), ([0], [3], 0.0), ([0, 0], [0, 0], 0.5)])
def test_where_chance_has_no_part_nothing_is_even(count, n, p):
    assert evenness(torch.tensor(count), torch.tensor(n), p) == 0


def test_deviations_agree_where_they_have_one_cause(g):
    cause, one, other = torch.randn(3, 200, generator=g)
    assert abs(agreement(one, other)) < 5 < agreement(2 * cause + one, 2 * cause + other)
    assert agreement(torch.zeros(3), torch.zeros(3)) == 0


def test_drawn_anew_nothing_repeats_and_one_draw_for_a_group_does(g):
    groups = torch.arange(300).repeat_interleave(4)
    anew = torch.randint(1000, (1200,), generator=g)
    once = torch.randint(1000, (300,), generator=g).repeat_interleave(4)
    assert abs(repetition(groups, anew, 1000)) < 5 < 100 < repetition(groups, once, 1000)


def test_a_hidden_case_hears_a_count_without_its_numbers():
    law = share("heads", "tosses", "p", "{share:.0%} of {of:.0f} with {kind:.0f} for 2 coins, expected {p:.0%}")
    assert unrevealed(law, "") == "... of ... with ... for 2 coins, expected ..."


@pytest.mark.parametrize("number", ["2.0e-08", "17", "-3.5", "nan", "inf", "12%", "1e+30"])
def test_a_hidden_case_hears_any_other_law_without_its_numbers(number):
    assert unrevealed(lambda case, outputs: "", f"it gives {number}, once more") == "it gives ..., once more"


def test_of_many_trials_surprise_is_the_deviation():
    counts = torch.tensor([4_900.0, 5_000.0, 5_150.0], dtype=torch.float64)
    found = surprise(counts, 10_000, torch.tensor(0.5))
    expected = [abs(deviation(count, 10_000, 0.5)) for count in counts.tolist()]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("n", "p"), [(600, 0.01), (40, 1 / 2400), (20, 1 / 9), (400, 0.5)])
def test_surprise_is_seldom_large_however_small_n_and_p_are(n, p):
    """By the exact binomial distribution: what lies above s has a probability of at most exp(-s^2 / 2) on each side."""
    counts = torch.arange(n + 1, dtype=torch.float64)
    chances = torch.distributions.Binomial(n, torch.tensor(p, dtype=torch.float64)).log_prob(counts).exp()
    sigmas = surprise(counts, n, torch.tensor(p, dtype=torch.float64))
    for s in range(1, 7):
        for side in (counts < n * p, counts > n * p):
            assert chances[side & (sigmas > s)].sum() <= math.exp(-(s**2) / 2)


@pytest.mark.parametrize(("count", "p", "expected"), [(10, 1.0, 0.0), (0, 0.0, 0.0)])
def test_what_is_certain_surprises_nobody(count, p, expected):
    assert surprise(torch.tensor(float(count)), 10, torch.tensor(p)) == expected
    assert surprise(torch.tensor(9.0), 10, torch.tensor(p)) > 30
