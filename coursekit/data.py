"""Texts to learn from: one loader for each, without the network, compared with its sha256 on every load."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from coursekit.assets import File, checked_file

MOVIE_SNIPPETS = File(
    name="movie_snippets.txt",
    sha256="4dfed4184602d9cef5011a256e1152e88bfb8b97e4a65edb97e619063b324d75",
    script="prepare.movie_snippets",
)


@dataclass(frozen=True)
class Rated:
    """Sentences with the mean of their readers' ratings, from -4 to 4; label 1 where it is positive, 0 elsewhere.

    A slice is a smaller one: `movies.train[:4000]`.
    """

    texts: list[str]
    ratings: Float[Tensor, " n"]

    @property
    def labels(self) -> Int[Tensor, " n"]:
        return (self.ratings > 0).long()

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, part: slice) -> Rated:
        if not isinstance(part, slice):
            raise TypeError(f"expected a slice such as [:100], found {part!r}; one sentence is texts[i]")
        return Rated(self.texts[part], self.ratings[part])


@dataclass(frozen=True)
class Movies:
    """Three splits that share no sentence; in each the share of positive ones is the same."""

    train: Rated
    validation: Rated
    test: Rated
    names: tuple[str, str] = ("negative", "positive")


def movie_snippets() -> Movies:
    """9,171 sentences from film reviews, each rated at least 1 or at most -1 on average: 6,671 + 1,000 + 1,500.

    Their order is a hash's, so that any slice is a fair sample. Raises AssetError where the file was altered.
    Source: Hutto and Gilbert 2014 (VADER), from the package vaderSentiment 3.3.2.
    """
    rows = [line.split("\t") for line in checked_file(MOVIE_SNIPPETS).read_text(encoding="utf-8").splitlines()]

    def split(wanted: str) -> Rated:
        mine = [(text, float(rating)) for name, rating, text in rows if name == wanted]
        return Rated([text for text, _ in mine], torch.tensor([rating for _, rating in mine]))

    return Movies(split("train"), split("validation"), split("test"))
