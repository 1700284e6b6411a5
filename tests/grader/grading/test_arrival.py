"""When a submission came: by the exchange's folders and the server's clock, never by what a learner wrote."""

import os
import pwd
from datetime import UTC, datetime

import pytest

from grader.grading.arrival import received

STAMP = "2026-10-30 08:15:00.000000 UTC"


@pytest.fixture
def exchange(tmp_path):
    (tmp_path / "ex" / "c" / "inbound").mkdir(parents=True)
    return tmp_path / "ex"


@pytest.fixture
def collected(tmp_path):
    """Makes the folder into which a submission is collected."""

    def make():
        folder = tmp_path / "submitted"
        folder.mkdir()
        return folder

    return make


def hand_in(exchange, student="ada", stamp=STAMP, random="+r4nd0m", assignment="a1"):
    """A folder in the exchange; when it was made."""
    folder = exchange / "c" / "inbound" / f"{student}+{assignment}+{stamp}{random}"
    folder.mkdir()
    tick(folder)
    return made(folder)


def made(folder):
    return datetime.fromtimestamp(folder.lstat().st_ctime, UTC)


def tick(path):
    """Wait until the file system's clock shows another time."""
    before = path.lstat().st_ctime_ns
    while True:
        probe = path.parent / "probe"
        probe.touch()
        now = probe.lstat().st_ctime_ns
        probe.unlink()
        if now > before:
            return


def came(exchange, folder, student="ada", owners=None):
    return received(str(exchange), "c", student, "a1", folder, owners)


def test_the_newest_folder_that_was_there_counts(exchange, collected):
    decoy = hand_in(exchange)
    genuine = hand_in(exchange, stamp="2026-11-20 00:00:00.000000 UTC")
    assert decoy < genuine
    assert came(exchange, collected()) == genuine


def test_a_decoy_with_the_time_that_is_claimed_does_not_count(exchange, collected):
    """An empty folder, made before the deadline, whose time the later submission claims."""
    hand_in(exchange, random="+decoy")
    genuine = hand_in(exchange, random="+later")
    folder = collected()
    (folder / "timestamp.txt").write_text(STAMP)
    assert came(exchange, folder) == genuine


def test_what_is_handed_in_after_collecting_is_another_submission(exchange, collected):
    first = hand_in(exchange)
    folder = collected()
    tick(folder)
    hand_in(exchange, stamp="2026-11-20 00:00:00.000000 UTC")
    assert came(exchange, folder) == first


@pytest.mark.parametrize("stamp", ["..", "../../../etc", "*", "yesterday", "2026-10-30", ""])
def test_what_names_no_time_is_no_submission(exchange, collected, stamp):
    (exchange / "c" / "inbound" / f"ada+a1+{stamp.replace('/', '_')}+x").mkdir()
    assert came(exchange, collected()) is None


def test_a_link_or_a_file_is_no_submission(exchange, collected):
    inbound = exchange / "c" / "inbound"
    (inbound / f"ada+a1+{STAMP}+link").symlink_to("/etc")
    (inbound / f"ada+a1+{STAMP}+file").touch()
    assert came(exchange, collected()) is None


def test_somebody_elses_folder_is_not(exchange, collected):
    hand_in(exchange, student="eve")
    hand_in(exchange, assignment="a2")
    assert came(exchange, collected()) is None


def test_where_the_machine_knows_the_learner_only_their_own_folders_count(exchange, collected):
    """Somebody else makes a folder in the name of a user of this machine, to have them late."""
    me = pwd.getpwuid(os.geteuid()).pw_name
    other = next(user.pw_name for user in pwd.getpwall() if user.pw_uid != os.geteuid())
    mine = hand_in(exchange, student=me)
    hand_in(exchange, student=other)
    folder = collected()
    assert came(exchange, folder, me) == mine
    assert came(exchange, folder, other) is None


def test_where_learners_are_no_users_the_note_of_their_ids_counts(exchange, collected):
    mine = hand_in(exchange)
    folder = collected()
    assert came(exchange, folder, owners={str(os.geteuid()): "ada"}) == mine
    assert came(exchange, folder, owners={str(os.geteuid()): "eve"}) is None


def test_without_an_exchange_nothing_is_known(tmp_path, collected):
    folder = collected()
    assert received("", "c", "ada", "a1", folder) is None
    assert came(tmp_path / "nowhere", folder) is None
