"""Speculative sampling: Leviathan et al. 2023, algorithm 1; Chen et al. 2023, algorithm 2.

Token x_i, drawn from q_i, is accepted where u_i < p_i(x_i) / q_i(x_i). At the first rejection the last token is drawn
from (p_i - q_i)+ / sum (p_i - q_i)+; after k acceptances one more from p_{k+1}. Every token is then distributed as p.
"""

import torch

from grader.contract import Trusted


def reference(target, draft, tokens, uniforms, chances, draw):
    p, q = chances(target), chances(draft)
    ids = []
    for i, x in enumerate(tokens):
        if uniforms[i] >= p[i, x] / q[i, x]:
            rest = (p[i] - q[i]).clamp_min(0)
            return [*ids, draw(rest / rest.sum())]
        ids.append(x)
    return [*ids, draw(p[len(tokens)])]


TRUSTED = Trusted(reference, budget="acceptance, what is left, what ends the draft and the filter each go wrong alone")


class Steps:
    """The same in steps: a mistake is written as the one in which it differs."""

    def __call__(self, target, draft, tokens, uniforms, chances, draw):
        p, q = self.p(target, chances), self.q(draft, chances)
        ids = []
        for i, x in enumerate(tokens):
            if self.accepts(p[i], q[i], x, uniforms, i):
                ids.append(x)
            else:
                ids += self.rejected(x, draw(self.rest(p, q, i)))
                if self.stops():
                    return ids
        return ids + self.free(p, q, draw)

    def p(self, target, chances):
        return chances(target)

    def q(self, draft, chances):
        return chances(draft)

    def accepts(self, p, q, x, uniforms, i):
        return uniforms[i] < p[x] / q[x]

    def rejected(self, x, drawn):
        return [drawn]

    def rest(self, p, q, i):
        return self.normalised(self.residual(p[i], q[i]))

    def residual(self, p, q):
        return (p - q).clamp_min(0)

    def normalised(self, rest):
        return rest / rest.sum()

    def stops(self):
        return True

    def free(self, p, q, draw):
        return [draw(p[-1])]


(slip,) = TRUSTED.one_by_one(lambda steps: lambda *given: steps()(*given))


@slip("All drafted tokens are accepted, so the text is the small model's: accept token i where u < p / q.")
class AcceptsAlways(Steps):
    def accepts(self, p, q, x, uniforms, i):
        return True


@slip("The quotient is upside down: a token is accepted with probability p / q, target over draft.")
class UpsideDown(Steps):
    def accepts(self, p, q, x, uniforms, i):
        return uniforms[i] < q[x] / p[x]


@slip(
    "A token is accepted when the target holds it to be the likeliest. That changes the distribution: any other one is "
    "rejected, however often the target would say it. Compare the uniform number with p / q."
)
class AcceptsWhatTheTargetWouldSay(Steps):
    def accepts(self, p, q, x, uniforms, i):
        return x == p.argmax()


@slip("The uniform number is compared with p alone. The token was drawn from q already, so with p / q.")
class AcceptsWithP(Steps):
    def accepts(self, p, q, x, uniforms, i):
        return uniforms[i] < p[x]


@slip("The first uniform number decides for all tokens: each has one of its own, `uniforms[i]`.")
class FirstUniformForAll(Steps):
    def accepts(self, p, q, x, uniforms, i):
        return uniforms[0] < p[x] / q[x]


@slip(
    "A token that the target never chooses is accepted when the uniform number is 0: the comparison is `<`, 0 < 0 is "
    "false, and nothing is added to p or u."
)
class AcceptsAtZero(Steps):
    def accepts(self, p, q, x, uniforms, i):
        return uniforms[i] <= p[x] / q[x]


@slip(
    "The draft's probabilities are a plain softmax, though its tokens were drawn after temperature and filter. The q "
    "of the quotient is the one that was drawn from, `chances(draft)`, else the result is not the target's."
)
class DraftUnfiltered(Steps):
    def q(self, draft, chances):
        return draft.softmax(-1)


@slip("The target's probabilities are a plain softmax: its temperature and filter are part of what you want to draw.")
class TargetUnfiltered(Steps):
    def p(self, target, chances):
        return target.softmax(-1)


@slip(
    "`chances` is not used, so temperature and filter are lost: both models' probabilities are what it gives, not a "
    "plain softmax."
)
class BothUnfiltered(TargetUnfiltered, DraftUnfiltered):
    pass


@slip(
    "After a rejection the token is drawn from the target as it is. What the draft gives too often would come too "
    "often still: draw from what p has more than q, (p - q)+, divided by its sum."
)
class DrawnFromTheTarget(Steps):
    def residual(self, p, q):
        return p


@slip("What is left after a rejection is not normalised: divide (p - q)+ by its sum.")
class NotNormalised(Steps):
    def normalised(self, rest):
        return rest


