"""`predict` and `came_out`: what is asked, what is kept, and what is shown beside the outcome."""

import json
import re

import pytest

from coursekit.beside import TextError, UnknownText
from coursekit.predictions import FORM_LABEL, KEPT, Prediction, all_predictions, came_out, form, keep, predict
from coursekit.record import kept

TOML = r"""
[entropy]
ask = 'How many bits for $8$ equal keys, if `A` is < 1?'
number = 'bits'

[masks]
ask = 'What does the loss do?'
options = ['It falls.', 'It rises.']

[why]
ask = 'Why?'
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in ("COURSEKIT_PROGRESS", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(KEPT, "unsaved", {})
    monkeypatch.setattr(KEPT, "unrecorded", {})
    monkeypatch.setattr(kept, "_said", set())
    texts = tmp_path / "texts"
    (texts / "predictions").mkdir(parents=True)
    (texts / "predictions" / "02_attention.toml").write_text(TOML, encoding="utf-8")
    monkeypatch.setattr("coursekit.beside.FOLDER", texts)
    return tmp_path / "home"


@pytest.fixture
def shown(monkeypatch):
    """What a call displays: the plain texts, joined, and the HTML."""

    def run(show, *arguments):
        texts, html = [], []

        def display(thing, raw=False):
            texts.append(thing["text/plain"] if raw else repr(thing))
            html.append("" if raw else thing._repr_html_())

        monkeypatch.setattr("coursekit.predictions.display", display)
        show(*arguments)
        return " | ".join(texts), "".join(html)

    return run


def asked(name):
    return all_predictions()[f"attention.{name}"]


def test_what_is_asked_for_follows_from_the_keys():
    assert asked("entropy").unit == "bits"
    assert asked("masks").options == ("It falls.", "It rises.")
    assert asked("why") == Prediction("attention.why", "Why?")


def test_the_question_is_shown_without_an_answer_in_it(shown):
    text, html = shown(predict, "attention.entropy")
    assert text.startswith("Predict: How many bits")
    assert "<code>A</code> is &lt; 1" in html


def test_without_a_prediction_what_came_out_is_shown_alone(shown):
    assert shown(came_out, "attention.entropy", 3.0)[0] == "It came out as 3 bits. You have kept no prediction."


@pytest.mark.parametrize(
    ("name", "entered", "outcome", "told"),
    [
        ("entropy", "2.5", 3, "You predicted 2.5 bits. It came out as 3 bits. You were off by 0.5 bits."),
        ("entropy", "2,5 bits", 3, "You predicted 2.5 bits. It came out as 3 bits. You were off by 0.5 bits."),
        ("masks", "It falls.", "It falls.", "You predicted “It falls.”. It came out as “It falls.”. As you said."),
        ("masks", "It falls.", "It rises.", "It came out as “It rises.”. Not what you expected."),
        ("why", " the  sum ", "the sum", "You predicted “the sum”. It came out as “the sum”."),
    ],
)
def test_a_prediction_stands_beside_what_came_out(shown, name, entered, outcome, told):
    keep(asked(name), entered)
    assert shown(came_out, f"attention.{name}", outcome)[0].endswith(told)


@pytest.mark.parametrize(
    ("name", "entered", "told"),
    [
        ("entropy", "many", "found 'many', expected a number (bits)"),
        ("entropy", "inf", "expected a number"),
        ("entropy", "", "expected a number"),
        ("masks", None, "expected one of: It falls. / It rises."),
        ("why", "  ", "there is no text yet"),
    ],
)
def test_what_is_no_answer_is_told_and_not_kept(name, entered, told):
    assert told in keep(asked(name), entered)
    assert KEPT.all() == {}


def test_the_last_prediction_counts_and_survives_a_restart(home, monkeypatch):
    for entered in ("1", "2"):
        keep(asked("entropy"), entered)
    monkeypatch.setattr(KEPT, "unsaved", {})
    assert KEPT.all()["attention.entropy"].value == 2.0
    assert json.loads((home / "predictions.json").read_text())["predictions"]["attention.entropy"]["value"] == 2.0


def test_while_recording_is_off_it_is_known_to_this_kernel_only(home, monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROGRESS", "off")
    keep(asked("entropy"), "1")
    assert KEPT.all()["attention.entropy"].value == 1.0
    assert not (home / "predictions.json").exists()


def test_the_button_keeps_what_the_control_holds():
    control, button, said = form(asked("masks")).children
    control.value = "It rises."
    button.click()
    assert KEPT.all()["attention.masks"].value == "It rises."
    assert "Kept: “It rises.”" in said.value


def test_a_form_shows_again_what_was_kept():
    keep(asked("entropy"), "2.5")
    control, _, said = form(asked("entropy")).children
    assert control.value == "2.5"
    assert "Kept: 2.5 bits" in said.value


def test_a_control_is_named_for_screen_readers_and_news_is_read_out():
    control, _, said = form(asked("why")).children
    assert control.description == FORM_LABEL
    assert 'aria-live="polite"' in said.value


def test_what_is_typed_does_nothing_on_the_page(shown):
    keep(asked("why"), "<script>alert(1)</script>")
    assert "<script>" not in shown(came_out, "attention.why", "x")[1]
    assert "<script>" not in form(asked("why")).children[2].value


def test_an_unknown_id_is_told_with_close_ones():
    with pytest.raises(UnknownText, match=r"no prediction is called 'attention.entropi'; did you mean"):
        predict("attention.entropi")


def test_an_outcome_that_was_no_option_is_refused():
    with pytest.raises(ValueError, match="expected one of"):
        came_out("attention.masks", "It explodes.")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[q]", "expected a text: ask"),
        ("q = 1", "expected a table with ask"),
        ("[q]\nask='?'\nnumber='m'\noptions=['a','b']", "found both"),
        ("[q]\nask='?'\nnumber=1", "expected the unit"),
        ("[q]\nask='?'\noptions=['a']", "two or more different texts"),
        ("[q]\nask='?'\noptions=['a','a']", "two or more different texts"),
        ("[q]\nask='?'\noptions=['a',' ']", "an option is empty"),
        ("[q]\nask='?'\nanswer='a'", "found answer"),
    ],
)
def test_a_malformed_file_is_told_with_its_name(tmp_path, text, message):
    (tmp_path / "02_attention.toml").write_text(text)
    with pytest.raises(TextError, match=re.escape(message)) as told:
        all_predictions(tmp_path)
    assert "02_attention.toml" in str(told.value)


@pytest.mark.parametrize(
    "entry", [1, {}, {"value": True, "time": ""}, {"value": [1], "time": ""}, {"value": 1, "time": 2}]
)
def test_a_damaged_entry_is_set_aside_and_the_others_stay(home, monkeypatch, entry, capsys):
    keep(asked("entropy"), "2")
    path = home / "predictions.json"
    content = json.loads(path.read_text())
    content["predictions"]["attention.why"] = entry
    path.write_text(json.dumps(content))
    assert [*KEPT.all()] == ["attention.entropy"]
    assert "could not be read in full" in capsys.readouterr().out
