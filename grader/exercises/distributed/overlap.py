"""Data parallelism whose all-reduces run beside backward: Li et al. 2020, "PyTorch Distributed: Experiences on
Accelerating Data Parallel Training", algorithm 1, with buckets of sections 3.2.2 and 3.2.3, no_sync of 3.2.4.
"""

import contextlib

import torch

from grader.contract import Trusted


class Reference:
    def __init__(self, comm, model, bucket_bytes):
        self.comm, self.quiet = comm, False
        self.same_start(model)
        self.buckets = self.filled(self.in_order(model), bucket_bytes)
        self.begin()
        for p in self.params(model):
            p.register_post_accumulate_grad_hook(self.arrived)

    @torch.no_grad()
    def same_start(self, model):
        for x in self.shared(model):
            x.copy_(self.comm.broadcast(x))

    def shared(self, model):
        return [*model.parameters(), *model.buffers()]

    def params(self, model):
        return [p for p in model.parameters() if p.requires_grad]

    def in_order(self, model):
        return self.params(model)[::-1]

    def filled(self, params, bucket_bytes):
        buckets = [[]]
        for p in params:
            buckets[-1].append(p)
            if self.size(buckets[-1]) >= bucket_bytes:
                buckets.append([])
        return [bucket for bucket in buckets if bucket]

    def size(self, bucket):
        return sum(p.numel() * p.element_size() for p in bucket)

    def begin(self):
        self.there, self.handles = set(), []

    def arrived(self, p):
        if not self.quiet:
            self.there.add(id(p))
            self.start_what_is_whole()

    def start_what_is_whole(self):
        while len(self.handles) < len(self.buckets) and self.is_whole(self.buckets[len(self.handles)]):
            self.start()

    def is_whole(self, bucket):
        return all(id(p) in self.there for p in bucket)

    def start(self):
        self.handles.append(self.comm.start_all_reduce(self.flat(self.buckets[len(self.handles)])))

    def flat(self, bucket):
        return torch.cat([self.gradient(p).flatten() for p in bucket])

    def gradient(self, p):
        return torch.zeros_like(p) if p.grad is None else p.grad

    def finish(self):
        self.start_the_rest()
        for bucket, handle in zip(self.buckets, self.handles, strict=True):
            self.write(bucket, self.mean(handle.wait()))
        self.end()

    def start_the_rest(self):
        while len(self.handles) < len(self.buckets):
            self.start()

    def mean(self, total):
        return total / self.comm.size

    def write(self, bucket, flat):
        for p, x in zip(bucket, flat.split([p.numel() for p in bucket]), strict=True):
            p.grad = x.view_as(p).clone()

    def end(self):
        self.begin()

    @contextlib.contextmanager
    def no_sync(self):
        before, self.quiet = self.quiet, True
        try:
            yield
        finally:
            self.quiet = before


TRUSTED = Trusted(Reference, budget="a common start, buckets, hooks, a switch, means, what is missing, and a clock")


@TRUSTED.mistake(
    "Nothing is sent before finish(): each all-reduce can start in the hook that meets the last gradient of its bucket."
)
class AfterBackward(Reference):
    def arrived(self, p):
        pass


@TRUSTED.mistake("Each parameter is sent by itself, which costs a latency each: collect gradients up to bucket_bytes.")
class OneByOne(Reference):
    def filled(self, params, bucket_bytes):
        return [[p] for p in params]


@TRUSTED.mistake(
    "A hook waits for the all-reduce that it has started, and backward with it: keep the handle for finish()."
)
class WaitsInTheHook(Reference):
    def arrived(self, p):
        super().arrived(p)
        if self.handles:
            self.handles[-1] = Done(self.handles[-1].wait())


class Done:
    def __init__(self, total):
        self.total = total

    def wait(self):
        return self.total


@TRUSTED.mistake(
    "Buckets are filled from the first parameter on, whose gradient comes last: go through the parameters backwards."
)
class Forwards(Reference):
    def in_order(self, model):
        return self.params(model)


@TRUSTED.mistake("The last bucket is not full, and never sent: what is left at the end is a bucket as well.")
class LastBucketLost(Reference):
    def filled(self, params, bucket_bytes):
        return [bucket for bucket in super().filled(params, bucket_bytes) if self.size(bucket) >= bucket_bytes]


