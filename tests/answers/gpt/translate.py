"""Answers to gpt.translate."""

import torch
import torch.nn.functional as F
from torch.nn.utils.rnn import pad_sequence

from tests.answers.collection import Answers

ANSWERS = Answers(
    "gpt.translate",
    spared={"dependence": "nothing is drawn", "far": "the largest logit counts, and no arithmetic is done with them"},
)


class Greedy:
    """Answers in steps: a slip is written as the one in which it differs."""

    def __call__(self, step, prompts, end, T):
        self.step, self.prompts, self.end, self.T = step, prompts, end, T
        self.longest = max(map(len, prompts))
        ids, real = self.ids(), self.real()
        self.answers, self.done = self.begun(), [False] * len(prompts)
        for n in range(self.rounds()):
            token = self.chosen(step(ids, real))
            self.write(token.tolist())
            if self.stops(n):
                break
            ids, real = self.next(token, real)
        return self.shown()

    def filler(self):
        return self.end

    def ids(self):
        return torch.tensor([[self.filler()] * (self.longest - len(p)) + p for p in self.prompts])

    def real(self):
        return torch.tensor([[False] * (self.longest - len(p)) + [True] * len(p) for p in self.prompts])

    def begun(self):
        return [[] for _ in self.prompts]

    def rounds(self):
        return self.T

    def chosen(self, logits):
        return logits[:, -1].argmax(-1)

    def write(self, tokens):
        for b, token in enumerate(tokens):
            if token == self.end:
                self.done[b] = True
            if not self.done[b]:
                self.answers[b].append(token)

    def stops(self, n):
        return all(self.done) or n + 1 == self.T

    def next(self, token, real):
        return token[:, None], F.pad(real, (0, 1), value=True)

    def shown(self):
        return self.answers


def translation(cls):
    def translate(step, prompts, end, T):
        return cls()(step, prompts, end, T)

    translate.__name__ = cls.__name__
    return translate


def slip(kind, says, **told):
    def register(cls):
        ANSWERS.wrong(kind, says, **told)(translation(cls))
        return cls

    return register


@slip("plain", "filled up on the right", true="PaddedOnTheRight")
class OnTheRight(Greedy):
    def ids(self):
        return torch.tensor([p + [self.end] * (self.longest - len(p)) for p in self.prompts])

    def real(self):
        return torch.tensor([[True] * len(p) + [False] * (self.longest - len(p)) for p in self.prompts])


@slip(
    "plain",
    "filled up on the right, and the answer read at the last real place of the first call",
    told="fill up shorter ones on the left",
)
class ReadWhereItEnds(OnTheRight):
    first = True

    def chosen(self, logits):
        if not self.first:
            return super().chosen(logits)
        self.first = False
        return logits[torch.arange(len(logits)), torch.tensor([len(p) - 1 for p in self.prompts])].argmax(-1)


@slip("plain", "all places are called real", true="PaddingIsReal")
class AllReal(Greedy):
    def real(self):
        return torch.ones_like(self.ids(), dtype=torch.bool)


@slip(
    "plain",
    "real is the wrong way round: True at padding, as torch's key_padding_mask",
    told="it is False where a row was filled up, else True",
)
class Inverted(Greedy):
    def real(self):
        return ~super().real()

    def next(self, token, real):
        return token[:, None], F.pad(real, (0, 1), value=False)


@slip("named", "real is made from the ids: a prompt's own `end` is taken for padding", true="RealByComparing")
class FromTheIds(Greedy):
    def real(self):
        return self.ids() != self.end


@slip("named", "filled up with -1, and real made from that", told="ids that the model does not know")
class MinusOne(Greedy):
    def filler(self):
        return -1


@slip("named", "filled up with -100", told="ids that the model does not know")
class MinusHundred(Greedy):
    def filler(self):
        return -100


