"""DAMSM: a text and an image encoder that know which words belong to which part of a picture (Xu et al. 2018, §3.2).

    heed train damsm --captions data/birds --out RUN                                      as published
    heed train damsm --captions FEW --out RUN --size 64 --model.image-encoder small …     (docs/generation.md)

What AttnGAN is guided by: `heed train generation --damsm RUN`. A run's predictions are those of image-text matching, by
the cosine of whole pictures and sentences.

As published: Adam with betas 0.5 and 0.999, the rate times 0.98 each epoch down to a tenth, the norm of the text
encoder's gradient, and of no other, cut at --clip. One difference: the published code makes a new optimiser every
epoch, and so forgets Adam's averages there. Light to import: torch comes with `build`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from tyro.conf import arg

from features.errors import HeedError
from pipeline.places import Place
from training.captioned_batches import CaptionedBatches, PictureBatch, PictureOptions
from training.config import LoopConfig
from training.models.attngan.config import EncoderConfig

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from evaluation.predictions import MatchingRow
    from features.text.symbols import Symbols
    from pipeline.annotations import Caption
    from pipeline.captioned_pictures import CaptionedPicture
    from training.models.attngan.encoders import Encoders

VOCABULARY_FILE = "vocabulary.txt"
JUDGED = 1000
"""Pictures of a split that are predicted and judged, the first ones: everything is compared with everything."""
_DECAY, _LOWEST = 0.98, 0.1
_AT_ONCE = 64
_RECIPE = LoopConfig(epochs=600, batch_size=48, lr=2e-3, betas=(0.5, 0.999), clip=0.25)


@dataclass(frozen=True)
class DamsmConfig:
    """Train DAMSM's encoders; run again, an interrupted training goes on where it stopped."""

    suffix: ClassVar[str] = ".arrow"

    # A scenes folder, a captions file in COCO's format, or AttnGAN's data folder (data/birds, data/coco).
    captions: Path
    # Folder of the run; the finished encoders are RUN/text_encoder.pth and RUN/image_encoder.pth, as published.
    out: Path
    # Side of a training picture in pixels.
    size: int = 299
    # How pictures and captions are read.
    data: Annotated[PictureOptions, arg(name="")] = field(default_factory=PictureOptions)
    # The encoders.
    model: EncoderConfig = field(default_factory=EncoderConfig)
    # The loop.
    loop: Annotated[LoopConfig, arg(name="")] = field(default_factory=lambda: _RECIPE)

    def run(self) -> int:
        """Train, judge the test split, and write the encoders' weights files."""
        from training import checkpoint
        from training.commands import train_and_test

        status = train_and_test("damsm", self)
        task = self.build()
        task.model.load_state_dict(checkpoint.load(self.out / "checkpoints" / "best.pt", str(task.device))["model"])
        task.export(self.out)
        print(f"{self.out}/text_encoder.pth, image_encoder.pth: the encoders, for heed train generation --damsm.")
        return status

    def build(self) -> Damsm:
        """The task, its model on its device."""
        return Damsm(self)

    def stores(self) -> dict[str, Place]:
        """No stores are read: the encoder sees pictures."""
        return {}

    def pictures(self, split: str) -> list[CaptionedPicture]:
        """The pictures of a split."""
        from pipeline.captioned_pictures import read_pictures

        return read_pictures(self.captions, split, self.data.images, self.data.holdout)

    def truth(self, split: str) -> list[Caption]:
        """The captions a split is judged by."""
        return [caption for picture in self.pictures(split)[:JUDGED] for caption in picture.captions]

    def keep_truth(self, split: str, predictions: Path) -> None:
        """Write the captions of a split beside its predictions."""
        from evaluation.run_folder import truth_path
        from evaluation.truth import write_truth

        write_truth(truth_path(predictions), self.truth(split))

    def judge(self, split: str, predictions: Path) -> dict[str, Any]:
        """Recall and ranks, printed and given."""
        from evaluation.matching import evaluate_matching
        from evaluation.table import print_matching

        found = evaluate_matching(predictions, self.truth(split))
        print_matching(found)
        return found


