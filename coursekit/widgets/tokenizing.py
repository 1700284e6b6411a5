"""Token explorer: into which pieces several tokenizers cut a text, and how many bytes a piece has."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets

from coursekit.language import translated
from coursekit.widgets.controls import Notice, Page, labelled, live, refusal
from coursekit.widgets.explorer import wrong_sentence
from coursekit.widgets.tokens import visible

Encode = Callable[[str], Sequence[int]]
DecodeOne = Callable[[int], bytes]
Tokenizer = tuple[Encode, DecodeOne]
SAMPLES = {
    "English prose": "The whale had never heard of tokenisers, and swam on unbothered.",
    "Python code": "def mean(xs):\n    return sum(xs) / len(xs)\n",
    "Chinese text": "鲸鱼不知道什么是分词，它继续向前游。",
    "German text": "Der Walfischfänger Größe maß fünfundzwanzig Meter.",
    "emoji and flags": "A whale 🐋, two 🐋🐋, a family 👨‍👩‍👧 and a flag 🇳🇿",
    "some numbers": "1 12 123 1234 12345 and 3.14159, 2026-01-31, 1e-05",
}
# In turns behind the tokens and below them, with black letters: in a dark page too, and two greys in print.
SHADES = (("#FFE8B0", "#B07A00"), ("#A9D4F0", "#0072B2"))


def token_explorer(tokenizers: Mapping[str, Tokenizer], text: str = SAMPLES["English prose"]) -> None:
    """Display the tokens of a text for each of `tokenizers`, with a menu of samples and a box for one's own text.

    Each is `name: (encode, decode_one)`: `encode(text)` returns ids, `decode_one(id)` the bytes of one of them;
    `UTF_8` and `of_transformers(tokenizer)` are such pairs. A text that one of them does not read raises ValueError.
    """
    box = ipywidgets.Textarea(text, rows=3, **labelled("text", continuous_update=False))
    options = [(translated(name), sample) for name, sample in SAMPLES.items()]
    if text not in SAMPLES.values():
        options.insert(0, (translated("as given"), text))
    menu = ipywidgets.Dropdown(options=options, value=text, **labelled("sample"))
    ipywidgets.dlink((menu, "value"), (box, "value"))  # a sample goes into the box, and what is in the box is drawn
    live(lambda sample, text: draw_tokens(tokenizers, text), {"sample": menu, "text": box})


def of_transformers(tokenizer: Any) -> Tokenizer:
    """(encode, decode_one) of a byte-level tokenizer of transformers; special tokens in a text are plain text.

    GPT-2 writes each byte as a letter: the token of " the" is "Ġthe". Source: Radford et al. 2019, section 2.2.
    """
    from transformers.convert_slow_tokenizer import bytes_to_unicode  # here, since it takes a second to import

    byte = {letter: b for b, letter in bytes_to_unicode().items()}

    def encode(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids

    return encode, lambda i: bytes(byte[letter] for letter in tokenizer.convert_ids_to_tokens(i))


UTF_8: Tokenizer = (lambda text: list(text.encode()), lambda i: bytes([i]))


@dataclass(frozen=True)
class Cut:
    """A text as the tokens of one tokenizer: the ids, and the bytes of each."""

    ids: list[int]
    pieces: list[bytes]

    def told(self, text: str) -> str:
        """How many tokens there are, and whether their bytes are those of the text."""
        n, size = len(self.ids), len(text.encode())
        count = translated(f"tokens: {n:d}, bytes a token: {size / max(n, 1):.2f}")
        if b"".join(self.pieces) == text.encode():
            return count
        lost = translated("their bytes are not those of the text")
        return f"{count}; {lost}"


def draw_tokens(tokenizers: Mapping[str, Tokenizer], text: Any) -> Page | Notice:
    """The tokens of `text` for each tokenizer, one below the other; a Notice for what none can read."""
    if wrong := wrong_sentence(text):
        return Notice(wrong)
    if any("\ud800" <= c <= "\udfff" for c in text):
        return Notice("The text has half of a surrogate pair, which is no character: delete it.")
    title = translated(f"characters: {len(text):d}, bytes in UTF-8: {len(text.encode()):d}")
    rows = [_row(name, *pair, text) for name, pair in tokenizers.items()]
    alt = " ".join((f"{title}.", *(row.alt for row in rows)))
    name = f"tokens-{zlib.crc32(alt.encode()):08x}"
    signs = translated("␣ is a space and ↵ the end of a line. A dashed token cuts a character: its bytes are in hex.")
    html = (
        f'<div id="{name}" role="group" aria-label="{escape(title)}"><style>{_style(name)}</style>'
        f"<p>{escape(title)}</p>{''.join(row.html for row in rows)}<p>{escape(signs)}</p></div>"
    )
    return Page(html, alt)


def _row(name: str, encode: Encode, decode_one: DecodeOne, text: str) -> Page:
    """One tokenizer's name, its numbers and its tokens; what it says where it does not read the text."""
    head = translated(name)
    try:
        ids = [int(i) for i in encode(text)]
        found = Cut(ids, [bytes(decode_one(i)) for i in ids])
    except ValueError as error:
        said = translated(refusal(error).text)
        return Page(f"<p><b>{escape(head)}</b> {escape(said)}</p>", f"{head}: {said}")
    told = found.told(text)
    tokens = "".join(_token(n, *one) for n, one in enumerate(zip(found.ids, found.pieces, strict=True)))
    html = f'<p><b>{escape(head)}</b> {escape(told)}</p><div class="pieces">{tokens}</div>'
    return Page(html, f"{head}: {told}: {' | '.join(map(as_text, found.pieces))}.")


def as_text(piece: bytes) -> str:
    """A token's characters, with signs for spaces; its bytes in hex where a character is cut."""
    return visible(piece.decode()) if _whole(piece) else piece.hex(" ").upper()


def _whole(piece: bytes) -> bool:
    """Whether no character is cut."""
    return piece.decode(errors="ignore").encode() == piece


def _token(n: int, i: int, piece: bytes) -> str:
    """The n-th token on its shade, dashed where a character is cut. A line ends where the token ends one."""
    back, edge = SHADES[n % 2]
    look = f"background:{back};color:#000;border-bottom:2px {'solid' if _whole(piece) else 'dashed'} {edge}"
    told = translated(f"id {i:d}, bytes {piece.hex(' ').upper()!s}")
    end = "<br>" if piece.endswith(b"\n") else "<wbr>"
    return f'<span style="{look}" title="{escape(told)}"><bdi>{escape(as_text(piece))}</bdi></span>{end}'


def _style(name: str) -> str:
    return (
        f"#{name}{{max-width:800px}}#{name} p{{margin:8px 0 2px}}"
        f"#{name} .pieces{{line-height:1.9;max-height:22em;overflow:auto}}"
        f"#{name} .pieces span{{display:inline-block;line-height:1.5;padding:0 3px;margin:0 1px;min-width:0.6em;"
        "text-align:center;border-radius:3px;white-space:pre}"
    )
