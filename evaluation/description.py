"""Evaluate audio descriptions: sentences and the true ones, to CIDEr and the like, and recall within neighbours.

Both files are JSON lines {"id", "video", "start", "end", "sentence"}, video being the film and times in seconds;
further fields are ignored. Sentences of a film are judged in order of their start. What R@k/N compares is said with it:
two figures with different similarities are two different figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.bootstrap import RESAMPLES, figure, mean, resample
from evaluation.captions import SPICE
from evaluation.metrics import ngrams
from evaluation.metrics.bertscore import BertScore
from evaluation.metrics.meteor import meteor, missing
from evaluation.metrics.neighbours import recall_within_neighbours
from evaluation.metrics.penn_words import penn_words
from evaluation.metrics.similarity import SIMILARITIES
from evaluation.table import print_figures
from features.errors import HeedError
from pipeline.atomic import atomic_write

Rows = Sequence[Mapping[str, Any]]
TOP = (1, 5)
"""k of R@k/N, as in AutoAD-II."""
NEIGHBOURS = 16
"""N."""


def evaluate_descriptions(
    predictions: Path | Rows, truth: Path | Rows, resamples: int = RESAMPLES, seed: int = 0, subset: bool = False,
    with_meteor: bool | None = None, similarity: str = "word-f1", neighbours: int = NEIGHBOURS,
    bertscore: BertScore | None = None,
) -> dict[str, Any]:
    """Compute all figures, each with an interval resampled by film, as one JSON-ready dict.

    Keys: task, descriptions, films, windows, similarity; ``figures``: BLEU-1 … BLEU-4, ROUGE-L, CIDEr and METEOR (if
    computed) on the scale of the published code (0 … 1, CIDEr 0 … 10), "R@1/16" and "R@5/16" in percent with
    ``similarity``, one of `SIMILARITIES`; with ``bertscore`` also "BERTScore" and "R@1/16 BERTScore" in percent;
    ``chance``: what sentences put in any order would get; ``notes``. ``subset`` allows descriptions without a
    prediction. Raises `HeedError` where a file cannot be read or descriptions do not match.
    """
    if similarity not in SIMILARITIES:
        raise HeedError(f"There is no similarity {similarity!r}; take one of {', '.join(SIMILARITIES)}.")
    said, true, notes = _matched(_read(predictions, "predictions"), _read(truth, "truth"), subset)
    films = list(dict.fromkeys(str(row["video"]) for row in true))
    number = {film: place for place, film in enumerate(films)}
    of = np.array([number[str(row["video"])] for row in true])
    sentences, references = ([str(row["sentence"]) for row in rows] for rows in (said, true))
    words = penn_words([*sentences, *references])
    captions, groups = words[: len(said)], [[one] for one in words[len(said):]]
    weights = resample(len(films), resamples, seed)
    samples = _of_captions(captions, groups, of, weights)
    reason = missing() if with_meteor is not False else "it was not asked for"
    if with_meteor or not reason:
        whole, each = meteor(captions, groups)
        samples["METEOR"] = mean(weights, each, of) + whole - each.mean()
    elif with_meteor is None:
        notes.append(f"METEOR was not computed: {reason}")
    notes.append(SPICE)
    counts = {name: len(true) for name in samples}
    recall, where = _recall(of, lambda rows: SIMILARITIES[similarity](
        [captions[i] for i in rows], [groups[i][0] for i in rows]), neighbours)
    names = [f"R@{k}/{neighbours}" for k in TOP]
    for name, column in zip(names, recall.T, strict=True):
        samples[name], counts[name] = mean(weights, 100 * column, where), len(where)
    if bertscore is not None:
        pairs = {film: bertscore.f1_matrix([sentences[i] for i in rows], [references[i] for i in rows])
                 for film in range(len(films)) if len(rows := np.flatnonzero(of == film))}
        own = np.concatenate([np.diagonal(pairs[film]) for film in range(len(films))])
        recall, where = _recall(of, lambda rows: pairs[int(of[rows[0]])], neighbours)
        samples["BERTScore"], counts["BERTScore"] = mean(weights, 100 * own, np.sort(of)), len(true)
        for name, column in zip(names, recall.T, strict=True):
            samples[f"{name} BERTScore"] = mean(weights, 100 * column, where)
            counts[f"{name} BERTScore"] = len(where)
    short = [film for film in range(len(films)) if film not in set(where.tolist())]
    if short:
        notes.append(f"films with fewer than {neighbours} descriptions, which R@k/{neighbours} leaves out: "
                     f"{len(short):,} of {len(films):,}")
    measured = {name: figure(values, counts[name], len(films)).to_json() for name, values in samples.items()
                if counts[name]}
    chance = {name: 100 * k / neighbours for name in measured for k in TOP if name.startswith(f"R@{k}/")}
    return {"task": "description", "descriptions": len(true), "films": len(films), "windows": len(where),
            "similarity": similarity, "figures": measured, "chance": chance, "notes": notes}


def print_descriptions(found: dict[str, Any]) -> None:
    """Print what `evaluate_descriptions` gave."""
    chance = ", ".join(f"{name} {value:.4g} %" for name, value in found["chance"].items() if "BERT" not in name)
    said = f"R@k/N compares by {found['similarity']}, in {found['windows']:,} windows; chance is {chance}"
    print_figures(f"Descriptions: {found['descriptions']:,} of {found['films']:,} films", found["figures"],
                  [*([said] if found["windows"] else []), *found["notes"]], "film")


def _of_captions(
    captions: Sequence[Sequence[str]], groups: Sequence[Sequence[Sequence[str]]], of: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Sample arrays of BLEU, ROUGE-L and CIDEr; a film's sentences are drawn together."""
    counts = np.array([ngrams.bleu_counts(caption, group) for caption, group in zip(captions, groups, strict=True)])
    by_film = np.stack([np.bincount(of, column, weights.shape[1]) for column in counts.T], 1)
    samples = {f"BLEU-{n + 1}": column for n, column in enumerate(ngrams.bleu(weights @ by_film).T)}
    rouge = [ngrams.rouge_l(caption, group) for caption, group in zip(captions, groups, strict=True)]
    samples["ROUGE-L"] = mean(weights, np.array(rouge), of)
    samples["CIDEr"] = mean(weights, ngrams.cider(captions, groups), of)
    return samples


