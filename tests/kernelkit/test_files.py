"""Files are written in one step, and those of somebody untrusted are read without being fooled."""

import os

import pytest

from kernelkit.files import Refused, read_plain, replace


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "plain").write_bytes(b"data")
    (tmp_path / "link").symlink_to("plain")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "first").write_bytes(b"x")
    os.link(tmp_path / "first", tmp_path / "second")
    handle = os.open(tmp_path, os.O_RDONLY)
    yield handle
    os.close(handle)


def test_a_plain_file_is_read(folder):
    assert read_plain(folder, "plain", 4, owners=(os.getuid(),)) == b"data"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("link", "is a link, expected a plain file"),
        ("folder", "is a folder, expected a plain file"),
        ("pipe", "is a pipe, expected a plain file"),
        ("second", "has 2 names"),
        ("nothing", "is missing"),
        ("x" * 300, "cannot be read"),
    ],
)
def test_anything_else_is_refused(folder, name, told):
    with pytest.raises(Refused, match=told):
        read_plain(folder, name, 100)


def test_no_more_than_the_limit_is_read(folder):
    with pytest.raises(Refused, match="has 4 bytes, at most 3 are read"):
        read_plain(folder, "plain", 3)


def test_a_file_of_another_user_is_refused(folder):
    with pytest.raises(Refused, match=f"belongs to user {os.getuid()}"):
        read_plain(folder, "plain", 100, owners=(os.getuid() + 1,))


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "file"
    replace(path, b"old")
    replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_where_a_write_fails_the_old_content_stays(tmp_path, monkeypatch):
    path = tmp_path / "file"
    replace(path, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