@slip("plain", "real is not made longer", told="`real` for all places so far")
class RealStays(Greedy):
    def next(self, token, real):
        return token[:, None], real


@slip("plain", "real is that of the new tokens alone", told="`real` for all places so far")
class RealOfTheNew(Greedy):
    def next(self, token, real):
        return token[:, None], torch.ones(len(token), 1, dtype=torch.bool)


@slip("plain", "the whole text is given again each time, as without a cache", true="WholeTextAgain")
class WholeText(Greedy):
    def next(self, token, real):
        self.text = torch.cat([getattr(self, "text", self.ids()), token[:, None]], 1)
        return self.text, F.pad(real, (0, 1), value=True)


@slip(
    "plain",
    "the tokens are given without a dimension for the places",
    told=r"int64 \(1,\), expected torch.int64 \(1, t\)",
)
class WithoutPlaces(Greedy):
    def next(self, token, real):
        return token, F.pad(real, (0, 1), value=True)


@slip("onward", "finished rows are called padding, and go on when the model is asked again", true="NothingEndsARow")
class FinishedAreNotReal(Greedy):
    def write(self, tokens):
        for b, token in enumerate(tokens):
            if token != self.end:
                self.answers[b].append(token)


@slip("onward", "a row that has finished writes on when others still do", true="FinishedRowsGoOn")
class WritesOn(Greedy):
    def write(self, tokens):
        for b, token in enumerate(tokens):
            self.done[b] |= token == self.end
            self.answers[b].append(token)

    def shown(self):
        return [[i for i in row if i != self.end] for row in self.answers]


@slip("plain", "`end` stays at the end of the answers", true="EndKept")
class WithEnd(Greedy):
    def write(self, tokens):
        for b, token in enumerate(tokens):
            if not self.done[b]:
                self.answers[b].append(token)
            self.done[b] |= token == self.end


@slip("plain", "the prompt stands in front of the answers", true="PromptReturned")
class WithPrompt(Greedy):
    def begun(self):
        return [[*p] for p in self.prompts]


@slip("plain", "all rows stop when the first has finished", true="FirstEndStopsAll")
class AnyForAll(Greedy):
    def stops(self, n):
        return any(self.done) or n + 1 == self.T


@slip("plain", "it never looks whether all have finished", true="GoesOnToTheEnd")
class NeverEarly(Greedy):
    def stops(self, n):
        return n + 1 == self.T


@slip(
    "plain",
    "one call more, whose logits nobody needs: the check for the end stands in front of the call",
    true="OneCallTooMany",
)
class OneCallMore(Greedy):
    def stops(self, n):
        return all(self.done)

    def rounds(self):
        return self.T

    def shown(self):
        if not all(self.done):
            self.step(torch.zeros(len(self.prompts), 1, dtype=torch.long), F.pad(self.last, (0, 1), value=True))
        return self.answers

    def next(self, token, real):
        self.last = real
        return super().next(token, real)


@slip("plain", "T - 1 tokens", true="OneTokenTooFew")
class OneTooFew(Greedy):
    def rounds(self):
        return max(self.T - 1, 1)


@slip("plain", "T + 1 tokens", true="OneTokenTooMany")
class OneTooMany(Greedy):
    def rounds(self):
        return self.T + 1

    def stops(self, n):
        return all(self.done)


@slip("named", "T counts the prompt, as max_length does", true="PromptCounted")
class PromptInT(Greedy):
    def rounds(self):
        return max(self.T - self.longest, 1)

    def stops(self, n):
        return all(self.done) or n + 1 == self.rounds()


@slip("named", "a row whose prompt holds `end` is finished at once", true="EndInThePrompt")
class EndInThePrompt(Greedy):
    def write(self, tokens):
        self.done = [d or self.end in p for d, p in zip(self.done, self.prompts, strict=True)]
        super().write(tokens)


