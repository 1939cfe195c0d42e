"""LXMERT (Tan and Bansal 2019): a text stream, an image stream, and layers in which each looks at the other.

Published code: airsplay/lxmert, src/lxrt/modeling.py. A cross layer has ONE attention for both directions, reading
both streams as they were before it; then each stream attends to itself. So its four blocks are four softmaxes, and
``text->text`` of ``cross 1`` is of states that have already looked at the image. Regions were never padded in
pre-training: give every image the same number, 36. Matching: index 1 of ``cls.seq_relationship``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from evaluation.subjects.batches import encoded_boxes, shown_features
from evaluation.subjects.bert import (
    AttentionLayer,
    BertLayer,
    Heads,
    Pooler,
    Residual,
    Widen,
    WordEmbeddings,
    norm,
)
from evaluation.subjects.family import Family, count, rows, width_of
from evaluation.subjects.subject import (
    IMAGE_IMAGE,
    IMAGE_TEXT,
    TEXT_IMAGE,
    TEXT_TEXT,
    Batch,
    Edit,
    Reading,
)
from evaluation.subjects.trace import Trace, image_kinds, text_kinds

BOX = 4


@dataclass(frozen=True)
class Config:
    """Sizes; the defaults are those of the released weights."""

    vocabulary: int = 30522
    width: int = 768
    text_layers: int = 9
    image_layers: int = 5
    cross_layers: int = 5
    heads: int = 12
    inner: int = 3072
    positions: int = 512
    types: int = 2
    features: int = 2048


class ImageEmbeddings(nn.Module):
    """(LN(features) + LN(box)) / 2."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.visn_fc, self.visn_layer_norm = nn.Linear(config.features, config.width), norm(config.width)
        self.box_fc, self.box_layer_norm = nn.Linear(BOX, config.width), norm(config.width)

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """(batch, regions, width)."""
        return (self.visn_layer_norm(self.visn_fc(features)) + self.box_layer_norm(self.box_fc(boxes))) / 2


class CrossLayer(nn.Module):
    """Look at the other stream, then at one's own, then feed forward."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.visual_attention = AttentionLayer(config.width, config.heads, "att")
        self.lang_self_att = AttentionLayer(config.width, config.heads)
        self.visn_self_att = AttentionLayer(config.width, config.heads)
        self.lang_inter, self.visn_inter = (Widen(config.width, config.inner) for _ in range(2))
        self.lang_output, self.visn_output = (Residual(config.inner, config.width) for _ in range(2))

    def forward(self, text: Tensor, image: Tensor, batch: Batch, trace: Trace) -> tuple[Tensor, Tensor]:
        """Both streams behind the layer."""
        words, regions = batch.word_mask, batch.region_mask
        text, image = (self.visual_attention(text, image, regions, trace.watch(TEXT_IMAGE)),
                       self.visual_attention(image, text, words, trace.watch(IMAGE_TEXT)))
        text = self.lang_self_att(text, text, words, trace.watch(TEXT_TEXT))
        image = self.visn_self_att(image, image, regions, trace.watch(IMAGE_IMAGE))
        return self.lang_output(self.lang_inter(text), text), self.visn_output(self.visn_inter(image), image)


class Layers(nn.Module):
    """The three stacks and the image embeddings, which the weights keep among them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.visn_fc = ImageEmbeddings(config)
        self.layer, self.r_layers = (
            nn.ModuleList(BertLayer(config.width, config.heads, config.inner) for _ in range(n))
            for n in (config.text_layers, config.image_layers))
        self.x_layers = nn.ModuleList(CrossLayer(config) for _ in range(config.cross_layers))


class Encoder(nn.Module):
    """Embeddings, layers and pooler: what the original weights call ``bert``."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embeddings = WordEmbeddings(config.vocabulary, config.width, config.positions, config.types)
        self.encoder = Layers(config)
        self.pooler = Pooler(config.width, config.width)


class Lxmert(nn.Module):
    """The network with its heads for words and matching. Without one side, the other's own layers run alone."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.bert = Encoder(config)
        self.cls = Heads(config.vocabulary, config.width, "seq_relationship", config.width)

    def forward(self, batch: Batch, edit: Edit | None = None) -> Reading:
        """Read a batch."""
        net = self.bert.encoder
        trace = Trace(text_kinds(batch), image_kinds(batch), edit, self.training)
        trace.open("embeddings")
        text = self.bert.embeddings(batch.words)
        image = net.visn_fc(shown_features(batch), encoded_boxes(batch, BOX))
        trace.close(text, image)
        if text.shape[1]:
            for number, layer in enumerate(net.layer, 1):
                trace.open(f"text {number}")
                text = layer(text, batch.word_mask, trace.watch(TEXT_TEXT))
                trace.close(text, None)
        if image.shape[1]:
            for number, layer in enumerate(net.r_layers, 1):
                trace.open(f"image {number}")
                image = layer(image, batch.region_mask, trace.watch(IMAGE_IMAGE))
                trace.close(None, image)
        if not text.shape[1] or not image.shape[1]:
            return trace.reading(None)
        for number, layer in enumerate(net.x_layers, 1):
            trace.open(f"cross {number}")
            text, image = layer(text, image, batch, trace)
            trace.close(text, image)
        match = None
        if self.cls.seq_relationship is not None:
            scores = self.cls.seq_relationship(self.bert.pooler(text[:, 0]))
            match = scores[:, 1] - scores[:, 0]
        return trace.reading(match)

    def word_scores(self, states: Tensor) -> Tensor | None:
        """(..., vocabulary); None where the weights have no such head."""
        if self.cls.predictions is None:
            return None
        scores: Tensor = self.cls.predictions(states, self.bert.embeddings.word_embeddings.weight)
        return scores


def configure(tensors: Mapping[str, Tensor], said: Mapping[str, Any]) -> Config:
    """The sizes that a state dict shows; ``said`` is the config.json beside it, for the number of heads."""
    width = width_of(tensors, "bert.embeddings.word_embeddings.weight")
    return Config(
        vocabulary=rows(tensors, "bert.embeddings.word_embeddings.weight"), width=width,
        text_layers=count(tensors, r"bert\.encoder\.layer\.(\d+)\."),
        image_layers=count(tensors, r"bert\.encoder\.r_layers\.(\d+)\."),
        cross_layers=count(tensors, r"bert\.encoder\.x_layers\.(\d+)\."),
        heads=int(said.get("num_attention_heads", max(1, width // 64))),
        inner=rows(tensors, "bert.encoder.layer.0.intermediate.dense.weight"),
        positions=rows(tensors, "bert.embeddings.position_embeddings.weight"),
        types=rows(tensors, "bert.embeddings.token_type_embeddings.weight"),
        features=width_of(tensors, "bert.encoder.visn_fc.visn_fc.weight"))


FAMILY = Family(
    name="lxmert", build=Lxmert, configure=configure, sizes={
        "base": Config(),
        "small": Config(width=128, text_layers=3, image_layers=2, cross_layers=2, heads=4, inner=512)},
    hub={"base": "unc-nlp/lxmert-base-uncased", "vqa": "unc-nlp/lxmert-vqa-uncased",
         "gqa": "unc-nlp/lxmert-gqa-uncased"},
    root="bert.", renames=((r"^lxmert\.", "bert."), (r"^lxrt_encoder\.model\.", "")),
    aside=(r"^answer_head\.", r"^obj_predict_head\.", r"^logit_fc\."),
    optional=("cls.predictions", "cls.seq_relationship"),
    tied="bert.embeddings.word_embeddings.weight", lower=True)
