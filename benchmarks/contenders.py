"""Who `benchmarks.peers` measures: how each writes the same rows, and how its readers give them back in batches.

A contender's ``write(rows, folder)`` stores a list of (36, 2048) float16 arrays; ``read(folder, seed, half)`` yields
batches of `BATCH` of them, stacked in a fresh array, in order where ``seed`` is None, else shuffled. ``half`` says
which half of the rows one of two processes reads (None: all). Libraries that bring loader workers have ``load(folder,
seed, workers)`` instead, which gives an epoch's batches each time it is iterated; 0 workers read in this process.

Each is set up for speed as its documentation says: raw bytes or arrays, no compression, no hashes, shards or chunks of
about 40 MB, files kept open, batches stacked once, in shared memory where a worker hands them on. None but heed copies
a batch in several threads; what it does in one is a contender of its own.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.sampler import epoch_order

BATCH, REGIONS, DIM = 64, 36, 2048
SHAPE = (REGIONS, DIM)
ROW_BYTES = 2 * REGIONS * DIM
SHARD_ROWS = 250
"""37 MB a shard or chunk file."""
Batches = Iterator[Any]


@dataclass(frozen=True)
class Contender:
    """One format with its reader."""

    label: str
    package: str
    """Whose version is told; "" for NumPy's own."""
    write: Callable[[Sequence[np.ndarray], Path], None]
    read: Callable[[Path, int | None, int | None], Batches] | None = None
    load: Callable[[Path, int | None, int], Any] | None = None
    share: int = 1
    """Only one in ``share`` batches is read where a whole epoch takes too long."""
    threads: int | None = 1
    """OMP_NUM_THREADS of the process that reads; None: not set, as the library does by itself."""


