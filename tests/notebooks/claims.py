"""What the chapters' prose tells about runs, each with what must have been printed for it to be true.

A run's numbers move with the processor, its threads and torch's version; a sentence must hold for all of them.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nbformat import NotebookNode

NUMBER = r"(-?[\d.]+(?:e[+-]?\d+)?)"


@dataclass(frozen=True)
class Claim:
    """A phrase of the prose, where its numbers are printed (# is a number), and whether they bear it out."""

    slug: str
    phrase: str
    printed: str
    true: Callable[..., bool]

    def numbers(self, notebook: NotebookNode) -> list[float]:
        """All numbers that the notebook printed in that place, in their order."""
        outputs = (o for cell in notebook.cells for o in cell.get("outputs", []) if o.output_type == "stream")
        found = re.finditer(re.sub("#", lambda _: NUMBER, self.printed), "".join(o.text for o in outputs))
        return [float(number) for match in found for number in match.groups() if number]

    def holds(self, numbers: list[float]) -> bool:
        """Whether these are as many numbers as the claim is about, and bear it out."""
        try:
            inspect.signature(self.true).bind(*numbers)
        except TypeError:
            return False
        return bool(numbers) and self.true(*numbers)


def broken(slug: str, notebook: NotebookNode) -> Iterator[str]:
    """A sentence for each of the chapter's claims that its prose does not make or its outputs do not bear out."""
    prose = " ".join(" ".join(c.source for c in notebook.cells if c.cell_type == "markdown").split())
    for claim in (c for c in CLAIMS if c.slug == slug):
        if claim.phrase not in prose:
            yield f"no cell of {slug} says {claim.phrase!r}: correct or delete the claim"
        elif not claim.holds(numbers := claim.numbers(notebook)):
            yield f"{slug} says {claim.phrase!r}, and printed {numbers or 'nothing'} where {claim.printed!r} stands"


def _scale(*found: float) -> bool:
    """Spread and both entropies at widths 4, 64 and 1024: the spread is the root of the width, 6 bits is uniform."""
    spreads, scaled, unscaled = found[0::3], found[1::3], found[2::3]
    close = all(abs(spread / d**0.5 - 1) < 0.3 for spread, d in zip(spreads, (4, 64, 1024), strict=True))
    return close and min(scaled) > 5 and max(scaled) - min(scaled) < 0.5 and unscaled[-1] < 0.5


def _untidy(*found: float) -> bool:
    """Loss and tokens right at each tenth of the run, at last both baselines."""
    loss, tokens, (unigram_loss, unigram) = found[0:-2:2], found[1:-2:2], found[-2:]
    first = next(i for i, right in enumerate(tokens) if right > unigram)
    return loss[first] > unigram_loss - 0.1 and tokens[-1] > 1.5 * unigram


def _second_epoch(*found: float) -> bool:
    """Training and validation loss at each half epoch."""
    training, validation = found[0::2], found[1::2]
    return len(training) == 4 and all(t < v for t, v in zip(training[2:], validation[2:], strict=True))


def _depth(*found: float) -> bool:
    """Right answers as it came and fine-tuned, layer by layer."""
    ahead = [tuned - came for came, tuned in zip(found[0::2], found[1::2], strict=True)]
    return ahead[0] == 0 and ahead[-1] > 3 and abs(found[-1] - found[-3]) < 5


def _capitals(*found: float) -> list[list[float]]:
    """F of the capitals by row (the dictionary, three depths): all words, words in training, words never seen."""
    rows = [list(found[i : i + 3]) for i in range(0, len(found), 3)]
    return rows if len(rows) == 4 else [[math.nan] * 3] * 4


def _hard_to_beat(*found: float) -> bool:
    (_, held, new), *heads = _capitals(*found)
    return new == 0 and max(seen for _, seen, _ in heads) < held + 4


def _before_the_layers(*found: float) -> bool:
    _, before, middle, _ = _capitals(*found)
    return 45 < before[2] < middle[2] - 3


def _after_the_layers(*found: float) -> bool:
    dictionary, _, middle, last = _capitals(*found)
    return last[1] < dictionary[1] - 5 and last[2] < middle[2] - 5


EPOCH = r"\n *[\d.]+ +# +# +[\d.]+% +[\d.]+"
CAPITALS = r"(?:the dictionary|(?:before|after) [a-z ]+?) +# ± *[\d.]+ +# ± *[\d.]+ +# ± *[\d.]+\n"
WITH_ANSWER = r"exact match [\d.]+, token F1 [\d.]+ +\(with an answer #"

DESIGN = r"without 1/sqrt\(2L\)|post-norm|without positions"
PASSES = "a speech: # +the novel: # +a line again and again: #"


def _falls(*bits: float) -> bool:
    """Bits per byte on the way of two minutes, from no opinion to the sound of a speech."""
    return list(bits) == sorted(bits, reverse=True) and bits[0] > 3.2 and 2.1 < bits[-1] < 2.4


def _only_post_norm(whole: float, seed: float, scale: float, post: float, places: float) -> bool:
    """Of three parts that were taken out one costs far more than another seed does, and one nothing at all."""
    return post - whole > 3 * max(0.04, abs(seed - whole), abs(scale - whole)) and places < whole


def _context(pairs: float, one: float, four: float, sixteen: float, half: float, whole: float) -> bool:
    """A single token is worth no more than a table, four most of the rest, and the second half nothing."""
    return one > pairs - 0.02 and one - four > (one - whole) / 2 and abs(half - whole) < 0.03


CLAIMS = (
    Claim("02_attention", "the two banks beside water have stayed close",
          r"river and \w+: # before the first layer, # after the last",
          lambda lake_0, lake, cash_0, cash: min(lake_0, cash_0) > 0.99 and lake > 0.95 > 0.85 > cash),
    Claim("02_attention", "nearly every token finds itself, as with the bare vectors", r"'him' looks at 'him' +#%",
          lambda bare, one_map: min(bare, one_map) > 70),
    Claim("02_attention", "close to the promised 2, 8 and 32",
          r"raw scores spread by +#; # bits with the scale, # bits without", _scale),
    Claim("02_attention", "With the scale, the queries have found their keys after twenty steps",
          r"with the scale +loss # after 0 steps, # after 20", lambda first, then: then < 0.05 < first),
    Claim("02_attention", "and stay there at each of the four rates", r"without +loss # after 0 steps, # .* # after 49",
          lambda first, then, last: last > 0.5),
    Claim("02_attention", "*trophy* stays near 0.6 and *suitcase* near 0.2", r"gives trophy #, suitcase #",
          lambda *it: all(0.55 <= t <= 0.7 for t in it[::2]) and all(0.1 < s < 0.3 for s in it[1::2])),
    Claim("02_attention", "Even half the cache changes the result by most of its size",
          r"cache  50%, result moves by +#%", lambda moved: moved > 60),
    Claim("02_attention", "In blocks nothing is larger than the result itself",
          r"T = #: plain # MiB, in blocks of 128 # MiB", lambda T, plain, blocks: blocks == T * 32 * 4 / 2**20 < plain),
    Claim("02_attention", "Most of the weights are there", r"#% of them in the feed-forward", lambda share: share > 60),
    Claim("02_attention", "Without attention about half of each vector is left", r"without attention +# of the vector",
          lambda left: 0.4 < left < 0.65),
    Claim("02_attention", "Without residuals or without norms nothing is left",
          r"without (?:residuals|norms) +# of the vector", lambda *left: max(left) < 0.15),
    Claim("02_attention", "Without the residual, six layers make all tokens equal",
          r"attention without +# after 1 layer, # after 6", lambda first, last: last < 1e-5 < first),
    Claim("02_attention", "an average is left that knows little", r"looking +#% \([^)]*\) +#%",
          lambda training, use: use < 45),
    Claim("02_attention", "both sentences about doors and keys come before the river and the interest rates",
          r"# +My brother lost.*\n *# +He opened.*\n *# +\w+|# +She sat", lambda *alike: len(alike) >= 3),
    Claim("02_attention", "With two maps nearly all of the weight lies on the next person",
          r"two maps: #% on the next person, #% on oneself", lambda nextone, self_: nextone > 95),
    Claim("02_attention", "With one map most people find the next one, and some look at themselves",
          r"one map: #% on the next person, #% on oneself", lambda nextone, self_: 40 < nextone < 90 and self_ > 10),
    Claim("02_attention", "in use, where the answer is not there, most of it is gone", r"the mask +#% \([^)]*\) +#%",
          lambda training, use: training > 90 and use < 60),
    Claim("03_bert", "*loved* and *hated* are the nearest pair of all", r"loved and hated: # +loved and joy: #",
          lambda hated, joy: hated > joy),
    Claim("03_bert", "Nearly half of the work was for nothing", r": #% of [\d,]+ tokens are filler",
          lambda come, sorted_: 45 < come < 50 and sorted_ < 1),
    Claim("03_bert", "passes its baseline while the loss is still about that of frequencies alone",
          r"step +\d+: token loss #, tokens right #%|\(unigram #\), [\d.]+% of the tokens \(unigram #%\)", _untidy),
    Claim("03_bert", "It begins a little above", r"step +0: token loss #", lambda first: 8.32 < first < 8.8),
    Claim("03_bert", "nearly always lets it stand", r"the model sees [\w\[\] ]+: right in +#%",
          lambda mask, other, itself: itself > 90 and 0.75 * mask < other < mask),
    Claim("03_bert", "a short sentence turns into its padding", r"beside a long sentence: #",
          lambda cls, mean, padding: cls == mean == 1 and padding < 0.7),
    Claim("03_bert", "The layers brought what the head alone could not",
          r"only the head.* accuracy #%|test: #% of", lambda head, layers: 70 < head < layers - 3),
    Claim("03_bert", "the training loss lies below the validation loss", EPOCH, _second_epoch),
    Claim("03_bert", "*Loved* and *hated* are no longer neighbours", r"#% positive  I (?:loved|hated)",
          lambda loved, hated: loved > 90 and hated < 10),
    Claim("03_bert", "In training mode some answers change by chance alone", r"mode: # of 100 answers change",
          lambda training, evaluation: training > 3 > evaluation == 0),
    Claim("03_bert", "half of the answers are right, and macro F1 is a third", r"'positive': accuracy #, macro F1 #",
          lambda right, macro: abs(right - 1 / 2) < 0.01 and abs(macro - 1 / 3) < 0.01),
    Claim("03_bert", "the model errs more than twice as often", r"below 1\.5: +#% .* above 2\.5: +#%",
          lambda lukewarm, sure: lukewarm > 2 * sure),
    Claim("03_bert", "a word that turns the sense hardly makes a difference", r"turns the sense: +#% .* without: +#%",
          lambda turning, other: abs(turning - other) < 4),
    Claim("03_bert", "On new things the reader does well", "things never seen +" + WITH_ANSWER, lambda new: new > 0.6),
    Claim("03_bert", "more than half of what was right is now lost", "(?:never seen|distraction) +" + WITH_ANSWER,
          lambda new, distracted: distracted < new / 2),
    Claim("03_bert", "On words that it holds the dictionary is hard to beat", CAPITALS, _hard_to_beat),
    Claim("03_bert", "Two thirds of the layers find more", CAPITALS, _before_the_layers),
    Claim("03_bert", "There even the dictionary does better on the words that it holds", CAPITALS, _after_the_layers),
    Claim("03_bert", "the last layers add fewer right answers", r"layer \d: as it came #%, fine-tuned #%", _depth),
    Claim("03_bert", "The loss is still near", r"\nvalidation loss #, accuracy", lambda loss: abs(loss - 0.693) < 0.04),
    Claim("04_gpt", "The token that it has just read scores far above them", r"fresh, [^:]+: # nats",
          lambda own, begun: own > 80 and 8 < begun < 8.2),
    Claim("04_gpt", "SmolLM2 needs fewer bits", r"(?:our GPT|SmolLM2): [\d,]+ targets, .* perplexity #, # bits",
          lambda ppl, bits, their_ppl, their_bits: their_bits < bits and their_ppl < ppl),
    Claim("04_gpt", "It learns frequent tokens first", r"\d+ steps, # bits per byte", _falls),
    Claim("04_gpt", "So it learned to copy", r"without the shift +(?:loss #|asked for the next token, it needs #)",
          lambda loss, asked: loss < 1 and asked > 4),
    Claim("04_gpt", "Only the norms behind the sums cost far more", "\n(?:as it is|other seed|" + DESIGN + ") +# bits",
          _only_post_norm),
    Claim("04_gpt", "Top-p and min-p follow the distribution", r"top_p=0.9 keeps #   min_p=0.05 keeps #",
          lambda *kept: max(kept[:2]) < 10 and min(kept[2:]) > 100),
    Claim("04_gpt", "The wider searches found likelier texts", r"(?:width \d+|really said) +# nats",
          lambda one, four, sixteen, said: said < one - 20 < one < four < sixteen),
    Claim("04_gpt", "A table of pairs brings about two tokens a pass", r"pairs +" + PASSES,
          lambda *gains: min(gains) > 1.6 and max(gains) < 2.8),
    Claim("04_gpt", "it brings twice as many to SmolLM2, and none to our GPT", r"lookup +" + PASSES,
          lambda a, b, gpt, c, d, smollm: max(a, b, gpt, c, d) < 1.3 and smollm > 1.7),
    Claim("04_gpt", "Muon ends lower with either rate", r"AdamW's rate [\d.]+: # bits",
          lambda slow, fast, *muon: max(muon) < min(slow, fast) - 0.04),
    Claim("04_gpt", "nearly as wrongly as before", r"# of 20 sums right",
          lambda bare, chat, behind: max(bare, chat) < 4 and chat < behind < 10),
    Claim("04_gpt", "From two on it finds most opposites", r"true +0: #% +1: #% +2: #% +4: #% +8: #%",
          lambda none, one, two, four, eight: max(none, one) < 10 and min(two, four, eight) > 50),
    Claim("04_gpt", "they hardly help", r"exchanged +0: #% +1: #% +2: #% +4: #% +8: #%", lambda *all: max(all) < 20),
    Claim("04_gpt", "phrases that it has never seen come out right", r"\n[a-z ]+#% exact",
          lambda *exact: len(exact) == 4 and min(exact) >= 80),
    Claim("04_gpt", "guesses no better than a table", r"(?:pairs, counted|GPT, \d+ tokens?) +# ±", _context),
    Claim("04_gpt", "finds the true token first in a quarter of the places",
          r"GPT, 128 tokens the likeliest #%, among eight #%", lambda one, eight: 20 < one < 31 and 50 < eight < 58),
    Claim("04_gpt", "a fraction of the first", r"SmolLM2: # nats the first time, # nats",
          lambda first, second: second < first / 3),
    Claim("04_gpt", "Our GPT does not copy", r"our GPT: # nats the first time, # nats",
          lambda first, second: abs(first - second) < 1),
    Claim("04_gpt", "puts nearly all of its weight", r"head \d+ gives #% of its weight",
          lambda gpt, smollm: gpt < 15 and smollm > 80),
    Claim("04_gpt", "Your GPT loses to a table of pairs",
          r"\n(?:frequency alone|pairs, counted|your GPT|our GPT) +# bits",
          lambda frequency, pairs, yours, ours: frequency > yours > pairs > ours),
    Claim("04_gpt", "With the right q nothing moves", r"checked [a-z ]+: #% of",
          lambda right, unfiltered, likeliest: right == 0 and min(unfiltered, likeliest) > 10),
    Claim("05_distributed", "In float64 the models are the same to many digits", r"differ by # at most|in float64 by #",
          lambda single, double: double < 1e-9 < single),
    Claim("05_distributed", "With every rank more it takes longer", r"\d+ ranks: +# microseconds",
          lambda *times: list(times) == sorted({*times})),
    Claim("05_distributed", "the model is another one, and a worse one here",
          r"\n?(?:one machine|four, weighted by tokens|four, mean of means) +# bits a byte",
          lambda one, weighted, plain: abs(one - weighted) < 0.002 and plain > one + 0.05),
    Claim("05_distributed", "One bucket for everything hides nothing",
          r"\n?(?:after backward|a bucket a layer|a bucket a parameter|one bucket) +# ms",
          lambda late, layer, each, one: abs(late - one) < 0.2 and layer < each < late),
    Claim("05_distributed", "1F1B makes the bubble smaller",
          r"(?:all forward first|1F1B|zero bubble) +\d+ units, idle #%",
          lambda first, turns, halves: first == turns > halves),
    Claim("05_distributed", "that row is the best of the slips", r"slip: [a-z ]+ +# ",
          lambda summed, start, silent: summed < min(start, silent) / 5),
    Claim("05_distributed", "A mean of weights in 20 steps keeps much of what four machines gain",
          r"(?:one alone|a mean in each step|a mean in 20 steps|the same, outer momentum) +# bits",
          lambda alone, each, twenty, outer: each < twenty < alone - 0.03 and outer > twenty),
)  # fmt: skip
