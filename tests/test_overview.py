"""README's table is that of the chapters, whose headers and specs say the same once."""

import re
from pathlib import Path

from coursekit.exercises import chapters
from grader.authoring.chapter import load_specs, read

ROOT = Path(__file__).parents[1]


def row(chapter):
    header = read(ROOT / "chapters" / f"{chapter.slug}.py", ROOT).header
    specs = load_specs(chapter.slug)
    points, by_hand = sum(specs.exercises.values()), sum(specs.questions.values())
    worth = f"{points}, and {by_hand} marked by a person" if by_hand else str(points)
    number, named = chapter.slug[:2], f"{header['title']}: {header['question']}"
    return f"| {number} | {named} | {len(specs.exercises)} | {worth} |"


def test_readmes_table_is_that_of_the_chapters():
    table = re.findall(r"^\| \d\d \|.*$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert table == [row(chapter) for chapter in chapters()]


def test_binder_names_no_chapter():
    told = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "binder").iterdir())
    assert not [chapter.slug for chapter in chapters() if chapter.slug in told]
