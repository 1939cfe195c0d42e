"""`heed evaluate attention`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional


@dataclass(frozen=True)
class EvaluateAttention:
    """Judge attention weights by themselves, from predictions files of any task: entropy, sparsity, agreement of runs.

    Every figure comes with a 95 % interval, resampled by image.
    """

    # RUN/predictions/SPLIT.arrow or .json; weights that are in SPLIT.attention.arrow are found beside it. Of several
    # files (runs with other seeds, or other variants) the agreement of each pair is told as well.
    predictions: Positional[tuple[Path, ...]]
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print JSON for machines instead of tables.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import itertools
        import json

        from evaluation.attention import agreement, judge_attention, read_attention
        from evaluation.table import print_figures
        from features.errors import HeedError

        if not self.predictions:
            raise HeedError("Name one predictions file or more.")
        kinds = [read_attention(path) for path in self.predictions]
        found: dict[str, dict[str, dict[str, dict]]] = {"concentration": {}, "agreement": {}}
        for path, one in zip(self.predictions, kinds, strict=True):
            found["concentration"][str(path)] = _plain(judge_attention(one, self.resamples))
        for (path, one), (other_path, other) in itertools.combinations(
                zip(self.predictions, kinds, strict=True), 2):
            found["agreement"][f"{path} and {other_path}"] = _plain(agreement(one, other, self.resamples))
        if self.json:
            print(json.dumps(found, indent=1, ensure_ascii=False))
            return 0
        for what, files in found.items():
            for name, figures in files.items():
                print_figures(f"{what.capitalize()} of attention: {name}", figures, [], "image")
        return 0


def _plain(kinds: dict) -> dict[str, dict]:
    """Kind -> name -> Figure, as "kind.name" -> JSON."""
    return {f"{kind}.{name}": value.to_json() for kind, figures in kinds.items() for name, value in figures.items()}
