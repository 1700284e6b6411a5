"""Controls that redraw a figure; without a kernel the first figure stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets
from IPython.display import display

from coursekit.figures import Picture
from coursekit.language import translated
from coursekit.widgets.heads import Heads

WITHOUT_KERNEL = "The controls appear when you run this cell."


@dataclass(frozen=True)
class Notice:
    """What a widget says where it cannot draw: what was found, and what to enter instead."""

    text: str

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        told = translated(self.text)
        return {"text/html": f'<p role="status">{escape(told)}</p>', "text/plain": told}


def live(draw: Callable[..., Picture | Heads | Notice], controls: dict[str, ipywidgets.ValueWidget]) -> None:
    """Display `draw` of the controls' first values, and draw again in the same place whenever one changes."""

    def drawn() -> Picture | Heads | Notice:
        return draw(**{name: control.value for name, control in controls.items()})

    picture = display(drawn(), display_id=True)
    for control in controls.values():
        control.observe(lambda _: picture.update(drawn()), names="value")
    bundle = ipywidgets.VBox(list(controls.values()))._repr_mimebundle_()
    display(bundle | {"text/plain": translated(WITHOUT_KERNEL)}, raw=True)


def labelled(description: str, **options: Any) -> dict[str, Any]:
    """Options for a control whose description is never cut off and which redraws when it is let go."""
    wide = ipywidgets.Layout(width="34em")
    return {"description": translated(description), "style": {"description_width": "9em"}, "layout": wide, **options}


def whole(value: Any) -> int | None:
    """`value` as an int where it is a whole number, else None. True and False are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        return None
    return int(value)
