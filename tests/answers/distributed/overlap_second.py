"""Answers to distributed.overlap, second round."""

from contextlib import contextmanager

import torch

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.overlap")
wrong = ANSWERS.wrong


class Base:
    """A right answer, of which methods are replaced."""

    def __init__(self, comm, model, bucket_bytes):
        self.comm, self.model = comm, model
        self.bring()
        self.buckets = self.fill(bucket_bytes)
        self.there, self.handles, self.quiet = set(), [], False
        for p in model.parameters():
            if p.requires_grad:
                p.register_post_accumulate_grad_hook(self.arrived)

    def bring(self):
        with torch.no_grad():
            for x in (*self.model.parameters(), *self.model.buffers()):
                x.copy_(self.comm.broadcast(x))

    def fill(self, bucket_bytes):
        buckets, bucket, size = [], [], 0
        for p in reversed([p for p in self.model.parameters() if p.requires_grad]):
            bucket.append(p)
            size += p.numel() * p.element_size()
            if size >= bucket_bytes:
                buckets.append(bucket)
                bucket, size = [], 0
        return buckets + [bucket] * bool(bucket)

    def arrived(self, p):
        if not self.quiet:
            self.there.add(p)
            self.go()

    def go(self):
        while len(self.handles) < len(self.buckets) and self.there.issuperset(self.buckets[len(self.handles)]):
            self.start()

    def start(self):
        bucket = self.buckets[len(self.handles)]
        self.handles.append(self.send(torch.cat([self.now(p).flatten() for p in bucket])))

    def now(self, p):
        return torch.zeros_like(p) if p.grad is None else p.grad

    def send(self, x):
        return self.comm.start_all_reduce(x)

    def write(self, p, x):
        p.grad = x.view_as(p)

    def finish(self):
        while len(self.handles) < len(self.buckets):
            self.start()
        for bucket, handle in zip(self.buckets, self.handles, strict=True):
            mean = handle.wait() / self.comm.size
            for p, x in zip(bucket, mean.split([p.numel() for p in bucket]), strict=True):
                self.write(p, x)
        self.forget()

    def forget(self):
        self.there.clear()
        self.handles = []

    @contextmanager
    def no_sync(self):
        before, self.quiet = self.quiet, True
        try:
            yield
        finally:
            self.quiet = before


class _Narrow:
    def __init__(self, handle, dtype):
        self.handle, self.dtype = handle, dtype

    def wait(self):
        return self.handle.wait().to(self.dtype)


@wrong("named", "buckets of float32 are sent in float64", told="sent in another dtype")
class SentDouble(Base):
    def send(self, x):
        return _Narrow(self.comm.start_all_reduce(x.double()), x.dtype)


@wrong("named", "buckets of float64 are sent in float32", told=r"a step in a coarser dtype")
class SentSingle(Base):
    def send(self, x):
        return _Narrow(self.comm.start_all_reduce(x.float()), x.dtype)


@wrong(
    "surroundings",
    "after an error inside of no_sync, nothing is sent any more before finish",
    told="after an error .*: on the clock, finish is done later",
)
class NoFinally(Base):
    @contextmanager
    def no_sync(self):
        before, self.quiet = self.quiet, True
        yield
        self.quiet = before


@wrong("onward", "after an inner no_sync the outer one is over, too", told="started inside of no_sync")
class InnerEnds(Base):
    @contextmanager
    def no_sync(self):
        self.quiet = True
        try:
            yield
        finally:
            self.quiet = False


@wrong(
    "onward",
    "no_sync holds for one backward only: a second one in the same block sends",
    told="started inside of no_sync",
)
class OneBackward(Base):
    def arrived(self, p):
        if self.quiet and p not in self.passed:
            self.passed.add(p)
            return
        self.there.add(p)
        self.go()

    @contextmanager
    def no_sync(self):
        self.quiet, self.passed = True, set()
        try:
            yield
        finally:
            self.quiet = False


@wrong(
    "named",
    "whether to send is decided in forward: forward before no_sync and backward inside of it sends",
    told="started inside of no_sync",
)
class DecidedForward(Base):
    sends = True

    def __init__(self, comm, model, bucket_bytes):
        super().__init__(comm, model, bucket_bytes)
        model.register_forward_pre_hook(self.look)

    def look(self, *_):
        self.sends = not self.quiet

    def arrived(self, p):
        if self.sends:
            self.there.add(p)
            self.go()


@wrong(
    "onward",
    "what has arrived is forgotten only with whole buckets: after an unused parameter a bucket goes too early",
    told="batches of the first: the gradient",
)
class HalfForgotten(Base):
    def forget(self):
        for bucket in self.buckets:
            if self.there.issuperset(bucket):
                self.there.difference_update(bucket)
        self.handles = []


