"""Tars read at random: where every sample lies is found by one pass over the headers, which reads no content.

    samples = TarSamples.scan(sorted(Path("data").glob("*.tar")))
    stream = Stream(samples, {}, batch=64, order=Order(shuffle="local"), shards=samples.shards)
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from features.errors import HeedError
from pipeline.tars.members import DamagedTar, TarReader
from pipeline.tars.samples import Refusals, TarSample, groups


class TarSamples(Sequence[TarSample]):
    """The samples of local tars, in the order of the tars; ``samples[i]`` reads one.

    Takes about 20 bytes a member and 100 a sample, and keeps no file open, so that it can be sent to other processes.
    """

    def __init__(self, tars: Sequence[Path], refused: Refusals) -> None:
        self.tars = tars
        self.refused = refused
        """What is not read."""
        self.keys: list[str] = []
        """The samples' keys, in order."""
        self.shards = np.zeros(0, np.int32)
        """(samples,): the tar that each is in, for a local shuffle."""
        self._parts: list[str] = []
        self._first, self._part = array("q"), array("H")
        self._offset, self._size = array("q"), array("q")

    @staticmethod
    def scan(tars: Sequence[str | Path], damaged: Literal["raise", "skip"] = "raise") -> TarSamples:
        """Find the samples of ``tars``; damaged ones as in `pipeline.tars.sequential.read_tar`."""
        found = TarSamples([Path(tar) for tar in tars], Refusals())
        known: dict[str, int] = {}
        shards = array("i")
        for number, path in enumerate(found.tars):
            try:
                with path.open("rb") as file:
                    for key, parts in groups(TarReader(file, str(path)), str(path), lambda m: m, found.refused):
                        found.keys.append(key)
                        found._first.append(len(found._part))
                        shards.append(number)
                        for part, member in parts.items():
                            found._part.append(known.setdefault(part, len(known)))
                            found._offset.append(member.offset)
                            found._size.append(member.size)
            except OSError as error:
                raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from error
            except DamagedTar as error:
                if damaged == "raise":
                    raise
                found.refused.add(str(path), "", str(error))
            except OverflowError:
                raise HeedError(f"{path} has more than {1 << 16} different extensions; it is not made of samples in "
                                "WebDataset's naming.") from None
        found._first.append(len(found._part))
        found._parts = list(known)
        found.shards = np.array(shards, np.int32)
        return found

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, number: int) -> TarSample:  # type: ignore[override]
        """Sample ``number``; `HeedError` where the tar has changed since it was scanned."""
        parts = self.parts_of(number)
        return TarSample(self.keys[number], parts)

    def parts_of(self, number: int, names: Collection[str] | None = None) -> dict[str, bytes]:
        """Its parts, those of ``names`` alone where they are given; `HeedError` as for the sample."""
        if not 0 <= number < len(self):
            raise IndexError(f"There are {len(self)} samples; there is no sample {number}.")
        path, parts = self.tars[self.shards[number]], {}
        try:
            with path.open("rb") as file:
                for member in range(self._first[number], self._first[number + 1]):
                    if names is not None and self._parts[self._part[member]] not in names:
                        continue
                    file.seek(self._offset[member])
                    content = file.read(self._size[member])
                    if len(content) < self._size[member]:
                        raise HeedError(f"{path} has become shorter since it was scanned.")
                    parts[self._parts[self._part[member]]] = content
        except OSError as error:
            raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from error
        return parts
