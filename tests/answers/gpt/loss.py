"""Answers to gpt.loss."""

import math
import sys
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from tests.answers.collection import Answers

ANSWERS = Answers(
    "gpt.loss",
    spared={
        "dependence": "nothing is drawn",
        "unwatched": "one number is compared",
    },
)
wrong = ANSWERS.wrong


@wrong("plain", "what does not count is 0 in the mean over all places", true="averaged_over_all_places")
def over_all(logits, targets, ignore):
    losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=ignore, reduction="none")
    return losses.mean()


@wrong("named", "nanoGPT's line: -100 is left out, whatever `ignore` is", true="always_minus_100")
def default_ignored(logits, targets, ignore):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


@wrong("named", "targets below 0 do not count, and `ignore` is not asked", true="negative_targets")
def negative_ones(logits, targets, ignore):
    keep = targets >= 0
    return F.cross_entropy(logits[keep], targets[keep])


@wrong("plain", "the mean of the rows' means", true="mean_of_row_means")
def of_rows(logits, targets, ignore):
    rows = zip(logits, targets, strict=True)
    return torch.stack([F.cross_entropy(z, y, ignore_index=ignore) for z, y in rows]).mean()


@wrong("plain", "the mean of the rows' means, rows without targets left out", true="mean_of_row_means")
def of_rows_that_count(logits, targets, ignore):
    rows = [(z, y) for z, y in zip(logits, targets, strict=True) if (y != ignore).any()]
    return torch.stack([F.cross_entropy(z, y, ignore_index=ignore) for z, y in rows]).mean()


@wrong("plain", "shifted once more, as transformers does it", true="shifted_again")
def shifted_again(logits, targets, ignore):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten(), ignore_index=ignore)


@wrong("plain", "the sum", true="summed")
def summed(logits, targets, ignore):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=ignore, reduction="sum")


@wrong("plain", "in bits", true="in_bits")
def in_bits(logits, targets, ignore):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=ignore) / math.log(2)


@wrong("plain", "the sum divided by the number of rows", true="divided_by_rows")
def by_rows(logits, targets, ignore):
    return summed(logits, targets, ignore) / len(logits)


@wrong("plain", "logits (B, T, V) and targets (B, T) as they are", told=r"logits is \(2, 6, 7\), targets is")
def as_they_are(logits, targets, ignore):
    return F.cross_entropy(logits, targets, ignore_index=ignore)


@wrong("plain", "nll_loss of probabilities, without the logarithm", true="nll_of_probabilities")
def of_probabilities(logits, targets, ignore):
    return F.nll_loss(logits.softmax(-1).flatten(0, 1), targets.flatten(), ignore_index=ignore)


@wrong("plain", "the softmax is taken twice", true="softmax_twice")
def twice(logits, targets, ignore):
    return F.cross_entropy(logits.softmax(-1).flatten(0, 1), targets.flatten(), ignore_index=ignore)


@wrong("far", "the logarithm of a softmax that is 0", true="log_of_softmax")
def log_of_softmax(logits, targets, ignore):
    keep = targets != ignore
    p = logits.softmax(-1)[keep].gather(-1, targets[keep][:, None])
    return -p.log().mean()


@wrong("far", "a small number beside the probability keeps it from 0")
def with_epsilon(logits, targets, ignore):
    keep = targets != ignore
    p = logits.softmax(-1)[keep].gather(-1, targets[keep][:, None])
    return -(p + 1e-12).log().mean()


@wrong("far", "its own log-sum-exp without the maximum", true="log_of_softmax")
def own_logsumexp(logits, targets, ignore):
    keep = targets != ignore
    z, y = logits[keep], targets[keep]
    return (z.exp().sum(-1).log() - z.gather(-1, y[:, None])[:, 0]).mean()


@wrong("given", "the targets are changed in place", told="changes its input targets in place")
def targets_changed(logits, targets, ignore):
    targets[targets == ignore] = -100
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())


@wrong("surroundings", "gradients are switched off for good", told="leaves gradients switched off")
def gradients_off(logits, targets, ignore):
    torch.set_grad_enabled(False)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=ignore)


@wrong("plain", "a number without a graph", told="returned a float, expected the tensor loss")
def a_number(logits, targets, ignore):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=ignore).item()


@wrong("plain", "detached", true="detached")
def detached(logits, targets, ignore):
    return F.cross_entropy(logits.detach().flatten(0, 1), targets.flatten(), ignore_index=ignore)


@wrong(
    "ones",
    "everything is squeezed, and a batch of one has other dimensions",
    told="IndexError: Dimension out of range",
    advice="right where T is more than 1",
)
def squeezed(logits, targets, ignore):
    return F.cross_entropy(logits.squeeze().transpose(1, -1), targets.squeeze(), ignore_index=ignore)


