"""`python scripts/install.py ARGUMENTS`: `pip install ARGUMENTS` into this environment, by uv where it can be had.

uv does not read pip's configuration: where pip is told to look, uv is told here. Where there is no NVIDIA GPU, uv may
take no other torch than the pinned one built for CPUs; if it finds none, pip installs, and takes what it can get.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Looked at where pip's own places may lack the build for CPUs.
CPU_INDEX = os.environ.get("TORCH_INDEX", "https://download.pytorch.org/whl/cpu")
# pip's settings, and what the same is called in uv.
PLACES = {"index-url": "--default-index", "extra-index-url": "--index", "find-links": "--find-links"}


def main(arguments: list[str]) -> int:
    """Install with uv, else with pip; the exit status."""
    cpu = sys.platform == "linux" and not shutil.which("nvidia-smi")
    index = [CPU_INDEX] if cpu and _reachable(f"{CPU_INDEX}/torch/") else []
    pin = torch_pin((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    return 0 if with_uv(arguments, pin if cpu else "", index) else with_pip(arguments, pin if cpu else "", index)


def torch_pin(requirements: str) -> str:
    """The version of torch that the lock names, such as `torch==2.13.0`, without what it was built for."""
    return next(line for line in re.findall(r"^torch==[\w.]+", requirements, re.MULTILINE))


def with_uv(arguments: list[str], cpu_pin: str, index: list[str]) -> bool:
    """Whether uv did it; a sentence says why not."""
    uv = shutil.which("uv") or _fetched_uv()
    if not uv:
        return _told("uv cannot be had")
    settings = pip_settings(_output(sys.executable, "-m", "pip", "config", "list"))
    with tempfile.TemporaryDirectory() as folder:
        constraint = Path(folder, "cpu.txt")
        constraint.write_text(f"{cpu_pin}+cpu\n" if cpu_pin else "", encoding="utf-8")
        places = [*uv_places(settings), *(f"--index={url}" for url in index), f"--constraint={constraint}"]
        command = [uv, "pip", "install", "--quiet", f"--python={sys.executable}", *places, *arguments]
        done = subprocess.run(command, cwd=ROOT, env=uv_environment(settings), stderr=subprocess.PIPE, text=True)
    return done.returncode == 0 or _told(f"uv did not install it ({done.stderr.strip()})")


def with_pip(arguments: list[str], cpu_pin: str, index: list[str]) -> int:
    """The exit status of pip, which reads its configuration itself. torch comes first, in its build for CPUs."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet"]
    if cpu_pin and index and "requirements.txt" in arguments:
        subprocess.run([*pip, cpu_pin, "--extra-index-url", *index], cwd=ROOT)
    return subprocess.run([*pip, *arguments], cwd=ROOT).returncode


def pip_settings(listing: str) -> dict[str, list[str]]:
    """What `pip config list` says, by name without section: values of all sections, in order, each once."""
    found: dict[str, list[str]] = {}
    for section_and_name, value in re.findall(r"^(\S+?)=('.*'|\".*\")$", listing, re.MULTILINE):
        known = found.setdefault(section_and_name.rpartition(".")[2], [])
        known += [word for word in ast.literal_eval(value).split() if word not in known]
    return found


def uv_places(settings: dict[str, list[str]]) -> list[str]:
    """uv's arguments for where pip looks, and for taking the best of all places, as pip does."""
    known = settings | {"index-url": settings.get("index-url", [])[:1]}  # one counts, and pip lists the strongest first
    found = [f"{option}={place}" for name, option in PLACES.items() for place in known.get(name, [])]
    offline = ["--no-index"] if settings.get("no-index", ["false"])[0].lower() in ("1", "true", "yes", "on") else []
    return [*found, *offline, "--index-strategy=unsafe-best-match"]


def uv_environment(settings: dict[str, list[str]]) -> dict[str, str]:
    """This environment, with the certificates that pip trusts."""
    found = settings.get("cert", [])
    return ({"SSL_CERT_FILE": found[0]} if found else {}) | os.environ


def _fetched_uv() -> str | None:
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "uv"], capture_output=True)
    return shutil.which("uv", path=str(Path(sys.executable).parent))


def _told(why: str) -> bool:
    print(f"setup: {why}; going on with pip, which takes some minutes", flush=True)
    return False


def _reachable(url: str) -> bool:
    try:
        return urllib.request.urlopen(url, timeout=5).status == 200
    except OSError:
        return False


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
