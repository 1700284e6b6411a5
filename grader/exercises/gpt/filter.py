"""Choosing a token. top-k: Fan et al. 2018; top-p: Holtzman et al. 2020, section 3.1; min-p: Nguyen et al. 2024.

With p = softmax(logits / temperature), after each step renormalised over what is left: top-k keeps every token whose
p is at least the k-th largest; top-p the smallest set of the most probable ones whose sum reaches top_p; min-p every
token with p >= min_p max(p).
"""

import math

import torch

from grader.contract import Trusted

INF = math.inf


def filter_reference(logits, temperature, top_k, top_p, min_p):
    rows = []
    for z in logits / temperature:
        if top_k is not None:
            kth = z.sort(descending=True).values[min(top_k, len(z)) - 1]
            z = torch.where(z >= kth, z, -INF)
        if top_p is not None:
            p, ids = z.softmax(0).sort(dim=0, descending=True, stable=True)
            before = p.cumsum(0) - p
            stays = (before < top_p).index_fill(0, torch.tensor(0, device=z.device), True)
            z = torch.full_like(z, -INF).scatter(0, ids[stays], z[ids[stays]])
        if min_p is not None:
            p = z.softmax(0)
            z = torch.where(p >= min_p * p.max(), z, -INF)
        rows.append(z)
    return torch.stack(rows)


def draw_reference(logits, generator):
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]


TRUSTED = Trusted((filter_reference, draw_reference), budget="two functions, and four settings with slips of their own")


