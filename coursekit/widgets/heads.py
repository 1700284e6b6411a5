"""All heads of a layer as thumbnails; one opens on a click or by the arrow keys, its weights stand on hover.

Radio buttons and style sheets do it, without a script: it works in a page without a kernel, and by keyboard.
"""

from __future__ import annotations

import base64
import functools
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.colors import to_hex
from PIL import Image
from torch import Tensor

from coursekit.language import translated

LEVELS = 24  # colours in the large picture
THUMBNAIL = 48  # CSS pixels


@dataclass(frozen=True)
class Heads:
    """The weights A (H T T) of one layer on `tokens`; `title` says of what."""

    tokens: Sequence[str]
    A: Float[Tensor, "H T T"]
    title: str

    @property
    def alt(self) -> str:
        return " ".join((f"{translated(self.title)}.", *map(self._largest, range(len(self.A)))))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.alt}

    def html(self) -> str:
        """Thumbnails, and a table for each head of which one is seen: none where a page strips style sheets."""
        name = f"heads-{zlib.crc32(self.alt.encode()):08x}"
        heads = range(len(self.A))
        tabs = "".join(
            f'<input type="radio" name="{name}" id="{name}-{h}"{" checked" if h == 0 else ""} '
            f'aria-label="{escape(self._largest(h))}"><label for="{name}-{h}">'
            f'<img src="data:image/png;base64,{_thumbnail(self.A[h])}" alt="" width="{THUMBNAIL}"><br>'
            f"{escape(translated(f'head {h}'))}</label>"
            for h in heads
        )
        tables = "".join(f'<div class="h{h}">{self._table(h)}</div>' for h in heads)
        title = escape(translated(self.title))
        return (
            f'<div id="{name}" role="group" aria-label="{title}"><style>{_style(name, len(heads))}</style>'
            f'<p>{title}</p>{tabs}<div class="views" hidden="hidden">{tables}</div></div>'
        )

    def _largest(self, h: int) -> str:
        i, j = divmod(int(self.A[h].argmax()), len(self.tokens))
        weight, one, other = self.A[h, i, j].item(), self.tokens[i], self.tokens[j]
        return translated(f"Head {h}: the largest weight is {weight:.2f}, from {one!s} to {other!s}.")

    def _table(self, h: int) -> str:
        tokens = [escape(token) for token in self.tokens]
        told = escape(translated("{query} to {key}: {weight:.2f}"))
        head = "".join(f'<th scope="col"><span>{token}</span></th>' for token in tokens)
        rows = "".join(
            f'<tr><th scope="row">{query}</th>'
            + "".join(
                f'<td class="c{_level(weight)}" title="{told.format(query=query, key=key, weight=weight)}"></td>'
                for key, weight in zip(tokens, row, strict=True)
            )
            + "</tr>"
            for query, row in zip(tokens, self.A[h].tolist(), strict=True)
        )
        caption = f"<caption>{escape(self._largest(h))}</caption>"
        return f"<table>{caption}<tr><td></td>{head}</tr>{rows}</table>"


def _level(weight: float) -> int:
    return min(int(weight * LEVELS), LEVELS - 1)


def _thumbnail(A: Tensor) -> str:
    colours = (colormaps["cividis"](A.float().numpy())[..., :3] * 255).astype(np.uint8)
    small = io.BytesIO()
    Image.fromarray(colours).resize((2 * THUMBNAIL,) * 2, Image.Resampling.NEAREST).save(small, "png", optimize=True)
    return base64.b64encode(small.getvalue()).decode("ascii")


def _style(name: str, heads: int) -> str:
    seen = ",".join(f"#{name}-{h}:checked ~ .views .h{h}" for h in range(heads))
    line = "var(--jp-border-color1, #999)"
    return (
        f"#{name} input{{position:absolute;opacity:0}}"
        f"#{name} label{{display:inline-block;margin:2px;padding:2px;text-align:center;font-size:11px;cursor:pointer;"
        "border:2px solid transparent;border-radius:4px}"
        f"#{name} input:checked+label{{border-color:{line}}}"
        f"#{name} input:focus-visible+label{{outline:2px solid var(--jp-brand-color1, #0072B2)}}"
        f"#{name} .views{{display:block!important}}#{name} .views>div{{display:none}}{seen}{{display:block}}"
        f"#{name} table{{border-collapse:collapse;margin-top:6px;font-size:12px}}#{name} caption{{text-align:left;"
        f"white-space:nowrap}}#{name} tr{{background:none!important}}"
        f"#{name} td,#{name} th{{padding:0;border:0;background:none}}"
        f"#{name} th{{font-weight:normal;text-align:right;padding-right:4px}}"
        f"#{name} td{{width:20px;height:20px;min-width:20px}}"
        f"#{name} th span{{writing-mode:vertical-rl;transform:rotate(180deg);white-space:nowrap}}" + _colours(name)
    )


@functools.cache
def _colours(name: str) -> str:
    scale = colormaps["cividis"]
    return "".join(f"#{name} .c{k}{{background:{to_hex(scale((k + 0.5) / LEVELS))}}}" for k in range(LEVELS))
