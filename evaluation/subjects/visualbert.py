"""VisualBERT (Li et al. 2019), as Hugging Face keeps it: one stream of words, then regions without boxes.

A region is its projected features, a type of its own and one position shared by all. Published weights:
``uclanlp/visualbert-vqa-coco-pre`` and its kin (2048 features), ``-nlvr2-*`` (1024), ``-vcr-*`` (512). Matching:
index 0 of ``cls.seq_relationship`` is "belongs to the image", as in BERT's next sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from evaluation.subjects.batches import shown_features
from evaluation.subjects.bert import BertLayer, Heads, Pooler, WordEmbeddings, table
from evaluation.subjects.family import Family, count, rows, width_of
from evaluation.subjects.subject import JOINT, Batch, Edit, Reading
from evaluation.subjects.trace import Trace, image_kinds, text_kinds


@dataclass(frozen=True)
class Config:
    """Sizes; the defaults are those of the weights pre-trained on COCO for questions."""

    vocabulary: int = 30522
    width: int = 768
    layers: int = 12
    heads: int = 12
    inner: int = 3072
    positions: int = 512
    types: int = 2
    features: int = 2048


class Embeddings(WordEmbeddings):
    """Words, and regions under the same LayerNorm."""

    def __init__(self, config: Config) -> None:
        super().__init__(config.vocabulary, config.width, config.positions, config.types)
        self.visual_token_type_embeddings = table(config.types, config.width)
        self.visual_position_embeddings = table(config.positions, config.width)
        self.visual_projection = nn.Linear(config.features, config.width)

    def regions(self, features: Tensor) -> Tensor:
        """(batch, regions, width): projected features + position 0 + type 1."""
        return self.LayerNorm(self.visual_projection(features) + self.visual_position_embeddings.weight[0]
                              + self.visual_token_type_embeddings.weight[1])


class Encoder(nn.Module):
    """Embeddings, layers and pooler: what the weights call ``visual_bert``."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(
            BertLayer(config.width, config.heads, config.inner) for _ in range(config.layers))})
        self.pooler = Pooler(config.width, config.width)


class VisualBert(nn.Module):
    """The network with its heads for words and matching."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.visual_bert = Encoder(config)
        self.cls = Heads(config.vocabulary, config.width, "seq_relationship", config.width)

    def forward(self, batch: Batch, edit: Edit | None = None) -> Reading:
        """Read a batch."""
        net = self.visual_bert
        trace = Trace(text_kinds(batch), image_kinds(batch), edit)
        trace.open("embeddings")
        words = batch.words.shape[1]
        text, image = net.embeddings(batch.words), net.embeddings.regions(shown_features(batch))
        trace.close(text, image)
        states = torch.cat([text, image], 1)
        mask = torch.cat([batch.word_mask, batch.region_mask], 1)
        for number, layer in enumerate(net.encoder["layer"], 1):
            trace.open(f"layer {number}")
            states = layer(states, mask, trace.watch(JOINT))
            trace.close(states[:, :words], states[:, words:])
        match = None
        if self.cls.seq_relationship is not None and words:
            scores = self.cls.seq_relationship(net.pooler(states[:, 0]))
            match = scores[:, 0] - scores[:, 1]
        return trace.reading(match)

    def word_scores(self, states: Tensor) -> Tensor | None:
        """(..., vocabulary); None where the weights have no such head."""
        if self.cls.predictions is None:
            return None
        scores: Tensor = self.cls.predictions(states, self.visual_bert.embeddings.word_embeddings.weight)
        return scores


def configure(tensors: Mapping[str, Tensor], said: Mapping[str, Any]) -> Config:
    """The sizes that a state dict shows; ``said`` is the config.json beside it, for the number of heads."""
    root = "visual_bert.embeddings."
    width = width_of(tensors, f"{root}word_embeddings.weight")
    return Config(
        vocabulary=rows(tensors, f"{root}word_embeddings.weight"), width=width,
        layers=count(tensors, r"visual_bert\.encoder\.layer\.(\d+)\."),
        heads=int(said.get("num_attention_heads", max(1, width // 64))),
        inner=rows(tensors, "visual_bert.encoder.layer.0.intermediate.dense.weight"),
        positions=rows(tensors, f"{root}position_embeddings.weight"),
        types=rows(tensors, f"{root}token_type_embeddings.weight"),
        features=width_of(tensors, f"{root}visual_projection.weight"))


FAMILY = Family(
    name="visualbert", build=VisualBert, configure=configure,
    sizes={"base": Config(), "nlvr2": Config(features=1024), "vcr": Config(features=512)},
    hub={name: f"uclanlp/visualbert-{name}" for name in
         ("vqa", "vqa-pre", "vqa-coco-pre", "vcr", "vcr-pre", "vcr-coco-pre", "nlvr2", "nlvr2-pre", "nlvr2-coco-pre")},
    root="visual_bert.", renames=(),
    aside=(r"^cls\.(weight|bias)$", r"^attention\."),
    optional=("cls.predictions", "cls.seq_relationship"),
    tied="visual_bert.embeddings.word_embeddings.weight", lower=True)
