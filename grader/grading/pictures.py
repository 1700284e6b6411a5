"""Pictures that may be shown: PNG, JPEG or GIF of a bounded size, by their bytes and not by what they are called."""

from __future__ import annotations

import base64
import struct

from coursekit.notebook import limits

_SIGNS = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8"}
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG markers that tell the size
_MOST_SEGMENTS = 1_000


def harmless(kind: str, text: str, most: int = limits.PICTURE) -> bool:
    """Whether `text` is base64 of a picture of this MIME type with at most `most` bytes and a bounded size."""
    if kind not in _SIGNS or len(text) > 2 * most:
        return False
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except ValueError:
        return False
    if len(data) > most or not data.startswith(_SIGNS[kind]):
        return False
    width, height = _size(kind, data)
    return width * height <= limits.PIXELS


def _size(kind: str, data: bytes) -> tuple[int, int]:
    """Width and height; (0, 0) of a picture that ends before it tells them: a browser shows nothing of it."""
    if kind == "image/png":
        return struct.unpack(">II", data[16:24]) if len(data) >= 24 else (0, 0)
    if kind == "image/gif":
        return struct.unpack("<HH", data[6:10]) if len(data) >= 10 else (0, 0)
    place = 2
    for _ in range(_MOST_SEGMENTS):
        if place + 9 > len(data) or data[place] != 0xFF:
            break
        if data[place + 1] in _FRAMES:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return width, height
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return 0, 0
