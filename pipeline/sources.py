"""What to extract from: a folder, a list of keys and paths, or tar files.

A key is the whole relative path below the folder, the id a list gives, or the member's name in a tar. It is never cut
at a dot, and two inputs with one key are an error: silently keeping one of them is how earlier systems lost images.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError

IMAGE_SUFFIXES = frozenset([".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"])


@dataclass(frozen=True)
class Item:
    """One input."""

    key: str
    uri: str
    """A path, a URL that fsspec can open, or the tar that holds the bytes."""
    size: int = -1
    """Bytes; -1 where only opening it would tell."""
    offset: int = 0
    """Where the bytes begin in the file: more than 0 for a member of a tar."""
    boxes: np.ndarray | None = None
    """(n, 4) float32 xyxy pixel boxes to pool features for, where the list gives them."""


@dataclass(frozen=True)
class Source:
    """All inputs of a job, in the order of its shards."""

    uri: str
    items: Sequence[Item]
    skipped: int
    """Files passed over because their names are no images'."""

    def digest(self) -> str:
        """SHA-256 over keys, sizes and given boxes, in order: what the shards' content follows from, besides pixels."""
        digest = hashlib.sha256()
        for item in self.items:
            boxes = "" if item.boxes is None else item.boxes.astype("<f4").tobytes().hex()
            digest.update(json.dumps([item.key, item.size, boxes]).encode() + b"\n")
        return digest.hexdigest()


def open_source(uri: str) -> Source:
    """List a source: a folder; a .jsonl, .csv or .parquet list; a .tar; or a path with * naming several tars.

    A list has the columns ``key`` and ``path`` (or ``uri``); relative paths start at the list's folder. An optional
    column ``boxes`` holds [[x1, y1, x2, y2], …] in pixels (JSON text in a CSV).
    """
    path = Path(uri)
    if path.is_dir():
        items, skipped = _folder(path)
    elif path.suffix == ".tar" or "*" in path.name:
        tars = sorted(path.parent.glob(path.name)) if "*" in path.name else [path]
        items, skipped = _tars([_existing(tar) for tar in tars])
    elif path.suffix in _LISTS:
        items, skipped = _listed(_existing(path)), 0
    elif path.exists():
        raise HeedError(f"{uri} is neither a folder nor a list (.jsonl, .csv, .parquet) nor a .tar.")
    else:
        raise HeedError(f"There is no {uri}.")
    if not items:
        raise HeedError(f"{uri} holds no images ({skipped} other files); "
                        f"heed reads {', '.join(sorted(IMAGE_SUFFIXES))}.")
    check_keys(items)
    return Source(uri, items, skipped)


def read_bytes(item: Item) -> bytes:
    """The bytes of one input; `HeedError` with the reason where they cannot be had."""
    try:
        if "://" in item.uri:
            import fsspec

            with fsspec.open(item.uri, "rb") as file:
                return file.read()
        with Path(item.uri).open("rb") as file:
            file.seek(item.offset)
            data = file.read(item.size)
    except OSError as error:
        raise HeedError(f"cannot be read: {error.strerror or error}") from error
    if item.size > len(data):
        raise HeedError(f"has {len(data)} bytes where {item.size} were listed")
    return data


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise HeedError(f"There is no file {path}.")
    return path


def _folder(root: Path) -> tuple[list[Item], int]:
    items, skipped = [], 0
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in names:
            path = Path(folder, name)
            if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                items.append(Item(path.relative_to(root).as_posix(), str(path), path.stat().st_size))
            else:
                skipped += 1
    return sorted(items, key=lambda item: item.key), skipped


def _tars(paths: Sequence[Path]) -> tuple[list[Item], int]:
    items, skipped = [], 0
    for path in paths:
        try:
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    if member.isfile() and Path(member.name).suffix.lower() in IMAGE_SUFFIXES:
                        items.append(Item(member.name, str(path), member.size, member.offset_data))
                    elif not member.isdir():
                        skipped += 1
        except tarfile.TarError as error:
            raise HeedError(f"{path} cannot be read as an uncompressed tar: {error}.") from error
    return items, skipped


def _listed(path: Path) -> list[Item]:
    try:
        rows = list(_LISTS[path.suffix](path))
    except (ValueError, OSError) as error:
        raise HeedError(f"The list {path} cannot be read: {error}.") from error
    return [_listed_item(row, path, number) for number, row in enumerate(rows, 1)]


def _listed_item(row: dict[str, Any], path: Path, number: int) -> Item:
    uri = row.get("path") or row.get("uri")
    if not row.get("key") or not uri:
        raise HeedError(f"Row {number} of {path} lacks a key or a path; each row needs both (columns key and path).")
    if "://" not in uri:
        uri = str(path.parent / uri)
    boxes, given = None, row.get("boxes")
    if given is not None and given != "":
        try:
            boxes = np.array(json.loads(given) if isinstance(given, str) else list(given), np.float32).reshape(-1, 4)
        except ValueError as error:
            raise HeedError(f"Row {number} of {path}: boxes are not a list of [x1, y1, x2, y2].") from error
    size = Path(uri).stat().st_size if "://" not in uri and Path(uri).is_file() else -1
    return Item(str(row["key"]), uri, size, boxes=boxes)


def _jsonl(path: Path) -> Iterable[dict]:
    with path.open(encoding="utf-8") as file:
        yield from (json.loads(line) for line in file if line.strip())


def _csv(path: Path) -> Iterable[dict]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _parquet(path: Path) -> Iterable[dict]:
    import pyarrow.parquet

    return pyarrow.parquet.read_table(path).to_pylist()


_LISTS = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}


def check_keys(items: Sequence[Item]) -> None:
    """Raise `HeedError` naming the first key that two inputs share."""
    seen: dict[str, str] = {}
    for item in items:
        if item.key in seen:
            raise HeedError(f"Two inputs have the key {item.key!r}: {seen[item.key]} and {item.uri}. "
                            "Keys must be unique; name them in a list (key, path) if the file names are not.")
        seen[item.key] = item.uri
