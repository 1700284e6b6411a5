"""Answers to distributed.overlap."""

import contextlib
import copy
from contextlib import contextmanager

import torch
from torch import nn

from tests.answers.collection import Answers

ANSWERS = Answers("distributed.overlap", spared={"dependence": "nothing is drawn"})
wrong = ANSWERS.wrong


class Base:
    """A right answer, of which a part is replaced."""

    def __init__(self, comm, model, bucket_bytes):
        self.comm, self.model, self.quiet = comm, model, False
        self.share()
        self.buckets = self.fill(self.order(), bucket_bytes)
        self.begin()
        self.listen()

    def begin(self):
        self.ready, self.handles = set(), []

    def listen(self):
        for p in self.model.parameters():
            if p.requires_grad:
                p.register_post_accumulate_grad_hook(self.arrived)

    @torch.no_grad()
    def share(self):
        for x in self.shared():
            x.copy_(self.comm.broadcast(x))

    def shared(self):
        return [*self.model.parameters(), *self.model.buffers()]

    def order(self):
        return [p for p in self.model.parameters() if p.requires_grad][::-1]

    def size(self, p):
        return p.numel() * p.element_size()

    def full(self, size, limit):
        return size >= limit

    def fill(self, params, limit):
        buckets, size = [], 0
        for p in params:
            if size == 0:
                buckets.append([])
            buckets[-1].append(p)
            size += self.size(p)
            if self.full(size, limit):
                size = 0
        return buckets

    def arrived(self, p):
        if not self.quiet:
            self.ready.add(p)
            self.go_on()

    def whole(self, bucket):
        return self.ready.issuperset(bucket)

    def go_on(self):
        while len(self.handles) < len(self.buckets) and self.whole(self.buckets[len(self.handles)]):
            self.start(self.buckets[len(self.handles)])

    def start(self, bucket):
        self.handles.append(self.comm.start_all_reduce(torch.cat([self.flat(p) for p in bucket])))

    def flat(self, p):
        return (torch.zeros_like(p) if p.grad is None else p.grad).detach().flatten()

    def mean(self, handle):
        return handle.wait() / self.comm.size

    def finish(self):
        for bucket in self.buckets[len(self.handles) :]:
            self.start(bucket)
        for bucket, handle in zip(self.buckets, self.handles, strict=True):
            self.write(bucket, self.mean(handle))
        self.begin()

    def write(self, bucket, mean):
        for p, piece in zip(bucket, mean.split([p.numel() for p in bucket]), strict=True):
            self.put(p, piece.view_as(p))

    def put(self, p, mean):
        p.grad = mean

    @contextmanager
    def no_sync(self):
        before, self.quiet = self.quiet, True
        try:
            yield
        finally:
            self.quiet = before


@wrong("plain", "the sum over ranks", true="Summed")
class SumOfRanks(Base):
    def mean(self, handle):
        return handle.wait()


@wrong("plain", "divided by n before it is sent and after", told="is 1 / n times what is expected")
class DividesTwice(Base):
    def flat(self, p):
        return super().flat(p) / self.comm.size


@wrong("plain", "nothing is sent before finish()", true="AfterBackward")
class AllAtTheEnd(Base):
    def listen(self):
        pass


@wrong("plain", "the hook waits for the result", true="WaitsInTheHook")
class WaitsInTheHook(Base):
    def start(self, bucket):
        self.handles.append(self.comm.all_reduce(torch.cat([self.flat(p) for p in bucket])))

    def mean(self, handle):
        return handle / self.comm.size


@wrong("plain", "the hook waits for the bucket before, and starts its own then", told="something in it waits")
class WaitsForTheOneBefore(Base):
    def start(self, bucket):
        if self.handles:
            self.handles[-1].wait()
        super().start(bucket)


@wrong("large", "at most four buckets are on their way: the fifth waits for the first", told="something in it waits")
class AtMostFour(Base):
    def start(self, bucket):
        if len(self.handles) >= 4:
            self.handles[-4].wait()
        super().start(bucket)


@wrong("plain", "one bucket for all", true="OneBucket")
class OneBucket(Base):
    def full(self, size, limit):
        return False


@wrong("plain", "a bucket for each parameter", true="OneByOne")
class OneEach(Base):
    def full(self, size, limit):
        return True


@wrong("plain", "buckets are filled from the first parameter on", true="Forwards")
class FromTheFirst(Base):
    def order(self):
        return super().order()[::-1]


