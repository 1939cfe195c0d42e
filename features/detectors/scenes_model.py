"""The small Faster R-CNN for scenes: torchvision's detection parts over a light backbone, and attribute heads.

At 160 x 160 pixels: residual stages of stride 4, 8 and 16, a feature pyramid of 48 channels, proposals from the two
coarser, and a box head of 256 numbers, from which shape (the class), box, colour, size and texture are each read by one
linear layer. A region's feature is thus linear evidence of all four, and holds nothing of where the region is.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

SIDE = 160
"""Pixels of the shorter side of what the network sees."""
DIM = 256
"""Length of a region feature."""
_STAGES = (32, 64, 128)
_PYRAMID = 48
_ANCHORS = ((18, 24, 32), (40, 50, 62))  # sides in pixels at stride 8 and 16; scenes' objects measure 15 to 60


class _Residual(nn.Sequential):
    """Two 3 x 3 convolutions beside the identity (He et al., CVPR 2016)."""

    def __init__(self, channels: int) -> None:
        super().__init__(*_convolution(channels, channels), nn.ReLU(inplace=True), *_convolution(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(super().forward(x) + x)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)


class _Body(nn.Module):
    """Images (batch, 3, h, w) to maps of stride 4, 8 and 16."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*_convolution(3, 24, 2), nn.ReLU(inplace=True))
        widths = (24, *_STAGES)
        self.stages = nn.ModuleList(
            nn.Sequential(*_convolution(before, after, 2), nn.ReLU(inplace=True), _Residual(after))
            for before, after in itertools.pairwise(widths)
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.stem(x)
        maps = {}
        for level, stage in enumerate(self.stages):
            maps[str(level)] = x = stage(x)
        return maps


class _Backbone(nn.Module):
    """The body and its feature pyramid."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _Body()
        self.fpn = FeaturePyramidNetwork(list(_STAGES), _PYRAMID)
        self.out_channels = _PYRAMID

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return self.fpn(self.body(x))


class _ProposalHead(nn.Module):
    """Objectness and box codes of the anchors at each place. The pyramid has just convolved: here places do not mix."""

    def __init__(self, anchors: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.Conv2d(_PYRAMID, _PYRAMID, 1), nn.ReLU(inplace=True))
        self.objectness = nn.Conv2d(_PYRAMID, anchors, 1)
        self.codes = nn.Conv2d(_PYRAMID, anchors * 4, 1)
        nn.init.constant_(self.objectness.bias, -3.0)  # few anchors hold an object: begin by saying so

    def forward(self, maps: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        mixed = [self.mix(one) for one in maps]
        return [self.objectness(one) for one in mixed], [self.codes(one) for one in mixed]


class _Proposals(RegionProposalNetwork):
    """Proposals from all maps but the first: stride 8 is fine enough to find an object, stride 4 serves to see it."""

    def forward(self, images: ImageList, features: dict[str, Tensor],
                targets: list[dict[str, Tensor]] | None = None) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Boxes of each image, best first, and in training mode losses."""
        return super().forward(images, {name: one for name, one in features.items() if name != "0"}, targets)


class _Heads(RoIHeads):
    """torchvision's RoI heads that also learn attributes: targets carry ``attributes`` (objects, kinds) int64."""

    def __init__(self, attributes: Mapping[str, int], **options: object) -> None:
        super().__init__(**options)
        self.attribute_heads = nn.ModuleDict({kind: nn.Linear(DIM, count) for kind, count in attributes.items()})

    def forward(self, features: dict[str, Tensor], proposals: list[Tensor], image_shapes: list[tuple[int, int]],
                targets: list[dict[str, Tensor]] | None = None) -> tuple[list, dict[str, Tensor]]:
        """Losses, for training; detection is `features.detectors.frcnn`'s."""
        proposals, matched, labels, regression = self.select_training_samples(proposals, targets)
        found = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        logits, codes = self.box_predictor(found)
        loss_class, loss_box = fastrcnn_loss(logits, codes, labels, regression)
        positive = torch.cat(labels) > 0
        true = torch.cat([target["attributes"][index] for target, index in zip(targets or (), matched, strict=True)])
        losses = {"loss_class": loss_class, "loss_box": loss_box}
        for number, (kind, head) in enumerate(self.attribute_heads.items()):
            wrong = functional.cross_entropy(head(found[positive]), true[positive, number], reduction="sum")
            losses[f"loss_{kind}"] = wrong / positive.sum().clamp(min=1)
        return [], losses


def build(classes: Sequence[str], attributes: Mapping[str, Sequence[str]]) -> GeneralizedRCNN:
    """The network, initialised from torch's global generator.

    In training mode it takes images (3, h, w) in 0..1 and targets with ``boxes`` (n, 4) float32, ``labels`` (n,) int64
    from 1 and ``attributes`` (n, kinds) int64, and gives a dict of losses.
    """
    anchors = AnchorGenerator(_ANCHORS, ((1.0,),) * len(_ANCHORS))
    proposals = _Proposals(
        anchors, _ProposalHead(len(_ANCHORS[0])), fg_iou_thresh=0.55, bg_iou_thresh=0.3, batch_size_per_image=128,
        positive_fraction=0.5, pre_nms_top_n={"training": 200, "testing": 100},
        post_nms_top_n={"training": 100, "testing": 64}, nms_thresh=0.7,
    )
    heads = _Heads(
        {kind: len(names) for kind, names in attributes.items()},
        box_roi_pool=MultiScaleRoIAlign([str(level) for level in range(len(_STAGES))], 7, 1),
        box_head=TwoMLPHead(_PYRAMID * 7 * 7, DIM), box_predictor=FastRCNNPredictor(DIM, len(classes) + 1),
        fg_iou_thresh=0.5, bg_iou_thresh=0.5, batch_size_per_image=32, positive_fraction=0.5, bbox_reg_weights=None,
        score_thresh=0.05, nms_thresh=0.5, detections_per_img=100,
    )
    transform = GeneralizedRCNNTransform(SIDE, 2 * SIDE, [0.5] * 3, [0.25] * 3)
    return GeneralizedRCNN(_Backbone(), proposals, heads, transform)
