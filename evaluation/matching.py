"""Evaluate matching: a predictions file and the captions it was made from, to figures with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.bootstrap import RESAMPLES
from evaluation.metrics.grounding import grounding, linked_phrases
from evaluation.metrics.retrieval import chance, retrieval
from evaluation.predictions import MatchingPredictions
from features.errors import HeedError
from pipeline.annotations import Caption


def evaluate_matching(
    predictions: Path, truth: Sequence[Caption], protocol: str = "all", resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Compute retrieval figures, and attention against truth where there are both, as one JSON-ready dict.

    Keys: task, protocol, direction, images and captions (how many were ranked), retrieval and attention (name -> figure
    as `Figure.to_json`; attention is empty where no weights were written or no phrases are linked), chance (recalls of
    random scores, protocol all only) and notes: sentences, with counts, on everything that was not evaluated.
    Raises `HeedError` where predictions and truth have no caption in common or contradict each other.
    """
    read = MatchingPredictions.read(predictions)
    captions = {caption.id: caption for caption in truth}
    known = [row for row, name in enumerate(read.captions) if name in captions]
    if not known:
        raise HeedError(f"none of the {len(read.captions):,} captions in {predictions} is among the {len(truth):,} of "
                        f"the truth (for example {read.captions[0]!r}): give the split they were made from")
    notes = _coverage(read, captions)
    column = {key: number for number, key in enumerate(read.images)}
    for row in known:
        key, name = captions[read.captions[row]].key, read.captions[row]
        if read.own[row] != key:
            raise HeedError(f"caption {name!r} belongs to image {key!r} by the truth and to {read.own[row]!r} by the "
                            f"predictions {predictions}: they are of different data")
    ranked = [row for row in known if read.own[row] in column]
    if not ranked:
        raise HeedError(f"no caption's own image is among the {len(read.images):,} scored in {predictions}")
    own = np.array([column[read.own[row]] for row in ranked])
    scores = read.scores if len(ranked) == len(read.captions) else read.scores[ranked]
    figures = retrieval(scores.T, own, protocol, resamples, seed)
    attention = {}
    if read.has_attention:
        pairs = [(captions[read.captions[row]], seen) for row in known if (seen := read.attention(row)) is not None]
        phrases, unreached = linked_phrases(pairs)
        attention = grounding(phrases, resamples, seed)
        if unreached:
            notes.append("linked phrases without a token (captions cut short), not in the figures on attention: "
                         f"{unreached:,}")
        if len(pairs) < len(known):
            notes.append(f"captions written without attention: {len(known) - len(pairs):,}")
    return {
        "task": "matching", "protocol": protocol, "direction": read.direction,
        "images": len(read.images), "captions": len(ranked),
        "retrieval": {name: value.to_json() for name, value in figures.items()},
        "attention": {name: value.to_json() for name, value in attention.items()},
        "chance": chance(own, len(read.images)) if protocol == "all" else {},
        "notes": notes,
    }


def _coverage(read: MatchingPredictions, captions: dict[str, Caption]) -> list[str]:
    """Say what the predictions lack and what they have too much, with counts and an example."""
    predicted, scored = set(read.captions), set(read.images)
    true_images = {caption.key for caption in captions.values()}
    lost = [row for row, name in enumerate(read.captions) if name in captions and read.own[row] not in scored]
    return [
        *_note(set(captions) - predicted, "captions of the truth without a prediction, not evaluated"),
        *_note(predicted - set(captions), "predicted captions that are not in the truth, left out"),
        *_note(true_images - scored, "images of the truth that were not scored, so that no caption can find them"),
        *_note(scored - true_images, "scored images without a caption in the truth, which only stand as wrong answers"),
        *_note({read.captions[row] for row in lost}, "predicted captions whose own image was not scored, not ranked"),
    ]


def _note(names: Iterable[str], what: str) -> list[str]:
    """Return one sentence for a set of names, none for an empty one."""
    found = sorted(names)
    return [f"{what}: {len(found):,} (for example {found[0]!r})"] if found else []
