import errno
import json
import os
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser

import pytest

import coursekit.exercises as course
import coursekit.record.progress_map as drawing
from coursekit.checking.contract import Chapter, Exercise, Question
from coursekit.record import kept
from coursekit.record.kept import folder
from coursekit.record.scores import KEPT, Score, known_scores, progress, record


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A learner's home without progress, as a kernel that has just started sees it."""
    for name in ("COURSEKIT_PROGRESS", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COURSEKIT_HOME", str(tmp_path / "home"))
    restart(monkeypatch)
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def small_course(monkeypatch):
    """A course of two exercises, so that these tests stand when the real one changes."""
    titles = {"attention.sdpa": "Scaled dot-product attention", "attention.masks": "Masks"}
    parts = {"attention.sdpa": {"values": 2}, "attention.masks": {"padding": 1, "causal": 2}}

    def find(name):
        nothing = {"calls": (), "cases": list, "probe": dict, "library": ()}
        return Exercise(name, titles[name], parts[name], minutes=5, difficulty="core", **nothing)

    chapter = Chapter("02_attention", "Attention", tuple(titles), (Question("attention.q", "Read a map", 3),))
    monkeypatch.setattr(course, "chapters", lambda: [chapter])
    monkeypatch.setattr(course, "find", find)


def restart(monkeypatch):
    """Forget what only this kernel knows."""
    monkeypatch.setattr(KEPT, "unsaved", {})
    monkeypatch.setattr(KEPT, "unrecorded", {})
    monkeypatch.setattr(kept, "_said", set())


def content(home):
    return json.loads((home / "progress.json").read_text())["exercises"]


def aside(home):
    return sorted(p for p in home.iterdir() if p.name.startswith("progress.damaged-"))


def row(exercise_id):
    return next(e for chapter in progress().chapters for e in chapter.exercises if e.id == exercise_id)


def test_best_last_attempts_and_time_are_kept(home):
    for earned in (1, 2, 0):
        record("attention.sdpa", earned, 2)
    entry = content(home)["attention.sdpa"]
    assert entry.pop("time").endswith("+00:00")
    assert entry == {"best": 2, "last": 0, "possible": 2, "attempts": 3}


def test_progress_survives_a_restart_of_the_kernel(home, monkeypatch):
    record("attention.sdpa", 1, 2)
    restart(monkeypatch)
    assert known_scores()["attention.sdpa"].best == 1


@pytest.mark.parametrize("points", [(3, 2), (-1, 2), (float("nan"), 2), (1, float("inf"))])
def test_points_that_cannot_be_are_refused(home, points):
    with pytest.raises(ValueError, match="expected 0 <= earned <= possible"):
        record("attention.sdpa", *points)
    assert not home.exists()


WRITER = """
import sys
from coursekit.record.scores import record
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    record("shared", 1, 1)
    record(sys.argv[1], 1, 1)
"""


def test_processes_that_write_at_once_lose_nothing(home):
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, f"own.{n}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(3)
    ]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:  # all of them are waiting: now they write together
        writer.stdin.write("go\n")
        writer.stdin.flush()
    assert [writer.communicate()[0] for writer in writers] == [""] * 3
    attempts = {name: entry["attempts"] for name, entry in content(home).items()}
    assert attempts == {"shared": 30, "own.0": 10, "own.1": 10, "own.2": 10}


SCORE = {"best": 1, "last": 1, "possible": 2, "attempts": 1, "time": "2026-01-01T00:00:00+00:00"}
DAMAGED = {
    "empty": b"",
    "cut off": b'{"format": 1, "exerc',
    "binary": bytes(range(256)),
    "nested too deep": b"[" * 100_000,
    "a list": b"[]",
    "another format": b'{"format": 2, "exercises": {}}',
    "no exercises": b'{"format": 1}',
    "exercises as a list": b'{"format": 1, "exercises": []}',
}


