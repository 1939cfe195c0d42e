"""What to extract from: a folder, a list of keys and paths, or tar files, on this machine or at a URL.

A key is the whole relative path below the folder, the id a list gives, or the member's name in a tar. It is never cut
at a dot, and two inputs with one key are an error: silently keeping one of them is how earlier systems lost images.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import posixpath
import tarfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urljoin

import numpy as np

from features.errors import HeedError
from pipeline.places import Place, Remote, place, size_of
from pipeline.retries import shown

IMAGE_SUFFIXES = frozenset([".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"])
VIDEO_SUFFIXES = frozenset([
    ".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf",
    ".ogv", ".ts", ".vob", ".webm", ".wmv"])
MAX_BYTES = 1 << 30
"""Larger inputs fail, unread: the largest real photographs are some hundred megabytes, and workers share memory."""
SECONDS = 30.0
"""How long an input at a URL is asked for again: lists of photographs on the web are full of dead servers."""


@dataclass(frozen=True)
class Item:
    """One input."""

    key: str
    uri: str
    """A path, a URL that fsspec can open, or the tar that holds the bytes; "" for one that the source has no more."""
    size: int = -1
    """Bytes; -1 where only opening it would tell."""
    offset: int = 0
    """Where the bytes begin in the file: more than 0 for a member of a tar. Formats of rows put the row's number."""
    boxes: np.ndarray | None = None
    """(n, 4) float32 xyxy pixel boxes to pool features for, where the list gives them."""
    times: tuple[float, ...] | None = None
    """Seconds at which to look at a video, where the list gives them."""
    text: str | None = None
    """The input itself, where it is a text."""
    error: str = ""
    """Why it cannot be read, where listing it has shown that already; `read_bytes` raises it."""


@dataclass(frozen=True)
class Source:
    """All inputs of a job, in the order of its shards."""

    uri: str
    items: Sequence[Item]
    skipped: int
    """Files passed over because of what their names end in."""

    def digest(self) -> str:
        """SHA-256 over keys and given boxes, in order: what the plan follows from.

        Not over sizes or pixels: a broken file that was mended is still this source, to be tried with --retry-failed.
        """
        digest = hashlib.sha256()
        for item in self.items:
            digest.update(input_line(item))
        return digest.hexdigest()


def input_line(item: Item) -> bytes:
    """What a store's list of inputs says of one: JSON with its key, given boxes in hexadecimal, given times, text."""
    boxes = "" if item.boxes is None else item.boxes.astype("<f4").tobytes().hex()
    times = None if item.times is None else list(item.times)
    more = [times] if item.text is None else [times, item.text]
    return json.dumps([item.key, boxes, *(more if more != [None] else [])]).encode() + b"\n"


def open_source(uri: str, suffixes: Collection[str] = IMAGE_SUFFIXES, unit: str = "images") -> Source:
    """List a source: a folder; a .jsonl, .csv or .parquet list; a .tar; or a path with * naming several tars.

    Each may be a path or a URL (s3://bucket/images, https://host/list.csv, …). Of folders and tars the files count
    whose names end in one of ``suffixes``; ``unit`` is what those are. A list has the columns ``key`` and ``path`` (or
    ``uri``); relative paths start at the list's folder, and URLs may stand among them. An optional column ``boxes``
    holds [[x1, y1, x2, y2], …] in pixels, another, ``times``, [t1, t2, …] in seconds (JSON text in a CSV).
    """
    path = place(uri)
    suffix = Path(path.name).suffix
    if isinstance(path, Path) and path.is_dir():
        items, skipped = _folder(path, suffixes)
    elif "*" in path.name:
        tars = path.glob() if isinstance(path, Remote) else sorted(path.parent.glob(path.name))
        items, skipped = _tars(tars, suffixes)
    elif suffix == ".tar":
        items, skipped = _tars([path], suffixes)
    elif suffix in _LISTS:
        items, skipped = _listed(path, suffix), 0
    elif isinstance(path, Remote):
        items, skipped = _remote_folder(path, suffixes)
    elif path.exists():
        raise HeedError(f"{uri} is neither a folder nor a list (.jsonl, .csv, .parquet) nor a .tar.")
    else:
        raise HeedError(f"There is no {uri}.")
    if not items:
        raise HeedError(f"{uri} holds no {unit} ({skipped} other files); heed reads {', '.join(sorted(suffixes))}.")
    check_keys(items)
    return Source(uri, items, skipped)


