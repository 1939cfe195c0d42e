"""Evaluate generated pictures by their files: R-precision, named objects, FID and inception score.

FID and the inception score need the numbers of a network that saw the pictures. They are kept beside the list
(SPLIT.inception.npz) once they were computed, and nothing is made up where there are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.bootstrap import RESAMPLES, Figure, figure, mean, resample
from evaluation.generated import Generated
from evaluation.metrics.pictures import frechet_distance, inception_score, r_precision
from evaluation.named_objects import agreement, named_in, see_objects
from features.errors import HeedError
from pipeline.annotations import Caption

OTHERS = 99
"""Captions that a picture's own is held against in R-precision, as published."""


def evaluate_generation(
    predictions: Path, truth: Sequence[Caption] = (), network: str | None = None,
    real: Iterable[np.ndarray] | None = None, objects: bool = True, resamples: int = RESAMPLES, seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Judge the pictures of a list (`evaluation.generated`), as one JSON-ready dict.

    ``truth`` are captions with phrases, by id: where theirs name scenes' objects, ``objects`` looks for them in the
    pictures. ``network`` is "fidelity", "torchvision" or a weights file (`features.inception`); ``real`` the real
    pictures that FID compares with. Keys: task, pictures, ``figures`` (in percent where they are shares, with intervals
    resampled by picture), ``notes``, and "network" where there was one. Raises `HeedError` for a list that is damaged.
    """
    generated = Generated.read(predictions)
    count = len(generated.files)
    weights = resample(count, resamples, seed)
    figures: dict[str, dict[str, Any]] = {}
    notes: list[str] = []
    found: dict[str, Any] = {"task": "generation", "pictures": count, "figures": figures, "notes": notes}
    if (embeddings := generated.embeddings()) is None:
        notes.append("no R-precision: the list has no embeddings of a text and an image encoder beside it")
    elif count < 2:
        notes.append("no R-precision: there is one picture only")
    else:
        similarity = own_and_others(*embeddings, generated.labels, OTHERS, seed)
        nearest = r_precision(similarity)
        figures["r_precision"] = figure(mean(weights, 100.0 * nearest, np.arange(count)), count, count).to_json()
        notes.append(f"R-precision: one's own caption against {similarity.shape[1] - 1} others, by the encoders that "
                     "guided the generator")
    if objects:
        figures.update(_objects(generated, truth, weights, notes, device))
    if network is None:
        notes.append("no inception score and no FID: they need a network, --network fidelity, torchvision or a file")
    else:
        found["network"] = _by_network(generated, network, real, figures, notes, device)
    return found


def own_and_others(seen: np.ndarray, said: np.ndarray, labels: np.ndarray, others: int = OTHERS, seed: int = 0
                   ) -> np.ndarray:
    """Cosines (pictures, 1 + others) of each picture with its own caption and with others', for `r_precision`.

    seen, said (pictures, dim): embeddings of the pictures and of their captions; the other captions are drawn, without
    replacement, among those of pictures with another of ``labels`` (pictures,): fewer where there are fewer.
    """
    seen, said = (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-8) for x in (seen, said))
    cosines = seen @ said.T
    rng = np.random.default_rng(seed)
    rows = []
    for row, label in enumerate(labels):
        chosen = rng.permutation(np.flatnonzero(labels != label))[:others]
        rows.append(np.concatenate([cosines[row, [row]], cosines[row, chosen]]))
    shortest = min(len(row) for row in rows)
    if shortest < 2:
        raise HeedError("R-precision needs pictures of more than one class: every other caption is of the same.")
    return np.stack([row[:shortest] for row in rows])


def _objects(generated: Generated, truth: Sequence[Caption], weights: np.ndarray, notes: list[str], device: str
             ) -> dict[str, dict[str, Any]]:
    """Figures on named objects, where the captions name any of the scenes'."""
    captions = {caption.id: caption for caption in truth}
    named = [named_in(captions[name]) if name in captions else [] for name in generated.ids]
    if not any(named):
        notes.append("named objects were not looked for: the truth links no phrases to objects of scenes")
        return {}
    seen = see_objects((generated.pixels(place) for place in range(len(named))), device=device)
    held = agreement(named, seen)
    samples = {name: mean(weights, 100 * held[name], held["picture"]) for name in ("both", "colour", "shape", "chance")}
    with np.errstate(divide="ignore", invalid="ignore"):
        samples["times chance"] = samples["both"] / samples["chance"]
    titles = {"both": "named_object", "colour": "named_colour", "shape": "named_shape", "chance": "chance",
              "times chance": "times_chance"}
    pictures = len(np.unique(held["picture"]))
    notes.append(f"named objects: {len(held['both']):,} that captions name by colour and shape, as the scenes detector "
                 "finds them; chance is the same pictures with other pictures' captions")
    return {title: figure(samples[name], len(held["both"]), pictures).to_json() for name, title in titles.items()}


def _by_network(generated: Generated, network: str, real: Iterable[np.ndarray] | None,
                figures: dict[str, dict[str, Any]], notes: list[str], device: str) -> dict[str, str]:
    """Inception score and FID; which network it was."""
    eye = import_module("features.inception").load(network, device)  # torch, only where pictures are looked at
    count = len(generated.files)
    features, probabilities = eye.look(generated.pixels(place) for place in range(count))
    rng = np.random.default_rng(0)
    splits = min(10, count)
    score, deviation = inception_score(probabilities[rng.permutation(count)], splits)
    figures["inception_score"] = Figure(score, np.nan, np.nan, count).to_json()
    notes.append(f"inception score by {eye.name} in {splits} parts, standard deviation over them {deviation:.3f}")
    if real is None:
        notes.append("no FID: it needs the real pictures; give the dataset as the truth")
    else:
        true, _ = eye.look(iter(real))
        figures["fid"] = Figure(frechet_distance(true, features), np.nan, np.nan, count).to_json()
        notes.append(f"FID of {count:,} generated against {len(true):,} real pictures; with fewer of them than "
                     "features, 2,048, it is biased upwards")
    return {"name": eye.name, "weights": eye.digest}
