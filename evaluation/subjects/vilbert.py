"""ViLBERT (Lu et al. 2019, 2020): two streams of their own widths, joined by co-attention.

Published code: facebookresearch/vilbert-multi-task, vilbert/vilbert.py, config/bert_base_6layer_6conect.json. A
co-attention layer reads both streams as they were before it; its heads are its own. The model adds a region for the
whole image (mean features, box 0, 0, 1, 1, 1), put first there and last here. Multi-task weights add a word for the
task behind [CLS], last here. Matching: index 0 of ``cls.bi_seq_relationship`` is "aligned" (is_next 0 in training).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.subjects.batches import encoded_boxes, shown_features
from evaluation.subjects.bert import (
    BertLayer,
    Heads,
    Pooler,
    Residual,
    Widen,
    WordEmbeddings,
    attend,
    norm,
    split_heads,
    table,
)
from evaluation.subjects.family import Family, count, rows, width_of
from evaluation.subjects.subject import (
    IMAGE_IMAGE,
    IMAGE_TEXT,
    PADDING,
    TEXT_IMAGE,
    TEXT_TEXT,
    Batch,
    Edit,
    Reading,
)
from evaluation.subjects.trace import Trace, image_kinds, text_kinds

BOX = 5


@dataclass(frozen=True)
class Config:
    """Sizes; the defaults are those of the six-layer, six-connection model."""

    vocabulary: int = 30522
    width: int = 768
    layers: int = 12
    heads: int = 12
    inner: int = 3072
    positions: int = 512
    types: int = 2
    features: int = 2048
    image_width: int = 1024
    image_layers: int = 6
    image_heads: int = 8
    image_inner: int = 1024
    cross_width: int = 1024
    cross_heads: int = 8
    text_before: tuple[int, ...] = (6, 7, 8, 9, 10, 11)
    """Text layers that have run before each co-attention (t_biattention_id)."""
    image_before: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    """Image layers that have run before each co-attention (v_biattention_id)."""
    tasks: int = 0
    """Rows of the table of task words; 0 for none."""
    task: int = 0
    """Which of them to put in."""


class ImageEmbeddings(nn.Module):
    """LN(features + box)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.image_embeddings = nn.Linear(config.features, config.image_width)
        self.image_location_embeddings = nn.Linear(BOX, config.image_width)
        self.LayerNorm = norm(config.image_width)

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """(batch, regions, image width)."""
        return self.LayerNorm(self.image_embeddings(features) + self.image_location_embeddings(boxes))


class CoAttention(nn.Module):
    """Six projections: 1 is the image's, 2 the text's."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.heads = config.cross_heads
        for name in ("query", "key", "value"):
            self.add_module(f"{name}1", nn.Linear(config.image_width, config.cross_width))
            self.add_module(f"{name}2", nn.Linear(config.width, config.cross_width))

    def forward(self, image: Tensor, text: Tensor, regions: Tensor, words: Tensor,
                trace: Trace) -> tuple[Tensor, Tensor]:
        """What each image position took from the text, and each text position from the image."""
        image_query, image_key, image_value = (
            split_heads(getattr(self, f"{name}1")(image), self.heads) for name in ("query", "key", "value"))
        text_query, text_key, text_value = (
            split_heads(getattr(self, f"{name}2")(text), self.heads) for name in ("query", "key", "value"))
        return (attend(image_query, text_key, text_value, words, trace.watch(IMAGE_TEXT)),
                attend(text_query, image_key, image_value, regions, trace.watch(TEXT_IMAGE)))


class CoOutput(nn.Module):
    """A residual for each stream."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dense1, self.LayerNorm1 = nn.Linear(config.cross_width, config.image_width), norm(config.image_width)
        self.dense2, self.LayerNorm2 = nn.Linear(config.cross_width, config.width), norm(config.width)