class Damsm:
    """The task; see `training.task.Task`."""

    monitor = "r_precision"

    def __init__(self, config: DamsmConfig) -> None:
        import torch

        from features.devices import resolve_device
        from training.models.attngan.encoders import Encoders
        from training.models.attngan.image_encoder import InceptionEncoder

        self.config = config
        self.device = resolve_device(config.loop.device)
        self.vocabulary = vocabulary(config.captions, config.out)
        self.training = self.reader("train", config.loop.batch_size)
        self.steps_per_epoch = self.training.steps
        torch.manual_seed(config.loop.seed)
        self.model = Encoders(config.model, len(self.vocabulary))
        if isinstance(self.model.image_encoder, InceptionEncoder) and not (config.out / "checkpoints/last.pt").exists():
            self.model.image_encoder.load_inception(config.model.inception)
        self.model.to(self.device)

    def reader(self, split: str, batch: int = 2) -> CaptionedBatches:
        """The pictures and captions of a split."""
        config = self.config
        return CaptionedBatches(config.pictures(split), self.vocabulary, config.data, (config.size,), batch,
                                config.loop.seed, self.device)

    def batches(self, epoch: int, first: int) -> Iterator[PictureBatch]:
        """Batches of pictures with a caption each."""
        return self.training.epoch(epoch, first)

    def optimisers(self, config: LoopConfig) -> Mapping[str, Optimizer]:
        """Adam over all that learns."""
        import torch

        parameters = [p for p in self.model.parameters() if p.requires_grad]
        return {"all": torch.optim.Adam(parameters, config.lr, config.betas)}

    def update(self, batches: Sequence[PictureBatch], optimisers: Mapping[str, Optimizer], rate: float
               ) -> tuple[float, dict[str, float]]:
        """One step on words and sentence loss, at the rate of its epoch."""
        import torch

        if len(batches) > 1:
            raise HeedError("DAMSM compares all pictures of a batch: it cannot be split, leave --accumulate 1.")
        batch, optimiser = batches[0], optimisers["all"]
        for group in optimiser.param_groups:
            group["lr"] = rate * max(_DECAY**batch.epoch, _LOWEST)
        by_words, by_sentence = self._losses(batch)
        loss = by_words + by_sentence
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, enabled=False):
            loss.backward()
        if self.config.loop.clip:
            torch.nn.utils.clip_grad_norm_(self.model.text_encoder.parameters(), self.config.loop.clip)
        optimiser.step()
        return float(loss.detach()), {"words_loss": float(by_words.detach()),
                                      "sentence_loss": float(by_sentence.detach())}

    def step(self, batch: PictureBatch) -> tuple[Any, dict[str, float]]:
        """The loss of a batch, undivided."""
        by_words, by_sentence = self._losses(batch)
        return by_words + by_sentence, {}

    def validate(self) -> dict[str, float]:
        """R-precision (1 true caption against up to 99) of the first validation pictures, with a caption each."""
        import torch

        from evaluation.generation import own_and_others
        from evaluation.metrics.pictures import r_precision

        reader = self.reader("val")
        count = min(len(reader.pictures), JUDGED)
        batches = [reader.of(rows, random=False) for rows in _pieces(count)]
        seen = torch.cat([self.model.see(batch.pictures[-1])[1] for batch in batches]).float().cpu().numpy()
        said = torch.cat([self.model.read(batch.tokens, batch.lengths)[1] for batch in batches]).float().cpu().numpy()
        labels = torch.cat([batch.labels for batch in batches]).cpu().numpy()
        return {"r_precision": float(r_precision(own_and_others(seen, said, labels)).mean())}

    def predict(self, split: str, out: Path) -> None:
        """Write every caption's score for every picture."""
        from evaluation.predictions import write_matching

        reader = self.reader(split)
        own = reader.pictures[:JUDGED]
        write_matching(out, [picture.key for picture in own], "t2i", self._rows(reader, len(own)))

    def export(self, folder: Path) -> None:
        """Write the encoders as AttnGAN's release has them."""
        from training import checkpoint

        checkpoint.save(folder / "text_encoder.pth", self.model.text_encoder.state_dict())
        checkpoint.save(folder / "image_encoder.pth", self.model.image_encoder.state_dict())

    def _losses(self, batch: PictureBatch) -> tuple[Any, Any]:
        words, sentences = self.model.read(batch.tokens, batch.lengths)
        return self.model.losses(batch.pictures[-1], words, sentences, batch.mask, batch.labels)

    def _rows(self, reader: CaptionedBatches, pictures: int) -> Iterator[MatchingRow]:
        import torch

        from evaluation.predictions import MatchingRow
        from training.captioned_batches import encode
        from training.models.attngan.damsm import sentence_similarity

        self.model.eval()
        with torch.no_grad():
            whole = torch.cat([self.model.see(reader.of(rows, random=False).pictures[-1])[1].float()
                               for rows in _pieces(pictures)])
            for row, picture in enumerate(reader.pictures[:pictures]):
                draws = [np.random.default_rng([self.config.loop.seed, row, place])
                         for place in range(len(picture.captions))]
                tokens, lengths = encode(picture.captions, self.vocabulary, self.config.data.words, draws)
                _, sentences = self.model.read(torch.from_numpy(tokens).to(self.device), torch.from_numpy(lengths))
                scores = sentence_similarity(whole, sentences.float()).T.cpu().numpy()
                for caption, own in zip(picture.captions, scores, strict=True):
                    yield MatchingRow(caption.id, picture.key, own)


