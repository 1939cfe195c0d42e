"""The command line of this floor. Light to import: what a command needs is imported when it runs."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from features.detectors.detector import DetectorOptions


@dataclass(frozen=True)
class Scenes:
    """Render the scenes dataset: pictures with true boxes, attributes, captions and phrases."""

    # Folder to write; run again, an interrupted rendering goes on.
    out: Positional[Path]
    # Pictures to render; in every ten, eight are for training, one for validation and one for testing.
    images: int = 1000
    # Side of a picture in pixels.
    size: int = 160
    # Everything follows from the seed and a picture's number.
    seed: int = 0

    def run(self) -> int:
        """Render."""
        from pipeline.progress import JobProgress
        from pipeline.scenes.dataset import write_scenes

        with JobProgress("rendering", self.images, "images") as progress:
            write_scenes(self.out, self.images, self.seed, self.size, lambda done, _: progress.update(done))
        print(f"{self.out}: {self.images} scenes of {self.size} x {self.size} pixels.")
        return 0


@dataclass(frozen=True)
class JobOptions:
    """How a job is run; none of it changes what is stored, except the format, number type and rows of its shards."""

    # arrow to train from, webdataset to exchange.
    format: Literal["arrow", "webdataset"] = "arrow"
    # Number type of stored features; float16 halves the size at a relative error of 2e-4.
    dtype: Literal["float16", "float32"] = "float16"
    # Inputs a shard; 0 takes 32 to 512, the more the larger the source.
    shard_rows: int = 0
    # Workers; 0 takes one for each GPU, or else each CPU core.
    actors: int = 0
    # A Ray cluster to run on (host:port, or auto); it must share this file system. Empty: this machine.
    address: str = ""
    # Work in this process, without Ray.
    inline: bool = False
    # Try inputs again that failed in an earlier run.
    retry_failed: bool = False


@dataclass(frozen=True)
class ExtractRegions:
    """Turn images into a store of region features. Run again, an interrupted job goes on where it stopped.

    Exit status 3 says that the job is complete but some inputs failed; they are listed with their reasons.
    """

    # A folder, a list (.jsonl, .csv, .parquet with columns key, path and optional boxes), or .tar files (* allowed).
    source: Positional[str]
    # Folder of the store.
    store: Positional[Path]
    # Which detector: torchvision or scenes.
    detector: str = "torchvision"
    # Number format and workers.
    job: Annotated[JobOptions, arg(name="")] = field(default_factory=JobOptions)
    # What the detector looks for.
    options: Annotated[DetectorOptions, arg(name="")] = field(default_factory=DetectorOptions)
    # Images the detector sees at once.
    batch: int = 8
    # Images with more pixels fail, unread.
    max_pixels: int = 100_000_000

    def run(self, again: Collection[int] = ()) -> int:
        """Extract; the shards in ``again`` although they are there."""
        from pipeline.detect import DetectRegions
        from pipeline.job import run_job
        from pipeline.repair import told
        from pipeline.sources import open_source

        source = open_source(self.source)
        spec = DetectRegions(self.detector, self.options, self.job.dtype, self.batch, self.max_pixels)
        summary = run_job(spec, source, self.store, format=self.job.format, shard_rows=self.job.shard_rows,
                          retry_failed=self.job.retry_failed, actors=self.job.actors, address=self.job.address,
                          inline=self.job.inline, command=told("extract regions", self), again=again)
        print(summary.text())
        return summary.status


@dataclass(frozen=True)
class Import:
    """Turn somebody else's feature file into a store, entry by entry."""

    # What the file is: butd-tsv, lxmert-tsv, volta-tsv, uniter-npz, uniter-lmdb, vilbert-lmdb, volta-h5, milvlg-npz,
    # scan-npy, mmf-npy, qvhighlights-npz, mad-h5, h5 or parquet (docs/formats.md).
    format: Positional[str]
    # The file or folder.
    path: Positional[Path]
    # Folder of the store.
    store: Positional[Path]
    # Number type of stored features.
    dtype: Literal["float16", "float32"] = "float16"
    # Entries a shard; 0 takes 32 to 512, the more the larger the file.
    shard_rows: int = 0

    def run(self, again: Collection[int] = ()) -> int:
        """Import; the shards in ``again`` although they are there."""
        from pipeline.importer import open_import
        from pipeline.job import run_job
        from pipeline.repair import told

        source, spec = open_import(self.format, self.path, self.dtype)
        summary = run_job(spec, source, self.store, shard_rows=self.shard_rows, inline=True,
                          command=told("import", self), again=again, unit="entries")
        print(summary.text())
        return summary.status


