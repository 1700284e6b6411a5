"""What is kept of what a kernel says: little of much, and nothing of what Jupyter would not say."""

import json
import select
import socket
import threading

import nbformat
import pytest
import zmq
from jupyter_client.session import DELIM

from grader.grading.conversation import Cell, Conversation, Spoken, Unheard, _Ears, _understood
from grader.grading.wire import CUT, Channel

MOST = 10_000


@pytest.fixture
def pair(tmp_path):
    """A channel, and ZeroMQ's end of it."""
    with zmq.Context() as context, context.socket(zmq.PUB) as theirs:
        theirs.linger = 0
        theirs.bind(f"ipc://{tmp_path}/k-1")
        channel = Channel(f"{tmp_path}/k-1", "SUB", MOST)
        assert channel.connect()
        subscribed(channel, theirs)
        yield channel, theirs
        channel.close()


def subscribed(channel, theirs):
    """Until what is published arrives."""
    while not heard(channel, 0.05):
        theirs.send(b"anybody there?")


def heard(channel, seconds=30.0):
    """The next messages, at most after so many seconds of silence."""
    while select.select([channel], [], [], seconds)[0]:
        if messages := channel.receive():
            return messages
    return []


def until_last(channel, theirs):
    """All that is heard up to a last message."""
    theirs.send(b"the last")
    messages = []
    while (b"the last",) not in messages:
        messages += heard(channel)
    return messages[:-1]


def test_a_message_of_several_parts_is_heard_whole(pair):
    channel, theirs = pair
    parts = [b"", b"a", b"x" * 255, b"y" * 256, b"z" * 5_000]
    theirs.send_multipart(parts)
    assert until_last(channel, theirs) == [tuple(parts)]


@pytest.mark.parametrize(
    "parts", [[b"x" * (MOST + 1)], [b"x" * 999] * 11, [b"x"] * 100, [b"x" * (1 << 20)] * 40], ids=len
)
def test_of_what_is_too_much_nothing_is_kept_and_what_follows_is_heard(pair, parts):
    channel, theirs = pair
    theirs.send_multipart(parts)
    theirs.send(b"later")
    assert until_last(channel, theirs) == [CUT, (b"later",)]


def test_of_a_message_without_end_no_more_is_held_than_of_one_that_may_be_kept(tmp_path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "k-1"))
    listener.listen()
    channel = Channel(str(tmp_path / "k-1"), "SUB", MOST)
    assert channel.connect()
    kernel, _ = listener.accept()
    part = b"\x03" + (1 << 20).to_bytes(8, "big") + bytes(1 << 20)  # more of it follows
    talking = threading.Thread(target=lambda: kernel.sendall(b"\xff" + bytes(63) + part * 50))
    talking.start()
    held = 0
    while talking.is_alive() or select.select([channel], [], [], 0)[0]:
        assert channel.receive() == []
        held = max(held, len(channel._part) + sum(map(len, channel._parts)) + len(channel._in))
    assert held <= MOST + 9  # the head of a part
    for end in (channel, kernel, listener):
        end.close()


def message(kind="stream", parent="one", content=b'{"name": "stdout", "text": "hello"}', head=None):
    """A message of the kernel's, as its parts come."""
    heads = [json.dumps(head or {"msg_type": kind, "msg_id": "x"}).encode(), json.dumps({"msg_id": parent}).encode()]
    return (b"topic", DELIM, b"signature", *heads, b"{}", content)


