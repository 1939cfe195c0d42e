"""Pre-training on captions: tell hidden words, hidden regions, and whether a caption belongs to an image.

    heed train pretraining --store STORE --captions SCENES --out RUN                       one stream, UNITER's network
    heed train pretraining --store STORE --captions SCENES --out RUN --model.streams two   two streams, LXMERT's

The networks are those that `evaluation.subjects` reads, with their published names: RUN is a subject to be probed
(`load_subject(RUN)`), and RUN/checkpoints/best.pt a checkpoint in the published layout. ``--init`` starts from one.
The word pieces are built from the training captions (RUN/vocab.txt), or come with the checkpoint.
Light to import: torch comes with `build`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from tyro.conf import arg

from features.errors import HeedError
from pipeline.commands.options import PlaceOption
from pipeline.places import Place
from training.config import LoopConfig
from training.models.pretraining_config import ObjectivesConfig, PretrainingModelConfig

if TYPE_CHECKING:
    from torch import Tensor

    from evaluation.pretraining import PretrainingRow
    from pipeline.annotations import Caption
    from training.models.pretraining_batch import Lesson

_RECIPE = LoopConfig(epochs=8, batch_size=64, lr=1e-3, optimiser="adamw", weight_decay=0.01, schedule="linear",
                     warmup=200, clip=5.0)


@dataclass(frozen=True)
class PretrainingConfig:
    """Pre-train a model of words and regions; run again, an interrupted training goes on where it stopped."""

    suffix: ClassVar[str] = ".jsonl"

    # Store of region features: a folder or a URL.
    store: PlaceOption
    # A scenes folder, or a captions file in COCO's format.
    captions: Path
    # Folder of the run.
    out: Path
    # Share of the images held out, half for validation and half for testing, where the captions have no splits.
    holdout: float = 0.2
    # Start from this checkpoint in the published layout: a file, or a folder with vocab.txt beside its weights.
    init: Path | None = None
    # Its vocab.txt, where that does not lie beside it.
    vocabulary: Path | None = None
    # Words rarer than this in the training captions are spelt out of characters.
    min_count: int = 2
    # Longest caption in pieces, [CLS] and [SEP] included; longer ones are cut. UNITER: 60, LXMERT: 20.
    most_words: int = 60
    # Validation captions judged after every epoch, evenly spread.
    validation_captions: int = 1000
    # What is hidden.
    objectives: ObjectivesConfig = field(default_factory=ObjectivesConfig)
    # The model.
    model: PretrainingModelConfig = field(default_factory=PretrainingModelConfig)
    # The loop.
    loop: Annotated[LoopConfig, arg(name="")] = field(default_factory=lambda: _RECIPE)

    def run(self) -> int:
        """Train, then write the test split's predictions and evaluate them."""
        from training.commands import train_and_test

        return train_and_test("pretraining", self)

    def build(self) -> Pretraining:
        """The task, its model on its device."""
        return Pretraining(self)

    def stores(self) -> dict[str, Place]:
        """The stores a run reads, whose fingerprints it keeps."""
        return {"store": self.store}

    def keep_truth(self, split: str, predictions: Path) -> None:
        """Write the captions of a split beside its predictions."""
        from evaluation.run_folder import truth_path
        from evaluation.truth import write_truth

        write_truth(truth_path(predictions), self.truth(split))

    def judge(self, split: str, predictions: Path) -> dict[str, Any]:
        """Accuracies of a predictions file; printed and given."""
        from evaluation.pretraining import evaluate_pretraining
        from evaluation.table import print_figures

        found = evaluate_pretraining(predictions)
        print_figures(f"Pre-training, {split}, percent", found["figures"], found["notes"], "image")
        return found

    def truth(self, split: str) -> list[Caption]:
        """The captions of a split."""
        from pipeline.datasets import read_captions

        return read_captions(self.captions, split, holdout=self.holdout)


