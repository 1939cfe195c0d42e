"""Video captioning: say in a sentence what a video shows, from stores of its clips' features.

    heed train captioning --video CLIPS --captions MSRVTT --out RUN --vocabulary bert-base-uncased
    heed train captioning --video OBJECTS SOUND --captions SCENES --out RUN --mask.mask lam-multi

SwinBERT's captioner behind its video encoder, with the learnable mask as the variable and SwinBERT's own sparse mask
(``--model.sparse-mask soft``) to compare. It learns to tell hidden pieces of captions and writes piece by piece. The
defaults are SwinBERT's for MSR-VTT. Predictions are COCO's caption results. Light to import: torch comes with `build`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from zlib import crc32

from tyro.conf import arg

from features.errors import HeedError
from pipeline.atomic import write_json
from pipeline.commands.options import PlaceOption
from pipeline.places import Place
from training.attention.mask_config import MaskConfig
from training.config import LoopConfig
from training.models.captioner_config import CaptionerConfig, CaptionTraining, CaptionWriting

if TYPE_CHECKING:
    from torch import Tensor

    from evaluation.metrics.ngrams import Rarity
    from pipeline.annotations import Caption, Moment
    from pipeline.captioned_videos import VideoBatch
    from pipeline.stream import Stream
    from training.models.captioner import Watched
    from training.models.captioner_batch import Lesson

WRITTEN_AT_ONCE = 64
"""Captions written at once: of as many videos as their beams or samples allow, one at least."""


def published_loop() -> LoopConfig:
    """SwinBERT's recipe for MSR-VTT, a step being 192 captions (6 on each of 8 GPUs, 4 times); a tenth is warm-up."""
    return LoopConfig(epochs=15, batch_size=192, lr=3e-4, optimiser="adamw", weight_decay=0.05, schedule="linear",
                      warmup=1017, clip=1.0, seed=88)


@dataclass(frozen=True)
class CaptioningConfig:
    """Train a captioner of videos; run again, an interrupted training goes on where it stopped."""

    suffix: ClassVar[str] = ".json"

    # Stores of clip features (heed extract clips, heed extract sound, heed import), joined in this order.
    video: tuple[PlaceOption, ...]
    # Captions of the videos: a scenes folder, MSR-VTT's folder or file, a file in COCO's format.
    captions: Path
    # Folder of the run.
    out: Path
    # Share of the videos held out, half for validation and half for testing, where the captions have no splits.
    holdout: float = 0.2
    # BERT's word pieces: vocab.txt, a folder with it, OWNER/NAME or a published name such as bert-base-uncased. Without
    # it, whole words of the training captions, and characters to spell the rarer ones.
    vocabulary: str = ""
    # Words rarer than this in the training captions are spelt out of characters, where words are learned.
    min_count: int = 2
    # Weights to start from: a BERT for the text part (a folder, OWNER/NAME or a published name), a checkpoint of
    # SwinBERT's released code, or a run's best.pt.
    init: str = ""
    # Clips' features as the model sees them: each store's divided by their length (unit), or each number less its mean
    # and divided by its deviation over the training videos (standard), for features that are no vectors of one network.
    features: Literal["unit", "standard"] = "unit"
    # Validation videos that are captioned after every epoch, evenly spread.
    validation_videos: int = 500
    # What is hidden in training.
    training: CaptionTraining = field(default_factory=CaptionTraining)
    # How captions are written.
    writing: CaptionWriting = field(default_factory=CaptionWriting)
    # The learnable mask, over the pieces of the caption and the clips of the video.
    mask: MaskConfig = field(default_factory=MaskConfig)
    # The model.
    model: CaptionerConfig = field(default_factory=CaptionerConfig)
    # The loop.
    loop: Annotated[LoopConfig, arg(name="")] = field(default_factory=published_loop)

    def __post_init__(self) -> None:
        if self.writing.longest > self.model.max_tokens:
            raise HeedError(f"--writing.longest {self.writing.longest} is more than the {self.model.max_tokens} pieces "
                            "that the model has places for (--model.max-tokens).")

    def run(self) -> int:
        """Train, then write the test split's predictions and evaluate them."""
        from training.commands import train_and_test

        return train_and_test("captioning", self)

    def build(self) -> Captioning:
        """The task, its model on its device."""
        return Captioning(self)

    def stores(self) -> dict[str, Place]:
        """The stores a run reads, whose fingerprints it keeps."""
        if not self.video:
            raise HeedError("No store of clip features is given (--video).")
        return {f"video {number}": place for number, place in enumerate(self.video, 1)}

    def keep_truth(self, split: str, predictions: Path) -> None:
        """Write the captions of the videos that were captioned beside the predictions, in COCO's format."""
        from evaluation.run_folder import truth_path

        said = {row["image_id"] for row in json.loads(predictions.read_text(encoding="utf-8"))}
        write_json(truth_path(predictions), coco([c for c in self.truth(split) if c.key in said]))

    def judge(self, split: str, predictions: Path) -> dict[str, Any]:
        """The figures of coco-caption with intervals; printed and given."""
        from evaluation.captions import evaluate_captions
        from evaluation.run_folder import truth_path
        from evaluation.table import print_figures

        found = evaluate_captions(predictions, truth_path(predictions))
        print_figures(f"Captions of {found['images']:,} videos, {split}", found["figures"], found["notes"], "video")
        return found

    def truth(self, split: str) -> list[Caption]:
        """The captions of a split."""
        from pipeline.datasets import read_video_captions

        return read_video_captions(self.captions, split, self.holdout)