class CoLayer(nn.Module):
    """Co-attention and a feed-forward layer for each stream."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.biattention = CoAttention(config)
        self.biOutput = CoOutput(config)
        self.v_intermediate = Widen(config.image_width, config.image_inner)
        self.v_output = Residual(config.image_inner, config.image_width)
        self.t_intermediate = Widen(config.width, config.inner)
        self.t_output = Residual(config.inner, config.width)

    def forward(self, image: Tensor, text: Tensor, regions: Tensor, words: Tensor,
                trace: Trace) -> tuple[Tensor, Tensor]:
        """Both streams behind the layer, image first."""
        for_image, for_text = self.biattention(image, text, regions, words, trace)
        out = self.biOutput
        image = out.LayerNorm1(out.dense1(for_image) + image)
        text = out.LayerNorm2(out.dense2(for_text) + text)
        return self.v_output(self.v_intermediate(image), image), self.t_output(self.t_intermediate(text), text)


class Encoder(nn.Module):
    """Embeddings, layers and poolers: what the weights call ``bert``."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embeddings = WordEmbeddings(config.vocabulary, config.width, config.positions, config.types)
        if config.tasks:
            self.embeddings.task_embeddings = table(config.tasks, config.width)
        self.v_embeddings = ImageEmbeddings(config)
        self.encoder = nn.ModuleDict({
            "layer": nn.ModuleList(BertLayer(config.width, config.heads, config.inner) for _ in range(config.layers)),
            "v_layer": nn.ModuleList(BertLayer(config.image_width, config.image_heads, config.image_inner)
                                     for _ in range(config.image_layers)),
            "c_layer": nn.ModuleList(CoLayer(config) for _ in config.text_before)})
        self.t_pooler = Pooler(config.width, config.cross_width, functional.relu)
        self.v_pooler = Pooler(config.image_width, config.cross_width, functional.relu)


