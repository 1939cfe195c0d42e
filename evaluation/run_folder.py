"""A run's folder, read: what `heed report` and `heed evaluate` know of a training run.

    RUN/config.json            the resolved configuration, with its "task"
    RUN/environment.json       versions, seed, store fingerprints
    RUN/metrics.jsonl          a line a logged step: {"step", "epoch", "split": "train" | "val", figures...}
    RUN/evaluation/SPLIT.json  figures, as the task's evaluation gave them
    RUN/predictions/SPLIT.arrow, .jsonl or .json    predictions, in the task's own format
    RUN/predictions/SPLIT.attention.arrow           attention weights, where they are in a file of their own
    RUN/predictions/SPLIT.truth.jsonl               what they were judged by, where kept
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from features.errors import HeedError

TRUTH_SUFFIX = ".truth.jsonl"
ATTENTION_SUFFIX = ".attention.arrow"
PREDICTIONS_SUFFIXES = (".arrow", ".jsonl", ".json")


def truth_path(predictions: Path) -> Path:
    """Where the truth of a predictions file is kept: SPLIT.truth.jsonl beside it."""
    return predictions.with_name(predictions.stem + TRUTH_SUFFIX)


def attention_path(predictions: Path) -> Path:
    """Where the attention weights of a predictions file are kept, if they are not in it: SPLIT.attention.arrow."""
    return predictions.with_name(predictions.stem + ATTENTION_SUFFIX)


@dataclass(frozen=True)
class RunFolder:
    """One run."""

    path: Path
    """The folder."""
    config: dict[str, Any]
    """The resolved configuration."""
    environment: dict[str, Any]
    """Versions, seed, store fingerprints; empty where the run did not write them."""
    metrics: list[dict[str, Any]]
    """Logged lines in order of step; of lines with the same split and step (a resumed run's) the last."""
    evaluations: dict[str, dict[str, Any]]
    """Split -> figures."""
    predictions: dict[str, Path]
    """Split -> predictions file."""
    truth: dict[str, Path]
    """Split -> truth file (`evaluation.truth`), where the run has kept one."""

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    def setting(self, name: str) -> Any:
        """Return the first setting called ``name`` at any depth of the configuration, or None."""
        return next((value for path, value in settings(self.config) if path.split(".")[-1] == name), None)


def read_run(path: Path) -> RunFolder:
    """Read a run folder; raise `HeedError` where it is not one or one of its files is damaged."""
    if not path.is_dir():
        raise HeedError(f"there is no run folder {path}")
    if not (path / "config.json").is_file():
        raise HeedError(f"{path} is not a run folder: it has no config.json (heed train writes one)")
    environment = path / "environment.json"
    predictions = {file.stem: file for file in sorted((path / "predictions").glob("*"))
                   if file.suffix in PREDICTIONS_SUFFIXES and "." not in file.stem}
    truth = {file.name.removesuffix(TRUTH_SUFFIX): file
             for file in sorted((path / "predictions").glob(f"*{TRUTH_SUFFIX}"))}
    return RunFolder(
        path, _object(path / "config.json"), _object(environment) if environment.is_file() else {},
        _metrics(path / "metrics.jsonl"),
        {file.stem: _object(file) for file in sorted((path / "evaluation").glob("*.json"))}, predictions, truth,
    )


def settings(config: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give the configuration's leaves as ("loop.epochs", 10), in its own order, the shallow ones of a level first."""
    for key, value in config.items():
        if not isinstance(value, dict):
            yield prefix + key, value
    for key, value in config.items():
        if isinstance(value, dict):
            yield from settings(value, f"{prefix}{key}.")


def _object(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise HeedError(f"{path} is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise HeedError(f"{path} must hold a JSON object, not a {type(value).__name__}")
    return value


def _metrics(path: Path) -> list[dict[str, Any]]:
    """Read the logged lines; a run that was killed may have left half a last line, which does not count."""
    if not path.is_file():
        return []
    lines = path.read_bytes().split(b"\n")
    kept: dict[tuple[str, int], dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            kept[str(entry["split"]), int(entry["step"])] = entry
        except (ValueError, KeyError, TypeError):
            if number < len(lines):
                raise HeedError(f"line {number} of {path} is not a JSON object with split and step") from None
    return sorted(kept.values(), key=lambda entry: int(entry["step"]))
