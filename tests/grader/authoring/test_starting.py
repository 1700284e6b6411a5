"""A new exercise: what is written imports, is accepted by the build, and says what is still missing."""

import shutil
import subprocess
import sys

import pytest

from grader.__main__ import main
from grader.authoring.chapter import Specs, judge, read
from grader.authoring.starting import StartError, start

NEW = "attention.count_heads"
CHAPTER = """
from coursekit.checking.contract import Chapter

CHAPTER = Chapter(slug="05_other", title="Other", exercises=LIST)
"""


@pytest.fixture
def house(root, tmp_path):
    """A copy of what the commands need."""
    caches = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("coursekit", "grader", "kernelkit", "chapters"):
        shutil.copytree(root / name, tmp_path / name, ignore=caches)
    return tmp_path


def told(house, *command):
    """The exit status and the last line on stderr of a command that runs in the copy."""
    done = subprocess.run([sys.executable, "-m", "grader", *command], cwd=house, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr.strip().splitlines()[-1]


def test_each_command_says_in_one_sentence_what_is_missing(house):
    started = start(house, NEW)
    assert all(path.exists() for path in started.files)
    tensors = f"02_attention.safetensors holds nothing for {NEW}: run `make tensors`"
    assert told(house, "gate", NEW, "--jobs", "1") == (2, tensors)
    line = "line 7, in reference: raise NotImplementedError; NotImplementedError"
    fails = f"the reference of {NEW} fails on 'T=3, D=5': {line}"
    assert told(house, "tensors", NEW, "--jobs", "1") == (2, fails)
    (house / "grader" / "exercises" / "attention" / "count_heads.py").unlink()
    missing = f"{NEW} is listed, but there is no grader/exercises/attention/count_heads.py"
    assert told(house, "gate", NEW, "--jobs", "1") == (2, missing)


def test_the_cells_are_accepted_by_the_build(house, tiny_text):
    path = house / "chapters" / "01_tiny.py"
    path.write_text(f"{tiny_text}\n{start(house, NEW).cells}", encoding="utf-8")
    text = read(path, house)
    judge(text, Specs({"attention.softmax": 2, NEW: 1}, {"attention.explain": 3}))
    assert text.numbers[NEW] == "1.2"


def test_it_is_listed_last(house):
    listing = house / "coursekit" / "exercises" / "attention" / "__init__.py"
    before = listing.read_text("utf-8")
    start(house, NEW)
    assert listing.read_text("utf-8") == before.replace(
        '        "attention.block",\n', f'        "attention.block",\n        "{NEW}",\n'
    )


@pytest.mark.parametrize(
    ("exercises", "wanted"),
    [("()", '("other.new",)'), ('("other.a",)', '("other.a", "other.new",)')],
)
def test_it_is_listed_in_a_short_list(exercises, wanted, tmp_path):
    listing = tmp_path / "coursekit" / "exercises" / "other" / "__init__.py"
    listing.parent.mkdir(parents=True)
    listing.write_text(CHAPTER.replace("LIST", exercises))
    assert start(tmp_path, "other.new").chapter == tmp_path / "chapters" / "05_other.py"
    assert listing.read_text() == CHAPTER.replace("LIST", wanted)


def test_a_test_of_the_same_name_is_left_alone(house):
    taken = house / "tests" / "coursekit" / "exercises" / "test_count_heads.py"
    taken.parent.mkdir(parents=True)
    taken.write_text("another chapter's")
    assert taken.with_name("test_attention_count_heads.py") in start(house, NEW).files
    assert taken.read_text() == "another chapter's"


@pytest.mark.parametrize(
    ("id", "sentence"),
    [
        ("attention.sdpa", "attention.sdpa is listed in coursekit/exercises/attention/__init__.py already"),
        (
            "atention.heads",
            "there is no chapter 'atention', only attention, bert, core, distributed, gpt: "
            "write coursekit/exercises/atention",
        ),
        ("attention", "'attention' is no id: write it as chapter.verb_or_noun in small letters"),
        ("attention.Heads", "'attention.Heads' is no id"),
        ("attention.class", "'attention.class' is no id"),
        ("../etc.passwd", "'../etc.passwd' is no id"),
    ],
)
def test_refuses_in_one_sentence_and_writes_nothing(id, sentence, root, capsys, monkeypatch, tmp_path):
    for half in ("coursekit", "grader"):
        shutil.copytree(root / half / "exercises", tmp_path / half / "exercises")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["new", id]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(sentence)
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_that_is_there_is_not_replaced(house):
    path = house / "grader" / "exercises" / "attention" / "count_heads.py"
    path.write_text("years of work")
    with pytest.raises(StartError, match=r"grader/exercises/attention/count_heads\.py is there already"):
        start(house, NEW)
    assert path.read_text() == "years of work"
