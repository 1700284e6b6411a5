"""Draft and verify: the result is the target's distribution, counted out, and with the wrong q it is not."""

import math

import pytest
import torch
from matplotlib.figure import Figure

from coursekit.widgets import drafting
from coursekit.widgets.controls import Notice, Page
from coursekit.widgets.drafting import RULES, _run, draft_and_verify, draw_draft, outcome, place

PLAIN, FILTERED, WRONG = RULES
P = torch.tensor([0.5, 0.25, 0.125, 0.125]).double()
OTHER = torch.tensor([0.1, 0.2, 0.3, 0.4]).double()
VOCABULARY = [" the", "\n", "$x_{", "<b>"]
SETTINGS = {"agreement": 0.5, "drafts": 4, "rule": PLAIN, "seed": 0}
BAD = {
    "agreement": [-0.1, 1.1, None, "1", True, math.nan],
    "drafts": [0, 9, 2.5, None, "3", True, math.nan],
    "rule": [None, "", 1, []],
    "seed": [-1, 0.5, None, "0", True, math.nan, 10**9],
}


def draw(p=P, other=OTHER, vocabulary=VOCABULARY, **settings):
    return draw_draft(lambda ids: p, lambda ids: other, vocabulary, **SETTINGS | settings)


def rows(seed, V=6):
    """Distributions that depend on what was drafted before."""

    def chances(ids):
        g = torch.Generator().manual_seed(seed + sum((i + 1) * 7**n for n, i in enumerate(ids)))
        return (2 * torch.randn(V, generator=g, dtype=torch.float64)).softmax(-1)

    return chances


