"""The selection rules that extractors of the field use, by name: which proposals become regions, and with which boxes.

- ``caffe`` (peteanderson80/bottom-up-attention, tools/generate_tsv.py): proposals as they are; suppression class by
  class at 0.3; boxes of at least 0.2 in the order they were proposed, but the best MIN or MAX where fewer or more reach
  that. A region's class and confidence are those of its most probable class, suppressed there or not.
- ``detectron2`` (airsplay/py-bottom-up-attention, demo/detectron2_mscoco_proposal_maxnms.py; frcnn-vg): each proposal
  is regressed to the box of its most probable class; suppression whatever the class, at 0.3, 0.4 and so on to 0.9 until
  MIN boxes stand; the MAX best in order of confidence. It has no threshold.
- ``predictor`` (facebookresearch/detectron2's own inference; bottom-up-attention.pytorch's models trained in it):
  regressed boxes of every class of at least the threshold, suppressed class by class, the MAX best.

Features are those of the proposals, regressed or not: what was published pools once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from features.detectors.c4_proposals import decode
from features.detectors.detector import DetectorOptions
from features.selection import choose, climb, confidences, detections


@dataclass(frozen=True)
class Rule:
    """A rule and its numbers."""

    name: str
    boxes: tuple[int, int]
    """MIN and MAX."""
    threshold: float
    rungs: tuple[float, ...]
    """Overlaps above which the lower-scored box goes: one, or those to try in turn."""


RULES = {
    "caffe": Rule("caffe", (10, 100), 0.2, (0.3,)),
    "detectron2": Rule("detectron2", (10, 100), 0.0, (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)),
    "predictor": Rule("predictor", (0, 100), 0.05, (0.5,)),
}
"""Preset -> its rule with the published numbers."""


def with_options(rule: Rule, options: DetectorOptions) -> Rule:
    """The rule with what the options set; a ladder climbs from ``nms`` in steps of 0.1."""
    if options.boxes is not None:
        rule = replace(rule, boxes=options.boxes)
    if options.score_threshold is not None:
        rule = replace(rule, threshold=options.score_threshold)
    if options.nms is not None:
        ladder = tuple(round(options.nms + 0.1 * step, 6) for step in range(10) if options.nms + 0.1 * step < 0.95)
        rule = replace(rule, rungs=ladder or (options.nms,) if rule.name == "detectron2" else (options.nms,))
    return rule


@dataclass(frozen=True)
class Candidates:
    """The classified proposals of a batch, image after image."""

    proposals: Tensor
    """(n, 4) in the pixels of the network's input."""
    images: Tensor
    """(n,) int64: whose each is."""
    scores: Tensor
    """(n, classes), without background."""
    codes: Tensor
    """(n, classes, 4), or (n, 1, 4) of a network that regresses whatever the class."""
    sizes: Tensor
    """(images, 2): height and width of what the network saw."""
    scales: Tensor
    """(images, 2): what took x and y of an image to it."""
    box_weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    inclusive: bool = False

    def regressed(self, rows: Tensor, kinds: Tensor) -> Tensor:
        """Boxes (m, 4) of proposals ``rows`` (m,) as objects of ``kinds`` (m,), clipped to what the network saw."""
        codes = self.codes[rows, kinds if self.codes.shape[1] > 1 else torch.zeros_like(kinds)]
        boxes = decode(codes, self.proposals[rows], self.box_weights, self.inclusive)
        limit = self.sizes[self.images[rows]].flip(1).to(boxes.dtype).repeat(1, 2) - (1 if self.inclusive else 0)
        return torch.minimum(boxes.clamp(min=0), limit)


@dataclass(frozen=True)
class Selected:
    """What became regions, image after image."""

    rows: Tensor
    """(m,) int64: the proposals they came from."""
    boxes: Tensor
    """(m, 4) in the pixels of the network's input."""
    classes: Tensor
    """(m,) int64."""
    scores: Tensor
    """(m,)."""
    counts: list[int]
    """How many of each image."""


def select(found: Candidates, rule: Rule) -> Selected:
    """Apply a rule."""
    return _RULES[rule.name](found, rule)


def _caffe(found: Candidates, rule: Rule) -> Selected:
    # Published boxes are compared on the image's scale, on which a pixel's width counts for more or less.
    ends = found.proposals / found.scales[found.images].repeat(1, 2)
    if found.inclusive:
        ends = ends + ends.new_tensor([0, 0, 1, 1])
    confidence = confidences(ends, found.scores, found.images, rule.rungs[0], rule.threshold, rule.boxes[0])
    parts = choose(confidence, found.images, len(found.sizes), rule.threshold, rule.boxes)
    rows = torch.cat(parts)
    scores, classes = found.scores[rows].max(1)
    return Selected(rows, found.proposals[rows], classes, scores, [len(part) for part in parts])


def _detectron2(found: Candidates, rule: Rule) -> Selected:
    scores, classes = found.scores.max(1)
    boxes = found.regressed(torch.arange(len(classes), device=classes.device), classes)
    # A box that was regressed out of the image is none; the published code drops it later, and not its feature.
    solid = _solid(boxes).nonzero()[:, 0]
    parts = climb(boxes[solid], scores[solid], found.images[solid], len(found.sizes), rule.boxes, rule.rungs)
    rows = solid[torch.cat(parts)]
    return Selected(rows, boxes[rows], classes[rows], scores[rows], [len(part) for part in parts])


def _predictor(found: Candidates, rule: Rule) -> Selected:
    rows, kinds = (found.scores > rule.threshold).nonzero(as_tuple=True)
    boxes, scores = found.regressed(rows, kinds), found.scores[rows, kinds]
    parts = detections(boxes, scores, kinds, found.images[rows], len(found.sizes), rule.rungs[0], rule.boxes[1])
    parts = [part[_solid(boxes[part])] for part in parts]
    kept = torch.cat(parts)
    return Selected(rows[kept], boxes[kept], kinds[kept], scores[kept], [len(part) for part in parts])


def _solid(boxes: Tensor) -> Tensor:
    """Whether boxes (n, 4) have an area."""
    return (boxes[:, 2:] > boxes[:, :2]).all(1)


_RULES: dict[str, Callable[[Candidates, Rule], Selected]] = {
    "caffe": _caffe, "detectron2": _detectron2, "predictor": _predictor}