@dataclass(frozen=True)
class StoreExport:
    """Write a store as somebody else's feature file, whole or not at all."""

    # What to write: butd-tsv, lxmert-tsv, volta-tsv, uniter-npz, uniter-lmdb, vilbert-lmdb, volta-h5, milvlg-npz,
    # scan-npy, h5 or parquet (docs/formats.md).
    format: Positional[str]
    # Folder of the store.
    store: Positional[Path]
    # File or folder to make; it must not be there yet.
    path: Positional[Path]

    def run(self) -> int:
        """Export."""
        from pipeline.exporter import export
        from pipeline.progress import JobProgress
        from pipeline.store import Store

        store = Store.open(self.store)
        with JobProgress("exporting", len(store), "rows") as progress:
            made = export(self.format, store, self.path, progress.update)
        failed = len(store.failures())
        missing = f" The {failed} inputs that failed are not in it." if failed else ""
        print(f"{len(store)} rows written to {', '.join(map(str, made))}.{missing}")
        return 0


@dataclass(frozen=True)
class StoreConvert:
    """Write a store's rows as a new store: another shard format, number type or shard size.

    Run again, an interrupted conversion goes on where it stopped.
    """

    # Folder of the store.
    store: Positional[Path]
    # Folder of the new store.
    out: Positional[Path]
    # Shard format: arrow to train from, webdataset to exchange; as it is where none is given.
    format: Literal["arrow", "webdataset"] | None = None
    # Number type of features; as it is where none is given.
    dtype: Literal["float16", "float32"] | None = None
    # Inputs a shard; 0 keeps the store's.
    shard_rows: int = 0

    def run(self, again: Collection[int] = ()) -> int:
        """Convert; the shards in ``again`` although they are there."""
        from pipeline.convert import open_convert
        from pipeline.identity import Identity
        from pipeline.job import run_job
        from pipeline.repair import told

        identity = Identity.read(self.store)
        source, spec = open_convert(self.store, self.dtype or "")
        summary = run_job(spec, source, self.out, format=self.format or identity.format,
                          shard_rows=self.shard_rows or identity.shard_rows, inline=True,
                          command=told("store convert", self), again=again, unit="rows")
        print(summary.text())
        return summary.status


@dataclass(frozen=True)
class StoreInfo:
    """Say what a store holds, what made it, and which inputs failed."""

    # Folder of the store.
    store: Positional[Path]
    # List every failed input with its reason.
    failures: bool = False
    # Machine-readable.
    json: bool = False

    def run(self) -> int:
        """Tell."""
        from pipeline.store import Store

        store = Store.open(self.store, partial=True)
        identity, failed = store.identity, store.failures()
        extractor = {k: v for k, v in identity.extractor.items() if len(str(v)) < 400}
        told = {
            "store": str(self.store), "kind": identity.kind, "format": identity.format, "rows": len(store),
            "failed": len(failed), "inputs": identity.source["inputs"], "source": identity.source["uri"],
            "shards": f"{len(store.records)} of {identity.shards} committed",
            "bytes": sum(record.bytes for record in store.records),
            "fields": {name: f"{f.dtype} {['n' if n is None else n for n in f.shape]}"
                       for name, f in identity.fields.items()},
            "extractor": extractor,
        }
        if self.json:
            print(json.dumps({**told, "failures": failed}, indent=1))
            return 0
        for name, value in told.items():
            lines = [f"{k}: {v}" for k, v in value.items()] if isinstance(value, dict) else [value]
            print(f"{name:10} " + f"\n{'':10} ".join(str(line) for line in lines))
        for failure in failed if self.failures else failed[:5]:
            print(f"  failed: {failure['key']}: {failure['reason']}")
        if len(failed) > 5 and not self.failures:
            print(f"  … and {len(failed) - 5} more: add --failures")
        return 0


