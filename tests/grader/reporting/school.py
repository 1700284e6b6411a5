"""A class of twelve with varied answers to chapter 02, some with two hand-ins, graded in the real sandbox."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

from grader.__main__ import main

ROOT = Path(__file__).parents[3]
SLUG = "02_attention"
NOTEBOOK = f"{SLUG}.ipynb"
# What a folder may be called; nothing of it may act in a terminal, a page or a spreadsheet.
HOSTILE = "=HYPERLINK(1)<img src=x onerror=alert(1)>"
CRY = "zarniwoop"  # what a learner's own error says about who wrote it

RIGHT = object()
SOFTMAX = {
    "no maximum": "def softmax(x, dim):\n    return x.exp() / x.exp().sum(dim, keepdim=True)",
    "last dimension": "def softmax(x, dim):\n    return torch.softmax(x, -1)",
    "twice": "def softmax(x, dim):\n    return 2 * torch.softmax(x, dim)",
    "syntax": "def softmax(x, dim)\n    return torch.softmax(x, dim)",
    "cries": f"def softmax(x, dim):\n    raise ValueError('I am {CRY}\\x1b[2J <script>alert(1)</script> =1+1')",
}
SDPA = {
    "not scaled": "def scaled_dot_product_attention(Q, K, V):\n    return torch.softmax(Q @ K.mT, -1) @ V",
    "over queries": "def scaled_dot_product_attention(Q, K, V):\n"
    "    return torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, -2) @ V",
    "keys as values": "def scaled_dot_product_attention(Q, K, V):\n"
    "    return torch.softmax(Q @ K.mT / Q.shape[-1] ** 0.5, -1) @ K.sum(-1, keepdim=True).expand_as(V) + 0 * V",
    "not transposed": "def scaled_dot_product_attention(Q, K, V):\n"
    "    return torch.softmax(Q @ K / Q.shape[-1] ** 0.5, -1) @ V",
}
CLASS = {  # by learner, the answers of each hand-in by exercise
    "quimby01": [{"softmax": RIGHT, "sdpa": SDPA["not scaled"]}, {"*": RIGHT}],
    "wexford02": [{"softmax": SOFTMAX["no maximum"], "sdpa": SDPA["not scaled"]}],
    "trillan03": [
        {"softmax": SOFTMAX["no maximum"], "sdpa": SDPA["not scaled"]},
        {"softmax": RIGHT, "sdpa": SDPA["over queries"], "heads": RIGHT},
    ],
    "slartib04": [{"softmax": SOFTMAX["last dimension"], "sdpa": SDPA["not scaled"], "heads": RIGHT}],
    "magrath05": [{"softmax": SOFTMAX["twice"], "sdpa": SDPA["keys as values"]}],
    "vogon06": [{"softmax": SOFTMAX["twice"], "sdpa": SDPA["not transposed"], "masks": RIGHT}],
    "prosser07": [{"softmax": SOFTMAX["syntax"], "sdpa": SDPA["not transposed"], "rotary": RIGHT}],
    "zarniwoop": [{"softmax": SOFTMAX["cries"], "sdpa": SDPA["not scaled"]}],
    "fenchur09": [{}],
    "hotblack10": [{"*": RIGHT}],
    HOSTILE: [{"softmax": RIGHT, "sdpa": SDPA["over queries"]}],
    "agrajag12": ["no notebook at all"],
}


class School:
    """A course's folder; `hand_in` puts submissions there, `command` runs one of the project's commands in it."""

    def __init__(self, folder):
        self.course = folder
        for name in ("solutions", "course"):
            shutil.copytree(ROOT / name / SLUG, folder / name / SLUG)
        shutil.copy(ROOT / "nbgrader_config.py", folder)
        self.release = folder / "course" / SLUG / NOTEBOOK
        solved = nbformat.read(folder / "solutions" / SLUG / NOTEBOOK, as_version=4)
        marked = (c for c in solved.cells if c.metadata.get("nbgrader", {}).get("solution"))
        self.answers = {c.metadata.nbgrader.grade_id.removeprefix("attention-"): c.source for c in marked}
        self.command("nbgrader", "generate_assignment", SLUG)

    def hand_in(self, learner, what, when):
        folder = self.course / "submitted" / learner / SLUG
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "timestamp.txt").write_text(f"{when} UTC")
        if isinstance(what, str):
            (folder / NOTEBOOK).write_text(what)
            return
        notebook = nbformat.read(self.release, as_version=4)
        for cell in notebook.cells:
            name = cell.metadata.get("nbgrader", {}).get("grade_id", "").removeprefix("attention-")
            if cell.metadata.get("nbgrader", {}).get("solution") and name in self.answers:
                written = what.get(name, what.get("*", cell.source))
                cell.source = self.answers[name] if written is RIGHT else written
        nbformat.write(notebook, folder / NOTEBOOK)

    def command(self, *arguments, check=True):
        own = {"NBGRADER_DB": "", "NBGRADER_EXCHANGE": "", "COLUMNS": "200"}
        command = [sys.executable, "-W", "ignore", "-m", *arguments]
        done = subprocess.run(command, cwd=self.course, env=os.environ | own, capture_output=True, text=True)
        assert not check or done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return done

    def report(self, *arguments):
        """The exit status and what the report's command printed, in this process: another would import for seconds."""
        said = io.StringIO()
        with contextlib.chdir(self.course), contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            status = main(["report", *arguments])
        return status, said.getvalue()


def graded_school(folder):
    """The class after its first hand-ins went through nbgrader's command, and the second ones through ours."""
    school = School(folder)
    for learner, (first, *more) in CLASS.items():
        if more:
            school.hand_in(learner, first, "2026-09-07 08:00:00")
    school.command("nbgrader", "autograde", SLUG)
    for learner, hand_ins in CLASS.items():
        school.hand_in(learner, hand_ins[-1], "2026-09-08 09:30:00")
    school.command("grader", "grade", SLUG)
    return school
