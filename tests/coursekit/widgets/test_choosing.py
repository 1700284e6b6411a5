"""Sampler: what stays is what transformers' own warpers leave, and the picture's description tells it."""

import math

import pytest
import torch
from transformers import (
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from coursekit.figures import Picture
from coursekit.widgets import choosing
from coursekit.widgets.choosing import _kept, draw_sampler, sampler
from coursekit.widgets.controls import Notice

P = torch.tensor([0.4, 0.3, 0.2, 0.1]).double()
VOCABULARY = [" the", "\n", "$x_{", "<b>"]
OFF = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "seed": 0}
BAD = {
    "temperature": [0, -1, None, "hot", math.nan, math.inf, 1e6, True],
    "top_k": [None, -1, 2.5, "3", True, math.nan, 10**9],
    "top_p": [0, -0.1, 1.1, None, "1", True, math.nan],
    "min_p": [-0.1, 1.1, None, "0", True, math.nan],
    "seed": [-1, 0.5, None, "0", True, math.nan, 10**9],
}


def draw(p=P, vocabulary=VOCABULARY, text="We", **settings):
    return draw_sampler(lambda text: p.log(), vocabulary, text, **OFF | settings)


def warped(logits, temperature, top_k, top_p, min_p):
    """The distribution after transformers' warpers in the same order."""
    warpers = [TemperatureLogitsWarper(temperature), TopPLogitsWarper(top_p), MinPLogitsWarper(min_p)]
    if top_k:
        warpers.insert(1, TopKLogitsWarper(top_k))
    for warper in warpers:
        logits = warper(None, logits)
    return logits.softmax(-1)


@pytest.mark.parametrize("temperature", [0.5, 1.7])
@pytest.mark.parametrize("top_k", [0, 1, 7, 1000])
@pytest.mark.parametrize("top_p", [0.3, 0.95, 1.0])
@pytest.mark.parametrize("min_p", [0.0, 0.1])
def test_what_stays_is_what_transformers_leaves(temperature, top_k, top_p, min_p):
    logits = 3 * torch.randn(20, 60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for z, q in zip(logits, warped(logits, temperature, top_k, top_p, min_p), strict=True):
        assert torch.equal(_kept((z / temperature).softmax(-1), top_k, top_p, min_p), q > 0)


def test_all_that_tie_with_the_kth_stay():
    assert _kept(torch.tensor([0.2, 0.4, 0.2, 0.2]), 2, 1.0, 0.0).all()


@pytest.mark.parametrize(("top_p", "stay"), [(0.39, 1), (0.41, 2), (0.71, 3), (1e-9, 1)])
def test_the_token_that_crosses_p_stays(top_p, stay):
    assert _kept(P, 0, top_p, 0.0).tolist() == [i < stay for i in range(4)]


def test_top_p_counts_over_what_top_k_left():
    assert _kept(P, 2, 0.55, 0.0).sum() == 1  # 0.4 of 0.7 is 57%


def test_min_p_is_a_share_of_the_largest():
    assert _kept(P, 0, 1.0, 0.5).tolist() == [True, True, True, False]


def test_the_description_tells_number_and_mass():
    assert "2 of 4 tokens stay, which hold 70.0% of the probability." in draw(top_k=2).alt


def test_the_description_tells_each_bar_and_what_is_removed():
    assert "␣the 40.0%, ↵ 30.0%, $x_{ 20.0% (removed), <b> 10.0% (removed)." in draw(top_k=2).alt


def test_temperature_divides_the_logits():
    assert "␣the 53.3%" in draw(temperature=0.5).alt  # 0.16 of 0.30


def test_only_what_stays_is_drawn():
    assert {choosing.visible(" the")} == {
        token for seed in range(20) for token in draw(top_k=1, seed=seed).alt.split(": ")[1].split(". ")[0].split(", ")
    }


def test_a_seed_draws_the_same_again():
    assert draw(seed=3) == draw(seed=3)


def test_another_seed_draws_others():
    assert len({draw(seed=seed).alt for seed in range(5)}) > 1


def test_only_the_likeliest_are_shown():
    p = torch.arange(1.0, 201.0)
    alt = draw(p / p.sum(), [f"t{i}." for i in range(200)]).alt
    assert ("t170." in alt.split("likeliest")[1], "t169." in alt.split("likeliest")[1]) == (True, False)


@pytest.mark.parametrize("V", [1, 2, 31])
def test_every_size_of_vocabulary_is_drawn_so_that_it_can_be_read(V, monkeypatch):
    monkeypatch.setenv("COURSEKIT_STRICT", "1")
    assert isinstance(draw(torch.full((V,), 1 / V), [" word"] * V), Picture)


def test_logits_may_be_of_half_precision_and_hold_tokens_that_never_come():
    logits = torch.tensor([0.0, -math.inf, -math.inf, -math.inf], dtype=torch.bfloat16)
    assert isinstance(draw_sampler(lambda text: logits, VOCABULARY, "We", **OFF), Picture)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_setting_that_does_not_work_is_told(name, value):
    told = draw(**{name: value})
    assert isinstance(told, Notice)
    assert name.replace("_", "-") in told.text


@pytest.mark.parametrize("text", ["", "  ", None, 7, "x" * 500])
def test_a_text_that_cannot_be_read_is_told(text):
    assert isinstance(draw(text=text), Notice)


def test_logits_may_keep_their_gradients():
    assert isinstance(draw(P.clone().requires_grad_()), Picture)


def test_a_space_at_the_end_is_given_to_the_model():
    asked = []
    draw_sampler(lambda text: asked.append(text) or P.log(), VOCABULARY, "We ", **OFF)
    assert asked == ["We "]


def test_what_the_model_refuses_is_told():
    def refuse(text):
        raise ValueError("the text has 99 tokens; the model reads at most 31")

    assert draw_sampler(refuse, VOCABULARY, "We", **OFF).text == "The text has 99 tokens; the model reads at most 31."


@pytest.mark.parametrize("logits", [torch.full((4,), math.nan), torch.zeros(5)])
def test_logits_that_say_nothing_are_told(logits):
    assert isinstance(draw_sampler(lambda text: logits, VOCABULARY, "We", **OFF), Notice)


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "$\\foo{$ 你好", "a\x00b", '" onload="x'])
def test_what_is_typed_is_shown_and_never_run(text):
    html = draw(text=text)._repr_mimebundle_()["text/html"]
    assert [part for part in ("<script>", "<b>", '" onload') if part in html] == []


def test_the_first_values_give_a_picture(monkeypatch):
    shown = {}
    monkeypatch.setattr(choosing, "live", lambda draw, controls: shown.update(draw=draw, controls=controls))
    sampler(lambda text: P.log(), VOCABULARY)
    assert isinstance(shown["draw"](**{name: control.value for name, control in shown["controls"].items()}), Picture)
