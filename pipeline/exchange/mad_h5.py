"""MAD's HDF5 files: a dataset a film or sentence.

Source: Soldelli/MAD. ``CLIP_*_frames_features_5fps.h5`` holds film -> (frames, d) at five frames a second: stored as
clips of a fifth of a second. ``CLIP_*_language_tokens_features.h5`` holds id -> (tokens, d), and
``CLIP_*_language_features_*.h5`` id -> (d,), stored as one token: files with "language" in their names hold texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.clips import Clips, Tokens
from pipeline.exchange.arrays import floats
from pipeline.exchange.hdf5_file import entry, h5py, read_dataset, walk
from pipeline.exchange.qvhighlights_npz import regular_clips
from pipeline.sources import Item

FRAMES_A_SECOND = 5
NOTE = "frames at 5 a second as clips of 0.2 s; duration is the end of the last one"


def items(path: Path) -> Iterable[Item]:
    """Every dataset."""
    dataset = h5py().Dataset
    return walk(path, lambda inner: isinstance(inner, dataset))


def read(item: Item) -> Clips | Tokens:
    """One dataset's clips or tokens; `HeedError` with the reason where it cannot be read."""
    values = floats(read_dataset(entry(item), "the dataset"))
    if "language" in Path(item.uri).name:
        return Tokens(values.reshape(1, -1) if values.ndim == 1 else values)
    return regular_clips(values, 1 / FRAMES_A_SECOND)
