"""Answers to gpt.route."""

import numpy as np
import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "gpt.route",
    spared={"dependence": "nothing is drawn", "unwatched": "numbers alone are compared"},
)
wrong = ANSWERS.wrong


def places(expert, E):
    """From 1 at each expert, in the order of all first choices, then all second ones."""
    T, k = expert.shape
    chosen = F.one_hot(expert.T.flatten(), E)
    return (chosen.cumsum(0) * chosen).sum(-1).view(k, T).T


def choices(logits, k):
    weight, expert = logits.softmax(-1).topk(k)
    return weight / weight.sum(-1, keepdim=True), expert


def routed(logits, k, capacity):
    weight, expert = choices(logits, k)
    kept = places(expert, logits.shape[1]) <= capacity
    return expert, weight * kept, kept


def shares(logits, k):
    T, E = logits.shape
    return F.one_hot(logits.topk(k).indices, E).sum((0, 1)) / (T * k)


@wrong(
    "plain",
    "the given code: weights are not divided by their sum, rows are filled token by token",
    true="NotRenormalised TokenByToken",
)
def as_given(logits, k, capacity):
    weight, expert = logits.softmax(-1).topk(k)
    chosen = F.one_hot(expert.flatten(), logits.shape[1])
    kept = (chosen.cumsum(0) * chosen).sum(-1).view_as(expert) <= capacity
    return expert, weight * kept, kept


@wrong("plain", "one slip mended: room is still given away token by token", true="TokenByToken")
def token_by_token(logits, k, capacity):
    weight, expert = choices(logits, k)
    chosen = F.one_hot(expert.flatten(), logits.shape[1])
    kept = (chosen.cumsum(0) * chosen).sum(-1).view_as(expert) <= capacity
    return expert, weight * kept, kept


@wrong("plain", "the other one mended: weights do not add up to 1", true="NotRenormalised")
def not_divided(logits, k, capacity):
    weight, expert = logits.softmax(-1).topk(k)
    kept = places(expert, logits.shape[1]) <= capacity
    return expert, weight * kept, kept


@wrong(
    "plain",
    "divided by the sum of what found room: the others of the token weigh more",
    true="RenormalisedAfterDropping",
)
def divided_again(logits, k, capacity):
    weight, expert = choices(logits, k)
    kept = places(expert, logits.shape[1]) <= capacity
    weight = weight * kept
    return expert, weight / weight.sum(-1, keepdim=True).clamp(min=1e-9), kept


@wrong("plain", "a choice without room keeps its weight", true="DroppedStillWeigh")
def weight_kept(logits, k, capacity):
    weight, expert = choices(logits, k)
    return expert, weight, places(expert, logits.shape[1]) <= capacity


@wrong("plain", "places count from 0 and are compared with <=: one too many", true="OneTooMany")
def one_too_many(logits, k, capacity):
    weight, expert = choices(logits, k)
    kept = places(expert, logits.shape[1]) - 1 <= capacity
    return expert, weight * kept, kept


@wrong("plain", "places count from 1 and are compared with <: one too few", true="OneTooFew")
def one_too_few(logits, k, capacity):
    weight, expert = choices(logits, k)
    kept = places(expert, logits.shape[1]) < capacity
    return expert, weight * kept, kept


@wrong("plain", "each order of choices has room of its own", true="CountedByColumn")
def room_for_each_order(logits, k, capacity):
    weight, expert = choices(logits, k)
    chosen = F.one_hot(expert, logits.shape[1])
    kept = (chosen.cumsum(0) * chosen).sum(-1) <= capacity
    return expert, weight * kept, kept


@wrong("plain", "who has the largest weight gets room, as in priority routing", true="HeaviestFirst")
def by_weight(logits, k, capacity):
    weight, expert = choices(logits, k)
    order = weight.T.flatten().argsort(descending=True, stable=True)
    chosen = F.one_hot(expert.T.flatten()[order], logits.shape[1])
    place = (chosen.cumsum(0) * chosen).sum(-1)
    kept = (torch.empty_like(place).scatter(0, order, place) <= capacity).view(k, -1).T
    return expert, weight * kept, kept


