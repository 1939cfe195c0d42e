"""M4C (Hu et al., CVPR 2020, arXiv 1911.06258): text-based VQA with a multimodal transformer and a pointer.

A question's wordpieces, an image's regions and the words seen in it are positions of one transformer; the answer is
decoded step by step, each step a word of a fixed vocabulary or a pointer to an OCR word. The study's variable is the
score function of the transformer's self-attention: W is one Linear(width / heads) a layer, shared by the heads.

Question, regions and OCR words see each other and no decoding step; a step sees them, itself and the steps before it.
So they are computed once and the steps against them, where published code computes everything again at each step; the
results are the same. Weights saved by MMF and sam-textvqa load through `training.models.m4c_published`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from features.errors import HeedError
from training.attention.config import AttentionConfig
from training.models.bert_layers import BertLayers, BertShape, Seen, draw_as_bert
from training.models.m4c_answers import OcrPointer, PreviousAnswers
from training.models.m4c_config import M4cConfig
from training.models.m4c_inputs import Embedder, Fc7, M4cInputs
from training.models.text_bert import TextBert


@dataclass(frozen=True)
class M4cSizes:
    """What the data decides."""

    pieces: int
    """Wordpieces that a question may hold."""
    answers: int
    """Words of the answer vocabulary."""
    objects: int
    """Length of a region's features."""
    words: int
    """Length of an OCR word's fixed features, all parts together, without those of its box."""
    word_objects: bool
    """Whether there are features of the words' boxes, as long as a region's."""


@dataclass(frozen=True)
class Encoded:
    """Question, regions and OCR words, as decoding steps look at them."""

    seen: list[Seen]
    """For each layer."""
    mask: Tensor
    """(batch, pieces + regions + words) bool."""
    word_inputs: Tensor
    """(batch, words, hidden): OCR words as they went in."""
    words: Tensor
    """(batch, words, hidden): OCR words as they came out."""
    word_mask: Tensor


@dataclass(frozen=True)
class Decoded:
    """Decoding steps."""

    scores: Tensor
    """(batch, steps, answers + words)."""
    attention: list[Tensor]
    """For each layer (batch, heads, steps, pieces + regions + words + steps); empty where it was not asked for."""


class Multimodal(nn.Module):
    """The multimodal transformer."""

    def __init__(self, config: M4cConfig, attention: AttentionConfig) -> None:
        super().__init__()
        shape = BertShape(config.hidden, config.heads, config.feedforward, config.layers, config.dropout)
        self.prev_pred_embeddings = PreviousAnswers(config.hidden, config.dropout)
        self.encoder = BertLayers(shape, attention, config.published_roles)
        draw_as_bert(self, config.init_deviation)

    def decode(self, steps: Tensor, encoded: Encoded, weights: bool) -> tuple[Tensor, list[Tensor]]:
        """States (batch, steps, hidden) of embedded steps, and each layer's attention where it is wanted."""
        count = steps.shape[1]
        causal = torch.ones(count, count, dtype=torch.bool, device=steps.device).tril()
        mask = torch.cat([encoded.mask[:, None].expand(-1, count, -1), causal.expand(len(steps), -1, -1)], -1)
        found = []
        for layer, seen in zip(self.encoder.layer, encoded.seen, strict=True):
            own = layer.see(steps)
            both = Seen(torch.cat([seen.keys, own.keys], 2), torch.cat([seen.values, own.values], 2))
            steps, attention = layer(steps, both, mask[:, None], weights)
            if weights:
                found.append(attention)
        return steps, found


class _Classifier(nn.Module):
    def __init__(self, hidden: int, answers: int) -> None:
        super().__init__()
        self.module = nn.Linear(hidden, answers)


