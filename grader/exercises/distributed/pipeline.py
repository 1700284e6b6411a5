"""1F1B is PipeDream-Flush: Narayanan et al. 2021, "Efficient large-scale language model training", section 2.2.

Stage s of p does p - s - 1 forward passes (m, if that is less), then one forward and one backward in turns, then the
backward passes that are left. Zero bubble is ZB-H1: Qi et al. 2023, "Zero bubble pipeline parallelism", section 2.1:
the same, with the backward pass cut in two, and on stage s the second half of a micro-batch waits for the first half of
s more. So every stage keeps at most p micro-batches. With units of time 1, 1, 1 the stages end after
max(3m + p - 1, 2m + 2p - 1), and nothing ends earlier: the last stage begins at p - 1 and has 3m units to do; or it has
2m to do before its last B ends, which then goes down through p - 1 stages to the first one's W.
"""

import itertools

import torch

from grader.contract import Trusted


def one_f_one_b(stage, stages, m):
    ahead = min(stages - stage - 1, m)
    pairs = itertools.chain.from_iterable((("F", ahead + i), ("B", i)) for i in range(m - ahead))
    return [*(("F", i) for i in range(ahead)), *pairs, *(("B", i) for i in range(m - ahead, m))]


def run_stage(comm, module, plan, inputs, loss):
    return Worker()(comm, module, plan, inputs, loss)


def zero_bubble(stage, stages, m):
    plan = []
    for kind, i in one_f_one_b(stage, stages, m):
        plan.append((kind, i))
        if kind == "B" and i >= stage:
            plan.append(("W", i - stage))
    return plan + [("W", i) for i in range(max(0, m - stage), m)]


class Worker:
    """The work of a stage in steps: a mistake is written as the one in which it differs."""

    def __call__(self, comm, module, plan, inputs, loss):
        self.comm, self.module, self.inputs, self.loss = comm, module, inputs, loss
        self.first, self.last = comm.rank == 0, comm.rank == comm.size - 1
        self.N, self.m = sum(len(x) for x in inputs), len(inputs)
        self.kept, self.losses = {}, {}
        self.begin()
        for kind, i in plan:
            self.forward(i) if kind == "F" else self.backward(i)
        return self.result() if self.last else None

    def begin(self):
        pass

    def share(self, i):
        return len(self.inputs[i]) / self.N

    def x(self, i):
        return self.inputs[i] if self.first else self.leaf(self.comm.recv(self.comm.rank - 1))

    def leaf(self, X):
        return X.requires_grad_()

    def forward(self, i):
        X = self.x(i)
        Y = self.module(X)
        self.keep(i, X, self.onwards(i, Y))

    def onwards(self, i, Y):
        """What the backward pass begins with."""
        if not self.last:
            self.comm.send(Y, self.comm.rank + 1)
            return Y
        L = self.loss(Y, i)
        self.losses[i] = L.detach()
        return self.share(i) * L

    def keep(self, i, X, end):
        self.kept[i] = X, end

    def taken(self, i):
        return self.kept.pop(i)

    def backward(self, i):
        X, end = self.taken(i)
        end.backward(None if self.last else self.comm.recv(self.comm.rank + 1))
        if not self.first:
            self.back(X)

    def back(self, X):
        self.comm.send(X.grad, self.comm.rank - 1)

    def result(self):
        return sum(self.share(i) * L for i, L in self.losses.items())


TRUSTED = Trusted(
    (one_f_one_b, run_stage, zero_bubble), budget="three functions: an order, the work itself, and another order"
)
wrong_plan, wrong_work, wrong_zero = TRUSTED.one_by_one(
    lambda plan: plan, lambda steps: lambda *given: steps()(*given), lambda plan: plan
)


@wrong_plan(
    "one_f_one_b does all forward passes first, so that m micro-batches are kept at one time. Only stages - stage - 1 "
    "come before the first backward pass."
)
def all_forward_first(stage, stages, m):
    return [(kind, i) for kind in "FB" for i in range(m)]


@wrong_plan(
    "one_f_one_b warms up with stages - stage forward passes, and the next step is a forward pass again: one "
    "micro-batch too many is kept. Warm up with one less."
)
def one_more(stage, stages, m):
    return warmed_up(min(stages - stage, m), m)


@wrong_plan(
    "one_f_one_b begins with one forward pass too few: the first gradient is still on its way while a stage could do "
    "one more, so all stages end later. Warm up with stages - stage - 1."
)
def one_less(stage, stages, m):
    return warmed_up(min(max(stages - stage - 2, 0), m), m)


@wrong_plan(
    "one_f_one_b counts the warm-up from the wrong end: a stage waits for a forward pass of the one before it, which "
    "waits for a gradient. The first stage warms up longest, the last one not at all."
)
def from_the_wrong_end(stage, stages, m):
    return warmed_up(min(stage, m), m)


