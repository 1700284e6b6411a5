"""Run a submission's cells in a kernel that is not trusted, and bring back what it left."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

import coursekit
import coursekit.kernel
from coursekit.checking.handover import ANSWERS, QUESTIONS
from grader import depending
from grader.grading.conversation import Cell, Conversation, Spoken
from kernelkit import sandbox, warm

_IDLE_SECONDS = 300
_MOST_SPARES = 2  # one for the submission that comes next, one while that one begins
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
# One thread: the same sums on every machine, and submissions that run beside each other do not compete.
_FIXED = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "COURSEKIT_PROGRESS": "off",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "JUPYTER_PLATFORM_DIRS": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class SandboxMissing(RuntimeError):
    """This machine cannot contain a kernel; the message says what is missing and what can be done."""


def _limit(default: float, told: str) -> Any:
    return field(default=default, metadata={"help": told})


@dataclass(frozen=True)
class Limits:
    """What one submission may use: seconds and bytes."""

    wall: float = _limit(600.0, "Seconds for the whole submission.")
    cell: float = _limit(60.0, "Seconds for one cell.")
    cpu: int = _limit(600, "Seconds of processor time for one process.")
    memory: int = _limit(3 << 30, "Bytes that all processes hold together, with what lies in scratch.")
    processes: int = _limit(64, "Processes at once; threads count too.")
    open_files: int = _limit(256, "Open files of one process.")
    scratch: int = _limit(256 << 20, "Bytes of files that may be written.")
    output: int = _limit(1 << 20, "Bytes that are kept of all cells' outputs.")
    answers: int = _limit(64 << 20, "Bytes of results that are read back.")

    @classmethod
    def given(cls, values: dict[str, float]) -> Limits:
        """The defaults with some values replaced. Raises ValueError naming what is not a limit."""
        kinds: dict[str, Any] = {field.name: type(field.default) for field in fields(cls)}
        for name, value in values.items():
            if name not in kinds or not isinstance(value, int | float) or value <= 0:
                raise ValueError(f"limits: found {name}={value!r}, expected positive numbers for {', '.join(kinds)}")
        return cls(**{name: kinds[name](value) for name, value in values.items()})


@dataclass(frozen=True)
class Ran:
    """What came of a run: outputs for each cell that was started, files that were left, and how it ended."""

    outputs: tuple[list[NotebookNode], ...]
    files: dict[str, bytes]
    ended: str
    flags: tuple[str, ...]
    cpu_seconds: float
    peak_bytes: int
    sandboxed: bool


class Runner:
    """Owns a warm parent and runs one submission at a time in a kernel forked from it. A context manager.

    One thread may `run` while another prepares the next kernel.

    `lent` is the socket of another runner's parent on this machine: it is used for as long as it answers. Raises
    SandboxMissing where the machine cannot contain a kernel and `unprotected` is not set.
    """

    def __init__(self, unprotected: bool = False, lent: Path | None = None) -> None:
        self.unprotected = unprotected
        self._lent = lent
        self._parent: subprocess.Popen | None = None
        self._folder: Path | None = None
        self._kernel: _Contained | _Fresh | None = None
        self._spares: deque[_Contained] = deque()
        self._starting = threading.RLock()  # of the parent, by whichever thread needs it first
        if not unprotected and (why := sandbox.missing()):
            raise SandboxMissing(f"{why}. To grade without protection all the same, set NBGRADER_UNPROTECTED=1")

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the parent, and the kernel that another thread may be waiting for."""
        if kernel := self._kernel:
            kernel.signal(signal.SIGKILL)
        while self._spares:
            self._spares.popleft().clean()
        if self._parent:
            with self._parent:  # its pipes are closed, and it is waited for
                self._parent.terminate()  # while it imports it would not notice that its leash has ended
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._parent = self._folder = None

    def run(self, cells: Sequence[Cell], given: dict[str, bytes], limits: Limits | None = None) -> Ran:
        """Run `cells` one after another in one new kernel, with the files `given` in its questions folder."""
        limits = limits or Limits()
        self._kernel = kernel = _Fresh() if self.unprotected else self._prepared(limits)
        with contextlib.ExitStack() as stack:
            stack.callback(self._cleared, kernel)
            try:
                kernel.give(given)
                with Conversation(kernel.connection, kernel.signal, kernel.dead, limits.output) as conversation:
                    spoken = conversation.hold(cells, limits.wall, limits.cell)
            finally:
                kernel.signal(signal.SIGKILL)
                told, files = kernel.left(limits.answers)
        if told["broken"]:
            raise SandboxMissing(told["ended"])
        return _ran(spoken, told, files, not self.unprotected)

    def _cleared(self, kernel: _Contained | _Fresh) -> None:
        self._kernel = None
        kernel.clean()

    def prepare(self, limits: Limits | None = None) -> None:
        """Fork a kernel for a later `run` with these limits, which then need not wait for its start.

        It lies in walls of its own and knows nothing of a submission: what it is asked comes with `run`. Does nothing
        where the parent is not there yet or enough kernels wait; what fails here is told by `run`.
        """
        path = None if self.unprotected or len(self._spares) >= _MOST_SPARES else self._lent or self.start()
        if path and path.exists():
            with contextlib.suppress(OSError):
                self._spares.append(_Contained(path, limits or Limits()))

    def _prepared(self, limits: Limits) -> _Contained:
        """A kernel that waits, or a new one."""
        while self._spares:
            kernel = self._spares.popleft()
            if kernel.limits == limits and not kernel.dead():
                return kernel
            kernel.clean()
        return self._contained(limits)

    def _contained(self, limits: Limits) -> _Contained:
        for attempt in (1, 2):
            path = self.ready()
            assert path  # there is a sandbox
            try:
                return _Contained(path, limits)
            except OSError:  # the parent has ended meanwhile: it was idle, or somebody killed it
                if attempt == 2:
                    raise
                self._lent = None
                self.close()
        raise AssertionError

    def start(self) -> Path | None:
        """Begin to start this runner's parent, which imports for seconds; its socket, None without a sandbox."""
        if self.unprotected:
            return None
        with self._starting:
            if self._parent and self._parent.poll() is not None:
                self.close()
            if not self._parent:
                self._folder = Path(tempfile.mkdtemp(prefix="coursekit-"))
                # A clean environment: the grader's may hold the database's password.
                env, preload = _environment(self._folder), coursekit.kernel.__name__
                try:
                    self._parent = warm.start(self._folder / "warm", preload, env, _IDLE_SECONDS, leash=True)
                except warm.NotWarm as error:
                    self.close()
                    raise SandboxMissing(str(error)) from error
            return self._folder / "warm" if self._folder else None

    def ready(self) -> Path | None:
        """The socket of a parent that listens; None without a sandbox."""
        if self._lent:
            return self._lent
        if (path := self.start()) and self._parent:
            try:
                warm.wait_until_ready(path, self._parent)
            except warm.NotWarm as error:
                self.close()
                raise SandboxMissing(str(error)) from error
        return path


