"""OverlappedDDP(comm, model, bucket_bytes): buckets of gradients are sent while backward still runs."""

import contextlib
import math

import torch
from torch import nn

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong
from coursekit.checking.ranks import WATCHED, on_each
from coursekit.world import Network, World
from coursekit.world.clockwork import Timed

D, B, RATE = 3, 2, 0.1
START, GRADIENTS = "parameters and buffers at the start", "the gradient after each step"
SENT, ROOM = "the numbers in each all-reduce", 12  # more all-reduces than this are a mistake in every case
WIDTH = "how wide the numbers in all-reduces are, by those of the gradients"
QUIET = "the all-reduces that are started inside of no_sync"
OTHER = "the all-reduces that one model's backward starts inside of the other model's no_sync"
BACKWARD, FINISHED = "the milliseconds until backward ends", "the milliseconds until finish ends"
FORWARD, WIRES = 1e-3, Network(latency=2e-4, bandwidth=5e4)  # a bucket takes about as long as a layer
LARGE = 2**53 + 1  # float64 has no such number
FAST = [12, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2]  # more buckets are on their way than there is time for, until layer 0


def cases(g):
    double = torch.float64

    def case(
        part, n, widths, bucket, note="", dtype=torch.float32, steps=1, micro=1, biases=False, orders=None, **more
    ):
        """`bucket` is bucket_bytes in numbers; `orders` are the layers that each rank uses, in which order."""
        orders = orders or [[*range(len(widths))]] * n
        models = 1 + more.get("two", False)
        tensors = {
            "X": normal(g, models, n, steps * micro, B, D, dtype=dtype),
            "y": normal(g, models, n, steps * micro, B, dtype=dtype),
            **{f"w{i}": normal(g, models, width, D, dtype=dtype) for i, width in enumerate(widths)},
            **{f"b{i}": normal(g, models, width, dtype=dtype) for i, width in enumerate(widths * biases)},
            "gain": 1 + normal(g, models, dtype=dtype).abs(),
        }
        plain = {"n": n, "layers": len(widths), "buckets": [bucket, bucket], "steps": steps, "micro": micro}
        plain |= {"orders": orders, "last": orders}  # the last micro-batch of the first step
        plain |= {"frozen": False, "tied": False, "apart": False, "two": False, "inside": False, "middle": False}
        plain |= {"times": [], "error": False, "nested": False, WATCHED: False}
        layers = f"layers {', '.join(map(str, widths))}"
        words = [f"n={n}", layers, f"bucket_bytes={size_of(bucket, dtype)}", note, dtype_name(dtype)]
        return Case(part, ", ".join(filter(None, words[: 4 + (dtype == double)])), tensors | plain | more)

    values, again, buckets, clock = "values", "again and again", "buckets", "while backward still runs"
    few, three, alike = (2, 4), (2, 4, 3), (2, 2, 2)
    special = {"frozen": True, "tied": True, "biases": True}
    return [
        case(values, 2, few, 8, biases=True),
        case(values, 4, few, 0.25, dtype=double),
        case(values, 2, (2, 3, 2), 7, note="a frozen and a tied parameter", middle=True, **special),
        case(values, 1, few, 8, dtype=double),
        case(again, 2, few, 8, note="three steps", steps=3, dtype=double),
        case(again, 2, few, 6, note="another start on each rank", apart=True, frozen=True, biases=True),
        case(again, 2, few, 8, note="three micro-batches, two of them in one no_sync", micro=3),
        case(again, 2, (2,), 5, note="two models at once", two=True, dtype=double),
        case(buckets, 2, three, 3, biases=True, watched=True),
        case(buckets, 2, (2, 3, 2), 7, note="a frozen and a tied parameter", watched=True, **special),
        case(
            *(buckets, 2, alike, 6),
            note="rank 1 uses layers in another order",
            orders=[[0, 1, 2], [2, 0, 1]],
            watched=True,
        ),
        case(
            *(buckets, 3, three, 6),
            note="rank 1 does not use layer 1, no rank uses layer 2",
            orders=[[0, 1], [0], [1, 0]],
            dtype=double,
            watched=True,
        ),
        case(
            *(buckets, 2, few, 100),
            note="two steps, rank 1 does not use layer 1 in the last of two micro-batches of the first",
            steps=2,
            micro=2,
            last=[[0, 1], [0]],
            watched=True,
        ),
        case(
            *(clock, 2, (3, 2, 4, 2), 10),
            note="two steps after an error inside of no_sync",
            dtype=double,
            steps=2,
            error=True,
            times=[[2, 3, 4, 2]] * 2,
            watched=True,
        ),
        case(
            *(clock, 2, (2,) * len(FAST), 1),
            note="layer 6 is used before layer 5",
            dtype=double,
            orders=[[0, 1, 2, 3, 4, 6, 5]] * 2,
            times=[FAST] * 2,
            watched=True,
        ),
        case(
            *(clock, 2, (2,), 100),
            note="backward of a model with bucket_bytes=40 inside of the other's no_sync",
            two=True,
            buckets=[100, 5],
            inside=True,
            dtype=double,
            watched=True,
        ),
        case(
            *(clock, 2, (3, 2, 4, 2), 10),
            note="rank 1 is slower, after no_sync inside of no_sync",
            dtype=double,
            micro=4,
            nested=True,
            times=[[2, 1, 3, 2], [4, 2, 3, 4]],
            watched=True,
        ),
    ]


