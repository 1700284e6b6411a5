"""What code in a contained kernel can see, use and leave behind; and that it does not outlive its client."""

import itertools
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from grader.grading.conversation import Cell
from grader.grading.running import Limits, Runner, SandboxMissing
from kernelkit import sandbox

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(bool(sandbox.missing()), reason=sandbox.missing() or "a sandbox")


@pytest.fixture(scope="module")
def runner():
    with Runner() as runner:
        yield runner


def said(ran, cell=-1):
    return "".join(output.get("text", output.get("evalue", "")) for output in ran.outputs[cell])


def run(runner, source, limits=None, given=None):
    return runner.run([Cell(source), Cell("print('still here')")], given or {}, limits)


def test_outputs_come_back_in_order_and_in_kind(runner):
    figure = "import matplotlib.pyplot as plt\nplt.plot([1, 2]);"
    ran = runner.run([Cell("print('a')"), Cell("1 + 1"), Cell(figure), Cell("1 / 0")], {})
    kinds = [[output["output_type"] for output in outputs] for outputs in ran.outputs]
    assert kinds == [["stream"], ["execute_result"], ["display_data"], ["error"]]
    assert "image/png" in ran.outputs[2][0]["data"]
    assert (ran.ended, ran.flags, ran.sandboxed) == ("", (), True)


def test_files_are_given_and_answers_come_back(runner):
    source = "import os\nopen('answers/a', 'wb').write(open('questions/q', 'rb').read() + b'!')"
    assert run(runner, source, given={"q": b"data"}).files == {"a": b"data!"}


def test_what_is_asked_can_be_read_and_not_written(runner):
    source = """
    for name in ('questions/q', 'questions/new'):
        try:
            open(name, 'wb').write(b'x')
            print('WRITTEN', name)
        except OSError as error:
            print(error.strerror)
    """
    assert said(run(runner, textwrap.dedent(source), given={"q": b"data"}), 0) == "Read-only file system\n" * 2


@pytest.fixture
def waiting(runner):
    """Two kernels that were forked before it was known what they will be asked."""
    runner.run([Cell("1")], {})  # the parent is there
    for _ in range(2):
        runner.prepare(Limits())
    yield [*runner._spares]
    while runner._spares:
        runner._spares.popleft().clean()


def test_a_kernel_that_waited_is_asked_its_own_questions(runner, waiting):
    source = "import os\nprint(os.listdir('questions'), open('questions/q').read())"
    for kernel, question in zip(waiting, ("one", "two"), strict=True):
        assert kernel in runner._spares
        assert said(run(runner, source, given={"q": question.encode()}), 0) == f"['q'] {question}\n"
        assert kernel not in runner._spares


def test_a_kernel_that_waits_is_out_of_reach_of_the_one_that_runs(runner, waiting):
    source = f"""
    import os
    tmp = [name for name in os.listdir('/tmp') if name not in {ROOT.parts}]  # coursekit may be shown from below it
    print([name for name in os.listdir('/proc') if name.isdigit()], sorted(os.listdir('/sockets')), tmp)
    for signal in (9, 15):
        try:
            os.kill(-1, signal)
        except ProcessLookupError:
            print('alone')
    """
    ran = run(runner, textwrap.dedent(source))
    own = [f"k-{channel}" for channel in range(1, 6)]
    assert said(ran, 0).splitlines() == [f"['1'] {own} ['kernel.json']", "alone", "alone"]
    assert not waiting[1].dead()
    assert ran.flags == ()


def test_a_kernel_that_died_waiting_is_replaced(runner, waiting):
    for kernel in waiting:
        kernel.signal(signal.SIGKILL)
        select.select([kernel._report], [], [], 30)
    ran = run(runner, "print('new')")
    assert (said(ran, 0), ran.ended, ran.flags) == ("new\n", "", ())


def test_a_kernel_that_waits_with_other_limits_is_not_used(runner, waiting):
    source = "import resource\nprint(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"
    assert said(run(runner, source, Limits(open_files=200)), 0) == "200\n"


def test_no_more_kernels_wait_than_are_needed(runner, waiting):
    runner.prepare(Limits())
    assert [*runner._spares] == waiting


def test_the_repository_is_not_there(runner):
    ran = run(runner, f"import os\nprint(sorted(os.listdir({str(ROOT)!r})), os.listdir('/'))")
    assert "grader" not in said(ran, 0)
    assert "solutions" not in said(ran, 0)
    assert "home" not in said(ran, 0)


def test_references_and_the_grader_cannot_be_imported(runner):
    source = f"""
    import os
    try:
        import grader.exercises
        print('LEAK')
    except ImportError:
        print('absent')
    print(os.listdir({str(ROOT / "coursekit" / "generated" / "reference")!r}))
    """
    ran = run(runner, textwrap.dedent(source))
    assert said(ran, 0) == "absent\n[]\n"


