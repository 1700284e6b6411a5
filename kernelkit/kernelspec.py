"""Kernelspecs whose kernels are forked from a warm parent."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

PROVISIONER = "kernelkit-warm"


def spec(display_name: str, preload: str) -> dict:
    """ipykernel's command, started by the warm provisioner from a parent that has imported the module `preload`."""
    warm = {"provisioner_name": PROVISIONER, "config": {"preload": preload}}
    return {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": display_name,
        "language": "python",
        "metadata": {"debugger": True, "kernel_provisioner": warm},
    }


def install(name: str, content: dict, user: bool = False) -> str:
    """Register `content` as the kernelspec `name`, in this environment or in the user's home; the folder."""
    from jupyter_client.kernelspec import KernelSpecManager

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kernel.json").write_text(json.dumps(content, indent=1))
        return KernelSpecManager().install_kernel_spec(folder, name, user=user, prefix=None if user else sys.prefix)
