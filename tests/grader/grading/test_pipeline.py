"""A wrong answer on inputs on which rounding decides is no wrong answer yet: others are drawn."""

import pytest

from coursekit.checking.report import PartResult, Verdict
from grader.drawing import DRAWS
from grader.grading import pipeline
from grader.grading.intake import Taken
from grader.grading.pipeline import Job, Unsteady, plan, settled
from grader.grading.rebuilding import Rebuilt

SLUG = "02_attention"
JOB = Job(SLUG, "ada", "key", 5, Rebuilt(None, (), "", ()), Taken(None, "", (), None), frozenset())


class Shaky:
    steady = False


def verdict(passed, **more):
    return Verdict("e", "title", (PartResult("values", 1, int(passed), passed, 1, ()),), **more)


def test_only_a_wrong_answer_can_be_roundings_fault():
    assert not pipeline._decided(verdict(False), Shaky)
    for told in (verdict(True), verdict(False, not_started=True), verdict(False, refused="no result")):
        assert pipeline._decided(told, Shaky)


def test_each_attempt_has_inputs_of_its_own_and_the_same_ones_again():
    first, second, again = plan(JOB), plan(JOB, 1), plan(JOB, 1)
    secret = [name for name in first.given if ".secret." in name]
    public = [name for name in first.given if ".public." in name]
    assert len(secret) == len(public) == len(first.hidden)
    assert all(first.given[name] == second.given[name] for name in public)
    alike = {name.partition(".secret.")[0] for name in secret if first.given[name] == second.given[name]}
    assert alike == {"attention.cache_bytes", "attention.flops"}  # numbers that are worked out from no input
    assert second.given == again.given


def test_it_is_run_again_until_rounding_decides_nothing(monkeypatch):
    ran = []

    def judged(planned, _ran):
        if planned.attempt < 2:
            raise Unsteady
        return planned.attempt

    monkeypatch.setattr(pipeline, "judged", judged)
    assert settled(plan(JOB), ran.append) == 2
    assert [planned.attempt for planned in ran] == [0, 1, 2]


def test_inputs_that_never_hold_still_are_told():
    with pytest.raises(RuntimeError, match=f"02_attention: rounding decides an answer in each of {DRAWS} draws"):
        plan(JOB, DRAWS)
