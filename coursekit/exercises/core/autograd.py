"""class Value: a tensor that remembers how it was made, and what it owes to whom; judged by values and gradients."""

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.drawing import normal
from coursekit.checking.probing import Wrong, no_reverse_mode

SAME, MOST = "the same result", 20_000
# What is made of the values a, b and c, by its name in a label. Sizes are letters, and a letter is a size.
MADE = {
    "a + b": lambda a, b: a + b,
    "a * b": lambda a, b: a * b,
    "a @ b": lambda a, b: a @ b,
    "exp(a)": lambda a: a.exp(),
    "log(a)": lambda a: a.log(),
    "relu(a) * b": lambda a, b: a.relu() * b,
    "sum(a)": lambda a: a.sum(),
    "reshape(a)": lambda a: a.reshape(a.data.numel()) * _like(a, torch.arange(1.0, a.data.numel() + 1)),
    "a * a": lambda a: a * a,
    "sum(s), s = a * a": lambda a: (a * a).sum(),
    "a + a + a": lambda a: a + a + a,
    "s + s * s, s = a + b": lambda a, b: (s := a + b) + s * s,
    "exp(a) * log(exp(a) + b)": lambda a, b: (e := a.exp()) * (e + b).log(),
    "relu(a @ b + c) summed": lambda a, b, c: (a @ b + c).relu().sum(),
    "c * sum(a @ b, reshaped)": lambda a, b, c: c * (a @ b).reshape(2, -1).sum(),
    "a chain of 60": lambda a, b: _chain(a, b, 60),
    "a ladder of 22, each step twice": lambda a: _ladder(a, 22),
    "a chain of 1,200": lambda a, b: _chain(a, b, 1200),
}


def _like(a, data):
    return type(a)(data.to(a.data.device, a.data.dtype))


def _chain(a, b, n):
    for _ in range(n):
        a = a * b
    return a


def _ladder(a, n):
    """Whoever walks all paths walks 2^n of them."""
    half = _like(a, torch.full((), 0.5))
    for _ in range(n):
        a = (a + a) * half
    return a


def cases(g):
    double = torch.float64

    def case(part, made, *shapes, dtype=torch.float32, note="", positive=False, near=False, zeros=False, **given):
        """The leaves a, b and c of these shapes; those of a long chain lie near 1."""
        leaves = {}
        for name, shape in zip("abc", shapes, strict=False):
            x = normal(g, *(shape or (1,)), dtype=dtype)
            x = x.abs() + 0.5 if positive else 1 + 1e-3 * x if near else x
            leaves[name] = x if shape else x[0]
        told = ", ".join(f"{name} {tuple(x.shape)}" for name, x in leaves.items()).replace(",)", ")")
        words = [made, told, dtype_name(dtype) if dtype == double else "", note]
        if zeros:
            leaves["a"].view(-1)[::2] = 0
        plain = {"made": made, "then": ""} | given
        return Case(part, ", ".join(filter(None, words)), leaves | plain)

    return [
        case("operations", "a + b", (2, 3), (2, 3)),
        case("operations", "a * b", (2, 3), (2, 3), dtype=double),
        case("operations", "a @ b", (2, 3), (3, 4)),
        case("operations", "exp(a)", (3,)),
        case("operations", "log(a)", (2, 2), positive=True, dtype=double),
        case("operations", "relu(a) * b", (3, 4), (3, 4)),
        case("operations", "relu(a) * b", (2, 3), (2, 3), zeros=True, note="some of a are 0"),
        case("operations", "sum(a)", (2, 3)),
        case("operations", "reshape(a)", (2, 3), dtype=double),
        case("broadcasting", "a + b", (2, 3), (3,)),
        case("broadcasting", "a * b", (2, 3), (2, 1), dtype=double),
        case("broadcasting", "a + b", (3, 1), (1, 4)),
        case("broadcasting", "a * b", (), (2, 3)),
        case("broadcasting", "a + b", (1,), (2, 3), dtype=double),
        case("broadcasting", "a * b", (2, 1, 2), (3, 1)),
        case("graphs", "a * a", (3,)),
        case("graphs", "a + a + a", (2, 2), dtype=double),
        case("graphs", "s + s * s, s = a + b", (2, 3), (3,)),
        case("graphs", "exp(a) * log(exp(a) + b)", (3,), (3,), positive=True, dtype=double),
        case("graphs", "relu(a @ b + c) summed", (4, 3), (3, 2), (2,)),
        case("graphs", "c * sum(a @ b, reshaped)", (2, 3), (3, 2), (2, 1), dtype=double),
        case("graphs", "a chain of 60", (2,), (2,), near=True, dtype=double),
        case("graphs", "a ladder of 22, each step twice", (2,), dtype=double),
        case("graphs", "a chain of 1,200", (1,), (1,), near=True, dtype=double),
        case("graphs", "a + b", (2,), (2,), note="and of another result, a * b", then="a * b"),
        case("graphs", "a * b", (3,), (3,), dtype=double, note="and of it once more", then=SAME),
        case("graphs", "sum(s), s = a * a", (2,), note="and of sum(s * s)", then="sum(s * s)"),
    ]


@torch.no_grad()
def probe(case, Value):
    """What is made, and the gradients of the sum of all its entries; the leaves keep their numbers."""
    leaves = {name: Value(case[name].clone()) for name in "abc" if name in case}
    with no_reverse_mode("reverse mode", Value), Counted():
        Y, later = _made(case, *leaves.values())
        if not isinstance(Y, Value):
            raise Wrong(f"an operation returned a {type(Y).__name__}, expected a Value")
        Y.backward()
        if later is not None:
            later.backward()
    found = {"Y": _plain(Y.data, "data of the result")}
    for name, leaf in leaves.items():
        found[f"d{name}"] = _plain(leaf.grad, f"grad of {name} after backward()")
        if not torch.equal(leaf.data, case[name]):
            raise Wrong(f"the data of {name} has changed: an operation or backward() writes into it")
    return found


def _made(case, *leaves):
    """The result, and another one whose gradients are asked for after it, if any."""
    if case["then"] == "sum(s * s)":
        s = leaves[0] * leaves[0]
        return s.sum(), (s * s).sum()
    Y = MADE[case["made"]](*leaves)
    return Y, Y if case["then"] == SAME else MADE[case["then"]](*leaves) if case["then"] else None


class Counted(TorchDispatchMode):
    """Ends what goes all paths of a graph, of which there are far more than values."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        if self.count > MOST:
            raise Wrong(f"more than {MOST:,} operations: a value hands on once, when it has received all its parts")
        return func(*args, **(kwargs or {}))


def _plain(x, what):
    if not isinstance(x, Tensor):
        raise Wrong(f"the {what} is a {type(x).__name__}, expected a tensor")
    return x


EXERCISE = Exercise(
    id="core.autograd",
    title="Reverse mode in a page",
    parts={"operations": 2, "broadcasting": 1, "graphs": 2},
    minutes=60,
    difficulty="challenge",
    importance=5,
    calls=("Value(data)",),
    cases=cases,
    probe=probe,
    ordered=False,
)
