"""What the tab-separated feature files have in common: one image a line, arrays as base64 of little-endian numbers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from features.errors import HeedError
from pipeline.exchange.arrays import sized
from pipeline.fields import Row
from pipeline.sources import Item

MAX_LINE = 64 << 20
"""Longest line that is read: 100 boxes x 2048 float32 are 1.1 MB of base64."""


def lines(path: Path) -> Iterator[Item]:
    """Each line as an item: key = its first column, offset and size = where it lies. Reads one line at a time.

    A line whose first column is empty is listed by its place, and fails.
    """
    offset = 0
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE):
            if len(line) == MAX_LINE:
                raise HeedError(f"{path}: the line at byte {offset} is longer than {MAX_LINE >> 20} MiB; "
                                "this is no feature TSV.")
            if line.strip():
                key = line.split(b"\t", 1)[0].strip().decode("utf-8", "replace")
                yield Item(key or f"line at byte {offset}", str(path), len(line), offset,
                           error="" if key else "has no key: its first column is empty")
            offset += len(line)


def columns(line: bytes, names: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, bytes]:
    """The line's columns by name; `HeedError` where their number is another."""
    values = line.rstrip(b"\r\n").split(b"\t")
    if len(values) not in (len(names), len(names) + len(optional)):
        raise HeedError(f"the line has {len(values)} columns where {len(names)} are expected ({', '.join(names)}); "
                        "it may be cut short, or the file may be of another format")
    return dict(zip((*names, *optional), values, strict=False))


def array(text: bytes, dtype: str, count: int, name: str, width: int | None = None) -> np.ndarray:
    """Decode base64 into (count, width) numbers, of any width where none is given.

    The b'…' that some Python 3 writers left around the text is taken off.
    """
    if text[:2] in (b"b'", b'b"'):
        text = text[2:-1]
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise HeedError(f"{name} is not base64: {error}") from error
    numbers, rest = divmod(len(data), np.dtype(dtype).itemsize)
    if rest or (numbers % count if count else numbers) or (width and numbers != count * width):
        each = f"{width} {dtype}" if width else f"a whole number of {dtype}"
        raise HeedError(f"{name} holds {len(data)} bytes, which is not {each} for each of {count} boxes")
    return np.frombuffer(data, dtype).reshape(count, numbers // count if count else width or 0)


def encode(values: np.ndarray, dtype: str) -> str:
    """Base64 of the numbers, as every published reader decodes them."""
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode("ascii")


def write_lines(rows: Iterable[Row], path: Path, line: Callable[[Row], list[str]]) -> None:
    """Write one line a row, with the columns that ``line`` gives."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            sized(row)
            if any(mark in row["key"] for mark in '\t\r\n"'):
                raise HeedError(f"The key {row['key']!r} cannot stand in a tab-separated file.")
            file.write("\t".join(line(row)) + "\n")


def integer(text: bytes, name: str) -> int:
    """A whole number of 0 to 10 million."""
    try:
        value = int(text)
    except ValueError:
        raise HeedError(f"{name} is {text[:20]!r}, not a whole number") from None
    if not 0 <= value <= 10_000_000:
        raise HeedError(f"{name} is {value}, which cannot be")
    return value
