"""What stands beside a chapter's cells is there, is used, and gives nothing away."""

import pytest

from coursekit import beside, diagrams
from grader.authoring.asides import refusals
from grader.authoring.chapter import Cell, Text

QUIZZES = """
[{name}]
question = '?'
options = [{{text = '{right}', right = true, why = 'y'}}, {{text = 'middle', why = 'n'}}]
"""


@pytest.fixture(autouse=True)
def texts(tmp_path, monkeypatch):
    for kind in ("predictions", "figures", "quizzes"):
        (tmp_path / kind).mkdir()
    (tmp_path / "predictions" / "02_attention.toml").write_text("[entropy]\nask = '?'")
    (tmp_path / "figures" / "02_attention.toml").write_text("map = 'A map.'")
    quizzes = "".join(QUIZZES.format(name=f"q{i}", right=right) for i, right in enumerate(("a", "b", "c")))
    (tmp_path / "quizzes" / "02_attention.toml").write_text(quizzes)
    monkeypatch.setattr(beside, "FOLDER", tmp_path)
    monkeypatch.setattr(diagrams, "all_diagrams", dict)
    monkeypatch.setattr("grader.authoring.asides.all_diagrams", dict)
    return tmp_path


GOOD = (
    'predict("attention.entropy")',
    'came_out("attention.entropy", 1)',
    'show(fig, "attention.map")',
    *(f'quiz("attention.q{i}")' for i in range(3)),
)


def told(*sources, **keys):
    cells = tuple(Cell("code", source, keys, 10 * i) for i, source in enumerate(sources, 1))
    return [sentence for _, sentence in refusals(Text("02_attention", "chapters/02.py", {}, cells, {}))]


def test_what_is_there_and_used_is_accepted():
    assert told(*GOOD) == []


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (("predict('attention.entropy')", *GOOD[2:]), "the prediction 'attention.entropy' has no outcome"),
        ((GOOD[1], GOOD[0], *GOOD[2:]), "stands before the prediction or in its cell"),
        (GOOD[1:], "has no prediction above it"),
        ((*GOOD, "predict('attention.x')\n", "came_out('attention.x', 1)"), "no prediction is called 'attention.x'"),
        ((*GOOD, "show(fig, 'attention.x')"), "no description of a figure is called 'attention.x'"),
        ((*GOOD, "diagram('attention.x')"), "no diagram is called 'attention.x'"),
        ((*GOOD, "quiz('attention.x')"), "no quiz is called 'attention.x'"),
        (GOOD[:2] + GOOD[3:], "the description of a figure 'attention.map' is shown nowhere"),
        (GOOD[:-1], "the quiz 'attention.q2' is shown nowhere"),
    ],
)
def test_what_is_missing_or_unused_is_refused(cells, sentence):
    assert any(sentence in one for one in told(*cells))


def test_a_description_in_words_is_no_id():
    assert told(*GOOD, "show(fig, 'A map of weights.')") == []


def test_a_right_option_that_is_too_often_the_longest_is_refused(texts):
    quizzes = "".join(
        QUIZZES.format(name=f"q{i}", right=right) for i, right in enumerate(("a", "the longest", "longest!"))
    )
    (texts / "quizzes" / "02_attention.toml").write_text(quizzes)
    assert told(*GOOD) == [
        "the right option is the longest in 2 of 3 quizzes (attention.q1, attention.q2): at most a third"
    ]
