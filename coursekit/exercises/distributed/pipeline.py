"""one_f_one_b, run_stage, zero_bubble: the order in which a stage of a pipeline works, and the work itself."""

import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal
from coursekit.checking.laws import Count, as_measurements
from coursekit.checking.probing import Wrong, number, texts
from coursekit.checking.ranks import TOO_LITTLE, WATCHED
from coursekit.world import Deadlock, World
from coursekit.world.schedules import HALVES, WHOLE, most_alive, timetable

PLAN, GRADIENTS, ALIVE, ZERO = "the plan", "the gradients", "what is alive", "zero bubble"
OWN = "your own 1F1B"
# Inputs of cases in which something counts: what is kept, and how soon a plan ends. WATCHED is how work is done.
LIMITED, CLOCKED = "limited", "clocked"


def cases(g):
    double = torch.float64

    def planned(part, name, stages, m):
        given = {"call": name, "stages": stages, "m": m}
        return Case(part, f"stages={stages}, m={m}", given | counting(part))

    def run(part, widths, sizes, plans, note, dtype=torch.float32, tokens=0, again=()):
        """Stage s maps widths[s] numbers to widths[s + 1]; the first one reads ids of so many `tokens`, if any."""
        N, stages = sum(sizes), len(widths) - 1
        X = torch.randint(tokens, (N, 3), generator=g) if tokens else normal(g, N, widths[0], dtype=dtype)
        given = {"X": X, "T": normal(g, N, *([3] if tokens else []), widths[-1], dtype=dtype)}
        for s in range(stages):
            shape = (tokens, widths[1]) if tokens and not s else (widths[s + 1], widths[s])
            given[f"W{s}"] = normal(g, *shape, dtype=dtype)
            given[f"b{s}"] = normal(g, widths[s + 1], dtype=dtype)
        m, told = len(sizes), " ".join(map(str, sizes))
        words = [f"stages={stages}", f"m={m}", f"sizes {told}", note, dtype_name(dtype) if dtype == double else ""]
        plain = {"plans": plans, "sizes": list(sizes), "again": list(again), "tokens": tokens, "stages": stages, "m": m}
        label = ", ".join(filter(None, words))
        return Case(part, label, {"call": "run_stage"} | given | plain | counting(part))

    first, newest, turns = "all forward first", "all forward, newest first backward", "one at a time"
    return [
        *(planned(PLAN, "one_f_one_b", *sizes) for sizes in ((4, 6), (3, 3), (2, 17), (4, 2), (5, 1), (1, 3), (9, 12))),
        run(GRADIENTS, (3, 4, 3), (2, 2), all_forward(2, 2), first),
        run(GRADIENTS, (2, 3, 2), (2, 3, 1), all_forward(2, 3), first, dtype=double),
        run(GRADIENTS, (3, 4, 1), (4, 4, 1), all_forward(2, 3), "the last is smaller"),
        run(GRADIENTS, (2, 3, 2), (1, 2, 4), all_forward(2, 3, newest=True), newest),
        run(GRADIENTS, (3, 2), (3, 1, 2), in_turns(1, 3), turns, dtype=double),
        run(GRADIENTS, (2, 1, 3), (3,), in_turns(2, 1), turns),
        run(GRADIENTS, (1, 1, 2, 1), (1, 1), all_forward(3, 2), first, dtype=double),
        run(GRADIENTS, (2, 3, 2), (1, 3, 2), any_order(g, 2, 3), "any order"),
        run(GRADIENTS, (1, 3, 2), (2, 1), all_forward(2, 2), "token ids", tokens=5),
        run(GRADIENTS, (2, 3, 1), (1, 4), in_turns(2, 2), "two batches, one after another", again=(2, 1)),
        run(ALIVE, (2, 3, 2, 1), (1, 2, 1, 2), [], OWN),
        run(ALIVE, (2, 2), (2, 1, 2, 1), [], OWN, dtype=double),
        run(ALIVE, (2, 3, 2), (1, 2, 1), in_turns(2, 3), turns),
        run(ALIVE, (2, 3, 1), (1, 2, 1), any_order(g, 2, 3), "any order"),
        run(ALIVE, (2, 3, 2), (1, 2, 1), all_forward(2, 3), first),
        *(planned(ZERO, "zero_bubble", *sizes) for sizes in ((4, 7), (3, 4), (2, 2), (4, 2), (1, 3), (5, 6), (9, 12))),
    ]


def counting(part):
    return {LIMITED: part in (PLAN, ALIVE), CLOCKED: part == PLAN, WATCHED: part == ALIVE}