@wrong("plain", "a view where a transpose is needed: kept belongs to other tokens", true="ViewedNotTransposed")
def viewed(logits, k, capacity):
    weight, expert = choices(logits, k)
    chosen = F.one_hot(expert.T.flatten(), logits.shape[1])
    kept = (chosen.cumsum(0) * chosen).sum(-1).view_as(expert) <= capacity
    return expert, weight * kept, kept


@wrong("plain", "a choice without room makes way: the next expert is taken in its place")
def next_expert(logits, k, capacity):
    weight, expert = choices(logits, k)
    kept = places(expert, logits.shape[1]) <= capacity
    return expert.masked_fill(~kept, -1), weight * kept, kept


@wrong("plain", "the whole token is dropped where one of its choices finds no room", true="WholeTokenDropped")
def token_dropped(logits, k, capacity):
    weight, expert = choices(logits, k)
    kept = (places(expert, logits.shape[1]) <= capacity).all(-1, keepdim=True).expand_as(expert)
    return expert, weight * kept, kept


@wrong("onward", "an expert that is full once is full for a token's every choice: those behind it get no room")
def closed_after_the_first(logits, k, capacity):
    weight, expert = choices(logits, k)
    kept = places(expert, logits.shape[1]) <= capacity
    kept = kept.T.flatten().long().cumprod(0).bool().view(k, -1).T
    return expert, weight * kept, kept


@wrong("plain", "softmax over the tokens", true="OverTokens")
def over_tokens(logits, k, capacity):
    weight, expert = logits.softmax(0).topk(k)
    kept = places(expert, logits.shape[1]) <= capacity
    return expert, weight / weight.sum(-1, keepdim=True) * kept, kept


@wrong("plain", "the weights are the logits themselves, divided by their sum")
def logits_divided(logits, k, capacity):
    weight, expert = logits.topk(k)
    kept = places(expert, logits.shape[1]) <= capacity
    return expert, weight / weight.sum(-1, keepdim=True) * kept, kept


@wrong("plain", "a sigmoid for each expert, as in DeepSeek-V3", true="Sigmoids")
def sigmoids(logits, k, capacity):
    weight, expert = logits.sigmoid().topk(k)
    kept = places(expert, logits.shape[1]) <= capacity
    return expert, weight / weight.sum(-1, keepdim=True) * kept, kept


@wrong("plain", "softmax twice: of the chosen probabilities", true="SoftmaxTwice")
def softmax_twice(logits, k, capacity):
    weight, expert = logits.softmax(-1).topk(k)
    kept = places(expert, logits.shape[1]) <= capacity
    return expert, weight.softmax(-1) * kept, kept


@wrong("plain", "numbers of the experts in rising order", advice="right numbers at the wrong places")
def sorted_numbers(logits, k, capacity):
    weight, expert = choices(logits, k)
    expert, order = expert.sort(-1)
    weight = weight.gather(-1, order)
    kept = places(expert, logits.shape[1]) <= capacity
    return expert, weight * kept, kept


@wrong("plain", "numbers of the experts as topk gives them with sorted=False, the best one last", true="WorstFirst")
def best_last(logits, k, capacity):
    expert, weight, kept = routed(logits, k, capacity)
    return expert.flip(-1), weight.flip(-1), kept.flip(-1)


@wrong("far", "exponentials without the maximum", told="logits far apart: expert differs")
def exponentials(logits, k, capacity):
    weight, expert = logits.exp().topk(k)
    kept = places(expert, logits.shape[1]) <= capacity
    return expert, weight / weight.sum(-1, keepdim=True) * kept, kept


@wrong("far", "one maximum for all tokens", told="logits far apart: expert differs")
def one_maximum(logits, k, capacity):
    weight, expert = (logits - logits.max()).exp().topk(k)
    kept = places(expert, logits.shape[1]) <= capacity
    return expert, weight / weight.sum(-1, keepdim=True) * kept, kept


@wrong("far", "a small number is added to the sum")
def with_epsilon(logits, k, capacity):
    weight, expert = logits.softmax(-1).topk(k)
    kept = places(expert, logits.shape[1]) <= capacity
    return expert, weight / (weight.sum(-1, keepdim=True) + 1e-3) * kept, kept


@wrong("ones", "squeezed: one choice or one token loses its dimension", told="has lost a dimension of size 1")
def squeezed(logits, k, capacity):
    return tuple(x.squeeze() for x in routed(logits, k, capacity))


