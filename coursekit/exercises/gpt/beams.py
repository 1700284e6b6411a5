"""beam_search(step, start, width, length_power, end, T): the best texts that a search of this width finds."""

from collections.abc import Sequence

import torch

from coursekit.checking.contract import Case, Exercise, dtype_name
from coursekit.checking.probing import Wrong, number, several, whole_numbers

NOTHING = -1  # behind the end of a text
LENGTHS = "length of each text"


def cases(g):
    def case(part, width, T, power, V=5, end=0, start=(2, 3), note="", dtype=torch.float32, sure=0.0, apart=1.0):
        """What follows depends on how many tokens were written and on the last one; `sure` makes the end likelier."""
        logits = apart * torch.randn(T, V, V, generator=g, dtype=torch.float64)
        logits[..., end] += sure
        return of_table(part, width, T, power, logits, end, start, note, dtype)

    def of_table(part, width, T, power, logits, end, start, note, dtype):
        V = logits.shape[-1]
        # Rounded to a power of two, for processors do not agree on the last bits of a logarithm.
        table = ((logits.log_softmax(-1) * 2**30).round() / 2**30).to(dtype)
        words = [f"width={width}", f"T={T}", f"V={V}", f"length_power={power}", note]
        words += [dtype_name(dtype)] if dtype == torch.float64 else []
        given = {"table": table, "start": list(start), "width": width, "length_power": power, "end": end, "T": T}
        return Case(part, ", ".join(filter(None, words)), given)

    def planned(note, width, T, *rounds):
        """What is likely round by round: behind a token, others with their probabilities; the rest share what is left.

        Of the letters "e" is the end and "s" the last token of the prompt.
        """
        ids = dict(zip("esabc", torch.randperm(5, generator=g).tolist(), strict=True))
        p = 1 + torch.rand(T, 5, 5, generator=g, dtype=torch.float64)
        for n, behind in enumerate(rounds):
            for last, likely in behind.items():
                places, chances = [ids[c] for c in likely], torch.tensor([*likely.values()], dtype=torch.float64)
                row = p[n, ids[last]].index_fill(0, torch.tensor(places), 0)
                p[n, ids[last]] = (1 - chances.sum()) * row / row.sum()
                p[n, ids[last], places] = chances
        return of_table("search", width, T, 0.0, p.log(), ids["e"], (ids["a"], ids["s"]), note, double)

    double = torch.float64
    return [
        case("search", 3, 5, 0.0, sure=-2.0),
        case("search", 1, 5, 0.0, V=6, sure=-1.0, note="one beam"),
        case("search", 3, 5, 0.0, V=6, start=(1, 4, 1), apart=3.0, dtype=double, note="another prompt"),
        case("search", 60, 3, 0.0, V=4, end=3, start=(1,), dtype=double, note="every text"),
        case("search", 9, 1, 0.0, V=6, end=2, note="one token"),
        case("search", 3, 5, 0.0, end=2, sure=-1.0, note="the prompt holds the end"),
        case("search", 2, 4, 0.0, end=2, start=(3, 2), sure=-1.0, dtype=double, note="the prompt ends with the end"),
        case("search", 3, 9, 0.0, V=4, sure=-9.0, dtype=double, note="nothing ends"),
        case("search", 50, 3, 0.0, V=4, apart=300.0, dtype=double, note="every text, probabilities far apart"),
        planned(
            "a text that has ended, and room for two more",
            *(2, 3),
            {"s": {"e": 0.4, "a": 0.3, "b": 0.2}},
            {"a": {"b": 0.45, "s": 0.35}, "b": {"c": 0.9}},
            {"b": {"c": 0.3}, "s": {"a": 0.9}},
        ),
        planned(
            "two texts have ended, and the best is open",
            *(2, 4),
            {"s": {"a": 0.6, "e": 0.3}},
            {"a": {"b": 0.6, "e": 0.3}},
            {"b": {"c": 0.95}},
            {"c": {"a": 0.97}},
        ),
        planned("one beam, which ends early", 1, 4, {"s": {"a": 0.9}}, {"a": {"e": 0.9}}),
        case("length", 3, 5, 1.0, sure=0.5),
        case("length", 4, 7, 0.7, V=6, end=3, sure=1.0, dtype=double),
        case("length", 2, 8, 1.6, V=4, end=1, sure=0.5),
        case("length", 5, 5, 1.0, end=4, sure=2.0, note="most texts end soon"),
        case("length", 4, 12, 0.5, V=7, apart=2.5, sure=0.5, dtype=double, note="mostly sure of the next token"),
        case("length", 100, 3, 1.0, V=5, end=2, sure=0.5, dtype=double, note="every text"),
        case("length", 6, 40, 0.8, V=8, end=7, start=(6,) * 5, sure=-3.0, dtype=double, note="long texts"),
    ]


