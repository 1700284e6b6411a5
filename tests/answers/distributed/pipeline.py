"""Answers to distributed.pipeline."""

import copy

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "distributed.pipeline",
    spared={
        "dependence": "nothing is drawn",
        "far": "nothing here overflows or cancels: shares of losses are added",
    },
)
wrong = ANSWERS.wrong
PLAN, RUN, ZERO = 0, 1, 2


# The plan.


def one_f_one_b(stage, stages, m, *, ahead=lambda stage, stages: stages - stage - 1):
    """A right answer, of which a part is replaced."""
    w = min(ahead(stage, stages), m)
    steps = [("F", i) for i in range(w)]
    for i in range(m - w):
        steps += [("F", w + i), ("B", i)]
    return steps + [("B", i) for i in range(m - w, m)]


@wrong("plain", "as GPipe: all forward passes, then all backward ones", true="all_forward_first", at=PLAN)
def all_forward_first(stage, stages, m):
    return [("F", i) for i in range(m)] + [("B", i) for i in range(m)]


@wrong("plain", "one forward pass more at the beginning", true="one_more", at=PLAN)
def one_more_ahead(stage, stages, m):
    return one_f_one_b(stage, stages, m, ahead=lambda stage, stages: stages - stage)


@wrong("plain", "as many ahead as there are stages before, not behind", true="from_the_wrong_end", at=PLAN)
def counted_from_the_front(stage, stages, m):
    return one_f_one_b(stage, stages, m, ahead=lambda stage, stages: stage)


@wrong(
    "plain",
    "none ahead: one forward, one backward, from the beginning",
    told=r"all stages end 45 units of time later than they could",
    at=PLAN,
)
def one_at_a_time(stage, stages, m):
    return one_f_one_b(stage, stages, m, ahead=lambda stage, stages: 0)


@wrong(
    "plain",
    "as many ahead on each stage",
    told=r"stage 3 keeps more micro-batches at a time than it has to: 3 too many",
    at=PLAN,
)
def as_many_ahead_everywhere(stage, stages, m):
    return one_f_one_b(stage, stages, m, ahead=lambda stage, stages: stages - 1)


@wrong(
    "plain",
    "backward comes first in each turn",
    told=r"stage 3 cannot do B0, since its own F0 comes later in its plan",
    at=PLAN,
)
def backward_before_forward(stage, stages, m):
    w = min(stages - stage - 1, m)
    steps = [("F", i) for i in range(w)]
    for i in range(m - w):
        steps += [("B", i), ("F", w + i)]
    return steps + [("B", i) for i in range(m - w, m)]


@wrong("plain", "the backward passes that are left are left out", true="last_ones_lost", at=PLAN)
def without_an_end(stage, stages, m):
    return one_f_one_b(stage, stages, m)[: 2 * m - min(stages - stage - 1, m)]


@wrong("plain", "the newest one goes back first", true="newest_first", at=PLAN)
def newest_first(stage, stages, m):
    steps, waiting = [], []
    for kind, i in one_f_one_b(stage, stages, m):
        if kind == "F":
            waiting.append(i)
            steps.append((kind, i))
        else:
            steps.append((kind, waiting.pop()))
    return steps


@wrong(
    "named",
    "fewer micro-batches than stages: some that are not there go forward",
    true="not_capped",
    told=r"has the step F2, and the micro-batches are 0 to 1",
    at=PLAN,
)
def more_than_there_are(stage, stages, m):
    w = stages - stage - 1
    steps = [("F", i) for i in range(w)]
    for i in range(m - w):
        steps += [("F", w + i), ("B", i)]
    return steps + [("B", i) for i in range(max(m - w, 0), m)]


@wrong("plain", "strings", told=r"has the step F0, expected \('F', i\) or \('B', i\)", at=PLAN)
def as_strings(stage, stages, m):
    return [f"{kind}{i}" for kind, i in one_f_one_b(stage, stages, m)]


@wrong("plain", "numbers from 1", told=r"has the step B6, and the micro-batches are 0 to 5", at=PLAN)
def from_one(stage, stages, m):
    return [(kind, i + 1) for kind, i in one_f_one_b(stage, stages, m)]


