"""`heed masks`: the masks of a trained run on some samples, and what they do to attention. Light to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from features.errors import HeedError


@dataclass(frozen=True)
class Masks:
    """Write the masks that a run's model makes for some samples, and what they do to attention.

    OUT is an .npz with, for each sample and layer, mask, weights, without (the weights as they would be without the
    mask) and moved, under SAMPLE/LAYER/NAME; the table gives each layer's means.
    """

    # Folder of the run.
    run_folder: Positional[Path]
    # The .npz file to write.
    out: Path
    # train, val or test.
    split: str = "test"
    # Samples of the split, the first ones.
    samples: int = 4
    # Which weights: the best validated, or the last.
    checkpoint: Literal["best", "last"] = "best"
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Write the maps, print the table."""
        import json

        import numpy as np
        import torch

        from training.attention.mask_maps import maps, recorded, summary
        from training.commands import trained_task

        config, task = trained_task(self.run_folder, self.checkpoint)
        if not hasattr(task, "look"):
            raise HeedError(f"The task of {self.run_folder} shows no masks: it has no attention with one.")
        task.model.eval()
        neutral = 0.0 if config.mask.combine == "add" else 1.0
        arrays: dict[str, np.ndarray] = {}
        figures: dict[str, list[dict[str, float]]] = {}
        with torch.no_grad(), recorded(task.model) as seen:
            for sample in task.look(self.split, self.samples):
                for name, calls in seen.items():
                    if calls and calls[-1].mask is not None:
                        figures.setdefault(name, []).append(summary(calls[-1], neutral))
                        arrays |= {f"{sample}/{name}/{kind}": value for kind, value in maps(calls[-1]).items()}
                    calls.clear()
        if not arrays:
            raise HeedError(f"{self.run_folder} was trained without a mask (--mask.mask {config.mask.mask}).")
        np.savez_compressed(self.out, **arrays)  # type: ignore[arg-type]
        means = {name: {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
                 for name, rows in figures.items()}
        if self.json:
            print(json.dumps(means, indent=1))
        else:
            _print(f"Masks of {self.run_folder} on {self.samples} samples of {self.split}", means)
        return 0


def _print(title: str, means: dict[str, dict[str, float]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("layer")
    for name in next(iter(means.values())):
        table.add_column(name.replace("_", " "), justify="right")
    for name, row in means.items():
        table.add_row(name, *(f"{value:.3f}" for value in row.values()))
    Console().print(table)
