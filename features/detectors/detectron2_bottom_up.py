"""Bottom-up attention's modules for detectron2's registries, so that it builds py-bottom-up-attention's configurations.

airsplay/py-bottom-up-attention changed a copy of detectron2 and steered the changes by five settings
(configs/VG-Detection). Here they are modules beside detectron2's own, chosen where a configuration sets one of them.
The network is the one of `features.detectors.c4_network`, which needs no detectron2.
"""

from __future__ import annotations

from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, ROI_HEADS_REGISTRY, Backbone, build_resnet_backbone
from detectron2.modeling.backbone.resnet import BasicStem
from detectron2.modeling.roi_heads.roi_heads import Res5ROIHeads
from torch import Tensor, nn
from torch.nn import functional


def add_config(cfg: CfgNode) -> None:
    """Let a configuration say the five settings."""
    cfg.MODEL.CAFFE_MAXPOOL = False
    cfg.MODEL.PROPOSAL_GENERATOR.HID_CHANNELS = -1
    cfg.MODEL.ROI_BOX_HEAD.RES5HALVE = True
    cfg.MODEL.ROI_BOX_HEAD.ATTR = False
    cfg.MODEL.ROI_BOX_HEAD.NUM_ATTRS = -1


def choose_modules(cfg: CfgNode) -> None:
    """Name the modules below where the configuration sets what only they do."""
    if cfg.MODEL.CAFFE_MAXPOOL:
        cfg.MODEL.BACKBONE.NAME = build_caffe_pooled_backbone.__name__
    if cfg.MODEL.PROPOSAL_GENERATOR.HID_CHANNELS > 0:
        cfg.MODEL.RPN.CONV_DIMS = [cfg.MODEL.PROPOSAL_GENERATOR.HID_CHANNELS]
    if not cfg.MODEL.ROI_BOX_HEAD.RES5HALVE or cfg.MODEL.ROI_BOX_HEAD.ATTR:
        cfg.MODEL.ROI_HEADS.NAME = BottomUpROIHeads.__name__


class CaffePooledStem(BasicStem):
    """The stem with Caffe's pooling: no padding, its size rounded up."""

    def forward(self, x: Tensor) -> Tensor:
        """Images (batch, 3, h, w) to a map of stride 4."""
        return functional.max_pool2d(functional.relu_(self.conv1(x)), 3, 2, ceil_mode=True)


@BACKBONE_REGISTRY.register()
def build_caffe_pooled_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> Backbone:
    """detectron2's ResNet over `CaffePooledStem`."""
    backbone = build_resnet_backbone(cfg, input_shape)
    stem = CaffePooledStem(input_shape.channels, cfg.MODEL.RESNETS.STEM_OUT_CHANNELS, cfg.MODEL.RESNETS.NORM)
    if cfg.MODEL.BACKBONE.FREEZE_AT >= 1:
        stem.freeze()
    backbone.stem = stem
    return backbone


@ROI_HEADS_REGISTRY.register()
class BottomUpROIHeads(Res5ROIHeads):
    """detectron2's C4 heads with a fifth stage that keeps its input's size, and with attributes."""

    def __init__(self, cfg: CfgNode, input_shape: dict[str, Any]) -> None:
        super().__init__(cfg, input_shape)
        head = cfg.MODEL.ROI_BOX_HEAD
        if not head.RES5HALVE:
            first = self.res5[0]
            for convolution in (first.conv1, first.conv2, first.shortcut):
                convolution.stride = (1, 1)
            for block in self.res5:
                block.conv2.padding = block.conv2.dilation = (2, 2)
        self.attributed = head.ATTR
        if self.attributed:
            dim = self.box_predictor.cls_score.in_features
            self.box_predictor.cls_embedding = nn.Embedding(self.num_classes + 1, dim // 8)
            self.box_predictor.fc_attr = nn.Linear(dim + dim // 8, dim // 4)
            self.box_predictor.attr_score = nn.Linear(dim // 4, head.NUM_ATTRS + 1)

    def attribute_logits(self, features: Tensor) -> Tensor:
        """Logits (n, attributes + 1) of region features (n, d), "none" last."""
        predictor = self.box_predictor
        known = torch.cat([features, predictor.cls_embedding(predictor.cls_score(features).argmax(1))], 1)
        return predictor.attr_score(functional.relu(predictor.fc_attr(known)))