def size_of(bucket, dtype):
    return max(1, int(bucket * dtype.itemsize))


def probe(case, OverlappedDDP):
    world = World(case["n"], WIRES)
    found = world.run(lambda comm: trained(comm, world, case, OverlappedDDP))
    start = on_each([one[START] for one in found], START) if case["apart"] else {}
    quiet = {QUIET: torch.stack([one[QUIET] for one in found])} if case["micro"] > 1 else {}
    sizes = [OTHER] * case["inside"] + [SENT, WIDTH] * case[WATCHED]
    costs = sizes + [BACKWARD, FINISHED] * bool(case["times"])
    measured = {name: torch.stack([one[name] for one in found]) for name in costs}
    return start | quiet | on_each([one[GRADIENTS] for one in found], GRADIENTS) | measured


def trained(comm, world, case, OverlappedDDP):
    """What one rank sees: gradients after each step; of the last backward what was sent, and when it was over."""
    trials = [Trial(comm, case, i, OverlappedDDP) for i in range(1 + case["two"])]
    start, gradients, quiet, other, times, numbers, width = trials[0].state(), [], 0, 0, {}, [], 0
    if case["error"]:
        with contextlib.suppress(Interrupted), trials[0].ddp.no_sync():
            raise Interrupted
    for step in range(case["steps"]):
        before = len(sent(comm, world))
        for trial in trials if case["micro"] > 1 else ():
            trial.accumulate([*range(step * case["micro"], (step + 1) * case["micro"] - 1)])
        quiet += len(sent(comm, world)) - before
        if case["times"] and step == case["steps"] - 1:
            comm.barrier()
        before, begun = len(sent(comm, world)), world.clocks[comm.rank]
        for trial in trials[: 1 if case["inside"] else None]:
            trial.backward((step + 1) * case["micro"] - 1, last=step == 0)
        other = len(sent(comm, world))
        if case["inside"]:
            with trials[0].ddp.no_sync():
                trials[1].backward((step + 1) * case["micro"] - 1, last=step == 0)
        other = len(sent(comm, world)) - other
        times[BACKWARD] = 1e3 * (world.clocks[comm.rank] - begun)
        for trial in trials:
            trial.ddp.finish()
        times[FINISHED] = 1e3 * (world.clocks[comm.rank] - begun)
        numbers = (sent(comm, world)[before:] + [0] * ROOM)[:ROOM]
        width = width_of(reduced(comm, world)[before:])
        gradients.append(torch.cat([trial.gradients() for trial in trials]))
        for trial in trials:
            trial.update(none=step % 2 == 0)
    like = case["X"]
    counts = {SENT: numbers, QUIET: quiet, OTHER: other}
    return (
        {START: start, GRADIENTS: torch.stack(gradients)}
        | {WIDTH: like.new_tensor((width or like.itemsize) / like.itemsize)}
        | {name: like.new_tensor(count, dtype=torch.int64) for name, count in counts.items()}
        | {name: like.new_tensor(time, dtype=torch.float64) for name, time in times.items()}
    )