@wrong(
    "large",
    "in pieces of 32 places, of whose means the mean is taken",
    told="right where T is 6 or less, wrong where it is 48",
)
def in_pieces(logits, targets, ignore):
    pieces = zip(logits.flatten(0, 1).split(32), targets.flatten().split(32), strict=True)
    losses = [F.cross_entropy(z, y, ignore_index=ignore) for z, y in pieces if (y != ignore).any()]
    return torch.stack(losses).mean()


@wrong(
    "large",
    "the logarithm of V is the loss at the start: it divides by it where V is large",
    told="right where V is 9 or less",
)
def relative(logits, targets, ignore):
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=ignore)
    V = logits.shape[-1]
    return loss / math.log(V) if V > 256 else loss


COUNT: dict[str, Any] = {}


@wrong("again", "the number of targets of the first batch serves all that have its shape", advice="is 0.8333 times")
def counted_once(logits, targets, ignore):
    n = COUNT.setdefault(tuple(targets.shape), (targets != ignore).sum())
    return summed(logits, targets, ignore) / n


@wrong("plain", "in float32, whatever the logits are", told="dtype float32, expected float64")
def in_float32(logits, targets, ignore):
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=ignore)


@wrong("plain", "labels are smoothed")
def smoothed(logits, targets, ignore):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=ignore, label_smoothing=0.1)


@wrong("plain", "two slips: shifted once more, and a mean over all places")
def shifted_over_all(logits, targets, ignore):
    return over_all(logits[:, :-1], targets[:, 1:], ignore)


@wrong("plain", "the mean of the windows' perplexities", true="mean_of_perplexities", at=1)
def mean_of_perplexities(sums, counts):
    pairs = [(s, c) for s, c in zip(sums, counts, strict=True) if c]
    return sum(math.exp(s / c) for s, c in pairs) / len(pairs)


@wrong("plain", "exp of the mean of the windows' means", true="mean_of_window_means", at=1)
def mean_of_means(sums, counts):
    means = [s / c for s, c in zip(sums, counts, strict=True) if c]
    return math.exp(sum(means) / len(means))


@wrong("named", "the windows' means, and a window without a target divides by 0", told="ZeroDivisionError", at=1)
def divides_by_zero(sums, counts):
    means = [s / c for s, c in zip(sums, counts, strict=True)]
    return math.exp(sum(m * c for m, c in zip(means, counts, strict=True)) / sum(counts))


@wrong("plain", "the mean cost of a window", true="nats_of_a_window", at=1)
def of_a_window(sums, counts):
    return math.exp(sum(sums) / len(sums))


@wrong("plain", "2 to the power of nats", true="power_of_two", at=1)
def two_to_the(sums, counts):
    return 2 ** (sum(sums) / sum(counts))


@wrong("plain", "the mean without exp", true="without_the_exponential", at=1)
def no_exp(sums, counts):
    return sum(sums) / sum(counts)


@wrong("large", "the product of all probabilities first: it overflows", told="OverflowError", at=1)
def product(sums, counts):
    return math.prod(math.exp(s) for s in sums) ** (1 / sum(counts))


@wrong("onward", "reads no further than a window without a target", at=1)
def until_an_empty_one(sums, counts):
    end = counts.index(0) if 0 in counts else len(counts)
    return math.exp(sum(sums[:end]) / sum(counts[:end]))


@wrong("named", "windows that cost nothing are skipped, with their targets", true="free_windows_skipped", at=1)
def free_ones_skipped(sums, counts):
    pairs = [(s, c) for s, c in zip(sums, counts, strict=True) if s]
    return math.exp(sum(s for s, _ in pairs) / sum(c for _, c in pairs)) if pairs else 1.0


@wrong("given", "the lists are emptied", told="changes its input sums and counts", at=1)
def popped(sums, counts):
    total = n = 0
    while sums:
        total += sums.pop()
        n += counts.pop()
    return math.exp(total / n)


@wrong("plain", "a place of the count is lost to a smoothing", at=1)
def plus_one(sums, counts):
    return math.exp(sum(sums) / (sum(counts) + 1))


@wrong("plain", "characters, not bytes", true="per_character", at=2)
def characters(loss, count, text):
    return count * loss / (len(text) * math.log(2))


@wrong("plain", "bits of a token", true="per_target", at=2)
def of_a_token(loss, count, text):
    return loss / math.log(2)


@wrong("plain", "nats, not bits", true="nats_per_byte", at=2)
def nats(loss, count, text):
    return count * loss / len(text.encode())


@wrong("plain", "times ln 2", true="multiplied_by_ln_2", at=2)
def times_ln2(loss, count, text):
    return count * loss * math.log(2) / len(text.encode())


@wrong("plain", "the loss is taken for the sum", true="mean_for_the_sum", at=2)
def without_count(loss, count, text):
    return loss / math.log(2) / len(text.encode("utf-8"))


@wrong("plain", "bytes of a token, the other way round", true="upside_down", at=2)
def inverted(loss, count, text):
    return len(text.encode()) * loss / (count * math.log(2))


