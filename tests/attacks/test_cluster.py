"""Grading on a Dask cluster with TLS: who has no certificate is turned away, and a bare one is told to be open."""

import contextlib
import json
import os
import shutil
import subprocess
import sys

import pytest
from classroom import Classroom
from submissions import ALL, SLUG

from grader.grading.cluster import Scheduler
from kernelkit import sandbox

pytestmark = [
    pytest.mark.slow(2),
    pytest.mark.skipif(bool(sandbox.missing()), reason=sandbox.missing() or "a sandbox"),
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed"),
]


@pytest.fixture
def certificate(tmp_path):
    return signed(tmp_path / "ours")


def signed(folder):
    """The options that name a new certificate and its key, which signs itself."""
    folder.mkdir()
    key, cert = folder / "key.pem", folder / "cert.pem"
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=grading"]
    subprocess.run([*new, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return [f"--tls-ca={cert}", f"--tls-cert={cert}", f"--tls-key={key}"]


@contextlib.contextmanager
def cluster(folder, certificate):
    """A scheduler and a worker that know this certificate; the scheduler's address."""
    where, env = folder / "scheduler.json", os.environ | {"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "60s"}
    tls = [certificate[0].replace("-ca=", "-ca-file="), *certificate[1:]]
    options = [f"--scheduler-file={where}", "--no-dashboard", *tls]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env, "cwd": folder}
    start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--protocol=tls", "--host=127.0.0.1", "--port=0"]
    work = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads=1", "--no-nanny"]
    with subprocess.Popen([*start, *options], **quiet) as head:
        try:
            while not where.exists() and head.poll() is None:
                pass
            with subprocess.Popen([*work, *options], **quiet) as worker:
                try:
                    yield json.loads(where.read_text())["address"]
                finally:
                    worker.terminate()
        finally:
            head.terminate()


def test_who_has_the_certificate_grades_and_who_has_another_does_not(tmp_path, certificate):
    room = Classroom(tmp_path / "room")
    try:
        for name in ("honest_half", "segfaults"):
            room.submit(ALL[name])
        assert room.command("nbgrader", "generate_assignment", SLUG).returncode == 0
        with cluster(tmp_path, certificate) as address:
            assert address.startswith("tls://127.0.0.1:")
            stranger = room.command("grader", "grade", SLUG, "--scheduler", address, *signed(tmp_path / "theirs"))
            assert stranger.returncode == 2, stranger.stdout[-2000:]
            assert not (room.course / "autograded").exists()
            done = room.command("grader", "grade", SLUG, "--scheduler", address, *certificate)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        assert "not protected" not in done.stderr
        for name in ("honest_half", "segfaults"):
            expected = room.full(ALL[name])
            assert {id: room.points()[name][id] for id in expected} == expected
    finally:
        room.close()


def test_a_scheduler_without_tls_is_said_to_be_open():
    assert "whoever can reach that port runs code as the grader" in Scheduler("tcp://head:8786").warning
    assert "whoever can reach that port runs code as the grader" in Scheduler("head:8786").warning
    assert Scheduler("tls://head:8786").warning == ""


def test_certificates_for_an_address_that_uses_none_are_refused():
    with pytest.raises(ValueError, match="expected an address like tls://head:8786"):
        Scheduler("tcp://head:8786", "ca.pem", "cert.pem", "key.pem").client()
