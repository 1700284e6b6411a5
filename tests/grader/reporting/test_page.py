"""The page and the table of odd classes, and of names and findings that would act if they could."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from builders import EXERCISES, RIGHT, STUB, attempt, gathered, learner, nameless, refused, slip
from rich.console import Console

from grader.reporting.page import NAMES_SHOWN, html_text
from grader.reporting.summarising import FLAGS_SHOWN, summarise
from grader.reporting.table import show

NOW = datetime(2026, 9, 8, 12, tzinfo=UTC)
EVIL = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>'\x1b[2J\u202e\ud800"


def page(*learners, **more):
    return html_text(summarise(gathered(*learners, **more)), NOW)


def table(*learners, **more):
    console = Console(file=io.StringIO(), width=160, force_terminal=True)
    show(summarise(gathered(*learners, **more)), console)
    return console.file.getvalue()


def evil_class():
    outlines = (slip(EVIL, sentence=EVIL), nameless(EVIL), refused(EVIL))
    broken = attempt(*(refused(EVIL),) * 3, reason=EVIL)
    first = learner(EVIL, attempt(RIGHT), attempt(*outlines, flags=(EVIL,)))
    found = gathered(first, learner(EVIL + "2", broken), waiting=(EVIL,), again=(EVIL,), lost=(EVIL,))
    exercises = tuple(replace(e, number=EVIL, title=EVIL, section=EVIL) for e in EXERCISES)
    return replace(found, title=EVIL, assignment=EVIL, exercises=exercises)


class Live(HTMLParser):
    """What a browser would see that could act: elements and attributes."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        names = {name for name, _ in attributes}
        if tag in ("script", "img", "a", "iframe", "object", "link") or any(name.startswith("on") for name in names):
            self.found.append((tag, names))


@pytest.mark.parametrize("anonymous", [False, True])
def test_nothing_acts_in_the_page(anonymous):
    text = html_text(summarise(evil_class(), anonymous), NOW)
    text.encode("utf-8")  # no half characters
    live = Live()
    live.feed(text)
    assert live.found == []
    assert [c for c in text if not c.isprintable() and c != "\n"] == []


def test_nothing_acts_in_a_terminal():
    console = Console(file=io.StringIO(), width=200)
    show(summarise(evil_class()), console)
    assert [c for c in console.file.getvalue() if not c.isprintable() and c != "\n"] == []


@pytest.mark.parametrize("shown", [page, table])
def test_a_class_of_stubs_is_told_that_nobody_tried(shown):
    text = shown(learner("a", attempt(STUB)))
    assert "Tried by nobody: 1.1, 1.2 and 1.3." in text
    assert "named" in text  # no mistake is


@pytest.mark.parametrize("shown", [page, table])
def test_a_class_in_which_nothing_could_be_graded_is_told_so(shown):
    text = shown(learner("a", attempt(*(refused("not JSON"),) * 3, reason="not JSON")))
    assert "No submission could be graded." in text
    assert "Nothing could be graded, 1 learner: a" in text


@pytest.mark.parametrize("shown", [page, table])
def test_it_says_that_nobody_knows_how_long_the_class_worked(shown):
    assert "How long the class worked is not known here" in " ".join(shown(learner("a", attempt(RIGHT))).split())


@pytest.mark.parametrize("shown", [page, table])
def test_what_is_missing_from_the_numbers_is_told_with_what_to_do(shown):
    text = shown(learner("a", attempt(RIGHT)), waiting=("b", "c"), again=("a",), lost=("d",))
    told = " ".join(re.sub(r"<[^>]+>|\x1b\[[0-9;]*m|`", "", text).split())
    for sentence in ("Handed in and not graded yet, 2 learners: b, c.", "Handed in again since, 1 learner: a.",
                     "no longer stored, 1 learner: d."):  # fmt: skip
        assert sentence in told
    assert told.count("Run python -m grader grade 01_some.") == 3


def test_a_large_class_is_named_in_the_tables_and_shortened_above_them():
    names = [f"learner{i:02}" for i in range(NAMES_SHOWN + 3)]
    text = page(*(learner(name, attempt(slip())) for name in names))
    above, below = text.split("<h2>Exercise by exercise</h2>")
    assert "and 3 more" in above
    assert names[-1] not in above
    assert names[-1] in below


def test_flags_are_bounded_and_an_earlier_hand_ins_are_told_as_such():
    many = tuple(f"flag {i}" for i in range(FLAGS_SHOWN + 5))
    first, second = attempt(RIGHT, flags=("old", "both")), attempt(RIGHT, flags=("both",))
    rows = summarise(gathered(learner("a", attempt(flags=many)), learner("b", first, second))).rows
    assert (len(rows[0].flags), rows[0].flags[-1]) == (FLAGS_SHOWN + 1, "and 5 more")
    assert rows[1].flags == ("both", "in an earlier hand-in: old")