@wrong_plan(
    "one_f_one_b warms up with more forward passes than there are micro-batches: where m is small, with m of them."
)
def not_capped(stage, stages, m):
    return warmed_up(stages - stage - 1, max(m, stages - stage - 1))


@wrong_plan(
    "one_f_one_b leaves out the backward passes of as many micro-batches as it warmed up with: they come at the end."
)
def last_ones_lost(stage, stages, m):
    ahead = min(stages - stage - 1, m)
    return warmed_up(ahead, m)[: 2 * m - ahead]


@wrong_plan(
    "In one_f_one_b the newest micro-batch goes backward first, but gradients come in the order in which the last "
    "stage goes backward, oldest first."
)
def newest_first(stage, stages, m):
    ahead = min(stages - stage - 1, m)
    pairs = [step for i in range(ahead, m) for step in (("F", i), ("B", i))]
    return [*(("F", i) for i in range(ahead)), *pairs, *(("B", i) for i in reversed(range(ahead)))]


def warmed_up(ahead, m):
    pairs = [step for i in range(m - ahead) for step in (("F", ahead + i), ("B", i))]
    return [("F", i) for i in range(ahead)] + pairs + [("B", i) for i in range(m - ahead, m)]


@wrong_work(
    "Each micro-batch counts as 1/m, however many examples it has. The mean over all examples gives it a weight of its "
    "own examples over all examples."
)
class EqualShares(Worker):
    def share(self, i):
        return 1 / self.m


@wrong_work(
    "The losses of the micro-batches are added up with a weight of 1 each: each is a mean, and what is wanted is the "
    "mean over all examples."
)
class Summed(Worker):
    def share(self, i):
        return 1


@wrong_work(
    "The gradients are right, and the loss that is returned is the plain mean of the micro-batches' losses: weigh each "
    "by its examples here, too."
)
class PlainMeanReturned(Worker):
    def result(self):
        return sum(self.losses.values()) / self.m


@wrong_work(
    "What comes from the stage before has no gradient (X.grad is None), for a message carries no graph: call "
    "requires_grad_() on it before the module sees it."
)
class NoGradientOfTheInput(Worker):
    def leaf(self, X):
        return X


@wrong_work("No gradient is sent back, so the stage before waits for ever: behind backward() it gets that of its Y.")
class NotSentBack(Worker):
    def back(self, X):
        pass


@wrong_work(
    "A backward pass takes the oldest micro-batch that is kept, whichever one the plan names: keep them by their "
    "number."
)
class OldestFirst(Worker):
    def taken(self, i):
        return self.kept.pop(next(iter(self.kept)))


@wrong_work(
    "The first stage counts for itself which input comes next: the plan says it, and need not begin with number 0."
)
class CountsInputs(Worker):
    def begin(self):
        self.next = iter(self.inputs)

    def x(self, i):
        return next(self.next) if self.first else super().x(i)


@wrong_work("Gradients that were there before are lost: p.grad adds up, and when it begins anew is for the caller.")
class BeginsAnew(Worker):
    def begin(self):
        self.module.zero_grad()


@wrong_work(
    "The forward pass is computed twice, the second time before the backward pass. That saves memory and costs time; "
    "here the graph of the first one is kept until then."
)
class Recomputes(Worker):
    def forward(self, i):
        X = self.x(i)
        with torch.no_grad():
            self.onwards(i, self.module(X))
        self.kept[i] = X

    def backward(self, i):
        X = self.kept.pop(i)
        Y = self.module(X)
        end = self.share(i) * self.loss(Y, i) if self.last else Y
        end.backward(None if self.last else self.comm.recv(self.comm.rank + 1))
        if not self.first:
            self.back(X)


@wrong_work(
    "What a micro-batch needed is still held after its backward pass, so that memory grows with m. Something refers to "
    "it: an entry that was not taken out, or a sum of losses that were not detached."
)
class KeepsEverything(Worker):
    def taken(self, i):
        return self.kept[i]


@wrong_work(
    "The last stage goes backward at once behind each forward pass, whatever its plan says: a step belongs where the "
    "plan has it."
)
class BackwardAtOnce(Worker):
    def forward(self, i):
        super().forward(i)
        if self.last:
            super().backward(i)

    def backward(self, i):
        if not self.last:
            super().backward(i)


@wrong_zero("In zero_bubble each W comes right behind its B, and nothing is left to fill the idle time at the end.")
def weights_at_once(stage, stages, m):
    return [one for step in one_f_one_b(stage, stages, m) for one in halves(step)]


@wrong_zero(
    "zero_bubble keeps all W for the end. The first stages idle before, where a W would have cost no time, and each "
    "stage keeps m micro-batches."
)
def weights_at_the_end(stage, stages, m):
    return one_f_one_b(stage, stages, m) + [("W", i) for i in range(m)]


def halves(step):
    return [step, ("W", step[1])] if step[0] == "B" else [step]


