import re
from collections import Counter
from html.parser import HTMLParser

import pytest

from coursekit import beside
from coursekit.beside import TextError, UnknownText, marked_up
from coursekit.quizzes import all_quizzes, quiz

FOLDER = beside.FOLDER / "quizzes"

TOML = r"""
[scale]
question = 'Why `Q @ K.mT / d**0.5` and not $QK^\top$ if a < b?'
[[scale.options]]
text = 'Positive & <b>bold</b> weights'
why = '`exp` gives those: $e^x > 0$.'
[[scale.options]]
text = 'No saturation'
right = true
why = 'The variance is $d_k$.'

[masks]
question = 'Which?'
options = [{text = 'one', right = true, why = 'yes'}, {text = 'two', why = 'no'}, {text = '3', why = 'no'}]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    quizzes = tmp_path / "quizzes"
    quizzes.mkdir()
    (quizzes / "02_attention.toml").write_text(TOML, encoding="utf-8")
    monkeypatch.setattr(beside, "FOLDER", tmp_path)
    return quizzes


def written(tmp_path, text):
    file = tmp_path / "02_attention.toml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


class Outline(HTMLParser):
    """The tags that stay open, and the text by the tag around it."""

    def __init__(self, html):
        super().__init__()
        self.open, self.texts, self.tags = [], {}, Counter()
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags[tag] += 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1], []).append(data)


def test_an_id_names_a_table_in_its_chapters_file(folder):
    assert list(all_quizzes(folder)) == ["attention.scale", "attention.masks"]
    assert quiz("attention.masks").question == "Which?"


def test_every_option_folds_its_verdict_and_reason(folder):
    html = quiz("attention.masks")._repr_html_()
    folds = re.findall(r"<details[^>]*><summary[^>]*>(.*?)</summary><div[^>]*><strong>(.*?)</strong> (.*?)</div>", html)
    assert folds == [("one", "Right:", "yes"), ("two", "Not quite:", "no"), ("3", "Not quite:", "no")]
    assert " open" not in html.split("<details", 1)[1].split(">")[0]


def test_the_html_is_well_formed_and_escaped(folder):
    outline = Outline(quiz("attention.scale")._repr_html_())
    assert outline.open == []
    assert outline.tags["details"] == 2
    assert "b" not in outline.tags
    assert "script" not in outline.tags
    assert "Positive & <b>bold</b> weights" in outline.texts["summary"]


def test_code_spans_become_code_and_mathematics_stays_for_mathjax():
    assert marked_up("`a < b` if $x_1 < \\alpha$") == "<code>a &lt; b</code> if $x_1 &lt; \\alpha$"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("what is *added* and *not scaled*", "what is <em>added</em> and <em>not scaled</em>"),
        ("`a * b * c` and $a * b * c$", "<code>a * b * c</code> and $a * b * c$"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("*a < b*", "<em>a &lt; b</em>"),
        ("a ` b", "a ` b"),
    ],
)
def test_stars_stress_words_and_leave_products_alone(text, html):
    assert marked_up(text) == html


def test_the_text_form_shows_question_and_options_only(folder):
    assert repr(quiz("attention.masks")) == "Which?\n  a) one\n  b) two\n  c) 3"


def test_an_unknown_id_is_told_with_close_matches(folder):
    with pytest.raises(UnknownText, match=r"no quiz is called 'attention.scales'; did you mean 'attention.scale'"):
        quiz("attention.scales")


@pytest.mark.parametrize("quiz_id", ["", None, "zzz"])
def test_an_id_like_none_is_told_with_the_list(folder, quiz_id):
    with pytest.raises(UnknownText, match=r"there are attention\.scale, attention\.masks"):
        quiz(quiz_id)


RIGHT, WRONG = "{text='a', right=true, why='y'}", "{text='b', why='n'}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[q", "not valid TOML"),
        (b"\xff\xfe\x00", "not valid TOML"),
        ("q = 1", "expected a table"),
        ("[q]\noptions=[]", "expected a text as its question"),
        ("[q]\nquestion=''\noptions=[]", "expected a text as its question"),
        ("[q]\nquestion='?'", "expected a list of 2 to 26 options"),
        (f"[q]\nquestion='?'\noptions=[{RIGHT}]", "expected a list of 2 to 26 options"),
        (
            f"[q]\nquestion='?'\nanswer=1\noptions=[{RIGHT},{WRONG}]",
            "found answer; expected options, question only",
        ),
        (
            f"[q]\nquestion='?'\noptions=[{WRONG},{{text='c',why='n'}}]",
            "exactly one option with right = true, found 0",
        ),
        (f"[q]\nquestion='?'\noptions=[{RIGHT},{RIGHT}]", "exactly one option with right = true, found 2"),
        (f"[q]\nquestion='?'\noptions=[{RIGHT},{{text='b'}}]", "option 2: expected a reason"),
        (f"[q]\nquestion='?'\noptions=[{RIGHT},{{why='n'}}]", "option 2: expected a text"),
        (f"[q]\nquestion='?'\noptions=[{RIGHT},'b']", "option 2: expected { text"),
        (f"[q]\nquestion='?'\noptions=[{RIGHT},{{text='b',why='n',right='no'}}]", "right is true or false"),
        (f"[q]\nquestion='?'\noptions=[{RIGHT},{{text='a',why='n'}}]", "two options have the same text"),
    ],
)
def test_a_malformed_file_is_told_with_its_name(tmp_path, text, message):
    with pytest.raises(TextError, match=re.escape(message)) as told:
        all_quizzes(written(tmp_path, text).parent)
    assert "02_attention.toml" in str(told.value)


def test_a_file_without_a_chapter_number_is_refused(tmp_path):
    file = tmp_path / "attention.toml"
    file.write_text(TOML)
    with pytest.raises(TextError, match=r"expected a name like 02_attention\.toml"):
        all_quizzes(tmp_path)


def test_the_same_id_in_two_files_is_refused(folder):
    (folder / "03_attention.toml").write_text(TOML, encoding="utf-8")
    with pytest.raises(TextError, match=r"is in 02_attention\.toml already"):
        all_quizzes(folder)


def test_the_courses_right_options_do_not_stand_in_one_place():
    places = {}
    for id, q in all_quizzes(FOLDER).items():
        places.setdefault(id.split(".")[0], []).append([o.right for o in q.options].index(True))
    assert len(places) == len(list(FOLDER.glob("*.toml")))
    assert all(len({*chapter}) > 1 for chapter in places.values())


def test_the_course_has_quizzes_with_reasons_and_one_right_option():
    questions = all_quizzes(FOLDER).values()  # the loader refuses all that is not so
    assert questions
    assert all(o.why for q in questions for o in q.options)
    assert all(sum(o.right for o in q.options) == 1 for q in questions)
