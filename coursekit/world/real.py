"""Ranks that are processes: a `Comm` over torch.distributed, gloo on CPUs and NCCL on GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from coursekit.world import network
from coursekit.world.comm import (
    Comm,
    Message,
    check_operation,
    check_parts,
    check_rank,
    check_rows,
    check_tensor,
    size_in_bytes,
)
from coursekit.world.network import Share

_OPERATIONS = {"sum": dist.ReduceOp.SUM, "max": dist.ReduceOp.MAX}
_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.bool)
_HEADER = 10  # a dtype, the number of dimensions, and up to eight of them


class TorchComm(Comm):
    """The rank of this process, after `dist.init_process_group`; `messages` holds what it has sent, headers apart.

    A message goes through gloo, from one CPU to the other, behind a header with its shape and dtype: NCCL keeps no
    buffer for what is not yet asked for. Collectives go through the backend of the tensor's device.
    """

    def __init__(self, group: dist.ProcessGroup | None = None) -> None:
        self.group = group
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        self.messages: list[Message] = []
        self._sending: list[tuple[Any, Tensor]] = []

    def send(self, x: Tensor, to: int) -> None:
        other = self._global(check_rank(self, to))
        payload = check_tensor(x, "send").detach().to("cpu", copy=True).contiguous()
        parts = (_header(payload), payload) if payload.numel() else (_header(payload),)
        # What is sent is kept until it has left.
        self._sending = [(work, part) for work, part in self._sending if not work.is_completed()]
        self._sending += [(dist.isend(part, other, self.group), part) for part in parts]
        self.messages.append(Message("send", self.rank, to, x.numel(), size_in_bytes(x)))

    def recv(self, source: int) -> Tensor:
        other = self._global(check_rank(self, source))
        header = torch.zeros(_HEADER, dtype=torch.int64)
        dist.recv(header, other, self.group)
        x = _empty(header.tolist())
        if x.numel():
            dist.recv(x, other, self.group)
        return x.to(_place())

    def start_all_reduce(self, x: Tensor, op: str = "sum") -> _Work:
        check_operation(op)
        result = check_tensor(x, "all_reduce").detach().clone(memory_format=torch.contiguous_format)
        self._note("all_reduce", network.all_reduce(self.size, x.numel()), x)
        return _Work(dist.all_reduce(result, _OPERATIONS[op], self.group, async_op=True), result)

    def reduce_scatter(self, x: Tensor) -> Tensor:
        given = check_rows(x, self.size, "reduce_scatter").detach().contiguous()
        self._note("reduce_scatter", network.reduce_scatter(self.size, x.numel()), x)
        result = torch.empty_like(given[0])
        _called("reduce_scatter_single", "reduce_scatter_tensor")(result.view(-1), given.view(-1), group=self.group)
        return result

    def all_gather(self, x: Tensor) -> Tensor:
        given = check_tensor(x, "all_gather").detach().contiguous()
        self._note("all_gather", network.all_gather(self.size, x.numel()), x)
        result = given.new_empty(self.size, *given.shape)
        _called("all_gather_single", "all_gather_into_tensor")(result.view(-1), given.view(-1), group=self.group)
        return result

    def all_to_all(self, parts: Sequence[Tensor]) -> list[Tensor]:
        mine = [part.detach().contiguous() for part in check_parts(parts, self.size)]
        like, place = mine[0], mine[0].device
        headers = torch.stack([_header(part) for part in mine]).to(place)
        coming = torch.empty_like(headers)
        dist.all_to_all_single(coming, headers, group=self.group)
        results = [_empty(header) for header in coming.tolist()]
        received = like.new_empty(sum(x.numel() for x in results))
        sent = torch.cat([part.flatten() for part in mine])
        sizes = [x.numel() for x in results], [part.numel() for part in mine]
        dist.all_to_all_single(received, sent, *sizes, group=self.group)
        elsewhere = sum(part.numel() for other, part in enumerate(mine) if other != self.rank)
        self._note("all_to_all", Share(self.size - 1, elsewhere), like)
        return [flat.view(x.shape) for flat, x in zip(received.split(sizes[0]), results, strict=True)]

    def broadcast(self, x: Tensor, source: int = 0) -> Tensor:
        result = check_tensor(x, "broadcast").detach().clone(memory_format=torch.contiguous_format)
        dist.broadcast(result, self._global(source), self.group)
        last = (source - 1) % self.size == self.rank
        self._note("broadcast", network.broadcast(self.size, x.numel(), last), x)
        return result

    def barrier(self) -> None:
        dist.barrier(self.group)

    def leave(self) -> None:
        """Wait until what was sent has left and all others are here too: a process that ends takes it along."""
        for work, _ in self._sending:
            work.wait()
        self.barrier()

    def split(self, ranks: Sequence[int]) -> Comm:
        members = [self._global(rank) for rank in ranks]
        return TorchComm(dist.new_group(members, use_local_synchronization=True))

    def _global(self, rank: int) -> int:
        return rank if self.group is None else dist.get_global_rank(self.group, rank)

    def _note(self, kind: str, share: Share, x: Tensor) -> None:
        numbers = round(share.numbers)
        self.messages.append(Message(kind, self.rank, -1, numbers, round(share.numbers * x.element_size())))


class _Work:
    """A collective that torch is working at."""

    def __init__(self, work: Any, result: Tensor) -> None:
        self.work, self.result = work, result

    def wait(self) -> Tensor:
        self.work.wait()
        return self.result


def _called(new: str, old: str) -> Any:
    """torch 2.13 has new names, and warns of the old ones."""
    return getattr(dist, new, None) or getattr(dist, old)


def _header(x: Tensor) -> Tensor:
    if x.dtype not in _DTYPES or x.dim() > _HEADER - 2:
        raise ValueError(f"a message of {x.dtype} with {x.dim()} dimensions cannot be sent")
    shape = [*x.shape, *[0] * (_HEADER - 2 - x.dim())]
    return torch.tensor([_DTYPES.index(x.dtype), x.dim(), *shape])


def _empty(header: list[int]) -> Tensor:
    dtype, dimensions, *shape = header
    return torch.empty(shape[:dimensions], dtype=_DTYPES[dtype])


def _place() -> torch.device:
    """Where this process computes."""
    return torch.device("cuda") if dist.get_backend() == "cpu:gloo,cuda:nccl" else torch.device("cpu")
