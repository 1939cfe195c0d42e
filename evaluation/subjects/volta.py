"""VOLTA's models (Bugliarello et al. 2021): controlled UNITER, LXMERT, ViLBERT and VisualBERT, and its conversions.

Published code: e-bug/volta, volta/encoders.py and volta/embeddings.py. A model is a list of sub-layers; its
configuration says which of them attend, who to whom, which feed forward, and which use one set of weights for both
sides. Here a layer ends where a sub-layer feeds forward. Put the configuration (config/ctrl_*.json there) as
config.json beside the weights. The region of the whole image, which the controlled models put first, is last here.
Matching: index 0 of ``cls.bi_seq_relationship`` is "aligned"; in weights converted from LXMERT, whose fusion is the
text alone, index 1 is. VL-BERT's and the multilingual models' embeddings are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.subjects.batches import encoded_boxes, shown_features
from evaluation.subjects.bert import EPSILON, Heads, Pooler, WordEmbeddings, attend, norm, split_heads, table
from evaluation.subjects.family import Family, rows, width_of
from evaluation.subjects.subject import (
    IMAGE_IMAGE,
    IMAGE_TEXT,
    JOINT,
    PADDING,
    TEXT_IMAGE,
    TEXT_TEXT,
    Batch,
    Edit,
    Reading,
)
from evaluation.subjects.trace import Trace, image_kinds, text_kinds
from features.errors import HeedError

SIDES = {"text": "", "image": "v_"}
"""Side -> prefix of its parameters."""


@dataclass(frozen=True)
class Config:
    """A configuration; the lists number sub-layers."""

    vocabulary: int
    positions: int
    types: int
    features: int
    width: dict[str, int]
    """Side -> width of its states."""
    inner: dict[str, int]
    heads: dict[str, int]
    attention_width: dict[str, dict[int, int]]
    """Side -> sub-layer -> width of its projections, where it is not the states'."""
    attention_heads: dict[str, dict[int, int]]
    sublayer_inner: dict[str, dict[int, int]]
    attends: dict[str, frozenset[int]]
    """Block -> sub-layers that compute it."""
    feeds: dict[str, frozenset[int]]
    """Side -> sub-layers that feed it forward."""
    shared: frozenset[int] = frozenset()
    """Sub-layers with one set of weights for both sides."""
    embeddings: str = "vilbert"
    box: int = 5
    whole: str = ""
    """Where the published model puts the region of the whole image: "first", "last", or "" for nowhere."""
    pooled: dict[str, int] = field(default_factory=lambda: {"text": 1024, "image": 1024})
    fusion: str = "mul"
    activation: str = "relu"

    @property
    def depth(self) -> int:
        """How many sub-layers there are."""
        return 1 + max(n for numbers in (*self.attends.values(), *self.feeds.values()) for n in numbers)

    def looks(self, side: str, number: int) -> bool:
        """Whether ``side`` attends to anything in a sub-layer."""
        return any(number in numbers for block, numbers in self.attends.items() if block.startswith(f"{side}->"))


def _twice(module: nn.Module, name: str, sides: list[str], shared: bool, make: Any) -> None:
    """Add a part for each side under its published name; one and the same for both where it is shared."""
    for side in sides:
        one = getattr(module, name) if shared and side == "image" and len(sides) == 2 else make(side)
        setattr(module, SIDES[side] + name, one)


