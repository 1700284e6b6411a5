"""Each widget draws at once, draws again when a control moves, and answers bad values with a sentence."""

import re

import ipywidgets
import pytest
import torch

from coursekit.figures import Picture
from coursekit.widgets import controls as live_module
from coursekit.widgets.controls import Notice, live, whole
from coursekit.widgets.explorer import LONGEST, at_temperature, draw_attention
from coursekit.widgets.rotary import draw_rotary, rotary_frequencies, wavelengths
from coursekit.widgets.scale import DIVISORS, WIDTHS, draw_scale, scale_entropy, weights

BAD_NUMBERS = [None, "8", "", -1, 2.5, True, float("nan"), float("inf"), [1], 10**9]


def read(sentence):
    """A stand-in for the encoder: 2 layers of 3 heads."""
    tokens = ["[CLS]", *sentence.split(), "[SEP]"]
    g = torch.Generator().manual_seed(0)
    return tokens, torch.randn(2, 3, len(tokens), len(tokens), generator=g).softmax(-1)


def explore(sentence="the keys are lost", layer=0, temperature=1.0):
    return draw_attention(read, sentence, layer, temperature)


@pytest.mark.parametrize("layer", [0, 1])
def test_the_explorer_draws_all_heads_of_every_layer(layer):
    drawn = explore(layer=layer)
    assert f"layer {layer}" in drawn.alt
    assert drawn.html().count("<label") == drawn.html().count("<table") == 3


def test_one_head_is_open_and_each_can_be_chosen_by_keyboard():
    html = explore().html()
    assert html.count('type="radio"') == 3
    assert html.count(" checked") == 1
    assert re.findall(r'aria-label="Head (\d)', html) == ["0", "1", "2"]


def test_each_weight_stands_on_hover():
    drawn = explore()
    titles = re.findall(r'<td class="c\d+" title="(.*?)"', drawn.html())
    assert len(titles) == 3 * 6 * 6
    assert titles[1] == f"[CLS] to the: {drawn.A[0, 0, 1]:.2f}"


def test_two_views_on_one_page_do_not_share_their_buttons():
    names = [re.search(r'name="(.*?)"', explore(layer=layer).html())[1] for layer in (0, 1)]
    assert names[0] != names[1]


@pytest.mark.parametrize("sentence", ["", "   ", "\n", None, 7, ["a"]])
def test_an_empty_sentence_is_told(sentence):
    assert "empty" in explore(sentence).text


def test_a_sentence_with_too_many_characters_is_told_with_the_limit():
    drawn = explore("x" * (LONGEST + 1))
    assert isinstance(drawn, Notice)
    assert str(LONGEST) in drawn.text


def test_a_sentence_with_too_many_tokens_is_told_with_both_numbers():
    assert "52 tokens" in explore("a " * 50).text


@pytest.mark.parametrize("value", [*BAD_NUMBERS, 3])
def test_an_unknown_layer_is_told_with_the_range(value):
    drawn = explore(layer=value)
    assert isinstance(drawn, Notice)
    assert drawn.text.startswith("There is no layer")


@pytest.mark.parametrize("temperature", [0, -1, None, "hot", float("nan"), float("inf"), 1e6, True])
def test_a_temperature_that_does_not_work_is_told(temperature):
    assert "temperature" in explore(temperature=temperature).text


@pytest.mark.parametrize("markup", ["<script>alert(1)</script>", 'say "hi" & go', "$\\foo{$ 你好 🙂"])
def test_what_a_learner_types_is_shown_and_never_run(markup):
    assert "<script>" not in explore(markup)._repr_mimebundle_()["text/html"]


def test_temperature_divides_the_scores():
    Z = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(at_temperature(Z.softmax(-1), 0.5), (Z / 0.5).softmax(-1))


def test_weights_of_zero_survive_every_temperature():
    A = torch.tensor([[1.0, 0.0, 0.0]])
    assert all(at_temperature(A, t).isfinite().all() for t in (0.05, 1.0, 20.0))


