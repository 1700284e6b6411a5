"""The few Linux calls that Python does not offer: mounts, namespaces, capabilities and a filter of system calls.

Imports nothing but the standard library, so that a probe can load it without the course.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import platform
import socket
import struct

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
CLONE_NEWCGROUP = 0x2000000
EVERY_NAMESPACE_FLAG = 0x7E000000 | CLONE_NEWNS

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2

_MADV_COLLAPSE = 25

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 22, 38, 47

_libc = ctypes.CDLL(None, use_errno=True)


class LinuxError(OSError):
    """A call that failed; the message names the call."""


def _call(what: str, result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise LinuxError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    _call(f"unshare({flags:#x})", _libc.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    type_ = kind.encode() if kind else None
    done = _libc.mount(os.fsencode(source), os.fsencode(target), type_, ctypes.c_ulong(flags), options.encode())
    _call(f"mount {kind or source} on {target}", done)


def unmount(target: str) -> None:
    _call(f"umount {target}", _libc.umount2(os.fsencode(target), MNT_DETACH))


def prctl(option: int, *values: int) -> int:
    """prctl(2), with the missing arguments 0."""
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    return _call(f"prctl({option})", _libc.prctl(ctypes.c_int(option), *padded))


def pivot_root(new: str) -> None:
    """Make `new` the root, and let the old one go."""
    os.chdir(new)
    number = {"x86_64": 155, "aarch64": 41}[platform.machine()]
    _call("pivot_root", _libc.syscall(ctypes.c_long(number), b".", b"."))
    unmount(".")  # the old root lies on top of the new one
    os.chdir("/")


def read_only(target: str) -> None:
    """Remount one bind mount, and each mount below it, read-only and without set-uid programs or devices."""
    for path in [*_mounts_below(target), target]:
        # In a user namespace the flags that a mount has already are locked, and must be given again.
        locked = _locked(path)
        mount("none", path, None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | locked)


def _mounts_below(target: str) -> list[str]:
    with open("/proc/self/mountinfo") as file:
        points = [line.split()[4].encode().decode("unicode_escape") for line in file]
    return [point for point in points if point.startswith(target.rstrip("/") + "/")]


def _locked(path: str) -> int:
    with contextlib.suppress(OSError):
        flags = os.statvfs(path).f_flag
        times = {os.ST_NOATIME: 1024, os.ST_NODIRATIME: 2048, os.ST_RELATIME: 1 << 21, os.ST_NOEXEC: MS_NOEXEC}
        return sum(mine for theirs, mine in times.items() if flags & theirs)
    return 0


def loopback_up() -> None:
    """Let processes of this network namespace reach each other on 127.0.0.1, and nobody else: ipykernel needs it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def huge_pages() -> None:
    """Move this process's private memory into pages of 2 MiB: a fork copies the table of pages, not the pages.

    With 300 MB in pages of 4 KiB a fork and its end take 22 ms, and in huge pages 8 ms. A child that writes gets a copy
    of 4 KiB all the same. Needs Linux 6.1; elsewhere all stays as it is.
    """
    size = 1 << 21
    with open("/proc/self/maps") as file:
        rows = [line.split() for line in file]
    for place, rights, *_, name in (row if len(row) > 5 else [*row, ""] for row in rows):
        first, end = (int(edge, 16) for edge in place.split("-"))
        first, end = -(-first // size) * size, end // size * size
        if rights == "rw-p" and name in ("", "[heap]") and first < end:
            _libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), ctypes.c_int(_MADV_COLLAPSE))


