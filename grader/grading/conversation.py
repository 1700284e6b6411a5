"""Talk to a kernel that may lie: send it cells, keep a bounded part of what it says, hold it to its time."""

from __future__ import annotations

import json
import select
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import nbformat
from jupyter_client.session import DELIM, Session
from nbformat import NotebookNode

from coursekit.checking.handover import CHECK
from grader.grading.wire import CUT, Address, Channel, Message

START_SECONDS = 60
GRACE_SECONDS = 2  # from an interrupt to the end of the kernel
DRAIN_SECONDS = 1
_OUTPUTS = ("stream", "display_data", "execute_result", "error")
_PER_CELL = 200  # outputs; consecutive pieces of one stream count as one
_HEAD_LIMIT = 1 << 16  # bytes of a message's header, and of its parent's
_MOST_FORMS = 20  # in which one output is shown
_MOST_LINES = 1_000  # of a traceback


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


@dataclass(frozen=True)
class Said:
    """One message: its kind, the id of the request that it answers, and its content as it came."""

    kind: str
    parent: str
    content: bytes


class Unheard(ValueError):
    """What came is no message of Jupyter's."""


class Conversation:
    """One client of one kernel, of whose outputs at most `output` bytes are kept. A context manager."""

    def __init__(
        self, connection: dict, send_signal: Callable[[int], None], dead: Callable[[], bool], output: int
    ) -> None:
        self._signal, self._dead, self._output = send_signal, dead, output
        key = connection["key"]
        self._session = Session(key=key if isinstance(key, bytes) else key.encode())
        most = output + 3 * _HEAD_LIMIT
        self._shell = Channel(_address(connection, "shell_port"), "DEALER", most)
        self._iopub = Channel(_address(connection, "iopub_port"), "SUB", most)

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._shell.close()
        self._iopub.close()

    def hold(self, cells: Sequence[Cell], wall: float, cell: float) -> Spoken:
        """Have `cells` run; never raises for what the kernel does."""
        spoken = Spoken(len(cells), tuple([] for _ in cells))
        end = time.monotonic() + wall
        if not self._ready():
            spoken.ended = "" if self._dead() else f"the kernel was not ready after {START_SECONDS} s"
            return spoken
        ears = _Ears(spoken, self._output, [bool(cell_.check) for cell_ in cells])
        for cell_ in cells:
            # All at once: the kernel need not wait for this process between two cells.
            # A check hands over and shows nothing.
            seen = not cell_.check
            content = {"code": cell_.source, "silent": not seen, "store_history": seen, "stop_on_error": False}
            content |= {"user_expressions": {}, "allow_stdin": False}
            ears.asked[self._ask("execute_request", content, {CHECK: cell_.check})] = len(ears.asked)
        self._listen(ears, spoken, end, wall, cell)
        self._drain(ears, 0 if self._dead() else DRAIN_SECONDS)
        ears.close(lost=not (ears.idle or spoken.ended or self._dead()))
        return spoken

    def _ask(self, kind: str, content: dict, metadata: dict) -> str:
        """Send a request; its id."""
        message = self._session.msg(kind, content, metadata=metadata)
        self._shell.send(self._session.serialize(message))
        return message["msg_id"]

    def _ready(self) -> bool:
        """Both channels work: the kernel answers, and what it publishes arrives."""
        end = time.monotonic() + START_SECONDS
        heard: set[str] = set()
        asked = 0.0
        while time.monotonic() < end:
            # The subscription first: what is published before it arrives is lost.
            if not all(channel.open or channel.connect() for channel in (self._iopub, self._shell)):
                if self._dead():
                    return False
                time.sleep(0.01)
                continue
            if time.monotonic() - asked > 2:
                asked = time.monotonic()
                self._ask("kernel_info_request", {}, {})
            ready = self._wait(0.2)
            if not ready and self._dead():
                return False
            for channel in ready:
                kinds = set(map(_kind, channel.receive()))
                heard |= {"iopub"} if kinds and channel is self._iopub else kinds
            if {"iopub", "kernel_info_reply"} <= heard:
                return True
        return False

    def _wait(self, seconds: float) -> list[Channel]:
        """The channels on which something has arrived, or ended, within so many seconds."""
        poll = select.poll()
        channels = {channel.fileno(): channel for channel in (self._shell, self._iopub) if channel.open}
        for file, channel in channels.items():
            poll.register(file, select.POLLIN | (select.POLLOUT if channel.waiting else 0))
        ready = [(channels[file], event) for file, event in poll.poll(1000 * seconds)]
        for channel, event in ready:
            if event & select.POLLOUT:
                channel.flush()
        return [channel for channel, event in ready if event & ~select.POLLOUT]

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
            ready = self._wait(min(limit - now, 0.2))
            if self._iopub in ready:
                ears.hear(self._iopub.receive())
            if self._shell in ready and ears.answered(self._shell.receive()):
                since, interrupted = time.monotonic(), False
            if not ready and self._dead():
                return

    def _drain(self, ears: _Ears, seconds: float) -> None:
        """What was published before the last answer may arrive after it."""
        end = time.monotonic() + seconds
        while not ears.idle and self._iopub.open and self._wait(max(0.0, end - time.monotonic())):
            ears.hear(self._iopub.receive())
            if time.monotonic() > end + DRAIN_SECONDS:
                return


