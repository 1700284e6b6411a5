"""What goes wrong in a class: nothing that a learner did may be lost, and nobody may gain by it."""

import json
import os
import pwd
import signal
import socket
import subprocess
import threading
from datetime import UTC, datetime, timedelta

import psutil
import pytest

from hub import installing, limits
from hub.environment import closed
from tests.hub.classroom import COURSE, Classroom, missing, wait_for
from tests.hub.learner import SLUG, Died, Learner, released

if why := missing():
    pytest.skip(why, allow_module_level=True)
pytestmark = [pytest.mark.slow(2), pytest.mark.xdist_group("hub-faults")]
SETUP = "import os, torch\nfrom coursekit import check, progress"
RIGHT = "def sdpa(Q, K, V):\n    return (Q @ K.mT / Q.shape[-1] ** 0.5).softmax(-1) @ V"
CHECK = 'check("attention.sdpa", sdpa)'


@pytest.fixture(scope="module")
def room():
    made = Classroom(["ada", "ben", "eve"], 'memory = "2G"\nprocesses = 200')
    try:
        made.start()
        released(made)
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def people(room):
    """Each learner with a server and the chapter."""
    everyone = {}
    for name in ("ada", "ben", "eve"):
        everyone[name] = Learner(room, room.name(name)).login().start_server()
        assert "in your home now" in everyone[name].act("fetch")
    return everyone


def as_user(room, person, code):
    """Run Python as a learner, with nothing of the hub's environment; what it printed."""
    user = pwd.getpwnam(room.name(person))
    command = ["/usr/bin/env", "-i", f"HOME={user.pw_dir}", str(room.places["prefix"] / "env/bin/python"), "-c", code]
    done = subprocess.run(command, user=user.pw_uid, group=user.pw_gid, extra_groups=[], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def collected(room, person):
    room.nbgrader("collect", SLUG, "--update")
    return room.places["course"] / "submitted" / room.name(person) / SLUG


def write(learner, answer):
    """Put an answer into the notebook, and save it as JupyterLab does."""
    notebook = learner.notebook()
    for cell in notebook["cells"]:
        if cell["metadata"].get("nbgrader", {}).get("grade_id") == "attention-sdpa":
            cell["source"] = answer
    learner.save(notebook)


def written(folder):
    """The answer in the notebook of a folder."""
    cells = json.loads((folder / f"{SLUG}.ipynb").read_text())["cells"]
    [found] = [c["source"] for c in cells if c["metadata"].get("nbgrader", {}).get("grade_id") == "attention-sdpa"]
    return "".join(found)


def test_a_hub_that_is_killed_and_started_again_loses_nothing(room, people):
    ada = people["ada"]
    write(ada, RIGHT)
    kernel = ada.kernel()
    kernel.execute(SETUP + "\nanswer = 41")
    room.stop(signal.SIGKILL)
    room.start()
    wait_for(ada._ready, "the route to the old server")
    assert kernel.connect().execute("print(answer + 1)").strip() == "42"
    assert kernel.execute(f"{RIGHT}\n{CHECK}").strip().startswith("2")
    assert "2" in ada.kernel().execute("print(1 + 1)"), "the new warm parent gives kernels"
    assert "Handed in" in ada.act("submit")
    assert written(collected(room, "ada")) == RIGHT
    kernel.delete()


@pytest.mark.parametrize(
    ("options", "said"),
    [("size=64k,nr_inodes=16", "is full"), ("size=1m,ro", "closed for writing")],
    ids=["full", "read-only"],
)
def test_an_exchange_that_is_full_or_read_only_is_told_in_words_and_the_work_is_safe(room, people, options, said):
    ben, inbound = people["ben"], room.places["exchange"] / COURSE / "inbound"
    write(ben, RIGHT)
    owner = pwd.getpwnam(room.account)
    options += f",mode=3733,uid={owner.pw_uid},gid={owner.pw_gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", inbound], check=True)
    try:
        page = ben.act("submit")
    finally:
        subprocess.run(["umount", inbound], check=True)
    assert said in page
    assert "Your work is safe" in page
    assert "Handed in. " not in page
    assert written(room.home("ben") / SLUG) == RIGHT
    assert "Handed in. " in ben.act("submit")


