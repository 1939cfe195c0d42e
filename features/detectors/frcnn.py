"""How any Faster R-CNN built from torchvision's parts becomes a detector of region features.

Three ways through the network (`DetectorOptions.mode`, and ``boxes`` of `detect`):

- regions: proposals are classified, each is regressed to the box of its most probable class, `features.selection`
  chooses among them, and features are pooled *again* for the chosen boxes. So a stored feature belongs to exactly the
  stored box, and asking for the same box by *given boxes* gives the same feature. (Bottom-up attention pools its
  proposals, does not regress them, and its features of given boxes differ from those of predicted ones.)
- given boxes: features are pooled for boxes the caller supplies.
- grid: one region a cell of the body's last map (Jiang et al., "In Defense of Grid Features", CVPR 2020).

An image meets only images that are padded to its own size, so its features do not depend on its companions' sizes,
as they do in torchvision's own batches.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.image_list import ImageList

from features.boxes import check_given, clip
from features.detectors.detector import DetectorOptions, described, numbers
from features.devices import resolve_device
from features.errors import HeedError
from features.regions import Regions
from features.selection import choose, surviving

STRIDE = 32
"""Images are padded on the right and below to multiples of this, torchvision's size_divisible."""
_THINNEST = 1e-2  # pixels; a regressed box thinner than this is nothing (torchvision's roi_heads drop it too)


