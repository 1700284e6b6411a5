"""Greedy decoding of prompts of unequal length in one batch, padded on the left.

Each row takes the most probable token until that is the end or T tokens are there. Its places before the prompt are
not real, its newest token is always in the last column, and a row that is finished waits for the others.
"""

import torch

from grader.contract import Trusted


def reference(step, prompts, end, T):
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), end)
    real = torch.zeros(len(prompts), longest, dtype=torch.bool)
    for b, prompt in enumerate(prompts):
        for i, token in enumerate(prompt):
            ids[b, longest - len(prompt) + i] = token
            real[b, longest - len(prompt) + i] = True
    answers, finished = [[] for _ in prompts], [False] * len(prompts)
    while not all(finished):
        logits = step(ids, real)
        ids = torch.full((len(prompts), 1), end)
        for b in range(len(prompts)):
            if finished[b]:
                continue
            token = int(logits[b, -1].argmax())
            if token == end:
                finished[b] = True
                continue
            answers[b].append(token)
            ids[b, 0] = token
            finished[b] = len(answers[b]) == T
        real = torch.cat([real, torch.ones_like(real[:, :1])], 1)
    return answers


class Greedy:
    """The same in steps: a mistake is written as the one in which it differs."""

    def __call__(self, step, prompts, end, T):
        ids, real = self.batch(prompts, end)
        finished = self.at_first(prompts, end)
        columns = []
        for _ in range(self.calls(T, prompts)):
            token = self.last(step(ids, real), prompts).argmax(-1)
            finished = finished | self.ends(token, end)
            columns.append(self.kept(token, finished, end))
            if self.done(finished):
                break
            ids, real = self.fed(ids, columns[-1]), torch.cat([real, self.new(real)], 1)
        return self.results(prompts, [self.cut(row, end, T) for row in torch.stack(columns, 1).tolist()])

    def batch(self, prompts, end):
        longest = max(map(len, prompts))
        ids = torch.tensor([[end] * (longest - len(p)) + p for p in prompts])
        return ids, self.real(ids, torch.tensor([[False] * (longest - len(p)) + [True] * len(p) for p in prompts]), end)

    def real(self, ids, real, end):
        return real

    def at_first(self, prompts, end):
        return torch.zeros(len(prompts), dtype=torch.bool)

    def calls(self, T, prompts):
        return T

    def last(self, logits, prompts):
        return logits[:, -1]

    def ends(self, token, end):
        return token == end

    def kept(self, token, finished, end):
        return token.masked_fill(finished, end)

    def done(self, finished):
        return bool(finished.all())

    def fed(self, ids, token):
        return token[:, None]

    def new(self, real):
        return torch.ones_like(real[:, :1])

    def cut(self, row, end, T):
        return row[: row.index(end)] if end in row else row

    def results(self, prompts, answers):
        return answers


TRUSTED = Trusted(
    reference, budget="padding, which logits, the cache, who is finished, when to stop and what comes back"
)
(slip,) = TRUSTED.one_by_one(lambda steps: steps())


@slip(
    "The prompts are filled up on the right, so that the last column of a shorter one is no token of it, and what the "
    "model says there means nothing. Fill up on the left: then all rows go on in the same column."
)
class PaddedOnTheRight(Greedy):
    def batch(self, prompts, end):
        longest = max(map(len, prompts))
        ids = torch.tensor([p + [end] * (longest - len(p)) for p in prompts])
        return ids, torch.tensor([[True] * len(p) + [False] * (longest - len(p)) for p in prompts])


@slip("`real` is True everywhere: the model reads the padding as text. It is False before a prompt begins.")
class PaddingIsReal(Greedy):
    def real(self, ids, real, end):
        return torch.ones_like(real)


@slip(
    "`real` is made by comparing ids with the one that fills up, and a prompt may hold that one as well. Make it from "
    "the lengths of the prompts."
)
class RealByComparing(Greedy):
    def real(self, ids, real, end):
        return ids != end


@slip(
    "A row is finished from the start where its prompt holds `end`: only a token that the model chooses can end an "
    "answer."
)
class EndInThePrompt(Greedy):
    def at_first(self, prompts, end):
        return torch.tensor([end in p for p in prompts])


@slip("Finished rows go on: once `end` was chosen in a row, nothing that comes after it belongs to its answer.")
class FinishedRowsGoOn(Greedy):
    def kept(self, token, finished, end):
        return token

    def cut(self, row, end, T):
        return [token for token in row if token != end]


@slip(
    "No row ever finishes: `end` is left out of the answers, and what comes behind it is written on. Remember for each "
    "row that it is finished, and stop when all are."
)
class NothingEndsARow(Greedy):
    def ends(self, token, end):
        return torch.zeros_like(token, dtype=torch.bool)

    def cut(self, row, end, T):
        return [token for token in row if token != end]