@slip(
    "named",
    "answers are cut out of the text behind the first `end`",
    told="end tokens in the prompts: lengths of the answers differs in 2 of 2 .*: 0, expected",
)
class CutAtTheFirstEnd(Greedy):
    def shown(self):
        rows = [p + a for p, a in zip(self.prompts, self.answers, strict=True)]
        return [
            row[: row.index(self.end)][len(p) :] if self.end in row else row[len(p) :]
            for p, row in zip(self.prompts, rows, strict=True)
        ]


@slip("plain", "the first place's logits are read", true="ReadAtTheFirst")
class FirstPlace(Greedy):
    def chosen(self, logits):
        return logits[:, 0].argmax(-1)


@slip("plain", "argmax over the places", advice="the result is the same for two cases that differ in end alone")
class OverThePlaces(Greedy):
    def chosen(self, logits):
        return logits.argmax(1)[:, -1]


@slip("plain", "drawn, not chosen", told="something in it is random")
class Drawn(Greedy):
    def chosen(self, logits):
        return torch.multinomial((logits[:, -1] / 10).softmax(-1), 1)[:, 0]


@slip("plain", "one prompt after another", told=r"\(1, 3\), expected torch.int64 \(3, t\), a row for each prompt")
class OneByOne(Greedy):
    def __call__(self, step, prompts, end, T):
        return [Greedy.__call__(self, step, [p], end, T)[0] for p in prompts]


@slip("plain", "prompts of one length are batched together, and the rest after them", told="a row for each prompt")
class Grouped(Greedy):
    def __call__(self, step, prompts, end, T):
        groups = {len(p): [q for q in prompts if len(q) == len(p)] for p in prompts}
        found = {n: iter(Greedy.__call__(self, step, group, end, T)) for n, group in groups.items()}
        return [next(found[len(p)]) for p in prompts]


@slip("plain", "sorted by length, and not sorted back", told="another order than the prompts")
class Sorted(Greedy):
    def __call__(self, step, prompts, end, T):
        return super().__call__(step, sorted(prompts, key=len), end, T)


@slip("plain", "finished rows leave the batch", told="a row for each prompt")
class LeavesTheBatch(Greedy):
    def next(self, token, real):
        stay = torch.tensor([not d for d in self.done])
        return token[stay, None], F.pad(real[stay], (0, 1), value=True)


@slip("ones", "squeezed: one row loses its dimension")
class Squeezed(Greedy):
    def chosen(self, logits):
        return logits[:, -1].argmax(-1).squeeze()

    def write(self, tokens):
        super().write(tokens)

    def next(self, token, real):
        return token[:, None], F.pad(real, (0, 1), value=True)


@slip(
    "ones",
    "a prompt of one token is taken for a token that was cached",
    told="real for 1 places, but it has got ids for 2",
)
class OneTokenPrompt(Greedy):
    def begun(self):
        if self.longest == 1:
            self.longest = 2
            self.step(self.ids()[:, :1], self.real()[:, :1])
        return super().begun()


@slip("large", "16 tokens at most", told="wrong where it is 30 or more")
class Sixteen(Greedy):
    def rounds(self):
        return min(self.T, 16)

    def stops(self, n):
        return all(self.done) or n + 1 == self.rounds()


@slip("large", "eight prompts at most", told=r"\(8, 11\), expected torch.int64 \(20, t\), a row for each prompt")
class Eight(Greedy):
    def __call__(self, step, prompts, end, T):
        return super().__call__(step, prompts[:8], end, T)


@slip(
    "large",
    "the last 16 tokens of a prompt",
    told=r"real in the first call has shape \(2, 16\), expected \(2, 30\)",
    advice="wrong where it is 30 or more",
)
class CutPrompts(Greedy):
    def __call__(self, step, prompts, end, T):
        return super().__call__(step, [p[-16:] for p in prompts], end, T)