class FasterRCNNDetector:
    """A `features.detectors.Detector` over a `torchvision.models.detection.FasterRCNN` whose backbone has an FPN.

    ``attribute_heads`` map a region feature to the logits of one attribute kind each. ``identity`` is what `describe`
    says beyond options and versions; it must name the weights by digest.
    """

    def __init__(self, model: FasterRCNN, options: DetectorOptions, identity: dict[str, Any],
                 attribute_heads: Sequence[nn.Module] = ()) -> None:
        if options.preset != "auto" or options.config or options.distributions:
            raise HeedError(f"The detector {identity['name']!r} has one rule and no configuration: leave out --preset, "
                            "--config and --distributions, which are bottom-up's and detectron2's.")
        self.numbers = numbers(options)
        options = replace(options, **self.numbers._asdict())
        self.device = resolve_device(options.device)
        if self.device.type == "cpu":
            torch.set_num_threads(options.threads)
        self.model = model.eval().to(self.device)
        # Proposals are never dropped for their score alone: the MIN rule may need them.
        self.model.rpn.score_thresh = 0.0
        self.heads = [head.eval().to(self.device) for head in attribute_heads]
        self.options = options
        self.identity = identity
        grid = options.mode == "grid"
        self.dim: int = (model.backbone.fpn.inner_blocks[-1][0].in_channels if grid
                         else model.roi_heads.box_predictor.cls_score.in_features)
        self.attributes = 0 if grid else len(self.heads)
        self.distribution = 0

    def describe(self) -> dict[str, Any]:
        """Identity for the store. ``versions`` informs and is no part of it."""
        return {**self.identity, "dim": self.dim, "options": described(self.options, self.device.type),
                "versions": {"torch": torch.__version__, "torchvision": torchvision.__version__}}

    @torch.inference_mode()
    def detect(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray | None] | None = None
    ) -> list[Regions]:
        """Regions of RGB uint8 images (height, width, 3) of any sizes; for ``boxes`` see `Detector.detect`.

        Given boxes come back clipped to their image. Raises `HeedError` for given boxes that make no sense.
        """
        wanted = [None if given is None else check_given(given, image.shape[1], image.shape[0])
                  for image, given in zip(images, boxes or [None] * len(images), strict=True)]
        groups: dict[tuple[int, int, bool], list[int]] = defaultdict(list)
        sizes = [self._input_size(*image.shape[:2]) for image in images]
        for index, (height, width) in enumerate(sizes):
            padded = (math.ceil(height / STRIDE) * STRIDE, math.ceil(width / STRIDE) * STRIDE)
            groups[(*padded, wanted[index] is None)].append(index)
        found: dict[int, Regions] = {}
        for (height, width, free), members in groups.items():
            batch = _Batch([images[i] for i in members], [sizes[i] for i in members],
                           self._stack([images[i] for i in members], [sizes[i] for i in members], (height, width)))
            if not free:
                results = self._given(batch, [wanted[i] for i in members])  # type: ignore[misc]
            elif self.options.mode == "grid":
                results = self._grid(batch)
            else:
                results = self._regions(batch)
            found.update(zip(members, results, strict=True))
        return [found[index] for index in range(len(images))]

    def _input_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width the network sees: torchvision's rule, but never less than one pixel."""
        transform = self.model.transform
        scale = min(transform.min_size[-1] / min(height, width), transform.max_size / max(height, width))
        return max(1, math.floor(height * scale)), max(1, math.floor(width * scale))

    def _stack(self, images: list[np.ndarray], sizes: list[tuple[int, int]], padded: tuple[int, int]) -> Tensor:
        """Normalised, resized and padded input (batch, 3, *padded)."""
        batch = torch.zeros((len(images), 3, *padded), device=self.device)
        for place, image, (height, width) in zip(batch, images, sizes, strict=True):
            pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).permute(2, 0, 1).float() / 255
            pixels = self.model.transform.normalize(pixels)
            if pixels.shape[1:] != (height, width):
                pixels = functional.interpolate(pixels[None], size=(height, width), mode="bilinear")[0]
            place[:, :height, :width] = pixels
        return batch

    def _regions(self, batch: _Batch) -> list[Regions]:
        maps = self.model.backbone(batch.pixels)
        proposals, _ = self.model.rpn(ImageList(batch.pixels, batch.sizes), maps)
        image = _image_of(proposals)
        boxes, scores = self.classify(self._pool(maps, proposals, batch), torch.cat(proposals))
        limit = torch.tensor(batch.sizes, dtype=boxes.dtype, device=boxes.device).flip(1)[image]
        boxes = torch.minimum(boxes.clamp(min=0), limit.repeat(1, 2))
        solid = ((boxes[:, 2:] - boxes[:, :2]) > _THINNEST).all(1)
        boxes, scores, image = boxes[solid], scores[solid], image[solid]
        confidence, classes = surviving(boxes, scores, image, self.numbers.nms)
        chosen = choose(confidence, image, len(batch.sizes), self.numbers.score_threshold, self.numbers.boxes)
        picked = torch.cat(chosen)
        kept = [boxes[indices] for indices in chosen]
        class_scores = scores[picked].gather(1, classes[picked, None])[:, 0]
        return self._results(batch, kept, self._pool(maps, kept, batch), classes[picked], class_scores)

    def _given(self, batch: _Batch, given: list[np.ndarray]) -> list[Regions]:
        maps = self.model.backbone(batch.pixels)
        boxes = [torch.from_numpy(rows).to(self.device) / scale
                 for rows, scale in zip(given, batch.scales, strict=True)]
        features = self._pool(maps, boxes, batch)
        scores = self.model.roi_heads.box_predictor(features)[0].softmax(1)[:, 1:]
        class_scores, classes = scores.max(1)
        results = self._results(batch, boxes, features, classes, class_scores)
        for result, rows in zip(results, given, strict=True):
            result.boxes[:] = rows  # as given, without the rounding of there and back
        return results

    def _grid(self, batch: _Batch) -> list[Regions]:
        cells = list(self.model.backbone.body(batch.pixels).values())[-1]
        rows, columns = cells.shape[2:]
        step = batch.pixels.shape[2] // rows
        top = torch.arange(rows, device=self.device).repeat_interleave(columns) * step
        left = torch.arange(columns, device=self.device).repeat(rows) * step
        corners = torch.stack([left, top, left + step, top + step], 1).float()
        boxes, features = [], []
        for (height, width), one in zip(batch.sizes, cells, strict=True):
            inside = (top < height) & (left < width)
            limit = torch.tensor([width, height, width, height], device=self.device)
            boxes.append(torch.minimum(corners[inside], limit))
            features.append(one.flatten(1).T[inside])
        count = sum(map(len, boxes))
        unknown = torch.full((count,), -1, device=self.device)
        return self._results(batch, boxes, torch.cat(features), unknown, torch.zeros(count, device=self.device))

    def classify(self, features: Tensor, proposals: Tensor) -> tuple[Tensor, Tensor]:
        """From features of proposals (n, 4): the box each is regressed to (n, 4) and class scores (n, classes).

        A network regresses a box for every class; the one of the most probable class is taken. Scores are without
        background, and boxes not clipped to the image.
        """
        logits, codes = self.model.roi_heads.box_predictor(features)
        scores = logits.softmax(1)[:, 1:]
        code = codes.view(len(codes), -1, 4)[torch.arange(len(codes), device=codes.device), scores.argmax(1) + 1]
        return self.model.roi_heads.box_coder.decode_single(code, proposals), scores

    def _pool(self, maps: dict[str, Tensor], boxes: list[Tensor], batch: _Batch) -> Tensor:
        """The box head's representation (n, d) of the boxes of all images, in order."""
        heads = self.model.roi_heads
        if sum(map(len, boxes)) == 0:
            return torch.zeros((0, heads.box_predictor.cls_score.in_features), device=self.device)
        # The pooler works out each map's stride once, from the first sizes it meets: only padded ones give it exactly.
        padded = [tuple(batch.pixels.shape[2:])] * len(boxes)
        return heads.box_head(heads.box_roi_pool(maps, boxes, padded))

    def _results(self, batch: _Batch, boxes: list[Tensor], features: Tensor, classes: Tensor,
                 class_scores: Tensor) -> list[Regions]:
        """Split what was computed for all images, on the network's scale, into regions in the images' pixels."""
        if self.attributes:
            best = [head(features).softmax(1).max(1) for head in self.heads]
            attributes = torch.stack([kind.indices for kind in best], 1)
            attribute_scores = torch.stack([kind.values for kind in best], 1)
        else:
            attributes = classes.new_zeros((len(classes), 0))
            attribute_scores = class_scores.new_zeros((len(classes), 0))
        scaled = [rows * scale for rows, scale in zip(boxes, batch.scales, strict=True)]
        borders = np.cumsum([len(rows) for rows in boxes])[:-1]
        columns = [np.split(tensor.cpu().numpy(), borders) for tensor in (
            torch.cat(scaled), features.float(), classes.int(), class_scores, attributes.int(), attribute_scores)]
        results = []
        for index, image in enumerate(batch.images):
            height, width = image.shape[:2]
            corners, *others = (column[index] for column in columns)
            results.append(Regions(clip(corners, width, height), *others, width=width, height=height))  # type: ignore
        return results


class _Batch:
    """Images that are padded to one size, as the network sees them."""

    def __init__(self, images: list[np.ndarray], sizes: list[tuple[int, int]], pixels: Tensor) -> None:
        self.images = images
        self.sizes = sizes
        """(height, width) of each image's part of ``pixels``."""
        self.pixels = pixels
        """(batch, 3, padded height, padded width)."""
        self.scales = [torch.tensor([image.shape[1] / width, image.shape[0] / height] * 2, device=pixels.device)
                       for image, (height, width) in zip(images, sizes, strict=True)]
        """For each image, what takes a box on the network's scale to the image's pixels."""


def _image_of(parts: list[Tensor]) -> Tensor:
    """Which of the parts each row of their concatenation is from, int64."""
    counts = torch.tensor([len(part) for part in parts], device=parts[0].device)
    return torch.repeat_interleave(torch.arange(len(parts), device=parts[0].device), counts)