@wrong("large", "sorted as text, where 10 comes before 2", told=r"F1 B0 F10 B1 F11", at=PLAN)
def sorted_as_text(stage, stages, m):
    order = {kind: iter(sorted(range(m), key=str)) for kind in "FB"}
    return [(kind, next(order[kind])) for kind, _ in one_f_one_b(stage, stages, m)]


@wrong(
    "ones",
    "a pipeline of one stage has no backward passes",
    told=r"stages=1, m=3: the plan of stage 0 leaves out B0",
    advice=r"right where stages is more than 1, wrong where it is 1",
    at=PLAN,
)
def one_stage_goes_forward(stage, stages, m):
    return one_f_one_b(stage, stages, m) if stages > 1 else [("F", i) for i in range(m)]


ALL_STEPS = []


@wrong("again", "one list for all calls", told=r"stage 1 does F0 twice", at=PLAN)
def one_list(stage, stages, m):
    ALL_STEPS.extend(one_f_one_b(stage, stages, m))
    return ALL_STEPS


@wrong("large", "seven at most ahead", at=PLAN, told="later than they could")
def seven_ahead(stage, stages, m):
    return one_f_one_b(stage, stages, m, ahead=lambda stage, stages: min(stages - stage - 1, 7))


# The zero bubble.


def zero_bubble(stage, stages, m, *, plan=one_f_one_b, later=lambda stage, stages: stage):
    """A right answer, of which a part is replaced."""
    steps, done, late = [], 0, later(stage, stages)
    for kind, i in plan(stage, stages, m):
        steps.append((kind, i))
        if kind == "B" and i >= late:
            steps.append(("W", i - late))
            done = i - late + 1
    return steps + [("W", i) for i in range(done, m)]


@wrong("plain", "W comes right behind its B, which is 1F1B again", true="weights_at_once", at=ZERO)
def weights_at_once(stage, stages, m):
    return zero_bubble(stage, stages, m, later=lambda stage, stages: 0)


@wrong("plain", "all W at the end: all micro-batches are kept", true="weights_at_the_end", at=ZERO)
def weights_at_the_end(stage, stages, m):
    return zero_bubble(stage, stages, m, later=lambda stage, stages: m)


@wrong(
    "plain",
    "the first stage puts most off, not the last one",
    told=r"all stages end after 30 units of time, and 24 are enough",
    at=ZERO,
)
def the_first_puts_off(stage, stages, m):
    return zero_bubble(stage, stages, m, later=lambda stage, stages: stages - stage - 1)


@wrong(
    "plain",
    "one B more before a W",
    told=r"keeps more micro-batches from F to W than there are stages: 1 too many",
    at=ZERO,
)
def one_later(stage, stages, m):
    return zero_bubble(stage, stages, m, later=lambda stage, stages: stage + 1)


@wrong("plain", "one B fewer before a W", told=r"all stages end after 25 units of time, and 24 are enough", at=ZERO)
def one_sooner(stage, stages, m):
    return zero_bubble(stage, stages, m, later=lambda stage, stages: max(stage - 1, 0))


@wrong("plain", "1F1B, as it was: no W", told=r"leaves out W0", at=ZERO)
def no_weights(stage, stages, m):
    return one_f_one_b(stage, stages, m)


@wrong("plain", "the W that are left are left out", told=r"leaves out W6", at=ZERO)
def no_last_weights(stage, stages, m):
    steps = zero_bubble(stage, stages, m)
    return steps[: len(steps) - min(stage, m)]


@wrong("plain", "W stands before its B", true="weights_first", at=ZERO)
def weights_first(stage, stages, m):
    return [s for kind, i in one_f_one_b(stage, stages, m) for s in ([("W", i)] if kind == "B" else []) + [(kind, i)]]


@wrong(
    "plain",
    "all forward passes, all B, all W",
    told=r"all stages end after 27 units of time, and 24 are enough",
    at=ZERO,
)
def three_sweeps(stage, stages, m):
    return [(kind, i) for kind in "FBW" for i in range(m)]


@wrong(
    "named",
    "only right where there are more micro-batches than stages",
    told=r"stages=2, m=2: all stages end after 8 units of time, and 7 are enough",
    at=ZERO,
)
def for_many_micro_batches(stage, stages, m):
    return zero_bubble(stage, stages, m, later=lambda stage, stages: stage if m > stages else 0)