@wrong("ones", "one choice weighs its probability, as in the Switch Transformer")
def as_in_switch(logits, k, capacity):
    expert, weight, kept = routed(logits, k, capacity)
    if k == 1:
        weight = logits.softmax(-1).amax(-1, keepdim=True) * kept
    return expert, weight, kept


@wrong("large", "eight experts at most, as Mixtral has them", told="wrong where it is 20 or more")
def eight_experts(logits, k, capacity):
    return routed(logits[:, :8], k, capacity)


@wrong("large", "16 tokens are looked at for room, the others have it", told="wrong where it is 30 or more")
def sixteen_tokens(logits, k, capacity):
    weight, expert = choices(logits, k)
    kept = torch.ones_like(expert, dtype=torch.bool)
    kept[:16] = places(expert[:16], logits.shape[1]) <= capacity
    return expert, weight * kept, kept


@wrong("given", "experts are taken out of the caller's logits, one after the other", told="changes its input logits")
def taken_out(logits, k, capacity):
    weight, expert = choices(logits.clone(), k)
    with torch.no_grad():
        logits.scatter_(1, expert, -torch.inf)
    kept = places(expert, logits.shape[1]) <= capacity
    return expert, weight * kept, kept


COUNTS: dict = {}


@wrong("again", "places go on from the call before", told="keeps something from one call to the next")
def counts_go_on(logits, k, capacity):
    weight, expert = choices(logits, k)
    E = logits.shape[1]
    place = places(expert, E) + COUNTS.get(E, torch.zeros(E, dtype=torch.long))[expert]
    COUNTS[E] = COUNTS.get(E, 0) + torch.bincount(expert.flatten(), minlength=E)
    kept = place <= capacity
    return expert, weight * kept, kept


@wrong("surroundings", "double precision for all that comes", told="default dtype")
def default_dtype(logits, k, capacity):
    torch.set_default_dtype(torch.float64)
    return routed(logits, k, capacity)


@wrong("named", "weights are cut off from the graph", true="Detached")
def detached(logits, k, capacity):
    expert, weight, kept = routed(logits, k, capacity)
    return expert, weight.detach(), kept


@wrong("plain", "kept as numbers", told="kept has dtype float32, expected bool")
def kept_as_numbers(logits, k, capacity):
    expert, weight, kept = routed(logits, k, capacity)
    return expert, weight, kept.to(weight.dtype)


@wrong("plain", "weights come first, as topk gives them", told="are exchanged")
def weights_first(logits, k, capacity):
    expert, weight, kept = routed(logits, k, capacity)
    return weight, expert, kept


@wrong(
    "plain",
    "a table (T, E) of weights, as in GShard's combine tensor",
    told=r"weight has shape \(5, 4\), expected \(5, 2\)",
)
def as_table(logits, k, capacity):
    expert, weight, kept = routed(logits, k, capacity)
    return expert, torch.zeros_like(logits).scatter(1, expert, weight), kept


@wrong("plain", "f twice, which has no gradient", at=1, true="counts_alone")
def squared_shares(logits, k):
    f = shares(logits, k)
    return logits.shape[1] * (f * f).sum()


@wrong("plain", "P twice", at=1, true="probabilities_alone")
def squared_means(logits, k):
    P = logits.softmax(-1).mean(0)
    return logits.shape[1] * (P * P).sum()


@wrong("plain", "not multiplied by E", at=1, true="without_E")
def without_e(logits, k):
    return (shares(logits, k) * logits.softmax(-1).mean(0)).sum()


@wrong("plain", "the mean over experts and E", at=1, true="without_E")
def mean_for_sum(logits, k):
    return logits.shape[1] * (shares(logits, k) * logits.softmax(-1).mean(0)).mean()


@wrong("plain", "choices are divided by T alone, as transformers' Mixtral does", at=1, true="choices_per_token")
def divided_by_t(logits, k):
    return logits.shape[1] * (k * shares(logits, k) * logits.softmax(-1).mean(0)).sum()


@wrong("named", "first choices alone, as in GShard", at=1, true="first_choice_alone")
def first_choices(logits, k):
    return logits.shape[1] * (shares(logits, 1) * logits.softmax(-1).mean(0)).sum()


