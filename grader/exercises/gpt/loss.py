"""The loss of a language model and its units. Radford et al. 2018, equation 1; Shannon 1951 for bits per letter.

loss = - 1/N sum ln p(target) over the N targets that count; perplexity = exp(sum of all nats / number of all targets);
bits per byte = nats of the whole text / ln 2 / its bytes in UTF-8.
"""

import math
from statistics import fmean

import torch
from torch.nn.functional import cross_entropy, nll_loss

from grader.contract import Trusted


def loss_reference(logits, targets, ignore):
    counts = targets != ignore
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    nats = [-log_p[b, t, targets[b, t]] for b, t in counts.nonzero().tolist()]
    return torch.stack(nats).mean()


def perplexity_reference(sums, counts):
    return math.exp(math.fsum(sums) / sum(counts))


def bits_reference(loss, count, text):
    nats = loss * count
    return nats / math.log(2) / len(text.encode("utf-8"))


TRUSTED = Trusted(
    (loss_reference, perplexity_reference, bits_reference), budget="three functions, each with a handful of slips"
)
wrong_loss, wrong_perplexity, wrong_bits = TRUSTED.one_by_one()


def each(logits, targets, ignore):
    """The nats of every target, 0 where it is ignored, and which ones count."""
    counts = targets != ignore
    log_p = logits.log_softmax(-1).gather(-1, targets.masked_fill(~counts, 0)[..., None])[..., 0]
    return -log_p * counts, counts


@wrong_loss(
    "The sum is divided by all B T places: ignored ones count as if they cost nothing, and padding makes every loss "
    "look better. Divide by the number of targets that count."
)
def averaged_over_all_places(logits, targets, ignore):
    return each(logits, targets, ignore)[0].mean()


@wrong_loss(
    "The mean is taken in each row first, and then over rows: a target in a short row weighs more than one in a long "
    "row. Take one mean over all targets that count."
)
def mean_of_row_means(logits, targets, ignore):
    nats, counts = each(logits, targets, ignore)
    rows = counts.any(1)
    return (nats.sum(1)[rows] / counts.sum(1)[rows]).mean()


@wrong_loss(
    "Targets and logits are shifted against each other once more. The targets are already the next tokens: the one at "
    "place t belongs to the logits at place t."
)
def shifted_again(logits, targets, ignore):
    return cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=ignore)


@wrong_loss(
    "`ignore` is not looked at: -100 is left out, cross_entropy's default, whatever the caller says. Hand it on, "
    "`ignore_index=ignore`."
)
def always_minus_100(logits, targets, ignore):
    return cross_entropy(logits.flatten(0, 1), targets.flatten())


@wrong_loss(
    "Negative targets are left out, whatever `ignore` says: it can be the id of a token, of the padding, and then it "
    "is not negative."
)
def negative_targets(logits, targets, ignore):
    return cross_entropy(logits.flatten(0, 1), targets.masked_fill(targets < 0, -100).flatten())


@wrong_loss("Probabilities are handed to cross_entropy, which has the softmax inside: it takes logits.")
def softmax_twice(logits, targets, ignore):
    return cross_entropy(logits.softmax(-1).flatten(0, 1), targets.flatten(), ignore_index=ignore)


@wrong_loss(
    "Where logits lie far apart the loss is infinite: exp overflows, or a probability is rounded to 0 before its "
    "logarithm is taken. log_softmax subtracts the largest logit before anything is rounded, and cross_entropy uses it."
)
def log_of_softmax(logits, targets, ignore):
    counts = targets != ignore
    p = logits.softmax(-1)[counts].gather(-1, targets[counts][:, None])
    return -p.log().mean()


@wrong_loss("The nats are summed: divide by the number of targets that count.")
def summed(logits, targets, ignore):
    return each(logits, targets, ignore)[0].sum()


@wrong_loss("The nats are divided by the number of rows: divide by the number of targets that count.")
def divided_by_rows(logits, targets, ignore):
    return each(logits, targets, ignore)[0].sum() / len(logits)


@wrong_loss("The loss is in bits, divided by ln 2. Nats are asked for, as cross_entropy gives them.")
def in_bits(logits, targets, ignore):
    return loss_reference(logits, targets, ignore) / math.log(2)


@wrong_loss("The probabilities of the targets are averaged, without a logarithm: nll_loss takes log-probabilities.")
def nll_of_probabilities(logits, targets, ignore):
    return nll_loss(logits.softmax(-1).flatten(0, 1), targets.flatten(), ignore_index=ignore)


@wrong_loss("The value is right, but it is cut off from the graph (`.item()`, `.detach()`): nothing could be learned.")
def detached(logits, targets, ignore):
    return loss_reference(logits, targets, ignore).detach()