@wrong(
    "plain",
    "buckets are filled from the first parameter on, and gone through from the last",
    told="fill them from the last parameter on",
)
class TurnedRoundAfterwards(Base):
    def fill(self, params, limit):
        return super().fill(params[::-1], limit)[::-1]


@wrong("plain", "a bucket is closed before bucket_bytes would be exceeded", true="ClosedTooSoon")
class ClosedBefore(Base):
    def fill(self, params, limit):
        buckets, size = [], 0
        for p in params:
            if not buckets or size + self.size(p) > limit:
                buckets.append([])
                size = 0
            buckets[-1].append(p)
            size += self.size(p)
        return buckets


@wrong(
    "named",
    "full only when it holds more than bucket_bytes",
    told="fewer all-reduces are started than there are buckets",
)
class MoreThanFull(Base):
    def full(self, size, limit):
        return size > limit


@wrong("plain", "numbers are counted, not bytes", told="fewer all-reduces are started than there are buckets")
class CountsNumbers(Base):
    def size(self, p):
        return p.numel()


@wrong("named", "four bytes a number, in float64 too", told="fewer all-reduces are started than there are buckets")
class FourBytes(Base):
    def size(self, p):
        return 4 * p.numel()


@wrong(
    "plain",
    "the size is not set back: from the first full bucket on each parameter has its own",
    told="more all-reduces are started than there are buckets",
)
class SizeGoesOn(Base):
    def fill(self, params, limit):
        buckets, size = [[]], 0
        for p in params:
            if self.full(size, limit):
                buckets.append([])
            buckets[-1].append(p)
            size += self.size(p)
        return buckets


@wrong("named", "what is left at the end and is not full is no bucket", true="LastBucketLost")
class LeftOver(Base):
    def fill(self, params, limit):
        buckets = super().fill(params, limit)
        return buckets if self.full(sum(map(self.size, buckets[-1])), limit) else buckets[:-1]


@wrong(
    "plain",
    "a bucket starts when it is whole, whichever it is: ranks may start them in different orders",
    true="AsTheyCome",
)
class AsTheyCome(Base):
    def begin(self):
        self.ready, self.handles = set(), {}

    def go_on(self):
        for i, bucket in enumerate(self.buckets):
            if i not in self.handles and self.whole(bucket):
                self.begun(i)

    def begun(self, i):
        flat = torch.cat([self.flat(p) for p in self.buckets[i]])
        self.handles[i] = self.comm.start_all_reduce(flat)

    def finish(self):
        for i, bucket in enumerate(self.buckets):
            if i not in self.handles:
                self.begun(i)
            self.write(bucket, self.mean(self.handles[i]))
        self.begin()


@wrong(
    "named", "finish() sends nothing: a bucket with a parameter that was not used never starts", true="WaitsForStarted"
)
class OnlyWholeOnes(Base):
    def finish(self):
        for bucket, handle in zip(self.buckets, self.handles, strict=False):
            self.write(bucket, self.mean(handle))
        self.begin()


@wrong(
    "plain",
    "finish() sends every bucket, those that have started too",
    told="more all-reduces are started than there are buckets",
)
class SendsAgain(Base):
    def finish(self):
        self.handles = []
        super().finish()


@wrong(
    "named",
    "what is frozen gets a hook as well",
    told="cannot register a hook on a tensor that doesn't require gradient",
)
class HooksOnFrozen(Base):
    def order(self):
        return [*self.model.parameters()][::-1]

    def listen(self):
        for p in self.model.parameters():
            p.register_post_accumulate_grad_hook(self.arrived)


@wrong("named", "what is frozen gets a gradient of zeros", told="a frozen parameter .* has got a gradient")
class FrozenGetsZeros(Base):
    def order(self):
        return [*self.model.parameters()][::-1]


@wrong(
    "named",
    "what is frozen is in a bucket, which is never whole: it starts in finish(), and so do those after it",
    told="numbers in them|sooner|later",
)
class FrozenInABucket(Base):
    def order(self):
        return [*self.model.parameters()][::-1]

    def put(self, p, mean):
        if p.requires_grad:
            p.grad = mean


@wrong("named", "a parameter under two names is in the buckets twice", told="numbers in them|than there are buckets")
class TiedTwice(Base):
    def order(self):
        every = self.model.named_parameters(remove_duplicate=False)
        return [p for _, p in every if p.requires_grad][::-1]


@wrong("onward", "handles are kept: each step ends with the gradients of the first", true="NeverAnew")
class KeepsHandles(Base):
    handles = None

    def begin(self):
        self.ready, self.handles = set(), self.handles or []