@pytest.mark.parametrize("raw", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("first", ["record", "progress"])
def test_a_damaged_file_is_set_aside_and_a_new_one_begun(home, capsys, raw, first):
    home.mkdir()
    (home / "progress.json").write_bytes(raw)
    record("attention.sdpa", 2, 2) if first == "record" else progress()
    (kept,) = aside(home)
    assert kept.read_bytes() == raw
    assert kept.name in capsys.readouterr().out
    record("attention.sdpa", 2, 2)
    assert content(home)["attention.sdpa"]["best"] == 2


BROKEN = {
    "text for a number": {"best": "1"},
    "not a number": {"best": float("nan")},
    "negative": {"last": -1},
    "huge": {"possible": 10**400},
    "true": {"attempts": True},
    "half an attempt": {"attempts": 1.5},
    "another key": {"more": 1},
    "no time": {"time": None},
}


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_sound_entries_are_saved_from_a_damaged_file(home, monkeypatch, change):
    home.mkdir()
    raw = json.dumps({"format": 1, "exercises": {"attention.sdpa": SCORE, "attention.masks": SCORE | change}})
    (home / "progress.json").write_text(raw)
    assert list(known_scores()) == ["attention.sdpa"]
    restart(monkeypatch)
    assert known_scores() == {"attention.sdpa": Score(**SCORE)}
    assert [p.read_text() for p in aside(home)] == [raw]


def test_a_folder_in_the_files_place_is_set_aside(home):
    (home / "progress.json").mkdir(parents=True)
    record("attention.sdpa", 2, 2)
    assert [p.is_dir() for p in aside(home)] == [True]
    assert "attention.sdpa" in content(home)


def test_files_damaged_in_the_same_second_are_all_kept(home):
    for raw in ("first", "second", "third"):
        home.mkdir(exist_ok=True)
        (home / "progress.json").write_text(raw)
        progress()
    assert sorted(p.read_text() for p in aside(home)) == ["first", "second", "third"]


def no_room(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_keeps_scores_in_memory_and_says_so_once(home, monkeypatch, capsys):
    monkeypatch.setattr(os, "fsync", no_room)
    for earned in (1, 2):
        record("attention.sdpa", earned, 2)
    said = capsys.readouterr().out
    assert said.count("Progress is kept in memory only") == said.count("\n") == 1
    assert "No space left on device" in said
    assert row("attention.sdpa").attempts == 2
    assert [p.name for p in home.iterdir() if "tmp" in p.name] == []


def test_a_failed_write_leaves_the_file_as_it_was(home, monkeypatch):
    record("attention.sdpa", 1, 2)
    before = (home / "progress.json").read_bytes()
    monkeypatch.setattr(os, "fsync", no_room)
    record("attention.sdpa", 2, 2)
    assert (home / "progress.json").read_bytes() == before


def test_scores_kept_in_memory_are_written_when_there_is_room_again(home, monkeypatch):
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", no_room)
        record("attention.sdpa", 2, 2)
    record("attention.masks", 1, 3)
    assert content(home).keys() == {"attention.sdpa", "attention.masks"}
    assert known_scores()["attention.sdpa"].attempts == 1


def test_a_folder_that_cannot_be_made_is_no_crash(home, capsys):
    home.write_text("a file where the folder should be")
    record("attention.sdpa", 1, 2)
    assert row("attention.sdpa").attempts == 1
    assert capsys.readouterr().out.count("in memory only") == 1


@pytest.mark.skipif(os.name != "posix", reason="folder permissions are POSIX here")
def test_a_folder_without_permission_is_no_crash(home, capsys):
    home.mkdir(mode=0o500)
    user = os.geteuid()
    if user == 0:  # root may write everywhere: become nobody for a while
        os.seteuid(65534)
    try:
        record("attention.sdpa", 1, 2)
        assert row("attention.sdpa").attempts == 1
    finally:
        os.seteuid(user)
    assert "Permission denied" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value"),
    [("COURSEKIT_PROGRESS", "off"), ("NBGRADER_EXECUTION", "autograde"), ("NBGRADER_EXECUTION", "validate")],
)
def test_while_recording_is_off_the_file_is_neither_read_nor_written(home, monkeypatch, name, value):
    record("attention.masks", 1, 3)
    before = (home / "progress.json").read_bytes()
    monkeypatch.setenv(name, value)
    record("attention.sdpa", 2, 2)
    assert list(known_scores()) == ["attention.sdpa"]
    assert (home / "progress.json").read_bytes() == before
    assert "Nothing is recorded" in repr(progress())
    assert "Nothing is recorded" in progress()._repr_html_()


def test_attempts_made_while_off_stay_out_of_the_file_afterwards(home, monkeypatch):
    with monkeypatch.context() as off:
        off.setenv("COURSEKIT_PROGRESS", "off")
        record("attention.sdpa", 2, 2)
    record("attention.masks", 1, 3)
    assert list(content(home)) == ["attention.masks"]


def test_nbgrader_still_sets_the_variable_that_switches_recording_off():
    import inspect

    from nbgrader import validator
    from nbgrader.converters import autograde

    assert "NBGRADER_EXECUTION='autograde'" in inspect.getsource(autograde)
    assert "NBGRADER_EXECUTION='validate'" in inspect.getsource(validator)


def test_the_folder_is_the_users_data_folder_by_default(monkeypatch):
    monkeypatch.delenv("COURSEKIT_HOME")
    assert folder().name == "coursekit"
    assert folder().is_absolute()


def test_the_map_has_every_exercise_and_question_of_the_real_course(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("COURSEKIT_PROGRESS", "off")
    expected = [(c.slug, c.exercises, c.questions) for c in course.chapters()]
    drawn = progress().chapters
    assert [(c.slug, tuple(e.id for e in c.exercises)) for c in drawn] == [e[:2] for e in expected]
    assert [[q.id for q in c.questions] for c in drawn] == [[q.id for q in e[2]] for e in expected]


def test_an_exercise_goes_from_not_started_to_started_to_done():
    name, points = "attention.sdpa", row("attention.sdpa").points
    states = [row(name).state]
    for earned in (0, points):
        record(name, earned, points)
        states.append(row(name).state)
    assert states == ["not started", "started", "done"]


def test_an_exercise_that_no_longer_exists_is_kept_but_not_drawn(home):
    record("attention.of_last_year", 1, 1)
    record("attention.sdpa", 1, 2)
    assert "of_last_year" not in repr(progress()) + progress()._repr_html_()
    assert "attention.of_last_year" in content(home)


def test_more_points_than_the_exercise_has_today_count_as_all_of_them():
    record("attention.sdpa", 99, 99)
    assert row("attention.sdpa").best == row("attention.sdpa").points


TWO = drawing.ProgressMap(
    (
        drawing.ChapterRow(
            "02_attention",
            "Attention & <masks>",
            (
                drawing.ExerciseRow("attention.a", "Softmax", 2, 5, "core", 5, 2, 3),
                drawing.ExerciseRow("attention.bb", "Masks", 3, 15, "core", 4, 1.5, 1),
                drawing.ExerciseRow("attention.c", "Heads", 2, 10, "stretch", 1, 0, 0),
            ),
            (drawing.QuestionRow("attention.q", "Read a heat map", 3),),
        ),
    )
)


def test_a_terminal_gets_an_aligned_table():
    assert repr(TWO).splitlines() == [
        "2. Attention & <masks>: 3.5 of 7 points, 1 of 3 exercises done",
        "",
        "state               points    tries  exercise      title",
        "------------------  --------  -----  ------------  ---------------",
        "done                2 of 2    3      attention.a   Softmax",
        "started             1.5 of 3  1      attention.bb  Masks",
        "not started         0 of 2    0      attention.c   Heads",
        "marked by a person  3                attention.q   Read a heat map",
    ]


class Page(HTMLParser):
    """Tags, attributes and words of a piece of HTML that must be well formed."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], Counter(), [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs
        if tag != "br":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_drawing_is_well_formed_without_script_style_sheet_or_address():
    page = Page(TWO._repr_html_())
    assert page.open == []
    assert not {"script", "style", "link", "iframe", "img", "a"} & page.tags.keys()
    assert not [name for name, _ in page.attributes if name.startswith("on") or name in ("src", "href", "class")]


def test_the_drawing_escapes_titles():
    page = Page(TWO._repr_html_())
    assert "2. Attention & <masks>" in page.words


def test_the_drawing_tells_every_state_in_words():
    words = [word.strip() for word in Page(TWO._repr_html_()).words]
    for state in ("done", "started", "not started", "marked by a person", "2 of 2", "1.5 of 3", "0 of 2"):
        assert state in words


def test_the_drawing_names_its_rows_and_columns_for_a_screen_reader():
    scopes = Counter(value for name, value in Page(TWO._repr_html_()).attributes if name == "scope")
    assert scopes == {"col": 4, "row": 4}


def test_text_takes_the_colour_of_the_page_in_every_theme():
    styles = [value for name, value in Page(TWO._repr_html_()).attributes if name == "style"]
    colours = {
        value.strip()
        for style in styles
        for name, _, value in (part.partition(":") for part in style.split(";"))
        if name.strip() == "color"
    }
    assert colours == {"inherit"}


def test_a_course_without_chapters_is_said():
    assert repr(drawing.ProgressMap(())) == "No chapters yet."
    assert "No chapters yet." in drawing.ProgressMap(())._repr_html_()
