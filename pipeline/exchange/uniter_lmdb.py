"""UNITER's image LMDB: name.npz -> float16 arrays in msgpack, or a compressed .npz.

Source: ChenRocks/UNITER, scripts/convert_imgdir.py and data/data.py. The folder is called ``feat_th0.2_max100_min10``,
``feat_numbb36`` or ``all``, with ``_compressed`` behind it where the entries are .npz; beside it may lie
``nbb_th0.2_max100_min10.json``, {name: number of boxes to take}. ``__keys__`` is a JSON list of the names. Compressed
entries made with an old NumPy carry a stray 0-d member ``allow_pickle``, which is passed over. What the arrays are, and
what becomes of boxes without an image size, see `pipeline.exchange.uniter_npz`; the key is the name without ".npz".
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from features.regions import Regions
from features.restricted import plain_array, plain_dtype
from pipeline.exchange.lmdb_file import open_lmdb, write_lmdb
from pipeline.exchange.npz import read_npz
from pipeline.exchange.uniter_npz import NAMES, NOTE, uniter_arrays, uniter_regions
from pipeline.fields import Fields, Row
from pipeline.sources import Item

__all__ = ["NOTE", "items", "read", "write"]
KEYS = b"__keys__"


def items(path: Path) -> Iterator[Item]:
    """Every entry, and every name of ``__keys__`` that has none (reading it then fails, so that it is counted)."""
    database = open_lmdb(path)
    for key, size in database.items():
        if key != KEYS:
            yield Item(_key(key), str(path), size)
    try:
        listed = json.loads(database.get(KEYS) or b"[]")
    except (ValueError, RecursionError) as error:
        raise HeedError(f"{path}: {KEYS.decode()} is no JSON list of names: {error}.") from error
    for name in listed if isinstance(listed, list) else []:
        if database.get(str(name).encode()) is None:
            yield Item(_key(str(name).encode()), str(path), 0)


def _key(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace").removesuffix(".npz")


def read(item: Item) -> Regions:
    """One entry's regions; `HeedError` with the reason where it cannot be read."""
    database, name = open_lmdb(item.uri), f"{item.key}.npz"
    data = database.get(name.encode())
    if data is None:
        name = item.key
        data = database.get(name.encode())
    if data is None:
        raise HeedError("is listed in __keys__ and is not in the database")
    arrays = read_npz(data, NAMES) if data[:2] == b"PK" else read_msgpack(data, NAMES)
    file = _nbb_file(Path(item.uri))
    count = _counts(file, file.stat().st_mtime_ns).get(name) if file and file.exists() else None
    return uniter_regions(arrays, count)


def _nbb_file(path: Path) -> Path | None:
    """Where the numbers of boxes to take would be, for a database that has them."""
    name = path.name.removesuffix("_compressed")
    return path.parent / f"{name.replace('feat_', 'nbb_', 1)}.json" if name.startswith("feat_th") else None


@lru_cache(maxsize=1)
def _counts(file: Path, _: int) -> dict[str, int]:
    try:
        counts = json.loads(file.read_text(encoding="utf-8"))
        return {str(key): max(0, int(count)) for key, count in counts.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise HeedError(f"{file} does not hold a number of boxes for each name: {error}.") from error


def read_msgpack(data: bytes, names: Iterable[str]) -> dict[str, np.ndarray]:
    """Those of the arrays ``names`` that msgpack_numpy packed into ``data``; pickled ones are refused.

    An array is a map of nd (true), type, kind, shape and data.
    """
    try:
        import msgpack
    except ImportError:
        raise HeedError("UNITER's LMDB needs the package msgpack: pip install 'heed[exchange]'.") from None
    try:
        packed = msgpack.unpackb(data, raw=True, strict_map_key=False)
        values = {key.decode("utf-8"): value for key, value in packed.items()}
        return {name: _unpacked(values[name]) for name in names if name in values}
    except HeedError:
        raise
    except Exception as error:  # damaged bytes come out of msgpack as any type, which then lacks anything
        raise HeedError(f"is no msgpack of arrays: {error!r:.200}") from error


def _unpacked(value: dict[bytes, Any]) -> np.ndarray:
    kind = value.get(b"kind", b"")
    if not value[b"nd"] or kind not in (b"", None):
        raise HeedError(f"holds an array of kind {kind!r}, which is pickled or structured; it is refused")
    return plain_array(value[b"data"], plain_dtype(value[b"type"].decode("ascii")), tuple(value[b"shape"]))


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the database ``path``, float16, compressed where its name ends so; and its nbb file where it has one."""
    if not (path.name.startswith(("feat_th", "feat_numbb", "all"))):
        raise HeedError(f"UNITER finds its images by the folder's name: {path.name} must be feat_th0.2_max100_min10, "
                        "feat_numbb36 or all, with _compressed behind it for compressed entries.")
    counts: dict[str, int] = {}

    def entries() -> Iterator[tuple[bytes, bytes]]:
        for row in rows:
            name, arrays = f"{row['key']}.npz", uniter_arrays(row, np.float16)
            counts[name] = len(row["boxes"])
            yield name.encode(), _packed(arrays, path.name.endswith("_compressed"))
        yield KEYS, json.dumps(list(counts)).encode()

    write_lmdb(path, entries())
    if file := _nbb_file(path):
        file.write_text(json.dumps(counts), encoding="utf-8")


def _packed(arrays: dict[str, np.ndarray], compressed: bool) -> bytes:
    if compressed:
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()
    import msgpack

    return msgpack.packb({
        name: {b"nd": True, b"type": array.dtype.str, b"kind": b"", b"shape": array.shape, b"data": array.tobytes()}
        for name, array in arrays.items()
    }, use_bin_type=True)
