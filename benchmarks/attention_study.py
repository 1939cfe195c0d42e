"""The attention study on scenes: every score function x seeds of a task, what it costs and what it attends to.

    python -m benchmarks.attention_study [--task matching] [--work FOLDER] [--seeds 5] [--first-seed 0] [--ray]

renders the scenes, extracts their regions, trains every variant with `heed sweep` (a trial at a time in this process;
--ray packs them), and writes benchmarks/results/attention_study/TASK/ (table.csv, table.md, table.tex, agreement.csv,
relation.csv), docs/attention-study-TASK.png and the tables of docs/attention-study.md. Run again, it goes on where it
was stopped; two of them with other seeds may share a FOLDER, and a last one over all seeds makes the tables.

A trial is made small on purpose: long enough to learn clearly and too short to reach the ceiling, where all variants
would look alike.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.recipes import ROOT, publish
from features.errors import HeedError
from heed import main as heed
from pipeline.store import Store

DOCUMENT = ROOT / "docs" / "attention-study.md"
VARIANTS = ("dot", "scaled_dot", "cosine", "general-key", "general-query", "biased_general-key",
            "biased_general-query", "activated_general-key-relu", "activated_general-key-sigmoid", "elementwise")


@dataclass(frozen=True)
class Study:
    """How a task is studied."""

    images: int
    """Scenes that are rendered."""
    regions: str
    """Options of `heed extract regions`: which boxes the scenes detector keeps."""
    options: str
    """Of `heed sweep TASK`, beside the data."""
    data: tuple[str, str]
    """The options that name the store and the scenes folder."""
    variants: tuple[str, ...] = VARIANTS


STUDIES = {
    "matching": Study(
        800, "--boxes 8 24",
        "--epochs 1 --batch-size 64 --lr 3e-3 --schedule cosine --min-count 1 --model.embed-dim 64 "
        "--model.word-dim 32 --model.no-max-violation --faithfulness",
        ("--store", "--captions"),
    ),
    "vqa": Study(
        4000, "--boxes 1 16 --score-threshold 0.5",
        "--ten-answers --epochs 3 --validate-every 3 --batch-size 64 --lr 3e-3 --warmup 50 --schedule cosine "
        "--ema 0.99 --model.steps 2 --model.dim 64 --model.word-dim 64 --model.classifier 64 --model.output-product "
        "--model.drop-stem 0 --model.drop-read 0 --model.drop-words 0 --model.drop-question 0 --model.drop-memory 0 "
        "--model.drop-output 0",
        ("--store", "--questions"),
    ),
}


def prepare(one: Study, folder: Path) -> None:
    """Scenes and a store of their regions, gone on with where they are not whole."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        Store.open(folder / "store")
        return
    except HeedError:
        run("scenes", str(folder / "scenes"), "--images", str(one.images))
    run("extract", "regions", str(folder / "scenes" / "images"), str(folder / "store"), "--detector", "scenes",
        *one.regions.split(), "--inline")


def run(*words: str) -> None:
    """A heed command; ends this program where it fails."""
    if status := heed(words):
        sys.exit(status)


def study(task: str, folder: Path, first: int, seeds: int, ray: bool) -> None:
    """Train what is not trained yet, and write the tables."""
    one = STUDIES[task]
    run("sweep", task, "--attention", *one.variants, "--seeds", str(seeds), "--seed", str(first), "--out",
        str(folder / "sweep"), one.data[0], str(folder / "store"), one.data[1], str(folder / "scenes"),
        *one.options.split(), *(() if ray else ["--inline"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=sorted(STUDIES), default="matching")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--ray", action="store_true")
    parser.add_argument("--train-only", action="store_true", help="leave the published tables as they are")
    chosen = parser.parse_args()
    work = chosen.work or Path(tempfile.mkdtemp(prefix="attention-study-"))
    folder = work / chosen.task
    prepare(STUDIES[chosen.task], folder)
    study(chosen.task, folder, chosen.first_seed, chosen.seeds, chosen.ray)
    if not chosen.train_only:
        publish(folder / "sweep", f"attention_study/{chosen.task}", DOCUMENT, chosen.task)


if __name__ == "__main__":
    main()
