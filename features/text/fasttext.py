"""fastText's word vectors, also of words it has never seen: its .bin files (version 11 and 12) and .vec files.

Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information", §3.2. A .bin file is little-endian: magic and
version, the training arguments, the dictionary, a flag for quantised files, and the input matrix, a row for each word
and for each of ``bucket`` hash values. A word's vector is the mean of its own row, if it has one, and of the rows of
the character n-grams of <word>.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.errors import HeedError

MAGIC = 793712314
_ARGUMENTS = struct.Struct("<12id")
_COUNTS = struct.Struct("<iiiqq")
_SUPERVISED = 3


@dataclass(frozen=True)
class FastText:
    """Word vectors."""

    words: dict[bytes, int]
    """Row of each known word, in UTF-8."""
    rows: np.ndarray
    """(words + buckets, dim) float32; of a .bin file mapped, not read."""
    lengths: tuple[int, int] = (0, 0)
    """Least and most characters of an n-gram; most is 0 where there are none."""
    buckets: int = 0

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return int(self.rows.shape[1])

    def __contains__(self, word: str) -> bool:
        return word.encode() in self.words

    def vector(self, word: str) -> np.ndarray:
        """(dim,) float32; zeros for an unknown word without n-grams, which in a .vec file is every unknown word."""
        encoded = word.encode()
        row = self.words.get(encoded)
        chosen = [] if row is None else [row]
        if encoded != b"</s>" and self.buckets:
            first = len(self.words)
            chosen += [first + h % self.buckets for h in subword_hashes(word, *self.lengths)]
        return self.rows[chosen].mean(axis=0, dtype=np.float32) if chosen else np.zeros(self.dim, np.float32)

    def mean(self, text: str) -> np.ndarray:
        """(dim,) float32: the mean over the words between single spaces, M4C's vector of an OCR token."""
        return np.stack([self.vector(word) for word in text.split(" ")]).mean(axis=0)

    @classmethod
    def load(cls, path: str | Path) -> FastText:
        """Read a .bin or .vec file; raises `HeedError` where it is absent, damaged or quantised."""
        path = Path(path)
        if not path.is_file():
            raise HeedError(f"There are no fastText vectors {path}.")
        try:
            return _read_vec(path) if path.suffix == ".vec" else _read_bin(path)
        except (ValueError, IndexError, struct.error, OSError) as error:
            raise HeedError(f"{path} is no fastText file, or is cut short ({error}); M4C's is wiki.en.bin.") from error


def subword_hashes(word: str, least: int, most: int) -> Iterator[int]:
    """FNV-1a hashes of the n-grams of <word>, in fastText's order, a boundary mark alone left out.

    As in fastText a byte from 128 on is taken for a negative number and extended to 32 bits before it is mixed in.
    """
    pieces = [c.encode() for c in f"<{word}>"]
    for start in range(len(pieces)):
        value = 2166136261
        for length, piece in enumerate(pieces[start:start + most], 1):
            for byte in piece:
                value = (value ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * 16777619 & 0xFFFFFFFF
            if length >= least and not (length == 1 and start in (0, len(pieces) - 1)):
                yield value


def _read_bin(path: Path) -> FastText:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        magic, version = struct.unpack_from("<ii", data)
        if magic != MAGIC or version not in (11, 12):
            raise ValueError(f"it begins with {data[:8].hex()}, not with fastText's mark")
        arguments = _ARGUMENTS.unpack_from(data, 8)
        dim, model, buckets, least, most = arguments[0], arguments[7], arguments[8], arguments[9], arguments[10]
        at = 8 + _ARGUMENTS.size
        size, known, _, _, pruned = _COUNTS.unpack_from(data, at)
        at += _COUNTS.size
        words: dict[bytes, int] = {}
        for number in range(size):
            end = data.find(b"\0", at)
            if end < 0:
                raise ValueError("its dictionary ends early")
            if number < known:
                words[data[at:end]] = number
            at = end + 10  # the zero, the count (8 bytes) and whether it is a label
        if data[at] or pruned > 0:
            raise ValueError("it is a quantised model (.ftz), which heed does not read")
        rows, columns = struct.unpack_from("<qq", data, at + 1)
        if most <= 0 or (version == 11 and model == _SUPERVISED):  # such old models use no n-grams, whatever they say
            most = buckets = 0
        if len(words) != known:
            raise ValueError(f"its dictionary has {len(words)} words where it promises {known}")
        short = rows < known + buckets or at + 17 + 4 * rows * columns > len(data)
        if short or columns != dim or min(buckets, columns) < 0:
            raise ValueError(f"its matrix of {rows} x {columns} does not fit the dictionary or the file")
    matrix = np.memmap(path, "<f4", "r", at + 17, (rows, columns))
    return FastText(words, matrix, (least, most), buckets)


def _read_vec(path: Path) -> FastText:
    with path.open("rb") as file:
        count, dim = (int(number) for number in file.readline().split())
        if count < 0 or dim < 1 or count * dim > path.stat().st_size:
            raise ValueError(f"its first line promises {count} x {dim} numbers")
        words: dict[bytes, int] = {}
        rows = np.empty((count, dim), np.float32)
        for number in range(count):
            word, *values = file.readline().rstrip(b" \r\n").rsplit(b" ", dim)
            if len(values) != dim:
                raise ValueError(f"line {number + 2} has not a word and {dim} numbers")
            words.setdefault(word, number)
            rows[number] = [float(value) for value in values]
    return FastText(words, rows)
