"""Reverse mode: Linnainmaa 1970; Baydin et al. 2018, section 3.2. Each operation knows how a gradient goes through it.

With Y made of a, b, ..., and one for the gradient of Y: in the reverse of the order in which values were made, each
hands on to those that it was made of what it owes them, and these add up. What was broadcast is summed.
"""

import itertools

import torch

from grader.contract import Trusted


class Value:
    """The reference, in steps: a mistake is written as the one in which it differs."""

    count = itertools.count()

    def __init__(self, data, parents=(), owed=()):
        self.data, self.grad, self.parents, self.owed = data, None, parents, owed
        self.place = next(self.count)

    def made(self, data, parents, *owed):
        return type(self)(data, parents, owed)

    def __add__(self, other):
        return self.made(self.data + other.data, (self, other), lambda g: g, lambda g: g)

    def __mul__(self, other):
        a, b = self.data, other.data
        return self.made(a * b, (self, other), lambda g: g * b, lambda g: g * a)

    def __matmul__(self, other):
        a, b = self.data, other.data
        return self.made(a @ b, (self, other), lambda g: self.left(g, a, b), lambda g: self.right(g, a, b))

    def left(self, g, a, b):
        return g @ b.T

    def right(self, g, a, b):
        return a.T @ g

    def exp(self):
        y = self.data.exp()
        return self.made(y, (self,), lambda g: self.through_exp(g, self.data, y))

    def through_exp(self, g, x, y):
        return g * y

    def log(self):
        y = self.data.log()
        return self.made(y, (self,), lambda g: self.through_log(g, self.data, y))

    def through_log(self, g, x, y):
        return g / x

    def relu(self):
        return self.made(self.data.clamp(min=0), (self,), lambda g: self.through_relu(g, self.data))

    def through_relu(self, g, x):
        return g * (x > 0)

    def sum(self):
        return self.made(self.data.sum(), (self,), lambda g: self.through_sum(g, self.data))

    def through_sum(self, g, x):
        return g.expand_as(x).clone()

    def reshape(self, *shape):
        return self.made(self.data.reshape(*shape), (self,), lambda g: self.through_reshape(g, self.data))

    def through_reshape(self, g, x):
        return g.reshape(x.shape)

    def backward(self):
        nodes = self.behind()
        self.begin(nodes)
        owed = {self: self.seed()}
        for node in self.order(nodes):
            g = owed.pop(node, None)
            if g is None:
                continue
            if not node.parents:
                node.collect(g)
            for parent, through in zip(node.parents, node.owed, strict=True):
                self.add(owed, parent, self.summed(through(g), parent.data))

    def begin(self, nodes):
        pass

    def seed(self):
        return torch.ones_like(self.data)

    def behind(self):
        """Every value that this one was made of, and itself, each once; without recursion."""
        seen, stack = {self}, [self]
        while stack:
            new = [parent for parent in stack.pop().parents if parent not in seen]
            seen.update(new)
            stack += new
        return seen

    def order(self, nodes):
        return sorted(nodes, key=lambda node: -node.place)

    def add(self, owed, node, g):
        owed[node] = owed[node] + g if node in owed else g

    def collect(self, g):
        self.grad = g if self.grad is None else self.grad + g

    def summed(self, g, x):
        """The gradient in the shape of x: over the dimensions that were put in front, and those of size 1."""
        g = self.without_front(g, x)
        stretched = tuple(i for i, (of_g, of_x) in enumerate(zip(g.shape, x.shape, strict=True)) if of_g != of_x)
        return g.sum(stretched, keepdim=True) if stretched else g

    def without_front(self, g, x):
        front = tuple(range(g.dim() - x.dim()))
        return g.sum(front) if front else g  # torch's sum over no dimension is a sum over all


TRUSTED = Trusted(Value, budget="eight operations, broadcasting, an order, and what adds up")
(slip,) = TRUSTED.one_by_one()


@slip("A gradient is written over the one before: a value that is used twice is owed by both, so they add up.")
class Overwritten(Value):
    def add(self, owed, node, g):
        owed[node] = g


@slip(
    "backward() forgets what an earlier one has left in the leaves: gradients add up there until somebody zeroes them, "
    "which is what makes accumulation possible."
)
class Forgets(Value):
    def collect(self, g):
        self.grad = g


@slip("What was broadcast is not summed: a gradient has the shape of its value, and each copy of it owes its part.")
class NotSummed(Value):
    def summed(self, g, x):
        return g


