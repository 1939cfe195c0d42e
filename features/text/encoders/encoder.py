"""What an encoder of texts is: texts in, a vector a token and one for the whole out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from features.encoders.encoder import EncoderName
from features.errors import HeedError
from features.hugging_face import hub_folder, is_repository, transformers

if TYPE_CHECKING:
    import torch
    from torch import Tensor


TOKENISERS = ({"tokenizer.json"}, {"vocab.txt"}, {"vocab.json", "merges.txt"}, {"sentencepiece.bpe.model"},
              {"spiece.model"})
"""Files that are a tokeniser, in the layouts of transformers."""


@dataclass(frozen=True)
class TextEncoder:
    """A loaded network with its tokeniser."""

    identity: dict[str, Any]
    """What it is, for a store: name, architecture, weights and vocabulary digests, which outputs are kept."""
    dim: int
    """Length of a token's vector."""
    pooled: int
    """Length of the whole text's vector; 0 where there is none."""
    tokenizer: Any
    """A tokeniser of transformers."""
    forward: Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]
    """Token numbers and mask, (n, tokens) each, to states (n, tokens, dim) and pooled (n, pooled)."""
    most: int
    """Tokens it can take, special ones counted; longer texts are cut."""
    device: torch.device
    versions: dict[str, str] = field(default_factory=dict)
    """Of the libraries; told, never compared."""

    def describe(self) -> dict[str, Any]:
        """Identity for a store, JSON."""
        return {**self.identity, "dim": self.dim, "pooled": self.pooled, "most": self.most, "versions": self.versions}

    def encode(self, texts: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray | None]]:
        """For each text its tokens' vectors, special tokens included, (tokens, dim) float32, and (pooled,) float32."""
        import torch

        read = self.tokenizer(list(texts), padding=True, truncation=True, max_length=self.most, return_tensors="pt",
                              return_token_type_ids=False)
        mask = read["attention_mask"]
        with torch.inference_mode():
            states, pooled = self.forward(read["input_ids"].to(self.device), mask.to(self.device))
        lengths = mask.sum(1).tolist()
        wholes = [None] * len(texts) if pooled is None else list(pooled.float().cpu().numpy())
        return [(row[:length], whole) for row, length, whole in
                zip(states.float().cpu().numpy(), lengths, wholes, strict=True)]


def folder_of(name: EncoderName, published: dict[str, str]) -> Path:
    """The folder that a name means: itself, or a copy of a repository of the Hub (``published``: name -> repository).

    Raises `HeedError` where there is none.
    """
    folder = Path(name.name)
    if folder.is_dir():
        return folder
    repository = published.get(name.name, name.name)
    if not is_repository(repository) or name.weights == "random":
        raise HeedError(f"There is no folder {name.name!r}; {name.family}: takes a folder in Hugging Face's layout "
                        f"(config, weights, tokeniser), OWNER/NAME of the Hub, or {', '.join(published)}.")
    files = ("model.safetensors", "config.json", "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json")
    return hub_folder(repository, files, f"{name.family}:{name.name}")


def read_tokenizer(folder: Path) -> Any:
    """The tokeniser in a folder, padding on the right; `HeedError` where its files are not there or damaged.

    transformers would make up an empty one.
    """
    names = {path.name for path in folder.iterdir()}
    if not any(names >= needed for needed in TOKENISERS):
        raise HeedError(f"{folder} has no tokeniser: that is tokenizer.json, vocab.txt, or vocab.json and merges.txt.")
    try:
        tokenizer = transformers().AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, padding_side="right")
    except Exception as error:  # it raises many kinds for files that are missing or damaged
        raise HeedError(f"{folder} has no tokeniser that can be read: {str(error).splitlines()[0]}.") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def vocabulary_digest(tokenizer: Any) -> str:
    """SHA-256 over the tokeniser's tokens and their numbers."""
    import hashlib
    import json

    return hashlib.sha256(json.dumps(sorted(tokenizer.get_vocab().items())).encode()).hexdigest()