@wrong(
    "large",
    "W is put off by two at most",
    told=r"stages=5, m=6: all stages end after 24 units of time, and 22 are enough",
    at=ZERO,
)
def two_at_most(stage, stages, m):
    return zero_bubble(stage, stages, m, later=lambda stage, stages: min(stage, 2))


@wrong("large", "W is put off by five at most: right to six stages", at=ZERO, told="are enough")
def five_at_most(stage, stages, m):
    return zero_bubble(stage, stages, m, later=lambda stage, stages: min(stage, 5))


@wrong(
    "onward",
    "the first W is put off, and then two come at once until none is put off",
    told=r"all stages end after 27 units of time, and 24 are enough",
    at=ZERO,
)
def caught_up(stage, stages, m):
    steps, waiting = [], []
    for kind, i in one_f_one_b(stage, stages, m):
        steps.append((kind, i))
        if kind == "B":
            waiting.append(i)
            if i >= stage:
                steps += [("W", waiting.pop(0)) for _ in range(min(2, len(waiting)))]
    return steps + [("W", i) for i in waiting]


def played(stages, m, order):
    """The plans of stages that do at each time the first step of `order` that they can."""
    plans, f, b, w = [[] for _ in range(stages)], [0] * stages, [0] * stages, [0] * stages
    counts = {"F": f, "B": b, "W": w}
    while any(done < m for done in w):
        now = []
        for s in range(stages):
            can = {
                "F": f[s] < (f[s - 1] if s else m) and f[s] - w[s] < stages and f[s] - b[s] < 2 * (stages - s) - 1,
                "B": b[s] < min(f[s], b[s + 1] if s + 1 < stages else m),
                "W": w[s] < b[s],
            }
            now.append(next((kind for kind in order if can[kind]), ""))
        for s, kind in enumerate(now):
            if kind:
                plans[s].append((kind, counts[kind][s]))
                counts[kind][s] += 1
    return plans


@wrong(
    "plain",
    "whoever can do a B does it, before an F",
    told=r"all stages end after 25 units of time, and 24 are enough",
    at=ZERO,
)
def backward_if_it_can(stage, stages, m):
    return played(stages, m, "BFW")[stage]


# The work.


class Run:
    """A right answer, of which a method is replaced."""

    def __init__(self, comm, module, plan, inputs, loss):
        self.comm, self.module, self.plan, self.inputs, self.loss = comm, module, plan, inputs, loss
        self.first, self.last = comm.rank == 0, comm.rank == comm.size - 1
        self.kept, self.mean = {}, 0.0

    def run(self):
        self.begin()
        for kind, i in self.steps():
            self.forward(i) if kind == "F" else self.backward(i)
        return self.end()

    def begin(self):
        pass

    def steps(self):
        return self.plan

    def share(self, i):
        return len(self.inputs[i]) / sum(map(len, self.inputs))

    def before(self, i):
        return self.inputs[i] if self.first else self.comm.recv(self.comm.rank - 1).requires_grad_()

    def call(self, X):
        return self.module(X)

    def weighed(self, Y, i):
        L = self.loss(Y, i) * self.share(i)
        self.add(L.detach())
        return L

    def add(self, L):
        self.mean = self.mean + L

    def forward(self, i):
        X = self.before(i)
        Y = self.call(X)
        if not self.last:
            self.comm.send(Y, self.comm.rank + 1)
        self.keep(i, X, self.weighed(Y, i) if self.last else Y)

    def keep(self, i, X, Y):
        self.kept[i] = X, Y

    def take(self, i):
        return self.kept.pop(i)

    def go_back(self, Y):
        Y.backward(None if self.last else self.comm.recv(self.comm.rank + 1))

    def backward(self, i):
        X, Y = self.take(i)
        self.go_back(Y)
        if not self.first:
            self.comm.send(X.grad, self.comm.rank - 1)

    def end(self):
        return self.mean if self.last else None


def work(cls):
    """The function of a class that does a call's work."""

    def run_stage(comm, module, plan, inputs, loss):
        return cls(comm, module, plan, inputs, loss).run()

    run_stage.__name__ = cls.__name__
    return run_stage