@wrong("onward", "what has arrived is kept: in the next step a bucket starts too early")
class KeepsReady(Base):
    ready = None

    def begin(self):
        self.ready, self.handles = self.ready or set(), []


class Counting(Base):
    """Each bucket counts down."""

    def begin(self):
        self.left, self.handles = [len(bucket) for bucket in self.buckets], []

    def arrived(self, p):
        if not self.quiet:
            self.count(p)

    def count(self, p):
        self.left[next(i for i, bucket in enumerate(self.buckets) if any(p is q for q in bucket))] -= 1
        self.go_on()

    def whole(self, bucket):
        return self.left[len(self.handles)] == 0


@wrong(
    "onward",
    "a bucket's count is not set back: from the second step on all is sent in finish()",
    told="finish is done later than it could be",
)
class CountsOnce(Base):
    seen = None

    def begin(self):
        self.seen = self.seen or [0] * len(self.buckets)
        self.complete, self.handles = [], []

    def arrived(self, p):
        if self.quiet:
            return
        i = next(i for i, bucket in enumerate(self.buckets) if any(p is q for q in bucket))
        self.seen[i] += 1
        if self.seen[i] == len(self.buckets[i]):
            self.complete.append(i)
            self.go_on()

    def whole(self, bucket):
        return len(self.handles) in self.complete


@wrong("onward", "inside of no_sync a bucket counts as well: after it buckets start in finish()")
class CountsInside(Counting):
    def arrived(self, p):
        self.count(p)

    def go_on(self):
        if not self.quiet:
            super().go_on()


@wrong(
    "onward",
    "hooks are taken away by finish(): from the second step on all is sent there",
    told="finish is done later than it could be",
)
class HooksOnce(Base):
    def listen(self):
        hooked = [p for p in self.model.parameters() if p.requires_grad]
        self.hooks = [p.register_post_accumulate_grad_hook(self.arrived) for p in hooked]

    def finish(self):
        super().finish()
        for hook in self.hooks:
            hook.remove()


@wrong(
    "onward",
    "after the first step buckets are made anew, in the order in which gradients came",
    told="numbers in them|than there are buckets",
)
class MadeAnew(Base):
    def __init__(self, comm, model, bucket_bytes):
        self.limit, self.came, self.anew = bucket_bytes, [], False
        super().__init__(comm, model, bucket_bytes)

    def arrived(self, p):
        if not self.anew and not self.quiet:
            self.came.append(p)
        super().arrived(p)

    def finish(self):
        super().finish()
        if not self.anew and len(self.came) == sum(map(len, self.buckets)):
            self.anew, self.buckets = True, self.fill(self.came, self.limit)


@wrong("plain", "no_sync does nothing", true="NoSyncIgnored", told="started inside of no_sync")
class NoSyncSends(Base):
    @contextmanager
    def no_sync(self):
        yield


@wrong("plain", "no_sync is not left: from then on all is sent in finish()", true="NoSyncForEver")
class StaysQuiet(Base):
    @contextmanager
    def no_sync(self):
        self.quiet = True
        yield


@wrong(
    "onward",
    "no_sync can be entered once: its context is kept",
    told="AttributeError: '_GeneratorContextManager'",
)
class OneContext(Base):
    context = None

    def no_sync(self):
        if self.context is None:
            self.context = super().no_sync()
        return self.context


@wrong("plain", "no_sync returns nothing", told="does not support the context manager protocol")
class NoContext(Base):
    def no_sync(self):
        self.quiet = True


@wrong("plain", "after no_sync p.grad holds the last micro-batch alone")
class LastMicroBatch(Base):
    @contextmanager
    def no_sync(self):
        with super().no_sync():
            yield
        for p in self.order():
            p.grad = None


@wrong("plain", "no parameter of rank 0 is sent", told="parameters and buffers at the start on rank 1 is NaN")
class OwnStart(Base):
    def shared(self):
        return []


@wrong("plain", "buffers are each rank's own", true="OwnBuffers")
class ParametersAlone(Base):
    def shared(self):
        return [*self.model.parameters()]


@wrong("named", "what state_dict holds: a buffer that is not persistent is left out", true="StateDict")
class StateDict(Base):
    def shared(self):
        return [*self.model.state_dict().values()]


@wrong("named", "a frozen parameter is not sent at the start", told="parameters and buffers at the start")
class TrainedAlone(Base):
    def shared(self):
        return [*self.order(), *self.model.buffers()]