def all_forward(stages, m, newest=False):
    back = reversed(range(m)) if newest else range(m)
    return [" ".join([*(f"F{i}" for i in range(m)), *(f"B{i}" for i in back)])] * stages


def in_turns(stages, m):
    return [" ".join(f"F{i} B{i}" for i in range(m))] * stages


def any_order(g, stages, m):
    """Plans that go on to the end, in which micro-batches come in one order forward and in another one backward."""
    while True:
        forward, backward = (torch.randperm(m, generator=g).tolist() for _ in "FB")
        if forward != sorted(forward) and backward not in (forward, forward[::-1]):
            break
    done = [[0, 0] for _ in range(stages)]
    plans: list[list[str]] = [[] for _ in range(stages)]
    while sum(map(sum, done)) < 2 * stages * m:
        ready = []
        for s, (f, b) in enumerate(done):
            if f < (done[s - 1][0] if s else m):
                ready.append((s, 0, f"F{forward[f]}"))
            if b < (done[s + 1][1] if s + 1 < stages else m) and backward[b] in forward[:f]:
                ready.append((s, 1, f"B{backward[b]}"))
        s, kind, step = ready[int(torch.randint(len(ready), (), generator=g))]
        done[s][kind] += 1
        plans[s].append(step)
    return [" ".join(plan) for plan in plans]


def probe(case, one_f_one_b, run_stage, zero_bubble):
    stages, m = case["stages"], case["m"]
    if case["call"] == "one_f_one_b":
        return planned_1f1b(plans_of(one_f_one_b, stages, m, "FB"), m)
    if case["call"] == "zero_bubble":
        return planned_zero(plans_of(zero_bubble, stages, m, "FBW"), m)
    given = [[(step[0], int(step[1:])) for step in plan.split()] for plan in case["plans"]]
    if given:
        return worked(case, run_stage, given, [most_alive(plan) for plan in given])
    own = plans_of(one_f_one_b, stages, m, "FB")
    on_a_clock(own, WHOLE)
    return worked(case, run_stage, own, [min(stages - s, m) for s in range(stages)])


def plans_of(make, stages, m, kinds):
    """The learner's plans of all stages. Raises Wrong where one holds anything but steps."""
    plans = []
    for s in range(stages):
        plan = make(s, stages, m)
        if not isinstance(plan, list | tuple):
            raise Wrong(f"the plan of stage {s} is a {type(plan).__name__}, expected a list of steps")
        if odd := [step for step in plan if not is_step(step, kinds)]:
            steps = " or ".join(f"('{kind}', i)" for kind in kinds)
            raise Wrong(f"the plan of stage {s} has the step {str(odd[0])[:40]}, expected {steps}")
        plans.append([(kind, int(i)) for kind, i in plan])
        found, wanted = {*plans[-1]}, [(kind, i) for i in range(m) for kind in kinds]
        for kind, i in sorted(found.difference(wanted)):
            raise Wrong(f"the plan of stage {s} has the step {kind}{i}, and the micro-batches are 0 to {m - 1}")
        if missing := [f"{kind}{i}" for kind, i in wanted if (kind, i) not in found]:
            raise Wrong(f"the plan of stage {s} leaves out {missing[0]}")
    return plans


def is_step(step, kinds):
    return (
        isinstance(step, list | tuple)
        and len(step) == 2
        and step[0] in [*kinds]
        and hasattr(step[1], "__index__")
        and not isinstance(step[1], bool)
    )


def on_a_clock(plans, seconds):
    try:
        return timetable(plans, seconds)
    except Deadlock as error:
        raise Wrong(f"these plans never end: {error}") from error
    except ValueError as error:
        raise Wrong(f"these plans do not fit together: {error}") from error


def too_alive(alive, limits):
    """The measurements of the stage that keeps most above its limit."""
    over = [max(0.0, most - limit) for most, limit in zip(alive, limits, strict=True)]
    return {"over": max(over), "at": over.index(max(over))}


def planned_1f1b(plans, m):
    told, stages = on_a_clock(plans, WHOLE), len(plans)
    best = sum(WHOLE.values()) * (m + stages - 1)
    over = too_alive(told.alive, [min(stages - s, m) for s in range(stages)])
    return texts(lines_of(plans), "plan") | as_measurements({"late": told.makespan - best} | over)