def sent(comm, world):
    """The numbers in each all-reduce that this rank has come to."""
    back = comm.size / max(2 * (comm.size - 1), 1)  # from what a ring sends to what is in it
    return [round(m.numbers * back) for m in reduced(comm, world)]


def reduced(comm, world):
    return [m for m in world.messages if m.sender == comm.rank and m.kind == "all_reduce" and m.numbers]


def width_of(messages):
    """The bytes of a number, 0 where none was sent."""
    return round(sum(m.bytes for m in messages) / max(sum(m.numbers for m in messages), 1))


class Interrupted(Exception):
    pass


class Linear(nn.Module):
    def __init__(self, weight, bias):
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    def forward(self, x):
        return nn.functional.linear(x, self.weight, self.bias)


class Gain(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = nn.Parameter(gain.detach().clone())

    def forward(self, x):
        return self.gain * x


class Model(nn.Module):
    """gain * sum of tanh(layer(x)) over the layers that are used, in their order."""

    def __init__(self, comm, case, i):
        super().__init__()
        biases = [case[f"b{j}"][i] if f"b{j}" in case else None for j in range(case["layers"])]
        layers: list[nn.Module] = [Linear(case[f"w{j}"][i], bias) for j, bias in enumerate(biases)]
        if case["frozen"]:
            layers[1].get_parameter("bias").requires_grad_(False)
        if case["tied"]:
            layers[2].weight = layers[0].weight
        if case["middle"]:
            self.first = layers[0]  # its parameters come before the gain, then
        self.gain = Gain(case["gain"][i])
        if case["times"]:
            times = [1e-3 * time for time in case["times"][comm.rank]]
            pairs = zip(layers, times, strict=True)
            layers = [Timed(layer, comm, FORWARD, time, f"layer {j}") for j, (layer, time) in enumerate(pairs)]
        layers[-1].eval()  # as where a part of a model is not trained
        self.layers = nn.ModuleList(layers)
        if case["apart"]:
            self.register_buffer("scale", torch.ones_like(case["X"][0, 0, 0, 0]))
            self.register_buffer("shift", torch.zeros_like(case["X"][0, 0, 0, 0]), persistent=False)
            self.register_buffer("seen", torch.full_like(case["gain"][i].detach(), LARGE, dtype=torch.int64))

    def forward(self, x, order):
        x = x * self.scale + self.shift if hasattr(self, "scale") else x
        return self.gain(sum(self.layers[j](x).tanh().sum(-1) for j in order))


class Trial:
    """A model on one rank, what shares its gradients, and its batches."""

    def __init__(self, comm, case, i, OverlappedDDP):
        self.rank, self.case, self.i, self.model = comm.rank, case, i, Model(comm, case, i)
        if case["apart"]:
            with torch.no_grad():
                for x in (*self.model.parameters(), *self.model.buffers()):
                    x.add_(comm.rank)
                if comm.rank:
                    self.model.get_parameter("gain.gain").fill_(math.nan)  # as memory that nobody has written
                    self.model.get_buffer("shift").fill_(math.inf)
        modes = [module.training for module in self.model.modules()]
        before = [(p, p.requires_grad) for p in self.model.parameters()]
        self.ddp = OverlappedDDP(comm, self.model, size_of(case["buckets"][i], case["X"].dtype))
        after = [(p, p.requires_grad) for p in self.model.parameters()]
        if [(id(p), trains) for p, trains in before] != [(id(p), trains) for p, trains in after]:
            raise Wrong("the model has other parameters than before, or frozen others: write into those it has")
        if modes != [module.training for module in self.model.modules()]:
            raise Wrong("a module is in another mode after the constructor, train() or eval(): leave it as it is")
        self.params = [p for p, trains in before if trains]
        self.used = {j for name in ("orders", "last") for order in case[name] for j in order}
        self.frozen = [p for p, trains in before if not trains]

    def state(self):
        everything = (*self.model.parameters(), *self.model.buffers())
        numbers = [x.detach() if x.is_floating_point() else x - LARGE for x in everything]
        return torch.cat([x.to(self.case["X"].dtype).flatten() for x in numbers])

    def accumulate(self, batches):
        """In no_sync; if it is nested, the first one's forward comes before it, and the second one is inside of two."""
        nested = self.case["nested"]
        early = self.loss(batches[0]) if nested else None
        with self.ddp.no_sync():
            if nested:
                early.backward()
                with self.ddp.no_sync():
                    self.backward(batches[1])
            for j in batches[2 * nested :]:
                self.backward(j)

    def backward(self, j, last=False):
        self.loss(j, last).backward()

    def loss(self, j, last=False):
        order = self.case["last" if last else "orders"][self.rank]
        x, y = (self.case[name][self.i, self.rank, j].detach() for name in ("X", "y"))
        return (self.model(x, order) - y).square().mean()

    def gradients(self):
        """All in one vector; zeros for what no rank has used, where p.grad may be None."""
        if any(p.grad is not None for p in self.frozen):
            raise Wrong("a frozen parameter (its requires_grad is False) has got a gradient: leave it out")
        used = [
            self.model.gain.gain,
            *(p for j in self.used for p in self.model.layers[j].parameters() if p.requires_grad),
        ]
        if any(p.grad is None for p in used):
            raise Wrong("p.grad is None after finish(), though a rank has used this parameter: all ranks get the mean")
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.params]
        if odd := [(p, x) for p, x in zip(self.params, grads, strict=True) if p.shape != x.shape]:
            p, x = odd[0]
            raise Wrong(f"a parameter of shape {tuple(p.shape)} has a gradient of shape {tuple(x.shape)}")
        return torch.cat([x.detach().flatten() for x in grads])

    def update(self, none):
        """A step of SGD, and gradients are set to None or to zeros."""
        with torch.no_grad():
            for p in self.params:
                if p.grad is not None:
                    p.sub_(RATE * p.grad)
        self.model.zero_grad(set_to_none=none)


