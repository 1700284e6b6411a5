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
)  # fmt: skip
