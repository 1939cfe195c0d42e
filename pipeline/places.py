"""Where a store's files are: a local folder, or a URL that fsspec opens (s3://, gs://, hf://, http(s)://, memory:// …).

A local place is a `pathlib.Path`, and nothing is put between it and the disk. A remote one is a `Remote`, which has
those few methods of a Path that stores and sources need, so that code that only joins, reads and removes takes either.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from features.errors import HeedError
from pipeline.filesystems import AT_ONCE, is_chained
from pipeline.remote import Remote
from pipeline.retries import shown

_MANGLED = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]+):/+")

Place: TypeAlias = Path | Remote
"""Where a file or folder is."""


def place(where: str | Path | Remote) -> Place:
    """A path, or a URL that is not of this machine's files, as a place; ``file://`` URLs are paths.

    ``Path("s3://bucket/store")`` has lost a slash, and gets it back.
    """
    if isinstance(where, Remote):
        return where
    text = str(where)
    if isinstance(where, Path) and _MANGLED.match(text) and not where.exists():
        text = _MANGLED.sub(r"\1://", text)
    scheme, mark, rest = text.partition("://")
    if not mark or scheme in ("file", "local"):
        return Path(rest if mark else where)
    if is_chained(text):
        raise HeedError(f"{shown(text)} chains URLs (::), which heed does only for single inputs of a list.")
    return Remote(text if rest == "" else text.rstrip("/"))


def local(path: str | Place, what: str) -> Path:
    """A path on this machine; `HeedError` saying that ``what`` needs one where it is a URL."""
    here = place(path)
    if isinstance(here, Remote):
        raise HeedError(f"{what} works with files on this machine, and {shown(str(here))} is not one; copy it.")
    return here


def size_of(file: Place) -> int | None:
    """Bytes of a file; None where there is none."""
    if isinstance(file, Remote):
        return file.size()
    return file.stat().st_size if file.is_file() else None


def files_in(folder: Place) -> dict[str, int | None]:
    """Names and sizes of the files in a folder; empty where there is no folder."""
    if isinstance(folder, Remote):
        return folder.files()
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
    except (FileNotFoundError, NotADirectoryError):
        return {}


def read_all(files: Sequence[Place]) -> list[bytes | None]:
    """The bytes of many small files, remote ones many at once; None for each that is not there."""
    if not files or not isinstance(files[0], Remote):
        return [_bytes_or_none(file) for file in files]
    with ThreadPoolExecutor(min(AT_ONCE, len(files))) as pool:
        return list(pool.map(_bytes_or_none, files))


def _bytes_or_none(file: Place) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