@slip("An answer has at most T - 1 tokens: T of them may be written, which takes T calls of `step`.")
class OneTokenTooFew(Greedy):
    def calls(self, T, prompts):
        return max(1, T - 1)


@slip(
    "All answers are one and the same list: `[[]] * B` holds one list B times. Make a new one for each prompt, "
    "`[[] for _ in prompts]`."
)
class OneListForAll(Greedy):
    def results(self, prompts, answers):
        longest = max(map(len, answers))
        return [[row[t] for t in range(longest) for row in answers if t < len(row)]] * len(answers)


@slip("All rows stop with the first one that ends: the others are not finished yet.")
class FirstEndStopsAll(Greedy):
    def done(self, finished):
        return bool(finished.any())


@slip("The answers are right, but `step` is called T times always: stop when all rows are finished.")
class GoesOnToTheEnd(Greedy):
    def done(self, finished):
        return False


@slip(
    "The answers are right, but `step` is called once more when all of them have T tokens: nobody needs those logits."
)
class OneCallTooMany(Greedy):
    def calls(self, T, prompts):
        return T + 1

    def cut(self, row, end, T):
        return super().cut(row[:T], end, T)


@slip("The answers hold one token too many: T is the most that an answer may have.")
class OneTokenTooMany(Greedy):
    def calls(self, T, prompts):
        return T + 1


@slip("T is taken for the length of prompt and answer together: it is that of the answer alone.")
class PromptCounted(Greedy):
    def calls(self, T, prompts):
        return max(1, T - max(map(len, prompts)))


@slip("`end` is kept in the answers: it says that an answer is over, and is no part of it.")
class EndKept(Greedy):
    def cut(self, row, end, T):
        return row[: row.index(end) + 1] if end in row else row


@slip("The prompts are returned in front of the answers: only what the model has written is asked for.")
class PromptReturned(Greedy):
    def results(self, prompts, answers):
        return [p + a for p, a in zip(prompts, answers, strict=True)]


@slip(
    "The next token is read at place len(prompt) - 1 of a row. With the padding on the left, the last token of every "
    "row stands in the last column."
)
class ReadAtTheLength(Greedy):
    def last(self, logits, prompts):
        if logits.shape[1] == 1:
            return logits[:, -1]
        return logits[torch.arange(len(prompts)), [len(p) - 1 for p in prompts]]


@slip("The next token is read at the first place that `step` returns: what follows a text is said at its last token.")
class ReadAtTheFirst(Greedy):
    def last(self, logits, prompts):
        return logits[:, 0]


@slip("New tokens are not real: `real` grows by True for each of them, or the model does not see what it wrote.")
class NewTokensNotReal(Greedy):
    def new(self, real):
        return torch.zeros_like(real[:, :1])


@slip(
    "The whole text is given to `step` in each call. It has kept what it has read: give it the new token alone, "
    "(B, 1), and `real` for all places."
)
class WholeTextAgain(Greedy):
    def fed(self, ids, token):
        return torch.cat([ids, token[:, None]], 1)


@TRUSTED.alternative
def in_columns(step, prompts, end, T):
    """One tensor for all that is written, cut afterwards; finished rows are fed 0 and are no longer real."""
    B, lengths = len(prompts), torch.tensor([len(p) for p in prompts])
    longest = int(lengths.max())
    real = torch.arange(longest) >= longest - lengths[:, None]
    ids = torch.zeros(B, longest, dtype=torch.int64).masked_scatter(real, torch.cat([*map(torch.tensor, prompts)]))
    written = torch.full((B, T), end)
    going = torch.ones(B, dtype=torch.bool)
    for t in range(T):
        token = step(ids, real)[:, -1].max(-1).indices
        going &= token != end
        written[going, t] = token[going]
        if not going.any():
            break
        ids, real = (token * going).unsqueeze(1), torch.hstack([real, going.unsqueeze(1)])
    return [row[: n.item()] for row, n in zip(written.tolist(), (written != end).sum(1), strict=True)]


@TRUSTED.alternative
def with_dictionaries(step, prompts, end, T):
    """Rows that still go on are kept in a dictionary, their newest token as its value."""
    longest = max(len(p) for p in prompts)
    mask = [[i >= longest - len(p) for i in range(longest)] for p in prompts]
    batch = [[p[0]] * (longest - len(p)) + list(p) for p in prompts]
    open_rows = dict.fromkeys(range(len(prompts)), 0)
    answers = {b: [] for b in open_rows}
    while open_rows:
        scores = step(torch.tensor(batch), torch.tensor(mask))
        for b in list(open_rows):
            open_rows[b] = scores[b][-1].argsort()[-1].item()
            if open_rows[b] != end:
                answers[b].append(open_rows[b])
            if open_rows[b] == end or len(answers[b]) == T:
                del open_rows[b]
        batch = [[open_rows.get(b, end)] for b in answers]
        mask = [[*row, True] for row in mask]
    return list(answers.values())
