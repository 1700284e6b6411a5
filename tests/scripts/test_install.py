"""Where pip looks, uv looks; without a GPU uv takes the build for CPUs or nothing; where uv cannot, pip does."""

import subprocess
from pathlib import Path

import pytest

from scripts import install

LISTING = """:env:.find-links='/opt/wheels'
global.cert='/etc/ssl/all.crt'
global.extra-index-url='https://one.example/simple https://two.example/simple'
global.find-links='/opt/wheels /opt/more'
global.index-url='https://first.example/simple'
install.index-url='https://second.example/simple'
install.no-binary="it's"
"""
PINS = "numpy==2.4.6\ntorch==2.13.0\n"


def test_pips_settings_of_all_sections_are_read_each_once():
    assert install.pip_settings(LISTING) == {
        "find-links": ["/opt/wheels", "/opt/more"],
        "cert": ["/etc/ssl/all.crt"],
        "extra-index-url": ["https://one.example/simple", "https://two.example/simple"],
        "index-url": ["https://first.example/simple", "https://second.example/simple"],
        "no-binary": ["it's"],
    }


def test_uv_looks_where_pip_looks():
    assert install.uv_places(install.pip_settings(LISTING)) == [
        "--default-index=https://first.example/simple",
        "--index=https://one.example/simple",
        "--index=https://two.example/simple",
        "--find-links=/opt/wheels",
        "--find-links=/opt/more",
        "--index-strategy=unsafe-best-match",
    ]


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("true", True), ("0", False)])
def test_uv_stays_offline_where_pip_does(value, offline):
    assert ("--no-index" in install.uv_places({"no-index": [value]})) is offline


def test_uv_trusts_the_certificates_that_pip_trusts(monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert install.uv_environment({"cert": ["/a.crt"]})["SSL_CERT_FILE"] == "/a.crt"
    monkeypatch.setenv("SSL_CERT_FILE", "/mine.crt")
    assert install.uv_environment({"cert": ["/a.crt"]})["SSL_CERT_FILE"] == "/mine.crt"


@pytest.mark.parametrize("line", ["torch==2.13.0", "torch==2.13.0+cpu", "torch==2.13.0  # why"])
def test_the_pin_of_torch_is_that_of_the_lock_whatever_it_was_built_for(line):
    assert install.torch_pin(f"numpy==2.4.6\n{line}\ntorchdata==0.1\n") == "torch==2.13.0"


class Machine:
    """Commands that were run, with the constraints that uv was given; uv fails where it is told to."""

    def __init__(self, monkeypatch, *, gpu=False, uv="/bin/uv", uv_fails=False, index=False):
        self.commands, self.constraints, self.uv_fails = [], [], uv_fails
        tools = {"nvidia-smi": "/bin/nvidia-smi" if gpu else None, "uv": uv}
        monkeypatch.setattr(install.sys, "platform", "linux")
        monkeypatch.setattr(install.shutil, "which", lambda name, path=None: tools[name])
        monkeypatch.setattr(install, "_reachable", lambda url: index)
        monkeypatch.setattr(install.subprocess, "run", self.run)

    def run(self, command, **options):
        self.commands.append(command)
        if "config" in command:
            return subprocess.CompletedProcess(command, 0, LISTING, "")
        for option in command:
            if option.startswith("--constraint="):
                self.constraints.append(Path(option.partition("=")[2]).read_text())
        failed = command[0] == "/bin/uv" and self.uv_fails
        return subprocess.CompletedProcess(command, int(failed), "", "no torch==2.13.0+cpu" if failed else "")

    def pips(self):
        return [c[3:] for c in self.commands if c[1:3] == ["-m", "pip"] and "config" not in c]


def test_without_a_gpu_uv_may_take_only_the_build_for_cpus(monkeypatch):
    machine = Machine(monkeypatch)
    assert install.main(["-r", "requirements.txt"]) == 0
    pin = install.torch_pin((install.ROOT / "requirements.txt").read_text())
    assert machine.constraints == [f"{pin}+cpu\n"]
    assert machine.pips() == []


def test_with_a_gpu_uv_takes_the_default_build(monkeypatch):
    machine = Machine(monkeypatch, gpu=True, index=True)
    assert install.main(["-r", "requirements.txt"]) == 0
    assert machine.constraints == [""]
    assert not any(install.CPU_INDEX in part for command in machine.commands for part in command)


def test_where_no_build_for_cpus_is_found_pip_installs_and_it_is_told_why(monkeypatch, capsys):
    machine = Machine(monkeypatch, uv_fails=True)
    assert install.main(["-r", "requirements.txt"]) == 0
    assert machine.pips() == [["install", "--quiet", "-r", "requirements.txt"]]
    assert "uv did not install it (no torch==2.13.0+cpu); going on with pip" in capsys.readouterr().out


def test_pip_takes_torch_from_where_it_is_built_for_cpus_if_that_is_reached(monkeypatch):
    machine = Machine(monkeypatch, uv_fails=True, index=True)
    install.main(["-r", "requirements.txt"])
    first, second = machine.pips()
    assert first[2:] == [install.torch_pin(PINS), "--extra-index-url", install.CPU_INDEX]
    assert second == ["install", "--quiet", "-r", "requirements.txt"]


def test_where_uv_cannot_be_had_pip_is_asked_for_it_and_then_installs(monkeypatch, capsys):
    machine = Machine(monkeypatch, uv=None)
    assert install.main(["-e", "."]) == 0
    assert machine.pips() == [["install", "--quiet", "uv"], ["install", "--quiet", "-e", "."]]
    assert "uv cannot be had" in capsys.readouterr().out
