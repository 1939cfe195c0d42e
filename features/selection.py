"""Which of a detector's boxes become regions: class-wise suppression, then the [MIN, MAX] rule.

This is bottom-up attention's recipe (Anderson et al., CVPR 2018; tools/generate_tsv.py of
peteanderson80/bottom-up-attention): suppress overlaps class by class, give each box the best score it has in a class
where it survived, keep the boxes at or above a threshold, and never fewer than MIN nor more than MAX.

All of it runs on the device the tensors are on, for all images and classes of a batch at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

ENTRY_FLOOR = 0.05
"""Scores under this enter suppression only in a box's best class.

The published code lets every box enter every class, 480,000 entries for 300 boxes and 1600 classes, nearly all of them
zero. Leaving out those under the floor changes no confidence at or above it, hence nothing that a threshold of at
least the floor keeps; it only changes the order in which boxes under the floor fill an image up to MIN.
"""


def surviving(boxes: Tensor, scores: Tensor, images: Tensor, overlap: float) -> tuple[Tensor, Tensor]:
    """The best score each box has in a class where it survives suppression, and that class.

    ``boxes`` (n, 4), ``scores`` (n, classes) without background, ``images`` (n,) int64 the image each box is of;
    boxes of different images or classes never suppress each other. ``overlap`` is the intersection over union
    above which the lower-scored box goes. Returns confidences (n,) in the dtype of ``scores`` and classes (n,) int64;
    a box that survives in no class has confidence 0 and its most probable class.
    """
    import torch
    from torchvision.ops import nms

    enters = scores >= ENTRY_FLOOR
    enters.scatter_(1, scores.argmax(1, keepdim=True), True)
    box, kind = enters.nonzero(as_tuple=True)
    # Each image and class gets a place of its own, so that one suppression does them all: what batched_nms does, but it
    # loops over groups from a thousand boxes on, and does it in float32, where boxes far from
    # zero are rounded, and differently so at another place in the batch.
    group = images[box] * scores.shape[1] + kind
    placed = boxes[box].double() + (group * (boxes.max() + 1 if len(boxes) else 0)).double()[:, None]
    kept = nms(placed, scores[box, kind].double(), overlap)
    standing = torch.zeros_like(scores)
    standing[box[kept], kind[kept]] = scores[box[kept], kind[kept]]
    confidence, classes = standing.max(1)
    return confidence, torch.where(confidence > 0, classes, scores.argmax(1))


def choose(confidence: Tensor, images: Tensor, count: int, threshold: float, limits: tuple[int, int]) -> list[Tensor]:
    """Indices into the n boxes that become regions, one int64 tensor for each of ``count`` images.

    ``confidence`` (n,) as `surviving` gives it, ``images`` (n,) int64 the image of each box. With
    ``limits`` = (MIN, MAX): where between MIN and MAX boxes of an image reach ``threshold`` those are taken in the
    order they came (a detector's proposal order); where fewer do, the MIN best, and where more do, the MAX best, in
    order of confidence. Ties keep the order they came in. An image with fewer than MIN boxes in all gives what it has.
    """
    import torch

    least, most = limits
    # Two stable sorts: by confidence within image, so that `rank` is a box's place among those of its own image.
    by_confidence = confidence.argsort(descending=True, stable=True)
    order = by_confidence[images[by_confidence].argsort(stable=True)]
    totals = torch.bincount(images, minlength=count)
    starts = totals.cumsum(0) - totals
    rank = torch.arange(len(order), device=order.device) - starts[images[order]]
    reached = torch.bincount(images[confidence >= threshold], minlength=count)
    taken = reached.clamp(least, most)
    chosen = order[rank < taken[images[order]]]
    parts = chosen.split(torch.minimum(taken, totals).tolist())
    in_range = ((reached >= least) & (reached <= most)).tolist()
    return [part.sort().values if whole else part for part, whole in zip(parts, in_range, strict=True)]
