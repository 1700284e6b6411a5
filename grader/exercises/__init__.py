"""The trusted halves: `attention.sdpa` is `grader/exercises/attention/sdpa.py`, beside its public namesake."""

import importlib

from grader.contract import Trusted


def trusted(exercise_id: str) -> Trusted:
    """Reference, mistakes and alternatives of one exercise."""
    return importlib.import_module(f"{__name__}.{exercise_id}").TRUSTED
