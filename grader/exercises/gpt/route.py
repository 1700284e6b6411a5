"""Tokens to experts. Shazeer et al. 2017, section 2.1; order and capacity: Lepikhin et al. 2020, algorithm 1.

p = softmax(logits); the k best experts with weights p_e / (sum of the k best p); each expert takes `capacity` choices,
all first choices in the order of the tokens, then all second ones, and so on; a choice that finds no room weighs 0.
Balance: E sum_e f_e P_e with f_e the share of the choices that go to e, P_e the mean of p_e (Fedus et al. 2022,
equations 4 to 6, there for k = 1).
"""

import torch
from torch.nn.functional import one_hot

from grader.contract import Trusted


def reference(logits, k, capacity):
    T, E = logits.shape
    p = torch.softmax(logits, -1)
    expert = p.argsort(-1, descending=True)[:, :k]
    chosen = p.gather(1, expert)
    taken = [0] * E
    kept = torch.zeros(T, k, dtype=torch.bool, device=logits.device)
    for choice in range(k):
        for t in range(T):
            e = int(expert[t, choice])
            kept[t, choice] = taken[e] < capacity
            taken[e] += 1
    return expert, chosen / chosen.sum(-1, keepdim=True) * kept, kept


def balance(logits, k):
    T, E = logits.shape
    p = torch.softmax(logits, -1)
    best = p.argsort(-1, descending=True)[:, :k]
    loss = torch.zeros((), dtype=p.dtype, device=p.device)
    for e in range(E):
        f_e = (best == e).sum() / (T * k)
        loss = loss + f_e * p[:, e].mean()
    return E * loss


class Router:
    """The same in steps: a mistake is written as the one in which it differs."""

    def __call__(self, logits, k, capacity):
        p = logits.softmax(-1)
        expert = self.best(p, k)
        weight = self.weighed(p.gather(1, expert))
        kept = self.places(expert, weight, p.shape[1]) < capacity
        return expert, self.dropped(weight, kept), kept

    def best(self, p, k):
        return p.topk(k).indices

    def weighed(self, chosen):
        return chosen / chosen.sum(-1, keepdim=True)

    def places(self, expert, weight, E):
        """How many choices went to the same expert before this one."""
        return counted(expert.T.flatten(), E).view_as(expert.T).T

    def dropped(self, weight, kept):
        return weight * kept


def counted(experts, E):
    """For each entry of a row of experts how often its expert came before."""
    chosen = one_hot(experts, E)
    return ((chosen.cumsum(0) - 1) * chosen).sum(-1)


TRUSTED = Trusted(
    (reference, balance), budget="two functions: choice, weights, order, room, and the two factors of f P"
)
wrong_route, wrong_balance = TRUSTED.one_by_one(lambda steps: steps(), lambda f: f)


def counts_alone(logits, k):
    f = shares(logits, k)
    return logits.shape[1] * (f * f).sum()


def shares(logits, k):
    chosen = one_hot(logits.topk(k).indices, logits.shape[1]).sum(1)
    return chosen.to(logits.dtype).mean(0) / k


@wrong_route("The weights are not divided by their sum: over the k experts of a token they should add up to 1.")
class NotRenormalised(Router):
    def weighed(self, chosen):
        return chosen


@wrong_route(
    "The room is given away token by token, each with all of its choices. First all tokens get their first choice, "
    "then what is left goes to the second ones: count down the columns of `expert`, not along its rows."
)
class TokenByToken(Router):
    def places(self, expert, weight, E):
        return counted(expert.flatten(), E).view_as(expert)


class AsGiven(NotRenormalised, TokenByToken):
    pass


TRUSTED.add_mistake(
    "as_given",
    "This does what the code as it was given does. What do the weights of a token add up to, who gets the last place "
    "at an expert, and which of the two factors of the loss has a gradient?",
    AsGiven(),
    counts_alone,
)


@wrong_route("A second softmax runs over the chosen probabilities. Divide them by their sum, which keeps their ratios.")
class SoftmaxTwice(Router):
    def weighed(self, chosen):
        return chosen.softmax(-1)


