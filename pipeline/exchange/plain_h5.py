"""Plain HDF5: a group a key, its arrays as datasets under a store's field names, its numbers as attributes.

See `pipeline.exchange.plain` for the names. A key with slashes is a path of groups. Single numbers may be 0-d datasets.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from features.regions import Regions
from pipeline.clips import Clips
from pipeline.exchange.hdf5_file import entry, group_for, h5py, is_group_of_datasets, numbers, walk
from pipeline.exchange.plain import KINDS, NAMES, plain_entry
from pipeline.fields import Fields, Row
from pipeline.sources import Item

__all__ = ["KINDS", "items", "read", "write"]


def items(path: Path) -> Iterable[Item]:
    """Every group of datasets."""
    return walk(path, is_group_of_datasets)


def read(item: Item) -> Regions | Clips:
    """One group's regions or clips; `HeedError` with the reason where it cannot be read."""
    group = entry(item)
    return plain_entry({name: array for name in NAMES if (array := numbers(group, name)) is not None})


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the file ``path``, in the store's number types."""
    with h5py().File(path, "w") as file:
        for row in rows:
            group = group_for(file, row["key"])
            for name, field in fields.items():
                if field.shape:
                    group.create_dataset(name, data=np.asarray(row[name]))
                elif name != "key":
                    group.attrs[name] = row[name]
