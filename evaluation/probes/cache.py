"""Readings of a subject on the disk, in parts, so that memory does not grow with the data.

    CACHE/cache.json      what was read by whom: subject, pairs, layers with their blocks, number type
    CACHE/000000.npz      the first ``batch`` pairs' readings, padded to the longest among them:
        pairs             (batch,) int64 numbers of the pairs
        words             (batch, words) int64 ids; spans: (batch, words, 2) int32 their first character in the caption
                          and one past the last, -1 for special tokens
        text_kinds        (batch, words) uint8, the modality map; image_kinds: (batch, regions) likewise
        match             (batch,) float32 log-odds that text and image belong together, where the subject has that head
        LAYER/text        (batch, words, dim) states; LAYER/image (batch, regions, dim)
        LAYER/QUERY->KEY  (batch, heads, queries, keys) attention, as `evaluation.subjects.subject.Layer.blocks`

A part takes its name when it is whole, so what is there is done; an interrupted filling goes on behind it. A member of
a part is read alone: a probe of one layer reads that layer's bytes. Each has a checksum, compared when it is read.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError

TEXT, IMAGE = "text", "image"


@dataclass(frozen=True)
class LayerInfo:
    """What a layer has; the order of the layers is that in which they ran."""

    name: str
    text: int
    """Length of its text states; 0 where it has no text side."""
    image: int
    """Length of its image states, likewise."""
    heads: int
    """Heads of its attention; 0 where it has none, as the embeddings."""
    blocks: tuple[str, ...]
    joint: bool
    """Whether words and regions share one softmax."""


class Part:
    """One part, read member by member; arrays come as float32."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = np.load(path, allow_pickle=False)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise _damaged(path, error) from error

    def __enter__(self) -> Part:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def array(self, name: str) -> np.ndarray:
        """A member, floats as float32; `HeedError` where it is damaged or absent."""
        try:
            found = self._file[name]
        except (KeyError, OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise _damaged(self.path, error) from error
        return found.astype(np.float32) if found.dtype.kind == "f" else found

    @property
    def pairs(self) -> np.ndarray:
        """(batch,) int64: which pairs these are."""
        return self.array("pairs")

    @property
    def text_kinds(self) -> np.ndarray:
        """(batch, words) uint8."""
        return self.array("text_kinds")

    @property
    def image_kinds(self) -> np.ndarray:
        """(batch, regions) uint8."""
        return self.array("image_kinds")

    @property
    def spans(self) -> np.ndarray:
        """(batch, words, 2) int32: characters of each word piece, -1 for special tokens and padding."""
        return self.array("spans")

    def states(self, layer: str, side: str) -> np.ndarray:
        """(batch, positions, dim) float32 states of a layer's side."""
        return self.array(f"{layer}/{side}")

    def block(self, layer: str, block: str) -> np.ndarray:
        """(batch, heads, queries, keys) float32 attention."""
        return self.array(f"{layer}/{block}")


@dataclass(frozen=True)
class Cache:
    """A whole cache."""

    path: Path
    layers: tuple[LayerInfo, ...]
    parts: int
    about: dict[str, Any]
    """What it was made from: subject's name and description, the pairs' digest, number type."""

    @classmethod
    def open(cls, path: Path) -> Cache:
        """Open a finished cache; `HeedError` where it is missing, damaged, or not finished."""
        try:
            said = json.loads((path / "cache.json").read_text(encoding="utf-8"))
            layers = tuple(LayerInfo(**{**layer, "blocks": tuple(layer["blocks"])}) for layer in said["layers"])
            found = cls(path, layers, int(said["parts"]), dict(said["about"]))
        except FileNotFoundError:
            raise HeedError(f"{path} is no finished cache of readings: run heed probe again, it goes on.") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HeedError(f"{path / 'cache.json'} is damaged ({error}): delete {path} and run again.") from None
        return found

    def __iter__(self) -> Iterator[Part]:
        for number in range(self.parts):
            with Part(part_path(self.path, number)) as part:
                yield part

    def layer(self, name: str) -> LayerInfo:
        """A layer by name; `HeedError` naming all where there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise HeedError(f"There is no layer {name!r}; {self.path} has {names}.")

    @property
    def attended(self) -> tuple[LayerInfo, ...]:
        """The layers that have attention."""
        return tuple(layer for layer in self.layers if layer.heads)


def describe(layers: tuple[LayerInfo, ...], parts: int, about: dict[str, Any]) -> dict[str, Any]:
    """The content of cache.json."""
    return {"parts": parts, "layers": [asdict(layer) for layer in layers], "about": about}


def part_path(path: Path, number: int) -> Path:
    """File of a part."""
    return path / f"{number:06d}.npz"


def _damaged(path: Path, error: Exception) -> HeedError:
    return HeedError(f"The readings in {path} are missing or damaged ({error}): delete the file and run the same "
                     "command again.")
