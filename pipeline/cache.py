"""Shards of remote stores, kept on this machine: a folder of bounded size that all processes share.

A shard's file is named by its SHA-256, so it is checked when it comes, and two stores with one shard keep it once:

    CACHE/ab/abcdef…         a whole, checked shard; its time of change says when it was last used
    CACHE/ab/abcdef….part    one being fetched, as large as it will be, locked (flock) by who fetches it
    CACHE/.lock              held for the moments in which room is made and a part is renamed

A part is renamed when it is whole and right, so nothing else is ever read; one that a killed process has left is taken
over by the next that wants the shard, or removed when room is needed. Before a shard is fetched the least recently used
ones go until it fits. Whoever has mapped a file that goes keeps reading it: POSIX removes it with its last map.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import logging
import os
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from features.errors import HeedError
from pipeline.atomic import scratch
from pipeline.places import Place, Remote
from pipeline.retries import shown

FOLDER_VARIABLE, LIMIT_VARIABLE = "HEED_CACHE", "HEED_CACHE_BYTES"
LIMIT = 20_000_000_000
"""Bytes the cache may hold, unless the environment variable says otherwise."""
PIECE = 16 << 20
"""Bytes asked for at once, so that a lost connection costs no more."""
PIECES_AT_ONCE = 4
ATTEMPTS = 3
"""Times a shard is fetched whose bytes are not those of its record."""
ROOM_SECONDS = 600.0
"""How long to wait for other processes' downloads to end where all room is theirs."""
_File = io.BufferedRandom | io.BufferedReader
_UNITS = {"": 1, "K": 10 ** 3, "M": 10 ** 6, "G": 10 ** 9, "T": 10 ** 12}


@dataclass(frozen=True)
class Wanted:
    """A shard: where it is, and what its record says of it."""

    remote: Remote
    size: int
    sha256: str


