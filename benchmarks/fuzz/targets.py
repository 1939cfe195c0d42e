"""Every reader of files that heed has, as a function of bytes that raises nothing but `HeedError`.

A target has ``seeds()``, valid files; ``build(rng)``, absurd ones; and ``read(data)``, which reads them as heed does.
Readers of files are given real ones, in memory where the system has such a folder.
"""

from __future__ import annotations

import atexit
import io
import itertools
import json
import os
import pickle
import random
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz import inputs, packed
from features.errors import HeedError
from features.regions import Regions
from features.restricted import load, read_npy
from pipeline.exchange.lmdb_file import write_lmdb
from pipeline.exchange.npz import read_npz
from pipeline.exchange.uniter_lmdb import read_msgpack
from pipeline.fields import Field, region_fields, row_from_regions
from pipeline.identity import Identity, ShardRecord
from pipeline.importer import ImportReader, open_import
from pipeline.index import INDEX_FILE, Index
from pipeline.shards import open_shard, shard_format
from pipeline.sources import open_source, read_bytes
from pipeline.tars.sequential import read_tar

NATIVE = ("h5", "volta-h5", "mad-h5", "clevr-h5", "parquet", "list.parquet", "arrow shard", "index")
"""Read by libraries in C++: a fault may end the process, and no coverage is seen."""
WIDTH, HEIGHT = 64, 64


@dataclass(frozen=True)
class Target:
    """One reader."""

    name: str
    seeds: Callable[[], Sequence[bytes]]
    read: Callable[[bytes], None]
    build: inputs.Build | None = None

    def example(self, rng: random.Random) -> bytes:
        """Bytes to try: a seed changed, or built, or built and changed."""
        if self.build and rng.random() < 0.6:
            data = self.build(rng)
            return inputs.mutated(data, rng, 2) if data and rng.random() < 0.2 else data
        return inputs.mutated(rng.choice(self.seeds()), rng)