@wrong_perplexity(
    "The mean is taken in each window first: a window of one target weighs as much as one of a thousand. Add up all "
    "nats and all targets, and divide once."
)
def mean_of_window_means(sums, counts):
    return math.exp(fmean(s / n for s, n in zip(sums, counts, strict=True) if n))


@wrong_perplexity(
    "The windows' perplexities are averaged, each window alike. Add up all nats and all targets, divide, and take the "
    "exponential last."
)
def mean_of_perplexities(sums, counts):
    return fmean(math.exp(s / n) for s, n in zip(sums, counts, strict=True) if n)


@wrong_perplexity(
    "The windows' perplexities are averaged, weighted by their targets. The weights are right, but the exponential "
    "comes last: average the nats. (The mean of exponentials is larger.)"
)
def weighted_mean_of_perplexities(sums, counts):
    pairs = zip(sums, counts, strict=True)
    return sum(n * math.exp(s / n) for s, n in pairs if n) / sum(counts)


@wrong_perplexity(
    "Each window is taken to have one target more than `counts` says. A window of n tokens has n - 1 targets, and "
    "`counts` holds the targets already."
)
def one_target_too_many(sums, counts):
    return math.exp(sum(sums) / sum(n + 1 for n in counts))


@wrong_perplexity(
    "Each window is taken to have one target less than `counts` says. It holds numbers of targets and not of tokens, "
    "so take it as it is."
)
def one_target_too_few(sums, counts):
    return math.exp(sum(sums) / max(sum(n - 1 for n in counts), 1))


@wrong_perplexity("2 is raised to the mean, but the mean is in nats, so it is e: math.exp. (With bits it would be 2.)")
def power_of_two(sums, counts):
    return 2 ** (sum(sums) / sum(counts))


@wrong_perplexity("The nats of a window are averaged: divide by the number of targets, not by that of windows.")
def nats_of_a_window(sums, counts):
    return math.exp(sum(sums) / len(sums))


@wrong_perplexity(
    "A window that costs nothing is skipped, and its targets with it. They were predicted well: they count."
)
def free_windows_skipped(sums, counts):
    return math.exp(sum(sums) / max(1, sum(n for s, n in zip(sums, counts, strict=True) if s)))


@wrong_perplexity("This is the mean of the nats: the perplexity is its exponential.")
def without_the_exponential(sums, counts):
    return sum(sums) / sum(counts)


@wrong_bits(
    "Characters are counted. In UTF-8 a character has one to four bytes: `len(text.encode())` counts bytes, and "
    "`len(text)` characters."
)
def per_character(loss, count, text):
    return loss * count / math.log(2) / len(text)


@wrong_bits("These are nats per byte: divide by ln 2, for a bit is ln 2 nats.")
def nats_per_byte(loss, count, text):
    return loss * count / len(text.encode())


@wrong_bits("The nats are multiplied by ln 2. One bit is 0.69 nats, so there are more bits than nats: divide.")
def multiplied_by_ln_2(loss, count, text):
    return loss * count * math.log(2) / len(text.encode())


@wrong_bits(
    "`count` does not come in: `loss` is what a target costs, and a byte or a letter is another unit. Models with "
    "other tokenizers could not be compared."
)
def per_target(loss, count, text):
    return loss / math.log(2)


@wrong_bits(
    "`loss` is the mean over targets, so the whole text costs loss * count nats: the factor `count` is missing."
)
def mean_for_the_sum(loss, count, text):
    return loss / math.log(2) / len(text.encode())


@wrong_bits("The quotient is upside down: bits, which are count * loss / ln 2, for each byte.")
def upside_down(loss, count, text):
    return loss / math.log(2) * len(text.encode()) / count


def gathered(logits, targets, ignore):
    nats, counts = each(logits, targets, ignore)
    return nats.sum() / counts.sum()


def chosen_first(logits, targets, ignore):
    """Only the places that count are looked at."""
    counts = targets != ignore
    return cross_entropy(logits[counts], targets[counts])


def as_a_mean_of_means(sums, counts):
    """The windows' means, each with its share of the targets."""
    total = torch.tensor(counts, dtype=torch.float64).sum()
    return torch.stack([torch.tensor(s, dtype=torch.float64) / total for s in sums]).sum().exp()


def as_a_product(sums, counts):
    """The geometric mean of 1 / p, window by window."""
    n = sum(counts)
    return math.prod(math.exp(s / n) for s in sums)


def letter_by_letter(loss, count, text):
    return count * loss * math.log2(math.e) / sum(len(letter.encode()) for letter in text)


def by_an_array(loss, count, text):
    data = torch.tensor(list(text.encode("utf8")))
    return torch.tensor(loss * count, dtype=torch.float64) / (data.numel() * math.log(2.0))


TRUSTED.add_alternative("gathered", gathered, as_a_mean_of_means, letter_by_letter)
TRUSTED.add_alternative("chosen_first", chosen_first, as_a_product, by_an_array)
