"""A store whose features are written from the truth of scenes: what SCAN can learn without a detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.regions import Regions
from pipeline.datasets.scenes import read_objects
from pipeline.fields import Row, region_fields, row_from_regions
from pipeline.job import run_job
from pipeline.scenes.dataset import write_scenes
from pipeline.sources import Item, Source

DIM = 40


class TruthReader:
    """One region an object; its feature holds a 1 for each attribute."""

    kind, fields = "regions", region_fields(DIM, 0)

    def __init__(self, scenes: Path) -> None:
        self.objects = {objects.key: objects for objects in read_objects(scenes)}

    def open(self) -> TruthReader:
        return self

    open_to_plan = open

    def describe(self) -> dict[str, Any]:
        return {"name": "truth"}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row]]:
        for item in items:
            objects = self.objects[item.key]
            n = len(objects.boxes)
            features = np.zeros((n, DIM), np.float32)
            for place, ids in enumerate((objects.shapes, objects.colours, objects.sizes, objects.textures)):
                features[np.arange(n), 10 * place + ids] = 1
            nothing = np.zeros((n, 0))
            yield item, row_from_regions(item.key, Regions(
                objects.boxes, features, objects.shapes.astype(np.int32), np.ones(n, np.float32),
                nothing.astype(np.int32), nothing.astype(np.float32), objects.width, objects.height), self.fields)


def truth_store(folder: Path, images: int) -> tuple[Path, Path]:
    """Scenes and a store of them: (store, scenes)."""
    scenes = folder / "scenes"
    write_scenes(scenes, images, size=32)
    reader = TruthReader(scenes)
    source = Source(str(scenes), [Item(key, key, 1) for key in sorted(reader.objects)], 0)
    run_job(reader, source, folder / "store", inline=True)
    return folder / "store", scenes