@pytest.mark.parametrize("agreement", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rule", [PLAIN, FILTERED])
def test_the_result_is_the_target_however_good_the_draft(agreement, rule):
    r, _ = outcome(place(P, OTHER, agreement, *RULES[rule]))
    torch.testing.assert_close(r, P)


@pytest.mark.parametrize("agreement", [0.0, 0.3, 1.0])
def test_with_the_wrong_q_it_is_another(agreement):
    r, _ = outcome(place(P, OTHER, agreement, *RULES[WRONG]))
    assert (r - P).abs().sum() / 2 > 0.05


def test_the_result_is_counted_out_over_all_drafts():
    """Once more token by token, from the rule as it is told."""
    at = place(P, OTHER, 0.5, *RULES[WRONG])
    q = 0.5 * P + 0.5 * OTHER
    rest = (P - q).clamp_min(0)
    by_hand = torch.zeros(4, dtype=torch.float64)
    for y in range(4):
        accepts = min(1.0, float(P[y] / q[y]))
        by_hand[y] += at.drawn[y] * accepts
        by_hand += at.drawn[y] * (1 - accepts) * rest / rest.sum()
    torch.testing.assert_close(outcome(at)[0], by_hand)


def test_a_draft_is_accepted_with_the_mass_that_both_share():
    _, accepted = outcome(place(P, OTHER, 0.0, *RULES[PLAIN]))
    assert accepted == pytest.approx(float(torch.minimum(P, OTHER).sum()))


def test_the_filter_leaves_the_two_likeliest():
    assert place(P, OTHER, 1.0, True, True).drawn.tolist() == pytest.approx([2 / 3, 1 / 3, 0, 0])


def test_the_wrong_q_is_not_the_one_that_was_drawn_from():
    at = place(P, OTHER, 1.0, *RULES[WRONG])
    assert (at.checked == P).all()
    assert not (at.drawn == P).all()


def test_a_run_of_perfect_drafts_is_accepted_and_gains_a_token():
    lines, written = _run(lambda ids: place(P, OTHER, 1.0, False, False), 4, 0)
    assert ([line.verdict for line in lines], len(written)) == (["accepted"] * 4, 5)


def test_a_run_ends_with_what_stands_in_for_the_first_rejected_draft():
    p, q = torch.tensor([1.0, 0.0]).double(), torch.tensor([0.0, 1.0]).double()
    lines, written = _run(lambda ids: place(p, q, 0.0, False, False), 3, 0)
    assert ([line.verdict for line in lines], written) == (["rejected", "not looked at", "not looked at"], [0])


@pytest.mark.parametrize("seed", range(10))
def test_accepted_drafts_are_written_as_they_were_drafted(seed):
    target, other = rows(0), rows(1)
    lines, written = _run(lambda ids: place(target(ids), other(ids), 0.5, False, False), 4, seed)
    accepted = [line.token for line in lines if line.verdict == "accepted"]
    assert written[:-1] == accepted


def test_each_draft_is_told_with_the_distributions_behind_those_before_it():
    target, other = rows(0), rows(1)
    lines, _ = _run(lambda ids: place(target(ids), other(ids), 0.0, False, False), 3, 0)
    ids = [line.token for line in lines]
    assert [line.p for line in lines] == [float(target(tuple(ids[:n]))[ids[n]]) for n in range(3)]


@pytest.mark.parametrize("rule", RULES)
def test_the_title_tells_the_total_variation(rule):
    r, _ = outcome(place(P, OTHER, 0.5, *RULES[rule]))
    assert f"target and result: {float((r - P).abs().sum()) / 2:.3f}." in draw(rule=rule).alt


def test_the_tokens_of_a_pass_are_told():
    accepted = outcome(place(P, OTHER, 0.5, *RULES[PLAIN]))[1]
    assert f"; {1 + accepted + accepted**2:.1f} tokens a pass" in draw(drafts=2).alt


def test_the_description_tells_every_bar():
    told = draw(agreement=0).alt
    assert "␣the 50.0%, 10.0%, 50.0%; ↵ 25.0%, 20.0%, 25.0%; $x_{ 12.5%, 30.0%, 12.5%; <b> 12.5%, 40.0%, 12.5%." in told


def test_many_tokens_are_drawn_as_the_likeliest_and_all_others():
    p = torch.full((20,), 0.05)
    alt = draw(p, p, [f"t{i}." for i in range(20)]).alt
    assert "t7. 5.0%, 5.0%, 5.0%; others 60.0%, 60.0%, 60.0%." in alt


def test_all_rules_have_one_scale(monkeypatch):
    tops = []
    monkeypatch.setattr(drafting, "_bars", lambda *given: tops.append(given[-1]) or Figure())
    for rule in RULES:
        draw(rule=rule)
    assert len(set(tops)) == 1


def test_table_and_description_tell_the_same_run():
    drawn = draw(seed=3)
    assert drawn.html.count("<tr>") == 1 + 4
    assert drawn.alt.count(", u 0.") == 4


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("agreement", [0, 1])
@pytest.mark.parametrize("V", [1, 2, 30])
def test_each_figure_can_be_read(rule, agreement, V, monkeypatch):
    monkeypatch.setenv("COURSEKIT_STRICT", "1")
    drawn = draw_draft(rows(0, V), rows(1, V), [" word after word"] * V, agreement, 8, rule, 0)
    assert isinstance(drawn, Page)


def test_no_token_is_parsed():
    found = draw(vocabulary=["<script>", "<b>", '" onload="', "\x00"]).html
    assert [part for part in ("<script>", "<b>", '" onload="', "\x00") if part in found] == []


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_setting_that_does_not_work_is_told(name, value):
    assert isinstance(draw(**{name: value}), Notice)


@pytest.mark.parametrize("bad", [torch.randn(4), torch.ones(4), torch.full((4,), math.nan), torch.ones(5) / 5])
def test_what_is_no_distribution_is_told_with_its_name(bad):
    assert draw(other=bad).text.startswith("other returns")


def test_half_precision_is_a_distribution_too():
    assert isinstance(draw(P.bfloat16(), OTHER.bfloat16()), Page)


def test_a_model_may_keep_its_gradients():
    assert isinstance(draw(P.clone().requires_grad_(), OTHER.clone().requires_grad_()), Page)


def test_the_first_values_are_drawn(monkeypatch):
    shown = {}
    monkeypatch.setattr(drafting, "live", lambda draw, controls: shown.update(draw=draw, controls=controls))
    draft_and_verify(lambda ids: P, lambda ids: OTHER, VOCABULARY)
    first = shown["draw"](**{name: control.value for name, control in shown["controls"].items()})
    assert first == draw()


def test_a_model_is_asked_once_for_each_text(monkeypatch):
    shown, asked = {}, []
    monkeypatch.setattr(drafting, "live", lambda draw, controls: shown.update(draw=draw))
    draft_and_verify(lambda ids: asked.append(ids) or P, lambda ids: OTHER, VOCABULARY)
    shown["draw"](**SETTINGS)
    shown["draw"](**SETTINGS)
    assert len(asked) == len(set(asked))
