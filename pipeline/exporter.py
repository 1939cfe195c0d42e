"""A store into somebody else's feature file, through a format of `pipeline.exchange` that can be written."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from features.errors import HeedError
from pipeline.atomic import fsync_folder
from pipeline.exchange import EXCHANGE, exchange_format
from pipeline.fields import Row
from pipeline.places import local
from pipeline.store import Store


def export(format: str, store: Store, path: Path, progress: Callable[[int], None] = lambda done: None) -> list[Path]:
    """Write every row of ``store`` to the new file or folder ``path``, and give all files and folders made.

    They are written aside, in a folder beside ``path``, and renamed once they are whole; ``path`` itself last. Raises
    `HeedError` where the format is only read, cannot hold the rows, or where something is there already.
    """
    module, path = exchange_format(format), local(path, "heed store export")
    if not hasattr(module, "write"):
        writable = [name for name in EXCHANGE if hasattr(exchange_format(name), "write")]
        raise HeedError(f"heed reads {format} and does not write it; it writes {', '.join(writable)}.")
    kinds = getattr(module, "KINDS", ("regions",))
    if store.identity.kind not in kinds:
        raise HeedError(f"{store.path} holds {store.identity.kind}; {format} holds {' or '.join(kinds)}.")
    if path.exists():
        raise HeedError(f"There is a {path} already; name a new one.")
    aside = path.parent / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        aside.mkdir(parents=True)
        module.write(_rows(store, progress), store.fields, aside / path.name)
        made = sorted(aside.iterdir(), key=lambda part: part.name == path.name)
        for part in made:
            if (path.parent / part.name).exists():
                raise HeedError(f"There is a {path.parent / part.name} already, which {format} would replace.")
            _fsync(part)
        for part in made:
            part.rename(path.parent / part.name)
        fsync_folder(path.parent)
    except OSError as error:
        raise HeedError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return [path.parent / part.name for part in made]


def _rows(store: Store, progress: Callable[[int], None]) -> Iterator[Row]:
    for number in range(len(store)):
        yield store.row(number)
        progress(number + 1)


def _fsync(part: Path) -> None:
    """Put a file, or every file of a folder, on the disk."""
    for file in sorted(part.rglob("*")) if part.is_dir() else [part]:
        if file.is_file():
            with file.open("rb") as data:
                os.fsync(data.fileno())
    if part.is_dir():
        fsync_folder(part)
