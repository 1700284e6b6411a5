"""`python -m coursekit.kernels install [--sys-prefix | --user]`: register the kernelspec `coursekit-warm`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

NAME = "coursekit-warm"


def spec() -> dict:
    """The kernelspec: ipykernel's command, started by the warm provisioner."""
    return {
        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3 (warm)",
        "language": "python",
        "metadata": {"debugger": True, "kernel_provisioner": {"provisioner_name": NAME}},
    }


def main(argv: list[str] | None = None) -> int:
    from jupyter_client.kernelspec import KernelSpecManager

    parser = argparse.ArgumentParser(prog="python -m coursekit.kernels", description=__doc__)
    parser.add_argument("command", choices=["install"])
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--sys-prefix", action="store_true", help="into this Python environment (the default)")
    where.add_argument("--user", action="store_true", help="into the home folder")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "kernel.json").write_text(json.dumps(spec(), indent=1))
        prefix = None if args.user else sys.prefix
        target = KernelSpecManager().install_kernel_spec(folder, NAME, user=args.user, prefix=prefix)
    print(f"installed the kernel {NAME} in {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