def test_the_system_is_read_only(runner):
    places = [sys.prefix, "/usr", "/etc", "/", str(ROOT / "coursekit"), "/proc/sys/kernel", "/sockets", "/dev"]
    source = f"""
    for place in {places}:
        try:
            open(place + '/canary', 'w')
            print('WRITTEN', place)
        except OSError:
            pass
    """
    assert said(run(runner, textwrap.dedent(source)), 0) == ""


def test_no_privilege_is_left(runner):
    source = r"""
    import ctypes, os, re
    status = open('/proc/self/status').read()
    print(re.findall(r'Cap(?:Eff|Prm|Bnd|Inh|Amb):\s+0*([0-9a-f]*[1-9a-f])', status), 'Seccomp:\t2' in status)
    libc = ctypes.CDLL(None, use_errno=True)
    calls = dict(unshare=libc.unshare(0x10000000), mount=libc.mount(b'x', b'/scratch', b'tmpfs', 0, None),
                 chroot=libc.chroot(b'/scratch'), ptrace=libc.ptrace(0, 0, 0, 0), setuid=libc.setuid(0))
    print(sorted(name for name, result in calls.items() if result == 0))
    print(os.getuid() == 0, len([name for name in os.listdir('/proc') if name.isdigit()]))
    """
    assert said(run(runner, textwrap.dedent(source)), 0) == "[] True\n[]\nFalse 1\n"


def test_there_is_no_network(runner):
    source = """
    import socket
    for address in (('1.1.1.1', 80), ('8.8.8.8', 53)):
        try:
            socket.create_connection(address, timeout=3)
            print('LEAK')
        except OSError as error:
            print(error.errno)
    """
    assert said(run(runner, textwrap.dedent(source)), 0) == "101\n101\n"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("x = bytearray(10 ** 10)", "MemoryError"),
        ("open('f', 'wb').write(bytes(10 ** 8))", "No space left|File too large"),
        ("hold = [open('/dev/null') for _ in range(10_000)]", "Too many open files"),
        (
            "import os\nfor _ in range(1000):\n    if os.fork() == 0:\n        import time; time.sleep(60)",
            "unavailable",
        ),
    ],
    ids=["memory", "disk", "files", "processes"],
)
def test_what_is_too_much_fails_inside(runner, source, error):
    ran = run(runner, source, Limits(memory=1 << 30, scratch=50 << 20))
    shown = " ".join(f"{o.get('ename')} {o.get('evalue')}" for o in ran.outputs[0])
    assert re.search(error, shown)
    assert said(ran) == "still here\n"


SMALL = Limits(memory=550 << 20)
HELD = {
    "buffers of Unix sockets": """
        import os, socket, time
        def fill(end):
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
            try:
                while True: end.send(bytes(1 << 16))
            except BlockingIOError: pass
        for _ in range(12):
            if os.fork() == 0:
                pairs = [socket.socketpair() for _ in range(70)]
                for pair in pairs:
                    for end in pair: fill(end)
                time.sleep(60)
        time.sleep(60)
    """,
    "sockets that nobody has accepted": """
        import socket, time
        server = socket.socket(socket.AF_UNIX)
        server.bind('s')
        server.listen(4096)
        for _ in range(3000):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect('s')
                client.setblocking(False)
                try:
                    while True: client.send(bytes(1 << 16))
                except BlockingIOError: pass
        time.sleep(60)
    """,
    "queues over the loopback": """
        import socket, time
        server = socket.create_server(('127.0.0.1', 0), backlog=100)
        pairs = []
        for _ in range(100):
            client = socket.create_connection(server.getsockname())
            pairs.append((client, server.accept()[0]))
            client.setblocking(False)
            try:
                while True: client.send(bytes(1 << 16))
            except BlockingIOError: pass
        time.sleep(60)
    """,
    "mappings": """
        import mmap, os, time
        for _ in range(10):
            if os.fork() == 0:
                # Every second page may be written, so that no two of them are one mapping.
                kinds = (mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE)
                held = [mmap.mmap(-1, 4096, mmap.MAP_PRIVATE, kinds[i % 2]) for i in range(60_000)]
                time.sleep(60)
        time.sleep(60)
    """,
}


@pytest.mark.parametrize("source", HELD.values(), ids=HELD)
def test_what_linux_keeps_for_a_process_counts_as_its_memory(runner, source):
    ran = run(runner, textwrap.dedent(source), SMALL)
    assert re.search(r"used \d+ MB of memory, 550 MB are allowed", ran.ended), (ran.ended, said(ran, 0), ran.outputs)


def test_no_socket_holds_more_than_it_counts_for(runner):
    source = """
    import socket
    one, other = socket.socketpair()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
    print(one.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) <= 1 << 18)
    for kind in (socket.SOCK_DGRAM, socket.SOCK_RAW):
        for make in (socket.socket, socket.socketpair):
            try:
                make(socket.AF_UNIX, kind)
                print('MADE')
            except OSError as error:
                print(error.errno)
    socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    """
    assert said(run(runner, textwrap.dedent(source)), 0).split() == ["True", "97", "97", "97", "97"]


