"""Files that are either whole or not there: write aside, fsync, rename."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def atomic_write(path: Path, aside: Path | None = None) -> Iterator[BinaryIO]:
    """Give a binary file that takes the name ``path`` only once the block has ended and its bytes are on the disk.

    It is written in the folder ``aside`` (default: beside ``path``; it must be on the same file system). If the block
    raises, ``path`` is left as it was. Two writers of one path never mix: the last to finish wins, whole.
    """
    folder = aside or path.parent
    temporary = folder / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any, aside: Path | None = None) -> None:
    """Write ``value`` as indented JSON, atomically; the same value gives the same bytes."""
    with atomic_write(path, aside) as file:
        file.write((json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def fsync_folder(folder: Path) -> None:
    """Make the renames in ``folder`` survive a power cut, where the operating system lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