@TRUSTED.mistake("A parameter of shape (), which is one number, is in no bucket: it is sent as all others are.")
class NoScalars(Reference):
    def in_order(self, model):
        return [p for p in super().in_order(model) if p.dim()]


@TRUSTED.mistake(
    "A bucket is closed before it would hold more than bucket_bytes: it is full when it holds so many or more."
)
class ClosedTooSoon(Reference):
    def filled(self, params, bucket_bytes):
        buckets = [[]]
        for p in params:
            if buckets[-1] and self.size([*buckets[-1], p]) > bucket_bytes:
                buckets.append([])
            buckets[-1].append(p)
        return buckets


@TRUSTED.mistake("All gradients are one bucket, which is whole when backward ends: bucket_bytes says when one is full.")
class OneBucket(Reference):
    def filled(self, params, bucket_bytes):
        return [params]


@TRUSTED.mistake("no_sync has no effect: backward sends in it as well. A hook has to look whether it is inside.")
class NoSyncIgnored(Reference):
    def arrived(self, p):
        if len(self.handles) == len(self.buckets):
            self.begin()
        super().arrived(p)

    @contextlib.contextmanager
    def no_sync(self):
        yield


@TRUSTED.mistake("no_sync never ends: set its switch back after the yield.")
class NoSyncForEver(Reference):
    @contextlib.contextmanager
    def no_sync(self):
        self.quiet = True
        yield


@TRUSTED.mistake("Each rank keeps the parameters that it began with: copy rank 0's into them.")
class OwnStart(Reference):
    def shared(self, model):
        return [*model.buffers()]


@TRUSTED.mistake("Each rank keeps the buffers that it began with: rank 0's are copied to all, like parameters.")
class OwnBuffers(Reference):
    def shared(self, model):
        return [*model.parameters()]


@TRUSTED.mistake(
    "A buffer is left as it was: state_dict() lacks those with persistent=False. Go through model.buffers()."
)
class StateDict(Reference):
    def shared(self, model):
        return [*model.state_dict().values()]


@TRUSTED.mistake("Gradients are summed over the ranks, expected their mean: divide by n.")
class Summed(Reference):
    def mean(self, total):
        return total


@TRUSTED.mistake(
    "After the first step nothing more is sent: what is counted in a backward has to begin anew when finish() is done."
)
class NeverAnew(Reference):
    def end(self):
        pass


@TRUSTED.mistake(
    "p.grad stays what it is on each rank: is everything sent, and the mean written back? A bucket is a copy, so its "
    "mean is to be cut up."
)
class NotWrittenBack(Reference):
    def write(self, bucket, flat):
        pass


@TRUSTED.mistake(
    "Buckets start in the order in which they become whole, which may be another one on another rank: start a bucket "
    "when all before it have started."
)
class AsTheyCome(Reference):
    def begin(self):
        self.there, self.handles, self.places = set(), [], []

    def start_what_is_whole(self):
        for i, bucket in enumerate(self.buckets):
            if i not in self.places and self.is_whole(bucket):
                self.send(i)

    def send(self, i):
        self.places.append(i)
        self.handles.append(self.comm.start_all_reduce(self.flat(self.buckets[i])))

    def start_the_rest(self):
        for i in range(len(self.buckets)):
            if i not in self.places:
                self.send(i)

    def finish(self):
        self.start_the_rest()
        for i, handle in zip(self.places, self.handles, strict=True):
            self.write(self.buckets[i], self.mean(handle.wait()))
        self.end()


@TRUSTED.mistake(
    "A bucket that lacks a gradient on this rank is never sent, and other ranks wait for it: finish() starts what has "
    "not started."
)
class WaitsForStarted(Reference):
    def start_the_rest(self):
        pass

    def finish(self):
        for bucket, handle in zip(self.buckets, self.handles, strict=False):
            self.write(bucket, self.mean(handle.wait()))
        self.end()


@TRUSTED.mistake(
    "What no hook has brought in this backward is sent as zeros, and what an earlier micro-batch has added up in "
    "p.grad is lost: zeros are for a p.grad that is None."
)
class ZerosForTheSilent(Reference):
    def gradient(self, p):
        return super().gradient(p) if id(p) in self.there else torch.zeros_like(p)


@TRUSTED.mistake(
    "A parameter without a gradient is left out of its bucket, which is then shorter than on other ranks: zeros take "
    "its place."
)
class LeavesOut(Reference):
    def flat(self, bucket):
        return torch.cat([p.grad.flatten() for p in bucket if p.grad is not None] or [bucket[0].new_zeros(0)])