@wrong_route(
    "The weights are divided by the sum of what was kept, so that a dropped choice makes the others heavier. Divide "
    "by the sum over the k choices first, then set those that were dropped to 0."
)
class RenormalisedAfterDropping(Router):
    def dropped(self, weight, kept):
        left = weight * kept
        return left / left.sum(-1, keepdim=True).clamp_min(1e-12)


@wrong_route("A dropped choice keeps its weight: what no expert reads must weigh 0.")
class DroppedStillWeigh(Router):
    def dropped(self, weight, kept):
        return weight


@wrong_route("All experts share one counter, so that `capacity` choices are kept in all. Each expert has its own room.")
class OneCounter(Router):
    def places(self, expert, weight, E):
        return torch.arange(expert.numel(), device=expert.device).view_as(expert.T).T


@wrong_route(
    "Each expert takes one choice too many: where the count includes the choice itself, ask for <= capacity, "
    "and where it leaves it out, for < capacity."
)
class OneTooMany(Router):
    def places(self, expert, weight, E):
        return super().places(expert, weight, E) - 1


@wrong_route(
    "Each expert takes one choice too few: where the count leaves out the choice itself, ask for < capacity, "
    "and where it includes it, for <= capacity."
)
class OneTooFew(Router):
    def places(self, expert, weight, E):
        return super().places(expert, weight, E) + 1


@wrong_route(
    "First and second choices are counted apart, so that an expert takes up to k times `capacity`. Second choices get "
    "what the first ones have left."
)
class CountedByColumn(Router):
    def places(self, expert, weight, E):
        return torch.stack([counted(column, E) for column in expert.T], 1)


@wrong_route("The heaviest choices are kept. Here it goes by order: first choices before second ones, then by token.")
class HeaviestFirst(Router):
    def places(self, expert, weight, E):
        order = weight.flatten().argsort(descending=True)
        places = torch.empty_like(order)
        places[order] = counted(expert.flatten()[order], E)
        return places.view_as(expert)


@wrong_route(
    "The order in which room is given away is right, but `view` does not bring it back: what was counted over the "
    "columns of `expert` is (k, T), and its transpose belongs to the tokens."
)
class ViewedNotTransposed(Router):
    def places(self, expert, weight, E):
        return counted(expert.T.flatten(), E).view_as(expert)


@wrong_route(
    "A choice that has room is dropped with another one of its token: each choice is kept or dropped by itself."
)
class WholeTokenDropped(Router):
    def __call__(self, logits, k, capacity):
        expert, weight, kept = super().__call__(logits, k, capacity)
        kept = kept.all(-1, keepdim=True).expand_as(kept)
        return expert, weight * kept, kept


@wrong_route("The softmax runs over the tokens, dimension 0: each token shares out its probability over the experts.")
class OverTokens(Router):
    def __call__(self, logits, k, capacity):
        # The logarithms of what was computed go once more through a softmax, which only divides by the sum of a row.
        return super().__call__(logits.log_softmax(0), k, capacity)


@wrong_route(
    "Each expert has a sigmoid by itself, as in DeepSeek-V3. Here probabilities are a softmax over the experts."
)
class Sigmoids(Router):
    def __call__(self, logits, k, capacity):
        return super().__call__(torch.nn.functional.logsigmoid(logits), k, capacity)


@wrong_route("The choices come worst first: the best expert of a token stands in column 0.")
class WorstFirst(Router):
    def best(self, p, k):
        return p.topk(k).indices.flip(1)


@wrong_route("The weights are right, but cut off from the logits (detach): the router could never learn.")
class Detached(Router):
    def weighed(self, chosen):
        return super().weighed(chosen).detach()


TRUSTED.add_mistake(
    "counts_alone",
    "The loss is made of counts alone, and these have no gradient. One factor is the share of choices, f, the other "
    "the mean probability, P, through which the loss teaches.",
    reference,
    counts_alone,
)


