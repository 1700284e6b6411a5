"""One process of `launch`: `python -m coursekit.world.worker folder`, in the environment that torchrun sets."""

from __future__ import annotations

import datetime
import os
import sys
import traceback
from pathlib import Path

import cloudpickle
import torch
import torch.distributed as dist

from coursekit.world.processes import ERROR, JOINED, PROGRAM, RESULT
from coursekit.world.real import TorchComm

_PATIENCE = datetime.timedelta(seconds=60)  # for a message that does not come


def main(folder: Path) -> int:
    """Join the others, run the program, leave its result or its error in the folder; returns the exit status."""
    torch.set_num_threads(1)
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    try:
        _join(size)
        (folder / JOINED.format(rank=rank)).touch()
        program, arguments = cloudpickle.loads((folder / PROGRAM).read_bytes())
        comm = TorchComm()
        result = program(comm, *(given[rank] for given in arguments))
        comm.leave()
        (folder / RESULT.format(rank=rank)).write_bytes(cloudpickle.dumps(result))
    except BaseException:
        # Before this process leaves, whereupon the others fail as well.
        (folder / ERROR.format(rank=rank)).write_text(traceback.format_exc())
        return 1
    if dist.is_initialized():
        dist.destroy_process_group()
    return 0


def _join(size: int) -> None:
    if torch.cuda.is_available() and torch.cuda.device_count() >= size:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=_PATIENCE)
    else:
        dist.init_process_group("gloo", timeout=_PATIENCE)


if __name__ == "__main__":
    status = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # Not by way of the interpreter's end: after it threads of torch 2.13 abort now and then, when all is done.
    os._exit(status)
