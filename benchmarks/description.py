"""Audio description of scenes films, with and without the mask: python -m benchmarks.description [FOLDER [MASK …]]

Renders 240 films of two minutes in FOLDER, each of five shots and 34 descriptions on average, extracts what is seen and
heard in their clips, and trains each MASK of none, lam, lam-multi and control once, none alone if no other is named.
What is in FOLDER already is gone on with. Writes benchmarks/results/description.json: the figures on the test split's
24 films with 95 % intervals, resampled by film, and each training's core minutes; for each similarity R@k/16, and
beside it what the same sentences get in another order within their films, and one sentence for everything. Without
FOLDER it writes the ceiling alone: what somebody gets who knows the test films' events and says them in other words.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recipes import compared, filmed, write
from evaluation.description import evaluate_descriptions, read_rows
from evaluation.metrics.similarity import SIMILARITIES
from pipeline.scenes.dataset import split_of
from pipeline.scenes.video import descriptions, video

FILMS, SECONDS, RATE = 240, 120, 5
RECIPE = ("--epochs 20 --batch-size 32 --lr 1e-3 --warmup 100 --features standard --margin 1 --mapper.dim 128 "
          "--mapper.heads 4 --mapper.max-clips 16 --mapper.shares --mapper.dropout 0.1 --language.dim 128 "
          "--language.layers 2 --language.max-tokens 48 --decode.beams 1 --validate-every 5 --device cpu")


def ceiling() -> dict[str, Any]:
    """R@k/16 of the test films' events told once more, with other words and names."""
    said, true = [], []
    for index in range(FILMS):
        if split_of(index) == "test":
            film = video(0, index, SECONDS)
            for rows, of in ((true, film), (said, replace(film, seed=1))):  # the seed chooses nothing but words here
                rows += [{"id": f"{index}-{i}", "video": str(index), "start": one.start, "end": one.end,
                          "sentence": one.caption.text} for i, one in enumerate(descriptions(of))]
    return recalls(said, true)


def recalls(said: list[dict[str, Any]], true: list[dict[str, Any]]) -> dict[str, Any]:
    """R@k/16 by every similarity: as said, in another order within each film, and of one sentence for everything."""
    draw = np.random.default_rng(0)
    films = np.array([row["video"] for row in said])
    other = np.arange(len(said))
    for film in np.unique(films):
        other[films == film] = draw.permutation(other[films == film])
    sentences = [row["sentence"] for row in said]
    commonest = max(sentences, key=sentences.count)
    versions = {"as said": said,
                "in another order": [{**row, "sentence": sentences[i]} for row, i in zip(said, other, strict=True)],
                "one sentence for all": [{**row, "sentence": commonest} for row in said]}
    return {similarity: {name: {key: value for key, value in evaluate_descriptions(
        rows, true, with_meteor=False, similarity=similarity)["figures"].items() if key.startswith("R@")}
        for name, rows in versions.items()} for similarity in SIMILARITIES}


def main(folder: Path, masks: list[str]) -> dict[str, Any]:
    """Make the data, train each mask, and give the recipe and what the runs tell."""
    scenes, objects, sound = filmed(folder, FILMS, "--video-seconds", SECONDS, "--video-fps", RATE)
    data = ("--video", objects, "--audio", sound, "--descriptions", scenes)
    found = compared("description", folder, masks, RECIPE, data, "descriptions", "films", "windows", "similarity",
                     "figures", "chance")
    for mask, run in found["runs"].items():
        said, true = (read_rows(folder / mask / "predictions" / f"test{suffix}.jsonl", "rows")
                      for suffix in ("", ".truth"))
        run["recall"] = recalls(said, true)
    return found


if __name__ == "__main__":
    result: dict[str, Any] = {"films": FILMS, "seconds": SECONDS, "ceiling": ceiling()}
    if sys.argv[1:]:
        result |= main(Path(sys.argv[1]), sys.argv[2:] or ["none"])
    write("description", result)
