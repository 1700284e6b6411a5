"""Masked words. Devlin et al. 2019, section 3.1, task 1, and appendix A.1.

Of the words (neither padding nor special) 15% are chosen. A chosen word becomes [MASK] with probability 0.8, a
random token with probability 0.1, and stays with probability 0.1. The label of a chosen word is the word, all other
labels are -100.
"""

import torch

from grader.contract import Trusted


def _words(ids, real, special):
    return real & ~torch.isin(ids, torch.tensor(special, device=ids.device))


def _uniform(ids, g):
    return torch.rand(ids.shape, generator=g, device=ids.device)


def _tokens(ids, V, g):
    return torch.randint(V, ids.shape, generator=g, device=ids.device)


def reference(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    labels = torch.where(chosen, ids, -100)
    fate = _uniform(ids, g)
    hidden, exchanged = chosen & (fate < 0.8), chosen & (fate >= 0.8) & (fate < 0.9)
    corrupted = torch.where(hidden, mask_id, ids)
    return torch.where(exchanged, _tokens(ids, V, g), corrupted), labels


TRUSTED = Trusted(reference)


def corrupted_as(ids, chosen, mask_id, V, g):
    """The 80/10/10 rule done right, for mistakes that lie elsewhere."""
    fate = _uniform(ids, g)
    corrupted = torch.where(chosen & (fate < 0.8), mask_id, ids)
    return torch.where(chosen & (fate >= 0.9), _tokens(ids, V, g), corrupted)


@TRUSTED.mistake(
    "Padding is chosen too: a place beyond the sentence holds no word to guess. Choose only where `real` is True."
)
def padding_chosen(ids, real, special, mask_id, V, g):
    return reference(ids, torch.ones_like(real), special, mask_id, V, g)


@TRUSTED.mistake(
    "[CLS] and [SEP] are chosen too: they are the frame of the text, not words. Leave out every id in `special`."
)
def special_chosen(ids, real, special, mask_id, V, g):
    return reference(ids, real, [], mask_id, V, g)


@TRUSTED.mistake("Padding and special tokens are chosen like words: leave out what is not `real` or is in `special`.")
def everything_chosen(ids, real, special, mask_id, V, g):
    # The first law that it breaks is that of padding, unless a batch has none.
    return reference(ids, torch.ones_like(real), [], mask_id, V, g)


@TRUSTED.mistake(
    "Every place has a label, so the loss would ask for words that the model can see and simply copy. Where nothing "
    "is asked, the label is -100."
)
def labels_everywhere(ids, real, special, mask_id, V, g):
    return reference(ids, real, special, mask_id, V, g)[0], ids.clone()


@TRUSTED.mistake(
    "The labels of words that were not chosen are 0. Token 0 would become an answer like every other: cross-entropy "
    "leaves out -100 only."
)
def labels_zero_elsewhere(ids, real, special, mask_id, V, g):
    corrupted, labels = reference(ids, real, special, mask_id, V, g)
    return corrupted, labels.masked_fill(labels == -100, 0)


@TRUSTED.mistake(
    "The labels are taken after the words were hidden, so the answer to [MASK] is [MASK]. Keep the words first."
)
def labels_after_corruption(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    corrupted = corrupted_as(ids, chosen, mask_id, V, g)
    return corrupted, torch.where(chosen, corrupted, -100)


@TRUSTED.mistake(
    "Only words that were changed have a label. The 10% that stay are asked for as well: that is why the model cannot "
    "trust the words that it sees."
)
def kept_words_not_asked(ids, real, special, mask_id, V, g):
    corrupted, labels = reference(ids, real, special, mask_id, V, g)
    return corrupted, labels.masked_fill(corrupted == ids, -100)


@TRUSTED.mistake("`ids` is changed in place, so the batch is spoiled for the next epoch: work on a clone.")
def changed_in_place(ids, real, special, mask_id, V, g):
    corrupted, labels = reference(ids, real, special, mask_id, V, g)
    return ids.copy_(corrupted), labels


@TRUSTED.mistake(
    "The input is changed in place before the labels are taken from it: clone `ids` first, and take the labels from "
    "what stood there before."
)
def in_place_before_labels(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    ids.copy_(corrupted_as(ids, chosen, mask_id, V, g))
    return ids, torch.where(chosen, ids, -100)


@TRUSTED.mistake(
    "The comparison is the wrong way round: a uniform number is below 0.15 in 15% of all cases, above it in 85%."
)
def eighty_five_percent(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) >= 0.15)
    return corrupted_as(ids, chosen, mask_id, V, g), torch.where(chosen, ids, -100)


@TRUSTED.mistake(
    "The number of chosen words is 15% of the padded length. A short sentence in a long batch would lose most of its "
    "words: take 15% of the words that are there."
)
def share_of_padded_length(ids, real, special, mask_id, V, g):
    T = ids.shape[1]
    # A batch without padding keeps its special tokens out of the count, so that only padding tells the two apart.
    n = round(0.15 * (T if not real.all() else _words(ids, real, special)[0].sum().item()))
    order = _uniform(ids, g).masked_fill(~_words(ids, real, special), 2.0).argsort(1)
    chosen = torch.zeros_like(real).scatter(1, order[:, :n], True) & _words(ids, real, special)
    return corrupted_as(ids, chosen, mask_id, V, g), torch.where(chosen, ids, -100)


@TRUSTED.mistake(
    "All sentences of the batch are masked at the same places: one row of random numbers serves them all. Draw as "
    "many numbers as the batch has tokens."
)
def same_places(ids, real, special, mask_id, V, g):
    row = torch.rand(ids.shape[1], generator=g, device=ids.device)
    chosen = _words(ids, real, special) & (row < 0.15)
    return corrupted_as(ids, chosen, mask_id, V, g), torch.where(chosen, ids, -100)


@TRUSTED.mistake(
    "Every call masks the same words, because the function seeds a generator itself. Draw from the generator g that it "
    "is given, and leave its seed alone."
)
def seeded_inside(ids, real, special, mask_id, V, g):
    return reference(ids, real, special, mask_id, V, torch.Generator(device=ids.device).manual_seed(0))


@TRUSTED.mistake(
    "The random numbers do not come from g, so the same seed gives other masks each time. Pass `generator=g`."
)
def generator_ignored(ids, real, special, mask_id, V, g):
    return reference(ids, real, special, mask_id, V, None)


@TRUSTED.mistake(
    "Every chosen word becomes [MASK], but no text in use holds [MASK]: 10% become a random token and 10% stay. The "
    "fate needs a draw of its own; a number that is below 0.15 is below 0.8 as well."
)
def always_mask(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    return torch.where(chosen, mask_id, ids), torch.where(chosen, ids, -100)


@TRUSTED.mistake("No chosen word stays: 80% become [MASK] and 20% a random token. Half of those 20% should stay.")
def none_kept(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    hidden = _uniform(ids, g) < 0.8
    corrupted = torch.where(chosen & hidden, mask_id, ids)
    return torch.where(chosen & ~hidden, _tokens(ids, V, g), corrupted), torch.where(chosen, ids, -100)


@TRUSTED.mistake("No random token appears: 80% become [MASK] and 20% stay. Half of those 20% should be exchanged.")
def none_exchanged(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    hidden = _uniform(ids, g) < 0.8
    return torch.where(chosen & hidden, mask_id, ids), torch.where(chosen, ids, -100)


@TRUSTED.mistake(
    "A tenth of the words that were not hidden is exchanged, 2% in all: of the 20% that are left, half become a random "
    "token. With a second draw the threshold is 0.5."
)
def tenth_of_the_rest(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    hidden, exchanged = _uniform(ids, g) < 0.8, _uniform(ids, g) < 0.1
    corrupted = torch.where(chosen & hidden, mask_id, ids)
    return torch.where(chosen & ~hidden & exchanged, _tokens(ids, V, g), corrupted), torch.where(chosen, ids, -100)


@TRUSTED.mistake("The shares of [MASK] and of random tokens are exchanged: 80% become [MASK], 10% a random token.")
def shares_exchanged(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    fate = _uniform(ids, g)
    corrupted = torch.where(chosen & (fate < 0.8), _tokens(ids, V, g), ids)
    return torch.where(chosen & (fate >= 0.9), mask_id, corrupted), torch.where(chosen, ids, -100)


@TRUSTED.mistake(
    "One draw decides for a whole sentence, or for one place of all sentences, what becomes of the chosen words: draw "
    "for each word of the batch."
)
def one_fate_per_sentence(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    fate = torch.rand(len(ids), 1, generator=g, device=ids.device)
    corrupted = torch.where(chosen & (fate < 0.8), mask_id, ids)
    return torch.where(chosen & (fate >= 0.9), _tokens(ids, V, g), corrupted), torch.where(chosen, ids, -100)


@TRUSTED.mistake(
    "The first 80% of the chosen words become [MASK], the next 10% are exchanged: the fate then depends on the place. "
    "Decide it by chance."
)
def fate_by_place(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    rank = (chosen.cumsum(1) - 0.5) / chosen.sum(1, keepdim=True).clamp_min(1)
    tie = (_uniform(ids, g) - 0.5) / chosen.sum(1, keepdim=True).clamp_min(1)
    fate = rank + tie  # spread between two ranks, so that the shares are right on average
    corrupted = torch.where(chosen & (fate < 0.8), mask_id, ids)
    return torch.where(chosen & (fate >= 0.9), _tokens(ids, V, g), corrupted), torch.where(chosen, ids, -100)


@TRUSTED.mistake(
    "One random token is drawn and put in every exchanged place: draw one for each place, `torch.randint(V, ids.shape, "
    "...)`."
)
def one_random_token(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    fate = _uniform(ids, g)
    token = torch.randint(V, (), generator=g, device=ids.device)
    corrupted = torch.where(chosen & (fate < 0.8), mask_id, ids)
    return torch.where(chosen & (fate >= 0.9), token, corrupted), torch.where(chosen, ids, -100)


@TRUSTED.mistake(
    "The random tokens are other words of the same batch. Draw them from the whole vocabulary, 0 to V - 1."
)
def random_from_the_batch(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    fate = _uniform(ids, g)
    words = ids[_words(ids, real, special)]
    tokens = words[torch.randint(len(words), ids.shape, generator=g, device=ids.device)]
    corrupted = torch.where(chosen & (fate < 0.8), mask_id, ids)
    return torch.where(chosen & (fate >= 0.9), tokens, corrupted), torch.where(chosen, ids, -100)


@TRUSTED.mistake(
    "Words whose id is 0 are taken for filler. Here they are words, and another vocabulary has another filler: only "
    "`real` says what is filler."
)
def zero_is_filler(ids, real, special, mask_id, V, g):
    return reference(ids, real & (ids != 0), special, mask_id, V, g)


@TRUSTED.mistake(
    "Words are hidden in runs of neighbours. That is another objective (Joshi et al. 2020, SpanBERT); here each word "
    "is chosen on its own."
)
def runs_of_words(ids, real, special, mask_id, V, g):
    words = _words(ids, real, special)
    begins = _uniform(ids, g) < 1 - 0.85 ** (1 / 3)
    chosen = words & (begins | begins.roll(1, 1) | begins.roll(2, 1))
    return corrupted_as(ids, chosen, mask_id, V, g), torch.where(chosen, ids, -100)


@TRUSTED.mistake(
    "One random token is drawn for each sentence: draw one for each place, `torch.randint(V, ids.shape, ...)`."
)
def one_random_token_per_sentence(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    fate = _uniform(ids, g)
    tokens = torch.randint(V, (len(ids), 1), generator=g, device=ids.device)
    corrupted = torch.where(chosen & (fate < 0.8), mask_id, ids)
    return torch.where(chosen & (fate >= 0.9), tokens, corrupted), torch.where(chosen, ids, -100)


@TRUSTED.alternative
def bernoulli_twice(ids, real, special, mask_id, V, g):
    """In the manner of transformers' collator, with booleans as indices."""
    labels, corrupted = ids.clone(), ids.clone()
    p = torch.full(ids.shape, 0.15, device=ids.device)
    for token in special:
        p[ids == token] = 0.0
    p[~real] = 0.0
    chosen = torch.bernoulli(p, generator=g).bool()
    labels[~chosen] = -100
    hidden = torch.bernoulli(torch.full_like(p, 0.8), generator=g).bool() & chosen
    exchanged = torch.bernoulli(torch.full_like(p, 0.5), generator=g).bool() & chosen & ~hidden
    corrupted[hidden] = mask_id
    corrupted[exchanged] = torch.randint(0, V, ids.shape, generator=g, device=ids.device)[exchanged]
    return corrupted, labels


@TRUSTED.alternative
def token_by_token(ids, real, special, mask_id, V, g):
    """One decision after the other, with numbers drawn beforehand."""
    draws, fates, tokens = (x.tolist() for x in (_uniform(ids, g), _uniform(ids, g), _tokens(ids, V, g)))
    corrupted, labels = ids.tolist(), [[-100] * ids.shape[1] for _ in range(len(ids))]
    for b, (row, mask) in enumerate(zip(ids.tolist(), real.tolist(), strict=True)):
        for t, (token, is_real) in enumerate(zip(row, mask, strict=True)):
            if is_real and token not in special and draws[b][t] < 0.15:
                labels[b][t] = token
                if fates[b][t] < 0.8:
                    corrupted[b][t] = mask_id
                elif fates[b][t] < 0.9:
                    corrupted[b][t] = tokens[b][t]
    return torch.tensor(corrupted, device=ids.device), torch.tensor(labels, device=ids.device)


@TRUSTED.alternative
def exactly_fifteen_percent(ids, real, special, mask_id, V, g):
    """A fixed number in the whole batch: no word is chosen twice, and the share has no variance."""
    places = _words(ids, real, special).nonzero()
    order = torch.randperm(len(places), generator=g, device=ids.device)
    b, t = places[order[: round(0.15 * len(places))]].T
    corrupted, labels = ids.clone(), torch.full_like(ids, -100)
    labels[b, t] = ids[b, t]
    fate = torch.rand(len(b), generator=g, device=ids.device)
    tokens = torch.randint(V, (len(b),), generator=g, device=ids.device)
    new = torch.where(fate < 0.8, mask_id, torch.where(fate < 0.9, ids[b, t], tokens))
    corrupted[b, t] = new
    return corrupted, labels
