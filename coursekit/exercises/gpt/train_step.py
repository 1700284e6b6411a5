"""train_step(...): one step of the optimiser from several micro-batches, equal to that of one large batch."""

import weakref
from functools import partial

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import linear

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong, number
from coursekit.exercises.stepping import NORMS, leave_gradients, norms_are_clipped, noted, optimizer_of

V, D, LONGEST = 7, 5, 6
NONE = -100  # in place of a target
KEPT = "graphs that are kept when the model runs again"
MORE = "places that are read at once beyond the largest micro-batch's"
TAKEN = "steps of the optimizer in each call"
RATE = "rate afterwards"


def cases(g):
    def case(part, label, *steps, clip, dtype=torch.float32, apart=1.0, **given):
        """A step is a list of micro-batches, and each of these a list of rows: so many targets in so many places."""
        rows = [row for step in steps for micro in step for row in micro]
        y = torch.full((len(rows), LONGEST), NONE)
        for b, (count, T) in enumerate(rows):
            y[b, torch.randperm(T, generator=g)[:count]] = torch.randint(V, (count,), generator=g)
        inputs = {
            "sizes": [[len(micro) for micro in step] for step in steps],
            "widths": [[micro[0][1] for micro in step] for step in steps],
            "x": torch.randint(V, (len(rows), LONGEST), generator=g),
            "y": y,
            "tokens": normal(g, V, D, dtype=dtype),
            "positions": normal(g, LONGEST, D, dtype=dtype),
            "weight": apart * normal(g, V, D, dtype=dtype),
            "bias": normal(g, V, dtype=dtype),
        }
        return Case(part, label, inputs | {"clip": clip} | given)

    def full(*counts, T=5):
        """One row for each of these numbers of targets."""
        return [(count, T) for count in counts]

    one, clip, more = (partial(case, part) for part in ("one step", "clipping", "several"))
    double = torch.float64
    uneven = [full(5, 4), full(1, 0)]
    return [
        one("9 and 1 targets", uneven, clip=1e3),
        one(
            "texts of unequal length, one micro-batch without targets",
            [full(6, T=6), full(0, 0, T=2), full(3, 1, T=3)],
            clip=1e3,
            dtype=double,
        ),
        one("one micro-batch of one target", [full(1, T=1)], clip=1e3, dtype=double),
        one("gradients are left from before", [full(4), full(2, 2)], clip=1e3, left=True),
        one("9 micro-batches of one text", [full(1 + i % 5) for i in range(9)], clip=1e3, dtype=double),
        one("logits far apart", [full(5, 3), full(2)], clip=1e3, dtype=double, apart=200.0),
        clip("5 and 2 targets, clip 0.1", [full(3, 2), full(2)], clip=0.1),
        clip("4, 4 and 1 targets, clip 0.2, float64", [full(4), full(4), full(1)], clip=0.2, dtype=double),
        more("3 steps with momentum", uneven, [full(5)], [full(1), full(4, 4)], clip=0.3, dtype=double),
        more("2 steps of AdamW", uneven, [full(1), full(4, 5)], clip=0.3, optimizer="adamw"),
    ]


class Saved:
    """A tensor that a graph keeps for its backward pass, as long as it does."""

    def __init__(self, x):
        self.x = x


class Model(nn.Module):
    """Logits from the mean of a text's past, which notes how it is called. Its position vectors are frozen."""

    def __init__(self, case):
        super().__init__()
        self.tokens, self.weight, self.bias = (nn.Parameter(case[n].clone()) for n in ("tokens", "weight", "bias"))
        self.positions = nn.Parameter(case["positions"].clone(), requires_grad=False)
        self.past = torch.arange(1, LONGEST + 1, device=self.bias.device)[:, None]
        self.saved, self.kept, self.read = [], [], []

    def forward(self, x):
        if not in_backward():  # there activations are computed again, for a graph that is on its way out
            self.kept.append(sum(saved() is not None for saved in self.saved))
        self.read.append(x.numel() if torch.is_grad_enabled() else 0)
        T = x.shape[1]
        with saved_tensors_hooks(self._keep, lambda saved: saved.x):
            h = torch.tanh((self.tokens[x] + self.positions[:T]).cumsum(1) / self.past[:T])
        return linear(h, self.weight, self.bias)

    def _keep(self, x):
        saved = Saved(x.detach())  # an output that held on to its own graph would outlive it
        if x.dim() == 3 and not in_backward():  # the result of tanh, and no index or divisor
            self.saved.append(weakref.ref(saved))
        return saved


