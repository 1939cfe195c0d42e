"""Pooled states of sentences on the disk, for the linguistic probe: one vector a sentence and layer.

    FOLDER/TASK/000000.npz     LAYER -> (sentences, dim) float32, some hundred sentences at once; whole or not there
    FOLDER/TASK/sentences.json the sentences that were taken, with their splits and labels; written last
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from features.errors import HeedError
from pipeline.datasets.senteval import LabelledSentence

AT_ONCE = 512
"""Sentences a part."""


@dataclass(frozen=True)
class SentenceStates:
    """One task's sentences and their states."""

    folder: Path
    sentences: tuple[LabelledSentence, ...]
    layers: tuple[str, ...]

    @classmethod
    def open(cls, folder: Path) -> SentenceStates:
        """Open what `evaluation.probes.reading.fill_sentences` finished; `HeedError` where it has not."""
        try:
            said = json.loads((folder / "sentences.json").read_text(encoding="utf-8"))
            return cls(folder, tuple(LabelledSentence(*row) for row in said["sentences"]), tuple(said["layers"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HeedError(f"{folder} holds no finished states of sentences ({error}): "
                            "run heed probe again.") from None

    def states(self, layer: str) -> np.ndarray:
        """(sentences, dim) float32."""
        parts = []
        for number in range(-(-len(self.sentences) // AT_ONCE)):
            with np.load(self.folder / f"{number:06d}.npz", allow_pickle=False) as part:
                parts.append(part[layer].astype(np.float32))
        return np.concatenate(parts)


def taken(sentences: Sequence[LabelledSentence], most: int) -> list[LabelledSentence]:
    """At most ``most`` of the sentences, as many of each split as its share, drawn by a fixed seed, in their order."""
    if len(sentences) <= most:
        return list(sentences)
    kept: list[int] = []
    for split in ("train", "val", "test"):
        here = [number for number, sentence in enumerate(sentences) if sentence.split == split]
        share = max(1, len(here) * most // len(sentences)) if here else 0
        kept += np.random.default_rng(0).permutation(here)[:share].tolist()
    return [sentences[number] for number in sorted(kept)]
