"""Memory planner: activations are those of the papers' equations, all else the library's, and the sentence is true."""

import math
import sys

import pytest

from coursekit.figures import STRICT
from coursekit.widgets import memory_planner
from coursekit.widgets.controls import Notice, Page
from coursekit.widgets.memory_planner import (
    LIMITS,
    MODELS,
    OWN,
    Model,
    Plan,
    activation_bytes,
    by_stage,
    draw_plan,
    model_of,
    plan_memory,
)

SETTINGS = {"model": "LLaMA 7B", "billions": 7.0, "stage": 0, "n": 8, "t": 1, "p": 1, "s": 4096, "b": 1}
MODEL = Model(P=12_000_000, L=4, D=512, heads=8)
PLAN = Plan(n=8, t=1, p=1, s=1024, b=2, flash=False, again=False)
SBH = 1024 * 2 * 512
BAD_COUNTS = [None, "", "8", 0, -1, 2.5, True, math.nan, math.inf, [8]]
BAD = {
    "model": [None, "", "GPT-5", 7, []],
    "billions": [None, "", "7", 0, -1, True, math.nan, math.inf, 1000],
    "stage": [None, "", "1", -1, 4, 1.5, True, math.nan],
} | {name: [*BAD_COUNTS, most + 1] for name, most in LIMITS.items()}


def draw(**settings):
    return draw_plan(**SETTINGS | settings)


def plan(**changed):
    return Plan(**vars(PLAN) | changed)


def activations(**changed):
    return activation_bytes(MODEL, plan(**changed))


def given(P, n, stage, master, activations):
    """What the planner asks of the library, in place of an answer."""
    return {"P": P, "n": n, "stage": stage, "master": master, "activations": activations}


def test_a_layer_holds_what_equation_1_says():
    assert activations() == pytest.approx(4 * SBH * (34 + 5 * 8 * 1024 / 512))


def test_with_tensor_parallelism_a_layer_holds_what_equation_2_says():
    assert activations(t=4) == pytest.approx(4 * SBH * (10 + 24 / 4 + 5 * 8 * 1024 / (512 * 4)))


def test_flash_attention_never_keeps_the_scores():
    assert activations(flash=True) == pytest.approx(4 * SBH * 34)


def test_computed_again_inputs_of_layers_stay_and_one_layer_at_a_time():
    one = SBH * (34 + 5 * 8 * 1024 / 512)
    assert activations(again=True) == pytest.approx(4 * 2 * SBH + one)


@pytest.mark.parametrize("changed", [{"p": 4}, {"n": 64}])
def test_neither_stages_of_a_pipeline_nor_copies_change_activations(changed):
    assert activations(**changed) == activations()


def test_the_scores_of_gpt_3_take_what_the_paper_says():
    """Korthikanti et al. 2022, section 5: 5 a s / h is 80 for GPT-3, with 96 heads, 2,048 tokens, 12,288 wide."""
    gpt_3 = Model(1, 1, 12288, 96)
    kept, flash = (activation_bytes(gpt_3, Plan(1, 1, 1, 2048, 1, never, False)) for never in (False, True))
    assert (kept - flash) / (2048 * 12288) == pytest.approx(80)


@pytest.mark.parametrize("billions", [0.1, 1, 7, 70, 500])
def test_a_size_of_ones_own_has_the_layers_of_the_formula(billions):
    found = model_of(billions)
    formula = 12 * found.L * found.D**2
    assert formula == pytest.approx(found.P, rel=0.2)
    assert (found.D, found.heads) == (128 * found.L, found.L)


@pytest.mark.parametrize("name", MODELS)
def test_heads_of_each_model_divide_its_width(name):
    assert MODELS[name].D % MODELS[name].heads == 0


def test_the_library_is_asked_for_the_parameters_of_one_gpu():
    rows = by_stage(given, MODEL, plan(t=2, p=2))
    assert [row["P"] for row in rows] == [3_000_000] * 4
    assert [row["stage"] for row in rows] == [0, 1, 2, 3]


