"""Images into region rows: decoding in threads beside the detector.

Batches are cut from a shard's inputs in plan order and the network uses a fixed number of threads, so that the bytes do
not depend on who extracts a shard.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from features.detectors import DetectorOptions, load_detector
from features.errors import HeedError
from features.images import decode_image
from features.regions import Regions
from pipeline.fields import FeatureDtype, Row, region_fields, row_from_regions
from pipeline.sources import Item, read_bytes


@dataclass(frozen=True)
class DetectRegions:
    """Which detector, and how images reach it."""

    detector: str
    options: DetectorOptions
    dtype: FeatureDtype = "float16"
    """Number type of the stored features."""
    batch: int = 8
    """Images the detector sees at once. Part of the identity: it can change a feature's last bit."""
    max_pixels: int = 100_000_000
    """Larger images fail, unread."""
    decoders: int = 2
    """Threads that decode the next batch while the detector works."""

    def open(self) -> DetectionReader:
        """Load the detector."""
        return DetectionReader(self)

    def open_to_plan(self) -> DetectionReader:
        """Load the detector on the CPU."""
        return DetectionReader(replace(self, options=replace(self.options, device="cpu")))


class DetectionReader:
    """A loaded detector as a `pipeline.worker.Reader`."""

    kind = "regions"

    def __init__(self, spec: DetectRegions) -> None:
        self.spec = spec
        self.detector = load_detector(spec.detector, spec.options)
        self.fields = region_fields(self.detector.dim, self.detector.attributes, spec.dtype,
                                    self.detector.distribution)

    def describe(self) -> dict[str, Any]:
        """The detector's own description, with the batch size and the pixel limit."""
        return {**self.detector.describe(), "batch": self.spec.batch, "max_pixels": self.spec.max_pixels}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row | HeedError]]:
        """Each image's regions as a row; the next batch is decoded while the detector works on this one."""
        batches = [items[i : i + self.spec.batch] for i in range(0, len(items), self.spec.batch)]
        with ThreadPoolExecutor(self.spec.decoders) as pool:

            def decode(batch: Sequence[Item]) -> list[Future]:
                return [pool.submit(_decode, item, self.spec.max_pixels) for item in batch]

            ahead = decode(batches[0]) if batches else []
            for number, batch in enumerate(batches):
                decoded = [(item, future.result()) for item, future in zip(batch, ahead, strict=True)]
                ahead = decode(batches[number + 1]) if number + 1 < len(batches) else []
                good = [(item, image) for item, image in decoded if isinstance(image, np.ndarray)]
                found = dict(zip((item.key for item, _ in good), self._detect(good), strict=True))
                for item, image in decoded:
                    yield item, self._row(item.key, found.get(item.key, image))

    def _row(self, key: str, result: Regions | HeedError) -> Row | HeedError:
        if isinstance(result, HeedError):
            return result
        try:
            return row_from_regions(key, result.checked(), self.fields)
        except HeedError as error:
            return error

    def _detect(self, good: Sequence[tuple[Item, np.ndarray]]) -> list[Regions | HeedError]:
        if not good:
            return []
        images, boxes = [image for _, image in good], [item.boxes for item, _ in good]
        try:
            return list(self.detector.detect(images, boxes if any(b is not None for b in boxes) else None))
        except Exception as error:
            if len(good) > 1:  # find the one that the detector cannot take
                return [self._detect([one])[0] for one in good]
            return [error if isinstance(error, HeedError) else HeedError(f"the detector failed: {error!r}")]


def _decode(item: Item, max_pixels: int) -> np.ndarray | HeedError:
    try:
        return decode_image(read_bytes(item), max_pixels)
    except HeedError as error:
        return error
    except MemoryError:
        return HeedError("needs more memory than there is")