@wrong("named", "buffers of floats alone", told="at the start on rank 1 differs in 1 of")
class FloatsAlone(Base):
    def shared(self):
        return [x for x in super().shared() if x.is_floating_point()]


@wrong("plain", "the mean of all ranks' parameters at the start", told="parameters and buffers at the start on rank 0")
class MeanAtTheStart(Base):
    @torch.no_grad()
    def share(self):
        for x in self.shared():
            x.copy_(self.comm.all_reduce(x) / self.comm.size)


@wrong("plain", "the last rank's parameters", told="parameters and buffers at the start on rank 0 is NaN")
class FromTheLastRank(Base):
    @torch.no_grad()
    def share(self):
        for x in self.shared():
            x.copy_(self.comm.broadcast(x, self.comm.size - 1))


@wrong("given", "hooks and buckets are those of a copy of the model", true="NotWrittenBack")
class CopiesTheModel(Base):
    def __init__(self, comm, model, bucket_bytes):
        super().__init__(comm, copy.deepcopy(model), bucket_bytes)


@wrong("given", "parameters are new ones", told="the model has other parameters than before")
class NewParameters(Base):
    @torch.no_grad()
    def share(self):
        for module in self.model.modules():
            for name, p in [*module.named_parameters(recurse=False)]:
                setattr(module, name, nn.Parameter(self.comm.broadcast(p)))


@wrong("surroundings", "the model is in evaluation mode afterwards", told="mode")
class Evaluates(Base):
    def share(self):
        self.model.eval()
        super().share()


class OfTensors(Base):
    """register_hook: it is called before the gradient is added to p.grad."""

    def listen(self):
        for p in self.order():
            p.register_hook(lambda g, p=p: self.came(p, g))


@wrong("plain", "register_hook, whose gradient is not yet in p.grad")
class OldGradient(OfTensors):
    def came(self, p, g):
        self.arrived(p)


@wrong("plain", "register_hook, and what it gives is sent: that of the last micro-batch alone")
class HooksGradient(OfTensors):
    def begin(self):
        super().begin()
        self.got = {}

    def came(self, p, g):
        if not self.quiet:
            self.got[p] = g
        self.arrived(p)

    def flat(self, p):
        return self.got[p].detach().flatten() if p in self.got else super().flat(p)


@wrong(
    "named",
    "finish() sends zeros for what did not come in the last backward, though p.grad is there",
    true="ZerosForTheSilent",
)
class ZerosForTheRest(Base):
    def flat(self, p):
        return super().flat(p) if p in self.ready else torch.zeros_like(p).detach().flatten()


@wrong("named", "where p.grad is None it stays None, though another rank has used it", told="has no gradient|is None")
class NoneStays(Base):
    def put(self, p, mean):
        if p.grad is not None:
            p.grad = mean


@wrong("named", "None breaks torch.cat", told="'NoneType' object has no attribute 'flatten'")
class NoneBreaks(Base):
    def flat(self, p):
        return p.grad.flatten()


@wrong("onward", "what has a gradient is ready: zeros of the step before are one")
class ReadyByGrad(Base):
    def arrived(self, p):
        if not self.quiet:
            self.go_on()

    def whole(self, bucket):
        return all(p.grad is not None for p in bucket)


@wrong(
    "named",
    "one bucket at a time: where the next one is whole already, it waits for another hook or for finish()",
    told="finish is done later than it could be",
)
class NoCascade(Base):
    def go_on(self):
        if len(self.handles) < len(self.buckets) and self.whole(self.buckets[len(self.handles)]):
            self.start(self.buckets[len(self.handles)])


@wrong(
    "named",
    "a bucket whose last gradient came before it was its turn is never looked at again before finish()",
    told="finish is done later than it could be",
)
class OnlyItsOwnHook(Base):
    def arrived(self, p):
        if not self.quiet:
            self.ready.add(p)
            i = next(i for i, bucket in enumerate(self.buckets) if any(p is q for q in bucket))
            if i == len(self.handles) and self.whole(self.buckets[i]):
                self.start(self.buckets[i])


@wrong(
    "plain",
    "looks before it adds: each bucket starts one hook too late",
    told="is each bucket started as soon as its last gradient",
)
class OneHookLate(Base):
    def arrived(self, p):
        if not self.quiet:
            self.go_on()
            self.ready.add(p)


@wrong("plain", "a bucket starts with its first gradient, those before it being whole")
class FirstOfBucket(Base):
    def whole(self, bucket):
        return any(p in self.ready for p in bucket)