DEEP = b"[" * 100_000
ODD = {
    "nothing": (),
    "no delimiter": (b"a", b"b", b"c"),
    "too few parts": message()[:5],
    "a header that is a list": (*message()[:3], b"[]", *message()[4:]),
    "a header of other bytes": (*message()[:3], b"\xff", *message()[4:]),
    "a parent that is a list": (*message()[:4], b'["msg_id"]', *message()[5:]),
    "a parent that is a string": (*message()[:4], b'"one"', *message()[5:]),
    "a parent that is nested deep": (*message()[:4], DEEP[:60_000], *message()[5:]),
    "a parent that is large": (*message()[:4], b'{"msg_id": "' + b"x" * (1 << 17) + b'"}', *message()[5:]),
    "a parent whose id is a list": (*message()[:4], b'{"msg_id": []}', *message()[5:]),
    "a header without a kind": message(head={"msg_id": "x"}),
    "a kind that is a list": message(head={"msg_type": ["stream"]}),
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_what_jupyter_would_not_send_is_not_understood(odd):
    with pytest.raises(Unheard):
        _understood(odd)


@pytest.fixture
def ears():
    ears = _Ears(Spoken(2, ([], [])), 100_000, [False, False])
    ears.asked = {"one": 0, "two": 1}
    return ears


def outputs(ears):
    return ears._spoken.outputs[0]


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_message_is_ignored_and_flagged_once(ears, odd):
    ears.hear([odd, message(), odd] if odd else [message()])
    assert not ears.answered([odd])
    ears.close(lost=False)
    assert [output["text"] for output in outputs(ears)] == ["hello"]
    assert len(ears._spoken.flags) == 1


CONTENTS = {
    "a list": ("stream", b"[]"),
    "a string": ("error", b'"boom"'),
    "nested deep": ("display_data", DEEP[:50_000]),
    "not JSON": ("display_data", b"{"),
    "a stream without text": ("stream", b'{"name": "stdout"}'),
    "another stream": ("stream", b'{"name": "stdin", "text": "x"}'),
    "a text that is a list": ("stream", b'{"name": "stdout", "text": ["x"]}'),
    "a traceback that is a string": ("error", b'{"ename": "E", "evalue": "", "traceback": "x"}'),
    "a traceback of numbers": ("error", b'{"ename": "E", "evalue": "", "traceback": [1]}'),
    "data that is a list": ("display_data", b'{"data": ["text/plain"]}'),
}


@pytest.mark.parametrize(("kind", "content"), CONTENTS.values(), ids=CONTENTS)
def test_an_odd_content_is_ignored_and_flagged(ears, kind, content):
    ears.hear([message(kind, content=content), message()])
    ears.close(lost=False)
    assert [output["text"] for output in outputs(ears)] == ["hello"]
    assert ears._spoken.flags == ["1 messages of the kernel that Jupyter would not send: ignored"]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("execute_result", {"execution_count": -1, "data": {"text/plain": ["a", "b"], "x": {"y": []}}, "metadata": []}),
        ("execute_result", {"execution_count": "1", "data": {"text/plain": "\ud800"}}),
        ("display_data", {"data": {f"text/x{i}": "a" for i in range(1000)}, "metadata": {"deep": [[]]}, "more": 1}),
        ("error", {"ename": "\udfff", "evalue": "", "traceback": ["x"] * 5000}),
    ],
)
def test_what_is_kept_is_a_small_valid_output(ears, kind, content):
    ears.hear([message(kind, content=json.dumps(content).encode())])
    [output] = outputs(ears)
    nbformat.validate(output, ref="output", version=4, version_minor=5)
    assert len(json.dumps(output, ensure_ascii=False).encode("utf-8")) < 10_000


def test_looking_at_what_is_odd_uses_the_budget_up(ears):
    odd = message(content=b"[" + b"0," * 30_000 + b"0]")
    ears.hear([odd] * 10)
    assert ears._odd == 1
    assert ears._cut


def test_the_answer_to_another_cell_counts_for_none(ears):
    assert not ears.answered([message("execute_reply", "two"), message("execute_reply", "three")])
    assert ears.answered([message("execute_reply", "one"), message("execute_reply", "two")])
    assert ears._spoken.finished == 2


def test_a_kernel_that_closes_its_channels_is_held_to_its_time(tmp_path):
    """It answers the handshake, then nothing."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as shell, context.socket(zmq.PUB) as iopub:
        shell.linger = iopub.linger = 0
        shell.bind(f"ipc://{tmp_path}/k-1")
        iopub.bind(f"ipc://{tmp_path}/k-2")
        connection = {"transport": "ipc", "ip": f"{tmp_path}/k", "key": "k", "shell_port": 1, "iopub_port": 2}
        signals = []
        with Conversation(connection, signals.append, lambda: False, 1000) as conversation:
            talk = threading.Thread(target=answer_and_close, args=(shell, iopub))
            talk.start()
            spoken = conversation.hold([Cell("1")], 20, 0.1)
            talk.join()
    assert "could not be interrupted" in spoken.ended
    assert len(signals) == 1


def answer_and_close(shell, iopub):
    identity = shell.recv_multipart()[0]
    while not shell.poll(10):  # until the first cell comes
        iopub.send_multipart(message("status"))
        shell.send_multipart((identity, *message("kernel_info_reply")[1:]))
    shell.close()
    iopub.close()