@functools.cache
def other_copy() -> str:
    """Why kernels of this environment would not import the grader's own coursekit; empty where they would.

    Their Python starts without this process's settings (PYTHONPATH, the current folder), and what judges their answers
    must be what asked for them: with another copy a whole class would earn nothing.
    """
    names = ("coursekit", "kernelkit")
    code = f"import importlib, json; print(json.dumps([importlib.import_module(n).__file__ for n in {names}]))"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, env=_environment(Path("/")), cwd="/", capture_output=True, text=True)
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        return f"kernels cannot import coursekit ({why}): install it for {sys.executable}"
    for name, place in zip(names, json.loads(done.stdout), strict=True):
        mine, theirs = Path(str(sys.modules[name].__file__)).parent, Path(place).parent
        if (changed := _first_difference(mine, theirs)) is not None:
            return (
                f"kernels would import {name} from {theirs}, and the grader's own in {mine} is another one "
                f"({changed} differs): install one of them for {sys.executable}, or unset PYTHONPATH"
            )
    return ""


def _first_difference(mine: Path, theirs: Path) -> str | None:
    """The first file in which two copies of a package differ; None where they are the same."""
    if mine.resolve() == theirs.resolve():
        return None
    contents = [depending.contents(folder) for folder in (mine, theirs)]
    odd = {name for name, _ in contents[0].items() ^ contents[1].items()}
    return min(odd, default=None)


@functools.cache
def shared_runner(unprotected: bool, lent: Path | None = None) -> Runner:
    """This process's runner, which lasts as long as it does; an idle parent ends by itself."""
    runner = Runner(unprotected, lent)
    atexit.register(runner.close)
    return runner