@slip("given", "prompts are filled up in place", told="changes its input prompts")
class FilledInPlace(Greedy):
    def ids(self):
        for p in self.prompts:
            p[:0] = [self.end] * (self.longest - len(p))
        return torch.tensor(self.prompts)


@slip("given", "answers are appended to the prompts, and cut off them", told="changes its input prompts")
class AppendedInPlace(Greedy):
    def write(self, tokens):
        for p, d, token in zip(self.prompts, self.done, tokens, strict=True):
            if not d and token != self.end:
                p.append(token)
        super().write(tokens)


ROWS: dict = {}


@slip("again", "answers are kept by the length", told="kept what an earlier call gave")
class Kept(Greedy):
    def shown(self):
        return ROWS.setdefault(self.T, self.answers)


@slip("again", "answers are collected in a default argument", told="keeps something from one call to the next")
class Collected(Greedy):
    def begun(self, rows=[]):  # noqa: B006
        while len(rows) < len(self.prompts):
            rows.append([])
        return rows[: len(self.prompts)]


@slip("surroundings", "gradients are switched off and not on again", told="gradients switched off")
class GradientsOff(Greedy):
    def rounds(self):
        torch.set_grad_enabled(False)
        return self.T


@slip("surroundings", "a seed for all random numbers, to be sure", told="manual_seed")
class Seeds(Greedy):
    def rounds(self):
        torch.manual_seed(0)
        return self.T


@slip(
    "unwatched",
    "the prompt is read token by token, and the answers are the same",
    told=r"real in the first call has shape \(1, 1\), expected \(1, 4\)",
)
class TokenByToken(Greedy):
    def __call__(self, step, prompts, end, T):
        def slowly(ids, real):
            n = real.shape[1] - ids.shape[1]
            return [step(ids[:, i : i + 1], real[:, : n + i + 1]) for i in range(ids.shape[1])][-1]

        return super().__call__(slowly, prompts, end, T)


@slip(
    "unwatched",
    "one place more than needed is filled up, to be safe",
    told=r"real in the first call has shape \(1, 5\), expected \(1, 4\)",
)
class WiderThanNeeded(Greedy):
    def begun(self):
        return super().begun()

    def ids(self):
        return F.pad(super().ids(), (1, 0), value=self.end)

    def real(self):
        return F.pad(super().real(), (1, 0), value=False)


@slip("plain", "a tensor, filled up with `end`", told="it returned a Tensor, expected 1 lists of ids")
class AsTensor(Greedy):
    def shown(self):
        n = max(map(len, self.answers))
        return torch.tensor([a + [self.end] * (n - len(a)) for a in self.answers])


@slip("plain", "rows of one list: [[]] * B", true="OneListForAll")
class OneListForAll(Greedy):
    def begun(self):
        return [[]] * len(self.prompts)


@slip("plain", "float mask, as attention_mask of a library", told=r"real of torch.int64 \(1, 4\), expected torch.bool")
class AsNumbers(Greedy):
    def real(self):
        return super().real().long()


@slip("plain", "two slips: filled up on the right, and `end` stays", true="EndKept PaddedOnTheRight")
class TwoSlips(OnTheRight, WithEnd):
    pass


@ANSWERS.right
@translation
class InSteps(Greedy):
    pass


@ANSWERS.right
def with_tensors(step, prompts, end, T):
    """Padding by pad_sequence of what is turned round, and rows cut at the first `end` afterwards."""
    rows = [torch.tensor(p[::-1]) for p in prompts]
    ids = pad_sequence(rows, batch_first=True, padding_value=prompts[0][0]).flip(1)
    lengths = torch.tensor([*map(len, prompts)])[:, None]
    real = torch.arange(ids.shape[1]).flip(0) < lengths
    written = torch.empty(len(prompts), 0, dtype=torch.long)
    while True:
        _, token = step(ids, real)[:, -1, :].max(dim=-1)
        written = torch.cat([written, token[:, None]], 1)
        if written.shape[1] == T or (written == end).any(1).all():
            break
        ids, real = token.unsqueeze(1), torch.cat([real, torch.ones(len(ids), 1, dtype=torch.bool)], 1)
    return [row[: row.index(end)] if end in row else row for row in written.tolist()]