@wrong("plain", "each micro-batch counts alike, whatever its size", true="EqualShares", at=RUN)
@work
class MeanOfMeans(Run):
    def share(self, i):
        return 1 / len(self.inputs)


@wrong("plain", "the sum of the micro-batches' means", true="Summed", at=RUN)
@work
class SumOfMeans(Run):
    def share(self, i):
        return 1.0


@wrong("plain", "the gradients are those of the mean of means, and the loss is right", at=RUN)
@work
class GradientsAlike(Run):
    def weighed(self, Y, i):
        L = self.loss(Y, i)
        self.add(L.detach() * self.share(i))
        return L / len(self.inputs)


@wrong("plain", "the gradients are right, and the loss is the mean of means", true="PlainMeanReturned", at=RUN)
@work
class LossAlike(Run):
    def weighed(self, Y, i):
        L = self.loss(Y, i)
        self.add(L.detach() / len(self.inputs))
        return L * self.share(i)


@wrong("plain", "each stage weighs the gradients again", at=RUN)
@work
class WeighedByEach(Run):
    def backward(self, i):
        X, Y = self.take(i)
        Y.backward(None if self.last else self.comm.recv(self.comm.rank + 1) * self.share(i))
        if not self.first:
            self.comm.send(X.grad, self.comm.rank - 1)


@wrong("plain", "a share of the examples so far, and not of all", at=RUN)
@work
class OfThoseSoFar(Run):
    seen = 0

    def share(self, i):
        self.seen += len(self.inputs[i])
        return len(self.inputs[i]) / self.seen


@wrong("named", "as if all micro-batches were as large as the first one", advice="1.5 times", at=RUN)
@work
class AsLargeAsTheFirst(Run):
    def share(self, i):
        return len(self.inputs[i]) / (len(self.inputs) * len(self.inputs[0]))


@wrong("plain", "the loss of the last micro-batch", at=RUN)
@work
class LastLoss(Run):
    def weighed(self, Y, i):
        L = self.loss(Y, i)
        self.mean = L.detach()
        return L * self.share(i)


@wrong("plain", "no requires_grad_ on what is received: X.grad is None", true="NoGradientOfTheInput", at=RUN)
@work
class NoGradient(Run):
    def before(self, i):
        return self.inputs[i] if self.first else self.comm.recv(self.comm.rank - 1)


@wrong("plain", "the first stage sends its gradient as well", told=r"rank 0 names rank -1", at=RUN)
@work
class FirstSendsToo(Run):
    def backward(self, i):
        X, Y = self.take(i)
        self.go_back(Y)
        self.comm.send(X.grad if X.grad is not None else X, self.comm.rank - 1)


@wrong(
    "plain",
    "every stage returns a loss, and those before the last 0",
    told=r"stage 0 returns a Tensor, expected None",
    at=RUN,
)
@work
class AllReturn(Run):
    def end(self):
        return torch.as_tensor(self.mean)


@wrong("plain", "the last one returns nothing", told=r"it returned None .*expected one number: the mean loss", at=RUN)
@work
class NoneReturns(Run):
    def end(self):
        return None


@wrong("plain", "the oldest one goes back, whichever the plan names", true="OldestFirst", at=RUN)
@work
class OldestBack(Run):
    def take(self, i):
        return self.kept.pop(next(iter(self.kept)))


@wrong("plain", "the newest one goes back, whichever the plan names", at=RUN)
@work
class NewestBack(Run):
    def take(self, i):
        return self.kept.pop(next(reversed(self.kept)))


@wrong("named", "the k-th F is micro-batch k", true="CountsInputs", at=RUN)
@work
class CountedForward(Run):
    def begin(self):
        self.next, self.number = 0, {}

    def forward(self, i):
        self.number[i] = self.next
        self.next += 1
        super().forward(self.number[i])

    def take(self, i):
        return self.kept.pop(self.number[i])


@wrong("named", "the loss is asked for the number of the step, and inputs are right", at=RUN)
@work
class CountedLoss(Run):
    asked = 0

    def weighed(self, Y, i):
        self.asked += 1
        return super().weighed(Y, self.asked - 1)


