"""`heed store info|verify|repair|peek`: look at a store, and mend it.

Light to import: what a command needs is imported when it runs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tyro.conf import Positional

from pipeline.commands.options import PlaceOption
from pipeline.places import Place


@dataclass(frozen=True)
class StoreInfo:
    """Say what a store holds, what made it, and which inputs failed."""

    # Folder or URL of the store.
    store: Positional[PlaceOption]
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
            **({"parts": [part.inputs for part in identity.parts]} if identity.appended else {}),
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

    # Folder or URL of the store.
    store: Positional[PlaceOption]
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

    # Folder or URL of the store.
    store: Positional[PlaceOption]
    # Where the source of the store is now, if it has moved.
    source: str = ""

    def run(self) -> int:
        """Repair."""
        from pipeline.repair import remake, write_index
        from pipeline.verify import shard_number, verify

        unsound = _unsound(self.store)
        if "keys" in unsound:
            print(f"{self.store}: keys that two inputs share cannot be repaired; give the inputs other keys in a list.")
            return 1
        shards = [number for part in unsound if (number := shard_number(part)) is not None]
        left = remake(self.store, shards, self.source) if shards else []
        if "inputs" in unsound:
            remake(self.store, [0], self.source)  # a job mends its lists of inputs before it does anything else
            left += [problem for part, problems in verify(self.store) if part == "inputs" for problem in problems]
        if "index" in unsound:
            write_index(self.store)
        for problem in left:
            print(f"{self.store}: {problem}.")
        if not left:
            print(f"{self.store}: {f'{len(unsound)} parts repaired' if unsound else 'sound; nothing to repair'}.")
        return 1 if left else 0


def _unsound(store: Place, quick: bool = False) -> list[str]:
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

    # Folder or URL of the store.
    store: Positional[PlaceOption]
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
                    print(f"  {name:17} {_sample(value)}")
                    if store.identity.fields[name].scale:
                        raw = store.row(row, raw=True)
                        print(f"  {'':17} stored as {_sample(raw[name])}")
                        print(f"  {'':17} times {_sample(raw[store.identity.fields[name].scale])}, one for each box")
                elif name != "key":
                    print(f"  {name:17} {value}")
            if classes and "classes" in content:
                names = [classes[c] if 0 <= c < len(classes) else "?" for c in content["classes"][:8]]
                print(f"  {'':17} {', '.join(names)}{', …' if len(content['classes']) > 8 else ''}")
        return 0


def _sample(value: Any) -> str:
    """An array's number type, shape and first numbers."""
    import numpy as np

    return f"{value.dtype} {value.shape}  {np.array2string(value.reshape(-1)[:6], precision=3, separator=' ')}"