def _recall(
    of: np.ndarray, similar: Callable[[np.ndarray], np.ndarray], neighbours: int
) -> tuple[np.ndarray, np.ndarray]:
    """R@k/N of every window of every film, (windows, k), and each window's film; ``similar`` takes a film's rows."""
    parts, where = [np.zeros((0, len(TOP)))], []
    for film in range(int(of.max(initial=-1)) + 1):
        rows = np.flatnonzero(of == film)
        if len(rows) >= neighbours:
            found, _ = recall_within_neighbours(similar(rows), TOP, neighbours)
            parts.append(found)
            where += [film] * len(found)
    return np.concatenate(parts), np.array(where, np.int64)


def _matched(said: Rows, true: Rows, subset: bool) -> tuple[Rows, Rows, list[str]]:
    """Rows of both in one order: the films' of the truth, in each that of time; and notes."""
    by_id = {row["id"]: row for row in said}
    known = {row["id"] for row in true}
    if extra := [name for name in by_id if name not in known]:
        raise HeedError(f"{len(extra):,} of the predictions have no true description, for example {extra[0]!r}.")
    notes = []
    if lacking := [row["id"] for row in true if row["id"] not in by_id]:
        note = f"descriptions without a prediction, left out: {len(lacking):,} (for example {lacking[0]!r})"
        if not subset:
            raise HeedError(f"The predictions lack descriptions: {note}. Add --subset to judge the others.")
        notes.append(note)
    kept = [row for row in true if row["id"] in by_id]
    if not kept:
        raise HeedError("The predictions and the truth have no description in common: they are of different films.")
    place = {film: number for number, film in enumerate(dict.fromkeys(row["video"] for row in kept))}
    kept.sort(key=lambda row: (place[row["video"]], float(row["start"]), float(row["end"])))
    return [by_id[row["id"]] for row in kept], kept, notes


def _read(source: Path | Rows, what: str) -> Rows:
    return read_rows(source, what) if isinstance(source, Path) else source


def read_rows(path: Path, what: str) -> list[dict[str, Any]]:
    """Read JSON lines of descriptions; `HeedError` naming the line that is none, or an id that comes twice."""
    rows: list[dict[str, Any]] = []
    seen = set()
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from error
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            row["start"], row["end"] = float(row["start"]), float(row["end"])
            row["id"], row["video"], row["sentence"] = str(row["id"]), str(row["video"]), str(row["sentence"])
        except (ValueError, KeyError, TypeError) as error:
            raise HeedError(f"Line {number} of the {what} {path} is no description with id, video, start, end and "
                            f"sentence: {error!r}.") from None
        if row["id"] in seen:
            raise HeedError(f"The {what} have two rows of the description {row['id']!r}.")
        seen.add(row["id"])
        rows.append(row)
    return rows


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write JSON lines."""
    with atomic_write(path) as file:
        for row in rows:
            file.write((json.dumps(row, ensure_ascii=False) + "\n").encode())
