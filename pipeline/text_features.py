"""Texts into rows of token features: captions, queries about videos, or any list of texts with keys.

A text's key is its id in its dataset: a caption's, or "qid2579" of a QVHighlights query, as the published files are
named. The texts themselves are in the store's lists of inputs, so that another text under the same key is found out.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from features.encoders.encoder import EncoderOptions
from features.errors import HeedError
from features.text.encoders import TextEncoder, load_text_encoder
from pipeline.clips import Tokens
from pipeline.datasets import DATASETS, MOMENT_DATASETS, read_captions, read_moments
from pipeline.fields import FeatureDtype, Row, row_from_tokens, token_fields
from pipeline.sources import Item, Source, check_keys


def read_texts(path: str | Path, split: str | None = None, dataset: str | None = None) -> dict[str, str]:
    """Texts by key: of a dataset of captions or moments, or of a .jsonl or .csv list with columns key and text.

    Raises `HeedError` for what is missing or not understood, and where two texts have one key.
    """
    path = Path(path)
    if dataset is not None and dataset not in {**DATASETS, **MOMENT_DATASETS}:
        raise HeedError(f"There is no dataset {dataset!r}; heed reads {', '.join((*DATASETS, *MOMENT_DATASETS))}.")
    if dataset is None and _is_list(path):
        pairs = _listed(path)
    elif dataset in MOMENT_DATASETS or (dataset is None and path.exists() and _has_moments(path)):
        pairs = [(moment.id, moment.text) for moment in read_moments(path, split, dataset)]
    else:
        pairs = [(caption.id, caption.text) for caption in read_captions(path, split, dataset)]
    check_keys([Item(key, str(path)) for key, _ in pairs])
    return dict(pairs)


def text_source(path: str | Path, texts: Mapping[str, str]) -> Source:
    """The texts as a job's inputs."""
    return Source(str(path), [Item(key, str(path), text=text) for key, text in texts.items()], 0)


def _is_list(path: Path) -> bool:
    if not path.is_file() or path.suffix not in (".jsonl", ".csv"):
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        first = file.readline(10_000)
    return "key" in first and "text" in first and '"qid"' not in first


def _listed(path: Path) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    try:
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file) if path.suffix == ".csv" else map(json.loads, filter(str.strip, file)):
                pairs.append((str(row["key"]), str(row["text"])))
        return pairs
    except (OSError, ValueError, KeyError, TypeError, RecursionError, csv.Error) as error:
        raise HeedError(f"Row {len(pairs) + 1} of {path} cannot be read, or has no key or text: {error!r}.") from None


def _has_moments(path: Path) -> bool:
    return any(import_module(module).recognises(path) for module in MOMENT_DATASETS.values())


@dataclass(frozen=True)
class EncodeTexts:
    """Which encoder, and how much of each text."""

    encoder: str
    options: EncoderOptions = field(default_factory=EncoderOptions)
    most: int = 0
    """Longer texts are cut at this many tokens, special ones counted; 0 is what the encoder takes."""
    dtype: FeatureDtype = "float16"
    batch: int = 64
    """Texts the encoder reads at once. Part of the identity: it can change a feature's last bit."""

    def open(self) -> TextReader:
        """Load the encoder."""
        return TextReader(self)

    def open_to_plan(self) -> TextReader:
        """Load the encoder on the CPU."""
        return TextReader(replace(self, options=replace(self.options, device="cpu")))


class TextReader:
    """A loaded encoder as a `pipeline.worker.Reader`."""

    kind = "tokens"

    def __init__(self, spec: EncodeTexts) -> None:
        self.spec = spec
        encoder: TextEncoder = load_text_encoder(spec.encoder, spec.options)
        self.encoder = replace(encoder, most=min(spec.most or encoder.most, encoder.most))
        self.fields = token_fields(self.encoder.dim, self.encoder.pooled, spec.dtype)

    def describe(self) -> dict[str, Any]:
        """The encoder's own description, and the batch."""
        return {**self.encoder.describe(), "batch": self.spec.batch}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row | HeedError]]:
        """Each text's tokens as a row, in order."""
        for start in range(0, len(items), self.spec.batch):
            batch = items[start:start + self.spec.batch]
            yield from zip(batch, self._rows(batch), strict=True)

    def _rows(self, items: Sequence[Item]) -> list[Row | HeedError]:
        good = [item for item in items if not item.error]
        try:
            found = self.encoder.encode([item.text or "" for item in good]) if good else []
            rows = {item.key: row_from_tokens(item.key, Tokens(*tokens).checked(), self.fields)
                    for item, tokens in zip(good, found, strict=True)}
            return [rows.get(item.key) or HeedError(item.error) for item in items]
        except Exception as error:
            if len(items) > 1:  # find the one that the encoder cannot take
                return [self._rows([item])[0] for item in items]
            return [error if isinstance(error, HeedError) else HeedError(f"the encoder failed: {error!r}")]
