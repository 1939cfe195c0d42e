"""Moment retrieval and highlight detection: when is a sentence true in a video, and which clips show it best.

    heed train moments --video SLOWFAST CLIP --text QUERIES --moments QVHIGHLIGHTS --out RUN
    heed train moments --video OBJECTS SOUND --moments SCENES --out RUN --mask.mask lam-multi

Moment-DETR or QD-DETR on stores of clip features, joined in the order given, with the learnable mask as the variable.
The defaults are the published recipe (Lei et al. 2021). Without ``--text`` the model learns its words itself. Videos
longer than the model's window are read in pieces. Predictions are a QVHighlights submission. Light to import: torch
comes with `build`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from tyro.conf import arg

from features.errors import HeedError
from pipeline.atomic import write_json
from pipeline.commands.options import PlaceOption
from pipeline.places import Place
from training.attention.mask_config import MaskConfig
from training.config import LoopConfig
from training.models.detr_config import DetrConfig, DetrLoss

if TYPE_CHECKING:
    from torch import Tensor

    from features.text.vocabulary import Vocabulary
    from pipeline.annotations import Moment
    from pipeline.moments import MomentBatch
    from pipeline.store import Store
    from pipeline.stream import Stream
    from training.models.moment_detr import Found

VOCABULARY_FILE = "vocabulary.json"
ROUNDING_FILE = "rounding.json"
ANSWERED_AT_ONCE = 100
FIGURES = {"mAP": "MR-full-mAP", "R1@0.5": "MR-full-R1@0.5", "R1@0.7": "MR-full-R1@0.7",
           "HL-mAP": "HL-min-VeryGood-mAP", "HL-Hit1": "HL-min-VeryGood-Hit1"}
"""Validation figures and their names in the evaluation; all in percent."""


def published_loop() -> LoopConfig:
    """Moment-DETR's recipe: 200 epochs of AdamW at a constant rate."""
    return LoopConfig(epochs=200, batch_size=32, lr=1e-4, optimiser="adamw", weight_decay=1e-4, clip=0.1, seed=2018)


@dataclass(frozen=True)
class MomentsConfig:
    """Train Moment-DETR or QD-DETR; run again, an interrupted training goes on where it stopped."""

    suffix: ClassVar[str] = ".jsonl"

    # Stores of clip features (heed extract clips, heed extract sound, heed import), joined in this order.
    video: tuple[PlaceOption, ...]
    # Sentences about moments: a scenes folder, a folder or file of QVHighlights, Charades-STA, TACoS or DiDeMo.
    moments: Path
    # Folder of the run.
    out: Path
    # Store of the sentences' token features (heed extract text); without one, words are learned with the model.
    text: PlaceOption | None = None
    # Share of the videos held out, half for validation and half for testing, where the annotations are one file.
    holdout: float = 0.2
    # Words rarer than this in the training sentences are unknown, where words are learned.
    min_count: int = 2
    # Clips' features as the model sees them: each store's divided by their length (unit, as published), or each number
    # less its mean and divided by its deviation over the training videos (standard), for features that are no vectors
    # of one network.
    features: Literal["unit", "standard"] = "unit"
    # Weights to start from: a checkpoint of the released code, or a run's best.pt.
    init: Path | None = None
    # Round predicted windows to whole clips: where all true windows of the training split are (auto), always, never.
    round_windows: Literal["auto", "always", "never"] = "auto"
    # As published, train on windows as fractions of whole clips and predict them as fractions of the duration, which
    # differ where the last clip is short. Otherwise both are fractions of the time that the clips cover.
    published_spans: bool = False
    # The learnable mask, in the encoder's self-attention and QD-DETR's cross-attention.
    mask: MaskConfig = field(default_factory=MaskConfig)
    # The model.
    model: DetrConfig = field(default_factory=DetrConfig)
    # Weights of the losses.
    loss: DetrLoss = field(default_factory=DetrLoss)
    # The loop.
    loop: Annotated[LoopConfig, arg(name="")] = field(default_factory=published_loop)

    def run(self) -> int:
        """Train, then write the test split's predictions and evaluate them."""
        from training.commands import train_and_test

        return train_and_test("moments", self)

    def build(self) -> Moments:
        """The task, its model on its device."""
        return Moments(self)

    def stores(self) -> dict[str, Place]:
        """The stores a run reads, whose fingerprints it keeps."""
        if not self.video:
            raise HeedError("No store of clip features is given (--video).")
        text = {} if self.text is None else {"text": self.text}
        return {**{f"video {number}": place for number, place in enumerate(self.video, 1)}, **text}

    def keep_truth(self, split: str, predictions: Path) -> None:
        """Write the split's annotations beside its predictions, in QVHighlights' format, of the queries answered."""
        from evaluation.moments import read_lines
        from evaluation.run_folder import truth_path
        from training.tasks.moment_answers import truth_rows, write_rows

        answered = {row["qid"]: row for row in read_lines(predictions)}
        write_rows(truth_path(predictions), truth_rows(self.truth(split), answered))

    def judge(self, split: str, predictions: Path) -> dict[str, Any]:
        """The official evaluator's figures with intervals; printed and given. Queries without truth are not judged."""
        from evaluation.moments import evaluate_moments
        from evaluation.run_folder import truth_path
        from evaluation.table import print_figures

        if not truth_path(predictions).stat().st_size:
            note = f"no query of the split {split} has a true window: nothing was judged"
            print(f"Note: {note}.")
            return {"task": "moments", "queries": 0, "official": {}, "figures": {}, "notes": [note]}
        found = evaluate_moments(predictions, truth_path(predictions), subset=True)
        shown = {name: found["figures"][name] for name in found["official"]["brief"]}
        print_figures(f"Moments: {found['queries']:,} queries", shown, found["notes"], "video")
        return found

    def truth(self, split: str) -> list[Moment]:
        """The moments of a split; "all" is every one."""
        from pipeline.datasets import read_moments

        return read_moments(self.moments, None if split == "all" else split, holdout=self.holdout)


