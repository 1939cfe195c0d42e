"""Files that are either whole or not there: write aside, fsync, rename; or, at a URL, write here and upload at once."""

from __future__ import annotations

import fcntl
import io
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from features.errors import HeedError
from pipeline.places import Place, Remote


@contextmanager
def atomic_write(path: Place, aside: Place | None = None) -> Iterator[BinaryIO]:
    """Give a binary file that takes the name ``path`` only once the block has ended and its bytes are on the disk.

    It is written in the folder ``aside`` (default: beside ``path``; it must be on the same file system). If the block
    raises, ``path`` is left as it was. Two writers of one path never mix: the last to finish wins, whole.

    For a URL it is a local file of the folder for temporary files, uploaded when the block ends; ``aside`` is not used.
    """
    if isinstance(path, Remote):
        with scratch(path.name) as file:
            yield file
            file.flush()
            path.upload(Path(file.name))
        return
    folder = aside if isinstance(aside, Path) else path.parent
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


def remains(path: Path) -> list[Path]:
    """What writers of ``path`` that were killed have left beside it."""
    return sorted(path.parent.glob(f".{path.name}.*.tmp"))


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


@contextmanager
def scratch(name: str) -> Iterator[io.BufferedRandom]:
    """A new file in the machine's folder for temporary files (``TMPDIR``), removed when the block ends.

    It is locked meanwhile. What a killed process has left is known by its lock being free, and is removed here.
    """
    folder = Path(tempfile.gettempdir(), f"heed-unfinished-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise HeedError(f"{folder} belongs to somebody else; set TMPDIR to a folder of your own.")
    for left in folder.iterdir():
        _remove_unless_locked(left)
    while True:
        path = folder / f"{name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
        with path.open("x+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not path.exists():  # another process has found it before it was locked
                continue
            try:
                yield file
            finally:
                path.unlink(missing_ok=True)
            return


def _remove_unless_locked(path: Path) -> None:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except OSError:  # locked, or gone
        return
