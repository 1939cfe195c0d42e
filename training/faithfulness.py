"""`heed faithfulness RUN`: does the score fall when what is attended to is taken away, and rise when it is put back?

The one measure of interpretability that needs the model: it is asked again for every set of keys left. A task takes
part by a method ``probes`` (`Probed`); the arithmetic is `evaluation.metrics.faithfulness`'s. The figures go into
RUN/measures/SPLIT.faithfulness.json, where `heed sweep` finds them. Light to import.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from tyro.conf import Positional

from features.errors import HeedError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Probe:
    """Some samples of a split, encoded once, ready to be scored with any of their keys left."""

    image: np.ndarray
    """(samples,) str, key of the image."""
    counts: np.ndarray
    """(samples,) int64, keys that each sample has."""
    attention: np.ndarray
    """(samples, longest) float, how much attention a key gets in all; zero behind a sample's own."""
    gradient: np.ndarray
    """(samples, longest) float, the derivative of the score by a key's vector times that vector."""
    score_with: Callable[[np.ndarray], np.ndarray]
    """(samples, longest) bool, the keys that are left -> (samples,) float, the score of the truth with these alone."""


@runtime_checkable
class Probed(Protocol):
    """Optional for a task: its score of the truth, as a function of the keys that its attention can choose among."""

    model: Any
    keys: str
    """What is taken away, such as "regions" or "words"."""

    def probes(self, split: str, most: int) -> Iterator[Probe]:
        """The first ``most`` samples of a split, in parts; the model is in eval mode."""
        ...


@dataclass(frozen=True)
class Faithfulness:
    """Measure the faithfulness of a trained run's attention by deletion and insertion, against random and gradients."""

    # Folder of the run.
    run_folder: Positional[Path]
    # train, val or test.
    split: str = "test"
    # Samples to measure on, at most.
    samples: int = 500
    # Steps from every key to none.
    steps: int = 10
    # Random orders to compare with.
    orders: int = 5
    # Decides the random orders.
    seed: int = 0
    # Which weights: the best validated, or the last.
    checkpoint: Literal["best", "last"] = "best"

    def run(self) -> int:
        """Measure, write RUN/measures/SPLIT.faithfulness.json, and print the figures."""
        from evaluation.table import print_figures

        found = measure_run(self)
        print_figures(f"Faithfulness: {found['samples']:,} samples, {found['keys']} taken away and put back",
                      found["faithfulness"], [], "image")
        return 0


def measure_run(options: Faithfulness) -> dict[str, Any]:
    """Measure a run and write its file; gives what is in it."""
    from pipeline.atomic import write_json
    from training.commands import trained_task

    _, task = trained_task(options.run_folder, options.checkpoint)
    if not isinstance(task, Probed):
        raise HeedError(f"The task of {options.run_folder} cannot be scored with some of its keys alone; "
                        "matching, vqa, text-vqa and generation can.")
    found = measure(task, options)
    folder = options.run_folder / "measures"
    folder.mkdir(exist_ok=True)
    write_json(folder / f"{options.split}.faithfulness.json", found)
    return found


def measure(task: Probed, options: Faithfulness) -> dict[str, Any]:
    """Figures ("faithfulness": name -> `Figure.to_json`), mean curves ("curves"), and what they were measured on."""
    import numpy as np

    from evaluation.metrics.faithfulness import ORDERS, faithfulness

    rng = np.random.default_rng(options.seed)
    scores: dict[str, dict[str, list[np.ndarray]]] = {
        kind: {order: [] for order in ORDERS} for kind in ("deletion", "insertion")}
    images = []
    task.model.eval()
    for probe in task.probes(options.split, options.samples):
        images.append(probe.image)
        rankings = {"attention": [probe.attention], "gradient": [probe.gradient],
                    "random": [rng.random(probe.attention.shape) for _ in range(options.orders)]}
        for order, weights in rankings.items():
            curves = [_curves(probe, one, options.steps, rng) for one in weights]
            for place, kind in enumerate(("deletion", "insertion")):
                scores[kind][order].append(np.mean([pair[place] for pair in curves], axis=0))
    image = np.concatenate(images)
    joined = {kind: {order: np.concatenate(parts) for order, parts in orders.items()}
              for kind, orders in scores.items()}
    figures, means = faithfulness(joined["deletion"], joined["insertion"], image)
    return {
        "split": options.split, "samples": len(image), "keys": task.keys, "steps": options.steps,
        "random_orders": options.orders, "seed": options.seed,
        "faithfulness": {name: value.to_json() for name, value in figures.items()},
        "curves": {name: [round(value, 5) for value in curve] for name, curve in means.items()},
    }


def _curves(probe: Probe, weights: np.ndarray, steps: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Scores (samples, steps + 1) of deletion and of insertion in the order of ``weights``."""
    import numpy as np

    from evaluation.metrics.faithfulness import ranks, steps_taken

    rank = ranks(weights, probe.counts, rng)
    real = np.arange(rank.shape[1]) < probe.counts[:, None]
    deletion, insertion = [], []
    for taken in steps_taken(probe.counts, steps):
        first = rank < taken[:, None]
        deletion.append(probe.score_with(real & ~first))
        insertion.append(probe.score_with(real & first))
    return np.stack(deletion, axis=1), np.stack(insertion, axis=1)
