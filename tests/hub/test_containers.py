"""The hub for containers, without an engine: it starts, lets in whom it should, and makes no system users."""

import pwd

import pytest

from tests.hub.classroom import COURSE, PATIENCE, WORD, Classroom, missing
from tests.hub.learner import SLUG, Learner, Refused, released

if why := missing():
    pytest.skip(why, allow_module_level=True)
pytest.importorskip("dockerspawner", reason="`make hub-setup`")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("hub-containers")]


@pytest.fixture(scope="module")
def room():
    made = Classroom(["ada"])
    try:
        yield made.start("--containers")
    finally:
        made.remove()


def test_nobody_but_the_course_account_becomes_a_user_of_the_machine(room):
    assert pwd.getpwnam(room.account)
    for name in (room.instructor, *room.learners):
        with pytest.raises(KeyError):
            pwd.getpwnam(name)
    assert list(room.passwords) == [room.instructor], "an instructor has one first password"


def test_who_signs_up_waits_until_an_instructor_lets_them_in(room):
    ada, prof = (Learner(room, name) for name in (room.name("ada"), room.instructor))
    assert 'href="signup"' in ada.session.get(f"{room.address}/hub/login", timeout=PATIENCE).text
    ada.sign_up(WORD)
    room.passwords[ada.name] = WORD
    with pytest.raises(Refused, match="403"):
        ada.login()
    prof.login()
    prof.session.get(f"{room.address}/hub/authorize/{ada.name}", timeout=PATIENCE).raise_for_status()
    ada.login()
    assert ada.session.get(f"{room.address}/hub/authorize", timeout=PATIENCE).status_code == 403


def test_formgrader_knows_what_is_released(room):
    """It asks the hub for the course account's groups."""
    released(room)
    prof = Learner(room, room.instructor).login()
    address = f"{room.address}/services/{COURSE}/formgrader/api/assignment/{SLUG}"
    told = prof.session.get(address, timeout=PATIENCE).json()
    assert told["status"] == "released"
