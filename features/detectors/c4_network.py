"""The bottom-up Faster R-CNN on torch and torchvision's operators alone; detectron2's parameter names.

Anderson et al., "Bottom-Up and Top-Down Attention" (CVPR 2018), on Ren et al., "Faster R-CNN" (NeurIPS 2015) and He et
al., "Deep Residual Learning" (CVPR 2016). A region is pooled from the fourth stage's map into 14 x 14 cells, seen by
the fifth stage, and averaged: its feature, of 2048 numbers, none negative. From it: a logit for each class and, last,
background; a box code for each class; and from it beside an embedding of its likeliest class, background too, a logit
for each attribute and, last, "none".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import roi_align, roi_pool

from features.detectors.c4_config import C4Config

STRIDE = 16
"""Pixels of the network's input to a cell of its map."""


class C4Network(nn.Module):
    """``state_dict`` has detectron2's names; background and "none" are the last rows of what they are rows of."""

    def __init__(self, config: C4Config) -> None:
        super().__init__()
        self.config = config
        self.backbone = _Backbone(config)
        self.proposal_generator = nn.ModuleDict({"rpn_head": _ProposalHead(config)})
        self.roi_heads = _RegionHeads(config)

    def maps(self, pixels: Tensor) -> Tensor:
        """Input (batch, 3, h, w) of blue, green and red less their means, to the map (batch, channels, h', w')."""
        x = self.backbone(pixels)
        # ResNet v2 leaves its sums as they are; what reads this map reads what the next block would.
        return functional.relu(self.roi_heads.res5[0].norm(x)) if self.config.preactivation else x

    def proposals(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Objectness (batch, anchors) and box codes (batch, anchors, 4); anchors row by row, kinds fastest."""
        return self.proposal_generator["rpn_head"](maps)

    def pool(self, maps: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """Cells (n, channels, cells, cells) of boxes in the input's pixels, one tensor (n_i, 4) an image."""
        config = self.config
        rows = torch.cat([functional.pad(each, (1, 0), value=float(place)) for place, each in enumerate(boxes)])
        if config.pool == "max":
            return roi_pool(maps, rows, config.cells, 1 / STRIDE)
        return roi_align(maps, rows, config.cells, 1 / STRIDE, config.samples, aligned=True)

    def region_features(self, cells: Tensor) -> Tensor:
        """Features (n, d) of pooled cells."""
        return self.roi_heads(cells).mean((2, 3))

    def grid(self, maps: Tensor) -> Tensor:
        """The fifth stage over a whole map, (batch, d, h, w): grid features (Jiang et al., CVPR 2020)."""
        return self.roi_heads(maps)

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits (n, classes + 1), codes (n, classes, 4), attribute logits (n, attributes [+ 1]) or None."""
        return self.roi_heads.box_predictor(features)


class _Convolution(nn.Conv2d):
    """A convolution and the normalisation beside it, as detectron2 names them: ``weight`` and ``norm.*``."""

    norm: nn.BatchNorm2d | None

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1, groups: int = 1,
                 norm: nn.BatchNorm2d | None = None) -> None:
        super().__init__(inputs, outputs, kernel, stride, dilation * (kernel // 2), dilation, groups, bias=False)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x if self.norm is None else self.norm(x)


class _Early(_Convolution):
    """ResNet v2: the normalisation, then the rectifier, come first."""

    def forward(self, x: Tensor) -> Tensor:
        if self.norm is not None:
            x = functional.relu_(self.norm(x))
        return nn.Conv2d.forward(self, x)


class _Block(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolution beside the identity or a 1 x 1 convolution."""

    def __init__(self, config: C4Config, inputs: int, inner: int, outputs: int, stride: int, dilation: int) -> None:
        super().__init__()
        first, second = (stride, 1) if config.stride_in_1x1 else (1, stride)
        norm = nn.BatchNorm2d
        self.shortcut = None if inputs == outputs else _Convolution(inputs, outputs, 1, stride, norm=norm(outputs))
        self.conv1 = _Convolution(inputs, inner, 1, first, norm=norm(inner))
        self.conv2 = _Convolution(inner, inner, 3, second, dilation, config.groups, norm(inner))
        self.conv3 = _Convolution(inner, outputs, 1, norm=norm(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = functional.relu_(self.conv1(x))
        out = self.conv3(functional.relu_(self.conv2(out)))
        return functional.relu_(out + (x if self.shortcut is None else self.shortcut(x)))


class _EarlyBlock(nn.Module):
    """The same in ResNet v2: one normalisation serves the first convolution and the shortcut."""

    def __init__(self, config: C4Config, inputs: int, inner: int, outputs: int, stride: int, dilation: int) -> None:
        super().__init__()
        first, second = (stride, 1) if config.stride_in_1x1 else (1, stride)
        self.norm = _norm_v2(inputs)
        self.shortcut = None if inputs == outputs else _Convolution(inputs, outputs, 1, stride)
        self.conv1 = _Convolution(inputs, inner, 1, first)
        self.conv2 = _Early(inner, inner, 3, second, dilation, config.groups, _norm_v2(inner))
        self.conv3 = _Early(inner, outputs, 1, norm=_norm_v2(inner))

    def forward(self, x: Tensor) -> Tensor:
        return self.after_norm(functional.relu_(self.norm(x)), x)

    def after_norm(self, seen: Tensor, x: Tensor) -> Tensor:
        """The rest, once the input is normalised and rectified."""
        return self.conv3(self.conv2(self.conv1(seen))) + (x if self.shortcut is None else self.shortcut(seen))


def _norm_v2(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=2e-5)


def _stage(config: C4Config, number: int) -> nn.Sequential:
    """res``number``, 2 to 5."""
    inputs, inner = config.stage_inputs[number - 2], config.inner * 2 ** (number - 2)
    outputs = config.outer * 2 ** (number - 2)
    dilation = 2 if number == 5 and config.dilated else 1
    stride = 1 if number == 2 or dilation == 2 else 2
    block = _EarlyBlock if config.preactivation else _Block
    return nn.Sequential(*(
        block(config, outputs if place else inputs, inner, outputs, 1 if place else stride, dilation)
        for place in range(config.blocks[number - 2])))


class _Stem(nn.Module):
    def __init__(self, config: C4Config) -> None:
        super().__init__()
        early = config.preactivation
        self.norm = _norm_v2(3) if early else None
        self.conv1 = _Convolution(3, config.stem, 7, 2,
                                  norm=_norm_v2(config.stem) if early else nn.BatchNorm2d(config.stem))
        self.ceil = config.ceil_pool

    def forward(self, x: Tensor) -> Tensor:
        if self.norm is not None:
            x = self.norm(x)
        return functional.max_pool2d(functional.relu_(self.conv1(x)), 3, 2, 0 if self.ceil else 1, ceil_mode=self.ceil)


class _Backbone(nn.Sequential):
    """The stem and three stages."""

    def __init__(self, config: C4Config) -> None:
        super().__init__()
        self.stem = _Stem(config)
        for number in (2, 3, 4):
            self.add_module(f"res{number}", _stage(config, number))


class _ProposalHead(nn.Module):
    """Objectness and box codes of the anchors at each place."""

    def __init__(self, config: C4Config) -> None:
        super().__init__()
        kinds = 3 * len(config.anchor_sides)
        self.paired = config.paired
        self.conv = nn.Conv2d(4 * config.outer, config.rpn, 3, padding=1)
        self.objectness_logits = nn.Conv2d(config.rpn, kinds * (2 if config.paired else 1), 1)
        self.anchor_deltas = nn.Conv2d(config.rpn, kinds * 4, 1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        mixed = functional.relu_(self.conv(maps))
        objectness = self.objectness_logits(mixed)
        if self.paired:  # all kinds' "nothing", then all kinds' "something"
            objectness = objectness.unflatten(1, (2, -1)).softmax(1)[:, 1]
        codes = self.anchor_deltas(mixed).unflatten(1, (-1, 4))
        return objectness.permute(0, 2, 3, 1).flatten(1), codes.permute(0, 3, 4, 1, 2).flatten(1, 3)


class _RegionHeads(nn.Module):
    """The fifth stage and what is read from its average."""

    def __init__(self, config: C4Config) -> None:
        super().__init__()
        self.res5 = _stage(config, 5)
        if config.preactivation:
            self.res5_bn = _norm_v2(config.dim)
        self.early = config.preactivation
        self.box_predictor = _Predictor(config)

    def forward(self, cells: Tensor) -> Tensor:
        if not self.early:
            return self.res5(cells)
        first, *others = self.res5
        x = first.after_norm(cells, cells)  # the map was normalised before it was pooled
        for block in others:
            x = block(x)
        return functional.relu_(self.res5_bn(x))


class _Predictor(nn.Module):
    def __init__(self, config: C4Config) -> None:
        super().__init__()
        self.cls_score = nn.Linear(config.dim, config.classes + 1)
        self.bbox_pred = nn.Linear(config.dim, config.classes * 4)
        self.attributed = config.attributes > 0
        if self.attributed:
            self.cls_embedding = nn.Embedding(config.classes + 1, config.embedding)
            self.fc_attr = nn.Linear(config.dim + config.embedding, config.hidden)
            self.attr_score = nn.Linear(config.hidden, config.attributes + config.none)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        logits = self.cls_score(features)
        codes = self.bbox_pred(features).unflatten(1, (-1, 4))
        if not self.attributed:
            return logits, codes, None
        known = torch.cat([features, self.cls_embedding(logits.argmax(1))], 1)
        return logits, codes, self.attr_score(functional.relu_(self.fc_attr(known)))


def fold_normalisation(network: nn.Module) -> None:
    """Fold each normalisation that follows a convolution into it: the same function in eval mode, a pass less."""
    for module in network.modules():
        if type(module) is _Convolution and module.norm is not None:
            norm = module.norm
            module.weight, module.bias = fuse_conv_bn_weights(
                module.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
            module.norm = None
