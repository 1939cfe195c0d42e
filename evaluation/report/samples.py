"""Which captions the page shows, and what it knows of each: words, attention, truth, what was retrieved."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.metrics.grounding import phrase_attention, right_regions, span_attention
from evaluation.metrics.retrieval import ranks
from evaluation.predictions import CaptionAttention, MatchingPredictions
from pipeline.annotations import Caption

TOP = 5
"""Images and captions shown as retrieved."""
_WORD = re.compile(r"\w+(?:['’\-]\w+)*")


@dataclass(frozen=True)
class Judged:
    """One run's predictions with the ranks they give."""

    predictions: MatchingPredictions
    """As read."""
    truth: dict[str, Caption]
    """By id."""
    row: dict[str, int]
    """Caption id -> row of the predictions, for captions whose own image was scored."""
    t2i: dict[str, int]
    """Caption id -> rank of its image, from 0."""
    i2t: dict[str, int]
    """Image key -> rank of the best of its captions, from 0."""


def judge(predictions: MatchingPredictions, truth: list[Caption]) -> Judged:
    """Rank what is in both the predictions and the truth."""
    column = {key: number for number, key in enumerate(predictions.images)}
    known = {caption.id: caption for caption in truth}
    rows = [row for row, name in enumerate(predictions.captions)
            if name in known and predictions.own[row] in column and known[name].key == predictions.own[row]]
    if not rows:
        return Judged(predictions, known, {}, {}, {})
    i2t, t2i = ranks(predictions.scores[rows].T, np.array([column[predictions.own[row]] for row in rows]))
    names = [predictions.captions[row] for row in rows]
    return Judged(predictions, known, dict(zip(names, rows, strict=True)),
                  dict(zip(names, t2i.tolist(), strict=True)),
                  {key: int(rank) for key, rank in zip(predictions.images, i2t, strict=True) if rank >= 0})


def choose(runs: list[Judged], count: int) -> list[str]:
    """Choose captions by a fixed rule: a third each that every run finds, some run finds and no run finds first.

    Where a third is short the others fill it. Within a third the order is that of a hash of the id: as good as drawn,
    the same every time, and not picked by hand. Captions with linked phrases go first; an image is shown once.
    """
    names = set.intersection(*(set(run.row) for run in runs)) if runs else set()
    attended = {name for name in names if all(_has_attention(run, name) for run in runs)}
    linked = {name for name in attended if runs[0].truth[name].phrases}
    groups: list[list[str]] = [[], [], []]
    for name in sorted(linked or attended or names, key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
        found = [run.t2i[name] == 0 for run in runs]
        groups[0 if all(found) else 1 if any(found) else 2].append(name)
    chosen: list[str] = []
    images: set[str] = set()
    while len(chosen) < count and any(groups):
        for group in groups:
            while group and len(chosen) < count:
                name = group.pop(0)
                if (key := runs[0].truth[name].key) not in images:
                    chosen.append(name)
                    images.add(key)
                    break
    return chosen


def _has_attention(run: Judged, name: str) -> bool:
    """Whether the caption's attention was written."""
    return bool(run.predictions.rest["weights"][run.row[name]].is_valid)


def sample(runs: list[Judged], name: str) -> dict[str, Any]:
    """Return everything the page shows of a caption, JSON-ready. Pixels are of the image as its detector saw it.

    Keys: id, key, text, width, height; words: [start, end] characters; first: the word that is shown before one is
    chosen; phrases: start, end, boxes, words (indices); boxes: sets of regions, shared by runs that have the same;
    runs: for each its set of boxes, weights (words x regions, each word's sum to 1, null for a word no token reaches),
    of_phrases (pointing, mass, whether a region could be right, and which are), rank and image_rank from 1, and the
    images and captions it retrieves. Without attention the first three are missing.
    """
    caption = runs[0].truth[name]
    words = [list(match.span()) for match in _WORD.finditer(caption.text)]
    phrases = [
        {"start": p.start, "end": p.end, "boxes": np.round(p.boxes, 1).tolist(),
         "words": [i for i, (start, end) in enumerate(words) if start < p.end and end > p.start]}
        for p in caption.phrases if len(p.boxes)
    ]
    seen = [run.predictions.attention(run.row[name]) for run in runs]
    size = next(((one.width, one.height) for one in seen if one is not None), (1, 1))
    boxes: list[list[list[float]]] = []
    shown = []
    for run, one in zip(runs, seen, strict=True):
        entry = {"rank": run.t2i[name] + 1, "image_rank": run.i2t[caption.key] + 1, **_retrieved(run, caption)}
        if one is not None:
            entry |= _attention(one, caption, words, boxes)
        shown.append(entry)
    first = next((p["words"][-1] for p in phrases if p["words"]), len(words) // 2)
    return {
        "id": name, "key": caption.key, "text": caption.text, "width": size[0], "height": size[1], "words": words,
        "phrases": phrases, "boxes": boxes, "runs": shown, "first": first,
    }


def _attention(
    seen: CaptionAttention, caption: Caption, words: list[list[int]], boxes: list[list[list[float]]]
) -> dict[str, Any]:
    """Weights of each word and figures of each phrase; new sets of regions are added to ``boxes``."""
    own = np.round(seen.boxes, 1).tolist()
    if own not in boxes:
        boxes.append(own)
    weights = [span_attention(seen, start, end) for start, end in words]
    phrases = []
    for phrase in caption.phrases:
        if len(phrase.boxes):
            found = phrase_attention(seen, phrase, caption.key)
            phrases.append(None if found is None else {
                "pointing": round(found.pointing, 3), "mass": round(found.mass, 4), "reachable": found.ceiling > 0,
                "right": np.flatnonzero(right_regions(seen, phrase)).tolist(),
            })
    return {"boxes": boxes.index(own), "of_phrases": phrases,
            "weights": [None if w is None else [round(float(value), 4) for value in w] for w in weights]}


def _retrieved(run: Judged, caption: Caption) -> dict[str, Any]:
    """Return the best images for the caption and the best captions for its image, each with whether it is right."""
    predictions = run.predictions
    of_caption = predictions.scores[run.row[caption.id]]
    of_image = predictions.scores[:, predictions.images.index(caption.key)]
    best = [predictions.captions[i] for i in np.argsort(-of_image, kind="stable")[:TOP]]
    return {
        "images": [{"key": predictions.images[i], "right": predictions.images[i] == caption.key}
                   for i in np.argsort(-of_caption, kind="stable")[:TOP]],
        "captions": [{"id": name, "text": run.truth[name].text if name in run.truth else f"caption {name}",
                      "right": name in run.truth and run.truth[name].key == caption.key} for name in best],
    }
