"""Questions about images with MAC: the answer is one of the training answers.

    heed train vqa --store STORE --questions CLEVR --out RUN                     the study's options, on CLEVR
    heed train vqa --store STORE --questions SCENES --ten-answers --out RUN --model.dim 128 --model.word-dim 64
        --model.classifier 256 --model.output-product --model.drop-stem 0 --model.drop-read 0 --model.drop-words 0
        --model.drop-question 0 --model.drop-memory 0 --model.drop-output 0 --batch-size 64 --lr 1.5e-3 --warmup 100
        --epochs 28 --schedule cosine --ema 0.99                                  scenes (benchmarks/vqa.py)

The store holds regions with their boxes (`heed extract regions`, `heed import`), or the cells of a grid, as CLEVR's
``features`` of ResNet are (`heed import clevr-h5`); the stem follows (`training.models.mac_inputs`). The score function
is the study's variable, in both of MAC's attentions unless --model.attention-in names one. Light to import: torch comes
with `build`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from tyro.conf import arg

from features.errors import HeedError
from pipeline.commands.options import PlaceOption
from pipeline.places import Place
from training.attention.config import AttentionConfig
from training.config import LoopConfig
from training.models.mac_config import MacConfig

if TYPE_CHECKING:
    from torch import Tensor

    from evaluation.attention_file import StepAttention
    from pipeline.annotations import Question
    from pipeline.pinned import TensorBatch
    from training.faithfulness import Probe
    from training.models.mac import MacOutput


@dataclass(frozen=True)
class VqaConfig:
    """Train MAC to answer questions about images; run again, an interrupted training goes on where it stopped.

    The defaults are the attention study's on CLEVR (its notes, section 2.3).
    """

    suffix: ClassVar[str] = ".json"

    # Store of region or grid features: a folder or a URL.
    store: PlaceOption
    # A scenes folder, a CLEVR folder, or VQA v2's files.
    questions: Path
    # Folder of the run.
    out: Path
    # Of scenes: only the questions that are answered by yes, no or a colour.
    ten_answers: bool = False
    # Words rarer than this in the training questions become <UNK>.
    min_words: int = 1
    # Answers rarer than this in training are not learned; for VQA v2 the field takes 9.
    min_answers: int = 1
    # What is learned: the commonest answer of each question by cross-entropy; or, where several people have answered,
    # how right each answer would be, by binary cross-entropy.
    targets: Literal["single", "soft"] = "single"
    # The score function.
    attention: AttentionConfig = field(default_factory=lambda: AttentionConfig("elementwise", init="xavier"))
    # The model.
    model: MacConfig = field(default_factory=MacConfig)
    # The loop.
    loop: Annotated[LoopConfig, arg(name="")] = field(
        default_factory=lambda: LoopConfig(epochs=8, batch_size=64, lr=1e-4, clip=8.0, ema=0.999))

    def run(self) -> int:
        """Train, then write the test split's predictions and attention, and evaluate them."""
        from training.commands import train_and_test

        return train_and_test("vqa", self)

    def build(self) -> Vqa:
        """The task, its model on its device."""
        return Vqa(self)

    def stores(self) -> dict[str, Place]:
        """The stores a run reads, whose fingerprints it keeps."""
        return {"store": self.store}

    def truth(self, split: str) -> list[Question]:
        """The questions of a split."""
        from pipeline.datasets import read_questions

        return read_questions(self.questions, split, ten_answers=self.ten_answers)

    def keep_truth(self, split: str, predictions: Path) -> None:
        """Write the questions of a split beside its predictions."""
        from evaluation.question_truth import write_question_truth
        from evaluation.run_folder import truth_path

        write_question_truth(truth_path(predictions), self.truth(split))

    def judge(self, split: str, predictions: Path) -> dict[str, Any]:
        """Accuracy by kind of question, and attention of every step against truth; printed and given."""
        from evaluation.run_folder import attention_path
        from evaluation.table import print_vqa
        from evaluation.vqa import evaluate_vqa

        found = evaluate_vqa(predictions, self.truth(split), attention_path(predictions))
        print_vqa(found)
        return found


