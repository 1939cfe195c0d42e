"""A file or folder at a URL, read and written with patience."""

from __future__ import annotations

import io
import os
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from features.errors import HeedError
from pipeline.filesystems import filesystem
from pipeline.retries import Gone, retried, shown

T = TypeVar("T")

_READ_ONLY = frozenset(["http", "https", "github", "zip", "tar", "reference", "data"])
_WHOLE_AT_ONCE = frozenset(["s3", "s3a", "gs", "gcs", "hf", "abfs", "abfss", "az", "adl", "oss", "oci", "r2", "memory"])
"""Object stores: a file appears whole, when its upload ends. Elsewhere it is uploaded aside and renamed."""


class Remote:
    """A file or folder at a URL, which has no slash at its end.

    Every method asks again while the network or the server fails for a passing reason (`pipeline.retries`), and raises
    `FileNotFoundError` where there is nothing, or `HeedError` naming the URL for every other reason. ``patience`` is
    for how many seconds it asks; None stands for `pipeline.retries.patience`.
    """

    def __init__(self, url: str, patience: float | None = None) -> None:
        self.url, self.patience = url, patience

    def __str__(self) -> str:
        return self.url

    def __repr__(self) -> str:
        return f"Remote({self.url!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and other.url == self.url

    def __hash__(self) -> int:
        return hash(self.url)

    def __truediv__(self, name: str) -> Remote:
        url, mark, query = self.url.partition("?") if self.scheme in ("http", "https") else (self.url, "", "")
        return Remote(f"{url}/{name}{mark}{query}", self.patience)

    @property
    def scheme(self) -> str:
        """What stands before ``://``."""
        return self.url.partition("://")[0].lower()

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.url.partition("?")[0].rpartition("/")[2]

    @property
    def parent(self) -> Remote:
        """The folder it is in; itself where there is none above."""
        above = self.url.partition("?")[0].rpartition("/")[0]
        return Remote(above, self.patience) if "://" in above and not above.endswith("/") else self

    def read_bytes(self) -> bytes:
        """The whole file."""
        return self._ask(lambda fs, path: fs.cat_file(path))

    def read_range(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop``, less where the file is shorter; in one request."""
        if stop <= start:
            return b""
        data = self._ask(lambda fs, path: fs.cat_file(path, start=start, end=stop))
        # A server that knows no ranges has sent the whole file.
        return data if len(data) <= stop - start else data[start:stop]

    def read_first(self, stop: int) -> bytes:
        """The first ``stop`` bytes; all of them where the server knows no ranges, so that nothing comes twice."""
        return self._ask(lambda fs, path: fs.cat_file(path, start=0, end=stop)) if stop else b""

    def read_at_most(self, count: int) -> bytes:
        """The first ``count`` bytes of a file whose size its server does not tell."""

        def read(fs: Any, path: str) -> bytes:
            data = bytearray()
            with fs.open(path, "rb") as file:
                while len(data) < count and (piece := file.read(min(1 << 20, count - len(data)))):
                    data += piece
            return bytes(data)

        return self._ask(read)

    def size(self) -> int | None:
        """Bytes of the file; None where there is none, or the server does not tell."""
        info = self._info()
        return info.get("size") if info and info.get("type") != "directory" else None

    def exists(self) -> bool:
        """Whether there is a file, or a folder with something in it."""
        return self._info() is not None

    def is_file(self) -> bool:
        """Whether there is a file."""
        info = self._info()
        return info is not None and info.get("type") != "directory"

    def is_dir(self) -> bool:
        """Whether there is a folder with something in it."""
        info = self._info()
        return info is not None and info.get("type") == "directory"

    def names(self) -> list[str]:
        """Names of the files and folders directly in the folder; empty where there is no folder."""
        return sorted(self._listed(lambda fs, path: fs.ls(path, detail=True)))

    def files(self) -> dict[str, int | None]:
        """Names and sizes of the files directly in the folder; empty where there is no folder."""
        return self._listed(lambda fs, path: [e for e in fs.ls(path, detail=True) if e.get("type") == "file"])

    def find(self) -> dict[str, int | None]:
        """Paths, from this folder, and sizes of all files below it; empty where there is no folder."""
        return self._listed(lambda fs, path: list(fs.find(path, detail=True).values()))

    def glob(self) -> list[Remote]:
        """The files whose URL this one is a pattern of (``*``), in order."""
        found = self._ask(lambda fs, path: [fs.unstrip_protocol(name) for name in fs.glob(path)])
        return [Remote(url, self.patience) for url in sorted(found)]

    def write_bytes(self, data: bytes) -> None:
        """Write the file, whole or not at all."""
        self._put(lambda fs, path: fs.pipe_file(path, data))

    def create(self, data: bytes) -> bool:
        """Write the file unless there is one; whether it was written.

        Where the server knows no conditional writes, two writers at one moment may both be told that they wrote it.
        """
        if self.is_file():
            return False
        try:
            self._put(lambda fs, path: fs.pipe_file(path, data, mode="create"), aside=False)
        except (HeedError, TypeError) as error:  # TypeError: its fsspec package knows no conditional writes
            if _is_there_already(error):
                return False
            self.write_bytes(data)
        return True

    def upload(self, file: Path) -> None:
        """Put a local file's bytes here, whole or not at all."""
        if self.scheme == "memory":  # its files are seen while they grow
            self.write_bytes(file.read_bytes())
        else:
            self._put(lambda fs, path: fs.put_file(str(file), path))

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove the file."""
        try:
            self._ask(lambda fs, path: fs.rm_file(path))
        except FileNotFoundError:
            if not missing_ok:
                raise

    def open(self) -> io.BufferedReader:
        """The file for reading, seeking at will, some megabytes a request."""
        size = self.size()
        if size is None:
            raise Gone(f"{shown(self.url)} is not there")
        return io.BufferedReader(_Ranged(self, size), 8 << 20)

    def _ask(self, call: Callable[[Any, str], T]) -> T:
        return retried(lambda: call(*filesystem(self.url)), self.url, self.patience)

    def _put(self, call: Callable[[Any, str], Any], aside: bool = True) -> None:
        if self.scheme in _READ_ONLY:
            raise HeedError(f"{shown(self.url)} cannot be written: {self.scheme}:// is only read.")

        def put(fs: Any, path: str) -> None:
            if self.scheme in _WHOLE_AT_ONCE or not aside:
                call(fs, path)
                return
            fs.makedirs(posixpath.dirname(path), exist_ok=True)
            call(fs, f"{path}.{os.getpid()}.tmp")
            fs.mv(f"{path}.{os.getpid()}.tmp", path)

        try:
            self._ask(put)
        except FileNotFoundError as error:
            raise HeedError(f"{shown(self.url)} cannot be written: its bucket or folder is not there.") from error

    def _info(self) -> dict[str, Any] | None:
        def info(fs: Any, path: str) -> dict[str, Any]:
            fs.invalidate_cache()  # others write while this process runs
            return fs.info(path)

        try:
            return self._ask(info)
        except FileNotFoundError:
            return None

    def _listed(self, call: Callable[[Any, str], list[dict]]) -> dict[str, int | None]:
        def listed(fs: Any, path: str) -> dict[str, int | None]:
            fs.invalidate_cache()
            root = path.rstrip("/") + "/"
            return {entry["name"].removeprefix(root): entry.get("size") for entry in call(fs, path)
                    if entry["name"].startswith(root) and entry["name"] != root}

        try:
            return self._ask(listed)
        except FileNotFoundError:
            return {}


class _Ranged(io.RawIOBase):
    """A remote file as raw bytes, a request each read; `io.BufferedReader` over it reads ahead."""

    def __init__(self, remote: Remote, size: int) -> None:
        self._remote, self._size, self._at = remote, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence])
        return self._at

    def readinto(self, buffer: Any) -> int:
        stop = min(self._at + len(buffer), self._size)
        data = self._remote.read_range(self._at, stop)
        buffer[:len(data)] = data
        self._at += len(data)
        return len(data)


def _is_there_already(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, FileExistsError):
            return True
        cause = cause.__cause__
    return False
