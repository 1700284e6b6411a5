"""Controls that redraw a figure; without a kernel the first figure stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

import ipywidgets
from IPython.display import display

from coursekit.language import translated

WITHOUT_KERNEL = "The controls appear when you run this cell."


class Shown(Protocol):
    """What a notebook displays, with a text for whoever cannot see it: a Picture, Heads, a Page, a Notice."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]: ...


@dataclass(frozen=True)
class Page:
    """HTML, every text in it translated and escaped; `alt` tells the same."""

    html: str
    alt: str

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html, "text/plain": self.alt}


@dataclass(frozen=True)
class Notice:
    """What a widget says where it cannot draw: what was found, and what to enter instead."""

    text: str

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        told = translated(self.text)
        return {"text/html": f'<p role="status">{escape(told)}</p>', "text/plain": told}


def refusal(error: ValueError) -> Notice:
    """What a model's own function says of a text that it does not read, as a sentence."""
    said = str(error)
    return Notice(said[:1].upper() + said[1:] + ".")


def live(draw: Callable[..., Shown], controls: dict[str, ipywidgets.ValueWidget]) -> None:
    """Display `draw` of the controls' first values, and draw again in the same place whenever one changes."""

    def drawn() -> Shown:
        return draw(**{name: control.value for name, control in controls.items()})

    picture = display(drawn(), display_id=True)
    for control in controls.values():
        control.observe(lambda _: picture.update(drawn()), names="value")
    bundle = ipywidgets.VBox(list(controls.values()))._repr_mimebundle_()
    display(bundle | {"text/plain": translated(WITHOUT_KERNEL)}, raw=True)


def labelled(description: str, **options: Any) -> dict[str, Any]:
    """Options for a control whose description is never cut off and which redraws when it is let go."""
    wide = ipywidgets.Layout(width="37em")
    return {"description": translated(description), "style": {"description_width": "12em"}, "layout": wide, **options}


def number(value: Any, low: float, high: float) -> bool:
    """Whether `value` is a number from `low` to `high`. True and False are not numbers, and NaN lies nowhere."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def whole(value: Any) -> int | None:
    """`value` as an int where it is a whole number, else None. True and False are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value)