def drop_capabilities() -> None:
    """Give up every capability, now and for every program started later."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except LinuxError as error:
            if error.errno != errno.EINVAL:
                raise
            break  # past the last one
    with contextlib.suppress(LinuxError):
        prctl(PR_CAP_AMBIENT, 4)  # PR_CAP_AMBIENT_CLEAR_ALL
    header, nothing = struct.pack("Ii", 0x20080522, 0), bytes(24)
    _call("capset", _libc.capset(header, nothing))


# Each row: name, number on x86_64, number on aarch64. None needs a capability to be worth refusing.
_REFUSED = """
ptrace 101 117|process_vm_readv 310 270|process_vm_writev 311 271|kcmp 312 272|keyctl 250 219|add_key 248 217
request_key 249 218|bpf 321 280|perf_event_open 298 241|userfaultfd 323 282|mount 165 40|umount2 166 39
pivot_root 155 41|chroot 161 51|unshare 272 97|setns 308 268|memfd_create 319 279|memfd_secret 447 447
shmget 29 194|msgget 68 186|semget 64 190|io_uring_setup 425 425|io_uring_enter 426 426|io_uring_register 427 427
open_tree 428 428|move_mount 429 429|fsopen 430 430|fsconfig 431 431|fsmount 432 432|fspick 433 433
pidfd_getfd 438 438|mount_setattr 442 442|open_by_handle_at 304 265
"""
# x86_64, aarch64
_CLONE, _CLONE3, _PRCTL, _SOCKET = (56, 220), (435, 435), (157, 167), (41, 198)
_SOCKETPAIR, _SETSOCKOPT = (53, 199), (54, 208)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06


def new_keyring() -> None:
    """Join a session keyring that nobody else holds: with the old one, keys of other processes would be at hand."""
    number = {"x86_64": 250, "aarch64": 219}[platform.machine()]
    _call("keyctl", _libc.syscall(ctypes.c_long(number), 1, None))  # KEYCTL_JOIN_SESSION_KEYRING


def refuse_system_calls() -> None:
    """Let dangerous system calls fail with EPERM, for this thread and all that it starts. Needs no_new_privs.

    What is refused: looking into other processes, kernel keys, BPF, new namespaces and mounts, memory that no
    process shows (memfd, System V), sockets other than Unix streams, netlink and (unreachable) internet ones, and
    taking back that a process dies with its parent. A larger buffer for a socket is granted in words only: nothing
    tells how much lies in a Unix socket, so each must be known to hold no more than the system's default.
    """
    code = _filter()
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    holder = ctypes.create_string_buffer(program, len(program))
    prctl(PR_SET_SECCOMP, 2, ctypes.addressof(holder))


def _filter() -> bytes:
    column, architecture = _ARCHITECTURES[platform.machine()]
    rows = [row.split() for line in _REFUSED.strip().splitlines() for row in line.split("|")]
    eperm = (_RETURN, 0, 0, _ERRNO | errno.EPERM)
    allow = (_RETURN, 0, 0, _ALLOW)
    # (code, jump if true, jump if false, value); offsets 0: number, 4: architecture, 16: first argument, 24, 32.
    steps = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), eperm, (_LOAD, 0, 0, 0)]
    if column == 0:
        steps += [(_AT_LEAST, 0, 1, 0x40000000), eperm]  # the x32 numbers
    for row in rows:
        steps += [(_EQUAL, 0, 1, int(row[1 + column])), eperm]
    # ENOSYS: the C library then uses clone, whose flags a filter can see.
    steps += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    steps += [(_EQUAL, 0, 4, _CLONE[column]), (_LOAD, 0, 0, 16), (_ANY_BIT, 0, 1, EVERY_NAMESPACE_FLAG), eperm, allow]
    steps += [(_EQUAL, 0, 4, _PRCTL[column]), (_LOAD, 0, 0, 16), (_EQUAL, 0, 1, PR_SET_PDEATHSIG), eperm, allow]
    steps += _socket_steps(column, allow)
    return b"".join(struct.pack("HBBI", *step) for step in steps)


def _socket_steps(column: int, allow: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    steps = [(_EQUAL, 0, 6, _SETSOCKOPT[column]), (_LOAD, 0, 0, 24), (_EQUAL, 0, 3, socket.SOL_SOCKET)]
    steps += [(_LOAD, 0, 0, 32), (_EQUAL, 0, 1, socket.SO_SNDBUF), (_RETURN, 0, 0, _ERRNO | 0), allow]
    # Streams and sequenced packets: datagrams of many senders that are closed would lie in one socket.
    steps += [(_EQUAL, 1, 0, _SOCKET[column]), (_EQUAL, 0, 10, _SOCKETPAIR[column]), (_LOAD, 0, 0, 16)]
    steps += [(_EQUAL, 0, 4, socket.AF_UNIX), (_LOAD, 0, 0, 24), (_AND, 0, 0, 0xF)]
    steps += [(_EQUAL, 5, 0, socket.SOCK_STREAM), (_EQUAL, 4, 3, socket.SOCK_SEQPACKET)]
    # and AF_NETLINK, with which ZeroMQ lists the interfaces
    steps += [(_EQUAL, 3, 0, socket.AF_INET), (_EQUAL, 2, 0, socket.AF_INET6), (_EQUAL, 1, 0, socket.AF_NETLINK)]
    return [*steps, (_RETURN, 0, 0, _ERRNO | errno.EAFNOSUPPORT), allow]
