"""Grading that is killed, disturbed, or given another database ends in the same gradebook.

`make soak` runs the same with 500 submissions (COURSEKIT_SOAK).
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from classroom import LIMITS, Classroom
from submissions import ALL, SLUG

from grader.grading.secret import STATE
from kernelkit import sandbox

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(sandbox.missing()), reason=sandbox.missing() or "a sandbox"),
]
SIZE = int(os.environ.get("COURSEKIT_SOAK", "12"))
ORDINARY = ("honest_right", "honest_stubs", "honest_half", "honest_helper", "honest_float64")
HOSTILE = ("segfaults", "printed", "patched", "tagged", "link", "published", "not_json", "daemon")
POSTGRES = sorted(Path("/usr/lib/postgresql").glob("*/bin")) if Path("/usr/lib/postgresql").is_dir() else []


def filled(folder, size):
    """A course with `size` submissions; one in twenty is hostile, and at least one."""
    room = Classroom(folder)
    every = min(20, size)
    room.kinds = {}
    for i in range(size):
        name = HOSTILE[i // every % len(HOSTILE)] if i % every == every - 1 else ORDINARY[i % len(ORDINARY)]
        room.kinds[f"learner{i:03}"] = name
        room.submit(ALL[name], f"learner{i:03}")
    made = room.command("nbgrader", "generate_assignment", SLUG)
    assert made.returncode == 0, made.stderr[-3000:]
    return room


def results(room):
    return {path: path.stat().st_mtime_ns for path in (room.course / STATE / "results").rglob("*.json")}


def wait_for(condition, process):
    """Until `condition`, or the end of the process: whichever is first."""
    while not condition() and process.poll() is None:
        time.sleep(0.05)


def kill_after(room, count):
    """Start grading and kill the coordinator as soon as `count` results are stored."""
    null = subprocess.DEVNULL
    process = room.start("grader", "grade", SLUG, "--jobs", "2", stdout=null, stderr=null, start_new_session=True)
    wait_for(lambda: len(results(room)) >= count, process)
    process.send_signal(signal.SIGKILL)
    process.wait()


def worker_of(process):
    """A worker of this coordinator: not its warm parent, and no helper of multiprocessing. None where there is none."""
    for child in psutil.Process(process.pid).children():
        with contextlib.suppress(psutil.Error):
            if any("spawn_main" in word for word in child.cmdline()):
                return child
    return None


@pytest.mark.slow(5)
def test_a_disturbed_run_ends_like_an_undisturbed_one(tmp_path):
    calm, wild = filled(tmp_path / "calm", SIZE), filled(tmp_path / "wild", SIZE)
    try:
        done = calm.command("grader", "grade", SLUG, "--jobs", "2")
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        kill_after(wild, SIZE // 4)
        first = results(wild)
        kill_after(wild, SIZE // 2)
        process = wild.start("grader", "grade", SLUG, "--jobs", "2", stdout=subprocess.DEVNULL)
        done = len(results(wild))
        wait_for(lambda: len(results(wild)) > done, process)
        if worker := worker_of(process):
            worker.kill()
        assert process.wait() == 0
        assert {path: results(wild).get(path) for path in first} == first, "something was graded twice"
        assert len(results(wild)) == SIZE
        assert wild.points() == calm.points()
        expected = {student: calm.full(ALL[kind]) for student, kind in calm.kinds.items()}
        found = {student: {id: scores[id] for id in expected[student]} for student, scores in calm.points().items()}
        assert found == expected
    finally:
        calm.close()
        wild.close()


def test_a_reader_that_leaves_ends_grading_and_its_workers(tmp_path):
    """As in `grade ... | head -1`: nothing can be printed any more, not even why."""
    room = filled(tmp_path, 4)
    try:
        pipe, same = subprocess.PIPE, subprocess.STDOUT
        process = room.start("grader", "grade", SLUG, "--jobs", "2", stdout=pipe, stderr=same)
        assert process.stdout.readline().startswith("1/4 ")
        process.stdout.close()
        assert process.wait(timeout=300) != 0
        assert results(room)
    finally:
        room.close()


def interruptible():
    """Have Ctrl-C interrupt a child even where this process was started in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_grading_in_the_middle_of_a_cell(tmp_path, monkeypatch):
    monkeypatch.setitem(LIMITS, "cell", 3_000)
    monkeypatch.setitem(LIMITS, "wall", 3_000)
    room = filled(tmp_path, 2)
    try:
        room.submit(ALL["blocking"], "learner001")
        pipe = subprocess.PIPE
        process = room.start("grader", "grade", SLUG, stdout=pipe, stderr=pipe, preexec_fn=interruptible)
        wait_for(lambda: len(results(room)) == 1, process)  # the other one runs by now, and would sleep for an hour
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=600)
        assert process.returncode == 130
        assert "nothing is lost" in said
        assert len(results(room)) == 1
    finally:
        room.close()


def test_a_damaged_result_is_graded_again_and_a_good_one_is_not(tmp_path):
    room = filled(tmp_path, 2)
    try:
        assert room.command("grader", "grade", SLUG).returncode == 0
        before, earned = results(room), room.points()
        damaged = min(before)
        damaged.write_bytes(damaged.read_bytes().replace(b"1.0", b"9.0").replace(b"2.0", b"9.0"))
        assert room.command("grader", "grade", SLUG).returncode == 0
        after = results(room)
        assert Counter(after[path] == before[path] for path in before) == {True: 1, False: 1}
        assert room.points() == earned
    finally:
        room.close()


@pytest.mark.skipif(not POSTGRES, reason="PostgreSQL's server is not installed (Debian: apt-get install postgresql)")
def test_postgresql_keeps_the_same_gradebook(tmp_path):
    with database() as url:
        room = Classroom(tmp_path, url)
        try:
            for name in ("honest_right", "honest_half", "segfaults", "not_json"):
                room.submit(ALL[name])
            for command in (("nbgrader", "generate_assignment", SLUG), ("nbgrader", "autograde", SLUG)):
                done = room.command(*command)
                assert done.returncode == 0, done.stderr[-3000:]
            for name, scores in room.points().items():
                full = room.full(ALL[name])
                assert {id: scores[id] for id in full} == full
            assert not (room.course / "gradebook.db").exists()
        finally:
            room.close()


class database:
    """A PostgreSQL of its own, on a socket in a temporary folder; it refuses to run as the superuser."""

    def __enter__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="pg"))
        self.user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        if self.user:
            shutil.chown(self.folder, "postgres", "postgres")
        self.run("initdb", "-D", f"{self.folder}/data", "-U", "grader", "-A", "trust")
        options = f"-k {self.folder} -c listen_addresses="
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-o", options, "-l", f"{self.folder}/log", "-w", "start")
        self.run("createdb", "-h", str(self.folder), "-U", "grader", "gradebook")
        return f"postgresql+psycopg://grader@/gradebook?host={self.folder}"

    def __exit__(self, *_):
        self.run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "-w", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, name, *arguments):
        null = subprocess.DEVNULL
        subprocess.run([POSTGRES[-1] / name, *arguments], check=True, cwd="/", stdout=null, stderr=null, **self.user)
