"""The members of a tar one after the other, from a file that need not seek: a pipe, or an object in a bucket.

Python's own tarfile takes a damaged header, and a file cut short between two members, for the end of the tar. Here a
tar ends where it says so, with a block of zeros; anything else is damage, and told. Formats: ustar, GNU and POSIX pax,
uncompressed (header layout: POSIX.1-2017, pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format").
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import BinaryIO

from features.errors import HeedError
from pipeline.sources import MAX_BYTES

BLOCK = 512
MAX_EXTENSION = 1 << 20
"""Bytes that a long name or a pax header may take; those of real tars take some hundreds."""
_AT_ONCE = 1 << 20
_FILES, _LINKS, _FOLDER, _SPARSE = b"0\x007", b"12", b"5", b"S"
_EMPTY = b"123456"
"""Kinds that have no content, whatever size their header gives."""
_EXTENSIONS = b"xgLK"


class DamagedTar(HeedError):
    """A tar that is cut short or damaged; what came before that was whole."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a tar that is no folder."""

    name: str
    offset: int
    """Byte of the tar at which its content begins."""
    size: int
    """Bytes."""
    refusal: str = ""
    """Why its content must not be read; "" where it may be."""


class TarReader:
    """Reads a tar from the place at which ``file`` is; ``where`` is what errors call it.

    Members of more than ``most`` bytes are refused; without ``seek`` they are passed over by reading.

    `next` gives members in order; between two calls the content of the first may be taken with `read`, once.
    """

    def __init__(self, file: BinaryIO, where: str, seek: bool = True, most: int = MAX_BYTES) -> None:
        self._file, self._where, self._most = file, where, most
        self._at = 0
        self._next = 0
        self._end = _bytes_left(file) if seek else None
        self._common: dict[str, str] = {}

    def next(self) -> Member | None:
        """The next member, None behind the last; `DamagedTar` where the tar is cut short or damaged."""
        own: dict[str, str] = {}
        while True:
            self._skip(self._next - self._at)
            place = self._at
            header = self._take(BLOCK)
            if not header.strip(b"\0"):
                return None
            kind, size = header[156:157], self._size(header, place)
            if kind in _EXTENSIONS:
                self._next = place + BLOCK + _padded(size)
                self._extend(kind, size, place, own)
                continue
            told = {**self._common, **own}
            own = {}
            name = told.get("path") or _name(header)
            if kind in _EMPTY:
                size = 0
            elif "size" in told:
                size = self._number(told["size"].encode(), place, 10)
            more = header[482] if kind == _SPARSE else 0
            while more:  # a map of the holes that the header has no room for
                more = self._take(BLOCK)[504]
            if self._end is not None and self._at + size > self._end:
                raise DamagedTar(f"{self._where} is cut short: it ends at byte {self._end}, within {name!r}.")
            self._next = self._at + _padded(size)
            if kind == _FOLDER or (kind == b"\0" and name.endswith("/")):
                continue
            sparse = kind == _SPARSE or any(key.startswith("GNU.sparse") for key in told)
            return Member(name, self._at, size, _refusal(name, kind, size, sparse, self._most))

    def read(self, member: Member) -> bytes:
        """The content of the member that `next` has just given."""
        return self._take(member.size)

    def finish(self) -> None:
        """Read what follows the end, which makes a compressed file compare its checksum."""
        while self._part(_AT_ONCE):
            pass

    def _extend(self, kind: bytes, size: int, place: int, own: dict[str, str]) -> None:
        """Take in an entry that tells of the next member (``own``) or of all that follow."""
        if size > MAX_EXTENSION:
            raise self._damaged(place, f"a name or a header of {size} bytes")
        content = self._take(size)
        if kind == b"g":
            self._common |= self._pax(content, place)
        elif kind == b"x":
            own |= self._pax(content, place)
        elif kind == b"L":
            own["path"] = _text(content)

    def _take(self, count: int) -> bytes:
        """Exactly ``count`` bytes, in parts, so that a size which the file does not have takes no memory."""
        parts = []
        while count:
            part = self._part(min(count, _AT_ONCE))
            if not part:
                raise DamagedTar(f"{self._where} is cut short: it ends at byte {self._at}, before the zeros that end "
                                 "every tar.")
            count -= len(part)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _part(self, most: int) -> bytes:
        try:
            part = self._file.read(most)
        except (OSError, EOFError, zlib.error) as error:
            raise DamagedTar(f"{self._where} cannot be read on from byte {self._at}: {error}.") from error
        self._at += len(part)
        return part

    def _skip(self, count: int) -> None:
        if count and self._end is not None:
            if self._at + count > self._end:
                raise DamagedTar(f"{self._where} is cut short: it ends at byte {self._end}, before the zeros that end "
                                 "every tar.")
            self._file.seek(count, 1)
            self._at += count
            return
        while count:
            count -= len(self._take(min(count, _AT_ONCE)))

    def _size(self, header: bytes, place: int) -> int:
        told, field = self._number(header[148:156], place), sum(header[148:156])
        total = sum(header) - field + 8 * ord(" ")
        if told != total and told != total - 256 * sum(byte > 127 for byte in header[:148] + header[156:]):
            # Some old tars add bytes as signed: the second form.
            raise self._damaged(place, "a header that does not match its checksum")
        return self._number(header[124:136], place)

    def _number(self, field: bytes, place: int, base: int = 8) -> int:
        """A number in digits, or in base 256 where GNU tar has found them too few."""
        if field[:1] == b"\x80":
            return int.from_bytes(field[1:], "big")
        digits = field.split(b"\0")[0].strip() or b"0"
        try:
            if not digits.isdigit():
                raise ValueError
            return int(digits[:30], base)
        except ValueError:
            raise self._damaged(place, "a header with no number where one must be") from None

    def _pax(self, content: bytes, place: int) -> dict[str, str]:
        """The records "length key=value" of a pax header."""
        found: dict[str, str] = {}
        while content.strip(b"\0"):
            length = content[:20].split(b" ")[0]
            end = int(length) if length.isdigit() else 0
            key, equals, value = content[len(length) + 1 : end - 1].partition(b"=")
            if not (len(length) + 2 < end <= len(content) and equals):
                raise self._damaged(place, "a pax header that is not made of records")
            found[_text(key)] = _text(value)
            content = content[end:]
        return found

    def _damaged(self, place: int, what: str) -> DamagedTar:
        return DamagedTar(f"{self._where} is damaged at byte {place}: {what}. What follows cannot be read.")


def _refusal(name: str, kind: bytes, size: int, sparse: bool, most: int) -> str:
    if kind in _LINKS:
        return "is a link; heed follows none"
    if sparse:
        return "is stored with holes (a sparse member), which heed does not read"
    if kind not in _FILES:
        return "is no file but a device, a pipe or something unknown"
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/"):
        return "has a name that leads out of the tar (it is absolute or has ..)"
    return f"has {size} bytes; heed reads members of up to {most}" if size > most else ""


def _name(header: bytes) -> str:
    """The name of a header; the prefix is POSIX's alone, GNU tar keeps other things there."""
    name = _text(header[:100])
    return f"{_text(header[345:500])}/{name}" if header[345] and header[257:263] == b"ustar\0" else name


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "surrogateescape")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _bytes_left(file: BinaryIO) -> int | None:
    """Bytes from here to the end of a file that can seek; None of one that cannot."""
    try:
        if not file.seekable():
            return None
        here = file.tell()
        end = file.seek(0, 2)
        file.seek(here)
        return end - here
    except (OSError, AttributeError):
        return None
