"""Answers to core.autograd."""

import itertools

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "core.autograd",
    spared={"far": "no step of it compares numbers with each other", "dependence": "nothing is drawn"},
)
wrong, right = ANSWERS.wrong, ANSWERS.right


@right
class Base:
    """Right; what is written below changes one thing each."""

    numbers = itertools.count()

    def __init__(self, data, parents=(), slopes=()):
        self.data, self.grad, self.parents, self.slopes = data, None, parents, slopes
        self.number = next(Base.numbers)

    def made(self, data, *pairs):
        return type(self)(data, tuple(p for p, _ in pairs), tuple(s for _, s in pairs))

    def __add__(self, b):
        return self.made(self.data + b.data, (self, lambda g: g), (b, lambda g: g))

    def __mul__(self, b):
        return self.made(self.data * b.data, (self, lambda g: g * b.data), (b, lambda g: g * self.data))

    def __matmul__(self, b):
        return self.made(self.data @ b.data, (self, lambda g: g @ b.data.T), (b, lambda g: self.data.T @ g))

    def exp(self):
        y = self.data.exp()
        return self.made(y, (self, lambda g: g * y))

    def log(self):
        return self.made(self.data.log(), (self, lambda g: g / self.data))

    def relu(self):
        return self.made(self.data.relu(), (self, lambda g: g * (self.data > 0)))

    def sum(self):
        return self.made(self.data.sum(), (self, lambda g: g.expand(self.data.shape)))

    def reshape(self, *shape):
        return self.made(self.data.reshape(*shape), (self, lambda g: g.reshape(self.data.shape)))

    def fit(self, g, x):
        return g.sum_to_size(x.shape)

    def seed(self):
        return torch.ones_like(self.data)

    def ordered(self):
        behind, stack = {self}, [self]
        while stack:
            new = [p for p in stack.pop().parents if p not in behind]
            behind.update(new)
            stack += new
        return sorted(behind, key=lambda value: -value.number)

    def received(self, g):
        self.grad = g.clone() if self.grad is None else self.grad + g

    def parts(self, g):
        return [(p, self.fit(slope(g), p.data)) for p, slope in zip(self.parents, self.slopes, strict=True)]

    def backward(self):
        owed = {self: self.seed()}
        for value in self.ordered():
            g = owed.pop(value, None)
            if g is None:
                continue  # made of the same values, and not behind this one
            if not value.parents:
                value.received(g)
            for parent, part in value.parts(g):
                owed[parent] = owed[parent] + part if parent in owed else part


def deep_first(value, seen, order):
    if value not in seen:
        seen.add(value)
        for parent in value.parents:
            deep_first(parent, seen, order)
        order.append(value)


@wrong("large", "the recursive topological sort of micrograd", told="maximum recursion depth")
class Recursive(Base):
    def ordered(self):
        order = []
        deep_first(self, set(), order)
        return order[::-1]


@wrong("large", "all paths are walked, with a list in place of recursion: 2^n of them in a ladder")
class AllPaths(Base):
    def backward(self):
        stack = [(self, self.seed())]
        while stack:
            value, g = stack.pop()
            if not value.parents:
                value.received(g)
            stack += value.parts(g)


@wrong("plain", "breadth first: a value hands on before it has received all of its parts", true="LevelByLevel")
class BreadthFirst(Base):
    def backward(self):
        owed, order = {self: self.seed()}, [self]
        for value in order:
            order += [p for p in dict.fromkeys(value.parents) if p not in order]
            if not value.parents:
                value.received(owed[value])
            for parent, part in value.parts(owed[value]):
                owed[parent] = owed.get(parent, 0) + part


@wrong(
    "again",
    "micrograd: values between keep their gradients, and a second backward hands them on again",
    told="of it once more",
    advice=r"1\.5 times",
)
class KeepsAll(Base):
    def backward(self):
        self.received(self.seed())
        for value in self.ordered():
            for parent, part in value.parts(value.grad):
                parent.received(part)


@wrong("plain", "a new gradient takes the place of the old one", true="Forgets")
class WritesOver(Base):
    def received(self, g):
        self.grad = g.clone()


@wrong("given", "the first gradient is kept as it came, and added to in place: a + b gave both the same tensor")
class Aliased(Base):
    def received(self, g):
        if self.grad is None:
            self.grad = g
        else:
            self.grad += g


@wrong("onward", "one tape for all, cleared by backward: a leaf that was made before has no second gradient")
class Tape(Base):
    tape = []  # noqa: RUF012

    def __init__(self, data, parents=(), slopes=()):
        super().__init__(data, parents, slopes)
        Tape.tape.append(self)

    def ordered(self):
        order = Tape.tape[::-1]
        Tape.tape.clear()
        return order


@wrong("named", "the slope of relu at 0 is 1")
class OneAtZero(Base):
    def relu(self):
        return self.made(self.data.relu(), (self, lambda g: g * (self.data >= 0)))


@wrong("plain", "operands in a dictionary: a * a has one", told=r"a \* a, a \(3\): da differs")
class OperandsOnce(Base):
    def made(self, data, *pairs):
        return type(self)(data, tuple(dict(pairs)), tuple(dict(pairs).values()))


@wrong("ones", "leading dimensions alone are summed", true="OnlyInFront")
class LeadingAlone(Base):
    def fit(self, g, x):
        while g.dim() > x.dim():
            g = g.sum(0)
        return g


@wrong("surroundings", "the default dtype becomes that of the result, so that ones have it", told="default dtype")
class DefaultDtype(Base):
    def seed(self):
        torch.set_default_dtype(self.data.dtype)
        return torch.ones(self.data.shape)


@wrong("unwatched", "torch's reverse mode, switched on again")
class Torchs:
    def __init__(self, data, x=None):
        self.x = data.detach().clone().requires_grad_() if x is None else x

    data = property(lambda self: self.x.detach())
    grad = property(lambda self: self.x.grad)

    @torch.enable_grad()
    def backward(self):
        self.x.sum().backward()


def handed_on(name):
    @torch.enable_grad()
    def operation(self, *others):
        return Torchs(None, getattr(self.x, name)(*(getattr(other, "x", other) for other in others)))

    return operation


for name in ("__add__", "__mul__", "__matmul__", "exp", "log", "relu", "sum", "reshape"):
    setattr(Torchs, name, handed_on(name))


@right
class CountsUses(Base):
    """Kahn's order: a value hands on when all that was made of it has handed back; data is a copy."""

    def ordered(self):
        uses, stack, order = {self: 0}, [self], []
        while stack:
            for parent in stack.pop().parents:
                stack += [parent] * (parent not in uses)
                uses[parent] = uses.get(parent, 0) + 1
        ready = [self]
        while ready:
            order.append(ready.pop())
            for parent in order[-1].parents:
                uses[parent] -= 1
                ready += [parent] * (not uses[parent])
        return order


@right
class DepthFirst(Base):
    """Postorder, with a stack in place of recursion."""

    def ordered(self):
        order, seen, stack = [], set(), [(self, False)]
        while stack:
            value, done = stack.pop()
            if done:
                order.append(value)
            elif value not in seen:
                seen.add(value)
                stack += [(value, True), *((parent, False) for parent in value.parents)]
        return order[::-1]
