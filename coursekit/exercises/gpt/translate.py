"""translate(step, prompts, end, T): greedy answers to prompts of unequal length, in one batch padded on the left."""

import torch

from coursekit.checking.contract import Case, Exercise
from coursekit.checking.drawing import some
from coursekit.checking.probing import Wrong, several, whole_numbers

STATES, LARGE = 97, 1e4


def cases(g):
    def case(part, label, lengths, answers, T, V=19, ended=(), dtype="float32", end=None):
        """A prompt of each length. The n-th answer has so many tokens before the end, or is cut at T.

        The prompts in `ended` hold the token that ends an answer.
        """
        first, *others = some(g, range(V), V)
        if end is None:
            end = first
        elif end != first:
            others[others.index(end)] = first
        prompts = [[others[i] for i in torch.randint(V - 1, (n,), generator=g).tolist()] for n in lengths]
        for prompt, token in zip(prompts, others, strict=False):
            prompt[0] = token  # by it the model knows a row
        for b in ended:
            prompts[b][len(prompts[b]) // 2 :: len(prompts[b]) // 2] = [end] * 2  # in the middle, and at the end
        totals = [n + m for n, m in zip(lengths, answers, strict=True)]
        seed = torch.randint(2**31, (), generator=g).item()
        given = {"prompts": prompts, "end": end, "T": T, "totals": totals, "V": V, "seed": seed, "dtype": dtype}
        return Case(part, label, given)

    def altered(case, label, **given):
        """The same prompts to the same model, and one argument is another."""
        return Case(case.part, label, case.inputs | given)

    one, unequal = "one length", "unequal lengths"
    three = case(one, "three prompts of one length", [3, 3, 3], [2, 6, 4], T=9, dtype="float64")
    mixed = case(unequal, "prompts of 2, 5 and 3 tokens", [2, 5, 3], [4, 2, 6], T=9)
    late = case(unequal, "the shortest is answered last", [1, 6, 4], [8, 0, 3], T=10, dtype="float64")
    return [
        case(one, "one prompt", [4], [5], T=8),
        three,
        case(one, "one prompt of one token", [1], [3], T=4),
        case(one, "no end within T", [4, 4], [9, 9], T=5),
        altered(three, "T = 1, the same prompts", T=1),
        case(one, "the end comes first", [5], [0], T=6),
        case(one, "the end comes behind exactly T tokens", [3, 3], [4, 2], T=4),
        case(one, "end tokens in the prompts", [5, 5], [3, 4], T=6, ended=[0, 1]),
        mixed,
        late,
        case(unequal, "the longest is answered last", [7, 1], [6, 2], T=10, end=late.inputs["end"]),
        case(unequal, "some without an end", [2, 5, 3, 1], [20, 3, 20, 0], T=7),
        altered(mixed, "another end, which a prompt holds", end=mixed.inputs["prompts"][1][2]),
        case(unequal, "20 prompts", [1 + 7 * i % 11 for i in range(20)], [5 * i % 9 for i in range(20)], T=7, V=60),
        case(unequal, "a long answer", [2, 30], [27, 9], T=30, V=50),
        twice(case(unequal, "the same prompt twice", [3, 5, 3], [6, 2, 6], T=9)),
        begun(case(unequal, "a prompt begins with the end", [3, 6, 4], [3, 5, 2], T=7)),
    ]


def twice(case):
    case.inputs["prompts"][2] = [*case.inputs["prompts"][0]]
    return case


def begun(case):
    """The row is known by its second token."""
    case.inputs["prompts"][1].insert(0, case.inputs["end"])
    case.inputs["totals"][1] += 1
    return case


class Step:
    """A language model with a cache of its own, made of tables: no two logits of a row are alike.

    The next token depends on all real tokens and on their order. How many tokens a row has when its end is the best
    one, the model knows by the row's first token. What it says at a place that is not real means nothing.
    """

    def __init__(self, case):
        g = torch.Generator().manual_seed(case["seed"])
        self.table = torch.rand(STATES, case["V"], generator=g, dtype=torch.float64).argsort(1)
        self.weights = torch.randint(1, STATES, (STATES,), generator=g)
        self.totals = torch.full((case["V"],), -1)
        for prompt, total in zip(case["prompts"], case["totals"], strict=True):
            self.totals[prompt[prompt[0] == case["end"]]] = total
        self.B, self.V, self.end, self.most = len(case["prompts"]), case["V"], case["end"], case["T"] + 3
        self.dtype = getattr(torch, case["dtype"])
        self.ids, self.widths, self.first = torch.empty(self.B, 0, dtype=torch.int64), [], torch.empty(0)

    def __call__(self, ids, real):
        self._accept(ids, real)
        new = slice(-ids.shape[1], None)
        count = real.cumsum(1)
        terms = count * (self.ids + 1) * self.weights[count % STATES] * real
        state = (terms.cumsum(1) + 31 * ~real)[:, new] % STATES
        logits = self.table[state].to(self.dtype)
        first = self._first_of_its_own(real)
        at_the_end = (count[:, new] == self.totals[first]) & real[:, new]
        logits[..., self.end] = torch.where(at_the_end, LARGE, -1.0).to(self.dtype)
        return logits

    def _first_of_its_own(self, real):
        """The first real token (B, 1) that does not end an answer."""
        return self.ids.gather(1, (real & (self.ids != self.end)).int().argmax(1, keepdim=True))

    def _accept(self, ids, real):
        """Add the new tokens to those before them. Raises Wrong where a model could not read them."""
        for name, x, dtypes in (("ids", ids, (torch.int64, torch.int32)), ("real", real, (torch.bool,))):
            if not isinstance(x, torch.Tensor) or x.dtype not in dtypes or x.shape[:-1] != (self.B,):
                told = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__
                raise Wrong(
                    f"step is called with {name} of {told}, expected {dtypes[0]} ({self.B}, t), a row for each prompt"
                )
        if not ids.numel() or not 0 <= ids.min() <= ids.max() < self.V:
            raise Wrong("step is called with ids that the model does not know: fill up with one that it does, as `end`")
        self.ids = torch.cat([self.ids, ids.long()], 1)
        if real.shape != self.ids.shape:
            raise Wrong(
                f"step is called with real for {real.shape[1]} places, but it has got ids for {self.ids.shape[1]}: "
                "first the whole prompts, then one new token each, and `real` for all places so far"
            )
        self.first = real.clone() if not self.widths else self.first
        self.widths.append(ids.shape[1])
        if len(self.widths) > self.most:
            raise Wrong("step is called far more often than T times")


def probe(case, translate):
    """The answers, how long they are, and how the model was called."""
    step = Step(case)
    found = translate(step, case["prompts"], case["end"], case["T"])
    answers = several(found, *(f"answer {b}" for b in range(step.B)), kind="lists of ids")
    rows = [whole_numbers(answer, f"answer {b}") for b, answer in enumerate(answers)]
    return {
        PADDING: step.first,
        "lengths of the answers": torch.tensor([*map(len, rows)], dtype=torch.int32),
        "all answers in a row": torch.cat(rows).to(torch.int32),
        "tokens of a row in each call of step": torch.tensor(step.widths, dtype=torch.int32),
    }


PADDING = "real in the first call"


def padding_said(found, right):
    if torch.equal(found.sum(1), right.sum(1)):
        return "the prompts stand elsewhere in the first batch: fill up shorter ones on the left"
    if sorted(found.tolist()) == sorted(right.tolist()):
        return "the rows of the first batch stand in another order than the prompts, and so would the answers"
    return (
        "real in the first batch does not say where the prompts are: it is False where a row was filled up, else True"
    )


EXERCISE = Exercise(
    id="gpt.translate",
    title="Translate in batches",
    parts={"one length": 1, "unequal lengths": 1},
    minutes=25,
    difficulty="core",
    importance=4,
    calls=("translate(step, prompts, end, T)",),
    cases=cases,
    probe=probe,
    said={PADDING: padding_said},
)
