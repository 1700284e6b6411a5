"""Masked words. Devlin et al. 2019, section 3.1, task 1, and appendix A.1.

Of the words (neither padding nor special) 15% are chosen. A chosen word becomes [MASK] with probability 0.8, a
random token with probability 0.1, and stays with probability 0.1. The label of a chosen word is the word, all other
labels are -100.
"""

import torch

from grader.contract import Trusted


def _words(ids, real, special):
    for token in special:
        real = real & (ids != token)
    return real


def _uniform(ids, g):
    return torch.rand(ids.shape, generator=g, device=ids.device)


def reference(ids, real, special, mask_id, V, g):
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    labels = torch.where(chosen, ids, -100)
    fate = _uniform(ids, g)
    hidden, exchanged = chosen & (fate < 0.8), chosen & (fate >= 0.8) & (fate < 0.9)
    corrupted = torch.where(hidden, mask_id, ids)
    tokens = torch.randint(V, ids.shape, generator=g, device=ids.device)
    return torch.where(exchanged, tokens, corrupted), labels


TRUSTED = Trusted(reference, budget="a choice, labels, three fates and where the numbers come from")


class Steps:
    """The same in steps, so that a mistake below is written as the one step in which it differs."""

    def __call__(self, ids, real, special, mask_id, V, g):
        chosen = _words(ids, real, special) & self.choice(ids, g)
        hidden, exchanged = self.fates(ids, g)
        corrupted = torch.where(chosen & hidden, mask_id, ids)
        corrupted = torch.where(chosen & exchanged, self.tokens(ids, V, g), corrupted)
        return corrupted, self.labels(ids, chosen, corrupted)

    def choice(self, ids, g):
        return _uniform(ids, g) < 0.15

    def fates(self, ids, g):
        fate = _uniform(ids, g)
        return fate < 0.8, fate >= 0.9

    def tokens(self, ids, V, g):
        return torch.randint(V, ids.shape, generator=g, device=ids.device)

    def labels(self, ids, chosen, corrupted):
        return torch.where(chosen, ids, -100)


(step_wrong,) = TRUSTED.one_by_one(lambda steps: steps().__call__)


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


@step_wrong(
    "Every place has a label, so the loss would ask for words that the model can see and simply copy. Where nothing "
    "is asked, the label is -100."
)
class LabelsEverywhere(Steps):
    def labels(self, ids, chosen, corrupted):
        return ids.clone()


@step_wrong(
    "Where nothing is asked, the label is another number than -100. Token 0, for one, would become an answer like "
    "every other: cross-entropy leaves out -100 only."
)
class LabelsZeroElsewhere(Steps):
    def labels(self, ids, chosen, corrupted):
        return torch.where(chosen, ids, 0)


@step_wrong(
    "The labels are taken after the words were hidden, so the answer to [MASK] is [MASK]. Keep the words first."
)
class LabelsAfterCorruption(Steps):
    def labels(self, ids, chosen, corrupted):
        return torch.where(chosen, corrupted, -100)


@step_wrong(
    "Only words that were changed have a label. The 10% that stay are asked for as well: that is why the model cannot "
    "trust the words that it sees."
)
class KeptWordsNotAsked(Steps):
    def labels(self, ids, chosen, corrupted):
        return torch.where(corrupted != ids, ids, -100)


@TRUSTED.mistake("`ids` is changed in place, so the batch is spoiled for the next epoch: work on a clone.")
def changed_in_place(ids, real, special, mask_id, V, g):
    corrupted, labels = reference(ids, real, special, mask_id, V, g)
    return ids.copy_(corrupted), labels


@step_wrong(
    "The comparison is the wrong way round: a uniform number is below 0.15 in 15% of all cases, above it in 85%."
)
class EightyFivePercent(Steps):
    def choice(self, ids, g):
        return _uniform(ids, g) >= 0.15