def test_what_is_hidden_is_hidden_however_it_is_reached(tmp_path):
    """A package behind a link, with a hidden folder that is a link as well."""
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "real" / "inner" / "answer").touch()
    (tmp_path / "real" / "open").touch()
    (tmp_path / "way").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "door").symlink_to("inner")
    places = [str(tmp_path / "real" / "inner"), str(tmp_path / "way" / "inner"), str(tmp_path / "way" / "door")]
    for hidden, shown in itertools.product(places, ("real", "way")):
        seen = listed(tmp_path / shown, hidden, [*places, str(tmp_path / shown)])
        assert seen[str(tmp_path / shown)] == ["door", "inner", "open"]
        assert [name for place in places for name in seen.get(place, ())] == [], (hidden, shown)


def listed(shown, hidden, places):
    """What a contained process sees in each of the places that are there."""
    with tempfile.TemporaryDirectory() as private:
        for name in ("s", "given", "root"):
            os.mkdir(f"{private}/{name}")
        mine, theirs = socket.socketpair()

        def kernel(sealed):
            sealed()
            found = {place: sorted(os.listdir(place)) for place in places if os.path.isdir(place)}
            Path(sandbox.ANSWERS, "seen").write_text(json.dumps(found))

        if os.fork() == 0:
            mine.close()
            walls = sandbox.Walls(private, readable=(str(shown),), hidden=(hidden,), memory=1 << 30)
            sandbox.contain(walls, kernel, theirs)
            os._exit(0)
        theirs.close()
        told, files = sandbox.receive(mine)
        os.wait()
        mine.close()
    assert not told["broken"], told
    return json.loads(files["seen"])


def test_a_loop_is_interrupted_and_the_next_cell_runs(runner):
    ran = run(runner, "while True: pass", Limits(cell=1))
    assert "interrupted" in ran.flags[0]
    assert said(ran) == "still here\n"


def test_a_deaf_loop_is_ended_and_what_was_written_stays(runner):
    cells = [
        Cell("open('answers/a', 'w').write('1')"),
        Cell("import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass"),
    ]
    ran = runner.run(cells, {}, Limits(cell=1))
    assert "could not be interrupted" in ran.ended
    assert ran.files == {"a": b"1"}


def test_a_dead_kernel_is_told(runner):
    assert "status 3" in run(runner, "import os\nos._exit(3)").ended
    assert "SIGSEGV" in run(runner, "import ctypes\nctypes.string_at(0)").ended


def test_only_plain_bounded_answers_are_read(runner):
    source = """
    import os
    os.symlink('/etc/passwd', 'answers/link')
    os.mkfifo('answers/pipe')
    os.mkdir('answers/folder')
    open('answers/big', 'wb').write(bytes(3_000_000))
    open('answers/good', 'wb').write(b'1')
    """
    ran = run(runner, textwrap.dedent(source), Limits(answers=1 << 20))
    assert ran.files == {"good": b"1"}
    assert len(ran.flags) == 4


def test_one_run_leaves_nothing_for_the_next(runner):
    run(
        runner, "import torch\ntorch.softmax = None\nopen('/tmp/left', 'w').write('x')\nimport builtins\nbuiltins.x = 1"
    )
    ran = run(
        runner, "import os, torch\nprint(torch.softmax is None, 'left' in os.listdir('/tmp'), 'x' in dir(__builtins__))"
    )
    assert said(ran, 0) == "False False False\n"


def test_kernels_draw_different_numbers_but_torch_the_same(runner):
    source = "import numpy, random, torch\nprint(numpy.random.rand(), random.random(), torch.rand(1).item())"
    first, second = (said(run(runner, source), 0).split() for _ in range(2))
    assert first[:2] != second[:2]
    assert first[2] == second[2]


def test_everything_dies_with_its_client(tmp_path):
    """A grader that is killed leaves no kernel, no parent and no folder."""
    script = """
    import os
    from grader.grading.conversation import Cell
    from grader.grading.running import Runner
    runner = Runner()
    runner.run([Cell('1')], {})
    print(runner._parent.pid, runner._folder, flush=True)
    runner.run([Cell('import time\\ntime.sleep(600)')], {})
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        pid, folder = process.stdout.readline().split()
        parent = os.pidfd_open(int(pid))
        process.send_signal(signal.SIGKILL)
    assert select.select([parent], [], [], 30)[0], "the warm parent lives on"
    assert not Path(folder).exists()


def test_a_machine_without_namespaces_is_told_what_is_missing(monkeypatch):
    monkeypatch.setattr(sandbox, "missing", lambda: "this machine has no namespaces")
    with pytest.raises(SandboxMissing, match=r"no namespaces.*NBGRADER_UNPROTECTED=1"):
        Runner()


def test_without_protection_every_result_says_so():
    with Runner(unprotected=True) as runner:
        ran = runner.run([Cell("open('answers/a', 'w').write('1')"), Cell("print('b')")], {})
    assert (ran.sandboxed, ran.files, said(ran)) == (False, {"a": b"1"}, "b\n")
