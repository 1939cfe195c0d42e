"""Text-to-image generation with AttnGAN: a picture from a sentence, refined where it attends to the words.

    heed train generation --captions data/birds --damsm DAMSMencoders/bird --out RUN --attention.score general
    heed train generation --captions FEW --damsm DAMSM-RUN --out RUN --model.base-size 32 --model.stages 2 …

docs/generation.md has both whole. The score function of the refining stages is the study's variable. As published: Adam
with betas 0.5 and 0.999 for the generator and each discriminator, one step each a batch; the average of the generator's
weights with decay 0.999 is what is judged and kept. Light to import: torch comes with `build`.
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
from training.attention.config import AttentionConfig
from training.captioned_batches import CaptionedBatches, PictureBatch, PictureOptions
from training.config import LoopConfig
from training.models.attngan.config import AttnGanConfig

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from pipeline.annotations import Caption
    from pipeline.captioned_pictures import CaptionedPicture
    from training.faithfulness import Probe

_AT_ONCE = 20
_JUDGED = 500  # pictures painted at a validation
_SAMPLING_SEED = 100  # of the noise a split is painted from, as published
_RECIPE = LoopConfig(epochs=600, batch_size=20, lr=2e-4, betas=(0.5, 0.999), clip=0.0, ema=0.999, validate_every=10)


@dataclass(frozen=True)
class GenerationConfig:
    """Train AttnGAN; run again, an interrupted training goes on where it stopped."""

    suffix: ClassVar[str] = ".json"

    # A scenes folder, a captions file in COCO's format, or AttnGAN's data folder (data/birds, data/coco).
    captions: Path
    # The encoders: a run of heed train damsm, or a folder with the published text_encoder*.pth and image_encoder*.pth.
    damsm: Path
    # Folder of the run; the finished generator is RUN/netG.pth, beside the discriminators netD0.pth, netD1.pth, …
    out: Path
    # Begin with a generator's weights, heed's or published (netG*.pth), and those of netD0.pth, … beside it, if there.
    begin: Path | None = None
    # Weight of the DAMSM losses of the last picture; published: 5 for the birds, 50 for COCO.
    guidance: float = 5.0
    # Learning rate of the discriminators, as a multiple of the generator's; published: 1.
    judges_rate: float = 1.0
    # Write the attention maps of so many pictures of a predicted split, the first ones.
    maps: int = 8
    # How pictures and captions are read.
    data: Annotated[PictureOptions, arg(name="")] = field(default_factory=PictureOptions)
    # The score function of the refining stages.
    attention: AttentionConfig = field(default_factory=AttentionConfig)
    # The generator and its discriminators.
    model: AttnGanConfig = field(default_factory=AttnGanConfig)
    # The loop.
    loop: Annotated[LoopConfig, arg(name="")] = field(default_factory=lambda: _RECIPE)

    def run(self) -> int:
        """Train, paint the test split and judge it, and write the networks' weights files."""
        from training import checkpoint
        from training.commands import train_and_test

        status = train_and_test("generation", self)
        task = self.build()
        task.model.load_state_dict(checkpoint.load(self.out / "checkpoints" / "best.pt", str(task.device))["model"])
        task.export(self.out)
        print(f"{self.out}/netG.pth, netD0.pth, …: the networks.")
        return status

    def build(self) -> Generation:
        """The task, its model on its device."""
        return Generation(self)

    def stores(self) -> dict[str, Place]:
        """No stores are read: the discriminators see pictures."""
        return {}

    def pictures(self, split: str) -> list[CaptionedPicture]:
        """The pictures of a split."""
        from pipeline.captioned_pictures import read_pictures

        return read_pictures(self.captions, split, self.data.images, self.data.holdout)

    def truth(self, split: str) -> list[Caption]:
        """All captions of a split."""
        return [caption for picture in self.pictures(split) for caption in picture.captions]

    def keep_truth(self, split: str, predictions: Path) -> None:
        """Write the captions of a split, with their phrases, beside its predictions."""
        from evaluation.run_folder import truth_path
        from evaluation.truth import write_truth

        write_truth(truth_path(predictions), self.truth(split))

    def judge(self, split: str, predictions: Path) -> dict[str, Any]:
        """R-precision, and named objects found where captions tell them, printed and given."""
        from evaluation.generation import evaluate_generation
        from evaluation.table import print_figures

        found = evaluate_generation(predictions, self.truth(split))
        print_figures(f"Generation: {found['pictures']:,} pictures", found["figures"], found["notes"], "image")
        return found


