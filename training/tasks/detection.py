"""The small Faster R-CNN of rendered scenes (`features.detectors.scenes_model`), trained from scratch.

    heed scenes SCENES --images 4000
    heed train detection --data SCENES --out RUN
    cp RUN/scenes.safetensors features/detectors/weights/

With these defaults 3,200 scenes of 160 pixels take nine minutes of one core (OMP_NUM_THREADS=1, 1.25 M parameters). On
the 400 test scenes, mean average precision over shapes is 0.872, and 0.996 at IoU 0.5; every object is covered;
colour, size and texture are right for 100, 100 and 97 % of them. `python -m benchmarks.scenes_detector` measures the
shipped weights again, on scenes of another seed.

Images are mirrored at random: no shape, colour, size or texture changes by it. The detector that is judged is the one
that `heed extract regions --detector scenes` runs.
Light to import: torch comes with `build`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from tyro.conf import arg

from pipeline.places import Place
from training.config import LoopConfig

if TYPE_CHECKING:
    from torch import Tensor

    from features.regions import Regions
    from pipeline.annotations import Caption
    from pipeline.datasets.scenes import ImageObjects

WEIGHTS_FILE = "scenes.safetensors"
_AT_ONCE = 16  # images detected at once when judged

_RECIPE = LoopConfig(epochs=4, batch_size=8, lr=2e-3, optimiser="adamw", weight_decay=1e-4, schedule="cosine",
                     warmup=100, clip=5.0)


@dataclass(frozen=True)
class DetectionConfig:
    """Train the small detector of the scenes; run again, an interrupted training goes on where it stopped."""

    suffix: ClassVar[str] = ".arrow"

    # A scenes folder.
    data: Path
    # Folder of the run; the finished detector is RUN/scenes.safetensors, for --detector scenes --weights.
    out: Path
    # Validation images judged after every epoch.
    validation_images: int = 200
    # The loop.
    loop: Annotated[LoopConfig, arg(name="")] = field(default_factory=lambda: _RECIPE)

    def run(self) -> int:
        """Train, judge the test split, and write the detector's weights file."""
        from training import checkpoint
        from training.commands import train_and_test

        status = train_and_test("detection", self)
        task = self.build()
        task.model.load_state_dict(checkpoint.load(self.out / "checkpoints" / "best.pt", str(task.device))["model"])
        task.export(self.out / WEIGHTS_FILE)
        print(f"{self.out / WEIGHTS_FILE}: the detector, for heed extract regions --detector scenes --weights.")
        return status

    def build(self) -> Detection:
        """The task, its model on its device."""
        return Detection(self)

    def stores(self) -> dict[str, Place]:
        """No stores are read: the detector sees pictures."""
        return {}

    def truth(self, split: str) -> list[Caption]:
        """The captions of a split, kept beside predictions as every task keeps them."""
        from pipeline.datasets import read_captions

        return read_captions(self.data, split)

    def keep_truth(self, split: str, predictions: Path) -> None:
        """Write the captions of a split beside its predictions."""
        from evaluation.run_folder import truth_path
        from evaluation.truth import write_truth

        write_truth(truth_path(predictions), self.truth(split))

    def judge(self, split: str, predictions: Path) -> dict[str, Any]:
        """Mean average precision, recall and right attributes of a predictions file; printed and given."""
        from evaluation.detections import read_detections
        from pipeline.datasets.scenes import read_objects

        figures = _judge(read_objects(self.data, split), read_detections(predictions))
        print(f"{split}: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
        return figures


class Detection:
    """The task; see `training.task.Task`."""

    monitor = "map"

    def __init__(self, config: DetectionConfig) -> None:
        import torch

        from features.detectors import scenes_model
        from features.devices import resolve_device
        from pipeline.datasets.scenes import read_objects
        from pipeline.sampler import steps_per_epoch
        from pipeline.scenes.shapes import SHAPES
        from pipeline.scenes.world import COLOURS, SIZES, TEXTURES

        self.config = config
        self.device = resolve_device(config.loop.device)
        self.training = read_objects(config.data, "train")
        self.batch = max(1, config.loop.batch_size // config.loop.accumulate)
        self.steps_per_epoch = steps_per_epoch(len(self.training), self.batch)
        self.classes = list(SHAPES)
        self.attributes = {"colour": list(COLOURS), "size": list(SIZES), "texture": list(TEXTURES)}
        torch.manual_seed(config.loop.seed)
        self.model = scenes_model.build(self.classes, self.attributes).to(self.device)

    def batches(self, epoch: int, first: int) -> Iterator[tuple[list[Tensor], list[dict[str, Tensor]]]]:
        """Images (3, h, w) in 0..1 and their objects, each image mirrored or not."""
        from pipeline.sampler import batch_rows, epoch_order

        seed = self.config.loop.seed
        order = epoch_order(len(self.training), seed, epoch)
        mirrored = np.random.default_rng([seed, epoch]).random(len(order)) < 0.5
        for step in range(first, self.steps_per_epoch):
            pairs = [self._example(self.training[row], mirrored[row]) for row in batch_rows(order, step, self.batch)]
            yield [image for image, _ in pairs], [target for _, target in pairs]

    def step(self, batch: tuple[list[Tensor], list[dict[str, Tensor]]]) -> tuple[Tensor, dict[str, float]]:
        """The sum of the proposals', boxes', classes' and attributes' losses, and each of them."""
        import torch

        losses = self.model(*batch)
        return torch.stack(list(losses.values())).sum(), {name: loss.item() for name, loss in losses.items()}

    def validate(self) -> dict[str, float]:
        """Figures of `evaluation.metrics.detection` on the first validation images."""
        from pipeline.datasets.scenes import read_objects

        truth = read_objects(self.config.data, "val")[:self.config.validation_images]
        return _judge(truth, {objects.key: found for objects, found in self._detect(truth)})

    def predict(self, split: str, out: Path) -> None:
        """Write what is detected in a split's images (`evaluation.detections`)."""
        from evaluation.detections import write_detections
        from pipeline.datasets.scenes import read_objects

        found = self._detect(read_objects(self.config.data, split))
        write_detections(out, ((objects.key, regions) for objects, regions in found))

    def export(self, path: Path) -> None:
        """Write the model as a weights file of the scenes detector."""
        from features.detectors.scenes_frcnn import save

        save(self.model, self.classes, self.attributes, path)

    def _detect(self, images: Sequence[ImageObjects]) -> Iterator[tuple[ImageObjects, Regions]]:
        """Every box that could count in the metric: low scores too, none added to reach a least number."""
        import torch

        from features.detectors.detector import DetectorOptions
        from features.detectors.scenes_frcnn import as_detector

        options = DetectorOptions(boxes=(0, 100), score_threshold=0.05, nms=0.5, device=str(self.device),
                                  threads=torch.get_num_threads())
        detector = as_detector(self.model, options, {})
        for start in range(0, len(images), _AT_ONCE):
            some = images[start:start + _AT_ONCE]
            yield from zip(some, detector.detect([self._pixels(one.key) for one in some]), strict=True)

    def _pixels(self, key: str) -> np.ndarray:
        from features.images import decode_image

        return decode_image((self.config.data / "images" / key).read_bytes())

    def _example(self, objects: ImageObjects, mirrored: bool) -> tuple[Tensor, dict[str, Tensor]]:
        import torch

        pixels = torch.from_numpy(self._pixels(objects.key)).permute(2, 0, 1)
        boxes = objects.boxes
        if mirrored:
            pixels = pixels.flip(2)
            boxes = np.stack([objects.width - boxes[:, 2], boxes[:, 1], objects.width - boxes[:, 0], boxes[:, 3]], 1)
        target = {
            "boxes": torch.from_numpy(boxes),
            "labels": torch.from_numpy(objects.shapes) + 1,
            "attributes": torch.from_numpy(np.stack([objects.colours, objects.sizes, objects.textures], 1)),
        }
        return pixels.to(self.device).float() / 255, {name: value.to(self.device) for name, value in target.items()}


def _judge(truth: Sequence[ImageObjects], found: dict[str, Regions]) -> dict[str, float]:
    """All figures of detections against the objects of their images, attributes by name."""
    from evaluation.metrics.detection import Boxes, coverage, mean_average_precision

    regions = [found[one.key] for one in truth]
    true = [Boxes(one.boxes, one.shapes, attributes=np.stack([one.colours, one.sizes, one.textures], 1))
            for one in truth]
    seen = [Boxes(one.boxes, one.classes, one.class_scores, one.attributes) for one in regions]
    names = ("colour", "size", "texture")
    recall, right = coverage(true, seen, len(names))
    return {**mean_average_precision(true, seen), "recall": recall, **dict(zip(names, right, strict=True))}