def probe(case, beam_search):
    """The texts that are found, best first, and their scores."""
    step = Step(case)
    found = beam_search(step, case["start"], case["width"], case["length_power"], case["end"], case["T"])
    if not isinstance(found, list | tuple):
        raise Wrong(f"it returned a {type(found).__name__}, expected a list of pairs: the ids of a text, its score")
    if step.problem:
        raise Wrong(step.problem)
    if not found:
        raise Wrong("no text comes back, expected one at least: what is still open after T steps is a text too")
    texts, scores = [], []
    for pair in found:
        ids, score = several(pair, "ids", "score")
        texts.append(whole_numbers(ids, "ids", case["table"]))
        scores.append(number(score, "the score of a text", case["table"]).detach())
    like, width, T = case["table"], case["width"], case["T"]
    rows, lengths = (
        torch.full(shape, NOTHING, dtype=torch.int32, device=like.device) for shape in ((width, T), (width,))
    )
    for i, text in enumerate(texts[:width]):
        rows[i, : len(text)] = text[:T]
        lengths[i] = len(text)
    return {
        "number of texts": torch.tensor(len(texts), device=like.device),
        LENGTHS: lengths,
        f"ids of the texts, {NOTHING} behind their ends": rows,
        "scores": torch.stack([*scores, *like.new_zeros(width)])[:width],
    }


def _texts(inputs, outputs):
    """The texts that came back, with their scores."""
    n = min(int(outputs["number of texts"]), inputs["width"])
    lengths, rows = outputs[LENGTHS].tolist(), next(x for name, x in outputs.items() if name.startswith("ids"))
    return [(rows[i, : lengths[i]].tolist(), outputs["scores"][i].item()) for i in range(n)]


def all_different(inputs, outputs):
    texts = [ids for ids, _ in _texts(inputs, outputs)]
    twice = next((ids for ids in texts if texts.count(ids) > 1), None)
    return None if twice is None else f"the text {twice} comes {texts.count(twice)} times"


def the_best_first(inputs, outputs):
    scores = [score for _, score in _texts(inputs, outputs)]
    i = next((i for i in range(1, len(scores)) if scores[i] > scores[i - 1] + 1e-5), None)
    return None if i is None else f"text {i} has a higher score than text {i - 1}: the best comes first"


def ended_or_full(inputs, outputs):
    """A text that has not ended has T tokens."""
    for i, (ids, _) in enumerate(_texts(inputs, outputs)):
        if ids[-1:] != [inputs["end"]] and len(ids) < inputs["T"]:
            return f"text {i} is {ids}, without `end`, and was not continued: T is {inputs['T']}"
    return None


def score_of_its_text(inputs, outputs):
    table = inputs["table"].double()
    for i, (ids, score) in enumerate(_texts(inputs, outputs)):
        if not 0 < len(ids) <= inputs["T"] or not all(0 <= token < table.shape[-1] for token in ids):
            continue
        before = [inputs["start"][-1], *ids]
        total = sum(table[n, before[n], token].item() for n, token in enumerate(ids))
        if not abs(score * len(ids) ** inputs["length_power"] - total) <= 1e-3 * abs(total) + 1e-4:
            told = f"text {i} is {ids}, the logarithms of its {len(ids)} tokens sum to {total:.4g}"
            return f"{told}, its score is {score:.4g}"
    return None


class Step:
    """What is handed to the search; it notes the first thing that no search of this kind should ask."""

    def __init__(self, case):
        self.case, self.problem = case, ""

    def __call__(self, texts):
        if not isinstance(texts, Sequence) or not all(isinstance(text, list | tuple) for text in texts):
            raise Wrong("step takes a list of texts, each a list of ids, prompt included")
        if not texts:
            raise Wrong("step was called with no text at all: stop when none is open")
        return torch.stack([self._follows([*text]) for text in texts])

    def _follows(self, text):
        start, end, T = (self.case[name] for name in ("start", "end", "T"))
        n = len(start)
        if text[:n] != start:
            raise Wrong("step was given a text that does not begin with the prompt: give it prompt and new tokens")
        if len(text) - n >= T:
            raise Wrong("step was given a text that has T new tokens already")
        if end in text[n:]:
            self.problem = self.problem or "step was given a text that has ended: such a text is not continued"
        return self.case["table"][len(text) - n, text[-1]].clone()


EXERCISE = Exercise(
    id="gpt.beams",
    title="Beam search",
    parts={"search": 2, "length": 1},
    minutes=30,
    difficulty="core",
    importance=3,
    calls=("beam_search(step, start, width, length_power, end, T)",),
    cases=cases,
    probe=probe,
    laws=(all_different, ended_or_full, score_of_its_text, the_best_first),
)