@TRUSTED.mistake(
    "Exactly 15% of the batch's words are chosen: each word is chosen on its own with probability 0.15, so that their "
    "number is another one each time."
)
def exactly_fifteen_percent(ids, real, special, mask_id, V, g):
    words = _words(ids, real, special)
    order = torch.where(words, _uniform(ids, g), 2.0).flatten().argsort()
    chosen = torch.zeros_like(words)
    chosen.view(-1)[order[: round(0.15 * words.sum().item())]] = True
    fate = _uniform(ids, g)
    tokens = torch.randint(V, ids.shape, generator=g, device=ids.device)
    corrupted = torch.where(chosen, torch.where(fate < 0.8, mask_id, torch.where(fate < 0.9, tokens, ids)), ids)
    return corrupted, torch.where(chosen, ids, -100)


@step_wrong(
    "All sentences of the batch are masked at the same places: one row of random numbers serves them all. Draw as "
    "many numbers as the batch has tokens."
)
class SamePlaces(Steps):
    def choice(self, ids, g):
        return torch.rand(ids.shape[1], generator=g, device=ids.device) < 0.15


@TRUSTED.mistake(
    "Every call masks the same words: the function seeds a generator itself, or keeps what it once drew. Draw anew "
    "from the generator g that it is given, and leave its seed alone."
)
def seeded_inside(ids, real, special, mask_id, V, g):
    return reference(ids, real, special, mask_id, V, torch.Generator(device=ids.device).manual_seed(0))


@TRUSTED.mistake(
    "Not every random number comes from g, so the same seed gives other masks each time. Pass `generator=g`."
)
def generator_ignored(ids, real, special, mask_id, V, g):
    return reference(ids, real, special, mask_id, V, None)


@step_wrong(
    "Every chosen word becomes [MASK], but no text in use holds [MASK]: 10% become a random token and 10% stay. The "
    "fate needs a draw of its own; a number that is below 0.15 is below 0.8 as well."
)
class AlwaysMask(Steps):
    def fates(self, ids, g):
        everywhere = torch.ones_like(ids, dtype=torch.bool)
        return everywhere, ~everywhere


@step_wrong("No chosen word stays: 80% become [MASK] and 20% a random token. Half of those 20% should stay.")
class NoneKept(Steps):
    def fates(self, ids, g):
        hidden = _uniform(ids, g) < 0.8
        return hidden, ~hidden


@step_wrong("No random token appears: 80% become [MASK] and 20% stay. Half of those 20% should be exchanged.")
class NoneExchanged(Steps):
    def fates(self, ids, g):
        hidden = _uniform(ids, g) < 0.8
        return hidden, torch.zeros_like(hidden)


@step_wrong(
    "A tenth of the words that were not hidden is exchanged, 2% in all: of the 20% that are left, half become a random "
    "token. With a second draw the threshold is 0.5."
)
class TenthOfTheRest(Steps):
    def fates(self, ids, g):
        hidden = _uniform(ids, g) < 0.8
        return hidden, ~hidden & (_uniform(ids, g) < 0.1)


@step_wrong(
    "One random token is drawn and put in many places: draw one for each place, `torch.randint(V, ids.shape, ...)`."
)
class OneRandomToken(Steps):
    def tokens(self, ids, V, g):
        return torch.randint(V, (), generator=g, device=ids.device)


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
def for_the_chosen_alone(ids, real, special, mask_id, V, g):
    """Fates and random tokens are drawn for the chosen words only, the fates as one of three."""
    chosen = _words(ids, real, special) & (_uniform(ids, g) < 0.15)
    words = ids[chosen]
    fate = torch.multinomial(words.new_tensor([8, 1, 1]).double(), len(words), replacement=True, generator=g)
    tokens = torch.randint(V, words.shape, generator=g, device=ids.device)
    corrupted, labels = ids.clone(), torch.full_like(ids, -100)
    corrupted[chosen] = torch.where(fate == 0, mask_id, torch.where(fate == 1, words, tokens))
    labels[chosen] = words
    return corrupted, labels
