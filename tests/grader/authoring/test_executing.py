"""The build proves that grading, which runs no demonstration cell, gives a right answer its marks."""

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
