"""What tells a hidden region's features and class: UNITER's two heads and LXMERT's one, named as their weights are.

UNITER: ChenRocks/UNITER, model/pretrain.py; its classes begin behind the background's column, 0, and its regression
uses the matrix that embeds features, transposed. LXMERT: airsplay/lxmert, src/lxrt/modeling.py (BertVisualObjHead),
without attributes. A network is given them as its own parts, so that its weights are a checkpoint of the published
layout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.subjects.bert import Transform, norm

HEADS = {"one": ("feat_regress", "region_classifier"), "two": ("obj_predict_head",)}
"""Streams -> the names of the parts that are added."""


def _transform(width: int) -> list[nn.Module]:
    return [nn.Linear(width, width), nn.GELU(), norm(width)]


class FeatureRegression(nn.Module):
    """W' LN(GELU(dense(x))) + b, W the matrix (width, features) that embeds features."""

    def __init__(self, width: int, embeds: nn.Parameter) -> None:
        super().__init__()
        self.net = nn.Sequential(*_transform(width))
        self.weight = embeds
        self.bias = nn.Parameter(torch.zeros(embeds.shape[1]))

    def forward(self, states: Tensor) -> Tensor:
        """(..., features) of states (..., width)."""
        return functional.linear(self.net(states), self.weight.t(), self.bias)


class RegionClassifier(nn.Module):
    """dense(LN(GELU(dense(x))))."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.net = nn.Sequential(*_transform(width), nn.Linear(width, classes))

    def forward(self, states: Tensor) -> Tensor:
        """(..., classes) of states (..., width)."""
        return self.net(states)


class ObjectHead(nn.Module):
    """One transform, then a matrix for classes and one for features."""

    def __init__(self, width: int, classes: int, features: int) -> None:
        super().__init__()
        self.transform = Transform(width)
        self.decoder_dict = nn.ModuleDict({"obj": nn.Linear(width, classes), "feat": nn.Linear(width, features)})

    def forward(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Features (..., features) and class scores (..., classes) of states (..., width)."""
        states = self.transform(states)
        return self.decoder_dict["feat"](states), self.decoder_dict["obj"](states)


def add_heads(network: nn.Module, streams: str, classes: int) -> None:
    """Give the network of a subject its heads for ``classes`` classes of regions."""
    if streams == "one":
        embeds = network.uniter.img_embeddings.img_linear.weight
        network.feat_regress = FeatureRegression(len(embeds), embeds)
        network.region_classifier = RegionClassifier(len(embeds), classes + 1)
    else:
        width, features = network.bert.encoder.visn_fc.visn_fc.weight.shape
        network.obj_predict_head = ObjectHead(width, classes, features)


def tell_regions(network: nn.Module, states: Tensor) -> tuple[Tensor, Tensor]:
    """(features (..., features), scores (..., classes)) of the last layer's states of regions."""
    if hasattr(network, "feat_regress"):
        return network.feat_regress(states), network.region_classifier(states)[..., 1:]
    features, scores = network.obj_predict_head(states)
    return features, scores
