"""expert_parallel(comm, X, expert, gate, experts): each token to the rank of its expert, and its result back."""

import itertools
from dataclasses import replace

import torch
from torch import nn

from coursekit.checking.contract import Exercise
from coursekit.checking.drawing import Shapes
from coursekit.checking.probing import Wrong, returned
from coursekit.checking.ranks import READ, SENDS, TOO_LITTLE, WATCHED, measured, on_each, traffic
from coursekit.world import World

# M experts in all, N tokens in all; U is the gradient of the last result.
TOKENS = Shapes("X: N D, gate: L N, U: N D, W: L M D D, b: L M D", told="n E D")


def cases(g):
    double = torch.float64

    def case(part, E, D, tokens, expert=None, L=1, backward=False, watched=False, closed=None, note="", **given):
        """`tokens` are those of each rank; `expert` is drawn where it is not given; the gate of token `closed` is 0."""
        n, N = len(tokens), sum(tokens)
        expert = torch.randint(n * E, (L, N), generator=g) if expert is None else torch.tensor([expert] * L)
        T = f"T=({', '.join(map(str, tokens))})"
        drawn = TOKENS.cases(g)(
            *(part,),
            **{"n": n, "E": E, "D": D, "L": L, "M": n * E, "N": N, "tokens": tokens, "expert": expert},
            **{"backward": backward, WATCHED: watched, "note": f"{T}, {note}" if note else T},
            **given,
        )
        if closed is not None:
            drawn.inputs["gate"][:, closed] = 0
        return drawn

    def gradients(*sizes, **given):
        return case("gradients", *sizes, backward=True, **given)

    return [
        case("values", 2, 3, [4, 4, 4], [4, 0, 3, 1, 5, 2, 0, 0, 1, 3, 3, 4]),
        case("values", 2, 4, [3, 6], dtype=double, contiguous=False),
        case("values", 1, 1, [5, 0, 2], dtype=double),
        case("values", 2, 3, [3, 2], [3] * 5, dtype=double, note="all to the last expert"),
        case("values", 70, 1, [3, 1], [139, 0, 70, 128], note="140 experts"),
        gradients(2, 3, [4, 5], [2, 0, 3, 1, 3, 2, 1, 2, 0], closed=2, note="one gate is 0"),
        gradients(2, 3, [3, 2, 0], [1, 0, 1, 1, 0], dtype=double, note="all to rank 0"),
        gradients(2, 2, [0, 4], [1, 1, 0, 1], note="all to rank 0"),
        gradients(3, 2, [5], dtype=double),
        gradients(2, 3, [3, 4], L=2, dtype=double, note="two layers of experts"),
        case(
            "what is sent", 2, 6, [5, 6], [3, 0, 1, 2, 3, 0, 2, 1, 3, 0, 1], backward=True, watched=True, dtype=double
        ),
        case(
            *("what is sent", 1, 8, [6, 7], [0] * 5 + [1] * 8),
            **{"backward": True, WATCHED: True, "dtype": double, "note": "most stay at home"},
        ),
    ]


class Expert(nn.Module):
    def __init__(self, W, b):
        super().__init__()
        self.W, self.b = nn.Parameter(W.clone()), nn.Parameter(b.clone())

    def forward(self, x):
        return torch.tanh(x @ self.W.mT.to(x.dtype) + self.b)


def probe(case, expert_parallel):
    E, world = case["E"], World(case["n"])
    ends = [0, *itertools.accumulate(case["tokens"])]

    def program(comm):
        mine, local = slice(*ends[comm.rank :][:2]), slice(comm.rank * E, (comm.rank + 1) * E)
        layers = [[*map(Expert, W[local], b[local])] for W, b in zip(case["W"], case["b"], strict=True)]
        X, gate = (x.detach().requires_grad_(case["backward"]) for x in (case["X"][mine], case["gate"][:, mine]))
        Y = X
        for expert, share, experts in zip(case["expert"][:, mine], gate, layers, strict=True):
            handed = [*experts]
            Y = returned(expert_parallel(comm, Y, expert, share, handed), "Y")
            as_before(experts, handed)
        if not case["backward"]:
            return {"Y": Y}, ()
        went_back(Y, case["U"][mine])
        leaves = {"X.grad": [X], "gate.grad": [gate]}
        for name in ("W", "b"):
            leaves[f"{name}.grad of the experts"] = [getattr(x, name) for experts in layers for x in experts]
        cut = [name for name, group in leaves.items() if all(x.grad is None for x in group)]
        return {"Y": Y} | {name: torch.cat([*map(gradient, group)]) for name, group in leaves.items()}, cut

    outputs, cuts = zip(*world.run(program), strict=True)
    if nowhere := [name for name in cuts[0] if all(name in cut for cut in cuts)]:
        raise Wrong(
            f"after backward {', '.join(nowhere)} {'are' if nowhere[1:] else 'is'} None everywhere: messages carry no "
            "gradient, and neither does what is detached"
        )
    found = {}
    for name in outputs[0]:
        found |= on_each([of_rank[name] for of_rank in outputs], name)
    return found | measured(case["X"], **(costs(case, world) if case[WATCHED] else {}))


def as_before(experts, handed):
    """Raises Wrong where the list that was handed in, or an expert in it, is not what it was."""
    if len(handed) < len(experts):
        raise Wrong(
            f"it takes experts out of its list: {len(handed)} of {len(experts)} are left, and the caller needs "
            "all of them"
        )
    if any(one is not other for one, other in itertools.zip_longest(experts, handed)):
        raise Wrong("the list of experts is another one afterwards: use it as it is")
    if any(not module.training for expert in experts for module in expert.modules()):
        raise Wrong("an expert is in eval mode afterwards: its `training` was True, and the caller goes on with it")
    if any(not p.requires_grad for expert in experts for p in expert.parameters()):
        raise Wrong(
            "an expert is frozen afterwards: requires_grad of its weights was True, and an optimiser trains them"
        )


def went_back(Y, U):
    """Backward from sum(Y U). Raises Wrong."""
    if Y.shape != U.shape:
        raise Wrong(f"Y has shape {tuple(Y.shape)}, expected {tuple(U.shape)}")
    if not Y.requires_grad:
        raise Wrong(f"no gradient can flow back from Y on a rank with {len(Y)} tokens: it is cut off from X and gate")
    (Y * U).sum().backward()


def gradient(x):
    """None and zeros are the same: an expert without tokens may have either."""
    return torch.zeros_like(x) if x.grad is None else x.grad


def costs(case, world):
    """There and back, forward and backward, for a rank's tokens elsewhere and others' here."""
    host = case["expert"][0] // case["E"]
    home = torch.repeat_interleave(torch.arange(case["n"]), torch.tensor(case["tokens"])).to(host.device)
    passing = [((home == rank) != (host == rank)).sum().item() for rank in range(case["n"])]
    enough = [2 * tokens * (case["D"] + 1) + case["n"] * (case["E"] + 4) for tokens in passing]
    return traffic(world, enough, least=4 * (home != host).sum().item() * case["D"])


EXERCISE = Exercise(
    id="distributed.experts",
    title="Experts on other ranks",
    parts={"values": 1, "gradients": 1, "what is sent": 1},
    minutes=50,
    difficulty="core",
    importance=4,
    calls=("expert_parallel(comm, X, expert, gate, experts)",),
    cases=cases,
    probe=probe,
    laws=(replace(READ, when=WATCHED), SENDS, TOO_LITTLE),
    tolerance={torch.float32: (1e-5, 3e-5)},  # sums over many tokens
)