class Vqa:
    """The task; see `training.task.Task`."""

    monitor = "accuracy"
    keys = "regions"
    """What attention chooses among, and `training.faithfulness` takes away."""

    def __init__(self, config: VqaConfig) -> None:
        import torch

        from features.devices import resolve_device
        from pipeline.join_keys import key_of
        from pipeline.sampler import Order
        from pipeline.store import Store
        from training.models.mac import Mac
        from training.tasks.vqa_data import grid_in, vocabularies

        self.config = config
        self.store = Store.open(config.store)
        self.device = resolve_device(config.loop.device)
        questions = config.truth("train")
        self.words, self.answers = vocabularies(config, questions)
        self.key = key_of(self.store, (question.key for question in questions))
        self._ids: dict[str, np.ndarray] = {}
        self._splits: dict[str, list[Question]] = {}
        self._worth = {question.id: self._targets(question) for question in questions}
        known = [question for question in questions if self._worth[question.id]]
        if not known:
            raise HeedError(f"None of the {len(questions)} training questions of {config.questions} has an answer that "
                            f"is given {config.min_answers} times; lower --min-answers.")
        micro = max(1, config.loop.batch_size // config.loop.accumulate)
        self.stream = self._stream(known, micro, Order(config.loop.seed))
        self.missing = [key for lacking in self.stream.missing.values() for key in lacking.keys]
        """Keys of training questions whose images the store does not hold."""
        self.steps_per_epoch = len(self.stream)
        torch.manual_seed(config.loop.seed)
        dim = self.store.identity.fields["features"].inner[0]
        self.model = Mac(config.model, config.attention, dim, len(self.words), len(self.answers),
                         grid_in(config, self.store)).to(self.device)

    def batches(self, epoch: int, first: int) -> Iterator[TensorBatch[Question]]:
        """Batches of questions with their images' regions; of several workers, this one's shares."""
        from pipeline.pinned import device_batches
        from training.workers import rank, world

        return device_batches(self.stream.epoch(epoch, rank(), world()), self.device, first)

    def weight(self, batch: TensorBatch[Question]) -> float:
        """The number of questions, over which the loss is a mean."""
        return float(len(batch.samples))

    def step(self, batch: TensorBatch[Question]) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the answers, averaged over the batch; with soft targets summed over the answers."""
        import torch
        import torch.nn.functional as F

        logits = self._forward(batch).logits.float()
        worth = [self._worth[question.id] for question in batch.samples]
        rows = torch.arange(len(worth)).repeat_interleave(torch.tensor([len(one) for one in worth]))
        targets = torch.zeros(logits.shape)
        targets[rows, [answer for one in worth for answer in one]] = torch.tensor(
            [value for one in worth for value in one.values()])
        targets = targets.to(self.device)
        right = targets.gather(1, logits.argmax(1, keepdim=True)).mean()
        if self.config.targets == "soft":
            loss = F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / len(logits)
        else:
            loss = F.cross_entropy(logits, targets.argmax(1))
        return loss, {"accuracy": 100 * float(right)}

    def validate(self) -> dict[str, float]:
        """Accuracy on the validation questions, in percent."""
        from evaluation.vqa import answer_score

        scores, kinds = [], []
        for batch, out in self._answered(self._held("val")):
            for question, answer in zip(batch.samples, self._said(out), strict=True):
                if question.answers:
                    scores.append(100 * answer_score(answer, question.answers))
                    kinds.append(question.kind)
        if not scores:
            raise HeedError(f"The validation questions of {self.config.questions} have no answers.")
        by_kind = {f"accuracy/{kind}": float(np.mean([s for s, k in zip(scores, kinds, strict=True) if k == kind]))
                   for kind in sorted(set(kinds) - {""})}
        return {"accuracy": float(np.mean(scores)), **by_kind}

    def predict(self, split: str, out: Path) -> None:
        """Write the answers of a split as VQA results, and every step's attention beside them."""
        import torch

        from evaluation.attention_file import write_attention
        from evaluation.run_folder import attention_path
        from evaluation.vqa import write_results

        answers: list[tuple[str, str]] = []

        def rows() -> Iterator[StepAttention]:
            for batch, found in self._answered(self._held(split)):
                answers.extend(zip((one.id for one in batch.samples), self._said(found), strict=True))
                yield from self._attention(batch, found)

        self.model.eval()
        with torch.no_grad():
            write_attention(attention_path(out), rows())
        write_results(out, answers)

    def probes(self, split: str, most: int) -> Iterator[Probe]:
        """A split's questions whose answer is known, to be answered with some of the regions alone."""
        import torch

        from pipeline.pinned import device_batches
        from pipeline.sampler import Order
        from training.models.mac_inputs import box_geometry
        from training.models.mac_probe import mac_probe

        known = [question for question in self._held(split) if self._targets(question)][:most]
        for batch in device_batches(self._stream(known, self.config.loop.batch_size, Order(shuffle="none")).epoch(),
                                    self.device):
            targets = [self._targets(question) for question in batch.samples]
            right = torch.tensor([max(worth, key=worth.__getitem__) for worth in targets]).to(self.device)
            features, boxes = batch["regions"]["features"], batch["regions"]["boxes"]
            yield mac_probe(self.model, features.values, box_geometry(boxes.values, self._sizes(batch)), features.mask,
                            *self._tokens(batch.samples), right, [question.key for question in batch.samples])

    def _attention(self, batch: TensorBatch[Question], found: MacOutput) -> Iterator[StepAttention]:
        from evaluation.attention_file import Side, StepAttention
        from features.text.clevr import tokenize

        control, read = found.control[:, 0].float().cpu().numpy(), found.read[:, 0].float().cpu().numpy()
        boxes, counts = batch["regions"]["boxes"].values.cpu().numpy(), batch["regions"]["boxes"].lengths.tolist()
        sizes = self._sizes(batch).tolist()
        for place, question in enumerate(batch.samples):
            tokens = tokenize(question.text)
            words = Side.words([token.text for token in tokens], np.array([(t.start, t.end) for t in tokens]))
            regions = Side.regions(boxes[place, : counts[place]])
            for step in range(control.shape[1]):
                state = Side.words([f"step {step + 1}"])
                for name, keys, weights in (("control", words, control), ("read", regions, read)):
                    yield StepAttention(question.id, question.key, step, name, state, keys,
                                        weights[place, step : step + 1, : len(keys)], *map(int, sizes[place]))

    def _held(self, split: str) -> list[Question]:
        """A split's questions, read once."""
        if split not in self._splits:
            self._splits[split] = self.config.truth(split)
        return self._splits[split]

    def _answered(self, questions: Sequence[Question]) -> Iterator[tuple[TensorBatch[Question], MacOutput]]:
        """Every question whose image is in the store, in order, with what the model gives."""
        from pipeline.pinned import device_batches
        from pipeline.sampler import Order

        stream = self._stream(questions, self.config.loop.batch_size, Order(shuffle="none"))
        for batch in device_batches(stream.epoch(), self.device):
            yield batch, self._forward(batch)

    def _said(self, found: MacOutput) -> list[str]:
        return self.answers.decode(found.logits.argmax(1).cpu().numpy())

    def _stream(self, questions: Sequence[Question], batch: int, order: Any) -> Any:
        from pipeline.stream import Join, Stream

        fields = ("features", "boxes", "width", "height")
        return Stream(questions, {"regions": Join(self.store, self.key, fields)}, batch, order)

    def _forward(self, batch: TensorBatch[Question]) -> MacOutput:
        from training.models.mac_inputs import box_geometry

        features, boxes = batch["regions"]["features"], batch["regions"]["boxes"]
        tokens, lengths = self._tokens(batch.samples)
        geometry = box_geometry(boxes.values, self._sizes(batch))
        return self.model(features.values, geometry, features.mask, tokens, lengths)

    def _sizes(self, batch: TensorBatch[Question]) -> Tensor:
        import torch

        return torch.stack([batch["regions"][name].values for name in ("width", "height")], 1)

    def _tokens(self, questions: Sequence[Question]) -> tuple[Tensor, Tensor]:
        import torch

        from features.text.clevr import tokenize

        for question in questions:
            if question.id not in self._ids:  # a question without a word is one unknown word
                words = [token.text for token in tokenize(question.text)] or [self.words.unknown]
                self._ids[question.id] = self.words.encode(words)
        ids = [self._ids[question.id] for question in questions]
        lengths = [len(one) for one in ids]
        padded = np.zeros((len(ids), max(lengths)), np.int64)
        for row, one in zip(padded, ids, strict=True):
            row[: len(one)] = one
        return torch.from_numpy(padded).to(self.device), torch.tensor(lengths)

    def _targets(self, question: Question) -> dict[int, float]:
        from training.tasks.vqa_data import worth_of

        return worth_of(question, self.answers, self.config.targets == "soft")
