"""Controls: what is to be had without the idea that is tested. Counting words, a linear classifier, a dictionary."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)


def counted_words(
    learned: Iterable[str], parts: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Float[Tensor, "n K"]], int]:
    """For each part a matrix with 1 where a text holds a word or a pair of neighbours, and their number K.

    Known are those that occur in two or more of the `learned` texts.
    """
    count = Counter(gram for text in learned for gram in _grams(text))
    known = {gram: i for i, gram in enumerate(sorted(gram for gram, n in count.items() if n > 1))}
    features = {name: torch.zeros(len(texts), len(known)) for name, texts in parts.items()}
    for name, texts in parts.items():
        for i, text in enumerate(texts):
            features[name][i, [known[gram] for gram in _grams(text) if gram in known]] = 1
    return features, len(known)


def _grams(text: str) -> set[str]:
    words = re.findall(r"[a-z0-9']+|[!?]", text.lower())
    return {*words, *map(" ".join, itertools.pairwise(words))}


def standardised(learned: Float[Tensor, "n D"], *others: Float[Tensor, "m D"]) -> list[Tensor]:
    """All of them with the mean and the standard deviation of `learned` taken out, number by number."""
    mean, deviation = learned.mean(0), learned.std(0) + 1e-6
    return [(X - mean) / deviation for X in (learned, *others)]


def linear_classifier(
    X: Float[Tensor, "n D"],
    labels: Int[Tensor, " n"],
    parts: Mapping[str, tuple[Float[Tensor, "m D"], Int[Tensor, " m"]]],
    penalties: Sequence[float] = PENALTIES,
) -> dict[str, float]:
    """The accuracy of a logistic regression on each part, and its penalty, which does best on "validation".

    The loss is the mean cross-entropy plus the penalty times the squared length of the weights; L-BFGS in float32.
    """
    best = {"validation": -1.0}
    for penalty in penalties:
        w, b = _fitted(X, labels, penalty)
        right = {name: ((Y @ w + b > 0) == y.bool()).float().mean().item() for name, (Y, y) in parts.items()}
        if right["validation"] > best["validation"]:
            best = right | {"penalty": penalty}
    return best


def _fitted(X: Tensor, labels: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    w, b = torch.zeros(X.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([w, b], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.binary_cross_entropy_with_logits(X @ w + b, labels.float()) + penalty * w.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return w.detach(), b.detach()


def dictionary(
    known: Iterable[str], labels: Iterable[int], new: Sequence[str]
) -> tuple[Int[Tensor, " m"], Bool[Tensor, " m"]]:
    """For each new word the label that it mostly had among the known ones, and whether it is one of them.

    A word that is not gets 0, and so does one that had 0 and another label equally often.
    """
    had: dict[str, Counter[int]] = {}
    for word, label in zip(known, labels, strict=True):
        had.setdefault(word, Counter({0: 0}))[label] += 1
    mostly = [had[word].most_common(1)[0][0] if word in had else 0 for word in new]
    return torch.tensor(mostly), torch.tensor([word in had for word in new])
