import subprocess
import sys

import pytest
import torch

from coursekit.devices import available, device

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU: this machine has none")
needs_no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")


def pretend(monkeypatch, cuda=0, mps=False):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(2, True, "cuda"), (1, False, "cuda"), (0, True, "mps"), (0, False, "cpu")]
)
def test_auto_prefers_cuda_then_mps_then_cpu(monkeypatch, cuda, mps, expected):
    pretend(monkeypatch, cuda, mps)
    assert device("auto") == device() == torch.device(expected)


@pytest.mark.parametrize("name", ["cpu", " CPU ", torch.device("cpu")])
def test_the_cpu_can_be_named_in_several_ways(name):
    assert device(name) == torch.device("cpu")


def test_a_numbered_gpu_is_given_when_it_is_there(monkeypatch):
    pretend(monkeypatch, cuda=2)
    assert device("cuda:1") == torch.device("cuda:1")


@pytest.mark.parametrize("name", ["cuda:2", "cuda:x", "cuda:-1", "mps"])
def test_a_device_that_is_not_there_is_told_with_what_is(monkeypatch, name):
    pretend(monkeypatch, cuda=2)
    with pytest.raises(ValueError, match="not available on this machine; choose one of 'cuda', 'cpu', 'auto'"):
        device(name)


@pytest.mark.parametrize("name", ["gpu", "", "cpu0", "meta", None, 0])
def test_an_unknown_name_is_told_with_what_is_available(monkeypatch, name):
    pretend(monkeypatch)
    with pytest.raises(ValueError, match="is not known; choose one of 'cpu', 'auto'"):
        device(name)


def test_the_cpu_is_always_available_and_last():
    assert available()[-1] == "cpu"


def test_asking_for_the_cpu_asks_no_gpu(monkeypatch):
    def forbidden():
        raise AssertionError("device('cpu') must not ask for a GPU")

    monkeypatch.setattr(torch.cuda, "is_available", forbidden)
    monkeypatch.setattr(torch.backends.mps, "is_available", forbidden)
    assert device("cpu").type == "cpu"


def test_auto_does_not_initialise_cuda():
    code = "import torch; from coursekit.devices import device; device(); print(torch.cuda.is_initialized())"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


@needs_no_cuda
def test_cuda_is_refused_on_a_machine_without_it():
    with pytest.raises(ValueError, match="'cuda' is not available"):
        device("cuda")


@needs_cuda
def test_a_tensor_can_be_made_on_the_automatic_gpu():
    assert torch.ones(2, device=device("auto")).device.type == "cuda"