def test_a_kernel_that_is_killed_during_a_check_is_replaced_and_progress_stays(people):
    ben = people["ben"]
    kernel = ben.kernel()
    assert kernel.execute(f"{SETUP}\n{RIGHT}\n{CHECK}").strip().startswith("2")
    before = kernel.execute("print(progress())")
    with pytest.raises(Died):
        kernel.execute(f"def sdpa(Q, K, V):\n    os.kill(os.getpid(), 9)\n{CHECK}")
    kernel = kernel.connect()
    assert kernel.execute(f"{SETUP}\nprint(progress())") == before
    kernel.delete()


def test_a_learner_cannot_take_more_memory_or_processes_than_allowed(people):
    kernel = people["eve"].kernel()
    assert "MemoryError" in kernel.execute("block = bytearray(3 << 30)")
    bomb = "import subprocess\nfor _ in range(400):\n    children.append(subprocess.Popen(['sleep', '600']))"
    assert "BlockingIOError" in kernel.execute(f"children = []\n{bomb}")
    assert kernel.execute("for child in children: child.kill()\nprint(6 * 7)").strip() == "42"
    kernel.delete()


def test_a_kernel_from_the_shared_parent_is_inside_its_learners_control_group(room, people):
    uid = pwd.getpwnam(room.name("eve")).pw_uid
    if not limits.prepare(uid, limits.Bounds(2 << 30, 200, 2.0)):
        pytest.skip("no control groups can be made on this machine")
    kernel = people["eve"].kernel()
    assert "hub.warm" in kernel.execute("import os; print(open(f'/proc/{os.getppid()}/cmdline').read())")
    assert f"/coursekit/{uid}" in kernel.execute("print(open('/proc/self/cgroup').read())")
    kernel.delete()


def test_the_shared_parent_serves_the_class_only_and_nobody_as_root(room):
    [path] = (room.places["run"] / "warm").glob("warm-*.sock")
    with socket.socket(socket.AF_UNIX) as root:
        root.connect(str(path))
        assert root.recv(1) == b"", "root was given a kernel"
    nobody = pwd.getpwnam("nobody")
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    python = str(room.places["prefix"] / "env/bin/python")
    done = subprocess.run(
        [python, "-c", code], user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], capture_output=True
    )
    assert b"PermissionError" in done.stderr


def test_what_a_kernel_inherits_from_the_parent_holds_no_secret_of_the_hub(room, people):
    kernel = people["eve"].kernel()
    said = kernel.execute(
        "import os; print(open('/proc/self/environ').read(), os.listdir('/proc/self/fd'), os.umask(0o077))"
    )
    assert "TOKEN" not in said
    assert "COOKIE" not in said
    assert said.strip().endswith("63"), "files of a learner are closed to others"
    kernel.delete()


def test_what_a_server_writes_stays_in_its_learners_own_places(room, people):
    user = pwd.getpwnam(room.name("eve"))
    [server] = [
        process
        for process in psutil.process_iter(["uids", "cmdline"])  # read at once: others end while this looks
        if process.info["uids"].real == user.pw_uid
        and "jupyterhub.singleuser" in (process.info["cmdline"] or ())  # none once it ended
    ]
    streams = {os.readlink(f"/proc/{server.pid}/fd/{stream}") for stream in (0, 1, 2)}
    assert streams == {"/dev/null", f"{user.pw_dir}/.cache/jupyter-server.log"}
    kernel = people["eve"].kernel()
    assert kernel.execute("import tempfile; print(tempfile.gettempdir())").strip() == f"{user.pw_dir}/.cache/tmp"
    kernel.delete()
    runtime = os.statvfs(room.places["run"] / "u" / str(user.pw_uid))
    assert runtime.f_blocks * runtime.f_frsize <= 16 << 20, "one learner could fill /run"


def test_an_answer_in_a_checkout_that_all_can_read_stops_the_installation(room, monkeypatch):
    monkeypatch.setattr(installing, "ROOT", room.base if closed(installing.ROOT) else installing.ROOT)
    with pytest.raises(installing.InstallError, match="chmod o-rwx"):
        installing._closed_checkout()


FORGE = """
import os, pathlib
folder = pathlib.Path({inbound!r}) / {name!r}
folder.mkdir()
notebook = pathlib.Path({notebook!r}).expanduser()
(folder / "{slug}.ipynb").write_bytes(notebook.read_bytes())
(folder / "timestamp.txt").write_text({stamp!r})
for path in folder.iterdir(): path.chmod(0o644)
folder.chmod(0o777)
"""