def in_backward():
    return torch._C._current_graph_task_id() >= 0


def probe(case, train_step):
    """What the calls give and leave behind: steps, rates, norms, weights and losses.

    How the model was called and what still has a graph only this process can see. Where it matters for the result,
    the numbers that follow from it are handed over too.
    """
    model = Model(case)
    parts = map(nn.ParameterList, ([model.tokens], [model.weight, model.bias]))
    optimizer = optimizer_of(case, *parts, sgd=0.5, adamw=0.1)
    steps = noted(optimizer)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    if "left" in case:
        leave_gradients(model)
    taken, losses, graphs = [], [], []
    for micro_batches in _micro_batches(case):
        given, before = [*micro_batches], len(steps)
        loss = train_step(model, optimizer, schedule, micro_batches, case["clip"])
        if [*map(id, micro_batches)] != [*map(id, given)]:
            raise Wrong("the list of micro-batches is not what it was before the call")
        taken.append(len(steps) - before)
        losses.append(number(loss, "the mean loss of a target", model.bias).detach())
        graphs.append(isinstance(loss, torch.Tensor) and loss.requires_grad)
    like = {"dtype": model.bias.dtype, "device": case["x"].device}
    return {
        TAKEN: torch.tensor(taken, device=like["device"]),
        "rate of each step": torch.tensor([rate for _, rate in steps], **like),
        KEPT: torch.tensor(max(model.kept, default=0), device=like["device"]),
        MORE: torch.tensor(max(0, *model.read) - _largest(case) if model.read else 0, device=like["device"]).clamp_min(
            0
        ),
        NORMS: torch.tensor([norm for norm, _ in steps], **like),
        **{f"{name} afterwards": p.detach() for name, p in model.named_parameters()},
        RATE: torch.tensor([group["lr"] for group in optimizer.param_groups], **like),
        "mean loss of each call": torch.stack(losses),
        "the loss that is returned has a graph": torch.tensor(graphs, device=like["device"]),
        "training mode of the model": torch.tensor(model.training, device=like["device"]),
        "weights that require gradients": torch.tensor(
            [p.requires_grad for p in model.parameters()], device=like["device"]
        ),
    }


def _largest(case):
    """How many places the largest of all micro-batches has."""
    pairs = (zip(*step, strict=True) for step in zip(case["sizes"], case["widths"], strict=True))
    return max(B * T for step in pairs for B, T in step)


def _micro_batches(case):
    """For each step its list of (x, y), each cut to the width of its texts."""
    rows = 0
    for sizes, widths in zip(case["sizes"], case["widths"], strict=True):
        micro_batches = []
        for B, T in zip(sizes, widths, strict=True):
            micro_batches.append(tuple(case[name][rows : rows + B, :T] for name in ("x", "y")))
            rows += B
        yield micro_batches


def kept_said(found, right):
    return (
        f"the model runs again while {int(found)} earlier graphs are still in memory: call backward() for each "
        "micro-batch, and do not retain its graph"
    )


def more_said(found, right):
    return (
        "the model reads more places at once than the largest micro-batch has: each micro-batch is read by itself, for "
        "memory to hold no more"
    )


def taken_said(found, right):
    odd = next(int(n) for n in found if n != 1)
    return f"in one call the optimizer takes {odd} steps, expected 1"


def rate_said(found, right):
    return (
        f"the rate afterwards is {found[0].item():.4g}, expected {right[0].item():.4g}: the schedule takes one step in "
        "each call, after the optimizer's"
    )


def graph_said(found, right):
    return "the loss that is returned still has its graph: return a number (.item())"


EXERCISE = Exercise(
    id="gpt.train_step",
    title="Mend this code, a step from micro-batches",
    parts={"one step": 2, "clipping": 1, "several": 1},
    minutes=30,
    difficulty="core",
    importance=5,
    calls=("train_step(model, optimizer, schedule, micro_batches, clip)",),
    cases=cases,
    probe=probe,
    laws=(norms_are_clipped,),
    said={
        KEPT: kept_said,
        MORE: more_said,
        TAKEN: taken_said,
        RATE: rate_said,
        "the loss that is returned has a graph": graph_said,
    },
    # torch's clip_grad_norm_ adds 1e-6 to the norm, the equation does not: gradients differ by a millionth of a norm
    # near 1, and weights by what a few steps make of it.
    tolerance={torch.float32: (1e-5, 2e-5), torch.float64: (1e-5, 2e-5)},
)
