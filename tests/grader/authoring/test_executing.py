"""What the author is told of a chapter that runs into something: everything that is known of it."""

import nbformat
import pytest

from grader.authoring.chapter import BuildError, read
from grader.authoring.executing import execute
from grader.authoring.notebook import expand

pytestmark = pytest.mark.slow


def test_an_exercise_that_needs_a_demonstration_is_refused(tmp_path, tiny_text, tiny_specs):
    """The constant is defined in a demonstration cell, which a learner's grading would not run."""
    text = tiny_text.replace('# %% exercise="attention.softmax"', '# %%\nONE = 1\n\n# %% exercise="attention.softmax"')
    text = text.replace("shifted = x - x.amax(dim, keepdim=True)", "shifted = ONE * (x - x.amax(dim, keepdim=True))")
    path = tmp_path / "09_tiny.py"
    path.write_text(text, encoding="utf-8")
    notebook = expand(read(path, tmp_path), tiny_specs("09_tiny"))
    with pytest.raises(BuildError, match="without the demonstration cells the solution earns"):
        execute(notebook, tmp_path, "09_tiny")


def test_what_is_committed_was_run_in_the_profile_of_a_learner(tmp_path, tiny_text, tiny_specs, monkeypatch):
    monkeypatch.setenv("COURSEKIT_PROFILE", "smoke")
    text = (
        tiny_text.replace('profile = "smoke"', 'profile = "fast"')
        + "\n# %%\nimport coursekit\nprint(coursekit.profile(profile))\n"
    )
    path = tmp_path / "09_tiny.py"
    path.write_text(text, encoding="utf-8")
    notebook = expand(read(path, tmp_path), tiny_specs("09_tiny"))
    assert execute(notebook, tmp_path, "09_tiny").cells[-1].outputs[0].text == "fast\n"


def executed(tmp_path, *sources, **more):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s, id=f"c{i}") for i, s in enumerate(sources)])
    return execute(nb, tmp_path, "chapters/01_tiny.py", **more)


def test_a_cell_that_fails_is_shown_with_its_traceback_and_without_colours(tmp_path):
    with pytest.raises(BuildError) as refused:
        executed(tmp_path, "x = 0", "def inverse(x):\n    return 1 / x", "inverse(x)")
    told = str(refused.value)
    assert told.startswith("chapters/01_tiny.py, cell c2: ZeroDivisionError: division by zero\n    inverse(x)\n")
    assert "return 1 / x" in told
    assert "\x1b" not in told


def test_a_lost_mark_is_told_with_the_whole_report(tmp_path, tiny_text, tiny_specs):
    path = tmp_path / "09_tiny.py"
    path.write_text(tiny_text.replace("return shifted.exp() /", "return shifted.exp() / 1 #"), encoding="utf-8")
    with pytest.raises(BuildError) as refused:
        execute(expand(read(path, tmp_path), tiny_specs("09_tiny")), tmp_path, "09_tiny")
    sentence, title, *report = str(refused.value).splitlines()
    assert sentence == "09_tiny, cell attention-softmax-check: the solution earns 0 of 2 points"
    assert title.split() == ["Softmax", "over", "any", "dimension", "0", "of", "2", "points"]
    assert any("cases right, 0 of" in line for line in report)
    assert any("expected" in line for line in report)
    assert "<" not in str(refused.value)


def test_a_kernel_says_nothing_of_its_sockets(tmp_path, capfd):
    executed(tmp_path, "1 + 1")
    assert "TCP" not in capfd.readouterr().err


def test_the_kernel_has_the_threads_that_it_is_given(tmp_path):
    nb = executed(tmp_path, "import torch; print(torch.get_num_threads())", threads=1)
    assert nb.cells[0].outputs[0].text == "1\n"


def test_of_a_long_loop_its_last_line_is_committed(tmp_path):
    nb = executed(tmp_path, "from coursekit import track\nfor _ in track(range(3), 'training'):\n    pass")
    [output] = nb.cells[0].outputs
    assert output.data["text/plain"] == "training: 3 of 3 steps"
    assert 'value="3" max="3"' in output.data["text/html"]