def test_the_library_is_asked_with_master_weights_and_whole_bytes():
    (row, *_) = by_stage(given, MODEL, PLAN)
    assert (row["n"], row["master"], type(row["activations"])) == (8, True, int)


def test_parameters_that_do_not_divide_are_rounded_up():
    assert by_stage(given, Model(10, 4, 512, 8), plan(t=3))[0]["P"] == 4


def test_a_plan_that_fits_is_told_with_what_is_left():
    told = draw(stage=2).alt
    assert "It fits: 43 GB on a GPU, which leaves 37 of 80 GB" in told
    assert "The largest part is activations, 18 GB." in told


def test_a_plan_that_does_not_fit_is_told_with_what_is_too_much():
    told = draw(stage=0).alt
    assert "It does not fit: 125 GB on a GPU, 45 more than 80 GB" in told
    assert "The largest part is optimiser, 80 GB." in told


def test_each_stage_is_told():
    told = draw().alt
    assert "stage 1: weights 13, gradients 13, optimiser 10, activations 18;" in told
    assert "stage 3: weights 1.7, gradients 1.7, optimiser 10, activations 18." in told


def test_all_gpus_are_counted():
    assert "n t p = 8 × 4 × 2 = 64." in draw(t=4, p=2).alt


def test_it_is_told_that_a_pipeline_does_not_lower_activations():
    assert "the first one holds those of 4 micro-batches at once" in draw(p=4).html


def test_the_model_is_told():
    assert "405 billion parameters, 126 layers, 16,384 wide, 128 heads" in draw(model="Llama 3 405B").alt


def test_a_size_of_ones_own_is_drawn():
    assert "13 billion parameters, 40 layers, 5,120 wide" in draw(model=OWN, billions=13).alt


@pytest.mark.parametrize(
    "changed", [{"model": OWN, "billions": 0.1, "p": 16}, {"model": OWN, "billions": 0.1, "t": 16}]
)
def test_a_model_that_cannot_be_cut_so_often_is_told(changed):
    assert "8 layers with 8 heads cannot be cut" in draw(**changed).text


def test_without_the_library_there_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "coursekit.library.distributed.training_bytes", None)
    assert "not here while an answer is graded" in draw().text


@pytest.mark.parametrize("stage", range(4))
@pytest.mark.parametrize("model", [OWN, "TinyLlama 1.1B", "Llama 3 405B"])
@pytest.mark.parametrize("n", [1, 64])
def test_each_figure_can_be_read(stage, model, n, monkeypatch):
    monkeypatch.setenv(STRICT, "1")
    assert isinstance(draw(stage=stage, model=model, n=n, billions=0.1), Page)


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_setting_that_does_not_work_is_told(name, value):
    assert isinstance(draw(**{name: value}), Notice)


def controls(monkeypatch):
    shown = {}
    monkeypatch.setattr(memory_planner, "live", lambda draw, controls: shown.update(controls))
    plan_memory()
    return shown


def test_the_first_values_are_drawn(monkeypatch):
    assert draw_plan(**{name: control.value for name, control in controls(monkeypatch).items()}) == draw(stage=0)


def test_each_model_on_offer_is_drawn(monkeypatch):
    values = [value for _, value in controls(monkeypatch)["model"].options]
    assert values == [OWN, *MODELS]
    assert all(isinstance(draw(model=value), Page) for value in values)


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("end", [0, -1])
def test_both_ends_of_every_slider_are_drawn(name, end, monkeypatch):
    value = controls(monkeypatch)[name].options[end][1]
    assert isinstance(draw(**{name: value}), Page)


@pytest.mark.parametrize("exponent", ["min", "max"])
def test_both_ends_of_the_size_are_drawn(exponent, monkeypatch):
    value = 10 ** getattr(controls(monkeypatch)["billions"], exponent)
    assert isinstance(draw(model=OWN, billions=value), Page)
