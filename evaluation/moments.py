"""Evaluate moments: a QVHighlights submission file and the annotations, to the official figures and intervals.

The submission is JSON lines {"qid", "pred_relevant_windows": [[start, end, score], …], "pred_saliency_scores": [a score
each 2 seconds]}, either of the two lists or both; the truth is the published annotation format {"qid", "vid",
"duration", "relevant_windows", "relevant_clip_ids", "saliency_scores"}, the last two only where highlights are judged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.bootstrap import RESAMPLES, figure, mean, resample
from evaluation.metrics import moments, saliency
from evaluation.metrics.moments import RANGES, THRESHOLDS, Windows
from features.errors import HeedError

Rows = list[dict[str, Any]]
Sample = tuple[np.ndarray, np.ndarray, float]
"""Values of the queries that count, in 0 … 1; which queries these are; and their mean, summed in the official order, as
a last bit decides how 29.375 is rounded."""


def evaluate_moments(
    submission: Path | Rows, truth: Path | Rows, resamples: int = RESAMPLES, seed: int = 0, subset: bool = False
) -> dict[str, Any]:
    """Compute every figure of the official evaluator, and its intervals, as one JSON-ready dict.

    Keys: task, queries; ``official``, what the official evaluator writes: the same names and nesting, in percent,
    rounded to two digits (None where it could not be computed: it would stop there); ``figures``, name -> figure as
    `Figure.to_json`, in percent, unrounded, resampled by video; ``notes``: sentences on what was not evaluated.

    Where a query has no prediction it is left out of mAP, as officially, and is a miss for R1. ``subset`` allows
    submission and truth to hold different queries and judges those in both. Raises `HeedError` where they do not
    match, or a row cannot be read.
    """
    said, true = _by_query(submission, "submission"), _by_query(truth, "truth")
    notes = _unmatched(said, true, subset)
    queries = [qid for qid in true if qid in said]
    if not queries:
        raise HeedError("The submission and the truth have no query (qid) in common: they are of different data.")
    predicted, real = [said[qid] for qid in queries], [true[qid] for qid in queries]
    _, video = np.unique([str(row.get("vid", row["qid"])) for row in real], return_inverse=True)
    weights = resample(int(video.max()) + 1, resamples, seed)

    samples: dict[str, Sample] = {}
    if "pred_relevant_windows" in predicted[0]:
        samples |= _windows(predicted, real, notes)
    if "pred_saliency_scores" in predicted[0]:
        samples |= _highlights(predicted, real, notes)
    if not samples:
        raise HeedError("The submission has neither pred_relevant_windows nor pred_saliency_scores.")
    figures = {}
    for name, (values, of, _) in samples.items():
        measured = mean(weights, 100 * values, video[of])
        figures[name] = figure(measured, len(values), len(np.unique(video[of])))
    return {
        "task": "moments", "queries": len(queries), "official": official({n: 100 * s[2] for n, s in samples.items()}),
        "figures": {name: value.to_json() for name, value in figures.items()}, "notes": notes,
    }


def official(values: dict[str, float]) -> dict[str, Any]:
    """Arrange percentages by name as the official evaluator's file does, rounded to two digits, NaN as None."""
    def rounded(name: str) -> float | None:
        return None if np.isnan(values[name]) else float(f"{values[name]:.2f}")

    out: dict[str, Any] = {"brief": {}}
    brief = out["brief"]
    if "MR-full-mAP" in values:
        for name in ("MR-full-R1@0.5", "MR-full-R1@0.7", "MR-full-mAP", "MR-full-mAP@0.5", "MR-full-mAP@0.75",
                     "MR-long-mAP", "MR-middle-mAP", "MR-short-mAP"):
            brief[name] = rounded(name)
    if "HL-min-Fair-mAP" in values:
        for level in saliency.LEVELS:
            brief[f"HL-min-{level}-mAP"] = rounded(f"HL-min-{level}-mAP")
            brief[f"HL-min-{level}-Hit1"] = rounded(f"HL-min-{level}-Hit1")
            out[f"HL-min-{level}"] = {
                "HL-mAP": rounded(f"HL-min-{level}-mAP"), "HL-Hit1": rounded(f"HL-min-{level}-Hit1"),
            }
    if "MR-full-mAP" in values:
        for name in sorted(RANGES):
            out[name] = {
                "MR-mAP": {str(t): rounded(f"MR-{name}-mAP@{t}") for t in THRESHOLDS}
                | {"average": rounded(f"MR-{name}-mAP")},
                "MR-R1": {str(t): rounded(f"MR-{name}-R1@{t}") for t in THRESHOLDS},
            }
    return out