@ANSWERS.right
@translation
class WaitingRowsGetEnd(Greedy):
    """A finished row is given `end`, called padding, until the others are done."""

    def next(self, token, real):
        going = torch.tensor([not d for d in self.done])
        return torch.where(going, token, self.end)[:, None], torch.cat([real, going[:, None]], 1)


@ANSWERS.right
def with_a_set(step, prompts, end, T):
    """A generator of columns, and a set of those that still write; tuples of numbers come back."""

    def columns():
        n = max(len(p) for p in prompts)
        ids, real = torch.zeros(len(prompts), n, dtype=torch.int64), torch.zeros(len(prompts), n, dtype=torch.bool)
        for b, p in enumerate(prompts):
            ids[b, n - len(p) :], real[b, n - len(p) :] = torch.tensor(p), True
        while True:
            ids = step(ids, real)[:, -1:].argmax(-1)
            yield ids[:, 0].tolist()
            real = F.pad(real, [0, 1], value=True)

    writing, answers = {*range(len(prompts))}, [() for _ in prompts]
    for n, column in enumerate(columns(), 1):
        writing -= {b for b in writing if column[b] == end}
        for b in writing:
            answers[b] += (column[b],)
        if not writing or n == T:
            return answers
    return None


# A second round.


@slip(
    "plain",
    "real of the first call is that of another padding, one place too short",
    told="real in the first batch does not say where",
)
class OffByOne(Greedy):
    def real(self):
        return torch.tensor([[i >= self.longest - len(p) + 1 for i in range(self.longest)] for p in self.prompts])


@slip("named", "`end` is looked for at the token that is given, a call too late")
class EndSeenLate(Greedy):
    def stops(self, n):
        late, self.before = getattr(self, "before", [False] * len(self.done)), [*self.done]
        return all(late) or n + 1 == self.T


@slip("onward", "a finished row starts anew when the model chooses another token than `end`")
class StartsAnew(Greedy):
    def write(self, tokens):
        for b, token in enumerate(tokens):
            self.done[b] = token == self.end
            if not self.done[b]:
                self.answers[b].append(token)


@slip("large", "ids in 8 bits: the model knows no such number", told="ids of torch.int8")
class EightBits(Greedy):
    def ids(self):
        return super().ids().to(torch.int8)


@slip("given", "the model's table is asked, and not the model", told="no attribute|AttributeError")
class AsksTheTable(Greedy):
    def chosen(self, logits):
        return self.step.model(self.ids()).argmax(-1)


@slip("named", "an answer that ends at once holds `end`, so that it is not empty")
class NeverEmpty(Greedy):
    def shown(self):
        return [a or [self.end] for a in self.answers]


@ANSWERS.right
@translation
class WithNumpyRows(Greedy):
    """Arrays of integers are lists of ids."""

    def shown(self):
        return [torch.tensor(a, dtype=torch.long).numpy() for a in self.answers]


# A third round.


@slip("named", "a prompt that begins with `end` loses it", told="begins with the end: real in the first batch")
class EndIsPadding(Greedy):
    def real(self):
        return (self.ids() != self.end).int().cummax(1).values.bool()


@slip("named", "a prompt that ends with `end` is finished", told="end tokens in the prompts")
class PromptFinishes(Greedy):
    def shown(self):
        return [[] if p[-1] == self.end else a for p, a in zip(self.prompts, super().shown(), strict=True)]


@slip("named", "one answer for all rows of one prompt", told="the same prompt twice")
class ByPrompt(Greedy):
    def shown(self):
        found = dict(zip(map(tuple, self.prompts), super().shown(), strict=True))
        return [*found.values()]
