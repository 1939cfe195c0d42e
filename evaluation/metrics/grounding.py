"""Attention against truth: does the model look at the object that the words name?

For every phrase that the truth links to boxes, the phrase's attention is the mean over the tokens whose characters
overlap it, renormalised over the regions of its image. A region is *right* where its IoU with any of the phrase's boxes
is at least 0.5. Then

- pointing: the most attended region is right (the pointing game, Zhang et al. 2016, on regions). Where several share
  the top, the share of them that is right: the expectation of a draw among them, so that uniform attention gets
  exactly the uniform figure;
- mass: the attention on right regions;
- entropy: of the attention, divided by log(regions); 1 is uniform, 0 a single region; not defined for one region;
- uniform: pointing (and mass) of attention that is the same everywhere: the share of right regions;
- ceiling: any region is right, so that a perfect attention could point to it;
- pointing_ratio and mass_ratio: those two divided by uniform.

All but entropy and the ratios are in percent. An image without regions counts as missed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evaluation.bootstrap import RESAMPLES, Figure, figure, mean, resample
from evaluation.predictions import CaptionAttention
from features.boxes import iou
from pipeline.annotations import Caption, Phrase

RIGHT = 0.5
"""IoU with a linked box from which a region is right."""
_TIE = 1e-6  # relative: float32 rounding is 6e-8


@dataclass(frozen=True)
class PhraseAttention:
    """What one phrase's attention does."""

    image: str
    """Key of the image, the cluster of the bootstrap."""
    pointing: float
    """0..1."""
    mass: float
    """0..1."""
    entropy: float
    """0..1, NaN where there are fewer than two regions."""
    uniform: float
    """0..1."""
    ceiling: float
    """0 or 1."""


def span_attention(seen: CaptionAttention, start: int, end: int) -> np.ndarray | None:
    """Attention (regions,) float64 of the characters ``start`` to ``end``, summing to 1; None where no token overlaps.

    Weights that are zero on every region are taken as uniform.
    """
    inside = (seen.spans[:, 0] < end) & (seen.spans[:, 1] > start)  # special tokens are (-1, -1): never inside
    if not inside.any():
        return None
    weights = seen.weights[inside].astype(np.float64).mean(axis=0)
    total = weights.sum()
    return weights / total if total > 0 else np.full(len(weights), 1 / max(len(weights), 1))


def right_regions(seen: CaptionAttention, phrase: Phrase) -> np.ndarray:
    """Return (regions,) bool: whether each region's IoU with any of the phrase's boxes is at least 0.5."""
    if not len(seen.boxes):
        return np.zeros(0, bool)
    boxes = np.asarray(phrase.boxes, np.float32).reshape(-1, 4)
    return np.asarray(iou(seen.boxes, boxes)).max(axis=1, initial=0) >= RIGHT


def top_regions(attention: np.ndarray) -> np.ndarray:
    """Return (regions,) bool: those that share the most attention."""
    return attention >= attention.max(initial=0) * (1 - _TIE)


def phrase_attention(seen: CaptionAttention, phrase: Phrase, image: str) -> PhraseAttention | None:
    """Measure one phrase; None where the caption's tokens do not reach it (a caption cut short)."""
    attention = span_attention(seen, phrase.start, phrase.end)
    if attention is None:
        return None
    return region_attention(attention, right_regions(seen, phrase), image)


def region_attention(attention: np.ndarray, right: np.ndarray, image: str) -> PhraseAttention:
    """Measure attention (regions,) that sums to 1, of which the regions in ``right`` (regions,) bool are the ones."""
    if not len(right):
        return PhraseAttention(image, 0.0, 0.0, np.nan, 0.0, 0.0)
    return PhraseAttention(
        image, float(right[top_regions(attention)].mean()), float(attention[right].sum()), entropy(attention),
        float(right.mean()), float(right.any()),
    )


def entropy(attention: np.ndarray) -> float:
    """Entropy of attention (n,) that sums to 1, divided by log(n); NaN for fewer than two."""
    positive = attention[attention > 0]
    return float(-(positive * np.log(positive)).sum() / np.log(len(attention))) if len(attention) > 1 else np.nan


def linked_phrases(pairs: Iterable[tuple[Caption, CaptionAttention]]) -> tuple[list[PhraseAttention], int]:
    """Measure every phrase that has boxes; also return how many the tokens do not reach."""
    measured = [phrase_attention(seen, phrase, caption.key)
                for caption, seen in pairs for phrase in caption.phrases if len(phrase.boxes)]
    reached = [phrase for phrase in measured if phrase is not None]
    return reached, len(measured) - len(reached)


def grounding(phrases: list[PhraseAttention], resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Figure]:
    """Mean over phrases of each figure, with a bootstrap interval by image. Empty where there are no phrases."""
    if not phrases:
        return {}
    keys, image = np.unique([phrase.image for phrase in phrases], return_inverse=True)
    weights = resample(len(keys), resamples, seed)
    samples = {
        name: mean(weights, 100 * np.array([getattr(phrase, name) for phrase in phrases]), image)
        for name in ("pointing", "mass", "uniform", "ceiling")
    }
    for name in ("pointing", "mass"):
        samples[f"{name}_ratio"] = np.divide(
            samples[name], samples["uniform"], out=np.full(len(weights), np.nan), where=samples["uniform"] > 0)
    entropies = np.array([phrase.entropy for phrase in phrases])
    defined = np.isfinite(entropies)
    samples["entropy"] = mean(weights, entropies[defined], image[defined])
    return {
        name: figure(values, int(defined.sum()) if name == "entropy" else len(phrases), len(keys))
        for name, values in samples.items()
    }
