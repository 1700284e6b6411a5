"""Answers to gpt.filter."""

import functools
import math

import numpy as np
import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers("gpt.filter")
wrong = ANSWERS.wrong
INF = float("inf")


def top_k_of(z, k):
    return z if k is None else z.masked_fill(z < z.topk(min(k, z.shape[-1])).values[:, -1:], -INF)


def top_p_of(z, top_p):
    if top_p is None:
        return z
    p, ids = z.softmax(-1).sort(dim=-1, descending=True, stable=True)
    stays = p.cumsum(-1) - p < top_p
    stays[:, 0] = True
    return z.masked_fill(~torch.zeros_like(stays).scatter(1, ids, stays), -INF)


def min_p_of(z, min_p):
    if min_p is None:
        return z
    p = z.softmax(-1)
    return z.masked_fill(p < min_p * p.amax(-1, keepdim=True), -INF)


def filtered(logits, temperature, top_k=None, top_p=None, min_p=None, of_k=top_k_of, of_p=top_p_of, of_m=min_p_of):
    """The right one, of which an answer replaces a step."""
    return of_m(of_p(of_k(logits / temperature, top_k), top_p), min_p)


def with_step(of_k=top_k_of, of_p=top_p_of, of_m=min_p_of):
    return functools.partial(filtered, of_k=of_k, of_p=of_p, of_m=of_m)


@wrong("given", "the logits are divided in place", told="changes its input logits in place")
def divides_in_place(logits, temperature, top_k=None, top_p=None, min_p=None):
    logits /= temperature
    return filtered(logits, 1.0, top_k, top_p, min_p)


@wrong("given", "draw subtracts the maximum in place", told="changes its input logits in place", at=1)
def draw_in_place(logits, generator):
    logits -= logits.amax(-1, keepdim=True)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]


@wrong("named", "topk with a k above V: an early version of minGPT", true="LargeKRefused")
def mingpt(logits, temperature, top_k=None, top_p=None, min_p=None):
    z = logits / temperature
    if top_k is not None:
        v, _ = torch.topk(z, top_k)
        z[z < v[:, [-1]]] = -INF
    return min_p_of(top_p_of(z, top_p), min_p)