@cache
def scratch() -> Path:
    """A folder for files, taken away at the end."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(prefix="fuzz", dir=memory if os.access(memory, os.W_OK) else None))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


_numbers = itertools.count()


def written(data: bytes, ending: str, folder: str = "") -> Path:
    """``data`` as a file of a name that was never used, as readers keep files open by name; in a folder if asked."""
    path = scratch() / f"{next(_numbers)}{folder or ending}"
    if not folder:
        path.write_bytes(data)
        return path
    path.mkdir()
    (path / f"a{ending}").write_bytes(data)
    return path


def cleared(path: Path) -> None:
    """Remove what `written` gave."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def regions(n: int = 3, seed: int = 0) -> Regions:
    """Made-up regions."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 40, (n, 2)).astype(np.float32)
    return Regions(
        boxes=np.concatenate([corner, corner + 9], 1), features=rng.normal(size=(n, 4)).astype(np.float32),
        classes=rng.integers(0, 9, n).astype(np.int32), class_scores=rng.uniform(size=n).astype(np.float32),
        attributes=rng.integers(0, 9, (n, 1)).astype(np.int32),
        attribute_scores=rng.uniform(size=(n, 1)).astype(np.float32), width=WIDTH, height=HEIGHT)


# Others' feature files, whole: listed, and every entry read and checked

def read_import(format: str, ending: str, folder: str, data: bytes) -> None:
    """Import ``data`` as a file of this format, or as the one file of a folder."""
    path = written(data, ending, folder)
    try:
        source, spec = open_import(format, path, "float32")
        for _, row in ImportReader(spec).read(source.items):
            assert str(row) if isinstance(row, HeedError) else row["key"]
    finally:
        cleared(path)


def exported(format: str, ending: str, folder: str) -> list[bytes]:
    """A file of this format, as heed writes it."""
    from pipeline.exchange import exchange_format

    path = scratch() / f"seed{next(_numbers)}{folder or ending}"
    fields = region_fields(4, 1, "float32")
    if format == "uniter-lmdb":
        path = path.with_name(f"all{path.name}")
    exchange_format(format).write((row_from_regions(f"{i}", regions(2 + i, i), fields) for i in range(2)), fields, path)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return [file.read_bytes() for file in files]


def _scan() -> list[bytes]:
    header = repr({"descr": "<f4", "fortran_order": False, "shape": (5, 2, 3)}).encode()
    return [inputs.npy_of(header.ljust(117) + b"\n", np.ones(30, "<f4").tobytes())]


def _saved(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _qvhighlights() -> list[bytes]:
    return [_saved(features=np.ones((3, 4), np.float32)),
            _saved(last_hidden_state=np.ones((3, 4), np.float16), pooler_output=np.ones(4, np.float16))]


def _mad() -> list[bytes]:
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as data:
        data["a"], data["b/c"] = np.ones((3, 4), np.float32), np.ones(4, np.float16)
    return [file.getvalue()]


def _clevr() -> list[bytes]:
    import h5py

    file = io.BytesIO()
    with h5py.File(file, "w") as data:
        data.create_dataset("features", data=np.ones((3, 4, 2, 3), np.float32), chunks=(1, 4, 2, 3))
    return [file.getvalue()]


_LXMERT = ("img_id", "img_h", "img_w", "objects_id", "objects_conf", "attrs_id", "attrs_conf", "num_boxes", "boxes",
           "features")
_BUTD = ("image_id", "image_w", "image_h", "num_boxes", "boxes", "features")
_WHOLE = ("img_h", "img_w", "image_w", "image_h", "num_boxes")


def _imports() -> list[Target]:
    found = []
    for format, ending, folder, seeds, build in (
        ("butd-tsv", ".tsv", "", None, partial(inputs.tsv, columns=_BUTD, integers=_WHOLE)),
        ("lxmert-tsv", ".tsv", "", None, partial(inputs.tsv, columns=_LXMERT, integers=_WHOLE)),
        ("volta-tsv", ".tsv", "", None, partial(inputs.tsv, columns=(*_LXMERT, "a", "b", "c"), integers=_WHOLE)),
        ("uniter-npz", ".npz", "d", None, inputs.npz),
        ("uniter-lmdb", ".mdb", "", None, partial(database, entry=packed_entry)),
        ("vilbert-lmdb", ".mdb", "", None, partial(database, entry=pickled_entry)),
        ("mmf-lmdb", ".mdb", "", None, partial(database, entry=pickled_entry)),
        ("volta-h5", ".h5", "", None, None),
        ("milvlg-npz", ".npz", "d", None, inputs.npz),
        ("h5", ".h5", "", None, None),
        ("parquet", ".parquet", "", None, None),
        ("scan-npy", "_ims.npy", "", _scan, inputs.npy),
        ("mmf-npy", ".npy", "d", lambda: [npy_seeds()[2]], information_file),
        ("qvhighlights-npz", ".npz", "d", _qvhighlights, inputs.npz),
        ("mad-h5", ".h5", "", _mad, None),
        ("clevr-h5", ".h5", "", _clevr, None),
    ):
        seeded = cache(seeds or partial(exported, format, ending, folder))
        if build is inputs.npz:
            build = partial(inputs.npz, valid=seeded)
        found.append(Target(format, seeded, partial(read_import, format, ending, folder), build))
    return found


def database(rng: random.Random, entry: Callable[[random.Random], bytes]) -> bytes:
    """A sound LMDB whose entries may be anything."""
    path = scratch() / f"database{next(_numbers)}"
    write_lmdb(path, [(b"a.npz", entry(rng)), (b"b.npz", entry(rng)), (b"c", b"x" * rng.choice((1, 3000, 9000)))])
    data = (path / "data.mdb").read_bytes()
    shutil.rmtree(path)
    return data


def packed_entry(rng: random.Random) -> bytes:
    """An entry of UNITER's."""
    return packed.packed(rng, ("features", "norm_bb", "conf", "soft_labels"))