@wrong("plain", "P is the mean of the weights, and not of the probabilities", at=1, true="mean_of_weights")
def mean_of_weights(logits, k):
    weight, expert = choices(logits, k)
    P = torch.zeros_like(logits).scatter(1, expert, weight).mean(0)
    return logits.shape[1] * (shares(logits, k) * P).sum()


@wrong("plain", "P is the softmax of the mean logits", at=1, true="softmax_of_the_mean")
def softmax_of_the_mean(logits, k):
    return logits.shape[1] * (shares(logits, k) * logits.mean(0).softmax(-1)).sum()


@wrong("plain", "sums over the tokens for P", at=1, told="is T times what is expected")
def sums_for_means(logits, k):
    return logits.shape[1] * (shares(logits, k) * logits.softmax(-1).sum(0)).sum()


@wrong("plain", "P over the tokens: softmax along dimension 0", at=1, true="softmax_over_tokens")
def over_tokens_in_the_loss(logits, k):
    return logits.shape[1] * (shares(logits, k) * logits.softmax(0).mean(0)).sum()


@wrong("named", "the loss is detached", at=1, told="no gradient can flow back")
def loss_detached(logits, k):
    return (logits.shape[1] * (shares(logits, k) * logits.softmax(-1).mean(0)).sum()).detach()


@wrong("named", "gradients flow through f: it is made of probabilities of the chosen", at=1)
def gradient_through_f(logits, k):
    T, E = logits.shape
    p = logits.softmax(-1)
    hard = F.one_hot(logits.topk(k).indices, E).sum(1)
    f = (hard + p - p.detach()).sum(0) / (T * k)
    return E * (f * p.mean(0)).sum()


@wrong("ones", "a loss of shape (1,)", at=1, told="a dimension of size 1 too many")
def with_a_dimension(logits, k):
    return logits.shape[1] * (shares(logits, k) * logits.softmax(-1).mean(0)).sum(0, keepdim=True)


@wrong("plain", "the number of experts is the number of tokens", at=1, true="tokens_for_experts")
def t_for_e(logits, k):
    return logits.shape[0] * (shares(logits, k) * logits.softmax(-1).mean(0)).sum()


@wrong("plain", "a plain number", at=1, told="it returned a float, expected the tensor loss")
def as_number(logits, k):
    return (logits.shape[1] * (shares(logits, k) * logits.softmax(-1).mean(0)).sum()).item()


@wrong("plain", "how far the shares are from even: their variance", at=1, advice="dlogits is 1 / E times")
def variance(logits, k):
    return ((shares(logits, k) - 1 / logits.shape[1]) * logits.softmax(-1).mean(0)).sum()


@ANSWERS.right
def with_loops(logits, k, capacity):
    T, E = logits.shape
    p = torch.softmax(logits.double(), -1)
    expert = p.argsort(-1, descending=True)[:, :k]
    room, kept = [capacity] * E, torch.zeros(T, k, dtype=torch.bool, device=logits.device)
    for i in range(k):
        for t in range(T):
            e = expert[t, i].item()
            kept[t, i] = room[e] > 0
            room[e] -= 1
    weight = p.gather(1, expert)
    return expert, (weight / weight.sum(1, keepdim=True) * kept).to(logits.dtype), kept


@ANSWERS.right
def softmax_of_the_chosen(logits, k, capacity):
    """A softmax of the chosen logits, which is the same quotient, as Mixtral has it."""
    best, expert = logits.topk(k, dim=1)
    flat = expert.t().reshape(-1)
    same = (flat[:, None] == flat) & torch.ones(len(flat), len(flat), device=logits.device).tril().bool()
    kept = (same.sum(1) <= capacity).reshape(k, -1).t().contiguous()
    return expert, torch.where(kept, best.softmax(-1), 0), kept


@ANSWERS.right
def order_by_order(logits, k, capacity):
    """GShard's: counts of the earlier choices are added to the later ones."""
    logs = logits.log_softmax(-1)
    expert = torch.sort(logs, dim=-1, descending=True, stable=True).indices[:, :k]
    before, kept = torch.zeros(logits.shape[1], dtype=torch.long, device=logits.device), []
    for column in expert.unbind(1):
        chosen = F.one_hot(column, logits.shape[1])
        kept.append(((chosen.cumsum(0) + before).gather(1, column[:, None]) <= capacity)[:, 0])
        before = before + chosen.sum(0)
    kept = torch.stack(kept, 1)
    mine = logs.gather(1, expert)
    return expert, (mine - mine.logsumexp(-1, keepdim=True)).exp() * kept.to(logits.dtype), kept


