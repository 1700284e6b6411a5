"""Submissions on a Dask cluster that somebody has started: the coordinator is its client, and alone writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
R = TypeVar("R")
RETRIES = 3
_FOR_EACH_WORKER = 2  # under way at once


@dataclass(frozen=True)
class Scheduler:
    """Where a Dask scheduler listens, and the files with which this client proves who it is.

    Where none is given, Dask's own configuration counts (`distributed.comm.tls`).
    """

    address: str
    ca: str = ""
    certificate: str = ""
    key: str = ""

    @property
    def warning(self) -> str:
        """What its operator should know; empty for a scheduler that only holders of a certificate can use."""
        if self.address.startswith("tls://"):
            return ""
        return (
            f"{self.address} is not protected: whoever can reach that port runs code as the grader. "
            "Use tls:// and certificates (docs/cluster.md)"
        )

    def client(self) -> Client:
        """A connection to it. Raises ValueError where certificates are given for an address without TLS."""
        import dask
        from distributed import Client
        from distributed.security import Security

        files = {"tls_ca_file": self.ca, "tls_client_cert": self.certificate, "tls_client_key": self.key}
        if any(files.values()) and not self.address.startswith("tls://"):
            raise ValueError(f"found certificates for {self.address}, expected an address like tls://head:8786")
        # A submission that takes three workers along has used up its chances; its neighbours have not.
        dask.config.set({"distributed.scheduler.allowed-failures": RETRIES})
        given = {name: file for name, file in files.items() if file}
        security = Security(require_encryption=True, **given) if self.address.startswith("tls://") else None
        return Client(self.address, security=security)


def spread(tasks: Iterable[T], work: Callable[[T], R], scheduler: Scheduler) -> Iterator[tuple[T, R | BaseException]]:
    """What `work` gives for each task, or its error, in the order in which it comes."""
    from distributed import as_completed

    with scheduler.client() as client:
        rest, running = iter(tasks), {}
        order = as_completed()

        def send() -> None:
            for task in rest:
                future = client.submit(work, task, retries=RETRIES, pure=False)
                running[future] = task
                order.add(future)
                return

        for _ in range(_FOR_EACH_WORKER * max(1, len(client.scheduler_info()["workers"]))):
            send()
        for future in order:
            error = future.exception()
            yield running.pop(future), error if error is not None else future.result()
            send()