@wrong(
    "plain",
    "all forward passes come first, whatever the plan says",
    told=r"stage 2 leaves its plan: its step 2",
    at=RUN,
)
@work
class ForwardFirst(Run):
    def steps(self):
        return sorted(self.plan, key=lambda step: step[0] == "B")


@wrong(
    "plain",
    "the last stage goes back once, from the sum of the losses",
    told=r"Deadlock: rank 0 waits for a message from rank 1",
    at=RUN,
)
@work
class OnceFromTheSum(Run):
    def begin(self):
        self.waiting, self.whole = [], 0.0

    def go_back(self, Y):
        if not self.last:
            return super().go_back(Y)
        self.whole = self.whole + Y
        return None

    def backward(self, i):
        if not self.last:
            return super().backward(i)
        X, Y = self.take(i)
        self.go_back(Y)
        self.waiting.append(X)
        if len(self.waiting) == len(self.inputs):
            self.whole.backward()
            for X in self.waiting:
                if not self.first:
                    self.comm.send(X.grad, self.comm.rank - 1)
        return None


@wrong(
    "plain",
    "messages are read before the first step",
    told=r"Deadlock: rank 0 waits for a message from rank 1; rank 1 waits",
    at=RUN,
)
@work
class ReadsAllFirst(Run):
    def begin(self):
        order = [i for kind, i in self.plan if kind == "F"]
        self.came = {} if self.first else {i: self.comm.recv(self.comm.rank - 1) for i in order}

    def before(self, i):
        return self.inputs[i] if self.first else self.came[i].requires_grad_()


@wrong(
    "plain",
    "gradients are sent when all is done",
    told=r"Deadlock: rank 0 waits for a message from rank 1; rank 1 waits",
    at=RUN,
)
@work
class SendsAtTheEnd(Run):
    def begin(self):
        self.late = []

    def backward(self, i):
        X, Y = self.take(i)
        self.go_back(Y)
        self.late.append(X.grad)

    def end(self):
        for grad in self.late if not self.first else ():
            self.comm.send(grad, self.comm.rank - 1)
        return super().end()


@wrong(
    "plain",
    "the last stage tells the first one the loss, which nobody reads",
    told=r"1 messages? (was|were) sent that nobody received",
    at=RUN,
)
@work
class TellsTheLoss(Run):
    def end(self):
        if self.last and not self.first:
            self.comm.send(self.mean, 0)
        return super().end()


@wrong("plain", "nothing is forgotten", true="KeepsEverything", at=RUN)
@work
class KeepsAll(Run):
    def take(self, i):
        return self.kept[i]


@wrong("plain", "outputs are forgotten, and what was received is not", true="KeepsEverything", at=RUN)
@work
class KeepsWhatCame(Run):
    def begin(self):
        self.all = []

    def before(self, i):
        self.all.append(super().before(i))
        return self.all[-1]


@wrong(
    "plain",
    "the last stage keeps its outputs for later",
    told=r"keeps more micro-batches at a time than it has to",
    at=RUN,
)
@work
class KeepsResults(Run):
    def begin(self):
        self.results = []

    def weighed(self, Y, i):
        self.results.append(Y.detach())
        return super().weighed(Y, i)


@wrong(
    "plain",
    "the graph is retained by the sum of the losses",
    true="KeepsEverything",
    told=r"keeps more micro-batches at a time than it has to",
    at=RUN,
)
@work
class RetainsTheGraph(Run):
    def weighed(self, Y, i):
        L = self.loss(Y, i) * self.share(i)
        self.add(L)
        return L

    def go_back(self, Y):
        Y.backward(None if self.last else self.comm.recv(self.comm.rank + 1), retain_graph=True)


@wrong("plain", "the sum of the losses has its graph, which ends in what was received", true="KeepsEverything", at=RUN)
@work
class SumWithItsGraph(Run):
    def weighed(self, Y, i):
        L = self.loss(Y, i) * self.share(i)
        self.add(L)
        return L


@wrong("plain", "nothing is kept, and the module is called again for B", true="Recomputes", at=RUN)
@work
class CallsAgain(Run):
    def forward(self, i):
        with torch.no_grad():
            X = self.before(i).detach()
            Y = self.call(X)
        if not self.last:
            self.comm.send(Y, self.comm.rank + 1)
        self.kept[i] = X

    def backward(self, i):
        X = self.kept.pop(i)
        if not self.first:
            X.requires_grad_()
        Y = self.call(X)
        self.go_back(self.weighed(Y, i) if self.last else Y)
        if not self.first:
            self.comm.send(X.grad, self.comm.rank - 1)


