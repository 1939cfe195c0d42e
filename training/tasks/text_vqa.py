"""Questions about the words in an image, answered by M4C: with words of a vocabulary and words copied from the image.

    heed train text-vqa --store STORE --ocr-store OCR --questions SIGNS --attention.score general --out RUN

The attention score function of the multimodal transformer is the study's variable. Questions are joined to two stores
by image key: of an image's regions, and, if there is one, of the boxes of its words, in their order (`heed ocr-boxes`
makes the list to extract it from). Light to import: torch comes with `build`.
"""

from __future__ import annotations

import json
import zlib
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
from training.attention.config import AttentionConfig
from training.config import LoopConfig
from training.models.m4c_config import M4cConfig

if TYPE_CHECKING:
    from torch import Tensor

    from evaluation.attention_file import StepAttention
    from pipeline.annotations import TextQuestion
    from pipeline.pinned import TensorBatch
    from training.faithfulness import Probe
    from training.models.m4c import Decoded, M4c
    from training.models.m4c_inputs import M4cInputs

_DROP_AT = (14_000 / 27_100, 19_000 / 27_100)
"""The study's 14,000th and 19,000th of TextVQA's 100 epochs of 271 steps."""


@dataclass(frozen=True)
class TextVqaConfig:
    """Train M4C to answer questions about words in images; run again, an interrupted training goes on."""

    suffix: ClassVar[str] = ".json"

    # Store of region features: a folder or a URL.
    store: PlaceOption
    # A scenes folder of the flavour signs, an imdb file of sam-textvqa or MMF, or a folder with one a split.
    questions: Path
    # Folder of the run.
    out: Path
    # Store of features of the words' boxes, in the words' order; without it a word is told by its letters and place.
    ocr_store: PlaceOption | None = None
    # Answer vocabulary in the layout of fixed_answer_vocab_textvqa_5k.txt; else the training answers' frequent words.
    answers: Path | None = None
    # A word is frequent enough for that if it is in the answers to so many training questions.
    answer_count: int = 100
    # BERT's vocab.txt, or its folder; else the training questions' words, and letters to spell the others.
    pieces: Path | None = None
    # A word of so many training questions is one piece.
    piece_count: int = 20
    # fastText vectors of OCR words: M4C's are wiki.en.bin.
    fasttext: Path | None = None
    # Published weights of M4C to start from: a checkpoint of MMF or sam-textvqa. Its sizes are taken over.
    weights: Path | None = None
    # The score function.
    attention: AttentionConfig = field(default_factory=lambda: AttentionConfig("scaled_dot", init="normal_002"))
    # The model.
    model: M4cConfig = field(default_factory=M4cConfig)
    # The loop; the study's settings, rates dropping where they do on TextVQA.
    loop: Annotated[LoopConfig, arg(name="")] = field(default_factory=lambda: LoopConfig(
        lr=1e-4, clip=0.25, schedule="step", drop_at=_DROP_AT, warmup=2000, warmup_from=0.2, epochs=100))

    def run(self) -> int:
        """Train, then write the test split's predictions and evaluate them."""
        from training.commands import train_and_test

        return train_and_test("text-vqa", self)

    def build(self) -> TextVqa:
        """The task, its model on its device."""
        return TextVqa(self)

    def stores(self) -> dict[str, Place]:
        """The stores a run reads, whose fingerprints it keeps."""
        return {"store": self.store} | ({} if self.ocr_store is None else {"ocr_store": self.ocr_store})

    def keep_truth(self, split: str, predictions: Path) -> None:
        """Write the questions of a split, with what people answered, beside its predictions."""
        from evaluation.question_truth import write_question_truth
        from evaluation.run_folder import truth_path

        write_question_truth(truth_path(predictions), self.truth(split))

    def judge(self, split: str, predictions: Path) -> dict[str, Any]:
        """Soft accuracy, ANLS, copies, and where the decoder looks; printed and given."""
        from evaluation.question_truth import read_question_truth
        from evaluation.run_folder import truth_path
        from evaluation.table import print_figures
        from evaluation.text_vqa import evaluate_text_vqa

        truth = read_question_truth(truth_path(predictions))
        if not any(asked.answers for asked in truth):  # a test split whose answers the challenge's server keeps
            print(f"{predictions}: {len(truth):,} answers, ready to be submitted; nobody's own are here to compare.")
            return {"task": "text-vqa", "questions": len(truth), "figures": {}, "notes": ["no answers to judge by"]}
        found = evaluate_text_vqa(predictions, truth)
        print_figures(f"Answers to {found['questions']:,} questions", found["figures"], found["notes"], "image")
        return found

    def truth(self, split: str) -> list[TextQuestion]:
        """The questions of a split."""
        from pipeline.datasets import read_text_questions

        return read_text_questions(self.questions, split)


