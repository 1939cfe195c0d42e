"""Many byte strings of one row, read when they are asked for: the pictures of a film are never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload


class Blobs(Sequence[bytes]):
    """Byte strings by number; each is read anew whenever it is asked for."""

    def __init__(self, count: int, read: Callable[[int], bytes]) -> None:
        self._count, self._read = count, read

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            chosen = range(self._count)[index]
            return Blobs(len(chosen), lambda number: self._read(chosen[number]))
        return self._read(range(self._count)[index])

    def __reduce__(self) -> tuple[type[list], tuple[list[bytes]]]:
        """Sent to another process they are read, as the open shard cannot go with them."""
        return list, (list(self),)

    def __repr__(self) -> str:
        return f"{self._count} files"
