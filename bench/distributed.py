"""Chapter 05: its data parallelism, optimizer and sharded layer beside torch's, on two processes, in one run."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bench.speeds import ROUNDS, rows
from coursekit.world import Comm, on_processes

MEASURED = ("distributed.overlap", "distributed.sharded_adamw", "distributed.sharded_linear")
D, HEADS, LAYERS, BATCH, T = 192, 4, 4, 8, 64
BUCKET = 2**20  # bytes
MIB = 2**20


def chapter_names() -> dict[str, Any]:
    """What the set-up and the solutions of the chapter define that is measured here."""
    from prepare.cells import CHAPTERS, names_of

    return names_of(CHAPTERS / "05_distributed.py", lambda cell: cell.keys.get("exercise") in MEASURED)


def model() -> nn.Module:
    """A stack of 1.8 million parameters, the same on each rank."""
    torch.manual_seed(0)
    layers = (
        nn.TransformerEncoderLayer(D, HEADS, 4 * D, 0.0, "gelu", batch_first=True, norm_first=True)
        for _ in range(LAYERS)
    )
    return nn.Sequential(*layers)


def one_message_each(comm: Comm, net: nn.Module) -> None:
    for p in net.parameters():
        assert p.grad is not None
        p.grad = comm.all_reduce(p.grad) / comm.size


def one_flat_message(comm: Comm, net: nn.Module) -> None:
    params = [p for p in net.parameters() if p.grad is not None]
    grads = [p.grad.flatten() for p in params if p.grad is not None]
    flat = comm.all_reduce(torch.cat(grads)) / comm.size
    for p, grad in zip(params, flat.split([len(grad) for grad in grads]), strict=True):
        p.grad = grad.view_as(p)


def steps(comm: Comm, Overlapped: Any) -> tuple[dict[str, list[float]], float]:
    """Seconds of a step by each way, round by round, and the largest difference of a gradient of the first two."""
    X = torch.randn(BATCH, T, D, generator=torch.Generator().manual_seed(comm.rank))
    ours, theirs, each, flat, alone = (model() for _ in range(5))
    overlapped = Overlapped(comm, ours, BUCKET)
    ddp = DistributedDataParallel(theirs, bucket_cap_mb=1, gradient_as_bucket_view=True)
    after: dict[str, tuple[nn.Module, nn.Module, Callable[[], object]]] = {
        "the chapter's OverlappedDDP": (ours, ours, overlapped.finish),
        "DistributedDataParallel": (ddp, theirs, lambda: None),
        "one message a parameter": (each, each, lambda: one_message_each(comm, each)),
        "one flat message": (flat, flat, lambda: one_flat_message(comm, flat)),
        "no communication": (alone, alone, lambda: None),
    }
    seconds: dict[str, list[float]] = {name: [] for name in after}
    for turn in range(3 * ROUNDS + 1):
        for name, (net, inner, finish) in after.items():
            inner.zero_grad()
            comm.barrier()
            started = time.perf_counter()
            net(X).square().mean().backward()
            finish()
            comm.barrier()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    pairs = zip(ours.parameters(), theirs.parameters(), strict=True)
    return seconds, max((p.grad - q.grad).abs().max().item() for p, q in pairs)  # type: ignore[operator]


def held(comm: Comm, names: Mapping[str, Any]) -> dict[str, int]:
    """Bytes on this rank of optimizers and of weights, the chapter's and torch's, after a step."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is to be replaced
        from torch.distributed.optim import ZeroRedundancyOptimizer
    net = model()
    X = torch.randn(BATCH, T, D)
    net(X).square().mean().backward()
    params = list(net.parameters())
    found = {}
    ours = names["ShardedAdamW"](comm, params, 1e-3, (0.9, 0.999), 1e-8, 0.01)
    zero = ZeroRedundancyOptimizer(params, torch.optim.AdamW, lr=1e-3)
    whole = torch.optim.AdamW(params, lr=1e-3)
    for name, optimizer in (("ShardedAdamW", ours), ("ZeroRedundancyOptimizer", zero), ("AdamW", whole)):
        optimizer.step()
        known = {p.untyped_storage().data_ptr() for p in params}
        known |= {p.grad.untyped_storage().data_ptr() for p in params if p.grad is not None}
        found[f"optimizer: {name}"] = sum(x.nbytes for x in tensors_of(optimizer) if x.data_ptr() not in known)
    drawn = [nn.Linear(D, 4 * D) for _ in range(LAYERS)]
    layers = [names["ShardedLinear"](comm, m.weight.detach(), m.bias.detach()) for m in drawn]
    stack = nn.Sequential(*drawn)
    found["weights: whole"] = sum(p.nbytes for p in stack.parameters())
    for layer in stack:
        fully_shard(layer, mesh=init_device_mesh("cpu", (comm.size,)))
    found["weights: ShardedLinear"] = sum(p.nbytes for layer in layers for p in layer.parameters())
    found["weights: fully_shard"] = sum(p.to_local().nbytes for p in stack.parameters())  # type: ignore[attr-defined]
    return found


def tensors_of(obj: Any, seen: set[int] | None = None) -> Iterator[Tensor]:
    """The tensors that an object holds, in its attributes, lists and dictionaries, each memory once."""
    seen = set() if seen is None else seen
    if id(obj) in seen or isinstance(obj, nn.Module | Comm):
        return
    seen.add(id(obj))
    if isinstance(obj, Tensor):
        memory = obj.untyped_storage().data_ptr()
        if memory not in seen:
            seen.add(memory)
            yield obj.detach()
        return
    inner = [*obj.values()] if isinstance(obj, Mapping) else [*obj] if isinstance(obj, list | tuple) else []
    for value in [*inner, *getattr(obj, "__dict__", {}).values()]:
        yield from tensors_of(value, seen)


def both(comm: Comm, names: Mapping[str, Any]) -> tuple[dict[str, list[float]], float, dict[str, int]]:
    return *steps(comm, names["OverlappedDDP"]), held(comm, names)


def main() -> None:
    found = chapter_names()
    names = {name: found[name] for name in ("OverlappedDDP", "ShardedAdamW", "ShardedLinear")}
    seconds, apart, memory = on_processes(both, [names] * 2, size=2, seconds=600)[0]
    count = sum(p.numel() for p in model().parameters())
    print(f"\n{f'two processes, {count / 1e6:.1f} M parameters':<32} {'steps a second':>14} {'first is faster by':>20}")
    for name, rate, times in rows(seconds, 1):
        print(f"{name:<32} {rate:>14.2f} {times:>20.2f}")
    print(f"largest difference of a gradient between the first two: {apart:.1e}")
    for name, size in memory.items():
        print(f"{name:<36} {size / MIB:>8.2f} MiB on rank 0")
