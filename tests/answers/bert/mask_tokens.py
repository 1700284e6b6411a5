"""Answers to bert.mask_tokens."""

import random

import torch

from tests.answers.collection import Answers

ANSWERS = Answers(
    "bert.mask_tokens",
    spared={
        "far": "ids are names, not sizes",
        "unwatched": "nothing is watched but the results",
    },
)
P, MASKED, KEPT = 0.15, 0.8, 0.9


def words_of(ids, real, special):
    return real & ~torch.isin(ids, torch.tensor(special, device=ids.device))


def uniform(ids, g):
    return torch.rand(ids.shape, generator=g, device=ids.device)


def tokens_of(ids, V, g):
    return torch.randint(V, ids.shape, generator=g, device=ids.device)


def finished(ids, chosen, fate, tokens, mask_id):
    new = torch.where(fate < MASKED, mask_id, torch.where(fate < KEPT, tokens, ids))
    return torch.where(chosen, new, ids), torch.where(chosen, ids, -100)


@ANSWERS.wrong(
    "dependence", "exactly 15% of each sentence's words are chosen", told=r"varies too little from sentence to sentence"
)
def exactly_by_sentence(ids, real, special, mask_id, V, g):
    words = words_of(ids, real, special)
    order = torch.where(words, uniform(ids, g), 2.0).argsort(1).argsort(1)
    chosen = words & (order < (P * words.sum(1, keepdim=True)).round())
    return finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong(
    "dependence",
    "exactly 15% of the batch's words are chosen",
    true="exactly_fifteen_percent",
    told=r"varies too little from call to call",
)
def exactly_by_batch(ids, real, special, mask_id, V, g):
    where = words_of(ids, real, special).nonzero()
    picked = where[torch.randperm(len(where), generator=g)[: round(P * len(where))]]
    chosen = torch.zeros_like(real)
    chosen[picked[:, 0], picked[:, 1]] = True
    return finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong(
    "dependence",
    "fates by counting: the first 80% of the chosen are masked, the next 10% exchanged",
    told=r"decided for many words at once|depends on its place",
)
def fates_by_counting(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    n = chosen.sum()
    fate = torch.full(ids.shape, 1.0)
    fate[chosen] = torch.arange(n) / n
    return finished(ids, chosen, fate, tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong("dependence", "fates dealt out in exact shares, in random order", told=r"fixed shares are dealt out")
def fates_dealt_out(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    n = int(chosen.sum())
    fate = torch.full(ids.shape, 1.0)
    fate[chosen] = torch.arange(n)[torch.randperm(n, generator=g)] / n
    return finished(ids, chosen, fate, tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong(
    "dependence",
    "the fate is read off the same number as the choice",
    true="AlwaysMask",
    told=r"100.0% of the chosen words become",
)
def one_draw(ids, real, special, mask_id, V, g):
    u = uniform(ids, g)
    chosen = words_of(ids, real, special) & (u < P)
    return finished(ids, chosen, u, tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong("dependence", "one fate for all words of a call", told=r"decided for many words at once")
def one_fate(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    fate = torch.rand((), generator=g).expand(ids.shape)
    return finished(ids, chosen, fate, tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong(
    "dependence",
    "all words of one kind share their choice: decided by id",
    told=r"equal words are chosen or left together",
)
def by_kind(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (torch.rand(V, generator=g) < P)[ids]
    return finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong(
    "dependence",
    "one random token for all words of a call",
    true="OneRandomToken",
    told=r"the same random token stands in several places",
)
def one_token(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    tokens = torch.randint(V, (), generator=g).expand(ids.shape)
    return finished(ids, chosen, uniform(ids, g), tokens, mask_id)


@ANSWERS.wrong("dependence", "random tokens are other words of the batch", told=r"not spread over the whole vocabulary")
def tokens_of_the_batch(ids, real, special, mask_id, V, g):
    words = words_of(ids, real, special)
    pool = ids[words]
    tokens = pool[torch.randint(len(pool), ids.shape, generator=g)]
    return finished(ids, words & (uniform(ids, g) < P), uniform(ids, g), tokens, mask_id)


@ANSWERS.wrong(
    "plain",
    "12% are chosen: the kept and the exchanged ones are forgotten in the labels",
    told=r"12..% of the words are chosen|11..% of the words",
)
def twelve_percent(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < 0.12)
    return finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong("plain", "labels only where the token was changed", true="KeptWordsNotAsked")
def labels_where_changed(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    corrupted, _ = finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)
    return corrupted, torch.where(corrupted != ids, ids, -100)


@ANSWERS.wrong("plain", "labels only where the token became [MASK]", told=r"changed although their label is -100")
def labels_where_masked(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    corrupted, _ = finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)
    return corrupted, torch.where(corrupted == mask_id, ids, -100)


@ANSWERS.wrong("plain", "the labels are all ids", true="LabelsEverywhere")
def all_labels(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    corrupted, _ = finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)
    return corrupted, ids.clone()


@ANSWERS.wrong(
    "plain", "the labels are those of the corrupted ids (a clone taken too late)", true="LabelsAfterCorruption"
)
def labels_too_late(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    corrupted, _ = finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)
    return corrupted, torch.where(chosen, corrupted, -100)


@ANSWERS.wrong(
    "plain",
    "80/10/10 of the words, 15% of all: 80% masked of each draw by two draws of their own",
    true="TenthOfTheRest",
)
def by_two_coins(ids, real, special, mask_id, V, g):
    """The collator's second coin should be 0.5: here it is 0.1, so 18% stay and 2% change."""
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    masked = chosen & (uniform(ids, g) < 0.8)
    other = chosen & ~masked & (uniform(ids, g) < 0.1)
    new = torch.where(masked, mask_id, torch.where(other, tokens_of(ids, V, g), ids))
    return new, torch.where(chosen, ids, -100)


@ANSWERS.wrong("plain", "all chosen words become [MASK]", true="AlwaysMask")
def all_masked(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    return torch.where(chosen, mask_id, ids), torch.where(chosen, ids, -100)


@ANSWERS.wrong("plain", "special tokens may be chosen", true="special_chosen")
def special_too(ids, real, special, mask_id, V, g):
    return finished(ids, real & (uniform(ids, g) < P), uniform(ids, g), tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong("named", "only the first of the special tokens is spared", told=r"special tokens were chosen or changed")
def first_special_only(ids, real, special, mask_id, V, g):
    chosen = real & (ids != special[0]) & (uniform(ids, g) < P)
    return finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong(
    "named", "filler is what has the id 0: real is not looked at", told=r"the word with the id 0 is chosen in 0.0%"
)
def zero_is_filler(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, ids != 0, special) & (uniform(ids, g) < P)
    return finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong(
    "named",
    "special tokens stand at both ends only: those in the middle may be chosen",
    told=r"special tokens were chosen|never chosen",
)
def ends_only(ids, real, special, mask_id, V, g):
    inside = real & real.roll(-1, 1)
    inside[:, 0] = inside[:, -1] = False
    return finished(ids, inside & (uniform(ids, g) < P), uniform(ids, g), tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong("surroundings", "draws from the global generator", true="generator_ignored")
def global_draws(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (torch.rand(ids.shape) < P)
    return finished(ids, chosen, torch.rand(ids.shape), torch.randint(V, ids.shape), mask_id)


@ANSWERS.wrong(
    "surroundings",
    "draws the random tokens with Python's random",
    told=r"draw every random number from the generator g",
)
def python_draws(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    tokens = torch.tensor([[random.randrange(V) for _ in row] for row in ids])
    return finished(ids, chosen, uniform(ids, g), tokens, mask_id)


@ANSWERS.wrong("again", "seeds g anew at each call", true="seeded_inside")
def seeded_anew(ids, real, special, mask_id, V, g):
    g.manual_seed(0)
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    return finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)


KEPT_CHOICES: dict = {}


@ANSWERS.wrong("again", "the choice of the first call is kept for all batches of its shape", true="seeded_inside")
def choice_kept(ids, real, special, mask_id, V, g):
    u = KEPT_CHOICES.setdefault(tuple(ids.shape), uniform(ids, g))
    return finished(ids, words_of(ids, real, special) & (u < P), uniform(ids, g), tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong("given", "ids are overwritten", true="changed_in_place", told=r"changes its input ids in place")
def overwrites(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    corrupted, labels = finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)
    ids.copy_(corrupted)
    return ids, labels


@ANSWERS.wrong("large", "random tokens are below 256", told=r"not spread over the whole vocabulary")
def small_tokens(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    return finished(ids, chosen, uniform(ids, g), tokens_of(ids, min(V, 256), g), mask_id)


@ANSWERS.wrong(
    "onward",
    "only the first 32 tokens of a sentence are asked for",
    told=r"place 3\d of the sentences is chosen in 0.0%",
)
def first_tokens_only(ids, real, special, mask_id, V, g):
    near = torch.arange(ids.shape[1], device=ids.device) < 32
    chosen = words_of(ids, real & near, special) & (uniform(ids, g) < P)
    return finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong("ones", "a batch is flattened by squeeze()", told=r"corrupted is \(\(400,\)")
def squeezed(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    return tuple(x.squeeze() for x in finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id))


@ANSWERS.wrong("dependence", "a word whose left neighbour was chosen is not chosen", told="two neighbours are chosen")
def never_two_neighbours(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < 0.18)
    chosen[:, 1:] &= ~chosen[:, :-1]
    return finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong("dependence", "later words are chosen more often", told="place \\d+ of the sentences is chosen in")
def later_more_often(ids, real, special, mask_id, V, g):
    p = torch.linspace(0.05, 0.25, ids.shape[1])
    chosen = words_of(ids, real, special) & (uniform(ids, g) < p)
    return finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)


@ANSWERS.wrong("plain", "the result is (labels, corrupted)", told="the labels the second")
def exchanged_results(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    return finished(ids, chosen, uniform(ids, g), tokens_of(ids, V, g), mask_id)[::-1]


@ANSWERS.wrong(
    "plain", "10% of the chosen are masked and 80% stay", told="8...% of the chosen words stay|9..% of the chosen"
)
def shares_exchanged(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < P)
    fate = uniform(ids, g)
    new = torch.where(fate < 0.1, mask_id, torch.where(fate < 0.2, tokens_of(ids, V, g), ids))
    return torch.where(chosen, new, ids), torch.where(chosen, ids, -100)


@ANSWERS.right
def as_in_the_collator(ids, real, special, mask_id, V, g):
    inputs, labels = ids.clone(), ids.clone()
    probability = torch.full(labels.shape, 0.15, device=ids.device)
    never = ~real
    for token in special:
        never = never | (ids == token)
    probability.masked_fill_(never, value=0.0)
    chosen = torch.bernoulli(probability, generator=g).bool()
    labels[~chosen] = -100
    replaced = torch.bernoulli(torch.full(labels.shape, 0.8, device=ids.device), generator=g).bool() & chosen
    inputs[replaced] = mask_id
    other = torch.bernoulli(torch.full(labels.shape, 0.5, device=ids.device), generator=g).bool() & chosen & ~replaced
    inputs[other] = torch.randint(V, labels.shape, dtype=torch.long, generator=g, device=ids.device)[other]
    return inputs, labels


@ANSWERS.right
def for_the_chosen_only(ids, real, special, mask_id, V, g):
    chosen = words_of(ids, real, special) & (uniform(ids, g) < 0.15)
    n = int(chosen.sum())
    fate = torch.multinomial(torch.tensor([0.8, 0.1, 0.1]), n, replacement=True, generator=g) if n else torch.zeros(0)
    tokens = torch.randint(0, V, (n,), generator=g)
    old = ids[chosen]
    new = ids.clone()
    new[chosen] = torch.where(fate == 0, torch.full_like(old, mask_id), torch.where(fate == 1, tokens, old))
    labels = ids.new_full(ids.shape, -100)
    labels[chosen] = old
    return new, labels


@ANSWERS.right
def by_a_seed_for_numpy(ids, real, special, mask_id, V, g):
    """NumPy's generator, seeded by a number from g."""
    import numpy as np

    rng = np.random.default_rng(torch.randint(2**62, (), generator=g).item())
    chosen = words_of(ids, real, special) & torch.from_numpy(rng.random(ids.shape) < 0.15)
    fate = torch.from_numpy(rng.choice(3, ids.shape, p=[0.8, 0.1, 0.1]))
    tokens = torch.from_numpy(rng.integers(0, V, ids.shape))
    new = torch.where(fate == 0, torch.tensor(mask_id), torch.where(fate == 1, tokens, ids))
    return torch.where(chosen, new, ids), ids.masked_fill(~chosen, -100)


@ANSWERS.right
def row_by_row(ids, real, special, mask_id, V, g):
    pairs = [for_the_chosen_only(i[None], r[None], special, mask_id, V, g) for i, r in zip(ids, real, strict=True)]
    corrupted, labels = zip(*pairs, strict=True)
    return torch.cat(corrupted), torch.cat(labels)


@ANSWERS.right
def in_numpy_order(ids, real, special, mask_id, V, g):
    """Drawn for the flattened batch, and the fate as a whole number of ten."""
    words = words_of(ids, real, special).flatten()
    u = torch.empty(words.shape, dtype=torch.float64).uniform_(generator=g)
    fate = torch.randint(10, words.shape, generator=g)
    new = ids.flatten().index_put((words & (u < 0.15) & (fate < 8),), torch.tensor(mask_id))
    other = words & (u < 0.15) & (fate == 9)
    new = new.masked_scatter(other, torch.randint(V, (int(other.sum()),), generator=g))
    return new.view_as(ids), torch.where(words & (u < 0.15), ids.flatten(), -100).view_as(ids)