@slip("Dimensions that were put in front are summed, and those of size 1 that were stretched are not.")
class OnlyInFront(Value):
    def summed(self, g, x):
        return self.without_front(g, x)


@slip("What was broadcast is averaged: every copy owes its part, so they are summed.")
class Averaged(Value):
    def summed(self, g, x):
        full = super().summed(g, x)
        return full * x.numel() / g.numel()


@slip(
    "Values are gone through as they are met from the result backward, level by level. One that is met early may be "
    "owed more by another: a value's turn comes when all that were made of it have had theirs."
)
class LevelByLevel(Value):
    def order(self, nodes):
        level, found, seen = [self], [], {self}
        while level:
            found += level
            level = [p for node in level for p in dict.fromkeys(node.parents) if not (p in seen or seen.add(p))]
        return found


@slip(
    "Values that are met on two ways are gone through twice, and hand on twice what they owe: keep a set of those that "
    "have been seen."
)
class SeenTwice(Value):
    def backward(self):
        found, owed = [], {self: self.seed()}

        def visit(node, depth=0):
            if depth > 900:
                raise RecursionError("maximum recursion depth exceeded")
            for parent in node.parents:
                visit(parent, depth + 1)
            found.append(node)

        visit(self)
        for node in reversed(found):
            g = owed.get(node)
            if not node.parents:
                node.grad = g
            for parent, through in zip(node.parents, node.owed, strict=True):
                self.add(owed, parent, self.summed(through(g), parent.data))


@slip(
    "The graph is walked by a function that calls itself, and Python's stack ends at a depth of about 1,000: keep a "
    "list of "
    "what is still to be visited, or number values as they are made."
)
class Recurses(Value):
    def behind(self):
        seen = set()

        def visit(node, depth):
            if depth > 900:  # as the interpreter would, wherever the call stands
                raise RecursionError("maximum recursion depth exceeded")
            if node not in seen:
                seen.add(node)
                for parent in node.parents:
                    visit(parent, depth + 1)

        visit(self, 0)
        return seen


@slip("The seed is a single 1: the gradient of the result has the shape of the result, ones_like.")
class SingleSeed(Value):
    def seed(self):
        return torch.ones((), dtype=self.data.dtype)


@slip("Both sides of a sum get one tensor, and adding to one in place (+=) changes the other: add into a new tensor.")
class Shared(Value):
    def add(self, owed, node, g):
        if node in owed:
            owed[node] += g
        else:
            owed[node] = g

    def collect(self, g):
        if self.grad is None:
            self.grad = g
        else:
            self.grad += g


@slip("The factors of a product are exchanged: a is owed g times *b*.")
class OwnFactor(Value):
    def __mul__(self, other):
        a, b = self.data, other.data
        return self.made(a * b, (self, other), lambda g: g * a, lambda g: g * b)


@slip("A matrix product is not transposed on its way back: dA = dY B^T and dB = A^T dY.")
class NotTransposed(Value):
    def left(self, g, a, b):
        return g @ b

    def right(self, g, a, b):
        return a @ g


@slip("Of a logarithm the gradient is divided by its result: by what it was taken of, 1 / x.")
class OverItsResult(Value):
    def through_log(self, g, x, y):
        return g / y


@slip("Of exp the gradient is multiplied by its argument: exp is its own slope.")
class ExpOfArgument(Value):
    def through_exp(self, g, x, y):
        return g * x


@slip(
    "relu lets pass what is positive in the *gradient*: where its argument is positive the gradient passes, "
    "whatever it is."
)
class ReluOfGradient(Value):
    def through_relu(self, g, x):
        return g.clamp(min=0)


@slip("relu's gradient is handed on everywhere: it passes only where the argument is positive.")
class ReluPasses(Value):
    def through_relu(self, g, x):
        return g


@slip("A sum hands on one number: each entry is owed it, in the shape of what was summed.")
class SumIsOne(Value):
    def through_sum(self, g, x):
        return g

    def summed(self, g, x):
        return g if g.dim() < x.dim() else super().summed(g, x)


@slip("A gradient comes back from `reshape` in the new shape: bring it into the old one.")
class ReshapeKept(Value):
    def through_reshape(self, g, x):
        return g

    def summed(self, g, x):
        return g if g.numel() == x.numel() else super().summed(g, x)