class _Ears:
    """Sorts messages to cells, and stops keeping them when the budget of bytes is spent."""

    def __init__(self, spoken: Spoken, budget: int, checks: Sequence[bool]) -> None:
        self.asked: dict[str, int] = {}  # the cell's number by the id of the request that had it run
        self._checks = checks
        self.idle = False
        self._spoken, self._left, self._cut, self._odd = spoken, budget, False, 0

    def answered(self, messages: list[Message]) -> bool:
        """Whether the answer to the cell that runs now is among these; those of later cells may be as well."""
        before = self._spoken.finished
        for message in messages:
            said = self._heard(message)
            if said and said.kind == "execute_reply" and self.asked.get(said.parent) == self._spoken.finished:
                self._spoken.finished += 1
        return self._spoken.finished > before

    def hear(self, messages: list[Message]) -> None:
        """Keep outputs where there is room."""
        for message in messages:
            if said := self._heard(message):
                try:
                    self._keep(said)
                except Unheard:
                    self._odd += 1

    def _heard(self, message: Message) -> Said | None:
        if message is CUT:
            self._cut = True
            return None
        try:
            return _understood(message)
        except Unheard:
            self._odd += 1
            return None

    def _keep(self, said: Said) -> None:
        index = self.asked.get(said.parent)
        if index is None:
            return
        if said.kind == "status" and index == len(self.asked) - 1 and len(said.content) < _HEAD_LIMIT:
            self.idle = self.idle or _object(said.content).get("execution_state") == "idle"
        if said.kind not in _OUTPUTS or self._checks[index]:  # a check cell shows its verdict alone
            return
        outputs = self._spoken.outputs[index]
        size = len(said.content)
        if size > self._left or len(outputs) >= _PER_CELL:
            self._cut = True
            return
        self._left -= size  # before it is looked at: that costs time, whatever it is
        output = _output(said.kind, _object(said.content))
        last = outputs[-1] if outputs else {}
        if said.kind == "stream" and last.get("output_type") == "stream" and last["name"] == output["name"]:
            last["text"] += output["text"]
        else:
            outputs.append(output)

    def close(self, lost: bool) -> None:
        """`lost`: the kernel's last word never came, since there were too many."""
        if self._cut or lost:
            self._spoken.flags.append("more output than is kept: it was cut")
        if self._odd:
            self._spoken.flags.append(f"{self._odd} messages of the kernel that Jupyter would not send: ignored")


def _address(connection: dict, port: str) -> Address:
    if connection["transport"] == "ipc":
        return f"{connection['ip']}-{connection[port]}"
    return connection["ip"], int(connection[port])


def _understood(message: Message) -> Said:
    """What the parts of a message say. Raises Unheard; what a content holds is not looked at."""
    try:
        parts = message[message.index(DELIM) + 2 :]  # after it comes a signature, which the learner's code could make
        if max(map(len, parts[:2])) > _HEAD_LIMIT:
            raise Unheard(f"a header of more than {_HEAD_LIMIT} bytes")
        head, parent = _object(parts[0]), _object(parts[1])
        kind, id, content = head["msg_type"], parent.get("msg_id", ""), parts[3]
    except (ValueError, IndexError, KeyError) as error:
        raise Unheard(str(error)) from None
    if not isinstance(kind, str) or not isinstance(id, str):
        raise Unheard("a kind or an id that is no text")
    return Said(kind, id, content)


def _kind(message: Message) -> str:
    try:
        return _understood(message).kind
    except Unheard:
        return ""


def _object(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises Unheard."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Unheard(str(error)) from None
    if not isinstance(found, dict):
        raise Unheard(f"a {type(found).__name__}, expected an object")
    return found


def _output(kind: str, content: dict[str, Any]) -> NotebookNode:
    """The output as nbformat has it, made anew of the content's texts alone. Raises Unheard."""
    fields: dict[str, Any]
    if kind == "stream":
        name = content.get("name")
        if name not in ("stdout", "stderr"):
            raise Unheard("a stream of another name")
        fields = {"name": name, "text": _text(content.get("text"))}
    elif kind == "error":
        lines = content.get("traceback")
        if not isinstance(lines, list):
            raise Unheard("a traceback that is no list")
        fields = {name: _text(content.get(name)) for name in ("ename", "evalue")}
        fields["traceback"] = [_text(line) for line in lines[:_MOST_LINES]]
    else:
        count = content.get("execution_count")
        count = count if type(count) is int and count >= 0 else None
        fields = {"execution_count": count} if kind == "execute_result" else {}
        fields |= {"data": _forms(content.get("data")), "metadata": {}}
    return nbformat.from_dict({"output_type": kind, **fields})


def _forms(data: Any) -> dict[str, str]:
    """The texts under which an output can be shown; what is no text is shown by nobody."""
    if not isinstance(data, dict):
        raise Unheard("data that is no object")
    texts = ((mime, _joined(value)) for mime, value in islice(data.items(), _MOST_FORMS))
    return {_text(mime): _text(text) for mime, text in texts if isinstance(text, str)}


def _joined(value: Any) -> Any:
    lines = isinstance(value, list) and all(isinstance(line, str) for line in value)
    return "".join(value) if lines else value


def _text(value: Any) -> str:
    """Text that can be written as UTF-8. Raises Unheard."""
    if not isinstance(value, str):
        raise Unheard(f"a {type(value).__name__}, expected text")
    return value.encode("utf-8", "replace").decode("utf-8")
