"""What is taken of a submission's folder."""

import os
from datetime import UTC, datetime

import pytest

from grader.grading.intake import LIMIT, MOST_ENTRIES, take

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "nb.ipynb").write_bytes(b"{}")
    return tmp_path / "sub"


def test_an_honest_folder_is_read_without_a_flag(folder):
    (folder / "timestamp.txt").write_text("2026-10-30 08:15:00.000000 UTC\n")
    (folder / "submission_secret.txt").write_text("ab12")
    (folder / ".ipynb_checkpoints").mkdir()
    taken = take(folder, "nb", NOW)
    assert (taken.notebook, taken.reason, taken.flags) == (b"{}", "", ())
    assert taken.timestamp == datetime(2026, 10, 30, 8, 15, tzinfo=UTC)
    assert taken.secret == "ab12"


def test_another_name_is_told_with_what_to_do(folder):
    (folder / "nb.ipynb").rename(folder / "Untitled.ipynb")
    reason = take(folder, "nb", NOW).reason
    assert "nb.ipynb is missing" in reason
    assert "'Untitled.ipynb'" in reason
    assert "rename" in reason


def test_a_large_file_is_not_read(folder):
    os.truncate(folder / "nb.ipynb", LIMIT + 1)
    taken = take(folder, "nb", NOW)
    assert taken.notebook is None
    assert "bytes" in taken.reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can give files away")
def test_a_file_of_another_owner_is_not_read(folder):
    os.chown(folder / "nb.ipynb", 12345, 12345)
    assert "belongs to user 12345" in take(folder, "nb", NOW).reason


def test_a_link_in_place_of_the_folder_is_not_followed(folder):
    (folder.parent / "link").symlink_to(folder)
    assert "link" in take(folder.parent / "link", "nb", NOW).reason


def test_other_things_are_ignored_by_name(folder):
    (folder / "torch.py").write_text("evil")
    (folder / "data").symlink_to("/etc/passwd")
    (folder / "coursekit").mkdir()
    flags = " ".join(take(folder, "nb", NOW).flags)
    assert "'torch.py' is a file" in flags
    assert "'data' is a link" in flags
    assert "'coursekit' is a folder" in flags


def test_a_thousand_files_do_not_fill_the_log(folder):
    for i in range(1000):
        (folder / f"f{i}").touch()
    assert len(take(folder, "nb", NOW).flags) < 30


@pytest.mark.parametrize(
    "text",
    [
        *("2090-01-01", "1970-01-01 00:00:00 UTC", "yesterday", "\xff", "9" * 500),
        "23:59" + " " * 90 + "2026-06-10",
        "2026-06-10 12:00:00 /etc/shadow",
    ],
)
def test_an_impossible_time_gives_way_to_the_servers(folder, text):
    (folder / "timestamp.txt").write_bytes(text.encode("latin-1"))
    taken = take(folder, "nb", datetime.now(UTC))
    assert "timestamp.txt" in " ".join(taken.flags)
    assert abs((datetime.now(UTC) - taken.timestamp).total_seconds()) < 60


def test_an_earlier_time_than_the_servers_does_not_count(folder):
    (folder / "timestamp.txt").write_text("2026-10-01 00:00:00 UTC")
    received = datetime(2026, 10, 20, tzinfo=UTC)
    taken = take(folder, "nb", NOW, received)
    assert taken.timestamp == received
    assert "2026-10-20" in taken.flags[0]


STAMPS = {
    "a pipe": lambda path: os.mkfifo(path),
    "a link": lambda path: path.symlink_to("/etc/hostname"),
    "a link without end": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
    "a gigabyte": lambda path: (path.touch(), os.truncate(path, 1 << 30)),
    "a way out": lambda path: path.write_text("../../../../etc/passwd"),
    "a pattern": lambda path: path.write_text("*"),
}


@pytest.mark.parametrize("make", STAMPS.values(), ids=STAMPS)
@pytest.mark.parametrize("received", [None, datetime(2026, 10, 20, tzinfo=UTC)], ids=["unknown", "known"])
def test_a_timestamp_that_is_no_small_file_with_a_time_gives_way_to_the_servers(folder, make, received):
    make(folder / "timestamp.txt")
    taken = take(folder, "nb", datetime.now(UTC), received)
    assert taken.notebook == b"{}"
    assert "timestamp.txt" in " ".join(taken.flags)
    assert taken.timestamp == received or (datetime.now(UTC) - taken.timestamp).total_seconds() < 60


def test_a_notebook_one_folder_deeper_is_told_with_what_to_do(folder):
    (folder / "02").mkdir()
    (folder / "nb.ipynb").rename(folder / "02" / "nb.ipynb")
    assert take(folder, "nb", NOW).reason == (
        "nb.ipynb is missing; it lies in the folder '02': move it up and submit again"
    )


def test_a_folder_that_is_a_link_or_a_pipe_is_not_looked_into(folder):
    (folder.parent / "else").mkdir()
    (folder / "nb.ipynb").rename(folder.parent / "else" / "nb.ipynb")
    (folder / "link").symlink_to(folder.parent / "else")
    os.mkfifo(folder / "pipe")
    assert "submit the notebook nb.ipynb again" in take(folder, "nb", NOW).reason


def test_of_very_many_things_not_all_are_looked_at(folder):
    for i in range(MOST_ENTRIES + 10):
        (folder / f"f{i}").touch()
    taken = take(folder, "nb", NOW)
    assert taken.notebook == b"{}"
    assert f"more than {MOST_ENTRIES} things" in taken.flags[-1]