def read_bytes(item: Item) -> bytes:
    """The bytes of one input; `HeedError` with the reason where they cannot be had or are more than `MAX_BYTES`."""
    if item.error:
        raise HeedError(item.error)
    if item.size > MAX_BYTES:
        raise HeedError(f"has {item.size} bytes; heed reads inputs of up to {MAX_BYTES}")
    try:
        if "://" in item.uri:
            data = _remote_bytes(item)
        else:
            with Path(item.uri).open("rb") as file:
                file.seek(item.offset)
                data = file.read(item.size if item.size >= 0 else MAX_BYTES + 1)
    except FileNotFoundError:
        raise HeedError("cannot be read: it is not there") from None
    except OSError as error:
        raise HeedError(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a zero byte in its path
        raise HeedError(f"cannot be read: {error}") from error
    if len(data) > MAX_BYTES:
        raise HeedError(f"has more than {MAX_BYTES} bytes, which is the most that heed reads")
    if item.size > len(data):
        raise HeedError(f"has {len(data)} bytes where {item.size} were listed")
    return data


def _remote_bytes(item: Item) -> bytes:
    """The bytes of an input at a URL, at most one more than `MAX_BYTES`; asked for again for `SECONDS`."""
    where = Remote(item.uri, SECONDS)
    if item.size >= 0:
        return where.read_range(item.offset, item.offset + item.size)
    size = where.size()
    if size is None:
        return where.read_at_most(MAX_BYTES + 1)
    if size > MAX_BYTES:
        raise HeedError(f"has more than {MAX_BYTES} bytes, which is the most that heed reads")
    return where.read_bytes()


def _open(path: Place) -> BinaryIO:
    try:
        return path.open("rb") if isinstance(path, Path) else path.open()
    except (FileNotFoundError, IsADirectoryError):
        raise HeedError(f"There is no file {shown(str(path))}.") from None


def _folder(root: Path, suffixes: Collection[str]) -> tuple[list[Item], int]:
    items, skipped = [], 0
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in names:
            path = Path(folder, name)
            if path.suffix.lower() in suffixes and path.is_file():
                items.append(Item(printable(path.relative_to(root).as_posix()), str(path), path.stat().st_size))
            else:
                skipped += 1
    return sorted(items, key=lambda item: item.key), skipped


def printable(name: str) -> str:
    """A name as a key, which is UTF-8: bytes of a file's name that are not come as \\udc80 and so on."""
    return name.encode("utf-8", "backslashreplace").decode()


def _remote_folder(root: Remote, suffixes: Collection[str]) -> tuple[list[Item], int]:
    items, skipped = [], 0
    for name, size in root.find().items():
        if Path(name).suffix.lower() in suffixes:
            key = unquote(name) if root.scheme in ("http", "https") else name
            items.append(Item(key, str(root / name), -1 if size is None else size))
        else:
            skipped += 1
    if not items and not skipped:
        raise HeedError(f"There is nothing at {shown(str(root))}, or it cannot be listed; a list of paths "
                        "(.jsonl, .csv, .parquet) names files that are in no folder.")
    return sorted(items, key=lambda item: item.key), skipped


def _tars(paths: Sequence[Place], suffixes: Collection[str]) -> tuple[list[Item], int]:
    items: list[Item] = []
    skipped = 0
    for path in paths:
        try:
            for item in _members(path, suffixes):
                items += [item] if item else []
                skipped += item is None
        except (tarfile.TarError, OSError, ValueError, OverflowError, MemoryError, RecursionError) as error:
            words = str(error) or type(error).__name__
            raise HeedError(f"{shown(str(path))} cannot be read as an uncompressed tar: {words}.") from error
    return items, skipped


def _members(path: Place, suffixes: Collection[str]) -> Iterator[Item | None]:
    """The members of a tar but its folders; None for one that is no input by name.

    Nothing is ever unpacked, so a member cannot write anywhere; still its name becomes a key, and others may use that
    as a path. `HeedError` where the tar is damaged so that what follows cannot be listed.
    """
    end = size_of(path) or 0
    with _open(path) as file, tarfile.open(fileobj=_Within(file, end), mode="r:") as tar:  # type: ignore[call-overload]
        while member := tar.next():
            past = member.isreg() and not member.issparse() and not 0 <= member.size <= end - member.offset_data
            if past or (not member.isdir() and Path(member.name).suffix.lower() in suffixes):
                yield Item(printable(member.name), str(path), member.size, member.offset_data,
                           error=_refusal(member, past))
            elif not member.isdir():
                yield None
            if past:
                return  # where the next header is follows from this size
            if tar.offset < member.offset_data:
                raise _damaged(path, member.offset)
        # tarfile takes a damaged header for the end of the file; a real end is a block of zeros, or nothing.
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise _damaged(path, tar.offset)


class _Within:
    """A file that is never asked for more than it has, as Python sets memory aside for all that is asked for."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self.seek, self.tell = file.seek, file.tell

    def read(self, count: int) -> bytes:
        """Up to ``count`` bytes."""
        return self._file.read(max(0, min(count, self._size - self._file.tell())))


def _damaged(path: Place, at: int) -> HeedError:
    return HeedError(f"{shown(str(path))} is damaged at byte {at}: what follows cannot be listed. Mend it, or unpack "
                     "what can be read and name that folder.")


def _refusal(member: tarfile.TarInfo, past: bool) -> str:
    """Why a member must not be read; "" where it may be."""
    if past:
        return f"has {member.size} bytes by its header, which the tar does not; what may follow it cannot be listed"
    if member.issym() or member.islnk():
        return f"is a link to {member.linkname!r} in the tar; heed follows none"
    if not member.isreg():
        return "is no file in the tar but a device or a pipe"
    if member.issparse():
        return "is stored with holes (a sparse member), which heed does not read"
    if member.name.startswith(("/", "\\")) or ".." in member.name.replace("\\", "/").split("/"):
        return "has a name that leads out of the tar (it is absolute or has ..)"
    return ""


def _listed(path: Place, suffix: str) -> list[Item]:
    try:
        with _open(path) as file:
            rows = list(_LISTS[suffix](file))
    except (ValueError, OSError, RecursionError, csv.Error) as error:
        raise HeedError(f"The list {shown(str(path))} cannot be read: {error}.") from error
    return [_listed_item(row, path, number) for number, row in enumerate(rows, 1)]


def _listed_item(row: dict[str, Any], path: Place, number: int) -> Item:
    row = row if isinstance(row, dict) else {}
    uri = row.get("path") or row.get("uri")
    if not isinstance(row.get("key"), str | int | float) or row["key"] == "" or not uri or not isinstance(uri, str):
        raise HeedError(f"Row {number} of {path} lacks a key or a path; each row needs both (columns key and path).")
    if "://" not in uri:
        uri = _beside(path, uri)
    boxes, given = None, row.get("boxes")
    if given is not None and given != "":
        try:
            boxes = np.array(json.loads(given) if isinstance(given, str) else list(given), np.float32).reshape(-1, 4)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise HeedError(f"Row {number} of {path}: boxes are not a list of [x1, y1, x2, y2].") from error
    try:
        size = Path(uri).stat().st_size if "://" not in uri and Path(uri).is_file() else -1
    except OSError:  # such as a name too long to be a file's: told when it is read
        size = -1
    return Item(printable(str(row["key"])), uri, size, boxes=boxes, times=_times(row.get("times"), path, number))


def _times(given: Any, path: Place, number: int) -> tuple[float, ...] | None:
    if given is None or given == "":
        return None
    try:
        times = tuple(float(time) for time in (json.loads(given) if isinstance(given, str) else given))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise HeedError(f"Row {number} of {path}: times are not a list of seconds.") from error
    if not np.isfinite(times).all():
        raise HeedError(f"Row {number} of {path}: times are not finite numbers of seconds.")
    return times


def _beside(listed: Place, path: str) -> str:
    """What a path in a list means: it starts at the list's folder, or with / at the root of the list's disk or host."""
    if isinstance(listed, Path):
        return str(listed.parent / path)
    if listed.scheme in ("http", "https"):
        return urljoin(listed.url, path)
    bucket, _, inside = listed.url.partition("://")[2].partition("/")
    return f"{listed.scheme}://{bucket}{posixpath.normpath(posixpath.join('/', posixpath.dirname(inside), path))}"


def _jsonl(file: BinaryIO) -> Iterable[dict]:
    return (json.loads(line) for line in io.TextIOWrapper(file, "utf-8") if line.strip())


def _csv(file: BinaryIO) -> Iterable[dict]:
    return csv.DictReader(io.TextIOWrapper(file, "utf-8", newline=""))


def _parquet(file: BinaryIO) -> Iterable[dict]:
    import pyarrow
    import pyarrow.parquet

    # As bytes: Arrow's threads would call a Python file, and might still do so when it is done with.
    return pyarrow.parquet.read_table(pyarrow.BufferReader(file.read()), use_threads=False).to_pylist()


_LISTS = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}


def check_keys(items: Sequence[Item]) -> None:
    """Raise `HeedError` naming the first key that two inputs share."""
    seen: dict[str, str] = {}
    for item in items:
        if item.key in seen:
            raise HeedError(f"Two inputs have the key {item.key!r}: {seen[item.key]} and {item.uri}. "
                            "Keys must be unique; name them in a list (key, path) if the file names are not.")
        seen[item.key] = item.uri