def forge(room, person, claimed, time, stamp=""):
    """By hand, make a folder in the exchange that claims to be somebody's submission at some time."""
    told = time.strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    name = f"{room.name(claimed)}+{SLUG}+{told}+byhand"
    values = {"inbound": str(room.places["exchange"] / COURSE / "inbound"), "name": name, "stamp": stamp or told}
    as_user(room, person, FORGE.format(**values, notebook=f"~/{SLUG}/{SLUG}.ipynb", slug=SLUG))


def test_a_time_before_the_deadline_that_is_only_claimed_does_not_count(room, people):
    forge(room, "eve", "eve", datetime.now(UTC) - timedelta(days=2))
    stamp = (collected(room, "eve") / "timestamp.txt").read_text()
    assert abs(datetime.fromisoformat(stamp.replace(" UTC", "+00:00")) - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_time_that_two_readers_understand_differently_stops_no_collect_and_does_not_count(room, people):
    soon = datetime.now(UTC) + timedelta(minutes=2)
    for number, stamp in enumerate(("23:59" + " " * 100 + "2026-06-10", "2026-06-10 12:00:00 /etc/shadow")):
        forge(room, "eve", "eve", soon + timedelta(seconds=number), stamp)
        told = (collected(room, "eve") / "timestamp.txt").read_text()
        assert abs(datetime.fromisoformat(told.replace(" UTC", "+00:00")) - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_clock_that_is_a_few_minutes_off_costs_nobody_the_deadline(room, people):
    time = datetime.now(UTC) + timedelta(minutes=5)
    forge(room, "eve", "eve", time)
    assert (collected(room, "eve") / "timestamp.txt").read_text().startswith(time.strftime("%Y-%m-%d %H:%M"))


def test_nobody_hands_in_for_somebody_else(room, people):
    people["ada"].act("submit")
    before = (collected(room, "ada") / "timestamp.txt").read_text()
    forge(room, "eve", "ada", datetime.now(UTC) + timedelta(minutes=9))
    assert (collected(room, "ada") / "timestamp.txt").read_text() == before


def test_a_link_to_the_solution_is_not_collected_as_somebodys_work(room, people):
    stamp = (datetime.now(UTC) + timedelta(minutes=8)).strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    folder = room.places["exchange"] / COURSE / "inbound" / f"{room.name('eve')}+{SLUG}+{stamp}+link"
    solution = room.places["course"] / "solutions" / SLUG / f"{SLUG}.ipynb"
    code = f"import os; os.mkdir({str(folder)!r}); os.symlink({str(solution)!r}, {str(folder / (SLUG + '.ipynb'))!r})\n"
    code += f"open({str(folder / 'timestamp.txt')!r}, 'w').write({stamp!r}); os.chmod({str(folder)!r}, 0o777)"
    as_user(room, "eve", code)
    assert not (collected(room, "eve") / f"{SLUG}.ipynb").exists()


def test_a_submission_while_the_instructor_collects_is_taken_whole_or_not_at_all(room, people):
    ada, sent = people["ada"], []

    def submit():
        for number in range(4):
            write(ada, f"{RIGHT}  # {number}")
            ada.act("submit")
            sent.append(number)

    hand = threading.Thread(target=submit)
    hand.start()
    seen = []
    while hand.is_alive() or not seen:
        folder = collected(room, "ada")
        seen.append(written(folder))
        assert (folder / "submission_secret.txt").stat().st_size == 128
    hand.join()
    assert sent == [0, 1, 2, 3]
    assert written(collected(room, "ada")).endswith("# 3")
    assert all(answer.startswith(RIGHT) for answer in seen)


def test_a_folder_that_is_still_being_written_waits_for_the_next_collect(room, people):
    people["ben"].act("submit")
    inbound = room.places["exchange"] / COURSE / "inbound"
    stamp = (datetime.now(UTC) + timedelta(minutes=9)).strftime("%Y-%m-%d %H:%M:%S.%f UTC")
    folder = inbound / f"{room.name('ben')}+{SLUG}+{stamp}+half"
    as_user(room, "ben", f"import os; os.umask(0o77); os.mkdir({str(folder)!r})")
    before = (collected(room, "ben") / "timestamp.txt").read_text()
    assert before != stamp
    os.chmod(folder, 0o777)
    assert collected(room, "ben").is_dir()