@wrong("again", "handles and what is ready stand on the class", told="what is kept on a class or in a global name")
class OnClass(Base):
    ready, handles = set(), []

    def begin(self):
        self.ready.clear()
        self.handles.clear()


@wrong("again", "the switch of no_sync stands on the class: all models are quiet", told="own model alone")
class QuietClass(Base):
    quiet = False

    def __init__(self, comm, model, bucket_bytes):
        super().__init__(comm, model, bucket_bytes)
        del self.quiet

    @contextmanager
    def no_sync(self):
        before, type(self).quiet = self.quiet, True
        try:
            yield
        finally:
            type(self).quiet = before


@wrong("named", "buckets travel in float32", told="a step in a coarser dtype")
class InFloat32(Base):
    def flat(self, p):
        return super().flat(p).float()

    def put(self, p, mean):
        p.grad = mean.to(p.dtype)


@wrong("far", "buckets travel in float16", told="a step in a coarser dtype")
class InHalf(Base):
    def flat(self, p):
        return super().flat(p).half()

    def put(self, p, mean):
        p.grad = mean.to(p.dtype)


@wrong(
    "unwatched",
    "finish() gathers all ranks' gradients: each bucket is to be one all-reduce",
    told="fewer all-reduces are started than there are buckets",
)
class Gathers(Base):
    def listen(self):
        pass

    def finish(self):
        for bucket in self.buckets:
            rows = self.comm.all_gather(torch.cat([self.flat(p) for p in bucket]))
            self.write(bucket, rows.mean(0))


@wrong(
    "unwatched",
    "a bucket of one rank's is sent by reduce_scatter and all_gather",
    told="fewer all-reduces are started than there are buckets",
)
class TwoHalves(Base):
    def start(self, bucket):
        flat, n = torch.cat([self.flat(p) for p in bucket]), self.comm.size
        rows = nn.functional.pad(flat, (0, -len(flat) % n)).view(n, -1)
        self.handles.append(self.comm.all_gather(self.comm.reduce_scatter(rows)).flatten()[: len(flat)])

    def mean(self, handle):
        return handle / self.comm.size


@wrong(
    "ones",
    "one rank alone: the constructor returns, and finish() lacks its buckets",
    told="right where n is more than 1, wrong where it is 1",
)
class Alone(Base):
    def __init__(self, comm, model, bucket_bytes):
        self.comm = comm
        if comm.size > 1:
            super().__init__(comm, model, bucket_bytes)


@wrong("ones", "a number of shape () is left out of the buckets", true="NoScalars")
class NoScalars(Base):
    def order(self):
        return [p for p in super().order() if p.dim()]


@wrong("ones", "torch.cat of a number of shape ()", told="zero-dimensional tensor")
class NotFlat(Base):
    def flat(self, p):
        return super().flat(p) if p.dim() > 1 else super().flat(p).view_as(p)


@wrong(
    "surroundings", "finish() switches gradients off for good", told="does not require grad and does not have a grad_fn"
)
class SwitchesOff(Base):
    def finish(self):
        super().finish()
        torch.set_grad_enabled(False)


@wrong("surroundings", "the constructor makes float64 the default dtype", told="changes torch's default dtype")
class DefaultDtype(Base):
    def share(self):
        torch.set_default_dtype(torch.float64)
        super().share()


@wrong("given", "what is frozen is trained afterwards", told="or frozen others")
class Unfreezes(Base):
    def share(self):
        super().share()
        for p in self.model.parameters():
            p.requires_grad_(True)


@ANSWERS.right
class CountingDown(Counting):
    """As many as are left, and the mean is taken before it is sent."""

    def flat(self, p):
        return super().flat(p) / self.comm.size

    def mean(self, handle):
        return handle.wait()


