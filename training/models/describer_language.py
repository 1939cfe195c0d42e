"""The describer's language model and its tokens: a pretrained GPT-2, or a small one of the training sentences' words.

    tokens = WordTokens(vocabulary)                     language = small_language(config, len(vocabulary), positions)
    language, tokens = pretrained_language("gpt2")      # or OWNER/NAME, or a folder
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from features.errors import HeedError
from features.hugging_face import hub_folder, is_repository, load_pretrained, read_config, transformers
from features.text.vocabulary import END, SPECIAL, Vocabulary
from training.models.decoding import mean_search
from training.models.describer import Describer
from training.models.describer_config import DecodeConfig, LanguageConfig
from training.models.gpt2 import Cache, Gpt2

GPT2 = {"gpt2": "openai-community/gpt2", "gpt2-medium": "openai-community/gpt2-medium",
        "gpt2-large": "openai-community/gpt2-large", "gpt2-xl": "openai-community/gpt2-xl"}
"""Short names -> repositories of the Hub."""
FILES = ("model.safetensors", "config.json", "vocab.json", "merges.txt", "tokenizer*.json")


class Tokens(Protocol):
    """Sentences to numbers and back."""

    end: int

    def encode(self, text: str) -> list[int]:
        """The numbers of a sentence's tokens, without an end."""
        ...

    def decode(self, numbers: Sequence[int]) -> str:
        """The sentence of the numbers."""
        ...


class WordTokens:
    """The words of a vocabulary (`features.text.words`); they have no capitals, so that a sentence gets one again."""

    end = END

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._known: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """The numbers of the words and signs of a sentence, which is cut into them once: it takes as long as a step."""
        if text not in self._known:
            self._known[text] = self.vocabulary.encode(text).ids[1:-1].tolist()
        return self._known[text]

    def decode(self, numbers: Sequence[int]) -> str:
        """The words with spaces between them, signs joined to the word before, the first letter a capital."""
        words = " ".join(word for word in self.vocabulary.decode(numbers) if word not in SPECIAL)
        text = re.sub(r" (?=[.,;:!?)]|'\w|n't\b)|(?<=\() ", "", words)
        return text[:1].upper() + text[1:]


class PieceTokens:
    """The pieces of a pretrained GPT-2."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer, self.end = tokenizer, int(tokenizer.eos_token_id)

    def encode(self, text: str) -> list[int]:
        """The numbers of a sentence's pieces."""
        return list(self.tokenizer(text)["input_ids"])

    def decode(self, numbers: Sequence[int]) -> str:
        """The sentence."""
        return str(self.tokenizer.decode(numbers, skip_special_tokens=True)).strip()


def small_language(config: LanguageConfig, words: int, longest: int) -> Gpt2:
    """A GPT-2 with first values, of ``words`` tokens and at most ``longest`` positions."""
    if config.dim % config.heads:
        raise HeedError(f"--language.dim {config.dim} cannot be shared by {config.heads} heads.")
    return Gpt2(words, longest, config.dim, config.layers, config.heads, config.dropout)


def pretrained_language(name: str) -> tuple[Gpt2, PieceTokens]:
    """A pretrained GPT-2 and its tokens; `HeedError` where it is not to be had, or is no GPT-2."""
    library = transformers()
    folder = Path(name)
    if not folder.is_dir():
        repository = GPT2.get(name, name)
        if not is_repository(repository):
            raise HeedError(f"There is no language model {name!r}: it is small, {', '.join(GPT2)}, OWNER/NAME of the "
                            "Hub or a folder in Hugging Face's layout.")
        folder = hub_folder(repository, FILES, f"the language model {name}")
    config = read_config(folder)
    if config.model_type != "gpt2":
        raise HeedError(f"{folder} holds a model of type {config.model_type!r}; the describer's language model is a "
                        "GPT-2.")
    model = Gpt2(config.vocab_size, config.n_positions, config.n_embd, config.n_layer, config.n_head,
                 config.resid_pdrop)
    model.load_state_dict(load_pretrained(library.GPT2LMHeadModel, folder, "a GPT-2").state_dict())
    try:
        tokenizer = library.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise HeedError(f"{folder} has no tokeniser that can be read: {str(error).splitlines()[0]}.") from error
    return model, PieceTokens(tokenizer)


def say(
    model: Describer, prompt: Tensor, prompt_mask: Tensor, end: int, most: int, config: DecodeConfig
) -> list[list[int]]:
    """The sentences that go on from prompts (batch, length, width), as tokens."""
    cache = Cache()
    valid = prompt_mask
    first = model.language(prompt, valid, cache)[:, -1]

    def step(tokens: Tensor, rows: Tensor) -> Tensor:
        nonlocal valid
        cache.take(rows)
        valid = torch.cat([valid[rows], torch.ones(len(rows), 1, dtype=torch.bool, device=rows.device)], 1)
        return model.language(model.language.embedded(tokens[:, None]), valid, cache)[:, -1]

    return mean_search(first, step, end, most, config)