def pickled_entry(rng: random.Random) -> bytes:
    """An entry of ViLBERT's."""
    return pickle.dumps(packed.information(rng), 4) if rng.random() < 0.7 else packed.pickles(rng)


def information_file(rng: random.Random) -> bytes:
    """ViLBERT's .npy of a dictionary."""
    if rng.random() < 0.2:
        return inputs.npy(rng)
    file = io.BytesIO()
    np.save(file, np.array(packed.information(rng), object), allow_pickle=True)
    return file.getvalue()


# Parts of such files

@cache
def npy_seeds() -> list[bytes]:
    """Arrays of numbers, in both orders, and of objects."""
    found = []
    for value in (np.ones((3, 4), np.float32), np.asfortranarray(np.ones((3, 4), np.float16)),
                  np.array({"features": np.ones((3, 4), np.float32), "bbox": np.ones((3, 4)), "image_width": 9,
                            "image_height": 9}, object)):
        file = io.BytesIO()
        np.save(file, value, allow_pickle=True)
        found.append(file.getvalue())
    return found


def _pickle_seeds() -> list[bytes]:
    return [packed.some_pickle(random.Random(number)) for number in range(12)]


# Stores

FIELDS = {**region_fields(4, 1), "caption": Field("string"), "mean": Field("float32", (2,)), "jpeg": Field("bytes")}


@cache
def shard_seeds(format: str) -> list[bytes]:
    """Shards of three rows and of none."""
    found = []
    for count in (3, 0):
        file = io.BytesIO()
        more = {"caption": "a dog", "mean": np.ones(2, np.float32), "jpeg": b"\xff\xd8"}
        rows = [{**row_from_regions(f"{i}.jpg", regions(i, i), region_fields(4, 1)), **more} for i in range(count)]
        shard_format(format).write(file, rows, FIELDS)
        found.append(file.getvalue())
    return found


def read_shard(format: str, data: bytes) -> None:
    """Open a shard; read its keys, rows and columns."""
    path = written(data, shard_format(format).SUFFIX)
    try:
        shard = open_shard(path, format, FIELDS)
        keys = shard.keys()
        for number in range(len(shard)):
            row = shard.row(number)
            assert set(row) == set(FIELDS) and shard.key(number) == keys[number]
        for name in ("boxes", "features", "width"):
            shard.column(name)
    finally:
        path.unlink()


def _shard_members() -> list[tuple[str, bytes]]:
    import tarfile

    with tarfile.open(fileobj=io.BytesIO(shard_seeds("webdataset")[0])) as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]


_IDENTITY = Identity("regions", "arrow", FIELDS, {"name": "x", "options": {"a": [1]}}, {"inputs": 7, "digest": "00"}, 3)
_RECORD = {"shard": 2, "rows": 3, "bytes": 99, "sha256": "0" * 64, "failed": [{"key": "a", "reason": "is bad"}]}


def read_small(name: str, read: Callable[[Path], Any], data: bytes) -> None:
    """Read a file of a store called ``name``."""
    folder = scratch() / f"store{next(_numbers)}"
    (folder / "shards").mkdir(parents=True)
    try:
        (folder / name).write_bytes(data)
        read(folder)
    finally:
        shutil.rmtree(folder)


def _used_identity(store: Path) -> None:
    identity = Identity.read(store)
    assert identity.shards >= 0 and len(identity.shard_inputs(0)) >= 0 and identity.differences(_IDENTITY) is not None
    identity.to_json()


def _used_record(store: Path) -> None:
    record = ShardRecord.read(store, 2)
    assert record is not None and record.rows >= 0 and record.bytes >= 0 and record.sha256 + "" == record.sha256
    assert all(isinstance(failure["key"], str) and isinstance(failure["reason"], str) for failure in record.failed)


