"""Image-text matching with SCAN: which of many captions fits an image, and which image a caption.

    heed train matching --store STORE --captions SCENES --attention.score general --out RUN

The attention score function is the study's variable (`training.attention.scores`); everything else is SCAN's recipe
(Lee et al., ECCV 2018): hinge loss with the hardest negatives of a batch, Adam, gradient norm clipped at 2. Captions
are joined to the store's regions by image key. Light to import: torch comes with `build`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from tyro.conf import arg

from features.errors import HeedError
from pipeline.commands.options import PlaceOption
from pipeline.padding import Padded
from pipeline.places import Place
from training.attention.config import AttentionConfig
from training.config import LoopConfig
from training.models.scan_config import ScanConfig

if TYPE_CHECKING:
    from torch import Tensor

    from evaluation.predictions import MatchingRow
    from features.text.vocabulary import Vocabulary
    from pipeline.annotations import Caption
    from pipeline.pinned import TensorBatch
    from training.faithfulness import Probe

VOCABULARY_FILE = "vocabulary.json"
SCORED_AT_ONCE = 256
"""Images, and captions, embedded at once when everything is compared with everything."""


@dataclass(frozen=True)
class MatchingConfig:
    """Train SCAN to match images and captions; run again, an interrupted training goes on where it stopped."""

    suffix: ClassVar[str] = ".arrow"

    # Store of region features: a folder or a URL.
    store: PlaceOption
    # A scenes folder, a captions file in COCO's format or Karpathy's, or SCAN's own folder (f30k_precomp).
    captions: Path
    # Folder of the run.
    out: Path
    # Share of the images held out, half for validation and half for testing, where the captions have no splits.
    holdout: float = 0.2
    # For Karpathy's files: the store's keys are the images' file names, or their numbers (cocoid).
    keys: Literal["file", "id"] = "file"
    # For Karpathy's COCO: train on its "restval" images, too, as the field does.
    restval: bool = True
    # Words rarer than this in the training captions become <unk>; SCAN uses 4.
    min_count: int = 4
    # A vocabulary in SCAN's layout, to take in place of one made from the training captions.
    vocabulary: Path | None = None
    # A published SCAN checkpoint (model_best.pth.tar) to start from; the options of model and score are its own, and
    # the vocabulary it was trained with is needed, too. With --epochs 0 it is only judged.
    init: Path | None = None
    # The score function.
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    # The model.
    model: ScanConfig = field(default_factory=ScanConfig)
    # The loop.
    loop: Annotated[LoopConfig, arg(name="")] = field(default_factory=LoopConfig)

    def run(self) -> int:
        """Train, then write the test split's predictions and evaluate them."""
        from training.commands import train_and_test

        return train_and_test("matching", self._as_published() if self.init else self)

    def _as_published(self) -> MatchingConfig:
        """The same with the options of the checkpoint it starts from."""
        from training.models.scan_checkpoint import read_checkpoint

        assert self.init is not None
        if self.vocabulary is None:
            raise HeedError(f"--init {self.init} needs --vocabulary: the words its numbers stand for, such as SCAN's "
                            "vocab/f30k_precomp_vocab.json.")
        published = read_checkpoint(self.init)
        for name in ("model", "attention"):
            mine, its = getattr(self, name), getattr(published, name)
            if mine not in (type(mine)(), its):
                raise HeedError(f"--init {self.init} brings its own options of the {name}: {its}. Leave out --{name}….")
        return replace(self, model=published.model, attention=published.attention)

    def build(self) -> Matching:
        """The task, its model on its device."""
        return Matching(self)

    def stores(self) -> dict[str, Place]:
        """The stores a run reads, whose fingerprints it keeps."""
        return {"store": self.store}

    def keep_truth(self, split: str, predictions: Path) -> None:
        """Write the captions of a split beside its predictions."""
        from evaluation.run_folder import truth_path
        from evaluation.truth import write_truth

        write_truth(truth_path(predictions), self.truth(split))

    def judge(self, split: str, predictions: Path) -> dict[str, Any]:
        """Recall, ranks, and attention against truth where phrases are linked to boxes; printed and given."""
        from evaluation.matching import evaluate_matching
        from evaluation.table import print_matching

        found = evaluate_matching(predictions, self.truth(split))
        print_matching(found)
        return found

    def truth(self, split: str) -> list[Caption]:
        """The captions of a split."""
        from pipeline.datasets import read_captions

        options = {"keys": self.keys} if self.keys != "file" else {}
        return read_captions(self.captions, split, holdout=self.holdout,
                             **({**options, "restval": False} if not self.restval else options))


