"""Samples against steps: each checkpoint's texts stand beside its loss, and what the model wrote is never parsed."""

import math

import pytest

from coursekit.widgets import checkpoints
from coursekit.widgets.checkpoints import draw_checkpoint, samples_by_step
from coursekit.widgets.controls import Notice, Page

STEPS = (0, 10, 250)
PROMPTS = ("We", "We must")
CURVE = [
    {"step": 0, "loss": 8.03, "training": 0.0, "bits_per_byte": 3.61},
    {"step": 10, "loss": 5.25, "training": 5.5, "bits_per_byte": 2.36},
    {"step": 250, "loss": 6.5, "training": 4.125, "bits_per_byte": 2.92},
]
SAMPLES = [{"step": step, "texts": [f"We must, at {step}", "The whale\n  swam"]} for step in STEPS]


def draw(step=10, curve=CURVE, samples=SAMPLES, prompts=PROMPTS):
    return draw_checkpoint(curve, samples, prompts, step)


def written(text, prompts=()):
    return draw(10, samples=[{"step": 10, "texts": [text]}], prompts=prompts).html


@pytest.mark.parametrize("step", STEPS)
def test_every_checkpoint_has_its_texts(step):
    drawn = draw(step)
    assert f"at {step}<" in drawn.html
    assert f"at {step}”" in drawn.alt


def test_the_description_tells_the_losses_and_where_they_were_lowest():
    assert (
        "that of held-out text is 6.50 nats a token, 2.92 bits a byte, in training 4.12; the lowest is 5.25 at step 10."
    ) in draw(250).alt


def test_before_the_first_step_there_is_no_training_loss():
    assert "in training" not in draw(0).alt


def test_the_point_is_where_the_checkpoint_is():
    fig = checkpoints._losses(CURVE, 10, "")
    assert fig.axes[0].lines[-1].get_xydata().tolist() == [[10, 5.25]]


def test_the_training_loss_is_drawn_from_the_first_step_on():
    fig = checkpoints._losses(CURVE, 10, "")
    assert fig.axes[0].lines[1].get_xydata().tolist() == [[10, 5.5], [250, 4.125]]


def test_the_longest_prompt_is_set_apart():
    assert "<b>We must</b>, at 10" in draw().html


def test_a_text_without_its_prompt_is_whole():
    assert "<bdi>The whale\n  swam</bdi>" in draw().html


def test_a_text_that_is_its_prompt_has_nothing_behind_it():
    assert "<bdi><b>We must</b></bdi>" in written("We must", PROMPTS)


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "<b>", "</blockquote><i>"])
def test_what_the_model_wrote_is_never_parsed(text):
    assert text not in written(text)


@pytest.mark.parametrize(("text", "shown"), [("\x07", "⟨U+0007⟩"), ("\u202eabc", "⟨U+202E⟩abc"), ("$x_{", "$x_{")])
def test_what_would_not_be_seen_has_a_sign(text, shown):
    assert f"<bdi>{shown}</bdi>" in written(text)


@pytest.mark.parametrize("step", STEPS)
def test_each_figure_can_be_read(step, monkeypatch):
    monkeypatch.setenv("COURSEKIT_STRICT", "1")
    assert isinstance(draw(step), Page)


@pytest.mark.parametrize("step", [None, "10", -1, 7, 10.5, True, math.nan, [10]])
def test_a_step_without_a_checkpoint_is_told_with_those_there_are(step):
    told = draw(step)
    assert isinstance(told, Notice)
    assert "0, 10, 250" in told.text


def test_a_checkpoint_needs_a_loss_and_texts():
    assert "choose one of 0, 10." in draw(250, curve=CURVE[:2]).text


def test_the_last_checkpoint_is_drawn_at_first(monkeypatch):
    shown = {}
    monkeypatch.setattr(checkpoints, "live", lambda draw, controls: shown.update(draw=draw, controls=controls))
    samples_by_step(CURVE, SAMPLES, PROMPTS)
    assert shown["draw"](**{name: control.value for name, control in shown["controls"].items()}) == draw(250)
