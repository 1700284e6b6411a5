"""`python -m prepare.tokenizer` learns embedded/tokenizer.json, a WordPiece vocabulary, from the prose."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from coursekit.material.assets import FOLDER
from coursekit.material.data import prose

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
V = 4096


def trained(sentences: list[str]) -> Tokenizer:
    """BERT's tokenizer (Devlin et al. 2019): lower case, split at spaces and punctuation, then WordPiece."""
    learned = empty({})
    trainer = trainers.WordPieceTrainer(vocab_size=V, special_tokens=SPECIAL, show_progress=False)
    learned.train_from_iterator(sentences, trainer)
    # The trainer numbers what is equally frequent at random.
    words = SPECIAL + sorted(set(learned.get_vocab()) - set(SPECIAL))
    tokenizer = empty({word: i for i, word in enumerate(words)})
    tokenizer.add_special_tokens(SPECIAL)
    cls, sep = (("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]")))
    tokenizer.post_processor = processors.BertProcessing(sep, cls)
    return tokenizer


def empty(vocabulary: dict[str, int]) -> Tokenizer:
    """BERT's tokenizer with this vocabulary."""
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def main() -> None:
    sentences = [sentence for document in prose().values() for sentence in document]
    (FOLDER / "tokenizer.json").write_text(trained(sentences).to_str(pretty=True), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