class Matching:
    """The task; see `training.task.Task`."""

    monitor = "rsum"

    def __init__(self, config: MatchingConfig) -> None:
        import torch

        from features.devices import resolve_device
        from pipeline.sampler import Order
        from pipeline.store import Store
        from pipeline.stream import Join, Stream
        from training.models.scan import Scan

        self.config = config
        self.store = Store.open(config.store)
        self.device = resolve_device(config.loop.device)
        self.vocabulary = _vocabulary(config)
        self._ids: dict[str, np.ndarray] = {}
        training = config.truth("train")
        micro = max(1, config.loop.batch_size // config.loop.accumulate)
        regions = Join(self.store, attrgetter("key"))
        self.stream = Stream(training, {"regions": regions}, micro, Order(config.loop.seed))
        self.missing = [key for lacking in self.stream.missing.values() for key in lacking.keys]
        """Keys of training captions whose images the store does not hold."""
        self.steps_per_epoch = len(self.stream)
        torch.manual_seed(config.loop.seed)
        dim = self.store.identity.fields["features"].inner[0]
        self.model = Scan(config.model, config.attention, dim, len(self.vocabulary)).to(self.device)
        if config.init and not (config.out / "checkpoints" / "last.pt").exists():
            from training.models.scan_checkpoint import read_checkpoint

            read_checkpoint(config.init).into(self.model)

    def batches(self, epoch: int, first: int) -> Iterator[TensorBatch[Caption]]:
        """Batches of captions with their images' regions; of several workers, this one's shares."""
        from pipeline.pinned import device_batches
        from training.workers import rank, world

        return device_batches(self.stream.epoch(epoch, rank(), world()), self.device, first)

    def weight(self, batch: TensorBatch[Caption]) -> float:
        """1: every worker has the loss over all workers' captions."""
        return 1.0

    def step(self, batch: TensorBatch[Caption]) -> tuple[Tensor, dict[str, float]]:
        """The hinge loss, summed over the batch as published (so that --clip means what it does there).

        Two captions of one image are no negatives of each other; published code takes them for ones. Each of several
        workers compares its captions with the images of all.
        """
        import torch

        from training.models.scan import hinge_loss
        from training.workers import gather_json, gather_rows

        regions = batch["regions"]["features"]
        images = gather_rows(self.model.encode_images(regions.values, regions.mask))
        region_mask = gather_rows(regions.mask)
        if batch.samples:
            scores = self.model.similarity(images, region_mask, *self._words(batch.samples))
        else:  # of an epoch's last batch there may be nothing left for a worker, whose images' gradients others need
            scores = images.sum((1, 2))[:, None][:, :0]
        scores = gather_rows(scores.T).T
        keys = np.array([key for keys in gather_json([caption.key for caption in batch.samples]) for key in keys])
        same = torch.from_numpy(keys[:, None] == keys[None, :]).to(self.device)
        loss = hinge_loss(scores, self.config.model.margin, self.config.model.max_violation, same)
        return loss, {"loss_per_caption": float(loss.detach()) / len(scores)}

    def validate(self) -> dict[str, float]:
        """Recalls and ranks on the validation captions."""
        from evaluation.metrics.retrieval import retrieval

        captions = self._held(self.config.truth("val"))
        images = _images(captions)
        own = [images[caption.key] for caption in captions]
        figures = retrieval(self._scores(list(images), captions), own, resamples=0)
        return {name: figure.value for name, figure in figures.items()}

    def predict(self, split: str, out: Path) -> None:
        """Write every caption's score for every image of the split, and its attention over its own image's regions."""
        import torch

        from evaluation.predictions import write_matching

        captions = self._held(self.config.truth(split))
        images = _images(captions)
        self.model.eval()
        with torch.no_grad():
            scores = self._scores(list(images), captions)
            write_matching(out, list(images), self.config.model.direction, self._rows(scores, captions))

    @property
    def keys(self) -> str:
        """What attention chooses among, and `training.faithfulness` takes away."""
        return "regions" if self.config.model.direction == "t2i" else "words"

    def probes(self, split: str, most: int) -> Iterator[Probe]:
        """A split's captions with their own images, to be scored with some of the regions (t2i) or words (i2t) alone.

        A word that is taken away is no key any more, but stays in the states of its neighbours. The gradient is that of
        the similarity by the embedded key: embeddings have unit length, so that the score hardly depends on the length
        of a raw feature vector.
        """
        from training.models.scan_probe import scan_probe

        captions = self._held(self.config.truth(split))[:most]
        for first, words, word_mask in self._embedded_captions(captions):
            keys = [caption.key for caption in captions[first : first + len(words)]]
            images, region_mask = self._embedded_images(keys)
            yield scan_probe(self.model, images, region_mask, words, word_mask, keys)

    def _held(self, captions: Sequence[Caption]) -> list[Caption]:
        held = [caption for caption in captions if self.store.find(caption.key) is not None]
        if not held:
            raise HeedError(f"{self.config.store} holds none of the {len(captions)} captions' images of this split.")
        return held

    def _scores(self, keys: Sequence[str], captions: Sequence[Caption]) -> np.ndarray:
        """Similarities (images, captions) float32 of every image with every caption, block by block."""
        scores = np.empty((len(keys), len(captions)), np.float32)
        for c, words, word_mask in self._embedded_captions(captions):
            for i in range(0, len(keys), SCORED_AT_ONCE):
                images, region_mask = self._embedded_images(keys[i : i + SCORED_AT_ONCE])
                block = self.model.similarity(images, region_mask, words, word_mask)
                scores[i : i + len(block), c : c + len(words)] = block.float().cpu().numpy()
        return scores

    def _rows(self, scores: np.ndarray, captions: Sequence[Caption]) -> Iterator[MatchingRow]:
        from evaluation.predictions import CaptionAttention, MatchingRow

        for c, words, word_mask in self._embedded_captions(captions):
            chosen = captions[c : c + len(words)]
            images, region_mask = self._embedded_images([caption.key for caption in chosen])
            weights = self.model.attention(images, region_mask, words, word_mask).float().cpu().numpy()
            for number, caption in enumerate(chosen):
                row = self.store.row(self.store.find(caption.key) or 0)
                read = self.vocabulary.encode(caption.text)
                seen = weights[number, : len(read.tokens), : len(row["boxes"])]
                attention = CaptionAttention(
                    read.tokens, read.spans, row["boxes"], seen, row["width"], row["height"]
                )
                yield MatchingRow(caption.id, caption.key, scores[:, c + number], attention)

    def _embedded_images(self, keys: Sequence[str]) -> tuple[Tensor, Tensor]:
        rows = [self.store.find(key) for key in keys]
        features, mask = self._regions(Padded(*self.store.gather("features", np.array(rows))))
        return self.model.encode_images(features, mask), mask

    def _embedded_captions(self, captions: Sequence[Caption]) -> Iterator[tuple[int, Tensor, Tensor]]:
        for first in range(0, len(captions), SCORED_AT_ONCE):
            yield first, *self._words(captions[first : first + SCORED_AT_ONCE])

    def _words(self, captions: Sequence[Caption]) -> tuple[Tensor, Tensor]:
        from training.models.scan import length_mask

        tokens, lengths = self._tokens(captions)
        mask = length_mask(lengths, tokens.shape[1]).to(self.device)
        return self.model.encode_captions(tokens, lengths), mask

    def _regions(self, regions: Padded) -> tuple[Tensor, Tensor]:
        import torch

        return torch.from_numpy(regions.values).to(self.device), torch.from_numpy(regions.mask).to(self.device)

    def _tokens(self, captions: Sequence[Caption]) -> tuple[Tensor, Tensor]:
        import torch

        for caption in captions:
            if caption.id not in self._ids:  # tokenising costs as much as a tenth of a step: once a caption will do
                self._ids[caption.id] = self.vocabulary.encode(caption.text).ids
        ids = [self._ids[caption.id] for caption in captions]
        lengths = [len(one) for one in ids]
        padded = np.zeros((len(ids), max(lengths)), np.int64)
        for row, one in zip(padded, ids, strict=True):
            row[: len(one)] = one
        return torch.from_numpy(padded).to(self.device), torch.tensor(lengths)


def _vocabulary(config: MatchingConfig) -> Vocabulary:
    """The run's vocabulary: read where the run has one, else built from the training captions and kept."""
    from features.text.vocabulary import Vocabulary

    path = config.out / VOCABULARY_FILE
    if path.exists():
        return Vocabulary.load(path)
    if config.vocabulary:
        vocabulary = Vocabulary.load(config.vocabulary)
    else:
        vocabulary = Vocabulary.build((caption.text for caption in config.truth("train")), config.min_count)
    path.parent.mkdir(parents=True, exist_ok=True)
    vocabulary.save(path)
    return vocabulary


def _images(captions: Sequence[Caption]) -> dict[str, Any]:
    """The captions' images in order of their first caption: key -> place."""
    return {key: place for place, key in enumerate(dict.fromkeys(caption.key for caption in captions))}
