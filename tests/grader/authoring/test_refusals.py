"""Every chapter that the build must refuse, with the file, the line and the reason that it gives."""

import re

import pytest

from grader.authoring import chapter
from grader.authoring.building import build
from grader.authoring.chapter import BuildError, Specs

CHECK = '# %% check="attention.softmax"\ncheck("attention.softmax", softmax)\n'
REFUSALS = {
    "no goals": ("#     goals:\n#       - Take a softmax.\n", "", 1, "the header has no goals"),
    "no minutes": ("#     minutes: 5\n", "", 1, "the header has no minutes"),
    "no prerequisites": ("#     prerequisites:\n#       - none\n", "", 1, "the header has no prerequisites"),
    "no title": ("#     title: Tiny\n", "", 1, "the header has no title"),
    "minutes in words": ("minutes: 5", "minutes: five", 1, "minutes is 'five'; write a whole number"),
    "no parameters cell": ('tags=["parameters"]', 'tags=["other"]', 1, "found 0 cells tagged parameters"),
    "a parameter unset": ('device = "cpu"\n', "", 19, "the parameters cell does not set device"),
    "half a solution region": (
        "    ### BEGIN SOLUTION\n",
        "",
        28,
        "'BEGIN SOLUTION' and 'END SOLUTION' do not come in pairs",
    ),
    "a solution elsewhere": (
        "print(seed)",
        "### BEGIN SOLUTION\nprint(seed)\n### END SOLUTION",
        45,
        "a solution region outside an exercise or a question",
    ),
    "hidden tests": ("print(seed)", "### BEGIN HIDDEN TESTS\nprint(seed)", 45, "hidden tests do not belong"),
    "no check": (CHECK, "", 28, "exercise 'attention.softmax' has no check cell"),
    "a check of nothing": (
        CHECK,
        CHECK + '\n# %% check="attention.sdpa"\ncheck("attention.sdpa", softmax)\n',
        42,
        "check 'attention.sdpa' has no exercise cell",
    ),
    "a check that calls another": (
        'check("attention.softmax", softmax)',
        'check("attention.sdpa", softmax)',
        39,
        "the check cell of 'attention.softmax' does not call check(\"attention.softmax\"",
    ),
    "code before the check": (
        CHECK,
        "# %%\nprint(0)\n\n" + CHECK,
        42,
        "only markdown cells may stand between them",
    ),
    "a duplicate": (
        CHECK,
        CHECK + "\n" + CHECK,
        39,
        "check 'attention.softmax' stands in more than one cell",
    ),
    "an exercise named as a question": (
        'question="attention.explain"',
        'question="attention.softmax"',
        28,
        "exercise 'attention.softmax' stands in more than one cell",
    ),
    "a misspelt key": ('exercise="attention', 'excercise="attention', 28, "unknown cell key excercise"),
    "two keys": (
        '# %% check="attention.softmax"',
        '# %% check="attention.softmax" question="attention.explain"',
        39,
        "a cell is an exercise, a check or a question",
    ),
    "a question in code": (
        '# %% [markdown] question="attention.explain"',
        '# %% question="attention.explain"',
        54,
        "question 'attention.explain' is a code cell; make it a markdown cell",
    ),
    "a number of no exercise": (
        "# A hint may stand between an exercise and its check.",
        "# A hint may stand\n# beside [[attention.sotfmax]].",
        38,
        "[[attention.sotfmax]] names no exercise cell; write the id of one",
    ),
    "a number by hand": (
        "# A hint may stand between an exercise and its check.",
        "# A hint may stand\n#\n# after exercise 1.1.",
        39,
        "1.1 is written by hand; write [[attention.softmax]]",
    ),
    "a number by hand over the end of a line": (
        "# A hint may stand between an exercise and its check.",
        "# A hint may stand after exercise\n# 7.12.",
        37,
        "7.12 is written by hand; write [[slug.name]]",
    ),
    "an exercise's name taken": (
        "print(seed)",
        "softmax = torch.softmax",
        45,
        "binds 'softmax', which is what exercise 'attention.softmax' asks for",
    ),
    "a long cell": ("print(seed)", "print(seed)\n" * 31, 45, "the cell has 31 lines, at most 30"),
    "a prediction without an outcome": ("print(seed)", 'predict("x.y")', 51, "the prediction 'x.y' has no outcome"),
    "a mark that is none": ("print(seed)", "print(seed)\n\n# %% [markdown]\n# [[term: mask]]", 48, "is no mark"),
    "a bad id": (
        'question="attention.explain"',
        'question="Explain it"',
        54,
        "'Explain it' is no id; write it as slug.verb_or_noun",
    ),
}


