"""Talk to a kernel that may lie: send it cells, keep a bounded part of what it says, hold it to its time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import nbformat
import zmq
from jupyter_client.session import Session
from nbformat import NotebookNode

from coursekit.checking.handover import CHECK

MESSAGE_LIMIT = 8 << 20  # bytes; a connection on which more arrives at once is cut
START_SECONDS = 60
GRACE_SECONDS = 2  # from an interrupt to the end of the kernel
DRAIN_SECONDS = 1
_OUTPUTS = ("stream", "display_data", "execute_result", "error")
_PER_CELL = 200  # outputs; consecutive pieces of one stream count as one


@dataclass(frozen=True)
class Cell:
    """What is sent. `check` is the exercise that this cell, and no other, may hand over; empty for none."""

    source: str
    check: str = ""


@dataclass
class Spoken:
    """What was heard. `finished` counts cells that were answered; what a kernel says of itself proves nothing."""

    cells: int
    outputs: tuple[list[NotebookNode], ...]
    finished: int = 0
    ended: str = ""
    flags: list[str] = field(default_factory=list)


class Conversation:
    """One client of one kernel. A context manager."""

    def __init__(self, connection: dict, send_signal: Callable[[int], None], dead: Callable[[], bool]) -> None:
        self._signal, self._dead = send_signal, dead
        key = connection["key"]
        self._session = Session(key=key if isinstance(key, bytes) else key.encode())
        self._context = zmq.Context()
        self._shell = self._socket(zmq.DEALER, connection, "shell_port")
        self._iopub = self._socket(zmq.SUB, connection, "iopub_port")
        self._iopub.subscribe(b"")
        self._poller = zmq.Poller()
        self._poller.register(self._shell, zmq.POLLIN)
        self._poller.register(self._iopub, zmq.POLLIN)

    def _socket(self, kind: int, connection: dict, port: str) -> zmq.Socket:
        socket = self._context.socket(kind)
        socket.linger = 0
        socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_LIMIT)
        socket.setsockopt(zmq.RECONNECT_IVL, 10)  # milliseconds: the kernel binds after this connects
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 50)
        separator = "-" if connection["transport"] == "ipc" else ":"
        socket.connect(f"{connection['transport']}://{connection['ip']}{separator}{connection[port]}")
        return socket

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._shell.close()
        self._iopub.close()
        self._context.term()

    def hold(self, cells: Sequence[Cell], wall: float, cell: float, output: int) -> Spoken:
        """Have `cells` run; never raises for what the kernel does."""
        spoken = Spoken(len(cells), tuple([] for _ in cells))
        end = time.monotonic() + wall
        if not self._ready():
            spoken.ended = "" if self._dead() else f"the kernel was not ready after {START_SECONDS} s"
            return spoken
        ears = _Ears(spoken, output, [bool(cell_.check) for cell_ in cells])
        for cell_ in cells:
            # All at once: the kernel need not wait for this process between two cells.
            content = {"code": cell_.source, "silent": False, "store_history": True, "stop_on_error": False}
            content |= {"user_expressions": {}, "allow_stdin": False}
            message = self._session.send(self._shell, "execute_request", content, metadata={CHECK: cell_.check})
            assert message  # only an unconnected session gives none
            ears.asked.append(message["header"]["msg_id"])
        self._listen(ears, spoken, end, wall, cell)
        self._drain(ears, 0 if self._dead() else DRAIN_SECONDS)
        ears.close(lost=not (ears.idle or spoken.ended or self._dead()))
        return spoken

    def _ready(self) -> bool:
        """Both channels work: the kernel answers, and what it publishes arrives."""
        end = time.monotonic() + START_SECONDS
        heard: set[str] = set()
        asked = 0.0
        while time.monotonic() < end:
            if time.monotonic() - asked > 2:
                asked = time.monotonic()
                self._session.send(self._shell, "kernel_info_request", {})
            if not (ready := dict(self._poller.poll(200))) and self._dead():
                return False
            for socket in ready:
                message = self._receive(socket)
                heard.add("iopub" if socket is self._iopub else str((message or {}).get("msg_type")))
            if {"iopub", "kernel_info_reply"} <= heard:
                return True
        return False

    def _listen(self, ears: _Ears, spoken: Spoken, end: float, wall: float, cell: float) -> None:
        since, interrupted = time.monotonic(), False
        while spoken.finished < spoken.cells:
            now = time.monotonic()
            limit = min(end, since + cell + (GRACE_SECONDS if interrupted else 0))
            if now >= limit:
                if now >= end:
                    spoken.ended = f"the time for the whole submission ({wall:g} s) was used up"
                    return
                if interrupted:
                    spoken.ended = f"cell {spoken.finished + 1} took more than {cell:g} s and could not be interrupted"
                    return
                self._signal(signal.SIGINT)
                interrupted = True
                spoken.flags.append(f"cell {spoken.finished + 1} took more than {cell:g} s and was interrupted")
                continue
            ready = dict(self._poller.poll(int(1000 * min(limit - now, 0.2))))
            if self._iopub in ready:
                ears.hear(self._receive(self._iopub))
            if self._shell in ready and ears.answered(self._receive(self._shell)):
                since, interrupted = time.monotonic(), False
            if not ready and self._dead():
                return

    def _drain(self, ears: _Ears, seconds: float) -> None:
        """What was published before the last answer may arrive after it."""
        end = time.monotonic() + seconds
        while not ears.idle and self._iopub.poll(int(1000 * max(0.0, end - time.monotonic()))):
            ears.hear(self._receive(self._iopub))
            if time.monotonic() > end + DRAIN_SECONDS:
                return

    def _receive(self, socket: zmq.Socket) -> dict[str, Any] | None:
        """The next message; None for what is not one."""
        frames = socket.recv_multipart()
        try:
            _, parts = self._session.feed_identities(frames)
            return self._session.deserialize(parts)
        except Exception:  # anything at all may come from there
            return None


class _Ears:
    """Sorts messages to cells, and stops keeping them when the budget of bytes is spent."""

    def __init__(self, spoken: Spoken, budget: int, checks: Sequence[bool]) -> None:
        self.asked: list[str] = []
        self._checks = checks
        self.idle = False
        self._spoken, self._left, self._cut = spoken, budget, False

    def answered(self, message: dict[str, Any] | None) -> bool:
        """Whether this is the answer to the cell that runs now."""
        if not message or message.get("msg_type") != "execute_reply":
            return False
        next_ = self._spoken.finished
        if message.get("parent_header", {}).get("msg_id") != self.asked[next_]:
            return False
        self._spoken.finished += 1
        return True

    def hear(self, message: dict[str, Any] | None) -> None:
        """Keep an output where there is room."""
        if not message:
            return
        parent, kind = message.get("parent_header", {}).get("msg_id"), message.get("msg_type")
        if kind == "status" and parent == self.asked[-1:][0] and message["content"].get("execution_state") == "idle":
            self.idle = True
        if kind not in _OUTPUTS or parent not in self.asked:
            return
        index = self.asked.index(parent)
        if self._checks[index]:  # a check cell shows its verdict alone
            return
        outputs = self._spoken.outputs[index]
        try:
            output = nbformat.v4.output_from_msg(message)
            nbformat.validate(nbformat.from_dict(output), ref="output", version=4, version_minor=5)
        except Exception:  # forged: whatever it is, it is not an output
            return
        size = len(str(output))
        if size > self._left or len(outputs) >= _PER_CELL:
            self._cut = True
            return
        self._left -= size
        last = outputs[-1] if outputs else {}
        if kind == "stream" and last.get("output_type") == "stream" and last["name"] == output["name"]:
            last["text"] += output["text"]
        else:
            outputs.append(output)

    def close(self, lost: bool) -> None:
        """`lost`: the kernel's last word never came, since a message was too large or there were too many."""
        if self._cut or lost:
            self._spoken.flags.append("more output than is kept: it was cut")