@slip("The size of p - q is taken where it should be cut off at 0: where the draft gave too much, nothing is left.")
class Absolute(Steps):
    def residual(self, p, q):
        return (p - q).abs()


@slip("p and q are exchanged in what is left: it is what the *target* has more than the draft, (p - q)+.")
class DraftMinusTarget(Steps):
    def residual(self, p, q):
        return (q - p).clamp_min(0)


@slip(
    "After a rejection the token is drawn from the target without the rejected one. This is right only where the draft "
    "gave all its probability to that token: draw from (p - q)+, divided by its sum."
)
class WithoutTheRejected(Steps):
    def rejected(self, x, drawn):
        return [drawn]

    def rest(self, p, q, i):
        return self.normalised(p[i].index_fill(0, self.tokens[i], 0.0))

    def __call__(self, target, draft, tokens, uniforms, chances, draw):
        self.tokens = torch.tensor(tokens, dtype=torch.int64, device=target.device)
        return super().__call__(target, draft, tokens, uniforms, chances, draw)


@slip("A softmax makes probabilities of (p - q)+: tokens whose difference is 0 must not come. Divide it by its sum.")
class SoftmaxOfTheRest(Steps):
    def normalised(self, rest):
        return rest.softmax(-1)


@slip("Tokens after a rejection are looked at as well. They were drafted behind a token that is not there: stop.")
class GoesOn(Steps):
    def stops(self):
        return False


@slip("The rejected token stays in the text, in front of the one that takes its place.")
class RejectedTokenStays(Steps):
    def rejected(self, x, drawn):
        return [x, drawn]


@slip(
    "When all tokens are accepted the one more is missing: the target has already looked at the place behind them, so "
    "draw from its last row."
)
class NoFreeToken(Steps):
    def free(self, p, q, draw):
        return []


@slip(
    "The free token is drawn from a difference with the draft's last row. No token was drafted at this place, so "
    "nothing is taken away: draw from the target's last row as it is."
)
class FreeFromTheRest(Steps):
    def free(self, p, q, draw):
        return [draw(self.normalised(self.residual(p[-1], q[-1])) if len(q) else p[-1])]


@slip(
    "The target's rows are read one place too late: row i of both is about the place of tokens[i], and the last row of "
    "the target is one more."
)
class OneRowLate(Steps):
    def p(self, target, chances):
        p = chances(target)
        return torch.cat([p[1:], p[-1:]])


@slip(
    "Tokens are accepted or rejected by a plain softmax, and only drawn by `chances`. Temperature and filter decide "
    "here too: both probabilities of the quotient are those of `chances`."
)
class JudgedUnfiltered(Steps):
    def __call__(self, target, draft, tokens, uniforms, chances, draw):
        self.plain = iter([*zip(target.softmax(-1), draft.softmax(-1), strict=False)])
        return super().__call__(target, draft, tokens, uniforms, chances, draw)

    def accepts(self, p, q, x, uniforms, i):
        return super().accepts(*next(self.plain), x, uniforms, i)


@TRUSTED.mistake(
    "The accepted tokens are counted, wherever they stand. One rejection ends the draft: what counts is how many are "
    "accepted before the first that is not (a cumprod, say)."
)
def counts_all_accepted(target, draft, tokens, uniforms, chances, draw):
    p, q = chances(target), chances(draft)
    n = sum(bool(uniforms[i] < p[i, x] / q[i, x]) for i, x in enumerate(tokens))
    rest = (p[n] - q[n]).clamp_min(0) if n < len(tokens) else p[n]
    return [*tokens[:n], draw(rest / rest.sum())]


@TRUSTED.alternative
def all_at_once(target, draft, tokens, uniforms, chances, draw):
    """The number accepted by a cumulated product; a row of zeros as the draft's opinion behind the last token."""
    k = len(tokens)
    p, q = chances(target), torch.cat([chances(draft), torch.zeros_like(target[:1])])
    x = torch.tensor(tokens, dtype=torch.int64, device=target.device)[:, None]
    accepted = uniforms * q[:k].gather(1, x)[:, 0] < p[:k].gather(1, x)[:, 0]
    n = int(accepted.int().cumprod(0).sum())
    rest = torch.relu(p[n] - q[n])
    return [*tokens[:n], draw(rest / rest.sum())]


@TRUSTED.alternative
def with_lists(target, draft, tokens, uniforms, chances, draw):
    """Row by row, in Python's floats."""
    ids = list(tokens)
    for i, u in enumerate(uniforms.tolist()):
        p, q = chances(target[i : i + 1])[0].tolist(), chances(draft[i : i + 1])[0].tolist()
        if u < min(1.0, p[ids[i]] / q[ids[i]]):
            continue
        more = [max(a - b, 0.0) for a, b in zip(p, q, strict=True)]
        total = sum(more)
        return [*ids[:i], draw(target.new_tensor([m / total for m in more]))]
    return [*ids, draw(chances(target[-1:])[0])]