def ordered(count: int, seed: int | None, half: int | None) -> list[np.ndarray]:
    """Row numbers, a batch each."""
    order = np.arange(count) if seed is None else np.asarray(epoch_order(count, 0, seed))
    if half is not None:
        order = order[half * count // 2:(half + 1) * count // 2]
    return [order[first:first + BATCH] for first in range(0, len(order), BATCH)]


def _copied(count: int, seed: int | None, half: int | None, row: Callable[[int], np.ndarray]) -> Batches:
    """Batches out of a function that gives one row."""
    for chosen in ordered(count, seed, half):
        out = np.empty((len(chosen), *SHAPE), np.float16)
        for slot, number in zip(out, chosen.tolist(), strict=True):
            slot[:] = row(number)
        yield out


def _plain(data: Any) -> np.ndarray:
    return np.frombuffer(data, np.float16).reshape(SHAPE)


# memcpy: the same bytes from memory to memory, in the same pattern.

def _write_memory(rows: Sequence[np.ndarray], folder: Path) -> None:
    np.save(folder / "rows.npy", np.stack(rows))


def _read_memory(folder: Path, seed: int | None, half: int | None) -> Batches:
    block = _block(folder)
    return _copied(len(block), seed, half, block.__getitem__)


_BLOCKS: dict[Path, np.ndarray] = {}


def _block(folder: Path) -> np.ndarray:
    if folder not in _BLOCKS:
        _BLOCKS[folder] = np.load(folder / "rows.npy")
    return _BLOCKS[folder]


# heed

@dataclass(frozen=True)
class _Given:
    """A reader of given rows, for `pipeline.job.run_job`: features with boxes, classes and scores, as stores have."""

    rows: Sequence[np.ndarray]
    kind = "regions"

    @property
    def fields(self) -> Any:
        from pipeline.fields import region_fields

        return region_fields(DIM, 1)

    def open(self) -> _Given:
        return self

    open_to_plan = open

    def describe(self) -> dict[str, Any]:
        return {"name": "given"}

    def read(self, items: Sequence[Any]) -> Iterator[Any]:
        from features.regions import Regions
        from pipeline.fields import row_from_regions

        boxes, ids = np.tile(np.array([0, 0, 9, 9], np.float32), (REGIONS, 1)), np.zeros((REGIONS, 1), np.int32)
        scores = np.ones((REGIONS, 1), np.float32)
        for item in items:
            features = self.rows[int(item.key)]
            regions = Regions(boxes, features, ids[:, 0], scores[:, 0], ids, scores, 9, 9)
            yield item, row_from_regions(item.key, regions, self.fields)


def _write_heed(rows: Sequence[np.ndarray], folder: Path, format: str) -> None:
    from pipeline.job import run_job
    from pipeline.sources import Item, Source

    source = Source("given", [Item(str(i), str(i), 1) for i in range(len(rows))], 0)
    run_job(_Given(rows), source, folder / "store", format=format, shard_rows=SHARD_ROWS, inline=True)


def _read_heed(folder: Path, seed: int | None, half: int | None) -> Batches:
    store = _store(folder)
    for chosen in ordered(len(store), seed, half):
        yield store.gather("features", chosen)[0]


_STORES: dict[Path, Any] = {}


def _store(folder: Path) -> Any:
    from pipeline.store import Store

    if folder not in _STORES:
        _STORES[folder] = Store.open(folder / "store")
    return _STORES[folder]


# LMDB: a row an entry, read without a copy (buffers=True), without read-ahead, which random order would waste.

def _write_lmdb(rows: Sequence[np.ndarray], folder: Path, pack: Callable[[np.ndarray], bytes]) -> None:
    import lmdb

    with lmdb.open(str(folder), map_size=2 * len(rows) * ROW_BYTES + (64 << 20)) as database:
        for first in range(0, len(rows), SHARD_ROWS):
            with database.begin(write=True) as transaction:
                for number in range(first, min(first + SHARD_ROWS, len(rows))):
                    transaction.put(b"%08d" % number, pack(rows[number]), append=True)


def _read_lmdb(
    folder: Path, seed: int | None, half: int | None, unpack: Callable[[Any], np.ndarray]
) -> Batches:
    import lmdb

    with (lmdb.open(str(folder), readonly=True, lock=False, readahead=seed is None, meminit=False) as database,
          database.begin(buffers=True) as transaction):
        count = database.stat()["entries"]
        yield from _copied(count, seed, half, lambda number: unpack(transaction.get(b"%08d" % number)))


def _pack(row: np.ndarray) -> bytes:
    """As msgpack_numpy does, which UNITER uses."""
    import msgpack

    return msgpack.packb({b"features": {
        b"nd": True, b"type": row.dtype.str, b"kind": b"", b"shape": row.shape, b"data": row.tobytes()}})


def _unpack(data: Any) -> np.ndarray:
    import msgpack

    packed = msgpack.unpackb(data, raw=True)[b"features"]
    return np.frombuffer(packed[b"data"], np.dtype(packed[b"type"].decode())).reshape(packed[b"shape"])


def _pickled(row: np.ndarray) -> bytes:
    return pickle.dumps({"features": row}, protocol=5)


def _unpickled(data: Any) -> np.ndarray:
    return pickle.loads(data)["features"]


# HDF5: a chunk an image, no chunk cache; slices in order, else h5py's fast path for one row, or its low-level reader.

def _write_hdf5(rows: Sequence[np.ndarray], folder: Path) -> None:
    import h5py

    with h5py.File(folder / "rows.h5", "w", libver="latest") as file:
        data = file.create_dataset("features", (len(rows), *SHAPE), np.float16, chunks=(1, *SHAPE))
        for number, row in enumerate(rows):
            data[number] = row


def _read_hdf5(folder: Path, seed: int | None, half: int | None) -> Batches:
    import h5py

    with h5py.File(folder / "rows.h5", rdcc_nbytes=0) as file:
        data = file["features"]
        if seed is None:
            yield from (data[chosen[0]:chosen[-1] + 1] for chosen in ordered(len(data), seed, half))
        else:
            yield from _copied(len(data), seed, half, data.__getitem__)


def _read_chunks(folder: Path, seed: int | None, half: int | None) -> Batches:
    import h5py

    with h5py.File(folder / "rows.h5", rdcc_nbytes=0) as file:
        data = file["features"]
        for chosen in ordered(len(data), seed, half):
            out = np.empty((len(chosen), *SHAPE), np.float16)
            for slot, number in zip(out, chosen.tolist(), strict=True):
                data.id.read_direct_chunk((number, 0, 0), out=slot.reshape(-1).view(np.uint8))
            yield out


# An .npy an image

def _write_npy(rows: Sequence[np.ndarray], folder: Path) -> None:
    for number, row in enumerate(rows):
        np.save(folder / f"{number:06d}.npy", row)


def _read_npy(folder: Path, seed: int | None, half: int | None) -> Batches:
    count = len(list(folder.glob("*.npy")))
    return _copied(count, seed, half, lambda number: np.load(f"{folder}/{number:06d}.npy"))


# Bottom-up attention's TSV: float32 in base64, found by the lines' offsets.

def _write_tsv(rows: Sequence[np.ndarray], folder: Path) -> None:
    offsets = []
    with (folder / "rows.tsv").open("wb") as file:
        for number, row in enumerate(rows):
            offsets.append(file.tell())
            boxes, features = (base64.b64encode(array.astype(np.float32).tobytes())
                               for array in (np.zeros((REGIONS, 4)), row))
            file.write(b"\t".join([b"%d" % number, b"9", b"9", b"%d" % REGIONS, boxes, features]) + b"\n")
    np.save(folder / "offsets.npy", offsets)


def _read_tsv(folder: Path, seed: int | None, half: int | None) -> Batches:
    offsets = np.load(folder / "offsets.npy").tolist()
    with (folder / "rows.tsv").open("rb") as file:

        def row(number: int) -> np.ndarray:
            file.seek(offsets[number])
            line = file.readline().split(b"\t")
            return np.frombuffer(base64.b64decode(line[5]), np.float32).reshape(int(line[3]), -1)

        yield from _copied(len(offsets), seed, half, row)


# webdataset: raw bytes in tars; shuffled as its documentation does: shards, then a buffer of a thousand.

def _write_webdataset(rows: Sequence[np.ndarray], folder: Path) -> None:
    import webdataset

    for first in range(0, len(rows), SHARD_ROWS):
        with webdataset.TarWriter(str(folder / f"{first:06d}.tar")) as tar:
            for number in range(first, min(first + SHARD_ROWS, len(rows))):
                tar.write({"__key__": f"{number:06d}", "bin": rows[number].tobytes()})


def _load_webdataset(folder: Path, seed: int | None, workers: int) -> Any:
    import webdataset

    tars = sorted(map(str, folder.glob("*.tar")))
    data = webdataset.WebDataset(tars, shardshuffle=False if seed is None else len(tars), seed=seed or 0)
    if seed is not None:
        data = data.shuffle(1000)
    data = data.to_tuple("bin").map_tuple(_plain).batched(BATCH, collation_fn=_stacked_tuples)
    if not workers:
        return data
    return webdataset.WebLoader(data, batch_size=None, num_workers=workers, persistent_workers=True)


def _stacked(rows: Sequence[np.ndarray]) -> Any:
    """One copy: into a fresh array, or into the memory that a worker shares with its process."""
    import torch
    from torch.utils.data import get_worker_info

    if get_worker_info() is None:
        return np.stack(rows)
    tensor = torch.empty((len(rows), *SHAPE), dtype=torch.float16)
    tensor.share_memory_()
    np.stack(rows, out=tensor.numpy())
    return tensor


def _stacked_tuples(samples: Sequence[tuple[np.ndarray]]) -> Any:
    return _stacked([sample[0] for sample in samples])


# MDS (mosaicml-streaming)

def _write_mds(rows: Sequence[np.ndarray], folder: Path) -> None:
    from streaming import MDSWriter

    with MDSWriter(out=str(folder / "mds"), columns={"features": f"ndarray:float16:{REGIONS},{DIM}"},
                   size_limit=SHARD_ROWS * (ROW_BYTES + 64)) as writer:
        for row in rows:
            writer.write({"features": row})


def _load_mds(folder: Path, seed: int | None, workers: int) -> Any:
    from streaming import StreamingDataset
    from streaming.base.util import clean_stale_shared_memory
    from torch.utils.data import DataLoader

    clean_stale_shared_memory()
    data = StreamingDataset(local=str(folder / "mds"), shuffle=seed is not None, shuffle_seed=seed or 0,
                            batch_size=BATCH)
    return DataLoader(data, batch_size=BATCH, num_workers=workers, collate_fn=_stacked_dicts,
                      persistent_workers=workers > 0)


def _stacked_dicts(samples: Sequence[dict[str, np.ndarray]]) -> Any:
    return _stacked([sample["features"] for sample in samples])


# litdata: raw bytes, decoded one by one; by default it decodes a window of rows for each shuffled one, 25 times slower.

def _write_litdata(rows: Sequence[np.ndarray], folder: Path) -> None:
    from litdata import optimize

    np.save(folder / "rows.npy", np.stack(rows))
    optimize(fn=partial(_litdata_row, str(folder / "rows.npy")), inputs=list(range(len(rows))),
             output_dir=str(folder / "litdata"), chunk_bytes=SHARD_ROWS * (ROW_BYTES + 64), num_workers=1,
             keep_data_ordered=True, verbose=False)
    (folder / "rows.npy").unlink()


def _litdata_row(path: str, number: int) -> dict[str, bytes]:
    return {"features": np.load(path, mmap_mode="r")[number].tobytes()}


def _load_litdata(folder: Path, seed: int | None, workers: int) -> Any:
    from litdata import StreamingDataLoader, StreamingDataset

    data = StreamingDataset(str(folder / "litdata"), shuffle=seed is not None, seed=seed or 0, drop_last=False,
                            batch_decode=0)
    return StreamingDataLoader(data, batch_size=BATCH, num_workers=workers, collate_fn=_stacked_bytes,
                               persistent_workers=workers > 0)


def _stacked_bytes(samples: Sequence[dict[str, bytes]]) -> Any:
    return _stacked([_plain(sample["features"]) for sample in samples])


MEMCPY, HEED, ALONE, FILES = "memcpy", "heed Arrow", "heed Arrow, one thread", "files"
"""FILES: reading heed's shard files and nothing else, for the cold figures."""
ORDERS = ("in order", "shuffled")
CONTENDERS = {contender.label: contender for contender in (
    Contender(MEMCPY, "numpy", _write_memory, _read_memory),
    Contender(HEED, "pyarrow", partial(_write_heed, format="arrow"), _read_heed, threads=None),
    Contender(ALONE, "pyarrow", partial(_write_heed, format="arrow"), _read_heed),
    Contender("heed WebDataset", "", partial(_write_heed, format="webdataset"), _read_heed),
    Contender("LMDB raw bytes", "lmdb", partial(_write_lmdb, pack=np.ndarray.tobytes),
              partial(_read_lmdb, unpack=_plain)),
    Contender("LMDB msgpack", "lmdb", partial(_write_lmdb, pack=_pack), partial(_read_lmdb, unpack=_unpack)),
    Contender("LMDB pickle", "lmdb", partial(_write_lmdb, pack=_pickled), partial(_read_lmdb, unpack=_unpickled)),
    Contender("HDF5", "h5py", _write_hdf5, _read_hdf5),
    Contender("HDF5 direct chunks", "h5py", _write_hdf5, _read_chunks),
    Contender("MDS", "mosaicml-streaming", _write_mds, load=_load_mds),
    Contender("litdata", "litdata", _write_litdata, load=_load_litdata),
    Contender("webdataset", "webdataset", _write_webdataset, load=_load_webdataset),
    Contender(".npy a row", "", _write_npy, _read_npy),
    Contender("BUTD TSV", "", _write_tsv, _read_tsv, share=10),
)}
