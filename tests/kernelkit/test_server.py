"""The warm parent is everybody's: what goes wrong with one request is one refusal."""

import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forking a kernel needs Linux")

# A parent whose first requests fail, each in the way that is named; its kernels say "+" and end.
PARENT = """
    import errno, os, socket, sys
    from kernelkit import server

    path, failure = sys.argv[1:]
    failing, accept, fork = [2], socket.socket.accept, os.fork

    def once(call, number):
        def called(*args):
            if failing[0]:
                failing[0] -= 1
                if number is None:
                    raise MemoryError
                raise OSError(number, os.strerror(number))
            return call(*args)
        return called

    if failure == "accept":
        socket.socket.accept = once(accept, errno.ECONNABORTED)
    elif failure == "files":
        socket.socket.accept = once(accept, errno.EMFILE)
    else:
        os.fork = once(fork, {"memory": errno.ENOMEM, "processes": errno.EAGAIN, "python": None}[failure])
    server._answer = lambda connection: connection.sendall(b"+")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    print("ready", flush=True)
    server.serve(listener, 600)
"""


@pytest.mark.parametrize("failure", ["accept", "files", "memory", "processes", "python"])
def test_a_request_that_cannot_be_served_is_refused_and_the_next_is_served(tmp_path, failure):
    path = str(tmp_path / "parent")
    command = [sys.executable, "-c", textwrap.dedent(PARENT), path, failure]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout.readline() == "ready\n"
            assert "+" in [asked(path) for _ in range(3)]
            assert parent.poll() is None
        finally:
            parent.send_signal(signal.SIGKILL)


def asked(path):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(path)
        return connection.recv(1).decode()


def test_a_connection_whose_owner_has_gone_before_it_is_accepted_harms_nobody(tmp_path):
    path = str(tmp_path / "parent")
    command = [sys.executable, "-c", textwrap.dedent(PARENT), path, "accept"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        try:
            assert parent.stdout.readline() == "ready\n"
            os.kill(parent.pid, signal.SIGSTOP)
            for _ in range(5):
                with socket.socket(socket.AF_UNIX) as gone:
                    gone.connect(path)
            os.kill(parent.pid, signal.SIGCONT)
            assert asked(path) == "+"
        finally:
            parent.send_signal(signal.SIGKILL)
