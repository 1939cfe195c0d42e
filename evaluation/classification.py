"""Evaluate image classification: JSON lines of likeliest classes and of true labels, to top-1 and top-5 accuracy.

    predictions   {"image": key, "classes": [name, …], "probabilities": [p, …]}, likeliest first
    truth         {"image": key, "label": name}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.bootstrap import RESAMPLES, figure, mean, resample
from features.errors import HeedError
from pipeline.atomic import atomic_write

AT = (1, 5)


def write_labels(path: Path, keys: Sequence[str], labels: Sequence[str]) -> None:
    """Write the truth, a JSON line an image."""
    with atomic_write(path) as file:
        for key, label in zip(keys, labels, strict=True):
            file.write((json.dumps({"image": key, "label": label}, ensure_ascii=False) + "\n").encode())


def evaluate_classification(
    predictions: Path, truth: Path, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """Compute top-1 and top-5 accuracy in percent, with intervals over images, as one JSON-ready dict.

    Keys: task, images, classes, ``figures`` (top1, top5, balanced: the mean over classes of their top-1; and
    top1/CLASS), each as `Figure.to_json`, and ``notes``. An image without a prediction is an error. Raises
    `HeedError` where a file cannot be read or they are of different images.
    """
    said, true = _lines(predictions, "classes"), _lines(truth, "label")
    if extra := sorted(set(said) - set(true)):
        raise HeedError(f"{len(extra):,} images of {predictions} are not in {truth}, for example {extra[0]!r}.")
    if lacking := sorted(set(true) - set(said)):
        raise HeedError(f"{predictions} lacks {len(lacking):,} images of {truth}, for example {lacking[0]!r}.")
    keys = list(true)
    labels = np.array([str(true[key]["label"]) for key in keys])
    shown = min(len(said[key]["classes"]) for key in keys)
    hits = {k: np.array([str(true[key]["label"]) in said[key]["classes"][:k] for key in keys], float) for k in AT}
    everything = np.arange(len(keys))
    weights = resample(len(keys), resamples, seed)
    figures = {f"top{k}": figure(mean(weights, 100 * hits[k], everything), len(keys), len(keys)).to_json() for k in AT}
    names = sorted(set(labels.tolist()))
    by_class = [mean(weights, 100 * hits[1][labels == name], everything[labels == name]) for name in names]
    figures["balanced"] = figure(np.nanmean(by_class, axis=0), len(keys), len(keys)).to_json()
    if len(names) <= 50:
        for name, samples in zip(names, by_class, strict=True):
            count = int((labels == name).sum())
            figures[f"top1/{name}"] = figure(samples, count, count).to_json()
    unknown = sum(str(label) not in {c for key in keys for c in said[key]["classes"]} for label in names)
    notes = [f"classes of the truth that no prediction names: {unknown}"] if unknown else []
    if shown < max(AT):
        notes.append(f"the predictions name {shown} classes an image, so top-5 counts those")
    return {"task": "classification", "images": len(keys), "classes": len(names), "figures": figures, "notes": notes}


def print_classification(found: dict[str, Any]) -> None:
    """Print what `evaluate_classification` gave; classes apart only where they are few."""
    from evaluation.table import print_figures

    shown = {name: data for name, data in found["figures"].items() if "/" not in name or found["classes"] <= 20}
    print_figures(f"Classification: {found['images']:,} images of {found['classes']} classes, percent", shown,
                  found["notes"], "image")


def _lines(path: Path, wanted: str) -> dict[str, dict[str, Any]]:
    """Read JSON lines by their image; `HeedError` naming the line that is not one."""
    if not path.is_file():
        raise HeedError(f"There is no file {path}.")
    found: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            row = json.loads(line)
            key, value = str(row["image"]), row[wanted]
        except (ValueError, KeyError, TypeError) as error:
            raise HeedError(f"Line {number} of {path} has no image and {wanted} ({error!r}).") from None
        if wanted == "classes" and not (isinstance(value, list) and value):
            raise HeedError(f"Line {number} of {path} names no classes.")
        if key in found:
            raise HeedError(f"{path} has the image {key!r} twice.")
        found[key] = row
    if not found:
        raise HeedError(f"{path} is empty.")
    return found