@TRUSTED.alternative
class Taped:
    """A tape: every operation writes its backward step on a list, which is read from its end."""

    tape = None

    def __init__(self, data):
        self.data, self.grad, self.is_leaf, self.tape = data, None, True, []

    def _new(self, data, pairs):
        y = type(self)(data)
        y.is_leaf, y.tape = False, None
        y.steps = pairs
        return y

    def __add__(self, other):
        return self._new(self.data + other.data, [(self, lambda g: g), (other, lambda g: g)])

    def __mul__(self, other):
        return self._new(self.data * other.data, [(self, lambda g: g * other.data), (other, lambda g: g * self.data)])

    def __matmul__(self, other):
        return self._new(
            self.data.matmul(other.data),
            [(self, lambda g: torch.einsum("ij,kj->ik", g, other.data)), (other, lambda g: self.data.mT.mm(g))],
        )

    def exp(self):
        y = self._new(torch.exp(self.data), [])
        y.steps = [(self, lambda g: y.data * g)]
        return y

    def log(self):
        return self._new(torch.log(self.data), [(self, lambda g: g * self.data.reciprocal())])

    def relu(self):
        return self._new(torch.relu(self.data), [(self, lambda g: torch.where(self.data > 0, g, 0.0))])

    def sum(self):
        return self._new(self.data.sum(), [(self, lambda g: torch.full_like(self.data, 1.0) * g)])

    def reshape(self, *shape):
        return self._new(self.data.reshape(shape), [(self, lambda g: g.view_as(self.data))])

    def backward(self):
        order, state, stack = [], {}, [self]
        while stack:  # depth first, with a list in place of calls
            node = stack[-1]
            if state.get(id(node)) is None:
                state[id(node)] = "open"
                stack += [parent for parent, _ in getattr(node, "steps", []) if id(parent) not in state]
            else:
                stack.pop()
                if state[id(node)] == "open":
                    state[id(node)] = "done"
                    order.append(node)
        grads = {id(self): torch.ones_like(self.data)}
        for node in reversed(order):
            g = grads[id(node)]
            for parent, step in getattr(node, "steps", []):
                part = self._as(step(g), parent.data)
                grads[id(parent)] = grads[id(parent)] + part if id(parent) in grads else part
            if node.is_leaf:
                node.grad = g.clone() if node.grad is None else node.grad + g

    @staticmethod
    def _as(g, x):
        while g.dim() > x.dim():
            g = g.sum(0)
        for i, n in enumerate(x.shape):
            if n == 1:
                g = g.sum(i, keepdim=True)
        return g


@TRUSTED.alternative
class Closures:
    """Each value holds a function that pushes its gradient on; a count of debts says when it may."""

    def __init__(self, data, parents=(), push=None):
        self.data, self.grad, self.parents, self.push = data, None, parents, push

    def _binary(self, other, y, da, db):
        out = Closures(y, (self, other))
        out.push = lambda g: ((self, g.new_zeros(()) + da(g)), (other, g.new_zeros(()) + db(g)))
        return out

    def _unary(self, y, dx):
        out = Closures(y, (self,))
        out.push = lambda g: ((self, dx(g)),)
        return out

    def __add__(self, other):
        return self._binary(other, self.data + other.data, lambda g: g, lambda g: g)

    def __mul__(self, other):
        a, b = self.data, other.data
        return self._binary(other, a * b, lambda g: b * g, lambda g: a * g)

    def __matmul__(self, other):
        a, b = self.data, other.data
        return self._binary(other, a @ b, lambda g: g @ b.t(), lambda g: (g.t() @ a).t())

    def exp(self):
        y = self.data.exp()
        return self._unary(y, lambda g: g * y)

    def log(self):
        return self._unary(self.data.log(), lambda g: g / self.data)

    def relu(self):
        keep = (self.data > 0).to(self.data)
        return self._unary(self.data * keep, lambda g: g * keep)

    def sum(self):
        return self._unary(self.data.sum(), lambda g: g * torch.ones_like(self.data))

    def reshape(self, *shape):
        return self._unary(self.data.reshape(*shape), lambda g: g.reshape(self.data.shape))

    def backward(self):
        debts, todo, seen = {}, [self], set()
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                for parent in node.parents:
                    debts[parent] = debts.get(parent, 0) + 1
                    todo.append(parent)
        sums, ready = {self: torch.ones_like(self.data)}, [self]
        while ready:
            node = ready.pop()
            g = sums.pop(node)
            if node.push is None:
                node.grad = g if node.grad is None else node.grad + g
                continue
            for parent, part in node.push(g):
                part = part.sum_to_size(parent.data.shape)
                sums[parent] = sums[parent] + part if parent in sums else part
                debts[parent] -= 1
                if not debts[parent]:
                    ready.append(parent)
