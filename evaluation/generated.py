"""Generated pictures as files: what a generator's predictions are.

    RUN/predictions/SPLIT.json             {"format": "heed generated pictures 1", "pictures": [{"id", "image",
                                           "caption", "label", "file"}, …]}, written last
    RUN/predictions/SPLIT/000000.png       the pictures; "file" is relative to the list's folder
    RUN/predictions/SPLIT.embeddings.npz   DAMSM's picture and caption embeddings, a row a picture, for R-precision
    RUN/predictions/SPLIT.attention.arrow  attention of the refining stages over the words (`evaluation.attention_file`)

"id" is the caption's, "image" the key of the picture it was written for, "label" that picture's class.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any

import numpy as np

from evaluation.attention_file import StepAttention, write_attention
from evaluation.run_folder import attention_path
from features.errors import HeedError
from pipeline.annotations import Caption
from pipeline.atomic import atomic_write, write_json

FORMAT = "heed generated pictures 1"


def embeddings_path(predictions: Path) -> Path:
    """Where the embeddings of generated pictures are kept: SPLIT.embeddings.npz beside their list."""
    return predictions.with_name(predictions.stem + ".embeddings.npz")


class GeneratedWriter:
    """Writes pictures as they come, and their list when the block ends well; what was at ``out`` before is removed."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out.with_suffix("")
        self._rows: list[dict[str, Any]] = []
        self._seen: list[np.ndarray] = []
        self._said: list[np.ndarray] = []
        self._maps: list[StepAttention] = []

    def __enter__(self) -> GeneratedWriter:
        self.out.unlink(missing_ok=True)
        if self.folder.is_dir():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        return self

    def add(self, caption: Caption, label: int, pixels: np.ndarray, seen: np.ndarray, said: np.ndarray) -> None:
        """A picture (size, size, 3) uint8, the embeddings of it and of its caption (dim,)."""
        from PIL import Image

        name = f"{len(self._rows):06d}.png"
        Image.fromarray(pixels).save(self.folder / name)
        self._rows.append({"id": caption.id, "image": caption.key, "caption": caption.text, "label": label,
                           "file": f"{self.folder.name}/{name}"})
        self._seen.append(seen)
        self._said.append(said)

    def add_maps(self, maps: Iterable[StepAttention]) -> None:
        """Attention of some of the pictures."""
        self._maps.extend(maps)

    def __exit__(self, kind: type[BaseException] | None, *_: TracebackType | BaseException | None) -> None:
        if kind is not None:
            return
        buffer = io.BytesIO()
        np.savez(buffer, seen=np.stack(self._seen).astype(np.float32), said=np.stack(self._said).astype(np.float32))
        with atomic_write(embeddings_path(self.out)) as file:
            file.write(buffer.getvalue())
        attention_path(self.out).unlink(missing_ok=True)
        if self._maps:
            write_attention(attention_path(self.out), self._maps)
        write_json(self.out, {"format": FORMAT, "pictures": self._rows})


@dataclass(frozen=True)
class Generated:
    """A list of generated pictures, read and checked."""

    path: Path
    ids: list[str]
    """Captions' ids."""
    keys: list[str]
    """Keys of the pictures that the captions were written for."""
    captions: list[str]
    labels: np.ndarray
    """(pictures,) int64."""
    files: list[Path]

    @classmethod
    def read(cls, path: Path) -> Generated:
        """Read a list; raise `HeedError` where it is none, or a picture is missing or outside its folder."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            rows = content["pictures"]
            if content["format"] != FORMAT or not rows:
                raise ValueError(f"its format is not {FORMAT!r}, or it lists no pictures")
            names = [str(row["file"]) for row in rows]
            found = cls(path, [str(row["id"]) for row in rows], [str(row["image"]) for row in rows],
                        [str(row["caption"]) for row in rows], np.array([int(row["label"]) for row in rows], np.int64),
                        [path.parent / name for name in names])
        except OSError as error:
            raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise HeedError(f"{path} is no list of generated pictures as heed writes them ({error!r}).") from error
        for name, file in zip(names, found.files, strict=True):
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise HeedError(f"{path} names the picture {name!r}, which is outside its folder.")
            if not file.is_file():
                raise HeedError(f"{path} lists {len(names)} pictures, but {file} is missing.")
        return found

    def embeddings(self) -> tuple[np.ndarray, np.ndarray] | None:
        """DAMSM's embeddings of pictures and captions, (pictures, dim) float32 each; None where they were not kept."""
        path = embeddings_path(self.path)
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                seen, said = file["seen"], file["said"]
        except (OSError, ValueError, KeyError) as error:
            raise HeedError(f"{path} is damaged ({error}): predict again.") from error
        if seen.shape != said.shape or len(seen) != len(self.files):
            raise HeedError(f"{path} has embeddings of shapes {seen.shape} and {said.shape} for {len(self.files)} "
                            "pictures: predict again.")
        return seen, said

    def pixels(self, place: int) -> np.ndarray:
        """A picture (size, size, 3) uint8."""
        from features.images import decode_image

        try:
            return decode_image(self.files[place].read_bytes())
        except HeedError as error:
            raise HeedError(f"The picture {self.files[place]} cannot be used: {error}.") from error
