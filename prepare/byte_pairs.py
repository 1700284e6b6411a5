"""`python -m prepare.byte_pairs` learns embedded/byte_pairs.json, GPT-2's kind of tokenizer, from the prose."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from coursekit.material.assets import FOLDER
from coursekit.material.data import END_OF_TEXT, prose_texts

V = 3072


def trained(texts: list[str]) -> Tokenizer:
    """A byte-level BPE (Radford et al. 2019, section 2.2): 256 bytes, the end of a text, and what was merged."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=V, special_tokens=[END_OF_TEXT], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def main() -> None:
    training, _ = prose_texts()
    text = trained(training).to_str(pretty=True)
    (FOLDER / "byte_pairs.json").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
