"""Texts to learn from: one loader for each, without the network, compared with its sha256 on every load."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from coursekit.material.assets import File, checked_file

if TYPE_CHECKING:
    import transformers

PROSE = File(
    name="prose.txt",
    sha256="6b0abcfa810e3b69f1d90f1b3b18ec07ee34f758206523fdebd65dd5060a81f6",
    script="prepare.prose",
)
TOKENIZER = File(
    name="tokenizer.json",
    sha256="83c2dd0fa5900a059f662a949e8acf9308b9b9b1d85f13137db265c703bed173",
    script="prepare.tokenizer",
)
BYTE_PAIRS = File(
    name="byte_pairs.json",
    sha256="0d94ee9f9b7ace7ee622431bd7db8243e13017b07b69e85d25e43654419374ef",
    script="prepare.byte_pairs",
)
END_OF_TEXT = "<|endoftext|>"
MOVIE_SNIPPETS = File(
    name="movie_snippets.txt",
    sha256="4dfed4184602d9cef5011a256e1152e88bfb8b97e4a65edb97e619063b324d75",
    script="prepare.movie_snippets",
)


def prose() -> dict[str, list[str]]:
    """The sentences of each document by its title, in the order in which they were spoken or written.

    197 documents, 26,872 sentences: the addresses on the state of the Union from 1961 to 2021, and the chapters of
    Moby-Dick (Melville 1851). Raises AssetError.
    """
    pages = checked_file(PROSE).read_text(encoding="utf-8").rstrip().split("\n\n")
    lines = (page.split("\n") for page in pages)
    return {title.removeprefix("# "): sentences for title, *sentences in lines}


def prose_texts() -> tuple[list[str], list[str]]:
    """The documents of the prose to train on and those held out, each one text, a sentence a line.

    Held out are the addresses of the years and the chapters of Moby-Dick whose number can be divided by 8. Raises
    AssetError.
    """
    sides: tuple[list[str], list[str]] = ([], [])
    for title, sentences in prose().items():
        sides[is_held_out(title)].append("\n".join(sentences))
    return sides


def is_held_out(title: str) -> bool:
    """Whether no model of this course is trained on the document."""
    number = re.search(r"\d+", title)
    if number is None:
        raise ValueError(f"a document's title has a year or a chapter's number: found {title!r}")
    return int(number.group()) % 8 == 0


def prose_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """A WordPiece tokenizer learned from the prose: 4,096 tokens, lower case, [CLS] first and [SEP] last.

    Called like every tokenizer of transformers. Raises AssetError. Source: Devlin et al. 2019, section 3.
    """
    from transformers import PreTrainedTokenizerFast  # here, since it takes a second to import

    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(tokenizer_file=str(checked_file(TOKENIZER)), model_input_names=inputs, **special)


def byte_pairs() -> transformers.PreTrainedTokenizerFast:
    """GPT-2's kind of tokenizer, learned from the prose: any text comes back byte for byte from its tokens.

    3,072 tokens: <|endoftext|>, the 256 bytes, and 2,815 that were merged. Called like every tokenizer of
    transformers. Raises AssetError. Source: Radford et al. 2019, section 2.2.
    """
    from transformers import PreTrainedTokenizerFast  # here, since it takes a second to import

    options = {"bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "clean_up_tokenization_spaces": False}
    return PreTrainedTokenizerFast(tokenizer_file=str(checked_file(BYTE_PAIRS)), **options)


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