def _windows(predicted: Rows, real: Rows, notes: list[str]) -> dict[str, Sample]:
    """The figures of moment retrieval by name."""
    said = _padded(predicted, "pred_relevant_windows", 3, "submission")
    everything = _padded(real, "relevant_windows", 2, "truth")
    silent = np.flatnonzero(said.counts == 0)
    if len(silent):
        notes.append(f"queries without a predicted window, left out of mAP and missed in R1: {len(silent):,} "
                     f"(for example {predicted[silent[0]]['qid']!r})")
    out = {}
    for name, bounds in RANGES.items():
        truth = everything if bounds is None else everything.within(*bounds)
        asked = np.flatnonzero(truth.counts)
        if not len(asked):
            notes.append(f"no query has a true window of the range {name}: its figures are empty")
        nothing = [predicted[i]["qid"] for i in np.flatnonzero(truth.counts == 0)] if bounds is None else []
        if nothing:
            notes.append(f"queries without a true window, not judged: {len(nothing):,} (for example {nothing[0]!r})")
        ap = moments.average_precision(said, truth)
        counted = np.flatnonzero(~np.isnan(ap).any(1))
        exact = ap[counted].mean(0) if len(counted) else np.full(len(THRESHOLDS), np.nan)
        out[f"MR-{name}-mAP"] = (ap[counted].mean(1), counted, float(exact.mean()))
        nearest = moments.first_iou(said, truth)[asked]
        for column, threshold in enumerate(THRESHOLDS):
            out[f"MR-{name}-mAP@{threshold}"] = (ap[counted, column], counted, float(exact[column]))
            out[f"MR-{name}-R1@{threshold}"] = _sample((nearest >= threshold).astype(np.float64), asked)
    return out


def _sample(values: np.ndarray, of: np.ndarray) -> Sample:
    return values, of, float(values.mean()) if len(values) else float("nan")


def _highlights(predicted: Rows, real: Rows, notes: list[str]) -> dict[str, Sample]:
    """The figures of highlight detection by name."""
    if any("saliency_scores" not in row for row in real):
        notes.append("the truth has no saliency_scores: highlights were not judged")
        return {}
    rated = [_rated(row) for row in real]
    counts = np.array([len(one) for one in rated], np.int64)
    kept = np.flatnonzero(counts)
    if len(kept) < len(counts):
        notes.append(f"queries on videos shorter than one clip, without highlights: {len(counts) - len(kept):,}")
    scores = np.zeros((len(kept), int(counts.max(initial=0))))
    labels = np.zeros((len(kept), 3, scores.shape[1]))
    best = np.zeros(len(kept), np.int64)
    other = 0
    for place, row in enumerate(kept):
        given = _scores(predicted[row])
        other += len(given) != counts[row]
        best[place] = given.argmax() if len(given) else counts[row]
        scores[place, : counts[row]] = saliency.fitted(given, counts[row])
        labels[place, :, : counts[row]] = rated[row].T
    if other:
        notes.append(f"saliency lists of another length than the video has clips, cut or filled with zeros: {other:,}")
    inside = best < counts[kept]
    chosen = labels[np.arange(len(kept)), :, np.where(inside, best, 0)].max(1)
    levels = np.array(list(saliency.LEVELS.values()))
    positive = labels[:, None] >= levels[:, None, None]
    ap = saliency.average_precision(scores, positive.reshape(len(kept), -1, scores.shape[1]), counts[kept])
    ap = ap.reshape(len(kept), len(levels), 3)
    out = {}
    for place, (level, least) in enumerate(saliency.LEVELS.items()):
        exact = float(np.ascontiguousarray(ap[:, place]).mean()) if len(kept) else float("nan")
        out[f"HL-min-{level}-mAP"] = (ap[:, place].mean(1), kept, exact)
        out[f"HL-min-{level}-Hit1"] = _sample((inside & (chosen >= least)).astype(np.float64), kept)
    return out