@dataclass(frozen=True)
class StoreVerify:
    """Check a store: sizes and records, or (the default) every checksum, row and key.

    Exit status 1 where it is not sound.
    """

    # Folder of the store.
    store: Positional[Path]
    # Sizes and records only.
    quick: bool = False

    def run(self) -> int:
        """Verify."""
        from pipeline.verify import strays

        bad = len(_unsound(self.store, self.quick))
        for name in strays(self.store):
            print(f"Note: shards/{name} is none of the store's files; nothing reads it.")
        print(f"{self.store}: {f'{bad} parts are not sound' if bad else 'sound'}.")
        return 1 if bad else 0


@dataclass(frozen=True)
class StoreRepair:
    """Make the damaged or missing shards of a store again, and no others, by the command that made it.

    Exit status 1 where the store is not what it was.
    """

    # Folder of the store.
    store: Positional[Path]
    # Where the source of the store is now, if it has moved.
    source: str = ""

    def run(self) -> int:
        """Repair."""
        from pipeline.repair import remake, write_index
        from pipeline.verify import shard_number

        unsound = _unsound(self.store)
        if "keys" in unsound:
            print(f"{self.store}: keys that two inputs share cannot be repaired; give the inputs other keys in a list.")
            return 1
        shards = [number for part in unsound if (number := shard_number(part)) is not None]
        left = remake(self.store, shards, self.source) if shards else []
        if "index" in unsound:
            write_index(self.store)
        for problem in left:
            print(f"{self.store}: {problem}.")
        if not left:
            print(f"{self.store}: {f'{len(unsound)} parts repaired' if unsound else 'sound; nothing to repair'}.")
        return 1 if left else 0


def _unsound(store: Path, quick: bool = False) -> list[str]:
    """Verify a store with progress, print what is wrong, and give the names of the parts that are not sound."""
    from pipeline.identity import Identity
    from pipeline.progress import JobProgress
    from pipeline.verify import verify

    unsound = []
    with JobProgress("verifying", Identity.read(store).shards, "shards") as progress:
        for done, (part, problems) in enumerate(verify(store, quick), 1):
            unsound += [part] if problems else []
            for problem in problems:
                print(f"{part}: {problem}")
            progress.update(done)
    return unsound


@dataclass(frozen=True)
class StorePeek:
    """Show rows of a store: the first ones, or those with the keys given."""

    # Folder of the store.
    store: Positional[Path]
    # Keys to show.
    keys: Positional[tuple[str, ...]] = ()
    # Rows to show where no key is given.
    count: int = 3

    def run(self) -> int:
        """Show."""
        import difflib

        import numpy as np

        from features.errors import HeedError
        from pipeline.store import Store

        store = Store.open(self.store, partial=True)
        rows = list(range(min(self.count, len(store))))
        if self.keys:
            found = {key: store.find(key) for key in self.keys}
            for key, row in found.items():
                if row is None:
                    near = difflib.get_close_matches(key, store.keys(), 1)
                    hint = f" Did you mean {near[0]!r}?" if near else ""
                    raise HeedError(f"{self.store} has no key {key!r}.{hint}")
            rows = [row for row in found.values() if row is not None]
        classes = store.identity.extractor.get("classes") or []
        for row in rows:
            content = store.row(row)
            print(f"{content['key']}  (row {row})")
            for name, value in content.items():
                if isinstance(value, np.ndarray):
                    sample = np.array2string(value.reshape(-1)[:6], precision=3, separator=" ")
                    print(f"  {name:17} {value.dtype} {value.shape}  {sample}")
                elif name != "key":
                    print(f"  {name:17} {value}")
            if classes and "classes" in content:
                names = [classes[c] if 0 <= c < len(classes) else "?" for c in content["classes"][:8]]
                print(f"  {'':17} {', '.join(names)}{', …' if len(content['classes']) > 8 else ''}")
        return 0