@wrong("named", "exactly k stay: those that tie with the k-th are lost", true="CutThroughATie")
def exactly_k(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_k(z, k):
        if k is None:
            return z
        v, ids = z.topk(min(k, z.shape[-1]))
        return torch.full_like(z, -INF).scatter(1, ids, v)

    return with_step(of_k=of_k)(logits, temperature, top_k, top_p, min_p)


@wrong("named", "`if top_p`: 0 is taken for no setting", true="ZeroIsNone")
def truthy(logits, temperature, top_k=None, top_p=None, min_p=None):
    return filtered(logits, temperature, top_k or None, top_p or None, min_p or None)


@wrong("named", "HF's old guard, 0 < top_p < 1, and its loop with the same", true="ZeroIsNone")
def hf_guard(logits, temperature, top_k=None, top_p=None, min_p=None):
    return filtered(logits, temperature, top_k, top_p if top_p and 0.0 < top_p < 1.0 else None, min_p)


@wrong("named", "HF's ascending order: of equal ones the last ids stay", true="LargerIdFirst")
def hf_ascending(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_p(z, top_p):
        if top_p is None:
            return z
        sorted_logits, sorted_indices = torch.sort(z, descending=False)
        cumulative_probs = sorted_logits.softmax(dim=-1).cumsum(dim=-1)
        remove = cumulative_probs <= (1 - top_p)
        remove[..., -1:] = 0
        return z.masked_fill(remove.scatter(1, sorted_indices, remove), -INF)

    return with_step(of_p=of_p)(logits, temperature, top_k, top_p, min_p)


@wrong("named", "with top_p = 0 nothing stays", true="AllRemoved")
def nothing_stays(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_p(z, top_p):
        if top_p is None:
            return z
        p, ids = z.softmax(-1).sort(dim=-1, descending=True, stable=True)
        stays = p.cumsum(-1) - p < top_p
        return z.masked_fill(~torch.zeros_like(stays).scatter(1, ids, stays), -INF)

    return with_step(of_p=of_p)(logits, temperature, top_k, top_p, min_p)


@wrong("named", "min-p with >: at 1.0 nothing stays", true="StrictMinP")
def strictly_above(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_m(z, min_p):
        p = z.softmax(-1)
        return z if min_p is None else z.masked_fill(p <= min_p * p.amax(-1, keepdim=True), -INF)

    return with_step(of_m=of_m)(logits, temperature, top_k, top_p, min_p)


@wrong("plain", "the token that crosses top_p is removed", true="CrossingDropped")
def crossing_lost(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_p(z, top_p):
        if top_p is None:
            return z
        p, ids = z.softmax(-1).sort(-1, descending=True)
        remove = p.cumsum(-1) > top_p
        remove[:, 0] = False
        return z.masked_fill(remove.scatter(1, ids, remove), -INF)

    return with_step(of_p=of_p)(logits, temperature, top_k, top_p, min_p)


@wrong("plain", "the mask stays in sorted places", true="NotPutBack")
def never_scattered(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_p(z, top_p):
        if top_p is None:
            return z
        p = z.softmax(-1).sort(-1, descending=True).values
        remove = p.cumsum(-1) - p >= top_p
        remove[:, 0] = False
        return z.masked_fill(remove, -INF)

    return with_step(of_p=of_p)(logits, temperature, top_k, top_p, min_p)


@wrong("plain", "the sorted logits are given back, in sorted places", true="GivenBackSorted")
def sorted_back(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_p(z, top_p):
        if top_p is None:
            return z
        z = z.sort(-1, descending=True).values
        p = z.softmax(-1)
        remove = p.cumsum(-1) - p >= top_p
        remove[:, 0] = False
        return z.masked_fill(remove, -INF)

    return with_step(of_p=of_p)(logits, temperature, top_k, top_p, min_p)


@wrong("large", "vLLM's sum without `stable`: in long rows equal ones come in any order", true="Unstable")
def unstable(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_p(z, top_p):
        if top_p is None:
            return z
        p, ids = z.softmax(-1).sort(-1, descending=True)
        stays = p.cumsum(-1) - p < top_p
        stays[:, 0] = True
        return z.masked_fill(~torch.zeros_like(stays).scatter(1, ids, stays), -INF)

    return with_step(of_p=of_p)(logits, temperature, top_k, top_p, min_p)


@wrong(
    "plain",
    "`sort` with `stable` and the dimension without its name: torch's message is no help",
    told="takes its dimension by its name",
)
def by_place(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_p(z, top_p):
        if top_p is None:
            return z
        p, ids = z.softmax(-1).sort(-1, descending=True, stable=True)
        stays = p.cumsum(-1) - p < top_p
        stays[:, 0] = True
        return z.masked_fill(~torch.zeros_like(stays).scatter(1, ids, stays), -INF)

    return with_step(of_p=of_p)(logits, temperature, top_k, top_p, min_p)


@wrong("plain", "gather where scatter was meant")
def gathered(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_p(z, top_p):
        if top_p is None:
            return z
        p, ids = z.softmax(-1).sort(dim=-1, descending=True, stable=True)
        stays = p.cumsum(-1) - p < top_p
        stays[:, 0] = True
        return z.masked_fill(~stays.gather(1, ids), -INF)

    return with_step(of_p=of_p)(logits, temperature, top_k, top_p, min_p)


@wrong("plain", "min-p as a threshold of its own, not a share of the largest", true="AbsoluteMinP")
def absolute(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_m(z, min_p):
        return z if min_p is None else z.masked_fill(z.softmax(-1) < min_p, -INF)

    return with_step(of_m=of_m)(logits, temperature, top_k, top_p, min_p)


@wrong("plain", "min-p on logits: a share of the largest logit", true="ShareOfLogits")
def share_of_logits(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_m(z, min_p):
        return z if min_p is None else z.masked_fill(z < min_p * z.amax(-1, keepdim=True), -INF)

    return with_step(of_m=of_m)(logits, temperature, top_k, top_p, min_p)


@wrong("ones", "min-p of the largest in the batch", true="LargestOfTheBatch")
def largest_of_all(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_m(z, min_p):
        p = z.softmax(-1)
        return z if min_p is None else z.masked_fill(p < min_p * p.max(), -INF)

    return with_step(of_m=of_m)(logits, temperature, top_k, top_p, min_p)


@wrong("ones", "a single row loses its dimension", told="lost a dimension of size 1")
def squeezed(logits, temperature, top_k=None, top_p=None, min_p=None):
    return filtered(logits, temperature, top_k, top_p, min_p).squeeze()


@wrong("ones", "draw's squeeze takes the rows as well", told="one id for each row", at=1)
def draw_squeezed(logits, generator):
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze()


@wrong("plain", "multinomial's (B, 1)", told="one id for each row", at=1)
def draw_column(logits, generator):
    return torch.multinomial(F.softmax(logits, dim=-1), num_samples=1, generator=generator)


@wrong("plain", "top-p sees the probabilities before top-k", true="NotRenormalised")
def all_at_once(logits, temperature, top_k=None, top_p=None, min_p=None):
    z = logits / temperature
    kept = [top_k_of(z, top_k), top_p_of(z, top_p), min_p_of(z, min_p)]
    return z.masked_fill(torch.stack([x == -INF for x in kept]).any(0), -INF)


@wrong("plain", "min-p comes before top-p, as vLLM has it", true="MinPFirst")
def min_p_first(logits, temperature, top_k=None, top_p=None, min_p=None):
    return top_p_of(min_p_of(top_k_of(logits / temperature, top_k), min_p), top_p)


@wrong("plain", "top-p comes before top-k", true="NotRenormalised")
def top_p_first(logits, temperature, top_k=None, top_p=None, min_p=None):
    return min_p_of(top_k_of(top_p_of(logits / temperature, top_p), top_k), min_p)


@wrong("plain", "the temperature comes last, as in llama.cpp", true="TemperatureLast")
def temperature_last(logits, temperature, top_k=None, top_p=None, min_p=None):
    return filtered(logits, 1.0, top_k, top_p, min_p) / temperature


@wrong("plain", "multiplied by the temperature", true="Multiplied")
def multiplied(logits, temperature, top_k=None, top_p=None, min_p=None):
    return filtered(logits * temperature, 1.0, top_k, top_p, min_p)


@wrong("plain", "the logits are given back undivided: the temperature only filters", true="Undivided")
def undivided(logits, temperature, top_k=None, top_p=None, min_p=None):
    return logits.masked_fill(filtered(logits, temperature, top_k, top_p, min_p) == -INF, -INF)


@wrong("plain", "probabilities instead of logits", true="Probabilities")
def probabilities(logits, temperature, top_k=None, top_p=None, min_p=None):
    return filtered(logits, temperature, top_k, top_p, min_p).softmax(-1)


@wrong("plain", "log-probabilities instead of logits: what is left is normalised", true="LogProbabilities")
def log_probabilities(logits, temperature, top_k=None, top_p=None, min_p=None):
    return filtered(logits, temperature, top_k, top_p, min_p).log_softmax(-1)


@wrong("far", "removed ones have -1e9, not -inf", true="LargeNumber")
def finite(logits, temperature, top_k=None, top_p=None, min_p=None):
    return filtered(logits, temperature, top_k, top_p, min_p).clamp_min(-1e9)


@wrong("far", "its own softmax without the maximum")
def own_softmax(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_p(z, top_p):
        if top_p is None:
            return z
        p = z.exp() / z.exp().sum(-1, keepdim=True)
        p, ids = p.sort(dim=-1, descending=True, stable=True)
        stays = p.cumsum(-1) - p < top_p
        stays[:, 0] = True
        return z.masked_fill(~torch.zeros_like(stays).scatter(1, ids, stays), -INF)

    return with_step(of_p=of_p)(logits, temperature, top_k, top_p, min_p)


@wrong("far", "draw's own softmax without the maximum", true="exp_overflows", at=1)
def draw_own_softmax(logits, generator):
    weights = logits.exp()
    return torch.multinomial(weights / weights.sum(-1, keepdim=True), 1, generator=generator)[:, 0]


@wrong("far", "draw's softmax with one maximum for the whole batch", at=1)
def draw_one_maximum(logits, generator):
    weights = (logits - logits.max()).exp()
    return torch.multinomial(weights, 1, generator=generator)[:, 0]


@wrong("large", "only the 128 most probable are looked at, for speed")
def candidates(logits, temperature, top_k=None, top_p=None, min_p=None):
    z = logits / temperature
    if top_p is not None or min_p is not None:
        v, ids = z.topk(min(128, z.shape[-1]))
        z = torch.full_like(z, -INF).scatter(1, ids, v)
    return min_p_of(top_p_of(top_k_of(z, top_k), top_p), min_p)


@wrong("large", "the sum is taken in bfloat16, as under autocast")
def coarse_sum(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_p(z, top_p):
        if top_p is None:
            return z
        p, ids = z.softmax(-1).sort(dim=-1, descending=True, stable=True)
        before = p.bfloat16().cumsum(-1) - p.bfloat16()
        stays = before < top_p
        stays[:, 0] = True
        return z.masked_fill(~torch.zeros_like(stays).scatter(1, ids, stays), -INF)

    return with_step(of_p=of_p)(logits, temperature, top_k, top_p, min_p)


@wrong(
    "large",
    "draw deals a thousand tickets: what is rarer has none",
    told="all rows with equal logits get the same id",
    at=1,
)
def draw_tickets(logits, generator):
    tickets = (1000 * logits.softmax(-1)).round()
    return torch.multinomial(tickets, 1, generator=generator)[:, 0]


KEPT = {}


@wrong("again", "the mask is kept for all calls with the same settings")
def kept_mask(logits, temperature, top_k=None, top_p=None, min_p=None):
    key = (tuple(logits.shape), temperature, top_k, top_p, min_p)
    if key not in KEPT:
        KEPT[key] = filtered(logits, temperature, top_k, top_p, min_p) == -INF
    return (logits / temperature).masked_fill(KEPT[key], -INF)


@wrong("again", "the generator is set back in each draw", true="seed_set", at=1)
def draw_reseeds(logits, generator):
    generator.manual_seed(generator.initial_seed())
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]


@wrong("again", "a copy of the generator: the handed one never moves on", true="seed_set", at=1)
def draw_from_a_copy(logits, generator):
    g = torch.Generator(logits.device)
    g.set_state(generator.get_state())
    return torch.multinomial(logits.softmax(-1), 1, generator=g)[:, 0]


@wrong("onward", "elif: the first setting that is there is the only one", true="FirstSettingAlone")
def first_setting_only(logits, temperature, top_k=None, top_p=None, min_p=None):
    z = logits / temperature
    if top_k is not None:
        return top_k_of(z, top_k)
    if top_p is not None:
        return top_p_of(z, top_p)
    return min_p_of(z, min_p)


@wrong("onward", "top-p is no longer asked where top-k has removed something", true="FirstSettingAlone")
def top_p_without_top_k(logits, temperature, top_k=None, top_p=None, min_p=None):
    return filtered(logits, temperature, top_k, top_p if top_k is None else None, min_p)


@wrong("surroundings", "torch.distributions: the global generator", true="generator_unused", at=1)
def draw_categorical(logits, generator):
    return torch.distributions.Categorical(logits=logits).sample()


@wrong("surroundings", "the global seed is set from the generator's", told="sets the seed of all random numbers", at=1)
def draw_sets_the_seed(logits, generator):
    torch.manual_seed(torch.randint(2**31, (), generator=generator).item())
    return torch.multinomial(logits.softmax(-1), 1)[:, 0]


@wrong(
    "dependence",
    "one random number for the whole batch",
    true="one_number_for_all",
    told="all rows with equal logits get the same id",
    at=1,
)
def draw_one_number(logits, generator):
    u = torch.rand(1, generator=generator, device=logits.device)
    cdf = logits.softmax(-1).cumsum(-1)
    return (cdf < u).sum(-1).clamp_max(logits.shape[-1] - 1)


@wrong(
    "dependence",
    "systematic numbers (i + u) / B, shuffled: the counts are exact",
    told="closer than chance comes",
    at=1,
)
def draw_systematic(logits, generator):
    B, device = len(logits), logits.device
    u = (torch.arange(B, device=device) + torch.rand(1, generator=generator, device=device)) / B
    u = u[torch.randperm(B, generator=generator, device=device)]
    cdf = logits.double().softmax(-1).cumsum(-1)
    return (cdf < u[:, None]).sum(-1).clamp_max(logits.shape[-1] - 1)


@wrong(
    "dependence",
    "each pair of rows shares u and 1 - u, antithetic",
    told="same id in .* by chance|half a batch apart, go together",
    at=1,
)
def draw_antithetic(logits, generator):
    B = len(logits)
    u = torch.rand((B + 1) // 2, 1, generator=generator, device=logits.device)
    u = torch.stack((u, 1 - u), 1).reshape(-1, 1)[:B]
    return (logits.softmax(-1).cumsum(-1) < u).sum(-1).clamp_max(logits.shape[-1] - 1)


@wrong("unwatched", "random numbers of NumPy, whose seed the generator gives once", true="seed_set", at=1)
def draw_numpy(logits, generator):
    rng = np.random.default_rng(generator.initial_seed())
    p = logits.double().softmax(-1).cpu().numpy()
    return torch.tensor([rng.choice(len(row), p=row / row.sum()) for row in p], device=logits.device)


@wrong("unwatched", "no generator at all", true="generator_unused", at=1)
def draw_global(logits, generator):
    return torch.multinomial(logits.softmax(-1), 1)[:, 0]


@wrong("plain", "the most probable one", true="greedy", at=1)
def draw_argmax(logits, generator):
    return logits.argmax(-1)


@wrong("plain", "each that is left has the same chance", true="evenly", at=1)
def draw_uniform(logits, generator):
    return torch.multinomial((logits > -INF).float(), 1, generator=generator)[:, 0]


@wrong("plain", "normal noise where Gumbel's was meant", at=1)
def draw_normal_noise(logits, generator):
    noise = torch.randn(logits.shape, generator=generator, device=logits.device)
    return (logits + noise).argmax(-1)


@wrong("plain", "Gumbel's noise on probabilities", true="softmax_twice", at=1)
def draw_gumbel_on_p(logits, generator):
    u = torch.rand(logits.shape, generator=generator, device=logits.device)
    return (logits.softmax(-1) - (-u.log()).log()).argmax(-1)


@wrong("plain", "multinomial of the logits themselves", true="logits_as_probabilities", at=1)
def draw_from_logits(logits, generator):
    return torch.multinomial(logits, 1, generator=generator)[:, 0]


@wrong("plain", "the first row's probabilities for all rows", true="first_row_for_all", at=1)
def draw_first_row(logits, generator):
    return torch.multinomial(logits[0].softmax(-1), len(logits), replacement=True, generator=generator)


@wrong("plain", "the first row's threshold for all rows")
def first_threshold(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_k(z, k):
        return z if k is None else z.masked_fill(z < z.topk(min(k, z.shape[-1])).values[0, -1], -INF)

    return with_step(of_k=of_k)(logits, temperature, top_k, top_p, min_p)


@wrong("plain", "k + 1 stay: sorted[k]", true="OneTooMany")
def one_too_many(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_k(z, k):
        if k is None or k >= z.shape[-1]:
            return z
        return z.masked_fill(z < z.sort(-1, descending=True).values[:, k, None], -INF)

    return with_step(of_k=of_k)(logits, temperature, top_k, top_p, min_p)


@wrong("plain", "the softmax goes over the batch")
def over_the_batch(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_p(z, top_p):
        if top_p is None:
            return z
        p, ids = z.softmax(0).sort(-1, descending=True)
        stays = p.cumsum(-1) - p < top_p
        stays[:, 0] = True
        return z.masked_fill(~torch.zeros_like(stays).scatter(1, ids, stays), -INF)

    return with_step(of_p=of_p)(logits, temperature, top_k, top_p, min_p)


@wrong("plain", "removed ones are 0: a mask that is multiplied", true="RemovedAreZero")
def zeros(logits, temperature, top_k=None, top_p=None, min_p=None):
    kept = filtered(logits, temperature, top_k, top_p, min_p)
    return kept.masked_fill(kept == -INF, 0.0)


@wrong("plain", "three slips: multiplied, exactly k, the crossing one lost")
def three_slips(logits, temperature, top_k=None, top_p=None, min_p=None):
    z = logits * temperature
    if top_k is not None:
        v, ids = z.topk(min(top_k, z.shape[-1]))
        z = torch.full_like(z, -INF).scatter(1, ids, v)
    if top_p is not None:
        p, ids = z.softmax(-1).sort(-1, descending=True)
        remove = p.cumsum(-1) > top_p
        z = z.masked_fill(remove.scatter(1, ids, remove), -INF)
    return min_p_of(z, min_p)


@ANSWERS.right
def row_by_row(logits, temperature, top_k=None, top_p=None, min_p=None):
    """A loop over rows in NumPy, in float64."""
    out = np.full(tuple(logits.shape), -np.inf)
    for b, row in enumerate(logits.double().cpu().numpy() / temperature):
        stay = [i for i in range(len(row)) if row[i] > -np.inf]
        if top_k is not None:
            least = sorted((row[i] for i in stay), reverse=True)[min(top_k, len(stay)) - 1]
            stay = [i for i in stay if row[i] >= least]

        def p(i, stay, row=row):
            return math.exp(row[i] - max(row)) / sum(math.exp(row[j] - max(row)) for j in stay)

        if top_p is not None:
            left, total, before = sorted(stay, key=lambda i: (-row[i], i)), 0.0, stay
            stay = []
            for i in left:
                if not stay or total < top_p:
                    stay.append(i)
                total += p(i, before)
        if min_p is not None:
            largest = max(p(i, stay) for i in stay)
            stay = [i for i in stay if p(i, stay) >= min_p * largest]
        out[b, stay] = row[stay]
    return torch.from_numpy(out).to(logits)


@ANSWERS.right
def in_sorted_places(logits, temperature=1.0, top_k=None, top_p=None, min_p=None):
    """Sorted once, filtered in sorted places, and brought back whole."""
    z, ids = torch.sort(logits / temperature, dim=-1, descending=True, stable=True)
    if top_k is not None and top_k < z.size(-1):
        z = torch.where(z >= z[:, top_k - 1 : top_k], z, -torch.inf)
    if top_p is not None:
        p = F.softmax(z, dim=-1)
        remove = torch.cumsum(p, -1) >= top_p
        remove[..., 1:] = remove[..., :-1].clone()
        remove[..., 0] = False
        z[remove] = -torch.inf
    if min_p is not None:
        z[z - z[:, :1] < (math.log(min_p) if min_p else -INF)] = -torch.inf
    return torch.empty_like(z).scatter_(-1, ids, z)


@ANSWERS.right
def in_place_on_a_copy(logits, temperature, top_k=None, top_p=None, min_p=None):
    """nanoGPT's line, vLLM's sum, min-p of transformers, in another layout."""
    z = logits.clone()
    z.div_(temperature)
    if top_k is not None:
        v, _ = torch.topk(z, min(top_k, z.size(-1)))
        z[z < v[:, [-1]]] = -float("Inf")
    if top_p is not None:
        probs_sort, probs_idx = torch.sort(torch.softmax(z, -1), dim=-1, descending=True, stable=True)
        probs_sum = torch.cumsum(probs_sort, dim=-1)
        mask = probs_sum - probs_sort >= top_p
        mask[:, 0] = False
        z[torch.zeros_like(mask).scatter_(1, probs_idx, mask)] = -INF
    if min_p is not None:
        probs = torch.softmax(z, dim=-1)
        z.masked_fill_(probs < min_p * probs.max(dim=-1, keepdim=True).values, -INF)
    return z.T.contiguous().T


@ANSWERS.right
def in_float64(logits, temperature, top_k=None, top_p=None, min_p=None):
    return filtered(logits.double(), temperature, top_k, top_p, min_p)


@ANSWERS.right_at(1)
def gumbel(logits, generator):
    u = torch.rand(logits.shape, generator=generator, dtype=torch.float64, device=logits.device)
    return (logits - torch.log(-torch.log(u))).argmax(dim=-1)


@ANSWERS.right_at(1)
def exponential_race(logits, generator):
    """gpt-fast's line."""
    q = torch.empty_like(logits).exponential_(1, generator=generator)
    return torch.argmax(logits.softmax(-1) / q, dim=-1)


@ANSWERS.right_at(1)
def inverse(logits, generator):
    cdf = logits.double().softmax(-1).cumsum(-1)
    u = torch.rand(len(logits), 1, generator=generator, dtype=torch.float64, device=logits.device)
    return torch.searchsorted(cdf, u * cdf[:, -1:], right=True).squeeze(-1)


@ANSWERS.right_at(1)
def one_after_another(logits, generator):
    """A loop over the rows; each draws with the one generator."""
    return torch.cat([torch.multinomial(p, 1, generator=generator) for p in logits.softmax(-1)])


# A second round.


@wrong("far", "the k most probable: far below the first all probabilities are 0, and tie")
def top_k_by_probability(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_k(z, k):
        if k is None:
            return z
        p = z.softmax(-1)
        return z.masked_fill(p < p.topk(min(k, z.shape[-1])).values[:, -1:], -INF)

    return with_step(of_k=of_k)(logits, temperature, top_k, top_p, min_p)


@wrong("plain", "kthvalue: the k-th smallest", advice="is the input logits, unchanged")
def kth_smallest(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_k(z, k):
        return z if k is None else z.masked_fill(z < z.kthvalue(min(k, z.shape[-1]), keepdim=True).values, -INF)

    return with_step(of_k=of_k)(logits, temperature, top_k, top_p, min_p)


@wrong("plain", "top-p and min-p look at the probabilities of the undivided logits", true="TemperatureLast")
def undivided_probabilities(logits, temperature, top_k=None, top_p=None, min_p=None):
    return (logits / temperature).masked_fill(filtered(logits, 1.0, top_k, top_p, min_p) == -INF, -INF)


@wrong(
    "dependence",
    "the random numbers are sorted first",
    told="same id in .* by chance|half a batch apart, go together",
    at=1,
)
def draw_sorted(logits, generator):
    u = torch.rand(len(logits), generator=generator, device=logits.device).sort().values
    return (logits.double().softmax(-1).cumsum(-1) < u[:, None]).sum(-1).clamp_max(logits.shape[-1] - 1)


@wrong(
    "surroundings",
    "generator.seed() gives it a new seed each time",
    true="generator_unused",
    at=1,
)
def draw_new_seed(logits, generator):
    generator.seed()
    return torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]


@ANSWERS.right
def nothing_to_do(logits, temperature, top_k=None, top_p=None, min_p=None):
    """Where nothing is asked the very logits come back."""
    z = logits if temperature == 1 else logits * (1 / temperature)
    return z if top_k is top_p is min_p is None else filtered(z, 1, top_k, top_p, min_p)


# A third round.


def drawn_by(u_of, logits, generator):
    """By bisection, with the uniform numbers that `u_of` gives."""
    upto = logits.double().softmax(-1).cumsum(-1)
    return (upto < u_of(len(upto), generator)[:, None]).sum(-1).clamp(max=upto.shape[1] - 1)


@wrong("dependence", "the second half of the rows draws as the first", told="half a batch apart", at=1)
def draw_halves(logits, generator):
    def halves(B, generator):
        u = torch.rand((B + 1) // 2, generator=generator, dtype=torch.float64)
        return torch.cat([u, u])[:B]

    return drawn_by(halves, logits, generator)


@wrong("dependence", "the second half draws as the first, backwards", told="half a batch apart", at=1)
def draw_mirrored(logits, generator):
    def mirrored(B, generator):
        u = torch.rand((B + 1) // 2, generator=generator, dtype=torch.float64)
        return torch.cat([u, 1 - u.flip(0)])[-B:]

    return drawn_by(mirrored, logits, generator)


@wrong("dependence", "random numbers of two digits", told="too coarse", at=1)
def draw_two_digits(logits, generator):
    def hundredths(B, generator):
        return (torch.randint(100, (B,), generator=generator) + 0.5) / 100

    return drawn_by(hundredths, logits, generator)


@wrong("plain", "top-p is not there at all", told="B=")
def no_top_p(logits, temperature, top_k=None, top_p=None, min_p=None):
    return filtered(logits, temperature, top_k, None, min_p)


@wrong("named", "a token stays where those before it reach top_p exactly", true="ReachedStays")
def reached_stays(logits, temperature, top_k=None, top_p=None, min_p=None):
    def of_p(z, top_p):
        if top_p is None:
            return z
        p, ids = z.softmax(-1).sort(dim=-1, descending=True, stable=True)
        removed = p.cumsum(-1) > top_p
        removed[..., 1:] = removed[..., :-1].clone()
        removed[..., 0] = False
        return z.masked_fill(torch.zeros_like(removed).scatter(1, ids, removed), -INF)

    return filtered(logits, temperature, top_k, top_p, min_p, of_p=of_p)


# A fifth round.


@wrong("plain", "likely tokens come too often, half of the Gumbel noise is missing", told="is drawn in", at=1)
def half_of_the_noise(logits, generator):
    return (logits + torch.rand(logits.shape, generator=generator).log()).argmax(-1)


@wrong("plain", "probabilities are squared", told="is drawn in", at=1)
def squared(logits, generator):
    return torch.multinomial(logits.softmax(-1) ** 2, 1, generator=generator)[:, 0]


@wrong("plain", "probabilities times uniform numbers", told="is drawn in", at=1)
def largest_product(logits, generator):
    return (logits.softmax(-1) * torch.rand(logits.shape, generator=generator)).argmax(-1)


@wrong("plain", "places in the sorted row for ids", true="place_for_id", at=1)
def place_among_sorted(logits, generator):
    p = logits.softmax(-1).sort(-1, descending=True).values
    return torch.multinomial(p, 1, generator=generator).squeeze(-1)


@wrong("dependence", "one seed for every row", told="all rows with equal logits get the same id", at=1)
def a_seed_for_all_rows(logits, generator):
    same = generator.initial_seed()
    rows = [row.softmax(-1) for row in logits]
    return torch.cat([torch.multinomial(p, 1, generator=torch.Generator().manual_seed(same)) for p in rows])


# A sixth round.


@wrong("named", "the logarithm of a min_p of 0", told="math domain error")
def logarithm_of_zero(logits, temperature, top_k=None, top_p=None, min_p=None):
    z = filtered(logits, temperature, top_k, top_p)
    return z if min_p is None else z.masked_fill(z < z.amax(-1, keepdim=True) + math.log(min_p), -INF)