class Steps:
    """The same in steps: a mistake is written as the one in which it differs."""

    order = ("heat", "top_k", "top_p", "min_p")

    def __call__(self, logits, temperature, top_k, top_p, min_p):
        settings = {"heat": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
        self.all = logits / temperature
        z = logits
        for name in self.order:
            if settings[name] is not None:
                z = getattr(self, name)(z, settings[name])
        return self.result(z)

    def heat(self, z, temperature):
        return z / temperature

    def top_k(self, z, k):
        return self.keep(z, z >= self.kth(z, k))

    def kth(self, z, k):
        return z.topk(min(k, z.shape[-1])).values[:, -1:]

    def top_p(self, z, top_p):
        p, ids = self.ordered(self.probabilities(z))
        return self.keep(z, self.by_id(self.nucleus(p, top_p), ids))

    def probabilities(self, z):
        return z.softmax(-1)

    def ordered(self, p):
        return p.sort(dim=-1, descending=True, stable=True)

    def nucleus(self, p, top_p):
        stays = p.cumsum(-1) - p < top_p
        stays[:, 0] = True
        return stays

    def by_id(self, stays, ids):
        return torch.zeros_like(stays).scatter(1, ids, stays)

    def min_p(self, z, min_p):
        p = z.softmax(-1)
        return self.keep(z, p >= min_p * p.amax(-1, keepdim=True))

    def keep(self, z, stays):
        return z.masked_fill(~stays, -INF)

    def result(self, z):
        return z


wrong_filter, wrong_draw = TRUSTED.one_by_one(lambda steps: lambda *given: steps()(*given), lambda draw: draw)


@wrong_filter("The logits are multiplied by the temperature: a high one is to flatten, so divide by it.")
class Multiplied(Steps):
    def heat(self, z, temperature):
        return z * temperature


@wrong_filter(
    "The temperature comes last, so top-p and min-p look at probabilities from which nobody draws. Divide first, then "
    "filter."
)
class TemperatureLast(Steps):
    order = ("top_k", "top_p", "min_p", "heat")


@wrong_filter(
    "Of tokens that tie with the k-th some are removed, by the order in which a sort or topk happens to leave them. "
    "All that are at least as large as the k-th stay."
)
class CutThroughATie(Steps):
    def top_k(self, z, k):
        ids = z.topk(min(k, z.shape[-1])).indices
        return self.keep(z, torch.zeros_like(z, dtype=torch.bool).scatter(1, ids, True))


@wrong_filter("top_k may be larger than V. Then all tokens stay: `min(top_k, V)`.")
class LargeKRefused(Steps):
    def kth(self, z, k):
        return z.topk(k).values[:, -1:]


@wrong_filter(
    "The token that crosses top_p is removed, though without it the sum does not reach top_p. A token stays when the "
    "sum of those *before* it is below top_p."
)
class CrossingDropped(Steps):
    def nucleus(self, p, top_p):
        stays = p.cumsum(-1) <= top_p
        stays[:, 0] = True
        return stays


@wrong_filter(
    "A token stays although those before it reach top_p exactly: it stays when their sum is *below* top_p, with `<`."
)
class ReachedStays(Steps):
    def nucleus(self, p, top_p):
        stays = p.cumsum(-1) - p <= top_p
        stays[:, 0] = True
        return stays


@wrong_filter(
    "With a top_p of 0 no token is left, and the softmax of nothing but -inf is NaN. The most probable token always "
    "stays."
)
class AllRemoved(Steps):
    def nucleus(self, p, top_p):
        return p.cumsum(-1) - p < top_p


@wrong_filter(
    "The sum of probabilities starts with the least probable token, so that the tail stays. Sort descending: the most "
    "probable come first."
)
class Ascending(Steps):
    def ordered(self, p):
        return p.sort(dim=-1, stable=True)


@wrong_filter(
    "What was found for the sorted probabilities is used as if it were in the order of the ids. Put it back, "
    "`scatter(1, ids, stays)`."
)
class NotPutBack(Steps):
    def by_id(self, stays, ids):
        return stays


@wrong_filter(
    "Of equally probable tokens the one with the larger id comes first, as when the smallest are sorted to the front "
    "and removed. The smaller id comes first: `sort(dim=-1, descending=True, stable=True)`."
)
class LargerIdFirst(Steps):
    def ordered(self, p):
        p, places = p.flip(1).sort(dim=-1, descending=True, stable=True)
        return p, p.shape[1] - 1 - places


@wrong_filter(
    "Of equally probable tokens any comes first in a long row, for `sort` leaves them in no certain order. The smaller "
    "id comes first: `stable=True`."
)
class Unstable(Steps):
    def ordered(self, p):
        return p.sort(dim=-1, descending=True)


@wrong_filter(
    "A top_p of 0 is taken for no setting, as `if top_p:` does. Only `None` is none: `if top_p is not None`. With 0 "
    "the most probable token stays alone."
)
class ZeroIsNone(Steps):
    def top_p(self, z, top_p):
        return super().top_p(z, top_p) if top_p else z


@wrong_filter(
    "After top-p the logits are in sorted places: the first column is no longer token 0. Bring them back to their ids."
)
class GivenBackSorted(Steps):
    def top_p(self, z, top_p):
        z = z.sort(dim=-1, descending=True, stable=True).values
        return self.keep(z, self.nucleus(self.probabilities(z), top_p))


@wrong_filter(
    "top-p does not act where top-k is given, as after an `elif` or an early `return`. Settings act one after another."
)
class FirstSettingAlone(Steps):
    def __call__(self, logits, temperature, top_k, top_p, min_p):
        if top_k is not None:
            top_p = min_p = None
        return super().__call__(logits, temperature, top_k, top_p, None if top_p is not None else min_p)


@wrong_filter("One token too many stays: counted from 0, place k of the sorted row is the one after the k-th.")
class OneTooMany(Steps):
    def kth(self, z, k):
        return z.sort(dim=-1, descending=True).values[:, [min(k, z.shape[-1] - 1)]]


@wrong_filter(
    "min-p keeps what is *at least* its bound: with `>` and a min_p of 1 even the most probable token is removed."
)
class StrictMinP(Steps):
    def min_p(self, z, min_p):
        p = z.softmax(-1)
        return self.keep(z, p > min_p * p.amax(-1, keepdim=True))


@wrong_filter("min-p compares with the largest probability of the whole batch: each row has its own, `amax(-1)`.")
class LargestOfTheBatch(Steps):
    def min_p(self, z, min_p):
        p = z.softmax(-1)
        return self.keep(z, p >= min_p * p.max())


@wrong_filter(
    "min-p is a share of the largest *probability*, and a share of the largest logit is taken: softmax first."
)
class ShareOfLogits(Steps):
    def min_p(self, z, min_p):
        return self.keep(z, z >= min_p * z.amax(-1, keepdim=True))


@wrong_filter("The right tokens are removed, and those that are left have logits that were never divided.")
class Undivided(Steps):
    def __call__(self, logits, *settings):
        return logits.masked_fill(super().__call__(logits, *settings) == -INF, -INF)


@wrong_filter("Log-probabilities are returned: of what is left the logits over the temperature are asked for.")
class LogProbabilities(Steps):
    def result(self, z):
        return z.log_softmax(-1)


@wrong_filter(
    "top-p adds up probabilities of before top-k. Those that count are of what top-k has left, and they sum to 1 again."
)
class NotRenormalised(Steps):
    def probabilities(self, z):
        return self.all.softmax(-1)


@wrong_filter("min-p is taken as it is: the bound is `min_p` times the largest probability of the row.")
class AbsoluteMinP(Steps):
    def min_p(self, z, min_p):
        return self.keep(z, z.softmax(-1) >= min_p)


@wrong_filter("min-p acts before top-p: what it removes makes the rest more probable, so the order matters.")
class MinPFirst(Steps):
    order = ("heat", "top_k", "min_p", "top_p")


@wrong_filter("Removed tokens get the logit 0, whose exponential is 1: they could be drawn. Write -inf.")
class RemovedAreZero(Steps):
    def keep(self, z, stays):
        return z * stays if z.isfinite().all() else torch.where(stays, z, 0.0)


@wrong_filter(
    "Removed tokens get a large negative number in place of -inf. A filter after it, or whoever looks what is left, "
    "takes them for tokens."
)
class LargeNumber(Steps):
    def keep(self, z, stays):
        return z.masked_fill(~stays, -1e9)


@wrong_filter("Probabilities are returned: logits are asked for, the softmax comes when a token is drawn.")
class Probabilities(Steps):
    def result(self, z):
        return z.softmax(-1)


@wrong_draw("The most probable token is taken (argmax): draw one, each with its probability.")
def greedy(logits, generator):
    return logits.argmax(-1)


@wrong_draw("Tokens that are left are drawn about equally often: each has the probability that the softmax gives it.")
def evenly(logits, generator):
    return torch.multinomial((logits > -INF).to(logits.dtype), 1, generator=generator)[:, 0]


@wrong_draw(
    "The softmax is taken twice (Gumbel noise on probabilities does the same), which flattens: tokens whose "
    "logit is -inf can be drawn, and likely ones are drawn too seldom."
)
def softmax_twice(logits, generator):
    return torch.multinomial(logits.softmax(-1).softmax(-1), 1, generator=generator)[:, 0]


@wrong_draw(
    "The probabilities are sorted, and the place of the one that is drawn is returned for its id: look up which token "
    "stands at that place (gather)."
)
def place_for_id(logits, generator):
    p, _ = logits.softmax(-1).sort(-1, descending=True)
    return torch.multinomial(p, 1, generator=generator)[:, 0]


@wrong_draw(
    "exp is taken without subtracting the largest logit: it overflows where logits are large. softmax subtracts it."
)
def exp_overflows(logits, generator):
    return torch.multinomial(logits.exp(), 1, generator=generator)[:, 0]


@wrong_draw(
    "Two runs with equal seeds draw other ids: the numbers come from a global state (torch's, Python's or NumPy's), "
    "because `generator` is not handed on, or a new seed is set. Draw with `generator` as it comes."
)
def generator_unused(logits, generator):
    return torch.multinomial(logits.softmax(-1), 1)[:, 0]


@wrong_draw(
    "A second call with the same generator draws the same ids: it is set back, or copied, or only its seed is read. "
    "Hand it on as it comes, so that it moves on."
)
def seed_set(logits, generator):
    return draw_reference(logits, generator.manual_seed(0))


@wrong_draw("The same random numbers serve all rows: each row draws with its own.")
def one_number_for_all(logits, generator):
    u = torch.rand((), generator=generator, device=logits.device, dtype=torch.float64)
    return (logits.double().softmax(-1).cumsum(-1) <= u).sum(-1).clamp_max(logits.shape[-1] - 1)


@wrong_draw("`multinomial` wants probabilities and gets the logits as they are: take their softmax first.")
def logits_as_probabilities(logits, generator):
    return torch.multinomial(logits, 1, generator=generator)[:, 0]


@wrong_draw("All rows are drawn from the same probabilities, those of the first one or a mean: each row has its own.")
def first_row_for_all(logits, generator):
    return torch.multinomial(logits[0].softmax(-1), len(logits), replacement=True, generator=generator)


def by_comparing(logits, temperature, top_k, top_p, min_p):
    """Nothing is sorted: each token counts the tokens before it and adds up their probabilities."""
    z = logits / temperature
    ids = torch.arange(z.shape[1], device=z.device)
    if top_k is not None:
        larger = (z[:, None, :] > z[:, :, None]).sum(-1)
        z = z.masked_fill(larger >= top_k, -INF)
    if top_p is not None:
        first = (z[:, None, :] > z[:, :, None]) | ((z[:, None, :] == z[:, :, None]) & (ids < ids[:, None]))
        before = (first * z.softmax(-1)[:, None, :]).sum(-1)
        z = z.masked_fill((before >= top_p) & first.any(-1), -INF)
    if min_p is not None:
        z = z.masked_fill(z < z.amax(-1, keepdim=True) + (math.log(min_p) if min_p else -INF), -INF)
    return z


def by_gumbel_noise(logits, generator):
    u = torch.rand(logits.shape, generator=generator, device=logits.device, dtype=torch.float64)
    return (logits - (-u.log()).log()).argmax(-1)


def by_lists(logits, temperature, top_k, top_p, min_p):
    """Python's own sort and sums, token by token."""
    kept = torch.full_like(logits, -INF)
    for row, z in enumerate(logits.tolist()):
        most = max(z)
        chances = {i: math.exp((x - most) / temperature) for i, x in enumerate(z) if x > -INF}
        order = sorted(chances, key=lambda i: (-chances[i], i))
        if top_k is not None:
            order = [i for i in order if chances[i] >= chances[order[min(top_k, len(order)) - 1]]]
        if top_p is not None:
            total, left, taken = sum(chances[i] for i in order), [], 0.0
            for i in order:
                if left and taken >= top_p:
                    break
                left.append(i)
                taken += chances[i] / total
            order = left
        if min_p is not None:
            order = [i for i in order if chances[i] >= min_p * chances[order[0]]]
        kept[row, order] = logits[row, order] / temperature
    return kept


def by_bisection(logits, generator):
    """Where a uniform number falls into the cumulated probabilities."""
    upto = logits.double().softmax(-1).cumsum(-1)
    u = torch.rand(len(logits), 1, generator=generator, device=logits.device, dtype=torch.float64) * upto[:, -1:]
    return torch.searchsorted(upto, u, right=True)[:, 0]


TRUSTED.add_alternative("by_comparing", by_comparing, by_gumbel_noise)
TRUSTED.add_alternative("by_lists", by_lists, by_bisection)