def loud(found, right):
    return (
        "all-reduces are started inside of no_sync, where backward only accumulates" if (found > right).any() else None
    )


def kept_back(found, right):
    if (found < right).any():
        return (
            "a backward inside of another model's no_sync does not start all of its buckets: each starts as soon as "
            "it is whole, and no_sync is a matter of its own model alone"
        )
    return None


def counted(found, right):
    """How buckets differ, in words that tell none of their sizes."""
    many, enough = (found > 0).sum(-1), (right > 0).sum(-1)
    if (many > enough).any():
        return "more all-reduces are started than there are buckets"
    if (many < enough).any():
        return "fewer all-reduces are started than there are buckets"
    return (
        "as many all-reduces are started as there are buckets, but with other numbers in them: fill them from the last "
        "parameter on, one is full when it holds bucket_bytes or more, and start them in this order"
    )


def widened(found, right):
    return "buckets are sent in another dtype than that of their gradients"


def waiting(found, right):
    return (
        "on the clock, backward takes longer than its layers do: something in it waits" if later(found, right) else None
    )


def exposed(found, right):
    if later(found, right):
        return (
            "on the clock, finish is done later than it could be: is each bucket started as soon as its last gradient "
            "is there, also after no_sync, and is nothing else sent?"
        )
    return "on the clock, finish is done sooner than the buckets can have been sent"


def later(found, right):
    return bool((found > right + 1e-6).any())


EXERCISE = Exercise(
    id="distributed.overlap",
    title="Send while backward runs",
    parts={"values": 1, "again and again": 1, "buckets": 1, "while backward still runs": 1},
    minutes=60,
    difficulty="core",
    importance=5,
    calls=("OverlappedDDP(comm, model, bucket_bytes)",),
    cases=cases,
    probe=probe,
    said={QUIET: loud, OTHER: kept_back, SENT: counted, WIDTH: widened, BACKWARD: waiting, FINISHED: exposed},
    # Gradients of a few steps, and the order of sums is free.
    tolerance={torch.float32: (1e-4, 2e-5), torch.float64: (1e-7, 1e-8)},
)