def refuse(tmp_path, text, specs):
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "01_tiny.py").write_text(text, encoding="utf-8")
    with pytest.raises(BuildError) as refused:
        build(tmp_path, check=True, specs=specs)
    return str(refused.value)


@pytest.mark.parametrize("name", REFUSALS)
def test_refuses_with_file_and_line(name, tmp_path, tiny_text, tiny_specs):
    old, new, line, sentence = REFUSALS[name]
    assert old in tiny_text
    message = refuse(tmp_path, tiny_text.replace(old, new), tiny_specs)
    assert re.search(rf"^chapters/01_tiny\.py:{line}: .*{re.escape(sentence)}", message, re.M), message


def test_refuses_an_exercise_without_a_solution_region(tmp_path, tiny_text, tiny_specs):
    text = re.sub(r" +### (BEGIN|END) SOLUTION\n", "", tiny_text)
    message = refuse(tmp_path, text, tiny_specs)
    assert "chapters/01_tiny.py:28: exercise 'attention.softmax' has no solution region" in message


def test_refuses_an_exercise_without_a_spec(tmp_path, tiny_text):
    message = refuse(tmp_path, tiny_text, lambda slug: Specs({}, {"attention.explain": 3}))
    assert "chapters/01_tiny.py:28: exercise 'attention.softmax' has no spec; write coursekit/" in message


def test_refuses_a_question_without_a_spec(tmp_path, tiny_text):
    message = refuse(tmp_path, tiny_text, lambda slug: Specs({"attention.softmax": 2}, {}))
    assert "chapters/01_tiny.py:54: question 'attention.explain' has no spec" in message


def test_refuses_a_chapter_that_lacks_a_listed_exercise(tmp_path, tiny_text):
    specs = Specs({"attention.softmax": 2, "attention.sdpa": 2}, {"attention.explain": 3})
    message = refuse(tmp_path, tiny_text, lambda slug: specs)
    assert "the spec lists exercise 'attention.sdpa', the chapter has no such cell" in message


def test_refuses_text_before_the_first_cell(tmp_path, tiny_text, tiny_specs):
    message = refuse(tmp_path, tiny_text.replace("# ---\n\n", "# ---\n\nimport os\n\n", 1), tiny_specs)
    assert "chapters/01_tiny.py:1: found text before the first '# %%'" in message


def test_refuses_a_formula_of_which_tex_would_leave_out_the_beginning(tmp_path, tiny_text, tiny_specs):
    formula = "\n# %% [markdown]\n# One.\n#\n# $$\\begin{aligned}\n# [a] &= b\n# \\end{aligned}$$\n"
    line = len(tiny_text.splitlines()) + 6
    told = f"chapters/01_tiny.py:{line}: TeX takes the [ behind \\begin{{aligned}} for an option"
    assert told in refuse(tmp_path, tiny_text + formula, tiny_specs)
    path = tmp_path / "chapters" / "01_tiny.py"
    path.write_text(tiny_text + formula.replace("[a]", "{[}a]"), encoding="utf-8")
    chapter.judge(chapter.read(path, tmp_path), tiny_specs("01_tiny"))


def test_refuses_a_repository_without_chapters(tmp_path, tiny_specs):
    with pytest.raises(BuildError, match="no chapter found"):
        build(tmp_path, specs=tiny_specs)


def test_tells_all_reasons_at_once(tmp_path, tiny_text, tiny_specs):
    text = tiny_text.replace("#     minutes: 5\n", "").replace(CHECK, "")
    assert len(refuse(tmp_path, text, tiny_specs).splitlines()) == 2


def test_accepts_the_tiny_chapter(tmp_path, tiny_text, tiny_specs):
    path = tmp_path / "01_tiny.py"
    path.write_text(tiny_text, encoding="utf-8")
    chapter.judge(chapter.read(path, tmp_path), tiny_specs("01_tiny"))


def test_specs_of_the_real_chapters_are_found():
    assert chapter.load_specs("02_attention").exercises["attention.softmax"] == 2


def test_a_chapter_without_exercises_has_no_specs():
    assert chapter.load_specs("99_outlook") == Specs({}, {})
