"""MAD's HDF5 files: a dataset a film or sentence.

Source: Soldelli/MAD. ``CLIP_*_frames_features_5fps.h5`` holds film -> (frames, d) at five frames a second: stored as
clips of a fifth of a second. ``CLIP_*_language_tokens_features.h5`` holds id -> (tokens, d), and
``CLIP_*_language_features_*.h5`` id -> (d,), stored as one token: files with "language" in their names hold texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from features.errors import HeedError
from pipeline.clips import Clips, Tokens
from pipeline.exchange.arrays import floats
from pipeline.exchange.hdf5_file import entry, h5py, read_dataset, walk, write_dataset
from pipeline.exchange.qvhighlights_npz import regular_clips, regular_features
from pipeline.fields import Fields, Row
from pipeline.sources import Item

KINDS = ("clips", "tokens")
FRAMES_A_SECOND = 5
TEXTS, TOKENS = "language", "language_tokens"
"""In the names of files that hold texts, and of those that hold a vector a token."""
NOTE = "frames at 5 a second as clips of 0.2 s; duration is the end of the last one"


def items(path: Path) -> Iterable[Item]:
    """Every dataset."""
    dataset = h5py().Dataset
    return walk(path, lambda inner: isinstance(inner, dataset))


def read(item: Item) -> Clips | Tokens:
    """One dataset's clips or tokens; `HeedError` with the reason where it cannot be read."""
    values = floats(read_dataset(entry(item), "the dataset"))
    if TEXTS in Path(item.uri).name:
        return Tokens(values.reshape(1, -1) if values.ndim == 1 else values)
    return regular_clips(values, 1 / FRAMES_A_SECOND)


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the file ``path``: a store of clips of a fifth of a second, or one of tokens.

    What a file holds is known by its name: texts if it has "language" in it, vectors of whole texts unless "tokens" is
    behind that. `HeedError` where the store holds something else.
    """
    texts = "spans" not in fields
    if texts != (TEXTS in path.name):
        raise HeedError(f"MAD's files of texts have {TEXTS!r} in their names, and files of frames have not; "
                        f"{path.name} would be taken for {'frames' if texts else 'texts'}.")
    with h5py().File(path, "w") as file:
        for row in rows:
            values = np.asarray(row["features"], np.float32) if texts else regular_features(row, 1 / FRAMES_A_SECOND)
            if texts and TOKENS not in path.name:
                if len(values) != 1:
                    raise HeedError(f"{row['key']!r} has {len(values)} tokens; {path.name} would hold one vector a "
                                    f"text. Name the file …{TOKENS}_features.h5 to write tokens.")
                values = values[0]
            write_dataset(file, row["key"], values)
