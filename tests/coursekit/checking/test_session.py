"""A check in a real kernel looks at the cell as it stands, and says what will not be there when it is graded."""

import html
import json
import os
import re
from pathlib import Path

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel

ROOT = Path(__file__).parents[3]
SLUG = "02_attention"
CELLS = {cell.id: cell for cell in nbformat.read(ROOT / "course" / SLUG / f"{SLUG}.ipynb", as_version=4).cells}
SOLVED = {
    cell.id: cell.source
    for cell in nbformat.read(ROOT / "solutions" / SLUG / f"{SLUG}.ipynb", as_version=4).cells
    if cell.metadata.get("nbgrader", {}).get("solution")
}
SOFTMAX, HEADS, MULTIHEAD = "attention-softmax", "attention-heads", "attention-multihead"
CALLS = """class MultiHeadAttention(nn.Module):
    def __init__(self, D, H):
        super().__init__()
        self.H = H
        self.in_proj_weight = nn.Parameter(torch.empty(3 * D, D))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * D))
        self.out_proj = nn.Linear(D, D)

    def forward(self, X, allowed=None):
        QKV = nn.functional.linear(X, self.in_proj_weight, self.in_proj_bias)
        Q, K, V = (split(P, self.H) for P in QKV.chunk(3, -1))
        Z = Q @ K.mT / math.sqrt(Q.shape[-1])
        Z = Z if allowed is None else Z.masked_fill(~allowed, -torch.inf)
        return self.out_proj(merge(Z.softmax(-1) @ V))
"""

pytestmark = pytest.mark.slow(1)


class Notebook:
    """A kernel that is sent cells as JupyterLab sends them: with the cell's id."""

    def __init__(self, file):
        env = os.environ | {"JPY_SESSION_NAME": str(file), "COURSEKIT_PROGRESS": "off"}
        self.manager, self.client = start_new_kernel(kernel_name="coursekit-warm", env=env)
        for cell in CELLS.values():
            if {"setup", "parameters"} & set(cell.metadata.get("tags", ())):
                self.run(cell.source, cell.id)

    def run(self, source, id=""):
        """What the cell shows, as a reader sees it."""
        content = {"code": source, "silent": False, "store_history": True, "stop_on_error": False}
        content |= {"user_expressions": {}, "allow_stdin": False}
        channel = self.client.shell_channel.socket
        sent = self.client.session.send(channel, "execute_request", content, metadata={"cellId": id} if id else {})
        shown = []
        while True:
            message = self.client.get_iopub_msg(timeout=120)
            if message["parent_header"].get("msg_id") != sent["header"]["msg_id"]:
                continue
            content = message["content"]
            if message["msg_type"] == "status" and content["execution_state"] == "idle":
                return " ".join(shown)
            if message["msg_type"] == "execute_result":
                text = content["data"].get("text/html", "")
                shown.append(re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text))))
            if message["msg_type"] == "error":
                shown.append(content["evalue"])

    def answer(self, id, source=""):
        return self.run(source or SOLVED[id], id)

    def check(self, id):
        return self.run(CELLS[f"{id}-check"].source, f"{id}-check")


@pytest.fixture
def notebook(tmp_path):
    made = Notebook(tmp_path / f"{SLUG}.ipynb")
    yield made
    made.client.stop_channels()
    made.manager.shutdown_kernel(now=True)


@pytest.mark.parametrize(
    ("then", "told"),
    [
        ("def softmax(x, dim)\n    return x", "SyntaxError in line 1"),
        ("import nothing_here\ndef softmax(x, dim):\n    return x", "ModuleNotFoundError"),
        ("def soft(x, dim):\n    return x", "does not define softmax any more"),
    ],
)
def test_a_function_of_an_earlier_run_is_not_praised(notebook, then, told):
    notebook.answer(SOFTMAX)
    assert "2 of 2 points" in notebook.check(SOFTMAX)
    notebook.answer(SOFTMAX, then)
    assert told in notebook.check(SOFTMAX)
    notebook.answer(SOFTMAX)
    assert "2 of 2 points" in notebook.check(SOFTMAX)


def test_a_change_that_was_saved_and_not_run_is_told(notebook, tmp_path):
    notebook.answer(SOFTMAX)
    saved = {"cells": [{"cell_type": "code", "id": SOFTMAX, "metadata": {}, "source": SOLVED[SOFTMAX]}]}
    file = tmp_path / f"{SLUG}.ipynb"
    file.write_text(json.dumps(saved))
    assert "2 of 2 points" in notebook.check(SOFTMAX)
    saved["cells"][0]["source"] += "\n    return x"
    file.write_text(json.dumps(saved))
    assert "was changed after it was run" in notebook.check(SOFTMAX)


def test_a_check_is_not_affected_by_what_a_learner_calls_a_variable(notebook):
    notebook.answer(SOFTMAX)
    notebook.run("check = use = coursekit = 3")
    assert "2 of 2 points" in notebook.check(SOFTMAX)


def test_a_function_called_check_stays_the_learners(notebook):
    notebook.run('def check(text, x=0): return f"mine {text}"')
    notebook.run('assert check("a.txt") == "mine a.txt"; raise RuntimeError(check("a.b"))')
    assert "mine a.b" in notebook.run('raise RuntimeError(check("a.b"))')


def test_an_answer_that_calls_a_stand_in_is_told_so_and_passes_with_the_learners_own(notebook):
    make = 'split, merge = use("attention.heads", split_heads, merge_heads)'
    notebook.answer(HEADS, CELLS[HEADS].source)
    notebook.run(make)
    notebook.answer(MULTIHEAD, CALLS)
    assert "for which a library stands in until the check of 'Split into heads" in notebook.check(MULTIHEAD)
    notebook.answer(HEADS)
    assert "2 of 2 points" in notebook.check(HEADS)
    notebook.run(make)
    assert "3 of 3 points" in notebook.check(MULTIHEAD)


def test_a_name_that_only_a_cell_below_defines_is_told(notebook):
    below = next(cell for cell in CELLS.values() if "D, H = encoder" in cell.source)
    notebook.run("D, H = 8, 2", below.id)
    notebook.answer(MULTIHEAD, CALLS.replace("split(P, self.H)", "P.unflatten(-1, (H, -1)).transpose(1, 2)"))
    assert "reads H, which only a cell further down defines" in notebook.check(MULTIHEAD)


def test_a_name_of_the_learners_own_is_theirs_to_read(notebook):
    helper = "def merge(Y): return Y.transpose(1, 2).flatten(2)\n\ndef split(X, n):\n    "
    notebook.run(helper + "return X.unflatten(-1, (n, -1)).transpose(1, 2)", "a-cell-of-mine")
    notebook.answer(MULTIHEAD, CALLS)
    assert "3 of 3 points" in notebook.check(MULTIHEAD)


def test_data_of_a_demonstration_above_is_named(notebook):
    above = next(cell for cell in CELLS.values() if cell.source.startswith("T = 8"))
    notebook.run("T = 8", above.id)
    notebook.answer("attention-sinusoidal", "def sinusoidal_positions(positions, D):\n    return torch.zeros(T, D)")
    assert "reads T from a cell above it" in notebook.check("attention-sinusoidal")
