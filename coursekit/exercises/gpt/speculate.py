"""speculate(...): which drafted tokens stay, and from what the next one is drawn, so that no distribution changes."""

import torch

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.probing import Wrong, whole_numbers

# How a drafted token is met: its probability under both models, and the uniform number beside it.
EASY, SURE, TOP, LIKELY, SAME, UNLIKELY = "easy", "sure", "top", "likely", "same", "unlikely"
NOTHING = -1  # behind the last id
REMOVED, FAINT = "removed", "faint"  # by the target's filter; beside them 0, and a number above 0


def cases(g):
    def shuffled(n):
        return torch.randperm(n, generator=g)

    def row(fate, V, kept):
        """Weights 1 ... V for both models, of which the `kept` largest count; the token, and its uniform number."""
        largest = (V - shuffled(kept)[:2]).tolist()
        small, large = min(largest), max(largest)
        more = dict.fromkeys((EASY, TOP), (V, small)) | {SURE: (large, small), SAME: (large, large)}
        met = more | dict.fromkeys((REMOVED, FAINT), (1, large))
        theirs, ours = met.get(fate, (small, large))
        token = int(torch.randint(V, (), generator=g))
        weights = []
        for weight in (theirs, ours):
            others = torch.tensor([w for w in range(1, V + 1) if w != weight])[shuffled(V - 1)]
            weights.append(torch.cat([others[:token], torch.tensor([weight]), others[token:]]))
        if fate == SAME:
            weights[0] = weights[1]
        ratio = theirs / ours
        some = {EASY: 0.03, LIKELY: 0.7 * ratio, SAME: 0.999, UNLIKELY: 0.8 * ratio + 0.2, REMOVED: 0.0, FAINT: 0.02}
        return *weights, token, some.get(fate, 0.98)

    def case(part, *fates, V, kept=None, temperature=1.0, note="", dtype=torch.float32, shift=0.0, heavy=0.0):
        """A filter leaves the `kept` most probable tokens, if any are given. One that is never drafted may be heavy."""
        free = shuffled(V) + 1.5  # other numbers than in the rows before it
        rows = [row(fate, V, kept or V) for fate in fates]
        for *both, token, _ in rows:
            for weights in both if heavy else ():
                weights[token - 1] = heavy * V  # makes all others rare, and their quotients stay
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
            "k": len(rows),
        }
        return Case(part, ", ".join(filter(None, words)), given)

    double = torch.float64
    return [
        case("accepted", EASY, TOP, SURE, LIKELY, SAME, LIKELY, V=7),
        case("accepted", LIKELY, V=5, dtype=double),
        case("accepted", SURE, LIKELY, SAME, V=7),  # whoever takes the first uniform number for all rejects here
        case("accepted", LIKELY, SURE, LIKELY, V=6, dtype=double, shift=300.0, note="logits far from 0"),
        case("accepted", V=6, note="no draft"),
        case("accepted", SAME, LIKELY, SAME, V=6, heavy=1e7, dtype=double, note="the drafted tokens are rare"),
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
        case("filtered", SAME, SAME, FAINT, V=6, kept=1, dtype=double, note="greedy"),
    ]


def probe(case, speculate):
    """What is returned, and what `draw` is given: a distribution is seen as it is, nothing is left to chance."""
    asked, target, k = [], case["target"], case["k"]

    def draw(p):
        found, want = tuple(p.shape) if isinstance(p, torch.Tensor) else type(p).__name__, (target.shape[1],)
        if found != want:
            raise Wrong(f"draw was given {found}, expected the probabilities of all tokens, {want}")
        asked.append(p.detach().clone())
        return case["drawn"]

    def chances_of(logits):
        if logits.dim() != 2:
            raise Wrong(f"chances was given logits {tuple(logits.shape)}, expected rows of them, (n, V)")
        return chances(case, logits)

    ids = whole_numbers(
        speculate(target, case["draft"], case["tokens"], case["uniforms"], chances_of, draw),
        "the ids",
        target,
    )
    if not asked and len(ids) == k + 1:
        raise Wrong(
            "the last id does not come from draw, which is not called: it gives the last id, whatever came before"
        )
    if not asked:
        raise Wrong("draw is not called: it gives the last id, be a token rejected or all of them accepted")
    return {
        "number of ids": torch.tensor(len(ids), device=target.device),
        "ids": torch.cat([ids, ids.new_full((k + 1,), NOTHING)])[: k + 1],
        "calls of draw": torch.tensor(len(asked), device=target.device),
        "what draw is given": asked[0],
    }


def chances(inputs, logits):
    """Probabilities at the temperature, without those that the filter removes."""
    p = torch.threshold((logits / inputs["temperature"]).softmax(-1), inputs["floor"], 0.0)
    return p / p.sum(-1, keepdim=True)


def draft_then_drawn(inputs, outputs):
    """In front of the last id stands the beginning of the draft, and nothing else; the last one is what draw gave."""
    n = int(outputs["number of ids"])
    if not 0 < n <= inputs["k"] + 1:
        return None  # the number is told
    *front, last = outputs["ids"].tolist()[:n]
    draft = inputs["tokens"][: len(front)]
    if front != draft:
        return f"in front of the last id stand {front}, and the draft begins with {draft}"
    return None if last == inputs["drawn"] else f"the last id is {last}, and draw gave {inputs['drawn']}"


def from_the_last_row(inputs, outputs):
    """Behind a whole draft it is the last row of the target that is drawn from, not one that a token was checked by.

    Of several calls of `draw` the first one is seen, which need not be the one behind the draft.
    """
    k, given = inputs["k"], outputs["what draw is given"]
    if int(outputs["number of ids"]) <= k or outputs["calls of draw"] != 1:
        return None
    rows = [(m, i, p) for m in ("target", "draft") for i, p in enumerate(chances(inputs, inputs[m].to(given.device)))]
    same = [(m, i) for m, i, p in rows if torch.allclose(p, given.to(p), atol=1e-5)]
    if not same or ("target", k) in same:
        return None
    model, i = same[0]
    return f"what draw is given behind all tokens is row {i} of the {model}, by which tokens[{i}] is checked"


def sums_to_one(inputs, outputs):
    total = outputs["what draw is given"].double().sum().item()
    return f"what draw is given sums to {total:.3g}, and probabilities sum to 1" if abs(total - 1) > 1e-3 else None


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
    laws=(draft_then_drawn, sums_to_one, from_the_last_row),
)
