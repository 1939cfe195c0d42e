"""Image classification with a vision transformer, with or without the learnable attention mask.

    heed train classification --images IMAGENET --out RUN --mask.mask lam

IMAGENET is a folder with train/CLASS/… and val/CLASS/…; tars, scenes and a heed store do as well
(`pipeline.datasets.labelled_images`). The defaults are DeiT's recipe (Touvron et al. 2021, arXiv 2012.12877, table 9):
AdamW at 5e-4 for 512 images, cosine over 300 epochs with 5 of warm-up, RandAugment, mixup, cutmix, erasing, label
smoothing and stochastic depth. `benchmarks/classification.py` has a small one for rendered scenes, whose label is the
setting: minutes on one core.

Light to import: torch and timm come with `build`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from tyro.conf import arg

from features.errors import HeedError
from pipeline.places import Place
from training.attention.mask_config import MaskConfig
from training.augmentation_config import AugmentConfig
from training.config import LoopConfig
from training.models.vit_config import VitConfig

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.datasets.labelled_images import LabelledImages

CLASSES_FILE = "classes.json"
TOP = 5
"""Classes a prediction names."""

_DEIT = LoopConfig(epochs=300, batch_size=512, lr=5e-4, optimiser="adamw", weight_decay=0.05, schedule="cosine",
                   warmup=12_500, clip=0.0, ema=0.9999)


@dataclass(frozen=True)
class ClassificationConfig:
    """Train a vision transformer to tell what a picture shows; run again, it goes on where it stopped."""

    suffix: ClassVar[str] = ".jsonl"

    # Pictures with labels: a folder of class folders, tars (with {split} and * in their name), scenes, a store.
    images: Path
    # Folder of the run.
    out: Path
    # Share of the pictures held out, half for validation and half for testing, where they have no splits of their own.
    holdout: float = 0.2
    # Processes that read pictures; 0 reads them in this one.
    readers: int = 0
    # Share of the resized picture that its middle crop keeps in evaluation.
    crop: float = 0.9
    # The mask.
    mask: MaskConfig = field(default_factory=MaskConfig)
    # The model.
    model: VitConfig = field(default_factory=VitConfig)
    # What happens to training pictures.
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    # The loop.
    loop: Annotated[LoopConfig, arg(name="")] = field(default_factory=lambda: _DEIT)

    def run(self) -> int:
        """Train, then write the test split's predictions and evaluate them."""
        from training.commands import train_and_test

        return train_and_test("classification", self)

    def build(self) -> Classification:
        """The task, its model on its device."""
        return Classification(self)

    def stores(self) -> dict[str, Place]:
        """The store the pictures come from, if they come from one."""
        from pipeline.identity import IDENTITY_FILE

        return {"images": self.images} if (self.images / IDENTITY_FILE).exists() else {}

    def split(self, name: str) -> LabelledImages:
        """A split's pictures."""
        from pipeline.datasets.labelled_images import read_labelled_images

        return read_labelled_images(self.images, name, self.holdout)

    def keep_truth(self, split: str, predictions: Path) -> None:
        """Write the labels of a split beside its predictions."""
        from evaluation.classification import write_labels
        from evaluation.run_folder import truth_path

        images = self.split(split)
        write_labels(truth_path(predictions), images.keys, images.labels)

    def judge(self, split: str, predictions: Path) -> dict[str, Any]:
        """Top-1 and top-5 accuracy, and accuracy by class; printed and given."""
        from evaluation.classification import evaluate_classification, print_classification
        from evaluation.run_folder import truth_path

        found = evaluate_classification(predictions, truth_path(predictions))
        print_classification(found)
        return found