@pytest.mark.parametrize("divisor", DIVISORS)
@pytest.mark.parametrize("d", [1, 2.0, 64, 4096])
def test_the_scale_is_drawn_for_every_width_and_divisor(d, divisor):
    assert isinstance(draw_scale(d, divisor), Picture)


@pytest.mark.parametrize("d", [*BAD_NUMBERS, 0])
def test_a_head_width_that_does_not_work_is_told(d):
    assert isinstance(draw_scale(d), Notice)


@pytest.mark.parametrize("divisor", [None, "", "d^2", 1, []])
def test_an_unknown_divisor_is_told_with_those_on_offer(divisor):
    assert "√d" in draw_scale(64, divisor).text


def test_without_the_scale_wide_heads_look_at_one_key():
    assert weights(4096, 0.0).amax(-1).mean() > 0.9 > 0.5 > weights(4096, 0.5).amax(-1).mean()


@pytest.mark.parametrize(
    ("base", "d", "context"), [(2.0, 2, 1), (10_000, 64, 8192), (1e9, 512, 2**20), (100.0, 16, 128)]
)
def test_rotary_frequencies_are_drawn_at_both_ends_of_the_range(base, d, context):
    assert isinstance(draw_rotary(base, d, context), Picture)


@pytest.mark.parametrize("value", [v for v in BAD_NUMBERS if v != 10**9] + [0, 1])
def test_a_rotary_width_that_does_not_work_is_told(value):
    assert "even number" in draw_rotary(10_000.0, value, 8192).text


@pytest.mark.parametrize("base", [None, "10000", 0, -5, float("nan"), float("inf"), True])
def test_a_rotary_base_that_does_not_work_is_told(base):
    assert "base" in draw_rotary(base, 64, 8192).text


@pytest.mark.parametrize("context", [*BAD_NUMBERS, 0])
def test_a_context_that_does_not_work_is_told(context):
    assert "context" in draw_rotary(10_000.0, 64, context).text


def test_wavelengths_run_from_one_turn_in_2_pi_tokens():
    torch.testing.assert_close(wavelengths(10_000.0, 4), 2 * torch.pi * torch.tensor([1.0, 100.0], dtype=torch.float64))


class Handle:
    """What IPython gives back for a displayed picture, remembering every update."""

    def __init__(self):
        self.updates = []

    def update(self, picture):
        self.updates.append(picture)


@pytest.fixture
def displayed(monkeypatch):
    """Everything that is displayed, in order; the first picture's handle comes last."""
    shown, handle = [], Handle()

    def display(x, **options):
        shown.append(x)
        return handle if options.get("display_id") else None

    monkeypatch.setattr(live_module, "display", display)
    return shown, handle


def test_a_widget_draws_before_any_control_is_moved(displayed):
    shown, _ = displayed
    live(lambda d: Notice(f"d is {d}"), {"d": ipywidgets.IntSlider(3)})
    assert shown[0] == Notice("d is 3")


def test_moving_a_control_redraws_in_the_same_place(displayed):
    _, handle = displayed
    slider = ipywidgets.IntSlider(3)
    live(lambda d: Notice(f"d is {d}"), {"d": slider})
    slider.value = 5
    assert handle.updates == [Notice("d is 5")]


@pytest.mark.parametrize("widget", [scale_entropy, rotary_frequencies])
def test_the_first_values_of_every_widget_give_a_picture(displayed, widget):
    shown, _ = displayed
    widget()
    assert isinstance(shown[0], Picture)
    assert shown[1]["text/plain"] == live_module.WITHOUT_KERNEL


@pytest.mark.parametrize(
    ("value", "found"), [(3, 3), (3.0, 3), (2.5, None), (True, None), ("3", None), (float("nan"), None)]
)
def test_whole_numbers_are_recognised(value, found):
    assert whole(value) == found


def test_every_width_on_the_slider_can_be_drawn():
    assert all(whole(d) == d and 1 <= d <= 4096 for d in WIDTHS)