@wrong(
    "unwatched",
    "module.forward: whoever has put a hook on the module is passed by",
    at=RUN,
    told="calls its module's forward",
)
@work
class PastTheHooks(Run):
    def call(self, X):
        return self.module.forward(X)


LETTERS = {}


@wrong(
    "unwatched",
    "tensors lie in a box that all ranks see, and messages only say when",
    at=RUN,
    told="nobody can know the result",
)
@work
class Letterbox(Run):
    def put(self, x, to):
        LETTERS.setdefault((self.comm.rank, to), []).append(x.detach())
        self.comm.send(torch.zeros(1), to)

    def get(self, source):
        self.comm.recv(source)
        return LETTERS[source, self.comm.rank].pop(0).clone()

    def before(self, i):
        return self.inputs[i] if self.first else self.get(self.comm.rank - 1).requires_grad_()

    def forward(self, i):
        X = self.before(i)
        Y = self.call(X)
        if not self.last:
            self.put(Y, self.comm.rank + 1)
        self.keep(i, X, self.weighed(Y, i) if self.last else Y)

    def backward(self, i):
        X, Y = self.take(i)
        Y.backward(None if self.last else self.get(self.comm.rank + 1))
        if not self.first:
            self.put(X.grad, self.comm.rank - 1)


@wrong(
    "unwatched",
    "comm.split gives a group, whose send and recv are used",
    told=r"comm.split is called, and this is to be made of send and recv",
    at=RUN,
)
@work
class InAGroup(Run):
    def begin(self):
        self.comm = self.comm.split(range(self.comm.size))


@wrong(
    "given",
    "steps are taken out of the caller's plan",
    told=r"the lists `plan` or `inputs` are others afterwards",
    at=RUN,
)
@work
class TakesOutOfThePlan(Run):
    def steps(self):
        while self.plan:
            yield self.plan.pop(0)


@wrong(
    "given",
    "inputs are forgotten in the caller's list",
    told=r"the lists `plan` or `inputs` are others afterwards",
    at=RUN,
)
@work
class ForgetsInputs(Run):
    def begin(self):
        self.shares = [super(type(self), self).share(i) for i in range(len(self.inputs))]

    def share(self, i):
        return self.shares[i]

    def take(self, i):
        self.inputs[i] = None
        return super().take(i)


@wrong("given", "a gradient is asked for in the caller's inputs", told=r"gradients of `inputs` are asked for", at=RUN)
@work
class AsksForInputs(Run):
    def before(self, i):
        X = super().before(i)
        return X.requires_grad_() if X.is_floating_point() else X


@wrong("given", "the module is put into training mode, whichever it was in", at=RUN, told="switches its module")
@work
class Trains(Run):
    def begin(self):
        self.module.train()


@wrong("given", "the module is put into evaluation mode", told="switches its module", at=RUN)
@work
class Evaluates(Run):
    def begin(self):
        self.module.eval()


@wrong(
    "given",
    "a copy of the module does the work, and its gradients are handed over",
    told=r"stage 0 leaves its plan: its step 1 is another one, or missing",
    at=RUN,
)
@work
class WorksOnACopy(Run):
    def begin(self):
        self.theirs, self.module = self.module, copy.deepcopy(self.module)
        self.module.zero_grad()

    def end(self):
        for p, mine in zip(self.theirs.parameters(), self.module.parameters(), strict=True):
            p.grad = mine.grad if p.grad is None else p.grad + mine.grad
        return super().end()


@wrong("onward", "gradients are emptied at the beginning, where they are to be added to", true="BeginsAnew", at=RUN)
@work
class Empties(Run):
    def begin(self):
        self.module.zero_grad()


@wrong("onward", "sums are divided by the number of examples at the end, earlier gradients too", at=RUN)
@work
class DividesAtTheEnd(Run):
    def share(self, i):
        return len(self.inputs[i])

    def end(self):
        n = sum(map(len, self.inputs))
        for p in self.module.parameters():
            p.grad /= n
        return self.mean / n if self.last else None


