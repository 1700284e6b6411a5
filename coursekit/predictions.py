"""Predictions: what a learner expects is kept before a cell is run, and shown beside what came out.

`attention.entropy` is the table `[entropy]` of `texts/predictions/NN_attention.toml`. What is asked for follows from
its keys: a number in a unit, one of some options, or a line of text.

    [entropy]
    ask = 'How many bits of entropy have the weights of a query on 8 equal keys?'
    number = 'bits'

    [masks]
    ask = 'What happens to the loss when the mask is left out?'
    options = ['It falls.', 'It rises.', 'It stays.']

    [why]
    ask = 'Why? In one line.'
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets
from IPython.display import display

from coursekit.beside import entries, expect, expect_keys, is_text, marked_up, unknown
from coursekit.language import translated
from coursekit.quizzes import LINE
from coursekit.record.kept import Kept, now
from coursekit.widgets.controls import WITHOUT_KERNEL

LONGEST = 400  # characters of a line of text
_BOX = f"max-width: 46em; border: 1px solid {LINE}; border-radius: 6px; margin: 8px 0; padding: 10px 12px"
FORM_LABEL = "your prediction"
Value = float | str


@dataclass(frozen=True)
class Prediction:
    """What is asked before a run. `unit` is None where no number is asked for; without options a line of text is.

    Options are kept, and named by a chapter's cells, in English; they are shown in the learner's language.
    """

    id: str
    ask: str
    unit: str | None = None
    options: tuple[str, ...] = ()

    def told(self, value: Value) -> str:
        """A value in words: with its unit, or in quotation marks."""
        if isinstance(value, str):
            return f"\u201c{translated(value) if self.options else value}\u201d"
        return f"{value:.6g} {translated(self.unit or '')}".rstrip()

    def distance(self, value: float) -> str:
        """How far a prediction lies off: shares in percent lie percentage points apart."""
        return translated(f"{value:.6g} percentage points") if self.unit == "%" else self.told(value)


@dataclass(frozen=True)
class Made:
    """What a learner predicted, and when (UTC)."""

    value: Value
    time: str


KEPT: Kept[Made] = Kept(
    "predictions",
    "predictions",
    "Predictions are",
    read=lambda entry: _made(entry),
    write=lambda made: {"value": made.value, "time": made.time},
    then=lambda earlier, later: later,
)


def predict(prediction_id: str) -> None:
    """Show the question with a form for the answer, which is kept with the progress; never waits for it.

    Raises UnknownText, or TextError for a malformed file.
    """
    asked = _find(prediction_id)
    display(_Asked(asked))
    display(form(asked)._repr_mimebundle_() | {"text/plain": translated(WITHOUT_KERNEL)}, raw=True)


def came_out(prediction_id: str, value: Any) -> None:
    """Show what a learner predicted beside `value`, what came out: a number, one of the options, or a text.

    Raises UnknownText; ValueError where the value is no answer to what was asked.
    """
    asked = _find(prediction_id)
    display(_Shown(asked, KEPT.all().get(prediction_id), _answer(asked, value)))


def all_predictions(folder: Path | None = None) -> dict[str, Prediction]:
    """Every question by id. Raises TextError."""
    return {id: _prediction(id, table, where) for id, table, where in entries("predictions", folder)}


def keep(asked: Prediction, value: Any) -> str:
    """Keep what a learner entered; the sentence that says so, or what is wrong with it."""
    try:
        answer = _answer(asked, value)
    except ValueError as wrong:
        return translated(str(wrong))
    KEPT.add(asked.id, Made(answer, now()))
    return _kept(asked, answer) + " " + translated("Run on, and see what comes out.")


@dataclass(frozen=True)
class _Asked:
    """The question without a kernel: as HTML and as text."""

    asked: Prediction

    def __repr__(self) -> str:
        ask = f"{translated('Predict')}: {self.asked.ask}"
        return "\n".join((ask, *(f"  - {translated(option)}" for option in self.asked.options)))

    def _repr_html_(self) -> str:
        label, word = escape(translated("Prediction")), escape(translated("Predict"))
        ask = f'<p style="margin: 0"><strong>{word}.</strong> {marked_up(self.asked.ask)}</p>'
        return f'<div role="group" aria-label="{label}" style="{_BOX}">{ask}</div>'


@dataclass(frozen=True)
class _Shown:
    """A prediction beside what came out."""

    asked: Prediction
    made: Made | None
    answer: Value

    def __repr__(self) -> str:
        return " ".join(self._sentences())

    def _repr_html_(self) -> str:
        return f'<div role="status" style="{_BOX}">{" ".join(map(escape, self._sentences()))}</div>'

    def _sentences(self) -> tuple[str, ...]:
        told, mine = self.asked.told, self.made.value if self.made else ""
        out = translated(f"It came out as {told(self.answer)!s}.")
        if not self.made:
            return out, translated("You have kept no prediction.")
        before = translated(f"You predicted {told(mine)!s}.")
        if isinstance(mine, float) and isinstance(self.answer, float):
            return before, out, translated(f"You were off by {self.asked.distance(abs(mine - self.answer))!s}.")
        if self.asked.options:
            return before, out, translated("As you said." if mine == self.answer else "Not what you expected.")
        return before, out


def form(asked: Prediction) -> ipywidgets.VBox:
    """A control for the answer, a button, and a line that says what is kept."""
    made = KEPT.all().get(asked.id)
    control = _control(asked, made.value if made else None)
    button = ipywidgets.Button(description=translated("Keep my prediction"), layout=ipywidgets.Layout(width="14em"))
    said = ipywidgets.HTML(_said(_kept(asked, made.value) if made else ""))

    def kept(_: Any) -> None:
        said.value = _said(keep(asked, control.value))

    button.on_click(kept)
    return ipywidgets.VBox([control, button, said])


def _control(asked: Prediction, value: Value | None) -> Any:
    wide = ipywidgets.Layout(width="34em")
    look = {"style": {"description_width": "9em"}, "layout": wide, "description": translated(FORM_LABEL)}
    if asked.options:
        options = [(translated(option), option) for option in asked.options]
        return ipywidgets.RadioButtons(options=options, value=value if value in asked.options else None, **look)
    return ipywidgets.Text("" if value is None else f"{value:g}" if isinstance(value, float) else value, **look)


def _kept(asked: Prediction, value: Value) -> str:
    return translated(f"Kept: {asked.told(value)!s}.")


def _said(sentence: str) -> str:
    return f'<span role="status" aria-live="polite">{escape(sentence)}</span>'


def _find(prediction_id: str) -> Prediction:
    known = all_predictions()
    if prediction_id not in known:
        raise unknown(prediction_id, known, "prediction")
    return known[prediction_id]


def _answer(asked: Prediction, value: Any) -> Value:
    """The value as it is kept. Raises ValueError with a sentence for the learner."""
    if asked.options:
        if value not in asked.options:
            raise ValueError(f"found {value!r}, expected one of: {' / '.join(asked.options)}")
        return str(value)
    if asked.unit is None:
        text = " ".join(str(value).split())[:LONGEST]
        if not text:
            raise ValueError("there is no text yet: write a few words")
        return text
    try:
        number = float(str(value).strip().removesuffix(asked.unit).strip().removesuffix("%").replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"found {str(value)[:40]!r}, expected a number{f' ({asked.unit})' if asked.unit else ''}")
    return number


def _prediction(id: str, table: Any, where: str) -> Prediction:
    expect(isinstance(table, dict), where, "expected a table with ask")
    expect_keys(table, {"ask", "number", "options"}, where)
    expect(is_text(table.get("ask")), where, "expected a text: ask = ...")
    expect(not {"number", "options"} <= table.keys(), where, "expected a number or options, found both")
    options, unit = table.get("options", ["", " "]), table.get("number", "")
    expect(isinstance(unit, str), where, "expected the unit of the number: number = 'bits', or ''")
    texts = isinstance(options, list) and all(isinstance(option, str) for option in options)
    expect(texts and len({*options}) == len(options) >= 2, where, "expected options: two or more different texts")
    given = tuple(table.get("options", ()))
    expect(all(map(is_text, given)), where, "an option is empty")
    return Prediction(id, translated(table["ask"].strip()), table.get("number"), given)


def _made(entry: Any) -> Made | None:
    if not isinstance(entry, dict) or entry.keys() != {"value", "time"} or not isinstance(entry["time"], str):
        return None
    value = entry["value"]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    if isinstance(value, str):
        return Made(value, entry["time"]) if len(value) <= LONGEST else None
    return Made(float(value), entry["time"]) if math.isfinite(value) else None