def planned_zero(plans, m):
    """How long it takes and how much is kept; of plans that are not good enough also what they are, so that two of
    them are one mistake only where they are the same.
    """
    told, p = on_a_clock(plans, HALVES), len(plans)
    over = max(0.0, max(told.alive) - p)
    # The last stage cannot begin before p - 1. It has 3m to do, or 2m before its last B goes down to the first one's W.
    best = max(3 * m + p - 1, 2 * m + 2 * p - 1)
    return {
        "time": number(told.makespan, "time"),
        "kept": number(over, "kept"),
        **texts(lines_of(plans) if over or told.makespan > best else [], "plans"),
    }


def lines_of(plans):
    return [f"stage {s}: " + " ".join(f"{kind}{i}" for kind, i in plan) for s, plan in enumerate(plans)]


class Stage(nn.Module):
    """tanh(X W^T + b), or a table of rows for ids; it notes when it works, and what of a micro-batch is still there."""

    def __init__(self, W, b, first, reads_ids):
        super().__init__()
        self.W, self.b = nn.Parameter(W.clone()), nn.Parameter(b.clone())
        self.first, self.reads_ids, self.calls = first, reads_ids, 0
        self.register_forward_pre_hook(lambda *_: self.called())
        self.events, self.memory, self.read, self.most = [], [], [], 0

    def forward(self, X):
        k = len(self.memory)
        self.events.append(("F", k))
        self.most = max(self.most, 1 + sum(self.needed(j) or self.left(j) for j in range(k)))
        Z = nn.functional.embedding(X, self.W) + self.b if self.reads_ids else nn.functional.linear(X, self.W, self.b)
        Y = Z.tanh()
        if self.first:
            self.read.append(X.detach().clone())
        if Y.requires_grad:
            Y.register_hook(lambda _: self.went_back(k))
        # The caller holds the inputs of the first stage.
        self.memory.append([StorageWeakRef(x.untyped_storage()) for x in ((Y,) if self.first else (X, Y))])
        return Y

    def called(self):
        self.calls += 1

    def went_back(self, k):
        """One step may ask twice: for the input's gradient first, and then for the weights'."""
        if self.events[-1] != ("B", k):
            self.events.append(("B", k))

    def needed(self, k):
        return ("B", k) not in self.events

    def left(self, k):
        """Whether something is left after the backward pass: a name of the loop may hold the last one."""
        backward = [j for kind, j in self.events if kind == "B"]
        return k not in (len(self.memory) - 1, backward[-1]) and not all(ref.expired() for ref in self.memory[k])


def worked(case, run_stage, plans, limits):
    stages, m, X, T = case["stages"], case["m"], case["X"], case["T"]
    modules = [Stage(case[f"W{s}"], case[f"b{s}"], s == 0, bool(case["tokens"]) and s == 0) for s in range(stages)]
    batches = [(plans, X.split(case["sizes"]), T.split(case["sizes"]))]
    if case["again"]:  # with other sizes, and one at a time; and at rest
        modules[-1].eval()
        n = sum(case["again"])
        turns = [[(kind, i) for i in range(len(case["again"])) for kind in "FB"]] * stages
        batches.append((turns, X[-n:].split(case["again"]), T[-n:].split(case["again"])))
    world = World(stages, only=("send", "recv"))
    results = world.run(lambda comm, module: [one_batch(comm, run_stage, module, *batch) for batch in batches], modules)
    if any(x.requires_grad for _, inputs, _ in batches for x in inputs):
        raise Wrong("gradients of `inputs` are asked for: nobody needs them, and these are the caller's tensors")
    for s, returned in enumerate(results[:-1]):
        if any(value is not None for value in returned):
            raise Wrong(f"stage {s} returns a {type(returned[0]).__name__}, expected None: the last one knows the loss")
    losses = torch.stack([number(value, "the mean loss", T).detach() for value in results[-1]])
    found = {f"gradients of stage {s}": gradients(module, s) for s, module in enumerate(modules)}
    if not case[WATCHED]:
        return found | {"the mean loss": losses}
    steps = map(first_astray, modules, plans)
    step, stage = min(((step, s) for s, step in enumerate(steps) if step), default=(0, 0))
    more = max(len(module.memory) for module in modules) - m
    rows = X.shape[0] * (X.shape[1] if case["tokens"] else 1)
    travel = 2 * rows * sum(len(case[f"b{s}"]) for s in range(stages - 1))  # forward, and their gradients back
    sent = {"unread": world.unread, "all_sent": sum(m.numbers for m in world.messages), "least": travel}
    watched = sent | {"more_calls": more, "astray": step, "who": stage}
    over = too_alive([module.most for module in modules], limits)
    return found | {"the mean loss": losses} | as_measurements(watched | over, X.device)