@TRUSTED.alternative
class Views:
    """Each p.grad looks into its bucket, and a counter says how many are missing."""

    def __init__(self, comm, model, bucket_bytes):
        self.comm, self.size, self.silent = comm, comm.size, 0
        for x in (*model.parameters(), *model.buffers()):
            x.data = comm.broadcast(x.data)
        self.flats, self.places, self.counts = [], {}, []
        pending, held = [], 0
        for p in reversed(list(model.parameters())):
            if p.requires_grad:
                pending, held = [*pending, p], held + p.numel() * p.element_size()
                if held >= bucket_bytes:
                    self.close(pending)
                    pending, held = [], 0
        if pending:
            self.close(pending)
        self.again()

    def close(self, params):
        flat = torch.zeros(sum(p.numel() for p in params), dtype=params[0].dtype, device=params[0].device)
        for p, x in zip(params, flat.split([p.numel() for p in params]), strict=True):
            self.places[p] = len(self.flats), x.view(p.shape)
            p.register_post_accumulate_grad_hook(self.count)
        self.flats.append(flat)
        self.counts.append(len(params))

    def again(self):
        self.missing, self.sent = list(self.counts), []

    def look(self, p):
        view = self.places[p][1]
        if p.grad is None:
            view.zero_()
        elif p.grad is not view:
            view.copy_(p.grad)
        p.grad = view

    def count(self, p):
        if self.silent:
            return
        self.look(p)
        self.missing[self.places[p][0]] -= 1
        while len(self.sent) < len(self.flats) and self.missing[len(self.sent)] == 0:
            self.sent.append(self.comm.start_all_reduce(self.flats[len(self.sent)]))

    def finish(self):
        late = len(self.sent)
        for p, (i, _) in self.places.items():
            if i >= late:
                self.look(p)
        self.sent += [self.comm.start_all_reduce(flat) for flat in self.flats[late:]]
        for flat, handle in zip(self.flats, self.sent, strict=True):
            flat.copy_(handle.wait()).div_(self.size)
        self.again()

    @contextlib.contextmanager
    def no_sync(self):
        self.silent += 1
        try:
            yield
        finally:
            self.silent -= 1


@TRUSTED.alternative
class MeanBeforehand:
    """Gradients are divided before they are sent; hooks hang on a closure for each bucket; a class for no_sync."""

    def __init__(self, comm, model, bucket_bytes):
        self.comm, self.listening, self.done = comm, True, []
        with torch.no_grad():
            for x in model.parameters():
                x.copy_(comm.broadcast(x))
            for x in model.buffers():
                x.copy_(comm.broadcast(x))
        self.buckets, room = [], 0
        for p in [p for p in model.parameters() if p.requires_grad][::-1]:
            if room <= 0:
                self.buckets.append([])
                room = bucket_bytes
            self.buckets[-1].append(p)
            room -= p.nbytes
        for i, bucket in enumerate(self.buckets):
            for p in bucket:
                p.register_post_accumulate_grad_hook(self.hook_of(i))
        self.waiting = [set(bucket) for bucket in self.buckets]

    def hook_of(self, i):
        def hook(p):
            if self.listening:
                self.waiting[i].discard(p)
                while len(self.done) < len(self.buckets) and not self.waiting[len(self.done)]:
                    self.send_next()

        return hook

    def send_next(self):
        bucket = self.buckets[len(self.done)]
        parts = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.reshape(-1) for p in bucket]
        self.done.append(self.comm.start_all_reduce(torch.cat(parts) / self.comm.size))

    def finish(self):
        while len(self.done) < len(self.buckets):
            self.send_next()
        for bucket, handle in zip(self.buckets, self.done, strict=True):
            mean = handle.wait()
            for p in bucket:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
                p.grad.copy_(mean[: p.numel()].view(p.shape))
                mean = mean[p.numel() :]
        self.done, self.waiting = [], [set(bucket) for bucket in self.buckets]

    def no_sync(self):
        return Mute(self)


class Mute:
    def __init__(self, ddp):
        self.ddp = ddp

    def __enter__(self):
        self.before, self.ddp.listening = self.ddp.listening, False

    def __exit__(self, *error):
        self.ddp.listening = self.before
