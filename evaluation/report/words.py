"""What the page says in sentences."""

from __future__ import annotations

from typing import Any

from evaluation.bootstrap import Figure
from evaluation.report.tables import number
from evaluation.run_folder import RunFolder


def labels(runs: list[RunFolder]) -> list[str]:
    """Return the runs' names, each different: the folder's, and where two are alike, with the folder above."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        names = [f"{run.path.resolve().parent.name}/{run.name}" for run in runs]
    return [name if names.count(name) == 1 else f"{name} ({names[:i].count(name) + 1})" for i, name in enumerate(names)]


def described(run: RunFolder) -> str:
    """Say how the run was trained, in one sentence of what its folder holds."""
    task = str(run.config.get("task", "")).capitalize() or "Trained"
    steps = max((int(entry["step"]) for entry in run.metrics if entry["split"] == "train"), default=0)
    epochs = len({entry.get("epoch") for entry in run.metrics if entry["split"] == "train"})
    if not steps:
        return f"{task}; no training was logged."
    said = f"{task}, trained for {counted(epochs, 'epoch')}: {counted(steps, 'step')}"
    if (batch := run.setting("batch_size")) is not None:
        said += f" of {batch} samples"
    if (seed := run.setting("seed")) is not None:
        said += f", seed {seed}"
    return said + "."


def headline(names: list[str], evaluations: list[dict[str, Any] | None]) -> list[str]:
    """Say in two sentences what the best run, by the sum of recalls, achieves; nothing where none was evaluated."""
    judged = [(name, e) for name, e in zip(names, evaluations, strict=True) if e and e.get("retrieval")]
    if not judged:
        return []
    name, best = max(judged, key=lambda pair: Figure.from_json(pair[1]["retrieval"]["rsum"]).value)
    first = Figure.from_json(best["retrieval"]["t2i_r1"])
    chance = best.get("chance", {}).get("t2i_r1")
    captions, images = counted(best["captions"], "caption"), counted(best["images"], "image")
    by_chance = "" if chance is None else f" (chance: {percent(chance)})"
    said = [f"{name} finds the right image first for {percent(first.value)} of {captions} among {images}{by_chance}."]
    if best.get("attention"):
        pointing, uniform = (Figure.from_json(best["attention"][key]) for key in ("pointing", "uniform"))
        said.append(f"For {percent(pointing.value)} of {counted(pointing.n, 'phrase')} its most attended region is the "
                    f"one the words name; attention spread evenly would get {percent(uniform.value)}.")
    return said


def verdict(names: list[str], ranks: list[int]) -> tuple[str, str]:
    """Say which runs rank a caption's image first: ("good" | "some" | "bad", words)."""
    found = [name for name, rank in zip(names, ranks, strict=True) if rank == 1]
    if len(found) == len(names):
        return "good", "ranked first" if len(names) == 1 else "ranked first by all"
    return ("some", f"ranked first by {', '.join(found)}") if found else ("bad", "not ranked first")


def percent(value: float) -> str:
    """Return "62.2 %" that no line break cuts."""
    return f"{number(value)}\u00a0%"


def counted(count: int, what: str) -> str:
    """Return "1 step", "1,200 steps"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