@ANSWERS.right
class OfTheGraph:
    """Hooks of the graph's AccumulateGrad nodes, numbers of a bucket in the order of the model, written in place."""

    def __init__(self, comm, model, bucket_bytes):
        self.comm, self.silent = comm, 0
        with torch.no_grad():
            for x in (*model.parameters(), *model.buffers()):
                mine = x if comm.rank == 0 else torch.zeros_like(x)
                x.copy_(comm.all_reduce(mine))
        params = [p for p in model.parameters() if p.requires_grad]
        self.buckets, bucket = [], []
        for p in reversed(params):
            bucket.insert(0, p)
            if sum(q.nbytes for q in bucket) >= bucket_bytes:
                self.buckets.append(bucket)
                bucket = []
        self.buckets += [bucket] * bool(bucket)
        self.nodes = [p.expand_as(p).grad_fn.next_functions[0][0] for p in params]
        self.there, self.sent = [], []
        for node, p in zip(self.nodes, params, strict=True):
            node.register_hook(lambda *_, p=p: self.hook(p))

    def hook(self, p):
        if self.silent:
            return
        self.there.append(id(p))
        for bucket in self.buckets[len(self.sent) :]:
            if not {id(q) for q in bucket} <= set(self.there):
                break
            self.send(bucket)

    def send(self, bucket):
        for p in bucket:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        self.sent.append(self.comm.start_all_reduce(nn.utils.parameters_to_vector([p.grad for p in bucket])))

    def finish(self):
        for bucket in self.buckets[len(self.sent) :]:
            self.send(bucket)
        for bucket, handle in zip(self.buckets, self.sent, strict=True):
            total, start = handle.wait(), 0
            for p in bucket:
                p.grad.copy_(total[start : start + p.numel()].view(p.shape)).div_(self.comm.size)
                start += p.numel()
        self.there, self.sent = [], []

    def no_sync(self):
        @contextlib.contextmanager
        def silence():
            self.silent += 1
            try:
                yield self
            finally:
                self.silent -= 1

        return silence()


class Quiet:
    def __init__(self, ddp):
        self.ddp = ddp

    def __enter__(self):
        self.before, self.ddp.listening = self.ddp.listening, False

    def __exit__(self, *error):
        self.ddp.listening = self.before


@ANSWERS.right
class Bucketwise(nn.Module):
    """A module itself, with an object for each bucket, a context of its own, and results that p.grad looks into."""

    class Bucket:
        def __init__(self, params):
            self.params, self.missing, self.handle = params, {*params}, None

        def start(self, comm):
            parts = [p.new_zeros(p.numel()) if p.grad is None else p.grad.reshape(-1) for p in self.params]
            self.handle = comm.start_all_reduce(torch.hstack(parts).detach())

        def end(self, n):
            rest = self.handle.wait().div_(n)
            for p in self.params:
                p.grad, rest = rest[: p.numel()].view_as(p), rest[p.numel() :]
            self.missing, self.handle = {*self.params}, None

    def __init__(self, comm, model, bucket_bytes):
        super().__init__()
        self.comm, self.listening, self.buckets = comm, True, []
        object.__setattr__(self, "wrapped", model)
        tensors = [x.detach() for x in (*model.parameters(), *model.buffers())]
        for x in tensors:
            x.copy_(comm.broadcast(x, source=0))
        group = []
        for p in reversed([*model.parameters()]):
            if not p.requires_grad:
                continue
            group.append(p)
            p.register_post_accumulate_grad_hook(self.seen)
            if sum(q.numel() * q.element_size() for q in group) >= bucket_bytes:
                self.buckets.append(self.Bucket(group))
                group = []
        if group:
            self.buckets.append(self.Bucket(group))

    def seen(self, p):
        if not self.listening:
            return
        for bucket in self.buckets:
            bucket.missing.discard(p)
        for bucket in self.buckets:
            if bucket.handle is None:
                if bucket.missing:
                    return
                bucket.start(self.comm)

    def finish(self):
        for bucket in self.buckets:
            if bucket.handle is None:
                bucket.start(self.comm)
        for bucket in self.buckets:
            bucket.end(self.comm.size)

    def no_sync(self):
        return Quiet(self)


@ANSWERS.right
class UnusedStaysNone(Base):
    """What is None everywhere is None afterwards; one rank alone sends nothing."""

    def put(self, p, mean):
        if p.grad is not None or mean.any():
            p.grad = mean.clone()

    def start(self, bucket):
        if self.comm.size > 1:
            super().start(bucket)
        else:
            self.handles.append(None)

    def write(self, bucket, mean):
        if mean is not None:
            super().write(bucket, mean)

    def mean(self, handle):
        return None if handle is None else super().mean(handle)


@ANSWERS.right
class WaitsBackwards(Base):
    """finish() waits for the last one first, and writes then."""

    def finish(self):
        while len(self.handles) < len(self.buckets):
            self.start(self.buckets[len(self.handles)])
        means = [handle.wait().mul(1 / self.comm.size) for handle in self.handles[::-1]][::-1]
        for bucket, mean in zip(self.buckets, means, strict=True):
            self.write(bucket, mean)
        self.begin()