class Moments:
    """The task; see `training.task.Task`."""

    monitor = "mAP"

    def __init__(self, config: MomentsConfig, measure: bool = True) -> None:
        """``measure`` False leaves the features' mean and deviation to the weights that are to be loaded."""
        import torch

        from features.devices import resolve_device
        from pipeline.store import Store
        from training.models.detr_published import build_detr, read_published
        from training.tasks.extractors import EXTRACTORS_FOLDER, keep_extractors
        from training.tasks.moment_features import Standard, measured

        self.config = config
        stores = {name: Store.open(path) for name, path in config.stores().items()}
        self.text: Store | None = stores.pop("text", None)
        self.videos: dict[str, Store] = stores
        self.names = tuple(stores)
        if (config.out / "config.json").exists():  # a run, new or not: its features are remembered
            texts = {"text": self.text} if self.text else {}
            keep_extractors(config.out / EXTRACTORS_FOLDER, {**stores, **texts})
        self.device = resolve_device(config.loop.device)
        self.vocabulary = None if self.text else _vocabulary(config)
        torch.manual_seed(config.loop.seed)
        video_dim = sum(store.identity.fields["features"].inner[0] for store in stores.values()) + 2
        text_dim = self.text.identity.fields["features"].inner[0] if self.text else config.model.dim
        self.model: Any = build_detr(config.model, config.mask, video_dim, text_dim)
        if config.init:
            read_published(config.init).load_into(self.model)
        if self.vocabulary:
            self.model.words = torch.nn.Embedding(len(self.vocabulary), text_dim, padding_idx=0)
        if config.features == "standard":
            size = video_dim - 2
            nothing = np.zeros(size), np.ones(size)
            self.model.scale = Standard(*(measured(stores, config.truth("train")) if measure else nothing))
        self.model.to(self.device)

    @cached_property
    def stream(self) -> Stream[Moment]:
        """The training split."""
        from pipeline.sampler import Order

        micro = max(1, self.config.loop.batch_size // self.config.loop.accumulate)
        return self._stream(self.config.truth("train"), micro, Order(self.config.loop.seed))

    @property
    def steps_per_epoch(self) -> int:
        """Batches of the training split."""
        return len(self.stream)

    def batches(self, epoch: int, first: int) -> Iterator[MomentBatch]:
        """Batches of queries with their videos."""
        for batch in self.stream.epoch(epoch).batches(first):
            yield self._batch(batch)

    def step(self, batch: MomentBatch) -> tuple[Tensor, dict[str, float]]:
        """The weighted sum of all losses, and each of them."""
        from training.models.moment_losses import moment_loss
        from training.tasks.moment_targets import targets_of

        negatives = self.config.model.name == "qd-detr"
        found = self._found(batch, negatives)
        targets = targets_of(batch, self.config.model.max_windows, self.config.published_spans, self.device)
        total, losses = moment_loss(found, targets, self.config.loss)
        figures = {name: float(value.detach()) for name, value in losses.items()}
        return total + self.model.mask_loss(), figures

    def validate(self) -> dict[str, float]:
        """The official figures on the validation split."""
        from evaluation.moments import evaluate_moments
        from training.tasks.moment_answers import truth_rows

        moments = self.config.truth("val")
        rows = self.answers(moments)
        found = evaluate_moments(rows, truth_rows(moments, {row["qid"]: row for row in rows}), resamples=0,
                                 subset=True)
        return {short: found["figures"][name]["value"] for short, name in FIGURES.items() if name in found["figures"]}

    def predict(self, split: str, out: Path) -> None:
        """Write a submission: windows in order of their scores, and each clip's saliency."""
        from training.tasks.moment_answers import write_rows

        self.model.eval()
        write_rows(out, self.answers(self.config.truth(split)))

    def answers(self, moments: Sequence[Moment]) -> list[dict[str, Any]]:
        """Rows of a submission for those moments whose video and text the stores hold."""
        import torch

        from pipeline.sampler import Order
        from training.tasks.moment_answers import Answer, merged

        stream = self._stream(moments, ANSWERED_AT_ONCE, Order(shuffle="none"))
        given: list[Answer] = []
        with torch.no_grad():
            for batch in stream.epoch(0).batches():
                inputs = self._batch(batch)
                found = self._found(inputs)
                given += Answer.of(inputs, found, self.config.published_spans)
        return merged(given, self.rounded)

    def look(self, split: str, count: int) -> Iterator[str]:
        """Run the model on the first samples of a split, one at a time; the id of each, after it was run."""
        from pipeline.sampler import Order

        stream = self._stream(self.config.truth(split), 1, Order(shuffle="none"))
        for batch in islice(stream.epoch(0).batches(), count):
            self._found(self._batch(batch))
            yield batch.samples[0].id

    @cached_property
    def rounded(self) -> bool:
        """Whether windows are rounded to whole clips; the run remembers what it is when it is decided."""
        if self.config.round_windows != "auto":
            return self.config.round_windows == "always"
        path = self.config.out / ROUNDING_FILE
        if path.exists():
            return bool(json.loads(path.read_text(encoding="utf-8"))["rounded"])
        rounded = all(bool((np.mod(moment.windows, moment.clip_seconds) == 0).all())
                      for moment in self.config.truth("train"))
        write_json(path, {"rounded": rounded})
        return rounded

    def _stream(self, moments: Sequence[Moment], batch: int, order: Any) -> Stream[Moment]:
        from pipeline.moments import moment_stream, pieces

        stream = moment_stream(pieces(moments, self.videos, self.config.model.max_clips), self.videos, self.text, batch,
                               order)
        for lacking in stream.missing.values():
            print(f"Note: {lacking}.")
        return stream

    def _batch(self, batch: Any) -> MomentBatch:
        from pipeline.moments import moment_batch

        made = moment_batch(batch, self.names, self.config.model.max_clips, self.config.model.max_tokens,
                            normalise=self.config.features == "unit")
        if self.vocabulary is None:
            return made
        ids = [self.vocabulary.encode(moment.text).ids[: self.config.model.max_tokens] for moment in made.moments]
        counts = np.array([len(one) for one in ids])
        padded = np.zeros((len(ids), int(counts.max())), np.int64)
        for row, one in zip(padded, ids, strict=True):
            row[: len(one)] = one
        return replace(made, text=padded, tokens=counts)

    def _found(self, batch: MomentBatch, negatives: bool = False) -> Found:
        import torch

        video, video_mask, text, text_mask = (
            torch.from_numpy(array).to(self.device)
            for array in (batch.video, batch.video_mask, batch.text, batch.text_mask))
        if self.config.features == "standard":
            video = self.model.scale(video, video_mask)
        if self.vocabulary is not None:
            text = self.model.words(text)
        found: Found = self.model(video, video_mask, text, text_mask, negatives)
        return found


def _vocabulary(config: MomentsConfig) -> Vocabulary:
    """The run's vocabulary: read where the run has one, else built from the training sentences and kept."""
    from features.text.vocabulary import Vocabulary

    path = config.out / VOCABULARY_FILE
    if path.exists():
        return Vocabulary.load(path)
    vocabulary = Vocabulary.build((moment.text for moment in config.truth("train")), config.min_count)
    path.parent.mkdir(parents=True, exist_ok=True)
    vocabulary.save(path)
    return vocabulary
