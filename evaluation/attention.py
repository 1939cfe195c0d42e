"""Attention weights of a run, judged by themselves: how concentrated, and how alike another run's.

Read from predictions files alone: `evaluation.predictions` (matching, whose weights are in the file itself) and
`evaluation.attention_file` (every other task, SPLIT.attention.arrow). Each *kind* of attention in a file (the words of
a caption; MAC's control and read units) is judged on its own. Special tokens of captions do not count.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from evaluation.bootstrap import RESAMPLES, Figure, figure, mean, resample
from evaluation.metrics.concentration import concentration, js_similarity, top_agreement
from features.errors import HeedError


@dataclass(frozen=True)
class Attention:
    """All distributions of one kind, laid end to end in the order of the file."""

    ids: tuple[str, ...]
    """What each query belongs to: a caption's id, or a sample's id and step."""
    image: np.ndarray
    """(queries,) str, key of the image: the cluster of the bootstrap."""
    lengths: np.ndarray
    """(queries,) int64, keys each query attends to; at least 1."""
    weights: np.ndarray
    """(sum of lengths,) float64."""


def read_attention(path: Path) -> dict[str, Attention]:
    """The kinds of attention of a predictions file; `HeedError` where it has none."""
    from evaluation.run_folder import attention_path

    beside = attention_path(path)
    if beside.exists() or path.name.endswith(".attention.arrow"):
        return _of_steps(beside if beside.exists() else path)
    if path.suffix != ".arrow":
        raise HeedError(f"{path} has no attention weights, and there is no {beside.name} beside it: this task writes "
                        "none, or was not asked to")
    return {"words": _of_captions(path)}


def has_attention(path: Path) -> bool:
    """Whether there are attention weights in a predictions file, or in the file that stands beside it for them."""
    from evaluation.run_folder import attention_path

    if attention_path(path).exists():
        return True
    if path.suffix != ".arrow":
        return False
    try:
        with pa.memory_map(str(path)) as source:
            return "weights" in pa.ipc.open_file(source).schema.names
    except (pa.ArrowInvalid, OSError):
        return False


def judge_attention(
    kinds: Mapping[str, Attention], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict[str, Figure]]:
    """Entropy and sparsity (`evaluation.metrics.concentration`): kind -> name -> mean, resampled by image."""
    return {kind: _figures(concentration(one.weights, one.lengths), one.image, resamples, seed)
            for kind, one in kinds.items()}


def agreement(
    first: Mapping[str, Attention], second: Mapping[str, Attention], resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, dict[str, Figure]]:
    """How alike two runs attend on the same samples: kind -> name -> mean over queries, resampled by image.

    js: 1 - Jensen-Shannon divergence in bits; top: probability that the most attended key is the same; chance: what top
    would be for keys drawn at random. Raises `HeedError` where the two are not of the same samples and keys.
    """
    if set(first) != set(second):
        raise HeedError(f"two runs with other kinds of attention: {', '.join(first)} and {', '.join(second)}")
    found = {}
    for kind, one in first.items():
        other = second[kind]
        if one.ids != other.ids or not np.array_equal(one.lengths, other.lengths):
            raise HeedError(f"two runs whose {kind} attend on other samples or regions: agreement needs the same split "
                            "of the same store, read with the same vocabulary")
        values = {"js": js_similarity(one.weights, other.weights, one.lengths),
                  "top": top_agreement(one.weights, other.weights, one.lengths), "chance": 1 / one.lengths}
        found[kind] = _figures(values, one.image, resamples, seed)
    return found


def mean_agreement(runs: Sequence[Mapping[str, Attention]]) -> dict[str, dict[str, tuple[float, float, float]]]:
    """Agreement of every pair of runs: kind -> name -> (mean, smallest, largest). Empty for fewer than two runs.

    No interval: pairs that share a run are not independent.
    """
    pairs = [agreement(a, b, resamples=0) for a, b in itertools.combinations(runs, 2)]
    if not pairs:
        return {}
    found: dict[str, dict[str, tuple[float, float, float]]] = {}
    for kind, figures in pairs[0].items():
        found[kind] = {}
        for name in figures:
            values = [pair[kind][name].value for pair in pairs]
            found[kind][name] = (float(np.mean(values)), min(values), max(values))
    return found


def _figures(values: Mapping[str, np.ndarray], image: np.ndarray, resamples: int, seed: int) -> dict[str, Figure]:
    _, cluster = np.unique(image, return_inverse=True)
    clusters = int(cluster.max(initial=-1)) + 1
    weights = resample(clusters, resamples, seed)
    found = {}
    for name, one in values.items():
        known = np.isfinite(one)
        found[name] = figure(mean(weights, one[known], cluster[known]), int(known.sum()), clusters)
    return found


def _of_captions(path: Path) -> Attention:
    from evaluation.predictions import MatchingPredictions

    read = MatchingPredictions.read(path)
    ids: list[str] = []
    images, lengths, weights = [], [], []
    for row, caption in enumerate(read.captions):
        seen = read.attention(row)
        if seen is None or not seen.weights.size:
            continue
        words = seen.spans[:, 0] >= 0
        # i2t: a region's weights sum to 1 over all tokens, special ones among them.
        block = seen.weights[words] if read.direction == "t2i" else seen.weights.T
        ids += [caption] * len(block)
        images += [read.own[row]] * len(block)
        lengths += [block.shape[1]] * len(block)
        weights.append(block.reshape(-1))
    return _laid(path, ids, images, lengths, weights)


def _of_steps(path: Path) -> dict[str, Attention]:
    from evaluation.attention_file import AttentionFile

    parts: dict[str, tuple[list[str], list[str], list[int], list[np.ndarray]]] = {}
    for row in AttentionFile.read(path):
        ids, images, lengths, weights = parts.setdefault(row.name, ([], [], [], []))
        block = row.weights[row.weights.sum(1) > 0]  # a query with nothing to attend to has no distribution
        if not block.size:
            continue
        ids += [f"{row.id} {row.step}"] * len(block)
        images += [row.image] * len(block)
        lengths += [block.shape[1]] * len(block)
        weights.append(block.reshape(-1))
    return {name: _laid(path, *part) for name, part in parts.items()}


def _laid(path: Path, ids: list[str], images: list[str], lengths: list[int], weights: list[np.ndarray]) -> Attention:
    if not ids:
        raise HeedError(f"{path} holds no attention weights")
    return Attention(tuple(ids), np.array(images), np.array(lengths, np.int64),
                     np.concatenate(weights).astype(np.float64))
