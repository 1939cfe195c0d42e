"""Which of a detector's boxes become regions: class-wise suppression, then the [MIN, MAX] rule; and two other rules.

The first is bottom-up attention's recipe (Anderson et al., CVPR 2018; tools/generate_tsv.py of
peteanderson80/bottom-up-attention): suppress overlaps class by class, give each box the best score it has in a class
where it survived, keep the boxes at or above a threshold, and never fewer than MIN nor more than MAX. `climb` is
py-bottom-up-attention's rule, `detections` detectron2's own.

All of it runs on the device the tensors are on, for all images and classes of a batch at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from features.boxes import iou

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
    kept = nms(_apart(boxes[box], images[box] * scores.shape[1] + kind), scores[box, kind].double(), overlap)
    standing = torch.zeros_like(scores)
    standing[box[kept], kind[kept]] = scores[box[kept], kind[kept]]
    confidence, classes = standing.max(1)
    return confidence, torch.where(confidence > 0, classes, scores.argmax(1))


def _apart(boxes: Tensor, group: Tensor) -> Tensor:
    """Boxes, in float64, moved so that those of different groups do not overlap: one suppression then does them all.

    So does torchvision's batched_nms, but it loops over groups from a thousand boxes on, and does it in float32, where
    boxes far from zero are rounded, and differently so at another place in the batch.
    """
    return boxes.double() + (group * (boxes.max() + 1 if len(boxes) else 0)).double()[:, None]


def surviving_everywhere(boxes: Tensor, scores: Tensor, images: Tensor, overlap: float) -> Tensor:
    """What `surviving` gives as confidences (n,) when every box enters every class, however low its score.

    As many steps as an image has boxes, each for all classes and images at once: slower than `surviving`.
    """
    import torch

    if not len(boxes):
        return scores.new_zeros(0)
    counts = torch.bincount(images)
    # A box's place among those of its image; short images are filled up with boxes that overlap nothing.
    order = images.argsort(stable=True)
    place = torch.empty_like(images)
    place[order] = torch.arange(len(images), device=images.device) - (counts.cumsum(0) - counts)[images[order]]
    most = int(counts.max())
    padded = boxes.new_zeros(len(counts), most, 4, dtype=torch.float64)
    padded[images, place] = boxes.double()
    near = torch.stack([iou(each, each) > overlap for each in padded])
    near[:, range(most), range(most)] = False
    # A set of boxes is a row of words of 32 bits each: the boxes that one suppresses, and those gone so far in a class.
    bits = 2 ** torch.arange(32, device=boxes.device)
    near = torch.nn.functional.pad(near, (0, -most % 32)).unflatten(2, (-1, 32)).long().mul(bits).sum(3)
    table = scores.new_full((len(counts), most, scores.shape[1]), -1.0)
    table[images, place] = scores
    ranked = table.argsort(dim=1, descending=True, stable=True)
    rows = torch.arange(len(counts), device=boxes.device)[:, None]
    gone = near.new_zeros(len(counts), scores.shape[1], near.shape[2])
    for step in range(most):
        best = ranked[:, step]  # (images, classes): the next box of each class
        word = gone.gather(2, best[:, :, None] // 32)
        stands = (word >> (best[:, :, None] % 32)) & 1 ^ 1
        gone |= stands * near[rows, best]
    lost = ((gone[..., None] >> torch.arange(32, device=boxes.device)) & 1).bool().flatten(2)
    return torch.where(lost[images, :, place], 0, scores).amax(1)


def confidences(boxes: Tensor, scores: Tensor, images: Tensor, overlap: float, threshold: float,
                least: int) -> Tensor:
    """The confidences (n,) of `surviving`, exact wherever `choose` with ``threshold`` and a MIN of ``least`` looks."""
    import torch

    found, _ = surviving(boxes, scores, images, overlap)
    sure = torch.bincount(images[found >= ENTRY_FLOOR], minlength=int(images.max()) + 1 if len(images) else 0)
    short = (sure < least)[images] if threshold >= ENTRY_FLOOR else torch.ones_like(images, dtype=torch.bool)
    if short.any():
        # The numbers of images without doubts are left out, so that nothing is computed for them.
        _, number = images[short].unique(return_inverse=True)
        found[short] = surviving_everywhere(boxes[short], scores[short], number, overlap)
    return found


def climb(boxes: Tensor, confidence: Tensor, images: Tensor, count: int, limits: tuple[int, int],
          rungs: Sequence[float]) -> list[Tensor]:
    """Indices into the n boxes that become regions, best first, one int64 tensor for each of ``count`` images.

    py-bottom-up-attention's rule (demo/detectron2_mscoco_proposal_maxnms.py): suppress overlaps whatever the class,
    above the first of the ``rungs``; an image that is left with fewer than MIN boxes tries the next; of those left at
    the end the MAX best. Each box has one place and one ``confidence`` (n,), that of its most probable class.
    """
    import torch
    from torchvision.ops import nms

    chosen: list[Tensor] = [images.new_zeros(0) for _ in range(count)]
    waiting = torch.arange(len(boxes), device=boxes.device)
    for rung, overlap in enumerate(rungs):
        of = images[waiting]
        kept = nms(_apart(boxes[waiting], of), confidence[waiting].double(), overlap)
        kept = kept[of[kept].argsort(stable=True)]
        sizes = torch.bincount(of[kept], minlength=count).tolist()
        settled = [rung == len(rungs) - 1 or size >= limits[0] for size in sizes]
        for image, part in enumerate(waiting[kept].split(sizes)):
            if len(part) and settled[image]:
                chosen[image] = part[: limits[1]]
        waiting = waiting[~torch.tensor(settled, device=boxes.device)[of]]
        if not len(waiting):
            break
    return chosen


def detections(boxes: Tensor, scores: Tensor, kinds: Tensor, images: Tensor, count: int, overlap: float,
               most: int) -> list[Tensor]:
    """Indices into n boxes, each of one class, that become regions, best first, for each of ``count`` images.

    detectron2's own rule (modeling/roi_heads/fast_rcnn.py): suppress overlaps class by class and keep the ``most``
    best. Who calls has dropped low ``scores`` (n,); a proposal may be there several times, as another of the ``kinds``.
    """
    import torch
    from torchvision.ops import nms

    classes = int(kinds.max()) + 1 if len(kinds) else 1
    kept = nms(_apart(boxes, images * classes + kinds), scores.double(), overlap)
    kept = kept[images[kept].argsort(stable=True)]
    sizes = torch.bincount(images[kept], minlength=count).tolist()
    return [part[:most] for part in kept.split(sizes)]


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