class SelfAttention(nn.Module):
    """Projections of the sides that take part, and up to four blocks."""

    def __init__(self, config: Config, number: int) -> None:
        super().__init__()
        self.sides = [side for side in SIDES if config.looks(side, number)]
        self.heads = {side: config.attention_heads[side].get(number, config.heads[side]) for side in SIDES}
        self.blocks = [block for block, numbers in config.attends.items() if number in numbers]
        for name in ("query", "key", "value"):
            _twice(self, name, self.sides, number in config.shared, lambda side: nn.Linear(
                config.width[side], config.attention_width[side].get(number, config.width[side])))

    def forward(self, states: dict[str, Tensor], masks: dict[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        """Side -> what it took; only of sides that attend. All four blocks together share one softmax."""
        query, key, value = ({side: split_heads(getattr(self, SIDES[side] + name)(states[side]), self.heads[side])
                              for side in self.sides} for name in ("query", "key", "value"))
        if len(self.blocks) == 4:
            together = [torch.cat([part["text"], part["image"]], 2) for part in (query, key, value)]
            taken = attend(together[0], together[1], together[2], torch.cat([masks["text"], masks["image"]], 1),
                           trace.watch(JOINT))
            words = states["text"].shape[1]
            return {"text": taken[:, :words], "image": taken[:, words:]}
        found = {}
        for block in self.blocks:
            asks, asked = block.split("->")
            found[asks] = attend(query[asks], key[asked], value[asked], masks[asked], trace.watch(block))
        return found


class Output(nn.Module):
    """LN(dense(x) + skipped) for each side that takes part."""

    def __init__(self, config: Config, number: int, sides: list[str], widths: dict[str, int]) -> None:
        super().__init__()
        shared = number in config.shared
        _twice(self, "dense", sides, shared, lambda side: nn.Linear(widths[side], config.width[side]))
        _twice(self, "LayerNorm", sides, shared, lambda side: norm(config.width[side]))

    def forward(self, taken: dict[str, Tensor], skipped: dict[str, Tensor]) -> dict[str, Tensor]:
        """States of both sides; a side that takes no part keeps its own."""
        return {side: skipped[side] if side not in taken else getattr(self, f"{prefix}LayerNorm")(
            getattr(self, f"{prefix}dense")(taken[side]) + skipped[side]) for side, prefix in SIDES.items()}


class Attending(nn.Module):
    """A sub-layer that attends."""

    def __init__(self, config: Config, number: int) -> None:
        super().__init__()
        self.attention_self = SelfAttention(config, number)
        self.sides = self.attention_self.sides
        widths = {side: config.attention_width[side].get(number, config.width[side]) for side in SIDES}
        self.attention_output = Output(config, number, self.sides, widths)

    def forward(self, states: dict[str, Tensor], masks: dict[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        """States of both sides."""
        found: dict[str, Tensor] = self.attention_output(self.attention_self(states, masks, trace), states)
        return found


class Feeding(nn.Module):
    """A sub-layer that feeds forward."""

    def __init__(self, config: Config, number: int) -> None:
        super().__init__()
        self.sides = [side for side in SIDES if number in config.feeds[side]]
        widths = {side: config.sublayer_inner[side].get(number, config.inner[side]) for side in SIDES}
        self.intermediate = nn.Module()
        _twice(self.intermediate, "dense", self.sides, number in config.shared,
               lambda side: nn.Linear(config.width[side], widths[side]))
        self.output = Output(config, number, self.sides, widths)

    def forward(self, states: dict[str, Tensor], masks: dict[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        """States of both sides."""
        taken = {side: functional.gelu(getattr(self.intermediate, f"{SIDES[side]}dense")(states[side]))
                 for side in self.sides}
        found: dict[str, Tensor] = self.output(taken, states)
        return found


class JointEmbeddings(WordEmbeddings):
    """Words and regions under one name, as in VOLTA's UNITER and VisualBERT."""

    def __init__(self, config: Config) -> None:
        width = config.width["text"]
        super().__init__(config.vocabulary, width, config.positions, config.types)
        if config.embeddings == "uniter":
            self.image_embeddings = nn.Linear(config.features, width)
            self.image_location_embeddings = nn.Linear(config.box, width)
            self.image_token_type_embeddings = self.token_type_embeddings
            self.image_layer_norm, self.image_location_layer_norm, self.v_LayerNorm = (norm(width) for _ in range(3))
        else:
            self.projection = nn.Linear(config.features, width)
            self.token_type_embeddings_visual = table(config.types, width)
            self.position_embeddings_visual = table(config.positions, width)

    def regions(self, features: Tensor, boxes: Tensor) -> Tensor:
        """(batch, regions, width)."""
        if hasattr(self, "projection"):
            return self.LayerNorm(self.projection(features) + self.position_embeddings_visual.weight[0]
                                  + self.token_type_embeddings_visual.weight[1])
        return self.v_LayerNorm(self.image_layer_norm(self.image_embeddings(features))
                                + self.image_location_layer_norm(self.image_location_embeddings(boxes))
                                + self.token_type_embeddings.weight[1])


class ImageEmbeddings(nn.Module):
    """Regions alone, as in VOLTA's LXMERT and ViLBERT."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.width["image"]
        self.image_embeddings = nn.Linear(config.features, width)
        self.image_location_embeddings = nn.Linear(config.box, width)
        for name in ("ImgLayerNorm", "LocLayerNorm") if config.embeddings == "lxmert" else ("LayerNorm",):
            self.add_module(name, norm(width))

    def regions(self, features: Tensor, boxes: Tensor) -> Tensor:
        """(batch, regions, image width)."""
        seen, place = self.image_embeddings(features), self.image_location_embeddings(boxes)
        if hasattr(self, "LayerNorm"):
            return self.LayerNorm(seen + place)
        return (self.ImgLayerNorm(seen) + self.LocLayerNorm(place)) / 2


class Encoder(nn.Module):
    """Embeddings, sub-layers and poolers."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        if config.embeddings in ("uniter", "visualbert"):
            self.embeddings: nn.Module = JointEmbeddings(config)
        else:
            self.embeddings = WordEmbeddings(config.vocabulary, config.width["text"], config.positions, config.types)
            self.v_embeddings = ImageEmbeddings(config)
        attends = frozenset[int]().union(*config.attends.values())
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(
            (Attending if number in attends else Feeding)(config, number) for number in range(config.depth))})
        activation = functional.relu if config.activation == "relu" else torch.tanh
        self.t_pooler = Pooler(config.width["text"], config.pooled["text"], activation)
        if config.fusion != "text":
            self.v_pooler = Pooler(config.width["image"], config.pooled["image"], activation)


class Volta(nn.Module):
    """The network with its heads for words and matching."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.bert = Encoder(config)
        self.cls = Heads(config.vocabulary, config.width["text"], "bi_seq_relationship", config.pooled["text"])

    def forward(self, batch: Batch, edit: Edit | None = None) -> Reading:
        """Read a batch, which has both sides."""
        net, config = self.bert, self.config
        features, boxes = shown_features(batch), encoded_boxes(batch, config.box)
        if not batch.words.shape[1] or not features.shape[1]:
            raise HeedError("VOLTA's models are read with words and regions together.")
        if config.whole:
            real = batch.region_mask[..., None]
            mean = (features * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
            box = boxes.new_tensor([0.0, 0.0] + [1.0] * (config.box - 2)).expand(len(boxes), 1, -1)
            features, boxes = torch.cat([features, mean], 1), torch.cat([boxes, box], 1)
        trace = Trace(text_kinds(batch), image_kinds(batch, bool(config.whole)), edit)
        masks = {side: kinds != PADDING for side, kinds in trace.kinds.items()}
        images = net.embeddings if hasattr(net.embeddings, "regions") else net.v_embeddings
        trace.open("embeddings")
        states = {"text": net.embeddings(batch.words), "image": images.regions(features, boxes)}
        trace.close(states["text"], states["image"])
        moved: set[str] = set()
        number = 0
        for sublayer in net.encoder["layer"]:
            if not moved:
                number += 1
                trace.open(f"layer {number}")
            states = sublayer(states, masks, trace)
            moved.update(sublayer.sides)
            if isinstance(sublayer, Feeding):
                trace.close(*(states[side] if side in moved else None for side in SIDES))
                moved = set()
        return trace.reading(self._match(states))

    def _match(self, states: dict[str, Tensor]) -> Tensor | None:
        if self.cls.bi_seq_relationship is None:
            return None
        pooled = self.bert.t_pooler(states["text"][:, 0])
        if self.config.fusion == "text":
            scores = self.cls.bi_seq_relationship(pooled)
            return scores[:, 1] - scores[:, 0]
        image = self.bert.v_pooler(states["image"][:, -1 if self.config.whole == "first" else 0])
        scores = self.cls.bi_seq_relationship(pooled * image if self.config.fusion == "mul" else pooled + image)
        return scores[:, 0] - scores[:, 1]

    def word_scores(self, states: Tensor) -> Tensor | None:
        """(..., vocabulary); None where the weights have no such head."""
        if self.cls.predictions is None:
            return None
        scores: Tensor = self.cls.predictions(states, self.bert.embeddings.word_embeddings.weight)
        return scores


def configure(tensors: Mapping[str, Tensor], said: Mapping[str, Any]) -> Config:
    """The configuration that stands beside the weights; `HeedError` where there is none or it is of another kind."""
    if "tt_attn_sublayers" not in said:
        raise HeedError("VOLTA's weights need their configuration as config.json beside them: it lists the sub-layers "
                        "(config/ctrl_uniter_base.json and the like in e-bug/volta).")
    kind = said.get("image_embeddings", "vilbert")
    if kind not in ("vilbert", "lxmert", "uniter", "visualbert"):
        raise HeedError(f"VOLTA's image embeddings {kind!r} are not read: uniter, lxmert, vilbert and visualbert are.")
    if said.get("layer_norm_eps", EPSILON) != EPSILON or said.get("fusion_method", "mul") not in ("mul", "sum", "text"):
        raise HeedError("This VOLTA configuration is of another kind than the controlled models: its layer_norm_eps is "
                        f"{said.get('layer_norm_eps', EPSILON)}, its fusion_method {said.get('fusion_method')!r}.")
    attends = {block: frozenset(said.get(f"{short}_attn_sublayers", ())) for block, short in (
        (TEXT_TEXT, "tt"), (TEXT_IMAGE, "tv"), (IMAGE_TEXT, "vt"), (IMAGE_IMAGE, "vv"))}
    for own, other in ((TEXT_TEXT, TEXT_IMAGE), (IMAGE_IMAGE, IMAGE_TEXT)):
        partly = (attends[own] & attends[other]) - frozenset.intersection(*attends.values())
        if partly:
            raise HeedError(f"In sub-layer {min(partly)} of this VOLTA configuration only one side attends to both: no "
                            "published model does.")

    def sized(name: str) -> dict[str, dict[int, int]]:
        return {side: {int(n): size for n, size in said.get(f"sublayer2{SIDES[side]}{name}", {}).items()}
                for side in SIDES}

    def both(name: str, default: int) -> dict[str, int]:
        return {side: int(said.get(SIDES[side] + name, default)) for side in SIDES}

    return Config(
        vocabulary=rows(tensors, "bert.embeddings.word_embeddings.weight"),
        positions=rows(tensors, "bert.embeddings.position_embeddings.weight"),
        types=rows(tensors, "bert.embeddings.token_type_embeddings.weight"),
        features=width_of(tensors, "bert.embeddings.projection.weight" if kind == "visualbert" else
                          f"bert.{'' if kind == 'uniter' else 'v_'}embeddings.image_embeddings.weight"),
        width=both("hidden_size", 768), inner=both("intermediate_size", 3072), heads=both("num_attention_heads", 12),
        attention_width=sized("attn_hidden_size"), attention_heads=sized("num_attention_heads"),
        sublayer_inner=sized("intermediate_size"), attends=attends,
        feeds={"text": frozenset(said.get("t_ff_sublayers", ())), "image": frozenset(said.get("v_ff_sublayers", ()))},
        shared=frozenset(said.get("shared_sublayers", ())), embeddings=kind, box=int(said.get("num_locs", 5)),
        whole=said.get("add_global_imgfeat") or "",
        pooled={"text": int(said.get("pooler_size", 768)), "image": int(said.get("v_pooler_size", 1024))},
        fusion=said.get("fusion_method", "mul"), activation=said.get("fusion_act", "relu"))


FAMILY = Family(
    name="volta", build=Volta, configure=configure, sizes={}, hub={}, root="bert.", renames=(),
    aside=(r"^cls\.imagePredictions\.", r"^cls\.qaPredictions\."),
    optional=("cls.predictions", "cls.bi_seq_relationship"),
    tied="bert.embeddings.word_embeddings.weight", lower=True)