@wrong_balance(
    "The loss is made of mean probabilities alone, E sum P^2: one of the two factors is the share of choices."
)
def probabilities_alone(logits, k):
    P = logits.softmax(-1).mean(0)
    return len(P) * (P * P).sum()


@wrong_balance(
    "The factor E is missing from the loss, or a mean over the experts takes it away: with E and a sum, evenly spread "
    "tokens give 1 for any number of experts."
)
def without_E(logits, k):
    return (shares(logits, k) * logits.softmax(-1).mean(0)).sum()


@wrong_balance("f is k times too large: it is the share of all T k choices, so that it adds up to 1 over the experts.")
def choices_per_token(logits, k):
    return k * balance(logits, k)


@wrong_balance("Only the first choice of each token is counted in f. All k of them are choices.")
def first_choice_alone(logits, k):
    return logits.shape[1] * (shares(logits, 1) * logits.softmax(-1).mean(0)).sum()


@wrong_balance("P is the mean of the weights, which are 0 for all but k experts: it is the mean of the whole softmax.")
def mean_of_weights(logits, k):
    best, expert = logits.topk(k)
    weight = torch.zeros_like(logits).scatter(1, expert, best.softmax(-1))
    return logits.shape[1] * (shares(logits, k) * weight.mean(0)).sum()


@wrong_balance("P is made by a softmax over the tokens: a token shares out its probability over the experts, dim=-1.")
def softmax_over_tokens(logits, k):
    return logits.shape[1] * (shares(logits, k) * logits.softmax(0).mean(0)).sum()


@wrong_balance("The logits are averaged before the softmax: P is the mean of what the softmax gives.")
def softmax_of_the_mean(logits, k):
    return logits.shape[1] * (shares(logits, k) * logits.mean(0).softmax(-1)).sum()


@wrong_balance(
    "The loss is multiplied by the number of tokens, T. The factor is the number of experts, logits.shape[1]."
)
def tokens_for_experts(logits, k):
    return len(logits) * (shares(logits, k) * logits.softmax(-1).mean(0)).sum()


def from_logits(logits, k, capacity):
    """The softmax of the chosen logits is the same as their probabilities divided by their sum."""
    best, expert = logits.topk(k)
    order = expert.T.reshape(-1)
    earlier = (order[:, None] == order).tril(-1).sum(1)
    kept = (earlier < capacity).view(k, -1).T
    return expert, best.softmax(-1).masked_fill(~kept, 0.0), kept


def by_matrix(logits, k):
    p = logits.softmax(-1)
    chosen = torch.zeros_like(p).scatter(1, p.topk(k).indices, 1.0)
    return torch.einsum("te,se->", chosen, p) * p.shape[1] / (k * p.shape[0] ** 2)


def one_choice_after_another(logits, k, capacity):
    """The best expert is taken out of the probabilities before the next one is looked for."""
    p = logits.softmax(-1)
    left, full = p.detach().clone(), torch.zeros(p.shape[1], dtype=torch.int64, device=p.device)
    experts, kept = [], []
    for _ in range(k):
        e = left.argmax(-1)
        left.scatter_(1, e[:, None], -1.0)
        mine = one_hot(e, p.shape[1])
        place = full + mine.cumsum(0)  # counts the choice itself
        kept.append(place.gather(1, e[:, None])[:, 0] <= capacity)
        full = full + mine.sum(0)
        experts.append(e)
    expert, kept = torch.stack(experts, 1), torch.stack(kept, 1)
    chosen = p.gather(1, expert)
    return expert, torch.where(kept, chosen / chosen.sum(1, keepdim=True), 0), kept


def by_counts(logits, k):
    f = torch.bincount(logits.topk(k).indices.flatten(), minlength=logits.shape[1]) / (k * len(logits))
    return (f.to(logits.dtype) @ logits.softmax(-1).mean(0)) * len(f)


TRUSTED.add_alternative("from_logits", from_logits, by_matrix)
TRUSTED.add_alternative("one_choice_after_another", one_choice_after_another, by_counts)
