"""What a chapter says of an exercise is what its spec says."""

import re
from pathlib import Path

import pytest

import coursekit
from coursekit.exercises import chapters, find

CHAPTERS = Path(__file__).parents[3] / "chapters"
HEADING = re.compile(
    r"^# ### Exercise \[\[(.+)\]\]: (.+)\n# ([\w-]+) · importance (\d) of 5 · (\d+) minutes · (\d+) points?\n(?:.*\n)*?"
    r"""# %% exercise="(.+)"\n""",
    re.M,
)


@pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.slug)
def test_headings_give_the_number_title_difficulty_importance_minutes_and_points_of_the_spec(chapter):
    text = (CHAPTERS / f"{chapter.slug}.py").read_text(encoding="utf-8")
    told = {
        exercise_id: (numbered, title, difficulty, int(importance), int(minutes), int(points))
        for numbered, title, difficulty, importance, minutes, points, exercise_id in HEADING.findall(text)
    }
    specs = {
        e.id: (e.id, e.title, e.difficulty, e.importance, e.minutes, e.points) for e in map(find, chapter.exercises)
    }
    assert told == specs


@pytest.mark.parametrize("chapter", chapters(), ids=lambda chapter: chapter.slug)
def test_exercises_are_listed_in_the_order_of_the_chapter(chapter):
    text = (CHAPTERS / f"{chapter.slug}.py").read_text(encoding="utf-8")
    assert tuple(re.findall(r'^# %% exercise="(.+)"', text, re.M)) == chapter.exercises


@pytest.mark.parametrize("quiz", sorted((Path(coursekit.__file__).parent / "texts" / "quizzes").glob("*.toml")))
def test_a_quiz_names_no_number_of_an_exercise(quiz):
    """It is read as it stands: nothing would put another number in its place."""
    assert re.findall(r"[Ee]xercises? [\d.]+|\[\[", re.sub(r"^\[\[.*", "", quiz.read_text("utf-8"), flags=re.M)) == []