def one_batch(comm, run_stage, module, plans, inputs, targets):
    """What `run_stage` returns. Raises Wrong where what it was given is no longer what it was."""

    def loss(Y, i):
        asked.append(i)
        return (Y - targets[i]).square().sum() / len(targets[i])

    plan, given, asked = list(plans[comm.rank]), list(inputs), []
    frozen, mode = [p.requires_grad for p in module.parameters()], module.training
    returned = run_stage(comm, module, plan, given, loss)
    if plan != plans[comm.rank] or len(given) != len(inputs) or any(map(lambda a, b: a is not b, given, inputs)):
        raise Wrong(f"on stage {comm.rank} the lists `plan` or `inputs` are others afterwards: they are the caller's")
    if comm.rank == comm.size - 1 and sorted(asked) != [*range(len(inputs))]:
        raise Wrong(
            f"the loss is asked for the micro-batches {told(asked)}: there are 0 to {len(inputs) - 1}, each once"
        )
    order = [i for kind, i in plan if kind == "F"]
    if (
        comm.rank == 0
        and len(module.read) == len(order)
        and (odd := [i for X, i in zip(module.read, order, strict=False) if not same(X, inputs[i])])
    ):
        raise Wrong(f"at F{odd[0]} of its plan the first stage reads another micro-batch than inputs[{odd[0]}]")
    module.read.clear()
    if frozen != [p.requires_grad for p in module.parameters()]:
        raise Wrong(f"stage {comm.rank} changes which weights of its module can learn: that is for its user to choose")
    if module.training != mode:
        raise Wrong(f"stage {comm.rank} switches its module to another mode (train or eval): that is for its user")
    if module.calls < len(module.memory):
        raise Wrong(f"stage {comm.rank} calls its module's forward: call the module itself, or hooks are passed by")
    return returned


def same(X, given):
    return X.shape == given.shape and torch.equal(X, given)


def told(numbers):
    return ", ".join(map(str, numbers[:12])) or "none"


def gradients(module, s):
    if missing := [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None]:
        raise Wrong(f"the weights of stage {s} have no gradient afterwards ({', '.join(missing)} of its module)")
    return torch.cat([p.grad.flatten() for p in module.parameters() if p.requires_grad])


def first_astray(module, plan):
    """The first step, from 1, in which a stage did not do what its plan says; 0 where it did all of it."""
    order = [i for kind, i in plan if kind == "F"]
    done = [(kind, order[k]) if k < len(order) else None for kind, k in module.events]
    pairs = zip([*done, None], [*plan, None], strict=False)
    return next((n for n, (one, other) in enumerate(pairs, 1) if one != other), 0)


def time_said(found, right):
    return f"all stages end after {found.item():g} units of time, and {right.item():g} are enough"


def kept_said(found, right):
    return f"a stage keeps more micro-batches from F to W than there are stages: {found.item():g} too many"


def is_none(name, says, when, of=""):
    """The measurement `name` is 0 at most. Two answers are alike that break it alike, for the same `of`."""
    return Count(name, says, when, lambda n, of, p: n > 0, lambda one, other: one == other, of)


EXERCISE = Exercise(
    id="distributed.pipeline",
    title="One forward, one backward",
    parts={PLAN: 1, GRADIENTS: 1, ALIVE: 1, ZERO: 1},
    minutes=75,
    difficulty="challenge",
    importance=5,
    calls=(
        "one_f_one_b(stage, stages, m) -> plan: texts",
        "run_stage(comm, module, plan, inputs, loss)",
        "zero_bubble(stage, stages, m)",
    ),
    cases=cases,
    probe=probe,
    laws=(
        TOO_LITTLE,
        is_none("unread", "{n:.0f} messages were sent that nobody received", WATCHED),
        is_none(
            "more_calls", "a stage calls its module {n:.0f} times more often than there are micro-batches", WATCHED
        ),
        is_none(
            "astray", "stage {of:.0f} leaves its plan: its step {n:.0f} is another one, or missing", WATCHED, "who"
        ),
        is_none(
            "over", "stage {of:.0f} keeps more micro-batches at a time than it has to: {n:.0f} too many", LIMITED, "at"
        ),
        is_none("late", "all stages end {n:g} units of time later than they could (F takes 1, B takes 2)", CLOCKED),
    ),
    said={"time": time_said, "kept": kept_said},
    ordered=False,
)