@wrong("onward", "p.grad is written by each micro-batch, and not added to", at=RUN)
@work
class Overwrites(Run):
    def go_back(self, Y):
        for p in self.module.parameters():
            p.grad = None
        super().go_back(Y)


TOTALS = {}


@wrong("again", "the loss goes on from the last call's", at=RUN)
@work
class GoesOnAdding(Run):
    def add(self, L):
        self.mean = TOTALS[self.comm.rank] = TOTALS.get(self.comm.rank, 0.0) + L


SIZES = {}


@wrong("again", "the number of examples is that of the module's first call", at=RUN)
@work
class CountsOnce(Run):
    def share(self, i):
        if not hasattr(self.module, "examples"):
            self.module.examples = sum(map(len, self.inputs))
        return len(self.inputs[i]) / self.module.examples


KEPT = {}


@wrong("again", "one dictionary for all ranks", at=RUN)
@work
class OneDictionary(Run):
    def begin(self):
        self.kept = KEPT


@wrong("again", "a hook that sends the output is left on the module, and sends twice at the second call", at=RUN)
@work
class LeavesAHook(Run):
    def begin(self):
        if not self.last:
            self.module.register_forward_hook(lambda module, X, Y: self.comm.send(Y, self.comm.rank + 1))

    def forward(self, i):
        X = self.before(i)
        Y = self.call(X)
        self.keep(i, X, self.weighed(Y, i) if self.last else Y)


@wrong(
    "ones",
    "a stage is the first one, or else the last one: alone it has no loss",
    told="micro-batches none",
    at=RUN,
)
@work
class FirstOrLast(Run):
    def __init__(self, *given):
        super().__init__(*given)
        self.last = self.last and not self.first

    def forward(self, i):
        X = self.before(i)
        Y = self.call(X)
        if self.comm.size > 1 and not self.last:
            self.comm.send(Y, self.comm.rank + 1)
        self.keep(i, X, self.weighed(Y, i) if self.last else Y)

    def go_back(self, Y):
        if self.comm.size > 1:
            super().go_back(Y)


@wrong(
    "ones",
    "dimensions of size 1 are lost on the way",
    told=r"grad_output\[0\] has a shape of torch.Size\(\[3\]\) and output\[0\] has a shape of torch.Size\(\[1, 3\]\)",
    at=RUN,
)
@work
class Squeezes(Run):
    def before(self, i):
        return self.inputs[i] if self.first else self.comm.recv(self.comm.rank - 1).squeeze().requires_grad_()


@wrong(
    "named",
    "token ids are asked for a gradient",
    told=r"only Tensors of floating point dtype can require gradients",
    at=RUN,
)
@work
class GradientOfIds(Run):
    def before(self, i):
        return super().before(i).detach().clone().requires_grad_()


@wrong("named", "token ids become numbers", told=r"Expected tensor for argument #1 'indices'", at=RUN)
@work
class IdsAsNumbers(Run):
    def before(self, i):
        X = super().before(i)
        return X if X.is_floating_point() else X.float()


@wrong("named", "what is received is float32", told=r"two tensors of different dtypes meet", at=RUN)
@work
class ReceivesFloat32(Run):
    def before(self, i):
        return self.inputs[i] if self.first else self.comm.recv(self.comm.rank - 1).float().requires_grad_()


@wrong(
    "named",
    "an example has as many tokens as its row: a share of tokens of the output, of rows of the input",
    at=RUN,
    told="3 times",
)
@work
class TokensAmongRows(Run):
    def weighed(self, Y, i):
        L = self.loss(Y, i) * (Y[..., 0].numel() / sum(map(len, self.inputs)))
        self.add(L.detach())
        return L


@wrong(
    "surroundings",
    "gradients are switched off for good, in the rank that calls it",
    told="gradients are switched on or off",
    at=RUN,
)
@work
class SwitchesOff(Run):
    def end(self):
        torch.set_grad_enabled(False)
        return super().end()


@wrong("surroundings", "float64 is torch's default dtype from then on", told=r"changes torch's default dtype", at=RUN)
@work
class AnotherDefault(Run):
    def begin(self):
        torch.set_default_dtype(torch.float64)


# Unusual, and right.