class Pretraining:
    """The task; see `training.task.Task`."""

    monitor = "mean_accuracy"

    def __init__(self, config: PretrainingConfig) -> None:
        import torch

        from evaluation.subjects.runs import note_network
        from features.devices import resolve_device
        from pipeline.sampler import Order
        from pipeline.store import Store
        from pipeline.stream import Join, Stream
        from training.models.pretraining import heads_of, new_network, standardise, started_network
        from training.models.pretraining_batch import FIELDS, Lessons
        from training.models.pretraining_pieces import run_pieces

        self.config = config
        self.store = Store.open(config.store)
        self.device = resolve_device(config.loop.device)
        training = config.truth("train")
        pieces = run_pieces(config.out, (caption.text for caption in training), config.min_count, config.init,
                            config.vocabulary, config.model.streams)
        self.classes = _classes(self.store)
        self.lessons = Lessons(config.objectives, config.model.streams, pieces, config.most_words)
        micro = max(1, config.loop.batch_size // config.loop.accumulate)
        regions: Join[Caption] = Join(self.store, attrgetter("key"), FIELDS)
        self.stream = Stream(training, {"regions": regions}, micro, Order(config.loop.seed, buckets=50),
                             lambda caption: len(self.lessons.ids(caption)))
        self.missing = [key for lacking in self.stream.missing.values() for key in lacking.keys]
        """Keys of training captions whose images the store does not hold."""
        self.steps_per_epoch = len(self.stream)
        torch.manual_seed(config.loop.seed)
        dim = self.store.fields["features"].inner[0]
        if config.init is None:
            network = new_network(config.model, len(pieces), dim, max(1, len(self.classes)), config.most_words)
            if config.model.standardise:
                standardise(network, config.model.streams, self._sample(config.model.standardise))
        else:
            network = started_network(config.model, config.init, dim, max(1, len(self.classes)))
        note_network(config.out, config.model.streams, heads_of(network))
        self.model = network.to(self.device)

    def batches(self, epoch: int, first: int) -> Iterator[Lesson]:
        """Captions with their images' regions, hidden and exchanged as (seed, epoch, step) say."""
        from contextlib import closing

        from pipeline.ahead import read_ahead

        stream = self.stream.epoch(epoch)

        def lesson(step: int) -> Lesson:
            batch = stream[step]
            rng = np.random.default_rng([self.config.loop.seed, epoch + 1, step, 0])
            return self.lessons.draw(batch.samples, batch["regions"], rng)

        with closing(read_ahead(lesson, range(first, len(stream)), 2)) as lessons:
            for one in lessons:
                yield one.to(self.device)

    def step(self, batch: Lesson) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum of the losses of words, matching, regions' features and classes, and each of them."""
        from training.models.pretraining import attention_dropout
        from training.models.pretraining_batch import losses

        edit = attention_dropout(self.model, self.config.model.dropout)
        found = losses(self.model, batch, self.config.model.streams, edit)
        weights = dict(zip(("words", "matching", "features", "classes"), self.config.objectives.weights, strict=True))
        total = sum(weights[name] * value for name, value in found.items())
        return total, {f"loss_{name}": float(value.detach()) for name, value in found.items()}

    def validate(self) -> dict[str, float]:
        """Accuracies in percent on some of the validation captions, and the mean of the three that are learnt for."""
        from evaluation.pretraining import evaluate_pretraining

        captions = self._held("val")
        every = max(1, len(captions) // self.config.validation_captions)
        figures = evaluate_pretraining(list(self._rows(captions[::every])), resamples=0)["figures"]
        values = {name: figure["value"] for name, figure in figures.items()}
        learnt = [values[name] for name in ("word_accuracy", "region_accuracy", "matching_accuracy") if name in values]
        return {"mean_accuracy": sum(learnt) / len(learnt), **values}

    def predict(self, split: str, out: Path) -> None:
        """Write what is told of every caption of the split (`evaluation.pretraining`)."""
        import torch

        from evaluation.pretraining import write_pretraining

        self.model.eval()
        with torch.no_grad():
            write_pretraining(out, self._rows(self._held(split)))

    def _sample(self, images: int) -> Tensor:
        """(regions, dim) float32: the features of some of the training images, evenly spread over the store."""
        import torch

        rows = np.unique(self.stream.rows["regions"])
        values, lengths = self.store.gather("features", rows[::max(1, len(rows) // images)])
        return torch.from_numpy(values[np.arange(values.shape[1]) < lengths[:, None]].astype(np.float32))

    def _held(self, split: str) -> list[Caption]:
        captions = [caption for caption in self.config.truth(split) if self.store.find(caption.key) is not None]
        if len({caption.key for caption in captions}) < 2:
            raise HeedError(f"{self.config.store} holds fewer than two images of the {split} captions: matching needs "
                            "an image that a caption does not belong to.")
        return captions

    def _rows(self, captions: Sequence[Caption]) -> Iterator[PretrainingRow]:
        from training.models.pretraining_judge import rows

        return rows(self.model, self.lessons, self.store, captions, self.classes, self.config.loop.seed, self.device)


def _classes(store: Any) -> tuple[str, ...]:
    """Names of the detector's classes; numbers where the store only has those."""
    named = store.identity.extractor.get("classes")
    if isinstance(named, list):
        return tuple(map(str, named))
    most = max((int(store.row(row)["classes"].max(initial=-1)) for row in range(len(store))), default=-1)
    return tuple(map(str, range(most + 1)))
