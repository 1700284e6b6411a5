"""A real hub for a test: system users of its own, a proxy, ports that are free; all of it is removed afterwards."""

import contextlib
import csv
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
COURSE = "large-models"
WORD = "a long enough password"  # that somebody chooses where accounts are the hub's own
PATIENCE = 300  # seconds that a busy machine may take for one step


def missing():
    """Why no hub can run here; empty when one can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a hub with system users of its own needs root on Linux"
    if shutil.which("useradd") is None or shutil.which("setpriv") is None:
        return "useradd or setpriv is missing"
    if not (ROOT / "hub/proxy/node_modules").is_dir() or importlib.util.find_spec("jupyterhub") is None:
        return "JupyterHub or its proxy is missing: `make hub-setup` (needs npm)"
    return ""


def wait_for(condition, what, patience=PATIENCE):
    """The condition's first true value."""
    end = time.monotonic() + patience
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience} s for {what}")
        time.sleep(0.1)  # between two looks; what is waited for is the condition
    return value


class Classroom:
    """A class of `learners` with one instructor, installed from this checkout below a folder in /tmp."""

    def __init__(self, learners, limits=""):
        self.tag = f"ckt{secrets.token_hex(2)}"
        self.base = Path(tempfile.mkdtemp(prefix="coursekit-hub-", dir="/tmp"))
        self.base.chmod(0o755)
        self.learners = [self.name(learner) for learner in learners]
        self.instructor, self.account = self.name("prof"), self.name("grader")
        [self.port], (hub, proxy, formgrader) = _free_ports(1), _free_ports(3, range(700, 1000))
        self.address = f"http://127.0.0.1:{self.port}"
        self.file, self.log = self.base / "class.toml", self.base / "hub.log"
        places = {n: self.base / n for n in ("prefix", "exchange", "state", "run", "homes")}
        places["course"] = self.base / "srv" / "course"
        self.places = places
        lines = [f'course = "{COURSE}"', f'account = "{self.account}"', f'instructors = ["{self.instructor}"]']
        lines += ["open_checkout = true"]  # it may lie in /tmp
        lines += ['roster = "roster.csv"', f'address = "{self.address}"', f"hub_port = {hub}"]
        lines += [f"proxy_port = {proxy}", f"formgrader_port = {formgrader}", "[limits]", limits, "[places]"]
        lines += [f'{name} = "{path}"' for name, path in places.items()]
        self.file.write_text("\n".join(lines))
        with (self.base / "roster.csv").open("w", newline="") as file:
            rows = ([n, n.split("-")[1].title(), "Of the Class, junior", f"{n}@example.org"] for n in self.learners)
            csv.writer(file).writerows([["username", "first_name", "last_name", "email"], *rows])
        self.process = None

    def name(self, person):
        """The system user of a person."""
        return f"{self.tag}-{person}"

    def run_hub(self, *arguments, **options):
        command = [sys.executable, "-m", "hub", "--class", str(self.file), *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, **options).stdout

    def start(self, *options):
        """Install and run; returns when learners can log in and kernels are warm."""
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "hub", "--class", str(self.file), "run", *options]
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, start_new_session=True)
        if "--containers" not in options:
            self._wait(lambda: any((self.places["run"] / "warm").glob("warm-*.sock")), "the warm parent")
        self._wait(self._answers, "the hub")
        self.passwords = dict(csv.reader((self.places["state"] / "passwords.csv").read_text().splitlines()))
        return self

    def stop(self, how=signal.SIGTERM):
        """Stop the hub, not the learners' servers."""
        self.process.send_signal(how)
        self.process.wait(PATIENCE)

    def _answers(self):
        try:
            return urllib.request.urlopen(f"{self.address}/hub/api/", timeout=5).status == 200
        except OSError:
            return False

    def _wait(self, condition, what):
        def look():
            if self.process.poll() is not None:
                raise AssertionError(f"the hub ended:\n{self.log.read_text(errors='replace')[-4000:]}")
            return condition()

        wait_for(look, what)

    def settings_for_tests(self):
        """Let a test see into JupyterLab, by each learner's own settings; and all cells stay in the page."""
        for name in self.learners:
            user = pwd.getpwnam(name)
            home = Path(user.pw_dir)
            server = home / ".jupyter" / "jupyter_server_config.json"
            tracker = home / ".jupyter/lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
            _own(server, json.dumps({"LabApp": {"expose_app_in_browser": True}}), user, home)
            _own(tracker, json.dumps({"windowingMode": "none"}), user, home)

    def nbgrader(self, *arguments):
        """Run nbgrader as the course account."""
        return self.run_hub("nbgrader", *arguments)

    def home(self, person):
        return self.places["homes"] / self.name(person)

    def remove(self):
        """End everything, and leave no user, no group and no file."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)
        names = [*self.learners, self.instructor, self.account]
        for name in names:
            _end_processes(name)
            subprocess.run(["userdel", "--remove", "--force", name], capture_output=True)
        subprocess.run(["groupdel", f"{self.account}-users"], capture_output=True)
        for runtime in (self.places["run"] / "u").glob("*"):
            subprocess.run(["umount", "--lazy", runtime], capture_output=True)
        shutil.rmtree(self.base, ignore_errors=True)


def _own(path, text, user, home):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    for each in (path, *path.parents):
        if each == home:
            return
        os.chown(each, user.pw_uid, user.pw_gid)


def _end_processes(name):
    """Kill what a test's user still runs, and wait until it is dead: only then can the user be removed."""
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        return

    def gone():
        left = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _alive(p, uid)]
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return not left

    wait_for(gone, f"the processes of {name} to end", 30)


def _alive(process, uid):
    try:
        status = (process / "status").read_text()
    except OSError:
        return False
    return f"\nUid:\t{uid}\t" in status and "State:\tZ" not in status


def _free_ports(number, among=(0,)):
    """Ports on which nobody listens; any, or some of `among`."""
    probes, among = [], list(among)
    try:
        while len(probes) < number:
            probe = socket.socket()
            with contextlib.suppress(OSError):  # taken
                probe.bind(("127.0.0.1", secrets.choice(among)))
                probes.append(probe)
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()
