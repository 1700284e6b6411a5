"""Many exercises at once, in processes of their own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TypeVar

import torch

from grader.threads import one_thread

Item = TypeVar("Item")
Result = TypeVar("Result")


def each(function: Callable[[Item], Result], items: Iterable[Item], jobs: int) -> Iterator[tuple[Item, Result]]:
    """(item, its result) as each is finished; the first ones are started first. Raises what `function` raises."""
    if jobs == 1:
        for item in items:
            with one_thread():
                result = function(item)
            yield item, result
        return
    # New processes, because a forked one hangs in torch's threads.
    new = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=new, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        sent = {pool.submit(function, item): item for item in items}
        yield from ((sent[done], done.result()) for done in as_completed(sent))
