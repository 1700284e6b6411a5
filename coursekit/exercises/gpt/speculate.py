"""speculate(...): which drafted tokens stay, and from what the next one is drawn, so that no distribution changes."""

import torch

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.probing import Wrong, whole_numbers

# How a drafted token is met: its probability under both models, and the uniform number beside it.
SURE, TOP, LIKELY, SAME, UNLIKELY, REMOVED = "sure", "top", "likely", "same", "unlikely", "removed"


def cases(g):
    def shuffled(n):
        return torch.randperm(n, generator=g)

    def row(fate, V, kept):
        """Weights 1 ... V for both models, of which the `kept` largest count; the token, and its uniform number."""
        largest = (V - shuffled(kept)[:2]).tolist()
        small, large = min(largest), max(largest)
        met = {SURE: (large, small), TOP: (V, small), REMOVED: (1, large), SAME: (large, large)}
        theirs, ours = met.get(fate, (small, large))
        token = int(torch.randint(V, (), generator=g))
        weights = []
        for weight in (theirs, ours):
            others = torch.tensor([w for w in range(1, V + 1) if w != weight])[shuffled(V - 1)]
            weights.append(torch.cat([others[:token], torch.tensor([weight]), others[token:]]))
        if fate == SAME:
            weights[0] = weights[1]
        ratio = theirs / ours
        u = {SURE: 0.98, TOP: 0.98, LIKELY: 0.7 * ratio, SAME: 0.999, UNLIKELY: 0.8 * ratio + 0.2, REMOVED: 0.0}[fate]
        return *weights, token, u

    def case(part, *fates, V, kept=None, temperature=1.0, note="", dtype=torch.float32, shift=0.0):
        """A filter leaves the `kept` most probable tokens, if any are given."""
        free = shuffled(V) + 1
        rows = [row(fate, V, kept or V) for fate in fates]
        target = torch.stack([*(p for p, *_ in rows), free]).double()
        draft = torch.stack([q for _, q, *_ in rows]) if rows else torch.ones(0, V)
        shifts = shift * torch.randn(2, len(rows) + 1, 1, generator=g, dtype=torch.float64)
        floor = (V - kept + 0.5) / (V * (V + 1) / 2) if kept else 0.0
        words = [f"k={len(fates)}", f"V={V}", note, dtype_name(dtype) if dtype == torch.float64 else ""]
        given = {
            "target": (temperature * (target.log() + shifts[0])).to(dtype),
            "draft": (temperature * (draft.double().log() + shifts[1, :-1])).to(dtype),
            "tokens": [token for *_, token, _ in rows],
            "uniforms": torch.tensor([u for *_, u in rows], dtype=dtype),
            "temperature": temperature,
            "floor": floor,
            "drawn": int(torch.randint(V, (), generator=g)),
        }
        return Case(part, ", ".join(filter(None, words)), given)

    double = torch.float64
    return [
        case("accepted", TOP, LIKELY, SAME, V=7),
        case("accepted", LIKELY, V=5, dtype=double),
        case("accepted", LIKELY, SURE, LIKELY, V=6, dtype=double, shift=300.0, note="logits far from 0"),
        case("accepted", V=6, note="no draft"),
        case("rejected", TOP, UNLIKELY, LIKELY, V=7),
        case("rejected", UNLIKELY, SURE, SURE, SURE, V=6, dtype=double),
        case("rejected", LIKELY, SAME, LIKELY, UNLIKELY, V=8),
        case("rejected", UNLIKELY, V=2),
        case("rejected", *[SURE, LIKELY] * 12, UNLIKELY, *[SURE] * 5, V=40, note="a long draft"),
        case("rejected", UNLIKELY, UNLIKELY, V=9, shift=300.0, note="logits far from 0"),
        case("filtered", LIKELY, UNLIKELY, LIKELY, V=8, kept=5, note="a filter"),
        case("filtered", SURE, LIKELY, V=9, kept=6, temperature=0.5, dtype=double, note="a filter, temperature 0.5"),
        case("filtered", LIKELY, UNLIKELY, V=7, temperature=2.0, note="temperature 2"),
        case("filtered", SURE, REMOVED, SURE, V=8, kept=4, note="a filter, a token that the target never chooses"),
        case("filtered", SAME, SAME, REMOVED, V=6, kept=1, dtype=double, note="greedy"),
    ]


def probe(case, speculate):
    """What is returned, and what `draw` is given: a distribution is seen as it is, nothing is left to chance."""
    asked = []

    def chances(logits):
        p = torch.threshold((logits / case["temperature"]).softmax(-1), case["floor"], 0.0)
        return p / p.sum(-1, keepdim=True)

    def draw(p):
        found, want = tuple(p.shape) if isinstance(p, torch.Tensor) else type(p).__name__, (case["target"].shape[1],)
        if found != want:
            raise Wrong(f"draw was given {found}, expected the probabilities of all tokens, {want}")
        asked.append(p.detach().clone())
        return case["drawn"]

    ids = speculate(case["target"], case["draft"], case["tokens"], case["uniforms"], chances, draw)
    device = case["target"].device
    return {
        "ids": whole_numbers(ids, "the ids", case["target"]),
        "calls of draw": torch.tensor(len(asked), device=device),
        "what draw is given": asked[0] if asked else torch.zeros_like(case["target"][0]),
    }


EXERCISE = Exercise(
    id="gpt.speculate",
    title="Check a draft",
    parts={"accepted": 1, "rejected": 2, "filtered": 1},
    minutes=30,
    difficulty="core",
    importance=4,
    calls=("speculate(target, draft, tokens, uniforms, chances, draw)",),
    cases=cases,
    probe=probe,
)