@dataclass(frozen=True)
class ShardCache:
    """The cache in a folder; any number of these, in any number of processes, may share one."""

    folder: Path
    limit: int
    """Bytes, the shards being fetched included. The bytes of removed shards that are still mapped come on top."""

    @staticmethod
    def default() -> ShardCache:
        """``HEED_CACHE`` or ~/.cache/heed, of ``HEED_CACHE_BYTES`` (a number, or one with K, M, G or T) or `LIMIT`."""
        text = os.environ.get(LIMIT_VARIABLE, "")
        match = re.fullmatch(r"(\d+(?:\.\d*)?(?:e\d+)?) ?([KMGT]?)B?", text, re.IGNORECASE)
        if text and not match:
            raise HeedError(f"{LIMIT_VARIABLE} is {text!r}; say a number of bytes, for example 50G.")
        limit = int(float(match[1]) * _UNITS[match[2].upper()]) if match else LIMIT
        folder = os.environ.get(FOLDER_VARIABLE) or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "heed")
        return ShardCache(Path(folder).expanduser(), limit)

    def holds(self, wanted: Wanted) -> bool:
        """Whether the shard is here."""
        return _size(self._path(wanted)) == wanted.size

    @contextmanager
    def file(self, wanted: Wanted, check: bool = False) -> Iterator[Path]:
        """The shard's file, fetched where it is not here; while the block runs nobody removes it.

        With ``check`` a file that has lain here is compared with its SHA-256 again, and fetched anew if it differs.
        Raises `HeedError` where the shard is missing or damaged at its origin, does not answer, or finds no room.
        """
        path = self._path(wanted)
        if wanted.size > self.limit:
            raise HeedError(f"{shown(str(wanted.remote))} has {wanted.size} bytes, more than the {self.limit} of the "
                            f"cache {self.folder}; set {LIMIT_VARIABLE} to several times that.")
        try:
            while True:
                file = self._held(path, wanted, check) or self._fetched(path, wanted)
                if file:
                    break
        except OSError as error:
            raise HeedError(f"The cache {self.folder} cannot be written: {error.strerror or error}. "
                            f"{FOLDER_VARIABLE} names another folder.") from error
        try:
            yield path
        finally:
            _release(file)

    def _path(self, wanted: Wanted) -> Path:
        return self.folder / wanted.sha256[:2] / wanted.sha256

    def _held(self, path: Path, wanted: Wanted, check: bool) -> _File | None:
        """The open file of a shard that is here, locked against removal and marked as used; None where it is not."""
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return None
        fcntl.flock(file, fcntl.LOCK_SH)
        if not _is_same(file, path):  # removed while it was opened
            _release(file)
            return None
        damaged = os.fstat(file.fileno()).st_size != wanted.size
        if damaged or (check and hashlib.file_digest(file, "sha256").hexdigest() != wanted.sha256):
            path.unlink(missing_ok=True)
            _release(file)
            return None
        with suppress(PermissionError):  # another user's
            os.utime(file.fileno())
        return file

    def _fetched(self, path: Path, wanted: Wanted) -> _File | None:
        """Fetch the shard, or wait for whoever does; its open file, or None where another look is due."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _is_same(file, part) or _size(path) == wanted.size:  # another process has finished or removed it
                if _is_same(file, part):
                    part.unlink()
                _release(file)
                return None
            self._make_room(file, wanted)
            fetch(wanted, file)
            os.fsync(file.fileno())  # or a power cut could leave zeros under this name
            with self._lock():  # a listing in which a name changes may show both names or neither
                part.replace(path)
            fcntl.flock(file, fcntl.LOCK_SH)
            return file
        except BaseException:
            if _is_same(file, part):
                part.unlink(missing_ok=True)
            _release(file)
            raise

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _make_room(self, part: io.BufferedRandom, wanted: Wanted) -> None:
        """Remove the least recently used shards until this one fits, and make its part as large as it will be."""
        part.truncate(0)  # what a killed process had fetched is not trusted
        ends = time.monotonic() + ROOM_SECONDS
        while True:
            with self._lock():
                if _evicted(self.folder, self.limit - wanted.size):
                    part.truncate(wanted.size)
                    return
            if time.monotonic() > ends:
                raise HeedError(f"The cache {self.folder} of {self.limit} bytes finds no room for {wanted.size}, as "
                                f"other processes are filling it; set {LIMIT_VARIABLE} higher.")
            time.sleep(0.05)


def _evicted(folder: Path, most: int) -> bool:
    """Remove shards, the least recently used first, until at most ``most`` bytes are left; whether that was reached."""
    found = []
    for path in folder.glob("??/*"):
        with suppress(FileNotFoundError):
            state = path.stat()
            found.append((not path.name.endswith(".part"), state.st_mtime_ns, state.st_size, path))
    total = sum(size for _, _, size, _ in found)
    for _, _, size, path in sorted(found):  # parts that nobody locks come first: nobody is fetching them
        if total <= most:
            return True
        with suppress(OSError), path.open("rb") as file:  # locked: in use this moment
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if size and _is_same(file, path):  # or it is a part that has just been renamed
                path.unlink(missing_ok=True)
                total -= size
    return total <= most


@contextmanager
def copied(shard: Place, size: int, sha256: str) -> Iterator[Path]:
    """A shard's file on this machine: itself, or a copy fetched past the cache, checked, and removed with the block.

    What was opened within the block stays readable behind it. Raises `HeedError` as `fetch` does.
    """
    if isinstance(shard, Path):
        yield shard
        return
    with scratch(shard.name) as file:
        fetch(Wanted(shard, size, sha256), file)
        yield Path(file.name)


def fetch(wanted: Wanted, file: io.BufferedRandom) -> None:
    """Fetch a shard into ``file``, some pieces at once, and compare its SHA-256; again where that differs.

    Raises `HeedError` where the shard is missing, does not answer or stays another.
    """
    starts = range(PIECE, wanted.size, PIECE)

    def piece(start: int) -> int:
        stop = min(start + PIECE, wanted.size)
        data = wanted.remote.read_range(start, stop) if start else wanted.remote.read_first(stop)
        os.pwrite(file.fileno(), data, start)
        return len(data)

    before = ""
    for attempt in range(ATTEMPTS):
        try:
            got = piece(0)
            if got < wanted.size:
                with ThreadPoolExecutor(PIECES_AT_ONCE) as pool:
                    got += sum(pool.map(piece, starts))
        except FileNotFoundError:
            raise HeedError(f"Shard {shown(str(wanted.remote))} is missing. heed store repair "
                            f"{shown(str(wanted.remote.parent.parent))} makes it again.") from None
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if got == wanted.size and digest == wanted.sha256:
            return
        if digest == before:  # not damaged on its way
            break
        before = digest
        logging.getLogger("heed").warning("%s came with other bytes than its record says (attempt %d of %d)",
                                          shown(str(wanted.remote)), attempt + 1, ATTEMPTS)
    raise HeedError(f"Shard {shown(str(wanted.remote))} does not match its SHA-256: its bytes have "
                    f"changed since they were written. heed store repair "
                    f"{shown(str(wanted.remote.parent.parent))} makes it again.")


def _release(file: _File) -> None:
    """Unlock and close: a process forked meanwhile may have the file open still."""
    fcntl.flock(file, fcntl.LOCK_UN)
    file.close()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _is_same(file: _File, path: Path) -> bool:
    """Whether ``path`` is still the open file's name."""
    try:
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False