class _Contained:
    """A kernel in a sandbox, behind the connection to its monitor."""

    def __init__(self, parent: Path, limits: Limits) -> None:
        self.limits = limits
        self.folder = Path(tempfile.mkdtemp(prefix="k", dir=parent.parent))
        for name in ("s", "given", "root"):
            (self.folder / name).mkdir()
        self.connection = _connection(str(self.folder / "s" / "k"))
        walls = {
            "private": str(self.folder),
            "readable": (str(Path(coursekit.__file__).parent),),
            "hidden": _hidden(),
            "memory": limits.memory,
            "processes": limits.processes,
            "open_files": limits.open_files,
            "scratch": limits.scratch,
            "cpu": limits.cpu,
            "answers": limits.answers,
        }
        scratch = Path(sandbox.SCRATCH)
        inside = self.connection | {"ip": f"{sandbox.SOCKETS}/k"}
        request = {"walls": walls, "connection": inside, "env": _environment(scratch) | _folders(scratch)}
        try:
            self._report = warm.ask(parent, request)
        except BaseException:
            self.clean()
            raise

    def give(self, given: dict[str, bytes]) -> None:
        for name, data in given.items():
            file = self.folder / "given" / name
            file.write_bytes(data)
            file.chmod(0o644)  # the kernel is another user, who may read

    def signal(self, number: int) -> None:
        with contextlib.suppress(OSError):
            self._report.send(bytes([number]))

    def dead(self) -> bool:
        return bool(select.select([self._report], [], [], 0)[0])  # its monitor has begun to tell

    def left(self, _most: int) -> tuple[dict, dict[str, bytes]]:
        return sandbox.receive(self._report)

    def clean(self) -> None:
        if report := getattr(self, "_report", None):
            report.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class _Fresh:
    """A kernel without any protection, as a child of this process."""

    def __init__(self) -> None:
        from jupyter_client.connect import write_connection_file

        self.folder = Path(tempfile.mkdtemp(prefix="coursekit-"))
        for name in ("questions", "answers", "home", "tmp"):
            (self.folder / name).mkdir()
        # No port: whoever else uses the machine could listen to what the kernel prints.
        place: dict[str, Any] = {"transport": "ipc", "ip": str(self.folder / "k")} if os.name == "posix" else {}
        file, connection = write_connection_file(str(self.folder / "kernel.json"), **place)
        self.connection = dict(connection)
        env = _environment(self.folder) | _folders(self.folder)
        command = [sys.executable, "-P", "-m", "ipykernel_launcher", "-f", file, "--HistoryManager.enabled=False"]
        null = subprocess.DEVNULL
        self._process = subprocess.Popen(
            command, env=env, cwd=self.folder, stdin=null, stdout=null, stderr=null, start_new_session=True
        )

    def give(self, given: dict[str, bytes]) -> None:
        for name, data in given.items():
            (self.folder / "questions" / name).write_bytes(data)

    def signal(self, number: int) -> None:
        if number == signal.SIGKILL and hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
        elif self._process.poll() is None:
            self._process.send_signal(number) if number != signal.SIGKILL else self._process.kill()

    def dead(self) -> bool:
        return self._process.poll() is not None

    def left(self, most: int) -> tuple[dict, dict[str, bytes]]:
        code = self._process.wait()
        folder = os.open(self.folder / "answers", os.O_RDONLY)
        files, notes = sandbox.collect(folder, most)
        os.close(folder)
        return sandbox.told_of(-code if code < 0 else code << 8, 0.0, 0, "", False, notes), files

    def clean(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _connection(ip: str) -> dict:
    ports = ("shell_port", "iopub_port", "stdin_port", "control_port", "hb_port")
    key = secrets.token_hex(32)
    numbers = {name: i + 1 for i, name in enumerate(ports)}
    return {"transport": "ipc", "ip": ip, "key": key, "signature_scheme": "hmac-sha256"} | numbers


def _environment(home: Path) -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return passed | _FIXED | {"HOME": str(home)}


def _folders(scratch: Path) -> dict[str, str]:
    names = ("HOME", "MPLCONFIGDIR", "IPYTHONDIR", "COURSEKIT_HOME", "JUPYTER_RUNTIME_DIR", "XDG_CACHE_HOME")
    home = {name: str(scratch / "home") for name in names}
    return home | {
        "TMPDIR": str(scratch / "tmp"),
        QUESTIONS: str(scratch / "questions"),
        ANSWERS: str(scratch / "answers"),
    }


def _hidden() -> tuple[str, ...]:
    """What must not be seen even where it is installed among what may: references, stand-ins, and this package."""
    import grader

    ours = Path(coursekit.__file__).parent
    folders = [ours / "generated" / "reference", ours / "library", *(Path(place) for place in grader.__path__)]
    return tuple(str(folder) for folder in folders)


def _ran(spoken: Spoken, told: dict, files: dict[str, bytes], sandboxed: bool) -> Ran:
    ended = told["ended"] or spoken.ended
    if not spoken.ended and spoken.finished < spoken.cells and not told["ended"]:
        ended = _death(told["status"], spoken.finished)
    flags = (*spoken.flags, *told["notes"], *((ended,) if ended else ()))
    return Ran(spoken.outputs, files, ended, flags, told["cpu"], told["peak"], sandboxed)


def _death(status: int | None, finished: int) -> str:
    how = "ended"
    if status is not None and os.WIFSIGNALED(status):
        how = f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
    elif status is not None and os.WEXITSTATUS(status):
        how = f"ended with status {os.WEXITSTATUS(status)}"
    return f"the kernel {how} after {finished} cells: what stands below was not run"
