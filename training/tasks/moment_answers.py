"""What a model says of pieces of videos, put together as the rows of a QVHighlights submission; and the truth's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.metrics.moments import MOST, iou
from pipeline.annotations import Moment
from pipeline.atomic import atomic_write
from pipeline.moments import MomentBatch, Piece

if TYPE_CHECKING:
    from training.models.moment_detr import Found

DOUBLE = 0.7
"""Two windows from different pieces of a video that overlap by more are one."""


@dataclass(frozen=True)
class Answer:
    """What a model says of one piece of a video."""

    moment: Moment
    windows: np.ndarray
    """(queries, 3): start and end in seconds of the video, and score, best first."""
    saliency: np.ndarray
    """(clips,) of the piece."""
    first: int
    """Number of the piece's first clip."""
    end: float
    """Where the piece ends, in seconds."""
    clip_seconds: float

    @staticmethod
    def of(batch: MomentBatch, found: Found, published: bool) -> list[Answer]:
        """Answers to a batch; ``published`` multiplies by the duration, not by the time that the clips cover."""
        from training.models.spans import to_edges

        edges = to_edges(found.spans.float()).cpu().numpy()
        scores = found.logits.float().softmax(-1)[..., 0].cpu().numpy()
        saliency = found.saliency.float().cpu().numpy()
        answers = []
        for row, moment in enumerate(batch.moments):
            start, seconds = float(batch.starts[row]), float(batch.seconds[row])
            length = moment.duration if published and moment.duration and not start else seconds
            order = np.argsort(-scores[row], kind="stable")
            windows = np.concatenate([start + edges[row] * length, scores[row][:, None]], 1)[order]
            first = moment.span[0] if isinstance(moment, Piece) else 0
            answers.append(Answer(moment, windows, saliency[row, : batch.clips[row]], first, start + seconds,
                                  batch.clip_seconds))
        return answers


def merged(answers: Sequence[Answer], rounded: bool) -> list[dict[str, Any]]:
    """A submission's rows, in the order of the moments.

    Windows of a video's pieces compete by score, and one that is nearly another, better one is left out; the saliency
    of a clip is the mean over its pieces. Windows are cut to the video and, as published, to four decimals, and
    ``rounded`` to whole clips.
    """
    by_moment: dict[str, list[Answer]] = {}
    for answer in answers:
        by_moment.setdefault(answer.moment.id, []).append(answer)
    return [_row(parts, rounded) for parts in by_moment.values()]


def _row(parts: Sequence[Answer], rounded: bool) -> dict[str, Any]:
    moment, clip = parts[0].moment, parts[0].clip_seconds
    end = max(moment.duration, max(part.end for part in parts))
    windows = np.concatenate([part.windows for part in parts])
    windows = windows[np.argsort(-windows[:, 2], kind="stable")]
    windows[:, :2] = windows[:, :2].clip(0, end)
    if len(parts) > 1:
        windows = _distinct(windows)
    if rounded:
        windows[:, :2] = np.round(windows[:, :2] / clip) * clip
    clips = max(part.first + len(part.saliency) for part in parts)
    total, count = np.zeros(clips), np.zeros(clips)
    for part in parts:
        place = slice(part.first, part.first + len(part.saliency))
        total[place] += part.saliency
        count[place] += 1
    saliency = total / np.maximum(count, 1)
    return {"qid": number(moment), "query": moment.text, "vid": moment.key,
            "pred_relevant_windows": [[round(float(x), 4) for x in window] for window in windows[:MOST]],
            "pred_saliency_scores": [float(f"{x:.7g}") for x in saliency]}


def _distinct(windows: np.ndarray) -> np.ndarray:
    kept: list[np.ndarray] = []
    for window in windows:
        if not any(iou(window[:2], other[:2]) > DOUBLE for other in kept):
            kept.append(window)
    return np.stack(kept)


def number(moment: Moment) -> int | str:
    """How a submission names a query: the number behind "qid", or the dataset's own name."""
    digits = moment.id.removeprefix("qid")
    return int(digits) if digits.isdecimal() else moment.id


def truth_rows(moments: Iterable[Moment], answered: Mapping[Any, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The annotations of the queries that were answered and have a window, as QVHighlights writes them.

    Where nobody rated a clip, ratings are left out. Where the dataset does not say how long a video is, its clips do.
    """
    rows: list[dict[str, Any]] = []
    moments = list(moments)
    rated = any(len(moment.clips) for moment in moments)
    for moment in moments:
        name = number(moment)
        if name not in answered or not len(moment.windows):
            continue
        clips = len(answered[name]["pred_saliency_scores"])
        duration = moment.duration or clips * moment.clip_seconds
        row: dict[str, Any] = {
            "qid": name, "query": moment.text, "duration": duration, "vid": moment.key,
            "relevant_windows": [[float(x) for x in window] for window in moment.windows],
        }
        if rated:
            row |= {"relevant_clip_ids": moment.clips.tolist(), "saliency_scores": moment.saliency.tolist()}
        rows.append(row)
    return rows


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines."""
    with atomic_write(path) as file:
        for row in rows:
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
