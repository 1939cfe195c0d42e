"""How features of regions are had from a detectron2 model: the one place that knows its kinds of heads.

`Res5ROIHeads` (C4) pools 14 x 14 cells, runs the fifth stage over them and averages; `StandardROIHeads` and
`CascadeROIHeads` (FPN) pool 7 x 7 cells and run the box head, the last one of a cascade. A detector without such heads
is read from its pyramid: the mean of 7 x 7 cells of the level that suits a box's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from features.errors import HeedError


class Heads:
    """Pools and classifies regions; raises `HeedError` for a model whose heads do neither.

    ``classifies``: it has region heads; ``softmax``: their scores are a softmax's; ``plain``: of a single stage.
    """

    def __init__(self, model: Any) -> None:
        from detectron2.modeling.roi_heads import CascadeROIHeads, Res5ROIHeads, StandardROIHeads

        self.model = model
        heads: Any = getattr(model, "roi_heads", None)
        self.heads = heads
        self.c4 = isinstance(heads, Res5ROIHeads)
        self.classifies = self.c4 or isinstance(heads, StandardROIHeads)
        cascade = isinstance(heads, CascadeROIHeads)
        if heads is not None and not self.classifies:
            raise HeedError(f"heed cannot pool features with detectron2's {type(heads).__name__}; use a model with "
                            "StandardROIHeads, CascadeROIHeads or Res5ROIHeads.")
        if heads is None and not hasattr(model, "head"):
            raise HeedError(f"detectron2's {type(model).__name__} finds no objects of classes; use a detector.")
        if heads is not None:  # what they would draw is not stored
            heads.mask_on = heads.keypoint_on = False
            self.predictor = heads.box_predictor[-1] if cascade else heads.box_predictor
        self.softmax = self.classifies and not self.predictor.use_sigmoid_ce
        self.plain = self.softmax and not cascade
        self.classes: int = model.roi_heads.num_classes if heads is not None else model.num_classes
        self.attributed = bool(getattr(heads, "attributed", False))
        self.dim: int
        if self.c4:
            self.dim = heads.res5[-1].out_channels
        elif self.classifies:
            head = heads.box_head[-1] if cascade else heads.box_head
            shape = head.output_shape
            self.box_head, self.dim = head, shape.channels * (shape.height or 1) * (shape.width or 1)
        else:
            self.dim = self._pyramid_pooler()

    def _pyramid_pooler(self) -> int:
        """A pooler over the pyramid of a detector without region heads, and its channels."""
        from detectron2.modeling.poolers import ROIPooler

        shapes = self.model.backbone.output_shape()
        # The finest levels only: assignment by size wants neighbouring strides, and p6 and p7 see whole images.
        self.levels = [name for name in self.model.head_in_features if shapes[name].stride <= 32]
        self.pooler = ROIPooler(7, [1 / shapes[name].stride for name in self.levels], 0, "ROIAlignV2")
        return shapes[self.levels[0]].channels

    def features(self, maps: dict[str, Tensor], boxes: Sequence[Tensor]) -> Tensor:
        """Features (n, d) of boxes in the input's pixels, (n_i, 4) an image."""
        from detectron2.structures import Boxes

        listed = [Boxes(rows) for rows in boxes]
        if not sum(map(len, boxes)):
            return torch.zeros((0, self.dim), device=boxes[0].device)
        if self.c4:
            picked = [maps[name] for name in self.heads.in_features]
            return self.heads._shared_roi_transform(picked, listed).mean((2, 3))
        if self.classifies:
            picked = [maps[name] for name in self.heads.box_in_features]
            return self.box_head(self.heads.box_pooler(picked, listed)).flatten(1)
        return self.pooler([maps[name] for name in self.levels], listed).mean((2, 3))

    def probabilities(self, features: Tensor) -> Tensor:
        """Of each class, and of a softmax's background last: (n, classes + 1), or (n, classes) of a sigmoid."""
        logits = self.predictor(features)[0]
        return logits.softmax(1) if self.softmax else logits.sigmoid()

    def grid(self, pixels: Tensor) -> Tensor:
        """The last map of the body (batch, d, h, w)."""
        if self.c4:
            maps = self.model.backbone(pixels)
            return self.heads.res5(maps[self.heads.in_features[0]])
        return list(self.model.backbone.bottom_up(pixels).values())[-1]

    def grid_dim(self) -> int:
        """Channels of that map."""
        if self.c4:
            return self.dim
        if not hasattr(self.model.backbone, "bottom_up"):
            raise HeedError("grid features need a C4 model or one with a pyramid over a body.")
        return list(self.model.backbone.bottom_up.output_shape().values())[-1].channels
