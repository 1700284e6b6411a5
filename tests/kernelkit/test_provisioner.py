"""The kernelspec `coursekit-warm`: Jupyter's own programs get forked kernels that behave like fresh ones."""

import subprocess
import sys

import pytest
from jupyter_client.manager import KernelManager, start_new_kernel

from coursekit.kernel import NAME
from kernelkit import warm
from kernelkit.provisioner import WarmProcess, WarmProvisioner

pytestmark = pytest.mark.skipif(bool(warm.possible()), reason=warm.possible() or "Linux")


@pytest.fixture
def kernel(tmp_path):
    manager, client = start_new_kernel(kernel_name=NAME, cwd=str(tmp_path))
    yield manager, client, tmp_path
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def ask(client, source):
    """What the kernel prints."""
    heard = []
    reply = client.execute_interactive(source, timeout=60, output_hook=heard.append)
    texts = [m["content"]["text"] for m in heard if m["msg_type"] == "stream" and m["content"]["name"] == "stdout"]
    return "".join(texts), reply["content"]["status"]


def test_a_kernel_is_forked_where_the_notebook_lies(kernel):
    manager, client, folder = kernel
    assert isinstance(manager.provisioner, WarmProvisioner)
    assert isinstance(manager.provisioner.process, WarmProcess)
    assert ask(client, "import os\nprint(os.getcwd())") == (f"{folder}\n", "ok")


def test_torch_works_with_all_its_threads(kernel):
    _, client, _ = kernel
    source = "import os, torch\nx = torch.ones(500, 500)\nprint((x @ x).sum().item(), torch.get_num_threads())"
    text, _ = ask(client, source)
    fresh = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.get_num_threads())"], capture_output=True, text=True
    )
    assert text.split() == ["125000000.0", fresh.stdout.strip()]


def test_it_is_interrupted_and_restarted(kernel):
    manager, client, _ = kernel
    # Otherwise a kernel throws away what is asked in the moment after an error.
    code = "import time\nprint('begun', flush=True)\nfor _ in range(600): time.sleep(0.1)"
    client.execute(code, stop_on_error=False)
    # "busy" is said before the cell begins: only what it prints shows that there is something to interrupt.
    while client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
        pass
    manager.interrupt_kernel()
    assert client.get_shell_msg(timeout=30)["content"]["ename"] == "KeyboardInterrupt"
    assert ask(client, "x = 1\nprint('after')")[0] == "after\n"
    manager.restart_kernel()
    client.wait_for_ready(timeout=60)
    assert ask(client, "print('x' in dir())")[0] == "False\n"


def test_a_death_is_noticed(kernel):
    manager, client, _ = kernel
    client.execute("import os\nos._exit(7)")
    assert manager.provisioner.process.wait(30) == 7
    assert not manager.is_alive()


def test_a_fresh_kernel_stands_in_where_forking_is_not_possible(monkeypatch):
    monkeypatch.setattr(warm, "possible", lambda: "no fork here")
    manager = KernelManager(kernel_name=NAME)
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        assert isinstance(manager.provisioner.process, subprocess.Popen)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_a_parent_with_threads_refuses(tmp_path):
    source = (
        "import threading, time, sys\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
        "from kernelkit import server\nprint(server.unsafe())"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=120)
    assert "threads are running" in done.stdout


def test_it_can_be_debugged(kernel):
    _, client, _ = kernel
    request = {"type": "request", "seq": 1, "command": "initialize", "arguments": {"adapterID": "", "clientID": "test"}}
    client.control_channel.send(client.session.msg("debug_request", request))
    assert client.get_control_msg(timeout=60)["content"]["success"]
