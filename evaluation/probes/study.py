"""What a probe is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from evaluation.bootstrap import Figure, figure, mean, resample
from evaluation.probes.cache import Cache, Part
from evaluation.probes.options import ProbeOptions
from evaluation.probes.pairs import Pair, Pairs
from evaluation.probes.result import Result
from pipeline.progress import JobProgress

if TYPE_CHECKING:
    from evaluation.subjects.subject import Subject

PADDING, WORD, CLS, SEP, TASK, REGION, GLOBAL = range(7)
"""Kinds of positions, as in `evaluation.subjects.subject`, which needs torch; a test holds that they agree."""
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Study:
    """One variant of a subject with what it has read."""

    variant: str
    """"subject", "random" or "mismatched"."""
    readings: Cache | None
    """None where only sentences are probed, as are the pairs."""
    given: Pairs | None
    options: ProbeOptions
    scratch: Path
    """A folder for matrices too large for memory; emptied behind each probe."""
    sentences: Path | None = None
    """Folder of the sentences' pooled states (`evaluation.probes.sentences`); None where there are none."""
    model: Subject | None = None
    """The subject itself, for probes that intervene."""
    foils: Path | None = None
    """File or folder of foils; None where there are none."""
    batch: int = 32
    """Pairs read at once."""
    device: str = "cpu"
    seed: int = 0
    name: str = ""
    """The probe that is running, for its progress."""

    @property
    def cache(self) -> Cache:
        """The readings of the pairs."""
        assert self.readings is not None
        return self.readings

    @property
    def pairs(self) -> Pairs:
        """The pairs."""
        assert self.given is not None
        return self.given

    @property
    def subject(self) -> Subject:
        """The subject itself."""
        assert self.model is not None
        return self.model

    @cached_property
    def images(self) -> dict[str, int]:
        """Image's key -> its number: the clusters of the bootstrap."""
        return {key: number for number, key in enumerate(dict.fromkeys(pair.key for pair in self.pairs.pairs))}

    @cached_property
    def image(self) -> np.ndarray:
        """(pairs,) int64: each pair's image."""
        return np.array([self.images[pair.key] for pair in self.pairs.pairs], np.int64)

    @cached_property
    def split(self) -> np.ndarray:
        """(pairs,) int64: 0 train, 1 val, 2 test."""
        return np.array([SPLITS.index(pair.split) for pair in self.pairs.pairs], np.int64)

    @cached_property
    def weights(self) -> np.ndarray:
        """(1 + resamples, images) float64: `evaluation.bootstrap.resample`."""
        return resample(len(self.images), self.options.resamples)

    def parts(self) -> Iterator[tuple[Part, list[Pair]]]:
        """Each part with its pairs, telling the progress."""
        with self.progress(self.cache.parts, "parts") as progress:
            for number, part in enumerate(self.cache):
                yield part, [self.pairs.pairs[i] for i in part.pairs.tolist()]
                progress.update(number + 1)

    def progress(self, total: int, unit: str) -> JobProgress:
        """A bar for so many units of work."""
        return JobProgress(f"{self.variant}: {self.name}", total, unit)

    def figure(self, values: np.ndarray, image: np.ndarray) -> Figure:
        """The mean of values (n,), NaN left out, with its interval by image."""
        kept = np.isfinite(values)
        values, image = values[kept], image[kept]
        return figure(mean(self.weights, values, image), len(values), len(np.unique(image)))


class Probe(Protocol):
    """A file of this package is one: it has these names."""

    TITLE: str
    """One line: what is asked."""
    VARIANTS: tuple[str, ...]
    """On which variants it says something: "subject", "random", "mismatched"."""
    NEEDS: str
    """"pairs", "links", "relations", "sentences" or "foils"."""

    def run(self, study: Study) -> Result:
        """Measure."""


def counted(kinds: np.ndarray, exclude: str) -> np.ndarray:
    """Whether each position counts as a token of its modality, bool of the same shape.

    Regions count, and words; the whole image and the task's word, which a model adds of its own, count like [CLS].
    """
    left_out = {"keep": (), "cls": (CLS, TASK, GLOBAL), "sep": (SEP,), "both": (CLS, SEP, TASK, GLOBAL)}[exclude]
    return ~np.isin(kinds, (PADDING, *left_out))
