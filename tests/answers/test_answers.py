"""No wrong answer gets full marks, no right one loses any, and nothing false is said of a wrong one."""

import functools

import pytest

from coursekit.exercises import chapters
from grader.proving.seeds import SECRET
from tests.answers.collection import KINDS, collections, graded, in_notebook, is_told, unvouched

ALL = {answers.exercise: answers for answers in collections()}
WRONG = [pytest.param(id, w, id=f"{id}-{w.name}") for id, answers in ALL.items() for w in answers.wrongs]
RIGHT = [pytest.param(id, o, id=f"{id}-{name}") for id, answers in ALL.items() for name, o in answers.rights.items()]
LEAST_WRONG, LEAST_RIGHT, TOLD = 10, 3, 0.8


@functools.cache
def seen(exercise_id, wrong):
    """The verdict on a wrong answer in a notebook, which two tests ask for."""
    return in_notebook(exercise_id, wrong.objects)


@pytest.fixture(params=ALL)
def answers(request):
    return ALL[request.param]


def test_every_exercise_has_answers():
    assert sorted(ALL) == sorted(id for chapter in chapters() for id in chapter.exercises)


def test_there_are_enough_of_both(answers):
    assert len(answers.wrongs) >= LEAST_WRONG
    assert len(answers.rights) >= LEAST_RIGHT


def test_every_kind_has_a_wrong_answer_or_a_reason_why_it_cannot(answers):
    tried = {w.kind for w in answers.wrongs}
    assert tried | {*answers.spared} == {*KINDS}
    assert not tried & {*answers.spared}


@pytest.mark.parametrize(("exercise_id", "wrong"), WRONG)
def test_a_wrong_answer_loses_marks_and_hears_nothing_false(exercise_id, wrong):
    verdict = seen(exercise_id, wrong)
    assert not wrong.told or is_told(wrong, verdict), verdict.text()
    assert not unvouched(wrong, verdict), verdict.text()
    if verdict.full:  # public cases cannot hold everything; grading's must
        verdict = graded(exercise_id, wrong.objects, SECRET[0])
    assert not verdict.full
    assert not unvouched(wrong, verdict), verdict.text()


@pytest.mark.parametrize(("exercise_id", "objects"), RIGHT)
def test_a_right_answer_loses_no_marks(exercise_id, objects):
    for verdict in (in_notebook(exercise_id, objects), graded(exercise_id, objects, SECRET[1])):
        assert verdict.full, verdict.text()


def test_four_in_five_are_told_their_real_error():
    told = [is_told(w, seen(id, w)) for id, answers in ALL.items() for w in answers.wrongs]
    assert sum(told) >= TOLD * len(told)