class Vilbert(nn.Module):
    """The network with its heads for words and matching. Without one side, the other's own layers run alone."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.bert = Encoder(config)
        self.cls = Heads(config.vocabulary, config.width, "bi_seq_relationship", config.cross_width)

    def _text(self, words: Tensor) -> Tensor:
        """(batch, words, width), the task's word last; it has no position and no type."""
        embeddings = self.bert.embeddings
        text: Tensor = embeddings(words)
        if self.config.tasks and words.shape[1]:
            task = embeddings.LayerNorm(embeddings.task_embeddings.weight[self.config.task])
            text = torch.cat([text, task.expand(len(text), 1, -1)], 1)
        return text

    def _image(self, batch: Batch) -> Tensor:
        """(batch, regions + 1, image width), the whole image last."""
        features, boxes = shown_features(batch), encoded_boxes(batch, BOX)
        if features.shape[1]:
            real = batch.region_mask[..., None]
            mean = (features * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
            whole = boxes.new_tensor([0.0, 0.0, 1.0, 1.0, 1.0]).expand(len(boxes), 1, -1)
            features, boxes = torch.cat([features, mean], 1), torch.cat([boxes, whole], 1)
        image: Tensor = self.bert.v_embeddings(features, boxes)
        return image

    def forward(self, batch: Batch, edit: Edit | None = None) -> Reading:
        """Read a batch."""
        net, config = self.bert.encoder, self.config
        text, image = self._text(batch.words), self._image(batch)
        trace = Trace(text_kinds(batch, bool(config.tasks) and bool(text.shape[1])),
                      image_kinds(batch, bool(image.shape[1])), edit)
        words, regions = (trace.kinds[side] != PADDING for side in ("text", "image"))
        trace.open("embeddings")
        trace.close(text, image)
        ends = zip((*config.text_before, config.layers), (*config.image_before, config.image_layers), strict=True)
        text_done = image_done = 0
        for number, (text_end, image_end) in enumerate(ends):
            if text.shape[1]:
                for index in range(text_done, text_end):
                    trace.open(f"text {index + 1}")
                    text = net["layer"][index](text, words, trace.watch(TEXT_TEXT))
                    trace.close(text, None)
            if image.shape[1]:
                for index in range(image_done, image_end):
                    trace.open(f"image {index + 1}")
                    image = net["v_layer"][index](image, regions, trace.watch(IMAGE_IMAGE))
                    trace.close(None, image)
            text_done, image_done = text_end, image_end
            if number < len(config.text_before) and text.shape[1] and image.shape[1]:
                trace.open(f"cross {number + 1}")
                image, text = net["c_layer"][number](image, text, regions, words, trace)
                trace.close(text, image)
        match = None
        if self.cls.bi_seq_relationship is not None and text.shape[1] and image.shape[1]:
            pooled = self.bert.t_pooler(text[:, 0]) * self.bert.v_pooler(image[:, -1])
            scores = self.cls.bi_seq_relationship(pooled)
            match = scores[:, 0] - scores[:, 1]
        return trace.reading(match)

    def word_scores(self, states: Tensor) -> Tensor | None:
        """(..., vocabulary); None where the weights have no such head."""
        if self.cls.predictions is None:
            return None
        scores: Tensor = self.cls.predictions(states, self.bert.embeddings.word_embeddings.weight)
        return scores


def configure(tensors: Mapping[str, Tensor], said: Mapping[str, Any]) -> Config:
    """The sizes that a state dict shows; heads and the places of co-attention from ``said``, the config.json beside it.

    Without one, heads are of 64 numbers in the text stream and of 128 elsewhere, and each co-attention is followed by
    one layer of either stream, the image's first standing before all of its layers: so in every published model.
    """
    embeddings, layers = "bert.embeddings.", count(tensors, r"bert\.encoder\.layer\.(\d+)\.")
    image_layers, cross = (count(tensors, rf"bert\.encoder\.{kind}_layer\.(\d+)\.") for kind in "vc")
    width = width_of(tensors, f"{embeddings}word_embeddings.weight")
    image_width = rows(tensors, "bert.v_embeddings.image_embeddings.weight")
    cross_width = rows(tensors, "bert.encoder.c_layer.0.biattention.query1.weight")
    tasks = f"{embeddings}task_embeddings.weight"
    return Config(
        vocabulary=rows(tensors, f"{embeddings}word_embeddings.weight"), width=width, layers=layers,
        heads=int(said.get("num_attention_heads", max(1, width // 64))),
        inner=rows(tensors, "bert.encoder.layer.0.intermediate.dense.weight"),
        positions=rows(tensors, f"{embeddings}position_embeddings.weight"),
        types=rows(tensors, f"{embeddings}token_type_embeddings.weight"),
        features=width_of(tensors, "bert.v_embeddings.image_embeddings.weight"),
        image_width=image_width, image_layers=image_layers,
        image_heads=int(said.get("v_num_attention_heads", max(1, image_width // 128))),
        image_inner=rows(tensors, "bert.encoder.v_layer.0.intermediate.dense.weight"),
        cross_width=cross_width,
        cross_heads=int(said.get("bi_num_attention_heads", max(1, cross_width // 128))),
        text_before=tuple(said.get("t_biattention_id", range(layers - cross, layers))),
        image_before=tuple(said.get("v_biattention_id", range(image_layers - cross, image_layers))),
        tasks=rows(tensors, tasks) if tasks in tensors else 0, task=int(said.get("task", 0)))


FAMILY = Family(
    name="vilbert", build=Vilbert, configure=configure, sizes={"base": Config()}, hub={},
    root="bert.", renames=(),
    aside=(r"\.biOutput\.q_dense[12]\.", r"^cls\.imagePredictions\.", r"^vil_", r"^(vision|linguisic)_logit\."),
    optional=("cls.predictions", "cls.bi_seq_relationship"),
    tied="bert.embeddings.word_embeddings.weight", lower=True)