def coco(captions: Sequence[Caption]) -> dict[str, Any]:
    """Captions in COCO's format; the videos' keys are the images' ids."""
    keys = dict.fromkeys(caption.key for caption in captions)
    return {"images": [{"id": key, "file_name": key} for key in keys],
            "annotations": [{"id": c.id, "image_id": c.key, "caption": c.text} for c in captions]}


class Captioning:
    """The task; see `training.task.Task`."""

    monitor = "CIDEr"

    def __init__(self, config: CaptioningConfig) -> None:
        import torch

        from features.devices import resolve_device
        from pipeline.store import Store
        from training.models.captioner import Captioner
        from training.models.captioner_batch import Hiding
        from training.models.captioner_video import PLACE
        from training.tasks.captioning_start import run_pieces, start_weights
        from training.tasks.moment_features import Standard, measured

        self.config = config
        self.videos = {name: Store.open(path) for name, path in config.stores().items()}
        self.names = tuple(self.videos)
        self.device = resolve_device(config.loop.device)
        training = config.truth("train")
        self.pieces = run_pieces(config.out, (caption.text for caption in training), config.min_count,
                                 config.vocabulary)
        self.hiding = Hiding(config.training, self.pieces, config.model.max_tokens)
        self.stream = self._stream(training, max(1, config.loop.batch_size // config.loop.accumulate))
        self.steps_per_epoch = len(self.stream)
        torch.manual_seed(config.loop.seed)
        sizes = [store.identity.fields["features"].inner[0] for store in self.videos.values()]
        sizes[-1] += PLACE
        self.model: Any = Captioner(config.model, config.mask, len(self.pieces), *sizes)
        if config.features == "standard":
            self.model.scale = Standard(*measured(self.videos, training))
        if config.init:
            start_weights(self.model, config.init)
        self.model.to(self.device)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """No weight decay for biases and norms, as in the released code."""
        named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        spared = [p for name, p in named if name.endswith("bias") or "LayerNorm" in name]
        rest = [p for name, p in named if not (name.endswith("bias") or "LayerNorm" in name)]
        return [{"params": rest}, {"params": spared, "weight_decay": 0.0}]

    def batches(self, epoch: int, first: int) -> Iterator[Lesson]:
        """This worker's captions with their videos, pieces hidden as (seed, epoch, caption) say."""
        from contextlib import closing

        from pipeline.ahead import read_ahead
        from training import workers

        stream = self.stream.epoch(epoch, workers.rank(), workers.world())
        with closing(read_ahead(lambda step: self._lesson(stream[step], epoch), range(first, len(stream)), 2)) as found:
            yield from found

    def weight(self, batch: Lesson) -> float:
        """How many pieces are to be told."""
        return float((batch.targets >= 0).sum())

    def step(self, batch: Lesson) -> tuple[Tensor, dict[str, float]]:
        """The loss of the hidden pieces and the masks' own; and the share of pieces told rightly."""
        from training.models.captioner_batch import masked_loss

        words, targets, video, mask = (part.to(self.device) for part in vars(batch).values())
        told = targets >= 0
        asked = self.config.training.objective == "next"
        scores = self.model.scores(self.model(words, self._scaled(video, mask), mask, asked)[told])
        loss = masked_loss(scores, targets[told], self.config.training.label_smoothing)
        right = (scores.detach().argmax(-1) == targets[told]).float().mean()
        return loss + self.model.mask_loss(), {"loss_words": float(loss.detach()), "told": float(right)}

    def validate(self) -> dict[str, float]:
        """CIDEr, BLEU-4 and ROUGE-L on some of the validation videos."""
        from evaluation.captions import evaluate_captions

        captions = self.config.truth("val")
        keys = list(dict.fromkeys(caption.key for caption in captions))
        chosen = set(keys[:: max(1, len(keys) // self.config.validation_videos)])
        captions = [caption for caption in captions if caption.key in chosen]
        found = evaluate_captions(self.write(captions), coco(captions)["annotations"], False, 0, subset=True)
        return {name: found["figures"][name]["value"] for name in ("CIDEr", "BLEU-4", "ROUGE-L")}

    def predict(self, split: str, out: Path) -> None:
        """Write COCO's caption results: a caption for each video that the stores hold."""
        self.model.eval()
        write_json(out, self.write(self.config.truth(split)))

    def write(self, captions: Sequence[Caption]) -> list[dict[str, str]]:
        """A caption for each video of ``captions`` that the stores hold, as COCO's results have it."""
        import torch

        firsts = list({caption.key: caption for caption in reversed(captions)}.values())[::-1]
        each = self.config.writing.samples or self.config.writing.beams
        stream = self._stream(firsts, max(1, WRITTEN_AT_ONCE // each), shuffled=False)
        rows = []
        with torch.no_grad():
            for batch in stream.epoch(0).batches():
                made = self._videos(batch)
                watched = self.model.watch(*self._shown(made)).repeated(each)
                rows += [{"image_id": caption.key, "caption": text} for caption, text
                         in zip(made.captions, self._texts(made.captions, partial(self._next, watched)), strict=True)]
        return rows

    def _texts(self, captions: Sequence[Caption], scores: Callable[[Tensor], Tensor]) -> list[str]:
        """A text for each of some videos: the beam search's, or the consensus of those that are drawn."""
        from training.models.decoding import beam_search, draw

        writing, special = self.config.writing, self.hiding.specials
        if not writing.samples:
            found = beam_search(scores, len(captions), special, writing, self.device)
            return [self.pieces.decode(text) for text in found]
        texts = [self.pieces.decode(text) for text in draw(scores, self._chances(captions), special, writing)]
        return [self._agreed(texts[first:first + writing.samples])
                for first in range(0, len(texts), writing.samples)]

    def _chances(self, captions: Sequence[Caption]) -> Tensor:
        """For `draw`: those of a video follow from the seed and its key, so that others beside it change nothing."""
        import numpy as np
        import torch

        size = (self.config.writing.samples, self.config.writing.longest)
        found = [np.random.default_rng([self.config.loop.seed, crc32(caption.key.encode())]).random(size, np.float32)
                 for caption in captions]
        return torch.from_numpy(np.concatenate(found)).to(self.device)

    def _agreed(self, texts: Sequence[str]) -> str:
        from evaluation.metrics.ngrams import consensus
        from evaluation.metrics.penn_words import penn_words

        counted = Counter(texts)
        return list(counted)[consensus(penn_words(list(counted)), list(counted.values()), self._rarity)]

    @cached_property
    def _rarity(self) -> Rarity:
        """Of n-grams in the training captions."""
        from evaluation.metrics.ngrams import Rarity, ngrams
        from evaluation.metrics.penn_words import penn_words

        captions = self.config.truth("train")
        groups: dict[str, list[Any]] = {caption.key: [] for caption in captions}
        for caption, words in zip(captions, penn_words([caption.text for caption in captions]), strict=True):
            groups[caption.key].append(ngrams(words))
        return Rarity(list(groups.values()))

    def look(self, split: str, count: int) -> Iterator[str]:
        """Run the model on the first captions of a split, one at a time; the id of each, after it was run."""
        import torch

        for batch in islice(self._stream(self.config.truth(split), 1, shuffled=False).epoch(0).batches(), count):
            made = self._videos(batch)
            ids = torch.from_numpy(self.hiding.ids(made.captions[0]))[None].to(self.device)
            self.model(ids, *self._shown(made))
            yield made.captions[0].id

    def _next(self, watched: Watched, words: Tensor) -> Tensor:
        """Scores of the piece that comes next: what stands for [MASK] behind the others."""
        import torch

        hidden = torch.full_like(words[:, :1], self.hiding.specials.mask)
        states = self.model.written(torch.cat([words, hidden], 1), watched)
        found: Tensor = self.model.scores(states[:, -1])
        return found

    def _stream(self, captions: Sequence[Caption], batch: int, shuffled: bool = True) -> Stream[Moment]:
        from pipeline.captioned_videos import video_stream
        from pipeline.sampler import Order

        order = Order(self.config.loop.seed) if shuffled else Order(shuffle="none")
        stream = video_stream(captions, self.videos, batch, order)
        for lacking in stream.missing.values():
            print(f"Note: {lacking}.")
        return stream

    def _videos(self, batch: Any) -> VideoBatch:
        from pipeline.captioned_videos import video_batch

        return video_batch(batch, self.names, self.config.model.max_clips, self.config.features == "unit")

    def _lesson(self, batch: Any, epoch: int) -> Lesson:
        import torch

        from training.models.captioner_batch import Lesson

        made = self._videos(batch)
        words, targets = self.hiding.shown(made.captions, self.config.loop.seed, epoch)
        return Lesson(*map(torch.from_numpy, (words, targets, made.video, made.mask)))

    def _shown(self, made: VideoBatch) -> tuple[Tensor, Tensor]:
        import torch

        video, mask = (torch.from_numpy(part).to(self.device) for part in (made.video, made.mask))
        return self._scaled(video, mask), mask

    def _scaled(self, video: Tensor, mask: Tensor) -> Tensor:
        scaled: Tensor = self.model.scale(video, mask) if self.config.features == "standard" else video
        return scaled