@ANSWERS.right_at(1)
def counted(logits, k):
    T, E = logits.shape
    count = torch.bincount(logits.topk(k).indices.flatten(), minlength=E)
    return E / (T * T * k) * (count * logits.softmax(-1)).sum()


@ANSWERS.right_at(1)
def with_numpy_counts(logits, k):
    """f by NumPy, which has no gradient."""
    order = np.argsort(-logits.detach().cpu().numpy(), axis=1)[:, :k]
    f = np.bincount(order.ravel(), minlength=logits.shape[1]) / order.size
    f = torch.tensor(f, dtype=logits.dtype, device=logits.device)
    return logits.shape[1] * torch.dot(f, logits.softmax(dim=1).mean(dim=0))


# A second round.


@wrong("named", "capacity is taken for a share of the tokens, a capacity factor")
def capacity_factor(logits, k, capacity):
    return routed(logits, k, int(capacity * k * len(logits) / logits.shape[1]) + 1)


@wrong("far", "probabilities below 1e-4 are set to 0, and so nothing is left to divide by")
def small_ones_cut(logits, k, capacity):
    p = logits.softmax(-1)
    weight, expert = torch.where(p < 1e-2, 0, p).topk(k)
    kept = places(expert, logits.shape[1]) <= capacity
    return expert, weight / weight.sum(-1, keepdim=True) * kept, kept


@wrong("given", "logits are made probabilities in place", told="changes its input logits")
def in_place(logits, k, capacity):
    p = logits.detach()
    p.sub_(p.amax(-1, keepdim=True)).exp_()
    expert, weight, kept = routed(p.log(), k, capacity)
    return expert, weight, kept


@wrong("onward", "what is full closes for good, and then opens again: a count that wraps around")
def wraps_around(logits, k, capacity):
    weight, expert = choices(logits, k)
    kept = (places(expert, logits.shape[1]) - 1) % (2 * capacity) < capacity
    return expert, weight * kept, kept


@wrong("large", "places are counted in 8 bits", told=r"wrong where it is \d+ or more")
def eight_bits(logits, k, capacity):
    weight, expert = choices(logits, k)
    kept = places(expert, logits.shape[1]).to(torch.int8) <= capacity
    return expert, weight * kept, kept


@ANSWERS.right
def scattered(logits, k, capacity):
    """The order of choices by a sort of experts that keeps it."""
    T, E = logits.shape
    p = logits.softmax(-1)
    expert = p.topk(k).indices
    flat = expert.T.reshape(-1)
    by_expert, order = flat.sort(stable=True)
    start = torch.searchsorted(by_expert, torch.arange(E, device=flat.device))
    place = torch.empty_like(flat).index_copy(0, order, torch.arange(T * k, device=flat.device) - start[by_expert])
    kept = capacity > place.reshape(k, T).T
    chosen = p.gather(1, expert)
    return expert, chosen.masked_fill(~kept, 0) / chosen.sum(-1, keepdim=True), kept


# A third round.


@wrong("large", "counts are kept in bytes", told="600")
def counts_in_bytes(logits, k, capacity):
    weight, expert = choices(logits, k)
    chosen = F.one_hot(expert.T.flatten(), logits.shape[1]).to(torch.uint8)
    place = (chosen.cumsum(0, dtype=torch.uint8) * chosen).sum(-1).view(k, -1).T
    kept = place <= capacity
    return expert, weight * kept, kept


@ANSWERS.right
def narrow_numbers(logits, k, capacity):
    """The numbers of experts in 32 bits."""
    expert, weight, kept = routed(logits, k, capacity)
    return expert.int(), weight, kept


# A fifth round.


@ANSWERS.right
def by_logsumexp(logits, k, capacity):
    """Weights as the exponential of a difference."""
    expert, _, kept = routed(logits, k, capacity)
    chosen = logits.gather(1, expert)
    return expert, (chosen - chosen.logsumexp(-1, keepdim=True)).exp() * kept, kept