@ANSWERS.right_at(RUN)
@work
class InputFirst(Run):
    """B in two halves: the stage before gets its gradient before this one's weights have theirs."""

    def backward(self, i):
        X, Y = self.take(i)
        g = None if self.last else self.comm.recv(self.comm.rank + 1)
        if not self.first:
            self.comm.send(torch.autograd.grad(Y, X, g, retain_graph=True)[0], self.comm.rank - 1)
        weights = [p for p in self.module.parameters() if p.requires_grad]
        for p, grad in zip(weights, torch.autograd.grad(Y, weights, g), strict=True):
            p.grad = grad if p.grad is None else p.grad + grad


@ANSWERS.right_at(RUN)
@work
class AllAtOnce(Run):
    """autograd.grad, added by hand."""

    def backward(self, i):
        X, Y = self.take(i)
        weights = [p for p in self.module.parameters() if p.requires_grad]
        wanted = weights if self.first else [X, *weights]
        g = None if self.last else self.comm.recv(self.comm.rank + 1)
        grads = list(torch.autograd.grad(Y, wanted, g))
        if not self.first:
            self.comm.send(grads.pop(0), self.comm.rank - 1)
        for p, grad in zip(weights, grads, strict=True):
            p.grad = grad if p.grad is None else p.grad.add_(grad)


@ANSWERS.right_at(RUN)
@work
class SentByAHook(Run):
    """The gradient of X goes off in the midst of the backward pass; so does the sum over numbers that begins it."""

    def before(self, i):
        X = super().before(i)
        if not self.first:
            X.register_hook(lambda g: self.comm.send(g, self.comm.rank - 1))
        return X

    def backward(self, i):
        Y = self.take(i)[1]
        if not self.last:
            Y = (Y * self.comm.recv(self.comm.rank + 1)).sum()
        Y.backward()


@ANSWERS.right_at(RUN)
@work
class LossAtB(Run):
    """The last stage keeps Y, and asks for the loss when its B comes; a Python number is returned."""

    def forward(self, i):
        X = self.before(i)
        Y = self.call(X)
        if not self.last:
            self.comm.send(Y.detach(), self.comm.rank + 1)
        self.keep(i, X, Y)

    def go_back(self, Y):
        super().go_back(self.weighed(Y, self.at) if self.last else Y)

    def backward(self, i):
        self.at = i
        super().backward(i)

    def end(self):
        return float(self.mean) if self.last else None


@ANSWERS.right_at(RUN)
@work
class Numbered(Run):
    """Each message is followed by its number, and a share is of the loss's gradient, not of the loss."""

    def weighed(self, Y, i):
        L = self.loss(Y, i)
        self.add(L.item() * len(self.inputs[i]))
        self.at = i
        return L

    def forward(self, i):
        super().forward(i)
        if not self.last:
            self.comm.send(torch.tensor(i), self.comm.rank + 1)

    def before(self, i):
        X = super().before(i)
        if not self.first:
            assert self.comm.recv(self.comm.rank - 1) == i
        return X

    def backward(self, i):
        X, Y = self.take(i)
        torch.autograd.backward(
            [Y], [torch.full_like(Y, self.share(i)) if self.last else self.comm.recv(self.comm.rank + 1)]
        )
        if not self.first:
            self.comm.send(X.grad, self.comm.rank - 1)

    def end(self):
        return torch.tensor(self.mean / sum(map(len, self.inputs)), dtype=torch.float64) if self.last else None


@ANSWERS.right_at(PLAN)
def by_counting(stage, stages, m):
    """A backward pass as soon as as many went forward as may be kept; lists, not tuples."""
    steps, f, b = [], 0, 0
    while b < m:
        if f < m and f - b < stages - stage:
            steps.append(["F", f])
            f += 1
        else:
            steps.append(["B", b])
            b += 1
    return steps


@ANSWERS.right_at(ZERO)
def last_numbers_first(stage, stages, m):
    """Micro-batch m - 1 is the first one."""
    return [(kind, m - 1 - i) for kind, i in zero_bubble(stage, stages, m)]


@ANSWERS.right_at(ZERO)
def played_through(stage, stages, m):
    """All stages on a clock: F if there is room, else B, else W."""
    return tuple(played(stages, m, "FBW")[stage])
