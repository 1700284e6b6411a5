"""One channel of a kernel, read by somebody who decides how much is kept of it.

ZeroMQ hands over a message whole, of however many parts, and its limit is for each part: a kernel that sends 150 parts
of 8 MB takes a gigabyte of whoever listens. So the wire is read here: ZMTP 3.0 without security
(https://rfc.zeromq.org/spec/23), over the kernel's own socket. Sending never waits: what the kernel does not take yet
is kept.
"""

from __future__ import annotations

import socket

_READ = 1 << 18  # bytes taken from the socket at once
_MOST_PARTS = 64  # of one message; Jupyter sends seven and the buffers of widgets
_MORE, _LONG, _COMMAND = 1, 2, 4
_GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_SUBSCRIBE_TO_ALL = b"\x01"

Address = str | tuple[str, int]
Message = tuple[bytes, ...]
CUT: Message = ()  # in place of a message that was too large: nothing of it is kept


class Channel:
    """The client's end of one channel: a DEALER that asks, or a SUB that hears everything.

    Of one message at most `most` bytes are kept. `open` is False before `connect` and once the kernel has closed it.
    """

    def __init__(self, address: Address, kind: str, most: int) -> None:
        self.open = False
        self._address, self._kind, self._most = address, kind, most
        self._out = bytearray()  # what the kernel has not taken yet
        self._later = bytearray()  # what is sent once it is known who is there
        self._in = bytearray()  # what has arrived and is not understood yet
        self._greeted = self._known = False
        self._flags = 0
        self._left: int | None = None  # bytes of the present part that are still to come; None between two parts
        self._parts: list[bytes] = []
        self._part = bytearray()
        self._size, self._cut = 0, False  # of the present message

    def connect(self) -> bool:
        """Whether the kernel listens: it makes its sockets while this process waits."""
        made = socket.socket(socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET)
        made.settimeout(5)
        try:
            made.connect(self._address)
        except OSError:
            made.close()
            return False
        made.setblocking(False)
        self._socket, self.open = made, True
        self._out += _GREETING + _frame(b"\x05READY" + _property("Socket-Type", self._kind), _COMMAND)
        self.flush()
        if self._kind == "SUB":
            self.send([_SUBSCRIBE_TO_ALL])
        return True

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        if hasattr(self, "_socket"):
            self._socket.close()
        self.open = False

    @property
    def waiting(self) -> bool:
        """Whether something is still to be sent: `flush` when the socket takes more."""
        return self.open and bool(self._out)

    def send(self, message: list[bytes]) -> None:
        last = len(message) - 1
        for i, part in enumerate(message):
            queue = self._out if self._known else self._later
            queue += _frame(part, 0 if i == last else _MORE)
        self.flush()

    def flush(self) -> None:
        try:
            while self.waiting:
                del self._out[: self._socket.send(self._out)]
        except BlockingIOError:
            return
        except OSError:
            self.open = False

    def receive(self) -> list[Message]:
        """The messages that are complete by now, CUT in place of each that was too large; never waits."""
        try:
            arrived = self._socket.recv(_READ)
        except BlockingIOError:
            return []
        except OSError:
            arrived = b""
        if not arrived:
            self.open = False
            return []
        self._in += arrived
        found: list[Message] = []
        while self._advance(found):
            pass
        return found

    def _advance(self, found: list[Message]) -> bool:
        """Understand one more piece of what has arrived; False where the rest of it is still to come."""
        if not self._greeted:
            return self._greet()
        if self._left is None:
            return self._begin()
        piece = self._in[: self._left]
        del self._in[: self._left]
        self._left -= len(piece)
        if not self._cut:
            self._part += piece
        if self._left:
            return False
        self._left = None
        self._end(found)
        return True

    def _greet(self) -> bool:
        if len(self._in) < len(_GREETING):
            return False
        del self._in[: len(_GREETING)]
        self._greeted = True
        return True

    def _begin(self) -> bool:
        """Read the head of a part, and decide before its first byte is kept whether it will be."""
        if not self._in:
            return False
        length = 9 if self._in[0] & _LONG else 2
        if len(self._in) < length:
            return False
        self._flags, self._left = self._in[0], int.from_bytes(self._in[1:length], "big")
        del self._in[:length]
        self._size += self._left
        self._cut = self._cut or self._size > self._most or len(self._parts) >= _MOST_PARTS
        if self._cut:
            self._parts.clear()
            self._part.clear()
        return True

    def _end(self, found: list[Message]) -> None:
        if not self._cut:
            self._parts.append(bytes(self._part))
        self._part.clear()
        if self._flags & _MORE:
            return
        if not self._flags & _COMMAND:
            found.append(CUT if self._cut else tuple(self._parts))
        elif not self._known:  # it is ready
            self._known = True
            self._out += self._later
            self.flush()
        self._parts, self._size, self._cut = [], 0, False


def _frame(part: bytes, flags: int = 0) -> bytes:
    if len(part) < 256:
        return bytes([flags, len(part)]) + part
    return bytes([flags | _LONG]) + len(part).to_bytes(8, "big") + part


def _property(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + len(value).to_bytes(4, "big") + value.encode()
