"""A notebook's file is read without its outputs, in bounded time and memory."""

import json

import nbformat
import pytest

from coursekit.notebook import limits, reading


def test_outputs_and_widgets_are_dropped_and_all_else_stays(root):
    path = root / "solutions" / "02_attention" / "02_attention.ipynb"
    wanted = json.loads(path.read_text(encoding="utf-8"))
    for cell in wanted["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = []
    assert reading.parsed(path.read_bytes()) == wanted


def test_a_source_that_speaks_of_outputs_stays():
    cell = nbformat.v4.new_code_cell('{"outputs": [1, {"widgets": {}}]}')
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {"state": {"a": [1]}}})
    found = reading.parsed(nbformat.writes(notebook).encode())
    assert reading.source(found["cells"][0]) == cell.source
    assert found["metadata"]["widgets"] == {}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"cells": [' + b"[]," * (reading.MOST_PIECES // 2 + 1), "pieces"),
        (b'"\\' * 100_000, "not JSON"),
        (b'{"a": "' + b"x" * limits.SOURCES + b'"}', "without its outputs"),
        (b'{"outputs": [' + b"[" * 100_000, "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "list"),
    ],
)
def test_what_is_no_notebook_says_why(data, said):
    with pytest.raises(reading.Unreadable, match=said):
        reading.parsed(data)


def test_thirty_megabytes_of_outputs_are_no_reason_to_refuse():
    picture = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "A" * (30 << 20)}}
    cell = {"cell_type": "code", "source": "x = 1", "metadata": {}, "outputs": [picture], "execution_count": 1}
    [found] = reading.cells(reading.parsed(json.dumps({"cells": [cell]}).encode()))
    assert found["outputs"] == []
