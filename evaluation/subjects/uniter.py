"""UNITER (Chen et al. 2020): one stream of words, then regions with seven numbers for their box.

Published code: ChenRocks/UNITER, model/model.py and model/pretrain.py. It packs each sample's regions right behind
its words; regions have no position, so keeping them behind the padding gives the same numbers and a fixed place for
each region. Weights: a text file of BERT's *cased* vocabulary, matching as `itm_output` (1 = they belong together).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from evaluation.subjects.batches import encoded_boxes, shown_features
from evaluation.subjects.bert import BertLayer, Heads, Pooler, WordEmbeddings, norm, table
from evaluation.subjects.family import Family, count, rows, width_of
from evaluation.subjects.subject import JOINT, Batch, Edit, Reading
from evaluation.subjects.trace import Trace, image_kinds, text_kinds

BOX = 7


@dataclass(frozen=True)
class Config:
    """Sizes; the defaults are UNITER-base's (config/uniter-base.json)."""

    vocabulary: int = 28996
    width: int = 768
    layers: int = 12
    heads: int = 12
    inner: int = 3072
    positions: int = 512
    types: int = 2
    features: int = 2048


class ImageEmbeddings(nn.Module):
    """LN(LN(features) + LN(box) + type 1)."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.img_linear = nn.Linear(config.features, config.width)
        self.pos_linear = nn.Linear(BOX, config.width)
        self.img_layer_norm, self.pos_layer_norm, self.LayerNorm = (norm(config.width) for _ in range(3))
        self.mask_embedding = table(2, config.features)

    def forward(self, features: Tensor, boxes: Tensor, kind: Tensor, hidden: Tensor | None) -> Tensor:
        """(batch, regions, width); a hidden region shows the mask's vector, its features being 0."""
        if hidden is not None:
            features = features + hidden[..., None] * self.mask_embedding.weight[1]
        return self.LayerNorm(self.img_layer_norm(self.img_linear(features))
                              + self.pos_layer_norm(self.pos_linear(boxes)) + kind)


class Encoder(nn.Module):
    """Embeddings, layers and pooler: what the weights call ``uniter``."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.embeddings = WordEmbeddings(config.vocabulary, config.width, config.positions, config.types)
        self.img_embeddings = ImageEmbeddings(config)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(
            BertLayer(config.width, config.heads, config.inner) for _ in range(config.layers))})
        self.pooler = Pooler(config.width, config.width)


class Uniter(nn.Module):
    """The network with its heads for words and matching."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.uniter = Encoder(config)
        self.cls = Heads(config.vocabulary, config.width)
        self.itm_output = nn.Linear(config.width, 2)

    def forward(self, batch: Batch, edit: Edit | None = None) -> Reading:
        """Read a batch."""
        net = self.uniter
        trace = Trace(text_kinds(batch), image_kinds(batch), edit, self.training)
        trace.open("embeddings")
        words = batch.words.shape[1]
        image = net.img_embeddings(shown_features(batch), encoded_boxes(batch, BOX),
                                   net.embeddings.token_type_embeddings.weight[1], batch.hidden)
        text = net.embeddings(batch.words)
        trace.close(text, image)
        states = torch.cat([text, image], 1)
        mask = torch.cat([batch.word_mask, batch.region_mask], 1)
        for number, layer in enumerate(net.encoder["layer"], 1):
            trace.open(f"layer {number}")
            states = layer(states, mask, trace.watch(JOINT))
            trace.close(states[:, :words], states[:, words:])
        match = None
        if self.itm_output is not None and words:
            scores = self.itm_output(net.pooler(states[:, 0]))
            match = scores[:, 1] - scores[:, 0]
        return trace.reading(match)

    def word_scores(self, states: Tensor) -> Tensor | None:
        """(..., vocabulary); None where the weights have no such head."""
        if self.cls.predictions is None:
            return None
        scores: Tensor = self.cls.predictions(states, self.uniter.embeddings.word_embeddings.weight)
        return scores


def configure(tensors: Mapping[str, Tensor], said: Mapping[str, Any]) -> Config:
    """The sizes that a state dict shows; ``said`` is the config.json beside it, for the number of heads."""
    width = width_of(tensors, "uniter.embeddings.word_embeddings.weight")
    return Config(
        vocabulary=rows(tensors, "uniter.embeddings.word_embeddings.weight"), width=width,
        layers=count(tensors, r"uniter\.encoder\.layer\.(\d+)\."),
        heads=int(said.get("num_attention_heads", max(1, width // 64))),
        inner=rows(tensors, "uniter.encoder.layer.0.intermediate.dense.weight"),
        positions=rows(tensors, "uniter.embeddings.position_embeddings.weight"),
        types=rows(tensors, "uniter.embeddings.token_type_embeddings.weight"),
        features=width_of(tensors, "uniter.img_embeddings.img_linear.weight"))


FAMILY = Family(
    name="uniter", build=Uniter, configure=configure,
    sizes={"base": Config(), "large": Config(width=1024, layers=24, heads=16, inner=4096),
           "small": Config(width=128, layers=4, heads=4, inner=512)},
    hub={"base": "visualjoyce/transformers4vl-uniter-base"},
    root="uniter.", renames=((r"^bert\.", "uniter."),),
    aside=(r"^feat_regress\.", r"^region_classifier\.", r"^(vqa|nlvr2|re|ve|vcr|rank|itm_rank)_output\."),
    optional=("cls.predictions", "itm_output"),
    tied="uniter.embeddings.word_embeddings.weight", lower=False)
