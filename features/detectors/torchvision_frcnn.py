"""torchvision's Faster R-CNNs, trained on COCO (80 object classes, among 90 ids) or on anything else from a file.

``--weights`` chooses architecture and weights: ``default`` (the ResNet-50 FPN v2, COCO_V1), an architecture's name
(its COCO_V1), ``ARCHITECTURE=PATH``, ``ARCHITECTURE=random``, or a path or ``random`` for the default architecture.
COCO box mAP of the published weights: resnet50_fpn 37.0, resnet50_fpn_v2 46.7, mobilenet_v3_large_fpn 32.8,
mobilenet_v3_large_320_fpn 22.8 (torchvision's documentation). Region features: 1024 numbers; grid: 2048 (ResNet) or
960 (MobileNet).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models import get_model, get_model_weights

from features.detectors.detector import DetectorOptions
from features.detectors.frcnn import FasterRCNNDetector
from features.errors import HeedError
from features.weights import WeightsFile, digest, download, file_digest, load_into, read_weights, warn_random

DEFAULT = "fasterrcnn_resnet50_fpn_v2"
ARCHITECTURES = (
    "fasterrcnn_resnet50_fpn",
    DEFAULT,
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
)
_COCO_CLASSES = 91  # with background


def parse_weights(weights: str) -> tuple[str, str]:
    """Split a ``weights`` option into the architecture and "COCO_V1", "random" or a file's path."""
    name, equals, rest = weights.partition("=")
    if name in ARCHITECTURES:
        return name, rest if equals and rest != "default" else "COCO_V1"
    if weights == "default":
        return DEFAULT, "COCO_V1"
    if weights != "random" and not Path(weights).is_file():
        raise HeedError(f"There are no torchvision weights {weights!r}: give one of {', '.join(ARCHITECTURES)}, "
                        "ARCHITECTURE=PATH, ARCHITECTURE=random, or the path of an existing file.")
    return DEFAULT, weights


def load(options: DetectorOptions) -> FasterRCNNDetector:
    """Build the network and load its weights; raise `HeedError` when they cannot be had or do not fit."""
    architecture, which = parse_weights(options.weights)
    published = get_model_weights(architecture).COCO_V1
    expected = published.url.rsplit("-", 1)[1].removesuffix(".pth")  # the beginning of the file's sha256
    source = WeightsFile({})
    path = None
    if which == "random":
        warn_random(f"The detector {architecture}")
    else:
        path = download(published.url, expected) if which == "COCO_V1" else Path(which)
        source = read_weights(path)
    model = _build(architecture, source)
    if path is not None:
        load_into(model, source.tensors, architecture)
        if architecture == "fasterrcnn_resnet50_fpn" and file_digest(path).startswith(expected):
            _without_epsilon(model)
    weights = digest(model.state_dict())
    if path is None:
        _settle(model)
    classes = _class_names(source, model.roi_heads.box_predictor.cls_score.out_features, published.meta["categories"])
    identity = {
        "name": "torchvision",
        "architecture": architecture,
        "weights": weights,
        "classes": classes,
        "attributes": {},
    }
    return FasterRCNNDetector(model, options, identity)


def _build(architecture: str, source: WeightsFile) -> Any:
    """The network with as many classes as the weights have, initialised the same way in every process."""
    bias = source.tensors.get("roi_heads.box_predictor.cls_score.bias")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return get_model(architecture, weights=None, weights_backbone=None,
                         num_classes=_COCO_CLASSES if bias is None else len(bias))


def _settle(model: Any) -> None:
    """Give a random network's normalisation the statistics of noise: with the initial ones activations fade to nothing.

    Numbers of a last bit's difference between machines, so the digest is taken before.
    """
    noise = torch.randn((2, 3, 256, 256), generator=torch.Generator().manual_seed(0))
    norms = [module for module in model.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.backbone.train()(noise)
    model.eval()


def _without_epsilon(model: nn.Module) -> None:
    """The published ResNet-50 FPN was trained when frozen normalisation added no epsilon (pytorch/vision #2933)."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 0.0


def _class_names(source: WeightsFile, outputs: int, coco: list[str]) -> list[str]:
    """Names by class id, without background: from the file's metadata, else COCO's if as many, else numbers."""
    if "classes" in source.metadata:
        return list(json.loads(source.metadata["classes"]))
    return list(coco[1:]) if outputs == len(coco) else [str(number) for number in range(outputs - 1)]