class TextVqa:
    """The task; see `training.task.Task`."""

    monitor = "accuracy"
    keys = "regions and words read"
    """What attention chooses among, and `training.faithfulness` takes away."""

    def __init__(self, config: TextVqaConfig) -> None:
        import torch

        from features.devices import resolve_device
        from features.text.fasttext import FastText
        from pipeline.sampler import Order
        from pipeline.store import Store
        from training.models.m4c_reading import Reading
        from training.tasks.text_vqa_data import answers_of, pieces_of

        self.config = config
        self.device = resolve_device(config.loop.device)
        training = config.truth("train")
        vectors = None if config.fasttext is None else FastText.load(config.fasttext)
        self.reading = Reading(config.model, pieces_of(config, training), answers_of(config, training), vectors)
        self.store = Store.open(config.store)
        self.ocr = None if config.ocr_store is None else Store.open(config.ocr_store)
        micro = max(1, config.loop.batch_size // config.loop.accumulate)
        self.stream = self._stream(training, micro, Order(config.loop.seed))
        self.missing = [key for lacking in self.stream.missing.values() if lacking.dropped for key in lacking.keys]
        """Keys of images that training questions ask about and the store does not hold."""
        self.steps_per_epoch = len(self.stream)
        self._epoch = 0
        torch.manual_seed(config.loop.seed)
        self.model = self._model().to(self.device)

    def batches(self, epoch: int, first: int) -> Iterator[TensorBatch[TextQuestion]]:
        """Batches of questions with their images' regions and words; of several workers, this one's shares."""
        from pipeline.pinned import device_batches
        from training.workers import rank, world

        self._epoch = epoch
        return device_batches(self.stream.epoch(epoch, rank(), world()), self.device, first)

    def weight(self, batch: TensorBatch[TextQuestion]) -> float:
        """The number of decoding steps that count, over which the loss is a mean."""
        if not batch.samples:
            return 0.0
        words = max(1, max(len(question.tokens) for question in batch.samples))
        return float(self._targets(batch, words)[2].sum())

    def parameter_groups(self) -> list[dict[str, Any]]:
        """TextBert, and fc7 where it is trained, learn at ``text_lr`` times the loop's rate."""
        parts = ("text_bert.", "obj_faster_rcnn_fc7.", "ocr_faster_rcnn_fc7.")
        slow = [p for name, p in self.model.named_parameters() if name.startswith(parts)]
        known = {id(p) for p in slow}
        return [{"params": [p for p in self.model.parameters() if id(p) not in known]},
                {"params": slow, "lr_scale": self.config.model.text_lr}]

    def step(self, batch: TensorBatch[TextQuestion]) -> tuple[Tensor, dict[str, float]]:
        """M4C's loss with the answers' own words told."""
        from training.models.m4c import decoding_loss

        inputs = self._inputs(batch)
        previous, targets, counted = self._targets(batch, inputs.word_mask.shape[1])
        scores = self.model(inputs, previous.to(self.device))
        return decoding_loss(scores, targets.to(self.device), counted.to(self.device)), {}

    def _targets(self, batch: TensorBatch[TextQuestion], words: int) -> tuple[Tensor, Tensor, Tensor]:
        seed, epoch = self.config.loop.seed, self._epoch
        return self.reading.targets(batch.samples, words,
                                    lambda name: np.random.default_rng([seed, epoch, zlib.crc32(name.encode())]))

    def validate(self) -> dict[str, float]:
        """Soft accuracy and ANLS, and the share of answers with a copied word, of the validation questions; percent."""
        from evaluation.metrics.answers import anls, text_vqa_accuracy

        found = [(asked, *spelled) for batch in self._held("val")
                 for asked, spelled in zip(batch.samples, self._answer(batch), strict=True)]
        scores = np.array([[text_vqa_accuracy(_join(said), asked.answers), anls(_join(said), asked.answers),
                            "OCR" in sources] for asked, said, sources in found])
        return dict(zip(("accuracy", "anls", "copied"), (100 * scores.mean(0)).tolist(), strict=True))

    def predict(self, split: str, out: Path) -> None:
        """Write the answers in EvalAI's format, with MMF's ``pred_source``; and the attention of every step."""
        import torch

        from evaluation.attention_file import write_attention
        from evaluation.run_folder import attention_path
        from pipeline.atomic import atomic_write

        rows: list[dict[str, Any]] = []
        self.model.eval()
        with torch.no_grad():
            write_attention(attention_path(out), self._attended(split, rows))
        with atomic_write(out) as file:
            file.write(json.dumps(rows, ensure_ascii=False).encode())

    def probes(self, split: str, most: int) -> Iterator[Probe]:
        """A split's questions that can be answered, with some of the regions and of the words in the image alone."""
        from itertools import islice

        from pipeline.pinned import device_batches
        from pipeline.sampler import Order
        from training.models.m4c_probe import m4c_probe

        known = (asked for asked in self.config.truth(split) if self.reading.entries(asked).sequences)
        stream = self._stream(list(islice(known, most)), self.config.loop.batch_size, Order(shuffle="none"))
        for batch in device_batches(stream.epoch(), self.device):
            inputs = self._inputs(batch)
            previous, targets, counted = (one.to(self.device)
                                          for one in self._targets(batch, inputs.word_mask.shape[1]))
            yield m4c_probe(self.model, inputs, previous, targets > 0, counted > 0,
                            [asked.key for asked in batch.samples])

    def _attended(self, split: str, rows: list[dict[str, Any]]) -> Iterator[StepAttention]:
        """The attention of a split's answers as they are given; the answers are added to ``rows``."""
        for batch in self._held(split):
            inputs = self._inputs(batch)
            said, decoded = self.model.answer(inputs, self.reading.start, self.reading.end, weights=True)
            for place, asked in enumerate(batch.samples):
                words, sources = self.reading.spell(said[place].tolist(), self.reading.words(asked))
                name = int(asked.id) if asked.id.isdigit() else asked.id
                rows.append({"question_id": name, "answer": _join(words), "pred_source": sources})
                yield from self._steps(batch, place, inputs, decoded, words)

    def _steps(
        self, batch: TensorBatch[TextQuestion], place: int, inputs: M4cInputs, decoded: Decoded, said: Sequence[str]
    ) -> Iterator[StepAttention]:
        """One question's steps up to its </s>: the last layer's attention, the mean of its heads."""
        import torch

        from evaluation.attention_file import Side, StepAttention

        asked, fields = batch.samples[place], batch["objects"]
        read = self.reading.question(asked)
        width, height = int(fields["width"].values[place]), int(fields["height"].values[place])
        size = np.array([width, height, width, height], np.float32)
        masks = [mask[place].cpu() for mask in (inputs.token_mask, inputs.object_mask, inputs.word_mask)]
        objects, boxes = (values[place].cpu().numpy()[mask.numpy()] * size for values, mask in
                          ((inputs.object_boxes, masks[1]), (inputs.word_boxes, masks[2])))
        keys = (Side.words(read.tokens, read.spans) + Side.regions(objects)
                + Side.regions(boxes, self.reading.words(asked)[: len(boxes)]))
        layer = decoded.attention[-1][place].float().mean(0).cpu()
        ended = [*said, "</s>"][: len(layer)]
        for step, label in enumerate(ended):
            seen = torch.cat([*masks, torch.arange(len(layer)) <= step])
            before = Side.words(["<s>", *said][: step + 1])
            yield StepAttention(asked.id, asked.key, step, "decoder step", Side.words([label]), keys + before,
                                layer[step][seen][None].numpy(), width, height)

    def _answer(self, batch: TensorBatch[TextQuestion]) -> Iterator[tuple[list[str], list[str]]]:
        said, _ = self.model.answer(self._inputs(batch), self.reading.start, self.reading.end)
        for asked, entries in zip(batch.samples, said.tolist(), strict=True):
            yield self.reading.spell(entries, self.reading.words(asked))

    def _held(self, split: str) -> Iterator[TensorBatch[TextQuestion]]:
        """A split's questions in order, those whose image the store holds."""
        from pipeline.pinned import device_batches
        from pipeline.sampler import Order

        stream = self._stream(self.config.truth(split), self.config.loop.batch_size, Order(shuffle="none"))
        return device_batches(stream.epoch(), self.device)

    def _stream(self, samples: Sequence[TextQuestion], batch: int, order: Any) -> Any:
        from pipeline.stream import Join, Stream

        joins = {"objects": Join(self.store, attrgetter("key"), ("features", "boxes", "width", "height"))}
        if self.ocr is not None:
            joins["ocr"] = Join(self.ocr, attrgetter("key"), ("features", "boxes"), missing="keep")
        return Stream(samples, joins, batch, order)

    def _inputs(self, batch: TensorBatch[TextQuestion]) -> M4cInputs:
        return self.reading.inputs(batch.samples, batch["objects"], None if self.ocr is None else batch["ocr"])

    def _model(self) -> M4c:
        from training.models.m4c import M4c, M4cSizes
        from training.models.m4c_published import build_published, read_published
        from training.models.text_bert import load_bert

        config = self.config
        dim = self.store.identity.fields["features"].inner[0]
        if self.ocr is not None and (other := self.ocr.identity.fields["features"].inner[0]) != dim:
            raise HeedError(f"{config.ocr_store} has features of {other} numbers, {config.store} of {dim}: extract "
                            "both with one detector.")
        sizes = M4cSizes(len(self.reading.pieces), len(self.reading.answers), dim, self.reading.word_dim,
                         self.ocr is not None)
        if config.weights is not None:
            model = build_published(read_published(config.weights), config.model, config.attention)
            if model.sizes != sizes:
                raise HeedError(f"{config.weights} is of {model.sizes}, the data and its vocabularies are of {sizes}: "
                                "give the --pieces, --answers, --fasttext and stores that it was trained with.")
            return model
        model = M4c(config.model, config.attention, sizes)
        if config.model.text_weights:
            load_bert(model.text_bert, config.model.text_weights)
        return model


def _join(words: Sequence[str]) -> str:
    return " ".join(words).replace(" 's", "'s")