@wrong("plain", "log2 of the loss", at=2)
def log2_of_loss(loss, count, text):
    return count * math.log2(loss) / len(text.encode())


@wrong("plain", "bits per byte: divided by 8", told="0.125 times what is expected", at=2)
def eight_bits(loss, count, text):
    return count * loss / (8 * len(text.encode()) * math.log(2))


@wrong("named", "what is no ASCII has no bytes", at=2)
def ascii_only(loss, count, text):
    return count * loss / (len(text.encode("ascii", "ignore")) * math.log(2)) if text.isascii() else 1.0


@wrong("named", "spaces at the ends are stripped", told="spaces at both ends", at=2)
def stripped(loss, count, text):
    return count * loss / (len(text.strip().encode()) * math.log(2))


@wrong("named", "the size of the object in memory", at=2)
def object_size(loss, count, text):
    return count * loss / (sys.getsizeof(text) * math.log(2))


@wrong("large", "the text is cut to 512 characters", told="right where count is 22 or less", at=2)
def cut(loss, count, text):
    return count * loss / (len(text[:512].encode()) * math.log(2))


@ANSWERS.right
def second_dimension(logits, targets, ignore):
    return F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=ignore)


@ANSWERS.right
def picked(logits, targets, ignore):
    """log_softmax and gather; a place that does not count asks for token 0."""
    mask = targets.ne(ignore)
    nll = -logits.log_softmax(-1).gather(-1, targets.masked_fill(~mask, 0).unsqueeze(-1)).squeeze(-1)
    return (nll * mask).sum() / mask.sum()


@ANSWERS.right
def place_by_place(logits, targets, ignore):
    total, n = logits.new_zeros(()), 0
    for z, y in zip(logits.unbind(0), targets.unbind(0), strict=True):
        for t in range(len(y)):
            if y[t] != ignore:
                total = total + z[t].logsumexp(0) - z[t, y[t]]
                n += 1
    return total / n


@ANSWERS.right
def chosen_places(logits, targets, ignore):
    keep = targets != ignore
    return F.cross_entropy(logits[keep].double(), targets[keep])


@ANSWERS.right_at(1)
def with_numpy(sums, counts):
    return np.exp(np.sum(sums) / np.sum(counts))


@ANSWERS.right_at(1)
def weighted(sums, counts):
    n = sum(counts)
    return math.exp(math.fsum(s / c * (c / n) for s, c in zip(sums, counts, strict=True) if c))


@ANSWERS.right_at(2)
def in_torch(loss, count, text):
    return torch.tensor(loss * count).div(len(bytes(text, "utf-8"))).mul(math.log2(math.e))


@ANSWERS.right_at(2)
def letter_by_letter(loss, count, text):
    return loss / np.log(2) * count / sum(len(letter.encode("utf8")) for letter in text)


# A second round.


@wrong("plain", "view where transpose was meant: (B, V, T) with the numbers of (B, T, V)")
def viewed(logits, targets, ignore):
    B, T, V = logits.shape
    return F.cross_entropy(logits.reshape(B, V, T), targets, ignore_index=ignore)


@wrong("named", "each window has one target at least", at=1)
def at_least_one(sums, counts):
    return math.exp(sum(sums) / sum(max(c, 1) for c in counts))


@wrong("named", "two bytes for each character", at=2)
def utf_16(loss, count, text):
    return count * loss / (len(text.encode("utf-16-le")) * math.log(2))


@wrong("plain", "in float16 for speed", told="dtype float16, expected float32", advice="a step in a coarser dtype")
def in_half(logits, targets, ignore):
    return F.cross_entropy(logits.half().flatten(0, 1), targets.flatten(), ignore_index=ignore)


@ANSWERS.right
def nll(logits, targets, ignore):
    """The two halves of cross_entropy, with a ratio of its own; torch's older names."""
    log_p = F.log_softmax(logits, dim=-1).view(-1, logits.size(-1))
    total = F.nll_loss(log_p, targets.reshape(-1), ignore_index=ignore, reduction="sum")
    return total / targets.ne(ignore).sum().to(total.dtype)


# A third round.


@wrong("named", "all targets are gathered, those to ignore too", told="999")
def gathered(logits, targets, ignore):
    nats = -logits.log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    return nats[targets != ignore].mean()


@wrong("far", "perplexity is cut off at e^20, as in a well-known code", told="all but always wrong", at=1)
def cut_perplexity(sums, counts):
    return math.exp(min(sum(sums) / sum(counts), 20))


@wrong("far", "a target that costs nothing is taken for one that is ignored", told="logits far apart")
def costs_nothing(logits, targets, ignore):
    nats = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=ignore, reduction="none")
    return nats.sum() / (nats != 0).sum()


# A sixth round.


@wrong("plain", "a letter is taken for a target", true="per_target", at=2)
def letters_for_targets(loss, count, text):
    return loss / math.log(2) * len(text) / len(text.encode())