@wrong(
    "far",
    "x * 0 on other ranks and an all-reduce: NaN in their parameters comes to all",
    told="at the start on rank 0 is NaN",
)
class TimesZero(Base):
    def bring(self):
        with torch.no_grad():
            for x in (*self.model.parameters(), *self.model.buffers()):
                x.copy_(self.comm.all_reduce(x * (self.comm.rank == 0)))


@wrong("plain", "what is left as the last bucket is started in finish only", told=r"does not start all of its buckets")
class LastOneLate(Base):
    def go(self):
        while len(self.handles) < len(self.buckets) - 1 and self.there.issuperset(self.buckets[len(self.handles)]):
            self.start()


@wrong(
    "plain",
    "one bucket is started for each gradient that comes, not all that are whole",
    told=r"as soon as its last gradient",
)
class OneAtATime(Base):
    def go(self):
        if len(self.handles) < len(self.buckets) and self.there.issuperset(self.buckets[len(self.handles)]):
            self.start()


@wrong("named", "buffers that are not persistent stay: state_dict does not hold them", true="StateDict")
class WhatStateDictHolds(Base):
    def bring(self):
        with torch.no_grad():
            for x in self.model.state_dict().values():
                x.copy_(self.comm.broadcast(x))


@wrong(
    "large",
    "whole numbers are brought by way of float32, which ends at 2^24",
    told="at the start on rank 0 differs in 1 of",
)
class BroughtAsFloat(Base):
    def bring(self):
        with torch.no_grad():
            for p in self.model.parameters():
                p.copy_(self.comm.broadcast(p))
            for x in self.model.buffers():
                x.copy_(self.comm.broadcast(x.double() if x.is_floating_point() else x.float()))


@wrong(
    "again",
    "bucket_bytes stands on the class and buckets are filled at the first backward: the last model's counts",
    told="all-reduces are started than there are buckets",
)
class OnTheClass(Base):
    def __init__(self, comm, model, bucket_bytes):
        super().__init__(comm, model, bucket_bytes)
        type(self).bytes = bucket_bytes
        self.buckets = None

    def arrived(self, p):
        self.buckets = self.buckets or self.fill(self.bytes)
        super().arrived(p)

    def finish(self):
        self.buckets = self.buckets or self.fill(self.bytes)
        super().finish()


@wrong(
    "given",
    "p.grad keeps its tensor and its numbers outside of the bucket: writes into the view of a copy",
    true="NotWrittenBack",
)
class WritesACopy(Base):
    def write(self, p, x):
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        p.grad.clone().copy_(x.view_as(p))


@wrong("plain", "waits for each bucket in the hook", true="WaitsInTheHook")
class Waits(Base):
    def send(self, x):
        handle = super().send(x)
        handle.wait()
        return handle


@wrong("named", "unused parameters are left out of their bucket where this rank has no gradient", true="LeavesOut")
class LeftOutOfItsBucket(Base):
    def start(self):
        bucket = [p for p in self.buckets[len(self.handles)] if p.grad is not None]
        self.buckets[len(self.handles)] = bucket
        self.handles.append(self.send(torch.cat([torch.zeros(0), *(p.grad.flatten() for p in bucket)])))


@ANSWERS.right
class DividedBefore(Base):
    def send(self, x):
        return super().send(x / self.comm.size)

    def finish(self):
        while len(self.handles) < len(self.buckets):
            self.start()
        for bucket, handle in zip(self.buckets, self.handles, strict=True):
            for p, x in zip(bucket, handle.wait().split([p.numel() for p in bucket]), strict=True):
                p.grad = x.view_as(p)
        self.forget()


@ANSWERS.right
class InPlace(Base):
    def write(self, p, x):
        if p.grad is None:
            p.grad = torch.empty_like(p)
        p.grad.copy_(x.view_as(p))


@ANSWERS.right
class ReplacesData(Base):
    """The parameters are the same objects, with other memory."""

    def bring(self):
        for x in (*self.model.parameters(), *self.model.buffers()):
            x.data = self.comm.broadcast(x.data)


@ANSWERS.right
class Counts(Base):
    """How many of each bucket are still to come."""

    def __init__(self, comm, model, bucket_bytes):
        super().__init__(comm, model, bucket_bytes)
        self.forget()
        self.where = {p: i for i, bucket in enumerate(self.buckets) for p in bucket}

    def arrived(self, p):
        if self.quiet:
            return
        self.left[self.where[p]] -= 1
        while len(self.handles) < len(self.buckets) and self.left[len(self.handles)] == 0:
            self.start()

    def forget(self):
        self.handles, self.left = [], [len(bucket) for bucket in self.buckets]
