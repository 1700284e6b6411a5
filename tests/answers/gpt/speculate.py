"""Answers to gpt.speculate."""

import numpy as np
import torch

from tests.answers.collection import Answers

ANSWERS = Answers("gpt.speculate")
wrong = ANSWERS.wrong


def both(target, draft, chances):
    return chances(target), chances(draft)


def rest(p, q):
    more = (p - q).clamp(min=0)
    return more / more.sum()


def accepted(p, q, tokens, uniforms):
    """How many tokens stay."""
    for i, token in enumerate(tokens):
        if not uniforms[i] < p[i, token] / q[i, token]:
            return i
    return len(tokens)


def ending(n, p, q, tokens, draw):
    return [*tokens[:n], draw(rest(p[n], q[n]) if n < len(tokens) else p[-1])]


def right(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    return ending(accepted(p, q, tokens, uniforms), p, q, tokens, draw)


@wrong("named", "a plain softmax for both models, whatever the filter is", true="BothUnfiltered")
def plain_softmax(target, draft, tokens, uniforms, chances, draw):
    return right(target, draft, tokens, uniforms, lambda z: z.softmax(-1), draw)


@wrong("named", "q is the draft's plain softmax, as it was in a library that is widely used", true="DraftUnfiltered")
def unfiltered_draft(target, draft, tokens, uniforms, chances, draw):
    p, q = chances(target), draft.softmax(-1)
    return ending(accepted(p, q, tokens, uniforms), p, q, tokens, draw)


@wrong("named", "p is the target's plain softmax", true="TargetUnfiltered")
def unfiltered_target(target, draft, tokens, uniforms, chances, draw):
    p, q = target.softmax(-1), chances(draft)
    return ending(accepted(p, q, tokens, uniforms), p, q, tokens, draw)


@wrong("named", "tokens are judged by a plain softmax, and drawn by chances", true="JudgedUnfiltered")
def judged_by_softmax(target, draft, tokens, uniforms, chances, draw):
    n = accepted(target.softmax(-1), draft.softmax(-1), tokens, uniforms)
    return ending(n, *both(target, draft, chances), tokens, draw)


@wrong("plain", "a rejected token is drawn anew from the target's own row", true="DrawnFromTheTarget")
def from_the_target(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    return [*tokens[:n], draw(p[n])]


@wrong(
    "plain",
    "from the target without the rejected token, as it would be for a draft that is always sure",
    true="WithoutTheRejected",
)
def without_the_rejected(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    row = p[n].clone()
    if n < len(tokens):
        row[tokens[n]] = 0
    return [*tokens[:n], draw(row / row.sum())]


@wrong("plain", "the difference is not divided by its sum", true="NotNormalised")
def not_normalised(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    return [*tokens[:n], draw((p[n] - q[n]).clamp(min=0) if n < len(tokens) else p[-1])]


@wrong("plain", "the difference without its sign", true="Absolute")
def absolute(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    if n == len(tokens):
        return [*tokens, draw(p[-1])]
    more = (p[n] - q[n]).abs()
    return [*tokens[:n], draw(more / more.sum())]


@wrong("plain", "what the draft gives more than the target", true="DraftMinusTarget")
def other_way_round(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    return [*tokens[:n], draw(rest(q[n], p[n]) if n < len(tokens) else p[-1])]


@wrong("plain", "a softmax makes probabilities of the difference", true="SoftmaxOfTheRest")
def softmax_of_the_difference(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    return [*tokens[:n], draw((p[n] - q[n]).clamp(min=0).softmax(-1) if n < len(tokens) else p[-1])]


@wrong("plain", "chances are made of the difference of the logits")
def logits_subtracted(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    return [*tokens[:n], draw(chances((target[:-1] - draft)[n : n + 1])[0] if n < len(tokens) else p[-1])]


@wrong("plain", "no free token behind a draft that is all accepted", true="NoFreeToken")
def nothing_free(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    return ending(n, p, q, tokens, draw) if n < len(tokens) else [*tokens]


@wrong("plain", "the free token comes from the row of the last drafted one", told=r"is row \d of the target, by which")
def last_drafted_row(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    return [*tokens[:n], draw(rest(p[n], q[n]) if n < len(tokens) else p[max(n - 1, 0)])]


@wrong("plain", "the free token comes from the difference too, by the rows that are there", true="FreeFromTheRest")
def free_from_the_difference(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    return [*tokens[:n], draw(rest(p[n], q[min(n, len(q) - 1)]) if tokens else p[0])]


@wrong("plain", "the rejected token stays in the text", true="RejectedTokenStays")
def rejected_stays(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    return [*tokens[: n + 1], ending(n, p, q, tokens, draw)[-1]]


@wrong("onward", "what is drafted behind a rejection is judged too, and kept", true="GoesOn")
def goes_on(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    ids = []
    for i, token in enumerate(tokens):
        ids.append(token if uniforms[i] < p[i, token] / q[i, token] else draw(rest(p[i], q[i])))
    return [*ids, draw(p[-1])]


@wrong("onward", "accepted tokens are counted, wherever they stand", true="counts_all_accepted")
def counted(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    i = torch.arange(len(tokens))
    n = int((uniforms < p[i, tokens] / q[i, tokens]).sum())
    return ending(n, p, q, tokens, draw)


@wrong("onward", "all accepted tokens stay, those behind a rejection as well", told="in front of the last id stand")
def every_accepted(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    stay = [t for i, t in enumerate(tokens) if uniforms[i] < p[i, t] / q[i, t]]
    return [*stay, ending(accepted(p, q, tokens, uniforms), p, q, tokens, draw)[-1]]


@wrong("plain", "the quotient stands on its head", true="UpsideDown")
def upside_down(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    return ending(accepted(q, p, tokens, uniforms), p, q, tokens, draw)


@wrong("plain", "accepted with the target's probability, whatever the draft's was", true="AcceptsWithP")
def by_p_alone(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    return ending(accepted(p, torch.ones_like(q), tokens, uniforms), p, q, tokens, draw)


@wrong("plain", "accepted only where the target finds it as likely as the draft: no chance in it")
def no_chance(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    return ending(accepted(p, q, tokens, torch.ones_like(uniforms) - 1e-6), p, q, tokens, draw)


@wrong("plain", "accepted above the quotient")
def above(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = next((i for i, t in enumerate(tokens) if uniforms[i] < p[i, t] / q[i, t]), len(tokens))
    return ending(n, p, q, tokens, draw)


@wrong(
    "plain",
    "only the target's most probable token is accepted, as greedy decoding would have it",
    true="AcceptsWhatTheTargetWouldSay",
)
def greedy(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = next((i for i, t in enumerate(tokens) if t != int(p[i].argmax())), len(tokens))
    return ending(n, p, q, tokens, draw)


@wrong("far", "a token that the target never chooses is accepted by u = 0: <= where < is asked", true="AcceptsAtZero")
def or_equal(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = next((i for i, t in enumerate(tokens) if uniforms[i] > p[i, t] / q[i, t]), len(tokens))
    return ending(n, p, q, tokens, draw)


@wrong("far", "probabilities of unnormalised exponentials")
def exponentials(target, draft, tokens, uniforms, chances, draw):
    ratio = (target[:-1] - draft).exp()
    n = next((i for i, t in enumerate(tokens) if not uniforms[i] < ratio[i, t]), len(tokens))
    return ending(n, *both(target, draft, chances), tokens, draw)


@wrong("large", "16 tokens at most are looked at")
def sixteen(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    tokens = tokens[:16]
    n = accepted(p, q, tokens, uniforms)
    return [*tokens[:n], draw(rest(p[n], q[n]) if n < len(tokens) else p[n])]


@wrong("ones", "without a draft nothing is returned", told="no draft: draw is not called")
def nothing_without_a_draft(target, draft, tokens, uniforms, chances, draw):
    return right(target, draft, tokens, uniforms, chances, draw) if tokens else []


@wrong("ones", "squeezed: one drafted token loses its row", told=r"q is \(2,\)")
def squeezed(target, draft, tokens, uniforms, chances, draw):
    return right(target, draft, tokens, uniforms, lambda z: chances(z).squeeze(), draw)


@wrong("given", "the drawn token is put behind the caller's own list", told="changes its input tokens")
def appended(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    last = ending(n, p, q, tokens, draw)[-1]
    del tokens[n:]
    tokens.append(last)
    return tokens


@wrong(
    "given",
    "removed tokens are cut off the caller's list, and the answer is a new one",
    told="changes its input tokens",
)
def cut_off(target, draft, tokens, uniforms, chances, draw):
    ids = right(target, draft, tokens, uniforms, chances, draw)
    del tokens[len(ids) - 1 :]
    return ids


KEPT = {}


@wrong("again", "probabilities are kept by shape")
def kept(target, draft, tokens, uniforms, chances, draw):
    p = KEPT.setdefault(target.shape, chances(target))
    q = chances(draft)
    return ending(accepted(p, q, tokens, uniforms), p, q, tokens, draw)


@wrong("surroundings", "double precision for all that comes", told="default dtype")
def default_dtype(target, draft, tokens, uniforms, chances, draw):
    torch.set_default_dtype(torch.float64)
    return right(target, draft, tokens, uniforms, chances, draw)


@wrong("surroundings", "gradients are switched off and not on again", told="gradients switched off")
def gradients_off(target, draft, tokens, uniforms, chances, draw):
    torch.set_grad_enabled(False)
    return right(target, draft, tokens, uniforms, chances, draw)


@wrong("dependence", "the first uniform number judges every token", true="FirstUniformForAll")
def one_uniform(target, draft, tokens, uniforms, chances, draw):
    return right(target, draft, tokens, uniforms[:1].expand(len(tokens)), chances, draw)


@wrong("dependence", "uniform numbers of its own")
def own_numbers(target, draft, tokens, uniforms, chances, draw):
    return right(target, draft, tokens, torch.rand(len(tokens)), chances, draw)


@wrong("unwatched", "draw is asked, and the most probable token is taken", told=r"the last id is \d+, and draw gave")
def draw_ignored(target, draft, tokens, uniforms, chances, draw):
    seen = []

    def most_probable(p):
        draw(p)
        seen.append(int(p.argmax()))
        return seen[-1]

    return right(target, draft, tokens, uniforms, chances, most_probable)


@wrong("unwatched", "the token is drawn by multinomial", told="draw is not called")
def multinomial(target, draft, tokens, uniforms, chances, draw):
    return right(target, draft, tokens, uniforms, chances, lambda p: int(torch.multinomial(p, 1)))


@wrong("unwatched", "draw is asked for every place, and one answer is used", told=r"calls of draw is \d, expected 1")
def drawn_everywhere(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    drawn = [draw(rest(p[i], q[i])) for i in range(len(tokens))] + [draw(p[-1])]
    n = accepted(p, q, tokens, uniforms)
    return [*tokens[:n], drawn[n]]


@wrong("unwatched", "a trial draw is made before, so that draw is asked twice", told="calls of draw is 2, expected 1")
def drawn_twice(target, draft, tokens, uniforms, chances, draw):
    return right(target, draft, tokens, uniforms, chances, lambda p: draw(p) if draw(p) is not None else 0)


@wrong("plain", "filled up with -1 to k + 1, as vLLM's sampler returns it", told="in front of the last id stand .*-1")
def padded(target, draft, tokens, uniforms, chances, draw):
    ids = right(target, draft, tokens, uniforms, chances, draw)
    return ids + [-1] * (len(tokens) + 1 - len(ids))


@wrong("plain", "the target's rows are taken one place too late", true="OneRowLate")
def one_row_late(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p[1:], q, tokens, uniforms)
    return [*tokens[:n], draw(rest(p[n + 1], q[n]) if n < len(tokens) else p[-1])]


@wrong("plain", "a rejection is replaced from the row behind it")
def replaced_from_behind(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    return [*tokens[:n], draw(rest(p[n + 1], q[n]) if n < len(tokens) else p[-1])]


@wrong("plain", "the free token comes from the draft", told=r"is row \d of the draft, by which")
def free_from_the_draft(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    return [*tokens[:n], draw(rest(p[n], q[n]) if n < len(tokens) else (q if tokens else p)[-1])]


@wrong("plain", "the first token's probabilities are compared at every place")
def first_token_everywhere(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    return ending(accepted(p, q, tokens[:1] * len(tokens), uniforms), p, q, tokens, draw)


@wrong("plain", "the drawn token alone is returned", told="number of ids is 1, expected")
def last_alone(target, draft, tokens, uniforms, chances, draw):
    return right(target, draft, tokens, uniforms, chances, draw)[-1:]


@wrong("plain", "a tensor is indexed by two lists, and every pair of places comes")
def all_pairs(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    ratio = p[:-1, tokens] / q[:, tokens]
    n = int((uniforms < ratio).long().cumprod(0).sum())
    return ending(n, p, q, tokens, draw)


@wrong("plain", "three slips: plain softmax, resampled from the target, nothing free", told="draw is not called")
def beginners(target, draft, tokens, uniforms, chances, draw):
    p, q = target.softmax(-1), draft.softmax(-1)
    n = accepted(p, q, tokens, uniforms)
    return [*tokens[:n], draw(p[n])] if n < len(tokens) else [*tokens]


@ANSWERS.right
def at_once(target, draft, tokens, uniforms, chances, draw):
    """Without a loop, and without a division by q."""
    k = len(tokens)
    p, q = chances(target), chances(draft)
    x = torch.tensor(tokens, dtype=torch.long, device=target.device)[:, None]
    stays = uniforms * q.gather(1, x)[:, 0] < p[:-1].gather(1, x)[:, 0]
    n = int(stays.long().cumprod(0).sum())
    last = (p[n] - torch.cat([q, torch.zeros_like(p[:1])])[n]).relu()
    return tokens[:n] + [draw(last / last.sum())][: k + 1]


@ANSWERS.right
def in_logarithms(target, draft, tokens, uniforms, chances, draw):
    p, q = chances(target.double()), chances(draft.double())
    for i, (token, u) in enumerate(zip(tokens, uniforms.tolist(), strict=True)):
        if not np.log(max(u, 1e-300)) < (p[i, token].log() - q[i, token].log()).item():
            return [*tokens[:i], draw(torch.nn.functional.normalize((p[i] - q[i]).clamp_min(0), p=1, dim=0))]
    return [*tokens, draw(p[len(tokens)])]


@ANSWERS.right
def one_row_at_a_time(target, draft, tokens, uniforms, chances, draw):
    """Rows that nobody needs are not turned into probabilities."""
    if not tokens:
        return [draw(chances(target[-1:])[0])]
    p, q = chances(target[:1])[0], chances(draft[:1])[0]
    if uniforms[0] >= p[tokens[0]] / q[tokens[0]]:
        return [draw(torch.where(p > q, p - q, 0) / torch.where(p > q, p - q, 0).sum())]
    return tokens[:1] + one_row_at_a_time(target[1:], draft[1:], tokens[1:], uniforms[1:], chances, draw)


@ANSWERS.right
def as_a_tensor(target, draft, tokens, uniforms, chances, draw):
    """Ids as a tensor: an array of integers is as good as a list."""
    return torch.tensor(right(target, draft, tokens, uniforms, chances, draw))


@ANSWERS.right
def total_variation(target, draft, tokens, uniforms, chances, draw):
    """p - min(p, q), over 1 minus what the two have in common."""
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    if n == len(tokens):
        return [*tokens, draw(p[n])]
    common = torch.minimum(p[n], q[n])
    return [*tokens[:n], draw((p[n] - common) / (1 - common.sum()))]


# A second round.


@wrong("far", "a small number is added above and below, against a division by zero", true="AcceptsAtZero")
def with_epsilon(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    return ending(accepted(p + 0.01, q + 0.01, tokens, uniforms), p, q, tokens, draw)


@wrong("dependence", "the rejected uniform number draws again, by the sums of what is left", told="draw is not called")
def by_the_same_number(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    if n == len(tokens):
        return [*tokens, int(p[-1].argmax())]
    return [*tokens[:n], int((rest(p[n], q[n]).cumsum(0) > uniforms[n]).int().argmax())]


@wrong("onward", "two tokens are free behind a draft that is all accepted", told="number of ids is 8, expected 7")
def two_free(target, draft, tokens, uniforms, chances, draw):
    ids = right(target, draft, tokens, uniforms, chances, draw)
    return ids if len(ids) <= len(tokens) else [*ids, draw(chances(target)[-1])]


@wrong("given", "the caller's uniform numbers are multiplied in place", told="changes its input uniforms")
def multiplied_in_place(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    at = torch.arange(len(tokens))
    stays = uniforms.mul_(q[at, tokens]) < p[at, tokens]
    return ending(int(stays.long().cumprod(0).sum()), p, q, tokens, draw)


@ANSWERS.right
def with_numpy(target, draft, tokens, uniforms, chances, draw):
    p, q = (x.double().numpy() for x in both(target, draft, chances))
    i = np.arange(len(tokens))
    n = int(np.argmax(np.append(uniforms.numpy() * q[i, tokens] >= p[i, tokens], True)))
    more = np.maximum(p[n] - (q[n] if n < len(q) else 0), 0)
    return np.append(np.array(tokens[:n], dtype=int), draw(torch.from_numpy(more / more.sum()))).tolist()


# A third round.


@wrong("far", "a small number is added to q", told="rare, float64: number of ids")
def small_number_below(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    return ending(accepted(p, q + 1e-4, tokens, uniforms), p, q, tokens, draw)


@wrong("far", "q has a smallest value", told="rare, float64: number of ids")
def smallest_q(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    return ending(accepted(p, q.clamp(min=1e-3), tokens, uniforms), p, q, tokens, draw)


@wrong("plain", "draw is called for every token that stays", told="calls of draw")
def draws_each_time(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    for i in range(n):
        draw(p[i + 1])
    return ending(n, p, q, tokens, draw)


# A fifth round.


@wrong("named", "chances is given rows by themselves", told="expected rows of them")
def row_by_row(target, draft, tokens, uniforms, chances, draw):
    p = torch.stack([chances(z) for z in target])
    q = torch.stack([chances(z) for z in draft]) if len(draft) else draft
    return ending(accepted(p, q, tokens, uniforms), p, q, tokens, draw)


# A sixth round.


@wrong("plain", "the free token is drawn by other means", told="does not come from draw")
def free_by_multinomial(target, draft, tokens, uniforms, chances, draw):
    p, q = both(target, draft, chances)
    n = accepted(p, q, tokens, uniforms)
    last = draw(rest(p[n], q[n])) if n < len(tokens) else torch.multinomial(p[-1], 1).item()
    return [*tokens[:n], last]