def _used_index(store: Path) -> None:
    index = Index.read(store, "f")
    if index is not None:
        assert index.candidates("a").tolist() == [0]


def _small(value: dict[str, Any]) -> list[bytes]:
    from pipeline.sealed import sealed

    return [sealed(value), json.dumps(value, indent=1).encode()]


# Sources

def read_source(ending: str, data: bytes) -> None:
    """List a file of inputs and read each."""
    path = written(data, ending)
    try:
        for item in open_source(str(path)).items:
            try:
                read_bytes(item)
            except HeedError as error:
                assert str(error)
    finally:
        path.unlink()


def read_samples(data: bytes) -> None:
    """Read somebody's WebDataset tar in order."""
    for sample in read_tar(io.BytesIO(data), "the tar"):
        assert sample.key and sample.parts is not None


def _tar_members() -> list[tuple[str, bytes]]:
    return [("a.jpg", b"\xff\xd8" * 300), ("a.json", b'{"a": 1}'), ("b/c.jpg", b""), ("b/c.json", b"{}")]


def _tar_seeds() -> list[bytes]:
    steady = random.Random(0)
    return [inputs.tar(steady, _tar_members()) for _ in range(6)]


def _parquet_list() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(pa.table({"key": ["a", "b"], "path": ["a.jpg", "b.jpg"], "boxes": [[[1.0, 2, 3, 4]], []]}), sink)
    return [sink.getvalue()]


TARGETS = {target.name: target for target in (
    Target("npy", npy_seeds, lambda data: _ignored(read_npy(data, objects=True)), inputs.npy),
    Target("npz", cache(lambda: [_saved(features=np.ones((3, 4), np.float32), info=np.array({"a": 1}, object))]),
           lambda data: _ignored(read_npz(data, ("features", "x"), ("info",))),
           partial(inputs.npz, valid=lambda: [_saved(features=np.ones((3, 4), np.float32), x=np.ones(3),
                                                     info=np.array({"a": 1}, object))])),
    Target("pickle", cache(_pickle_seeds), lambda data: _ignored(load(data)), packed.pickles),
    Target("msgpack", cache(packed.packed_seeds),
           lambda data: _ignored(read_msgpack(data, ("features", "conf"))),
           partial(packed.packed, names=("features", "conf"))),
    *_imports(),
    Target("arrow shard", partial(shard_seeds, "arrow"), partial(read_shard, "arrow")),
    Target("tar shard", partial(shard_seeds, "webdataset"), partial(read_shard, "webdataset"),
           lambda rng: inputs.tar(rng, _shard_members())),
    Target("store.json", cache(lambda: _small(_IDENTITY.to_json())), partial(read_small, "store.json", _used_identity),
           partial(inputs.small_file, valid=_IDENTITY.to_json())),
    Target("record", cache(lambda: _small(_RECORD)), partial(read_small, "shards/000002.json", _used_record),
           partial(inputs.small_file, valid=_RECORD)),
    Target("index", cache(lambda: [Index.build(["a", "b", "c"]).to_bytes("f")]),
           partial(read_small, INDEX_FILE, _used_index)),
    Target("tar source", cache(_tar_seeds), partial(read_source, ".tar"), lambda rng: inputs.tar(rng, _tar_members())),
    Target("samples", cache(_tar_seeds), read_samples, lambda rng: inputs.tar(rng, _tar_members())),
    Target("list.jsonl", cache(lambda: [b'{"key": "a", "path": "a.jpg", "boxes": [[1, 2, 3, 4]]}\n']),
           partial(read_source, ".jsonl"), inputs.jsonl),
    Target("list.csv", cache(lambda: [b'key,path,boxes\na,a.jpg,"[[1, 2, 3, 4]]"\n']), partial(read_source, ".csv"),
           inputs.table),
    Target("list.parquet", cache(_parquet_list), partial(read_source, ".parquet")),
)}


def _ignored(value: Any) -> None:
    """What was read is of no interest, that it was is."""