@wrong_zero(
    "In zero_bubble every W waits equally long, on the first stage too, which has kept stages micro-batches by then. "
    "The later the stage, the longer its W may wait."
)
def equally_late(stage, stages, m):
    plan = []
    for kind, i in one_f_one_b(stage, stages, m):
        plan.append((kind, i))
        if kind == "B" and i >= stages - 1:
            plan.append(("W", i - stages + 1))
    return plan + [("W", i) for i in range(max(0, m - stages + 1), m)]


@wrong_zero("In zero_bubble the weights' half comes before the input's: the stage before waits for B, nobody for W.")
def weights_first(stage, stages, m):
    return [one for step in one_f_one_b(stage, stages, m) for one in reversed(halves(step))]


def by_the_number_alive(stage, stages, m):
    """Forward while fewer are alive than may be."""
    plan, f, b = [], 0, 0
    while b < m:
        if f < m and f - b < stages - stage:
            plan.append(("F", f))
            f += 1
        else:
            plan.append(("B", b))
            b += 1
    return plan


def by_autograd(comm, module, plan, inputs, loss):
    """torch.autograd.grad in place of backward(), gradients added by hand, all weights of a micro-batch in advance."""
    params, here, n = list(module.parameters()), comm.rank, comm.size
    sizes = torch.tensor([len(x) for x in inputs], dtype=torch.float64)
    weights = (sizes / sizes.sum()).tolist()
    graphs, mean = [None] * len(inputs), []
    for kind, i in plan:
        if kind == "F":
            x = inputs[i].detach() if here == 0 else comm.recv(here - 1).detach().requires_grad_(True)
            graphs[i] = (x, module(x))
            if here < n - 1:
                comm.send(graphs[i][1].detach(), here + 1)
            continue
        (x, y), graphs[i] = graphs[i], None
        upstream = comm.recv(here + 1) if here < n - 1 else None
        if upstream is None:
            y = loss(y, i)
            mean.append(weights[i] * y.item())
            upstream = torch.full_like(y, weights[i])
        wanted = params if here == 0 else [x, *params]
        grads = list(torch.autograd.grad(y, wanted, upstream))
        if here:
            comm.send(grads.pop(0), here - 1)
        for p, grad in zip(params, grads, strict=True):
            p.grad = grad if p.grad is None else p.grad + grad
    return torch.tensor(sum(mean), dtype=torch.float64) if here == n - 1 else None


def by_counting_time(stage, stages, m):
    """The steps by the unit of time at which they begin where F and B take one each."""
    begins = {("F", i): stage + (i if i < stages - stage else 2 * i) for i in range(m)}
    begins |= {("B", i): 2 * stages - stage - 1 + 2 * i for i in range(m)}
    return sorted(begins, key=lambda step: (begins[step], step[0] == "B"))


def with_hooks(comm, module, plan, inputs, loss):
    """The gradient leaves as soon as it is known, by a hook of the input; the losses are weighted by sums."""
    before, after = comm.rank - 1, comm.rank + 1
    ends, total, N = {}, 0.0, sum(x.shape[0] for x in inputs)
    for kind, i in list(plan):
        if kind == "F" and before < 0:
            ends[i] = module(inputs[i])
        elif kind == "F":
            x = comm.recv(before)
            x.requires_grad = True
            x.register_hook(lambda grad: comm.send(grad, before))
            ends[i] = module(x)
        if kind == "F" and after < comm.size:
            comm.send(ends[i], after)
        if kind == "B" and after < comm.size:
            torch.autograd.backward(ends.pop(i), comm.recv(after))
        elif kind == "B":
            of_all = loss(ends.pop(i), i) * inputs[i].shape[0]
            (of_all / N).backward()
            total = total + of_all.detach()
    return total / N if after == comm.size else None


def greedy(stage, stages, m):
    """Whatever is allowed: a forward pass before a backward one, W where too much is kept or nothing else is left."""
    plan, f, b, w = [], 0, 0, 0
    while w < m:
        if f < m and f - b < stages - stage and f - w < stages:
            plan.append(("F", f))
            f += 1
        elif b < m and b - w <= stage:
            plan.append(("B", b))
            b += 1
        else:
            plan.append(("W", w))
            w += 1
    return plan


def from_behind(stage, stages, m):
    """W after as many B as there are stages before this one; what is left over at the end."""
    plan, waiting = [], []
    for step in by_the_number_alive(stage, stages, m):
        plan.append(step)
        if step[0] == "B":
            waiting.append(("W", step[1]))
        if len(waiting) > stage:
            plan.append(waiting.pop(0))
    return plan + waiting


TRUSTED.add_alternative("by_the_number_alive", by_the_number_alive, by_autograd, greedy)
TRUSTED.add_alternative("by_time_and_hooks", by_counting_time, with_hooks, from_behind)