class Generation:
    """The task; see `training.task.Task`."""

    monitor = "r_precision"
    keys = "words"
    """What attention chooses among, and `training.faithfulness` takes away."""

    def __init__(self, config: GenerationConfig) -> None:
        import torch

        from features.devices import resolve_device
        from training.models.attngan.attngan import AttnGan
        from training.tasks.damsm import load_encoders

        self.config = config
        self.device = resolve_device(config.loop.device)
        encoders, self.vocabulary = load_encoders(config.damsm, config.captions)
        self.encoders = encoders.to(self.device)
        self.training = self.reader("train", config.loop.batch_size)
        self.steps_per_epoch = self.training.steps
        torch.manual_seed(config.loop.seed)
        self.model = AttnGan(config.model, config.attention, encoders.config.embed_dim).to(self.device)
        if config.begin is not None and not (config.out / "checkpoints" / "last.pt").exists():
            self._begin(config.begin)
        for network in (self.model, self.encoders):  # pictures come channels last, and a tenth faster so
            network.to(memory_format=torch.channels_last)

    def _begin(self, path: Path) -> None:
        from training.models.attngan.published import load_generator, load_network

        load_generator(self.model.generator, path, self.config.attention)
        for stage, judge in enumerate(self.model.discriminators):
            if (beside := path.with_name(f"netD{stage}.pth")).exists():
                load_network(judge, beside)

    def reader(self, split: str, batch: int = 2) -> CaptionedBatches:
        """The pictures and captions of a split."""
        config = self.config
        return CaptionedBatches(config.pictures(split), self.vocabulary, config.data, config.model.sizes, batch,
                                config.loop.seed, self.device)

    def batches(self, epoch: int, first: int) -> Iterator[PictureBatch]:
        """Batches of pictures with a caption each."""
        return self.training.epoch(epoch, first)

    def optimisers(self, config: LoopConfig) -> Mapping[str, Optimizer]:
        """Adam for the generator and for each discriminator."""
        import torch

        networks = {"generator": (self.model.generator, 1.0)} | {
            f"discriminator{stage}": (judge, self.config.judges_rate)
            for stage, judge in enumerate(self.model.discriminators)}
        return {name: torch.optim.Adam([{"params": list(network.parameters()), "lr_scale": scale}], config.lr,
                                       config.betas)
                for name, (network, scale) in networks.items()}

    def averaged(self) -> list[str]:
        """The generator's parameters."""
        return [f"generator.{name}" for name, _ in self.model.generator.named_parameters()]

    def update(self, batches: Sequence[PictureBatch], optimisers: Mapping[str, Optimizer], rate: float
               ) -> tuple[float, dict[str, float]]:
        """One step of every discriminator on painted and real pictures, then one of the generator."""
        import torch

        from training.models.attngan.losses import adversarial_loss, conditioning_loss, discriminator_loss

        if len(batches) > 1:
            raise HeedError("AttnGAN compares all pictures of a batch: it cannot be split, leave --accumulate 1.")
        batch = batches[0]
        with torch.no_grad():
            words, sentences = self.encoders.read(batch.tokens, batch.lengths)
        painted = self.model.generator(self._noise(len(sentences)), sentences, words, batch.mask)
        figures = {}
        judges = list(enumerate(self.model.discriminators))
        for stage, judge in judges:
            loss = discriminator_loss(judge, batch.pictures[stage], painted.pictures[stage], sentences)
            figures[f"discriminator{stage}_loss"] = self._descend(loss, judge, optimisers[f"discriminator{stage}"])
        self.model.discriminators.requires_grad_(False)
        try:
            fooling = torch.stack([adversarial_loss(judge, painted.pictures[stage], sentences)
                                   for stage, judge in judges]).sum()
            by_words, by_sentence = self.encoders.losses(painted.pictures[-1], words, sentences, batch.mask,
                                                         batch.labels)
            kl = conditioning_loss(painted)
            total = fooling + self.config.guidance * (by_words + by_sentence) + kl
            value = self._descend(total, self.model.generator, optimisers["generator"])
        finally:
            self.model.discriminators.requires_grad_(True)
        named = {"adversarial_loss": fooling, "words_loss": by_words, "sentence_loss": by_sentence, "kl": kl}
        return value, figures | {name: float(loss.detach()) for name, loss in named.items()}

    def step(self, batch: PictureBatch) -> tuple[Tensor, dict[str, float]]:
        """Not called: `update` does a whole step."""
        raise HeedError("AttnGAN has no single loss; its steps are made by update.")

    def validate(self) -> dict[str, float]:
        """R-precision (1 true caption against up to 99) of pictures painted for the first validation captions."""
        from evaluation.generation import own_and_others
        from evaluation.metrics.pictures import r_precision

        found = list(self._painted(self.reader("val"), _JUDGED))
        seen, said, labels = (np.concatenate([piece[name] for piece in found]) for name in ("seen", "said", "labels"))
        return {"r_precision": float(r_precision(own_and_others(seen, said, labels)).mean())}

    def predict(self, split: str, out: Path) -> None:
        """Paint a picture a caption, one caption for each picture of the split, from noise of seed 100, as published.

        Writes the pictures' folder, DAMSM's embeddings and the attention maps beside ``out``, then ``out`` that lists
        them (`evaluation.generated`).
        """
        from evaluation.generated import GeneratedWriter

        self.model.eval()
        with GeneratedWriter(out) as writer:
            for piece in self._painted(self.reader(split), maps=self.config.maps):
                for place, caption in enumerate(piece["captions"]):
                    writer.add(caption, int(piece["labels"][place]), piece["pictures"][place],
                               piece["seen"][place], piece["said"][place])
                writer.add_maps(piece["maps"])

    def probes(self, split: str, most: int) -> Iterator[Probe]:
        """The pictures that `predict` paints, painted with some of the words alone."""
        import torch

        from training.models.attngan.probe import generator_probe

        if self.config.model.stages < 2:
            raise HeedError("A generator of one stage attends to no words.")
        reader = self.reader(split)
        count = min(most, len(reader.pictures))
        noise, epsilon = self._drawn(count)
        for start in range(0, count, _AT_ONCE):
            rows = range(start, min(start + _AT_ONCE, count))
            batch = reader.of(rows, pixels=False)
            with torch.no_grad():
                words, sentences = self.encoders.read(batch.tokens, batch.lengths)
            yield generator_probe(self.model.generator, self.encoders, noise[rows.start:rows.stop],
                                  epsilon[rows.start:rows.stop], words, sentences, batch.mask,
                                  [caption.key for caption in batch.captions])

    def export(self, folder: Path) -> None:
        """Write the networks' weights under heed's names, which but for the score function's are the published ones."""
        from training import checkpoint

        checkpoint.save(folder / "netG.pth", self.model.generator.state_dict())
        for stage, judge in enumerate(self.model.discriminators):
            checkpoint.save(folder / f"netD{stage}.pth", judge.state_dict())

    def _painted(self, reader: CaptionedBatches, most: int | None = None, maps: int = 0) -> Iterator[dict[str, Any]]:
        """Pictures painted for the captions of a split, piece by piece, with embeddings, labels and attention."""
        import torch

        count = len(reader.pictures) if most is None else min(most, len(reader.pictures))
        noise, epsilon = self._drawn(count)
        for start in range(0, count, _AT_ONCE):
            rows = range(start, min(start + _AT_ONCE, count))
            batch = reader.of(rows, pixels=False)
            with torch.no_grad():
                words, sentences = self.encoders.read(batch.tokens, batch.lengths)
                painted = self.model.generator(noise[rows.start:rows.stop], sentences, words, batch.mask,
                                               start < maps, epsilon[rows.start:rows.stop])
                _, seen = self.encoders.see(painted.pictures[-1])
            pictures = ((painted.pictures[-1].float() + 1) * 127.5).to(torch.uint8).permute(0, 2, 3, 1)
            yield {"captions": batch.captions, "labels": batch.labels.cpu().numpy(), "pictures": pictures.cpu().numpy(),
                   "seen": seen.float().cpu().numpy(), "said": sentences.float().cpu().numpy(),
                   "maps": self._maps(batch, painted.attention, min(maps - start, len(rows)))}

    def _maps(self, batch: PictureBatch, attention: list[Tensor | None], count: int) -> list[Any]:
        """Attention of the first ``count`` pictures of a batch, a row a stage."""
        from evaluation.attention_file import Side, StepAttention

        found = []
        for place in range(max(0, count)):
            caption, length = batch.captions[place], int(batch.lengths[place])
            words = Side.words(self.vocabulary.decode(batch.tokens[place, :length].tolist()))
            for stage, weights in enumerate(attention, 2):
                assert weights is not None
                seen = weights[place, 0, :, :length].float().cpu().numpy()
                found.append(StepAttention(caption.id, caption.key, stage, "refining stage",
                                           Side.words([""] * len(seen)), words, seen))
        return found

    def _drawn(self, count: int) -> tuple[Tensor, Tensor]:
        """The noise and the conditioning's noise of a split's first pictures, the same in every model."""
        import torch

        drawn = torch.Generator().manual_seed(_SAMPLING_SEED)
        config = self.config.model
        noise = torch.randn(count, config.z_dim, generator=drawn)
        return noise.to(self.device), torch.randn(count, config.condition_dim, generator=drawn).to(self.device)

    def _noise(self, count: int) -> Tensor:
        import torch

        return torch.randn(count, self.config.model.z_dim, device=self.device)

    def _descend(self, loss: Tensor, network: Any, optimiser: Optimizer) -> float:
        """A step of one optimiser."""
        import torch

        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, enabled=False):
            loss.backward()
        if self.config.loop.clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), self.config.loop.clip)
        optimiser.step()
        return float(loss.detach())
