"""Secret inputs: drawn for one submission from the course's secret, so that nobody can have met them before."""

from __future__ import annotations

import hmac
import os
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from coursekit.checking import store
from coursekit.checking.contract import Case
from coursekit.exercises import find
from grader.drawing import Drawn, drawn_from
from grader.exercises import trusted
from grader.grading.store import STATE

BYTES = 32


def course_secret(course: Path) -> bytes:
    """The course's secret, made on first use and readable by its owner only.

    Raises RuntimeError where the file holds something else: inputs that anybody could compute would prove nothing.
    """
    path = course / STATE / "secret"
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if not path.exists():
        partial = path.with_name(f"secret.{os.getpid()}")
        partial.touch(mode=0o600)
        partial.write_bytes(secrets.token_bytes(BYTES))
        try:
            os.link(partial, path)  # fails where another process was first: its secret counts
        except FileExistsError:
            pass
        finally:
            partial.unlink()
    secret = path.read_bytes()
    if len(secret) != BYTES:
        raise RuntimeError(f"{path} holds {len(secret)} bytes, expected {BYTES}: delete it, and all is graded anew")
    return secret


def seed(secret: bytes, key: str) -> int:
    """The seed of one submission's inputs. A changed submission has another key, hence other inputs."""
    return int.from_bytes(hmac.digest(secret, key.encode(), "sha256")[:7], "big")


def drawn(exercise_id: str, seed: int) -> Drawn:
    """The secret cases of one exercise, and what is right on them."""
    found = drawn_from(find(exercise_id), trusted(exercise_id), seed)
    return replace(found, cases=tuple(replace(case, hidden=True) for case in found.cases))


def questions(exercise_id: str, cases: Sequence[Case]) -> bytes:
    """What the kernel is asked: the cases, without answers."""
    return store.dump({exercise_id: store.Known(tuple(cases), tuple({} for _ in cases), ())})