def _rated(row: dict[str, Any]) -> np.ndarray:
    try:
        return saliency.ratings(row["duration"], row["relevant_clip_ids"], row["saliency_scores"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise HeedError(f"The truth of query {row['qid']!r} has no usable duration, relevant_clip_ids and "
                        f"saliency_scores: {error}.") from error


def _scores(row: dict[str, Any]) -> np.ndarray:
    try:
        scores = np.array(row["pred_saliency_scores"], np.float64).reshape(-1)
    except (KeyError, TypeError, ValueError) as error:
        raise HeedError(f"Query {row['qid']!r} of the submission has unusable pred_saliency_scores: {error}.") from None
    if not np.isfinite(scores).all():
        raise HeedError(f"Query {row['qid']!r} of the submission has saliency scores that are no finite numbers.")
    return scores


def _padded(rows: Rows, name: str, width: int, what: str) -> Windows:
    try:
        windows = Windows.of([[window[:width] for window in row[name]] for row in rows], width)
    except (KeyError, TypeError, ValueError) as error:
        bad = next((row["qid"] for row in rows if not _readable(row, name, width)), rows[0]["qid"])
        raise HeedError(f"Query {bad!r} of the {what} has no usable {name}: a list of windows of "
                        f"{width} numbers is expected ({error}).") from error
    if not np.isfinite(windows.values).all():
        bad = rows[int(np.flatnonzero(~np.isfinite(windows.values).all((1, 2)))[0])]["qid"]
        raise HeedError(f"Query {bad!r} of the {what} has windows that are no finite numbers.")
    return windows


def _readable(row: dict[str, Any], name: str, width: int) -> bool:
    try:
        Windows.of([[window[:width] for window in row[name]]], width)
    except (KeyError, TypeError, ValueError):
        return False
    return True


def _by_query(source: Path | Rows, what: str) -> dict[Any, dict[str, Any]]:
    rows = read_lines(source) if isinstance(source, Path) else source
    where = f" {source}" if isinstance(source, Path) else ""
    out: dict[Any, dict[str, Any]] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or "qid" not in row:
            raise HeedError(f"Row {number} of the {what}{where} has no qid.")
        if row["qid"] in out:
            raise HeedError(f"The {what}{where} has the query {row['qid']!r} twice.")
        out[row["qid"]] = row
    if not out:
        raise HeedError(f"The {what}{where} is empty.")
    return out


def read_lines(path: Path) -> Rows:
    """Read JSON lines; `HeedError` naming the line that is none."""
    rows: Rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        for line in lines:
            rows += [json.loads(line)] if line.strip() else [{}]
    except OSError as error:
        raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise HeedError(f"Line {len(rows) + 1} of {path} is not JSON in UTF-8: {error}.") from error
    return [row for row in rows if row != {}]


def _unmatched(said: Iterable[Any], true: Iterable[Any], subset: bool) -> list[str]:
    """Notes on queries that only one side has; `HeedError` unless that is allowed."""
    said, true = set(said), set(true)
    notes = []
    for extra, what in ((true - said, "queries of the truth that the submission lacks"),
                        (said - true, "queries of the submission that the truth lacks")):
        if extra:
            notes.append(f"{what}: {len(extra):,} (for example {_first(extra)!r})")
    if notes and not subset:
        raise HeedError(f"The submission does not match the truth; {'; '.join(notes)}. Give the split it was made "
                        "from, or --subset to judge the queries that both have.")
    return notes


def _first(names: Iterable[Any]) -> Any:
    ordered: Sequence[Any] = sorted(names, key=str)
    return ordered[0]
