"""Audio description: what happens in each described stretch of a film, in a sentence, given what was said before.

    heed train description --video FRAMES --descriptions MAD --splits mad_split.json --language.name gpt2 --out RUN
    heed train description --video OBJECTS --audio SOUND --descriptions SCENES --out RUN --mask.mask lam-multi

AutoAD's mapper in front of a GPT-2 (`training.models.describer`), with the learnable mask in the mapper as the
variable. Video is one store of clip features or several joined in the order given, sound a store of its own. Defaults
of the mapper are the public code's; it has no loop, so rate and epochs are heed's. Predictions are JSON lines. Light to
import: torch comes with `build`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from tyro.conf import arg

from features.errors import HeedError
from pipeline.commands.options import PlaceOption
from pipeline.places import Place
from training.attention.mask_config import MaskConfig
from training.config import LoopConfig
from training.models.describer_config import SMALL, DecodeConfig, LanguageConfig, MapperConfig

if TYPE_CHECKING:
    from torch import Tensor

    from pipeline.annotations import Description
    from pipeline.descriptions import Window
    from pipeline.store import Store
    from pipeline.stream import Batch, Stream
    from training.models.describer_language import Tokens

AUDIO = "audio"
"""The sound's name in the stream; videos are "video 1", "video 2", …"""
VOCABULARY_FILE = "vocabulary.json"
DESCRIBED_AT_ONCE = 64
FIGURES = ("CIDEr", "ROUGE-L", "BLEU-4", "R@1/16", "R@5/16")
"""Validation figures."""


@dataclass(frozen=True)
class DescriptionConfig:
    """Train a describer of films; run again, an interrupted training goes on where it stopped."""

    suffix: ClassVar[str] = ".jsonl"

    # Stores of clip features (heed extract clips, heed import mad-h5), joined in this order.
    video: tuple[PlaceOption, ...]
    # Running descriptions: a scenes folder with videos, or a folder or file of MAD.
    descriptions: Path
    # Folder of the run.
    out: Path
    # Store of the films' sound (heed extract sound), whose clips are tokens of their own.
    audio: PlaceOption | None = None
    # Which films are of which split: AutoAD's mad_split.json; otherwise MAD's folder has a file a split.
    splits: Path | None = None
    # Share of the films held out, half for validation and half for testing, where the descriptions are one file.
    holdout: float = 0.2
    # Descriptions before the one to say that the model is told; in training the true ones.
    context: int = 0
    # In prediction, the descriptions before are those the model has made itself, or the true ones.
    context_from: Literal["own", "true"] = "own"
    # Seconds before and behind a description whose clips the model sees too.
    margin: float = 0.0
    # Clips' features as the model sees them: as they are, divided by their length, or each number less its mean and
    # divided by its deviation over the training descriptions.
    features: Literal["plain", "unit", "standard"] = "plain"
    # Films of the validation split that are described to validate; 0 for all.
    val_films: int = 0
    # The learnable mask, in the mapper's self-attention over latents, video and sound.
    mask: MaskConfig = field(default_factory=MaskConfig)
    # The mapper.
    mapper: MapperConfig = field(default_factory=MapperConfig)
    # The language model.
    language: LanguageConfig = field(default_factory=LanguageConfig)
    # How sentences are made.
    decode: DecodeConfig = field(default_factory=DecodeConfig)
    # The loop.
    loop: Annotated[LoopConfig, arg(name="")] = field(default_factory=lambda: LoopConfig(
        epochs=10, batch_size=64, lr=1e-4, optimiser="adamw", weight_decay=0.01, schedule="cosine", clip=1.0))

    def run(self) -> int:
        """Train, then write the test split's predictions and evaluate them."""
        from training.commands import train_and_test

        return train_and_test("description", self)

    def build(self) -> AudioDescription:
        """The task, its model on its device."""
        return AudioDescription(self)

    def stores(self) -> dict[str, Place]:
        """The stores a run reads, whose fingerprints it keeps."""
        if not self.video:
            raise HeedError("No store of clip features is given (--video).")
        audio = {} if self.audio is None else {AUDIO: self.audio}
        return {**{f"video {number}": place for number, place in enumerate(self.video, 1)}, **audio}

    def keep_truth(self, split: str, predictions: Path) -> None:
        """Write the true descriptions of those that were made, beside them."""
        from evaluation.description import read_rows, write_rows
        from evaluation.run_folder import truth_path

        made = {row["id"] for row in read_rows(predictions, "predictions")}
        write_rows(truth_path(predictions), (row_of(one, one.text) for one in self.truth(split) if one.id in made))

    def judge(self, split: str, predictions: Path) -> dict[str, Any]:
        """The figures with intervals over films; printed and given."""
        from evaluation.description import evaluate_descriptions, print_descriptions
        from evaluation.run_folder import truth_path

        found = evaluate_descriptions(predictions, truth_path(predictions))
        print_descriptions(found)
        return found

    def truth(self, split: str) -> list[Description]:
        """The descriptions of a split, film by film and in order of time; "all" is every one."""
        from pipeline.datasets import read_descriptions

        found = read_descriptions(self.descriptions, None if split == "all" else split, splits=self.splits,
                                  holdout=self.holdout)
        _tell(found.notes)
        return found.rows