def _pieces(count: int) -> list[range]:
    return [range(start, min(start + _AT_ONCE, count)) for start in range(0, count, _AT_ONCE)]


def vocabulary(captions: Path, run: Path) -> Symbols:
    """The run's vocabulary: read where the run has one, else that of the captions, kept."""
    from features.text.symbols import Symbols
    from pipeline.captioned_pictures import read_vocabulary

    path = run / VOCABULARY_FILE
    if path.exists():
        return Symbols.load(path)
    found = read_vocabulary(captions)
    path.parent.mkdir(parents=True, exist_ok=True)
    found.save(path)
    return found


def load_encoders(folder: Path, captions: Path) -> tuple[Encoders, Symbols]:
    """DAMSM's encoders in eval mode and their vocabulary: those of a run, or published ones with captions.pickle.

    A run is a folder of `heed train damsm`; published files are text_encoder*.pth and image_encoder*.pth in one folder,
    of which the last by name are taken, numbered by the vocabulary of AttnGAN's data folder ``captions``. Raises
    `HeedError` where there is neither.
    """
    import json

    from features.text.symbols import Symbols
    from pipeline.captioned_pictures import read_vocabulary
    from training.models.attngan.encoders import Encoders
    from training.models.attngan.published import load_network
    from training.run import from_json

    files = [sorted(folder.glob(f"{kind}_encoder*.pth"), key=lambda path: (len(path.name), path.name))
             for kind in ("text", "image")]
    if not all(files):
        raise HeedError(f"{folder} holds no text_encoder.pth and image_encoder.pth: train them with heed train damsm "
                        "--out, or name the folder of published ones.")
    if (folder / "config.json").exists():
        value = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if value.pop("task") != "damsm":
            raise HeedError(f"{folder} is a run of another task; --damsm names one of heed train damsm.")
        config, words = from_json(DamsmConfig, value).model, Symbols.load(folder / VOCABULARY_FILE)
    else:
        config, words = EncoderConfig(), read_vocabulary(captions)
    encoders = Encoders(config, len(words))
    load_network(encoders.text_encoder, files[0][-1])
    load_network(encoders.image_encoder, files[1][-1])
    return encoders.eval().requires_grad_(False), words