class Classification:
    """The task; see `training.task.Task`."""

    monitor = "top1"

    def __init__(self, config: ClassificationConfig) -> None:
        import torch

        from features.devices import resolve_device
        from pipeline.sampler import steps_per_epoch
        from training import augmentation
        from training.models.vit import build_vit

        self.config = config
        self.device = resolve_device(config.loop.device)
        training = config.split("train")
        self.classes = _classes(config, training)
        torch.manual_seed(config.loop.seed)
        self.model = build_vit(config.model, config.mask, len(self.classes)).to(self.device)
        settings: dict[str, Any] = getattr(self.model, "pretrained_cfg", {})
        self._pixels = (settings.get("mean", (0.5,) * 3), settings.get("std", (0.5,) * 3))
        transform = augmentation.training_transform(config.augment, config.model.size, *self._pixels)
        self.training = augmentation.Pictures(training, self.classes, transform, config.loop.seed)
        self.mixer = augmentation.make_mixer(config.augment, len(self.classes))
        self.micro = max(1, config.loop.batch_size // config.loop.accumulate)
        self.steps_per_epoch = steps_per_epoch(len(training), self.micro)

    def batches(self, epoch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Pictures (n, 3, size, size) and their classes' probabilities (n, classes), mixed where that is asked for."""
        from training.augmentation import epoch_batches, seeded

        loaded = epoch_batches(self.training, epoch, self.micro, first, self.config.readers)
        for step, (pictures, classes) in enumerate(loaded, first):
            with seeded(self.config.loop.seed, epoch + 1, -1 - step & 0x7FFFFFFF):
                yield self._mixed(pictures.to(self.device, non_blocking=True), classes.to(self.device))

    def _mixed(self, pictures: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        import torch.nn.functional as F

        if self.mixer is not None and len(pictures) % 2 == 0:  # it mixes a picture with its mirror place in the batch
            return self.mixer(pictures, classes)
        smoothing = self.config.augment.smoothing
        wanted = F.one_hot(classes, len(self.classes)).float() * (1 - smoothing)
        return pictures, wanted + smoothing / len(self.classes)

    def step(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy with the wanted probabilities, mean over the batch, and the mask's sparsity loss."""
        import torch.nn.functional as F

        from training.models.vit import mask_loss

        pictures, wanted = batch
        loss = F.cross_entropy(self.model(pictures).float(), wanted)
        return loss + mask_loss(self.model), {"cross_entropy": float(loss.detach())}

    def validate(self) -> dict[str, float]:
        """Top-1 and top-5 accuracy in percent, and the cross-entropy, of the validation pictures."""
        import torch
        import torch.nn.functional as F

        right1 = right5 = loss = 0.0
        pictures = self._still("val")
        for logits, classes in self._logits(pictures):
            best = logits.topk(min(TOP, logits.shape[1]), 1).indices
            hit = best == classes[:, None]
            right1 += float(hit[:, 0].sum())
            right5 += float(hit.any(1).sum())
            loss += float(F.cross_entropy(logits, classes.clamp(min=0), reduction="sum"))
        count = len(pictures)
        assert not torch.is_grad_enabled()
        return {"top1": 100 * right1 / count, "top5": 100 * right5 / count, "cross_entropy": loss / count}

    def predict(self, split: str, out: Path) -> None:
        """Write each picture's five likeliest classes and their probabilities, a JSON line each."""
        import torch

        from pipeline.atomic import atomic_write

        self.model.eval()
        pictures = self._still(split)
        keys = iter(pictures.images.keys)
        with torch.no_grad(), atomic_write(out) as file:
            for logits, _ in self._logits(pictures):
                found = logits.softmax(1).topk(min(TOP, logits.shape[1]), 1)
                for chances, places in zip(found.values.tolist(), found.indices.tolist(), strict=True):
                    line = {"image": next(keys), "classes": [self.classes[place] for place in places],
                            "probabilities": [round(chance, 6) for chance in chances]}
                    file.write((json.dumps(line, ensure_ascii=False) + "\n").encode())

    def _still(self, split: str) -> Any:
        from training.augmentation import Pictures, evaluation_transform

        transform = evaluation_transform(self.config.model.size, self.config.crop, *self._pixels)
        return Pictures(self.config.split(split), self.classes, transform, self.config.loop.seed)

    def _logits(self, pictures: Any) -> Iterator[tuple[Tensor, Tensor]]:
        from training.augmentation import all_batches

        for batch, classes in all_batches(pictures, self.micro, self.config.readers):
            yield self.model(batch.to(self.device)).float(), classes.to(self.device)


def _classes(config: ClassificationConfig, training: LabelledImages) -> tuple[str, ...]:
    """The run's classes: read where the run has them, else the training split's, and kept."""
    from pipeline.atomic import write_json

    path = config.out / CLASSES_FILE
    if path.exists():
        return tuple(json.loads(path.read_text(encoding="utf-8")))
    classes = training.classes()
    if len(classes) < 2:
        raise HeedError(f"The pictures of {config.images} are all of one class, {classes[0]!r}: there is nothing to "
                        "tell apart.")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, list(classes))
    return classes