@cache
def _tell_once(note: str) -> None:
    print(f"Note: {note}.", flush=True)


def _tell(notes: Sequence[str]) -> None:
    """Print notes, each once."""
    for note in notes:
        _tell_once(note)


def row_of(one: Description, sentence: str) -> dict[str, Any]:
    """A row of predictions or truth."""
    return {"id": one.id, "video": one.key, "start": one.start, "end": one.end, "sentence": sentence}


class AudioDescription:
    """The task; see `training.task.Task`."""

    monitor = "CIDEr"

    def __init__(self, config: DescriptionConfig) -> None:
        import torch

        from features.devices import resolve_device
        from pipeline.store import Store
        from training.models.describer import Describer
        from training.tasks.description_inputs import scales
        from training.tasks.extractors import EXTRACTORS_FOLDER, keep_extractors

        self.config = config
        self.stores: dict[str, Store] = {name: Store.open(place) for name, place in config.stores().items()}
        videos = tuple(name for name in self.stores if name != AUDIO)
        self.groups = {"video": videos, **({AUDIO: (AUDIO,)} if config.audio else {})}
        if (config.out / "config.json").exists():
            keep_extractors(config.out / EXTRACTORS_FOLDER, self.stores)
        self.device = resolve_device(config.loop.device)
        dims = {name: int(store.identity.fields["features"].inner[0]) for name, store in self.stores.items()}
        torch.manual_seed(config.loop.seed)
        self.tokens, language = self._language()
        self.model = Describer(config.mapper, config.mask, sum(dims[name] for name in videos), dims.get(AUDIO, 0),
                               language, config.language.name == SMALL or config.language.train, config.context > 0)
        if config.features == "standard":
            self.model.scales = torch.nn.ModuleDict(scales(self.windows(self.training), self.stores, self.groups))
        self.model.to(self.device)

    def _language(self) -> tuple[Tokens, Any]:
        from training.models.describer_language import WordTokens, pretrained_language, small_language

        config = self.config
        if config.language.name != SMALL:
            language, tokens = pretrained_language(config.language.name)
            if self._room(language.longest) < 0:
                raise HeedError(f"{config.language.name} has {language.longest} positions, too few for the "
                                "prefix and a description: lower --language.max-tokens or --mapper.latents.")
            return tokens, language
        vocabulary = self._vocabulary()
        longest = config.mapper.latents + 1 + config.language.max_tokens * (1 + config.context) + 2
        return WordTokens(vocabulary), small_language(config.language, len(vocabulary), longest)

    def _room(self, positions: int) -> int:
        """Tokens of context that fit before prefix and description."""
        config = self.config
        rest = positions - config.mapper.latents - 1 - config.language.max_tokens - 2
        return min(rest, config.context * config.language.max_tokens)

    def _vocabulary(self) -> Any:
        """The run's vocabulary: read where the run has one, else built from the training sentences and kept."""
        from features.text.vocabulary import Vocabulary

        path = self.config.out / VOCABULARY_FILE
        if path.exists():
            return Vocabulary.load(path)
        vocabulary = Vocabulary.build((one.text for one in self.training), self.config.language.min_count)
        path.parent.mkdir(parents=True, exist_ok=True)
        vocabulary.save(path)
        return vocabulary

    @cached_property
    def training(self) -> list[Description]:
        """The training split."""
        return self.config.truth("train")

    @cached_property
    def stream(self) -> Stream[Window]:
        """Its descriptions with their clips."""
        from pipeline.descriptions import description_stream
        from pipeline.sampler import Order

        micro = max(1, self.config.loop.batch_size // self.config.loop.accumulate)
        return description_stream(self.windows(self.training), self.stores, micro, Order(self.config.loop.seed))

    @cached_property
    def before(self) -> dict[str, tuple[str, ...]]:
        """Training description's id -> the true sentences before it."""
        return sentences_before(self.training, self.config.context)

    @property
    def steps_per_epoch(self) -> int:
        """Batches of the training split."""
        return len(self.stream)

    def windows(self, descriptions: Sequence[Description]) -> list[Window]:
        """Where the descriptions' clips are; what has none is left out, and told."""
        from pipeline.descriptions import described_windows

        windows, notes = described_windows(descriptions, self.stores, self.config.margin)
        _tell(notes)
        return windows

    def batches(self, epoch: int, first: int) -> Iterator[Batch[Window]]:
        """Batches of descriptions with their clips, this worker's share of them."""
        from training import workers

        yield from self.stream.epoch(epoch, workers.rank(), workers.world()).batches(first)

    def weight(self, batch: Batch[Window]) -> float:
        """The tokens of the share: the loss is the mean over them."""
        return float(sum(len(self._numbers(one.text)) for one in batch.samples))

    def step(self, batch: Batch[Window]) -> tuple[Tensor, dict[str, float]]:
        """Mean cross-entropy of the sentences' tokens, and the mask's sparsity loss."""
        from training.models.describer import sentence_loss
        from training.tasks.description_inputs import padded

        prompt, prompt_mask = self._prompt(batch, [self.before[one.id] for one in batch.samples])
        tokens, valid = padded([self._numbers(one.text) for one in batch.samples], self.device)
        loss = sentence_loss(self.model(prompt, prompt_mask, tokens, valid), tokens, valid)
        return loss + self.model.mask_loss(), {"cross_entropy": float(loss.detach())}

    def validate(self) -> dict[str, float]:
        """Figures on the validation split, or on some of its films."""
        from evaluation.description import evaluate_descriptions

        truth = self.config.truth("val")
        if self.config.val_films:
            films = set(islice(dict.fromkeys(one.key for one in truth), self.config.val_films))
            truth = [one for one in truth if one.key in films]
        rows = self.describe(truth)
        said = {row["id"] for row in rows}
        found = evaluate_descriptions(rows, [row_of(one, one.text) for one in truth if one.id in said], resamples=0,
                                      with_meteor=False)
        return {name: found["figures"][name]["value"] for name in FIGURES if name in found["figures"]}

    def predict(self, split: str, out: Path) -> None:
        """Write the sentences of a split, a JSON line each."""
        from evaluation.description import write_rows

        self.model.eval()
        write_rows(out, self.describe(self.config.truth(split)))

    def describe(self, descriptions: Sequence[Description]) -> list[dict[str, Any]]:
        """Rows of predictions for those whose clips the stores hold, film by film."""
        import torch

        from training.tasks.description_say import described

        with torch.no_grad():
            said = described(self, descriptions)
        return [row_of(one, said[one.id]) for one in descriptions if one.id in said]

    def look(self, split: str, count: int) -> Iterator[str]:
        """Run the mapper on the first descriptions of a split, one at a time; the id of each, after it was run."""
        from pipeline.descriptions import description_stream
        from pipeline.sampler import Order

        truth = self.config.truth(split)
        before = sentences_before(truth, self.config.context)
        stream = description_stream(self.windows(truth[:count]), self.stores, 1, Order(shuffle="none"))
        for batch in stream.epoch(0).batches():
            self._prompt(batch, [before[one.id] for one in batch.samples])
            yield batch.samples[0].id

    def _numbers(self, text: str) -> list[int]:
        return [*self.tokens.encode(text)[: self.config.language.max_tokens - 1], self.tokens.end]

    def _prompt(self, batch: Batch[Window], before: Sequence[Sequence[str]]) -> tuple[Tensor, Tensor]:
        """What the sentences go on from, (batch, length, width), and where there is something (batch, length)."""
        from training.tasks.description_inputs import clips, padded

        config = self.config
        seen = [part for group, names in self.groups.items() for part in clips(
            batch, names, config.mapper.max_clips, config.features == "unit",
            self.model.scales[group] if config.features == "standard" else None, config.mapper.shares, self.device)]
        prefix = self.model.perceiver(*seen)
        if not config.context:
            return self.model.prompt(prefix)
        room = self._room(self.model.language.longest)
        told = [self.tokens.encode(" ".join(sentences))[-room:] if sentences and room > 0 else []
                for sentences in before]
        return self.model.prompt(prefix, *padded(told, self.device))


def sentences_before(descriptions: Sequence[Description], count: int) -> dict[str, tuple[str, ...]]:
    """Description's id -> the ``count`` sentences before it in its film, or as many as there are."""
    said: dict[str, list[str]] = {}
    found = {}
    for one in descriptions:
        film = said.setdefault(one.key, [])
        found[one.id] = tuple(film[-count:]) if count else ()
        film.append(one.text)
    return found