class M4c(nn.Module):
    """The model."""

    def __init__(self, config: M4cConfig, attention: AttentionConfig, sizes: M4cSizes) -> None:
        super().__init__()
        if config.hidden % config.heads or config.text_hidden % config.text_heads:
            raise HeedError(f"heads must divide the width: {config.heads} do not divide {config.hidden}, or "
                            f"{config.text_heads} not {config.text_hidden}")
        self.config, self.sizes = config, sizes
        text = BertShape(config.text_hidden, config.text_heads, config.text_feedforward, config.text_layers,
                         config.dropout)
        self.text_bert = TextBert(sizes.pieces, text, config.init_deviation)
        self.text_bert_out_linear = (nn.Identity() if config.hidden == config.text_hidden
                                     else nn.Linear(config.text_hidden, config.hidden))
        self.obj_faster_rcnn_fc7 = Fc7(sizes.objects) if config.tune_fc7 else nn.Identity()
        self.ocr_faster_rcnn_fc7 = Fc7(sizes.objects) if config.tune_fc7 and sizes.word_objects else nn.Identity()
        self.objects = Embedder(sizes.objects, config)
        words = sizes.words + sizes.objects * sizes.word_objects + config.text_hidden * config.learned_words
        self.words = Embedder(words, config, config.legacy_zeros)
        self.mmt = Multimodal(config, attention)
        self.ocr_ptr_net = OcrPointer(config.hidden, config.pointer or config.hidden)
        self.classifier = _Classifier(config.hidden, sizes.answers)

    def embed(self, inputs: M4cInputs) -> tuple[Tensor, Tensor, Tensor]:
        """Question (batch, pieces, hidden), regions and OCR words likewise, as they go into the transformer."""
        text = self.text_bert_out_linear(self.text_bert(inputs.tokens, inputs.token_mask))
        objects = self.objects([self.obj_faster_rcnn_fc7(inputs.objects)], inputs.object_boxes)
        return text, objects, self.words(self._word_parts(inputs), inputs.word_boxes)

    def encode(self, inputs: M4cInputs, embedded: tuple[Tensor, Tensor, Tensor] | None = None) -> Encoded:
        """Everything but the answer; ``embedded`` where `embed` was asked before."""
        text, objects, words = self.embed(inputs) if embedded is None else embedded
        mask = torch.cat([inputs.token_mask, inputs.object_mask, inputs.word_mask], 1)
        states, seen = self.mmt.encoder(torch.cat([text, objects, words], 1), mask)
        out = states[:, states.shape[1] - words.shape[1]:]
        return Encoded(seen, mask, words, out, inputs.word_mask)

    def _word_parts(self, inputs: M4cInputs) -> list[Tensor]:
        parts = list(inputs.words)
        if self.config.learned_words and inputs.word_pieces is not None:
            parts.append(self.text_bert.means(inputs.word_pieces))
        if self.sizes.word_objects and inputs.word_objects is not None:
            parts.append(self.ocr_faster_rcnn_fc7(inputs.word_objects))
        return parts

    def decode(self, encoded: Encoded, previous: Tensor, weights: bool = False) -> Decoded:
        """Scores of all steps at once; ``previous`` (batch, steps) int64 begins with <s>."""
        rows = self.classifier.module.weight
        steps = self.mmt.prev_pred_embeddings(rows, encoded.word_inputs, previous)
        states, attention = self.mmt.decode(steps, encoded, weights)
        pointed = self.ocr_ptr_net(states, encoded.words, encoded.word_mask)
        return Decoded(torch.cat([self.classifier.module(states), pointed], -1), attention)

    def forward(self, inputs: M4cInputs, previous: Tensor) -> Tensor:
        """Scores (batch, steps, answers + words), the words before each step given."""
        return self.decode(self.encode(inputs), previous).scores

    def answer(self, inputs: M4cInputs, start: int, end: int | None, weights: bool = False) -> tuple[Tensor, Decoded]:
        """Greedy decoding: numbers (batch, steps) int64, and the steps that gave them.

        It stops after ``config.steps``, or, unless ``end`` is None, as soon as every question has said ``end``; what
        stands behind a question's first ``end`` means nothing.
        """
        encoded = self.encode(inputs)
        previous = torch.full((len(inputs.tokens), 1), start, device=inputs.tokens.device)
        ended = torch.zeros(len(previous), dtype=torch.bool, device=previous.device)
        while True:
            said = self.decode(encoded, previous).scores[:, -1].argmax(-1)
            ended = ended | (said == end) if end is not None else ended
            if previous.shape[1] == self.config.steps or bool(ended.all()):
                break
            previous = torch.cat([previous, said[:, None]], 1)
        decoded = self.decode(encoded, previous, weights)
        return decoded.scores.argmax(-1), decoded


def decoding_loss(scores: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of every entry at every step that counts, summed, divided by the number of such steps.

    scores and targets (batch, steps, entries), mask (batch, steps) (MMF's M4CDecodingBCEWithMaskLoss).
    """
    losses = F.binary_cross_entropy_with_logits(scores.float(), targets, reduction="none")
    return (losses.sum(-1) * mask).sum() / mask.sum().clamp(min=1)
