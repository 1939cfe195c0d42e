"""What tells one published bottom-up Faster R-CNN from another: layers, anchors, pooling, coding and input.

All are "C4": a ResNet's first four stages see the image, its fifth each pooled region. Numbers are those of the
published configurations: peteanderson80/bottom-up-attention (models/vg/ResNet-101, experiments/cfgs),
airsplay/py-bottom-up-attention (configs/VG-Detection), MILVLG/bottom-up-attention.pytorch (configs/caffe, configs/d2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from features.detectors.resize import Resizer


@dataclass(frozen=True)
class C4Config:
    """A network and its input. The defaults are Caffe's ResNet-101."""

    # Residual blocks of the stages res2 to res5.
    blocks: tuple[int, int, int, int] = (3, 4, 23, 3)
    # Channels after the stem, inside res2's blocks and after them; each further stage has twice as many.
    stem: int = 64
    inner: int = 64
    outer: int = 256
    # Groups of the 3 x 3 convolutions: 32 in a ResNeXt.
    groups: int = 1
    # Whether a stage halves the map in its first 1 x 1 convolution (Caffe, MSRA) or in the 3 x 3 one after it.
    stride_in_1x1: bool = True
    # Normalise and rectify before each convolution (ResNet v2) instead of after it.
    preactivation: bool = False
    # The stem's pooling: without padding, and rounding its size up, as Caffe does.
    ceil_pool: bool = True
    # The fifth stage keeps its input's size and dilates its 3 x 3 convolutions.
    dilated: bool = True

    # Channels of the proposal head.
    rpn: int = 512
    # Objectness as two logits and a softmax (Caffe) instead of one.
    paired: bool = True
    # Anchors: Caffe's rounded ones around the middle of a cell, or detectron2's around its corner.
    anchors: Literal["caffe", "detectron2"] = "caffe"
    # Sides of the square anchors in pixels; each has a wide and a tall companion.
    anchor_sides: tuple[float, ...] = (64, 128, 256, 512)
    # Count pixels inclusively, as Caffe does: a box's width is x2 - x1 + 1, and it ends at the last pixel.
    inclusive: bool = True
    # Proposals thinner than this, in pixels of the original image, are dropped.
    thinnest: float = 16.0
    # Proposals before and after suppression, and the overlap above which the lower-scored one goes.
    before: int = 6000
    after: int = 300
    overlap: float = 0.7

    # How a region is read from the map, into how many cells a side, and (align) how many samples a cell.
    pool: Literal["max", "align"] = "max"
    cells: int = 14
    samples: int = 0
    # Scales of the box codes.
    box_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)

    # Vocabulary sizes, without background and without "no attribute"; no attributes at all: 0.
    classes: int = 1600
    attributes: int = 400
    # Whether "no attribute" is an answer of the attribute head, the last.
    none: bool = True
    # Sizes of the attribute head: of its class embedding and of its hidden layer.
    embedding: int = 256
    hidden: int = 512

    # Subtracted from blue, green and red.
    mean: tuple[float, float, float] = (102.9801, 115.9465, 122.7717)
    # The shorter side of what the network sees, and the most the longer may have.
    side: int = 600
    longest: int = 1000
    # Whose interpolation.
    resizer: Resizer = "opencv"

    @property
    def dim(self) -> int:
        """Length of a region feature."""
        return 8 * self.outer

    @property
    def stage_inputs(self) -> tuple[int, ...]:
        """Channels that each of the four stages takes."""
        return (self.stem, self.outer, 2 * self.outer, 4 * self.outer)


CAFFE = C4Config()
"""The two Caffe models, K in 10..100 and K = 36, as bottom-up-attention.pytorch converted them."""

CAFFE_152 = C4Config(blocks=(3, 8, 36, 3), stride_in_1x1=False, preactivation=True, dilated=False, mean=(0, 0, 0))
"""bottom-up-attention.pytorch's R152; it normalises its input itself."""

PY_BOTTOM_UP = C4Config(paired=False, anchors="detectron2", inclusive=False, thinnest=0.0,
                        box_weights=(10.0, 10.0, 5.0, 5.0), resizer="pillow")
"""py-bottom-up-attention: Caffe's weights, detectron2's anchors and pixel counting."""

FRCNN_VG = C4Config(paired=False, anchors="detectron2", inclusive=False, thinnest=0.0,
                    box_weights=(10.0, 10.0, 5.0, 5.0), side=800, longest=1333, resizer="torch")
"""frcnn-vg, the same weights again; sizes as far as its config.yaml does not say others."""

MILVLG_D2 = C4Config(ceil_pool=False, dilated=False, rpn=1024, paired=False, anchors="detectron2",
                     anchor_sides=(32, 64, 128, 256, 512), inclusive=False, thinnest=0.0, after=1000, pool="align",
                     samples=2, box_weights=(10.0, 10.0, 5.0, 5.0), none=False, mean=(103.53, 116.28, 123.675))
"""bottom-up-attention.pytorch's models trained in detectron2: R50 and R101; X152 pools 7 x 7 cells."""
