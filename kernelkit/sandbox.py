"""A kernel that may do anything, in a place where there is nothing to harm.

It covers what code could read, change, reach, use up or leave running on this machine, and not flaws of the Linux
kernel, timing, or what the code's own process says of itself, which is why answers are judged elsewhere. It is not
bubblewrap, which starts a program: here a parent that has imported torch is forked, and the walls are watched and read
from inside.

`contain` runs in a process forked for one kernel, the monitor. It builds a root folder that shows only what Python
needs, forks the kernel into namespaces of its own, watches its memory, and, once every process in there is dead,
sends the files that were left in the answers folder. The monitor itself runs none of the learner's code.

Imports nothing but the standard library, so that a probe can load it without the course.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

from kernelkit import holding, linux
from kernelkit.files import Refused, read_plain

SCRATCH = "/scratch"
SOCKETS = "/sockets"
ANSWERS = f"{SCRATCH}/answers"
_MACHINE = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/fonts", "/etc/alternatives")
_COPIED = ("/etc/ld.so.cache", "/etc/localtime", "/etc/nsswitch.conf", "/etc/mime.types")
_DEVICES = ("null", "zero", "full", "random", "urandom")
_MOST_FILES = 4096
_FIRST_PRIVATE_UID = 0x7E000000


@dataclass(frozen=True)
class Walls:
    """What one contained kernel may see and use; sizes in bytes."""

    private: str  # a folder of the host, made for this kernel: `s` for its sockets, `given` for its questions
    readable: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    memory: int = 3 << 30
    processes: int = 64
    open_files: int = 256
    scratch: int = 256 << 20
    cpu: int = 600
    answers: int = 64 << 20


def contain(walls: Walls, kernel: Callable[[Callable[[], None]], None], report: socket.socket) -> None:
    """Run `kernel` inside `walls`, then send what it left over `report`. Called in a forked process of its own.

    `kernel` is given a function that it calls when its sockets are made and before it runs anything of the
    learner's. Each byte from the other side of `report` is the number of a signal for the kernel; when the other
    side closes, the kernel dies.
    """
    try:
        uid, baseline = _enter(), _resident()
        _build(walls, uid)
        upward, downward = os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            _first_process(walls, uid, kernel, report, (upward, downward))
        os.close(upward[1])
        os.close(downward[0])
        pidfd = os.pidfd_open(pid)
        broken = _seal(upward[0], downward[1])
        ended, peak = _watch(walls, pid, pidfd, report)
        _, status, usage = os.wait4(pid, 0)  # returns when every process of the namespace is dead
        peak = max(peak, usage.ru_maxrss * 1024 - baseline)
        files, notes = _left(walls.answers)
        told = told_of(status, usage.ru_utime + usage.ru_stime, peak, broken or ended, bool(broken), notes)
    except OSError as error:
        files, told = {}, told_of(None, 0.0, 0, f"the sandbox cannot be made: {error}", True, [])
    send(report, told, files)


def told_of(status: int | None, cpu: float, peak: int, ended: str, broken: bool, notes: list[str]) -> dict:
    """What is reported about a dead kernel: wait status, CPU seconds, bytes, and sentences.

    `broken` says that the sandbox failed, and nothing of the learner's ran.
    """
    return {"status": status, "cpu": cpu, "peak": peak, "ended": ended, "broken": broken, "notes": notes}


def send(report: socket.socket, told: dict, files: dict[str, bytes]) -> None:
    """The counterpart of `receive`."""
    told["files"] = [[name, len(data)] for name, data in files.items()]
    head = json.dumps(told).encode()
    with contextlib.suppress(OSError):
        report.setblocking(True)
        for piece in (struct.pack("!I", len(head)), head, *files.values()):
            report.sendall(piece)


def _resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _enter() -> int:
    """Take this process into new namespaces; the user id under which the kernel will run."""
    flags = linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWUTS
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        # The superuser's processes are not counted: each kernel gets an id that nobody else has.
        linux.unshare(flags)
        uid = _FIRST_PRIVATE_UID + os.getpid()
    else:
        linux.unshare(flags | linux.CLONE_NEWUSER)
        _map_ids(uid, gid)
    socket.sethostname("sandbox")
    linux.loopback_up()
    return uid


def _map_ids(uid: int, gid: int) -> None:
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _build(walls: Walls, uid: int) -> None:
    """Lay out the new root folder; it becomes the root once /proc is there."""
    root = f"{walls.private}/root"
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("tmpfs", root, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=8m,nr_inodes=4096,mode=755")
    _scratch(walls, root, uid)  # first: what is shown may itself lie in /tmp
    shown = dict.fromkeys((*_MACHINE, sys.base_prefix, sys.prefix, *walls.readable))
    for path in shown:
        _show(root, path)
    for path in _spellings(walls.hidden, shown):
        if os.path.isdir(root + path):
            linux.mount("tmpfs", root + path, "tmpfs", linux.MS_RDONLY, "size=4k,nr_inodes=2,mode=755")
    for path in _COPIED:
        if os.path.isfile(path):
            os.makedirs(os.path.dirname(root + path), exist_ok=True)
            shutil.copyfile(path, root + path)
    _write(root + "/etc/passwd", f"learner:x:{uid}:{uid}::{SCRATCH}/home:/bin/sh\n")
    _write(root + "/etc/group", f"learner:x:{uid}:\n")
    _write(root + "/etc/hosts", "127.0.0.1 localhost\n")
    _devices(root)
    os.makedirs(root + SOCKETS)
    linux.mount(f"{walls.private}/s", root + SOCKETS, None, linux.MS_BIND)
    linux.mount("none", root + SOCKETS, None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_NOSUID | linux.MS_NODEV)
    os.makedirs(root + "/proc")
    flags = linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV
    linux.mount("none", root, None, flags)


def _spellings(hidden: Iterable[str], shown: Iterable[str]) -> list[str]:
    """The paths under which a hidden folder can be seen: each way in which what is shown leads to it, by links too."""
    found = {}
    for path, place in product(map(os.path.realpath, hidden), shown):
        if _within(path, real := os.path.realpath(place)):
            found[os.path.normpath(f"{place}/{os.path.relpath(path, real)}")] = True
            found[path] = True
    return [path for path in found if os.path.isdir(path)]


def _within(path: str, folder: str) -> bool:
    return os.path.commonpath([path, folder]) == folder


def _write(path: str, text: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Path(path).write_text(text)


def _show(root: str, path: str) -> None:
    """Let `path` be seen, read-only, under the new root."""
    if os.path.islink(path):
        os.makedirs(os.path.dirname(root + path), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.symlink(os.readlink(path), root + path)
        _show(root, os.path.realpath(path))
        return
    if not os.path.isdir(path) or path == "/" or os.path.isdir(root + path):
        return  # absent, or inside one that is already shown
    os.makedirs(root + path)
    linux.mount(path, root + path, None, linux.MS_BIND | linux.MS_REC)
    linux.read_only(root + path)


def _devices(root: str) -> None:
    os.makedirs(root + "/dev")
    for name in _DEVICES:
        Path(f"{root}/dev/{name}").touch()
        linux.mount(f"/dev/{name}", f"{root}/dev/{name}", None, linux.MS_BIND)
    os.symlink("/proc/self/fd", root + "/dev/fd")
    os.symlink(f"{SCRATCH}/tmp", root + "/dev/shm")  # shared memory is counted and limited as scratch


def _scratch(walls: Walls, root: str, uid: int) -> None:
    place = root + SCRATCH
    os.makedirs(place)
    options = f"size={walls.scratch},nr_inodes=16384,mode=755"
    linux.mount("tmpfs", place, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)
    for name in ("answers", "home", "tmp"):
        os.mkdir(f"{place}/{name}")
        if os.geteuid() == 0:
            os.chown(f"{place}/{name}", uid, uid)
    if os.geteuid() == 0:
        os.chown(place, uid, uid)
        os.chown(f"{walls.private}/s", uid, uid)
    os.mkdir(root + "/tmp")
    linux.mount(f"{place}/tmp", root + "/tmp", None, linux.MS_BIND)
    # Shown, not copied: a kernel is made before it is known what it will be asked.
    os.mkdir(f"{place}/questions")
    os.chmod(f"{walls.private}/given", 0o755)
    linux.mount(f"{walls.private}/given", f"{place}/questions", None, linux.MS_BIND)
    linux.read_only(f"{place}/questions")


def _first_process(walls: Walls, uid: int, kernel, report, pipes) -> None:
    """Process 1 of the new namespace: give up everything, then be the kernel. Does not return."""
    status = 1
    try:
        (upward, downward) = pipes
        os.close(upward[0])
        os.close(downward[1])
        report.close()
        root, ready = f"{walls.private}/root", False
        linux.mount("proc", root + "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        linux.pivot_root(root)
        _close_inherited({upward[1], downward[0]})
        _give_up(walls, uid)
        os.chdir(SCRATCH)

        def sealed() -> None:
            nonlocal ready
            os.write(upward[1], b"r")
            if not os.read(downward[0], 1):
                os._exit(1)
            ready = True
            os.close(upward[1])
            os.close(downward[0])

        kernel(sealed)
        status = 0
    except BaseException as error:
        if not ready:
            os.write(upward[1], f"{type(error).__name__}: {error}".encode()[:1000])
    finally:
        os._exit(status)


def _close_inherited(keep: set[int]) -> None:
    """Nothing that the grader holds open may be reached from here, its terminal included."""
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in keep:
            with contextlib.suppress(OSError):  # the one that listed them
                os.close(int(name))


def _give_up(walls: Walls, uid: int) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        linux.prctl(linux.PR_SET_DUMPABLE, 1)  # else its own /proc/self is closed to it
        with contextlib.suppress(OSError):  # an id that nobody has is wall enough
            linux.unshare(linux.CLONE_NEWUSER)
            _map_ids(uid, uid)
    with contextlib.suppress(OSError):
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")  # where memory runs out, this goes first
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)  # after the change of user, which clears it
    _limit(walls)
    linux.drop_capabilities()
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    linux.refuse_system_calls()


def _limit(walls: Walls) -> None:
    """Limits of each process; what all of them use together is watched from outside."""
    with open("/proc/self/status") as file:
        sizes = dict(line.split(":", 1) for line in file)
    data, total = (int(sizes[name].split()[0]) * 1024 for name in ("VmData", "VmSize"))
    most = {
        resource.RLIMIT_CPU: walls.cpu,
        resource.RLIMIT_DATA: data + walls.memory,
        resource.RLIMIT_AS: total + 4 * walls.memory,
        resource.RLIMIT_NPROC: walls.processes,
        resource.RLIMIT_NOFILE: walls.open_files,
        resource.RLIMIT_FSIZE: walls.scratch,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 1 << 20,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for name, value in most.items():
        ceiling = resource.getrlimit(name)[1]
        value = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
        resource.setrlimit(name, (value, value))


def _seal(upward: int, downward: int) -> str:
    """Once the kernel's sockets are made nothing more is: their folder lies on the host's disk.

    Returns why the kernel could not be started; empty when it could.
    """
    said = os.read(upward, 1000)
    why = said.decode("utf-8", "replace") or "it died"
    broken = "" if said == b"r" else f"the kernel could not be started: {why}"
    if not broken:
        os.chdir("/")
        flags = linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV
        linux.mount("none", SOCKETS, None, flags)
        with contextlib.suppress(BrokenPipeError):
            os.write(downward, b"g")
    os.close(upward)
    os.close(downward)
    return broken


def _watch(walls: Walls, pid: int, pidfd: int, report: socket.socket) -> tuple[str, int]:
    """Wait until the kernel is dead; why it had to be ended, and the most memory that was seen."""
    poll, ended, peak = select.poll(), "", 0
    poll.register(pidfd, select.POLLIN)
    poll.register(report, select.POLLIN)
    look = time.monotonic() + 0.5
    while True:
        ready = dict(poll.poll(max(0.0, look - time.monotonic()) * 1000))
        if pidfd in ready:
            return ended, peak
        if report.fileno() in ready:
            order = report.recv(1)
            os.kill(pid, order[0] if order else signal.SIGKILL)
            if not order:
                poll.unregister(report)
        if time.monotonic() >= look:
            began = time.monotonic()
            peak = max(peak, used := holding.memory(SCRATCH))
            if used > walls.memory and not ended:
                ended = f"the submission used {used >> 20} MB of memory, {walls.memory >> 20} MB are allowed"
                os.kill(pid, signal.SIGKILL)
            # Looking at many processes takes a while: never more than a tenth of the time.
            look = time.monotonic() + max(0.2, 10 * (time.monotonic() - began))


def _left(most: int) -> tuple[dict[str, bytes], list[str]]:
    """The regular files in the answers folder, and a sentence on each thing that was not taken."""
    try:
        folder = os.open(ANSWERS, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        return {}, [f"the answers folder cannot be read ({error.strerror})"]
    return collect(folder, most)


def collect(folder: int, most: int) -> tuple[dict[str, bytes], list[str]]:
    """The regular files in an open folder, at most `most` bytes together, and why others were not taken."""
    files: dict[str, bytes] = {}
    notes: list[str] = []
    for number, name in enumerate(sorted(os.listdir(folder))):
        if number >= _MOST_FILES:
            notes.append(f"more than {_MOST_FILES} answers: the rest was not read")
            break
        try:
            name.encode()
            files[name] = read_plain(folder, name, most)
            most -= len(files[name])
        except (Refused, UnicodeError) as error:
            why = error if isinstance(error, Refused) else "has a name that is no text"
            notes.append(f"answer {name[:80]!a} {why}: it was not read")
    return files, notes[:20]


@cache
def missing() -> str:
    """What this machine lacks to contain a kernel, in one sentence; empty when nothing is."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return f"a sandbox needs Linux with namespaces and pidfd, found {sys.platform}"
    place = str(Path(__file__).parents[1])
    code = f"import sys; sys.path.append({place!r}); from kernelkit import sandbox; sandbox.probe()"
    try:
        done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"the sandbox could not be tried: {error}"
    if done.returncode == 0 and done.stdout.strip() == "ok":
        return ""
    said = (done.stdout.strip() or done.stderr.strip() or f"exit status {done.returncode}").splitlines()[-1]
    return (
        f"this machine does not let a process contain another ({said}): allow user namespaces "
        "(in a container: --security-opt seccomp=unconfined --security-opt systempaths=unconfined, or --privileged)"
    )


def probe() -> None:
    """Contain a process that writes one answer, and print "ok" or what went wrong."""
    import tempfile

    with tempfile.TemporaryDirectory() as private:
        for name in ("s", "given", "root"):
            os.mkdir(f"{private}/{name}")
        mine, theirs = socket.socketpair()

        def kernel(sealed) -> None:
            sealed()
            Path(ANSWERS, "ok").write_text("ok")

        if os.fork() == 0:
            mine.close()
            contain(Walls(private, memory=1 << 30), kernel, theirs)
            os._exit(0)
        theirs.close()
        told, files = receive(mine)
        os.wait()
    print("ok" if files.get("ok") == b"ok" else told["ended"] or f"the first process ended with {told['status']}")


def receive(report: socket.socket) -> tuple[dict, dict[str, bytes]]:
    """What the monitor sends when the kernel is dead: facts, and the files that were left."""
    with report.makefile("rb") as stream:
        size = stream.read(4)
        if len(size) < 4:
            return told_of(None, 0.0, 0, "the process that watches the kernel ended early", True, []), {}
        told = json.loads(stream.read(struct.unpack("!I", size)[0]))
        return told, {name: stream.read(length) for name, length in told["files"]}
