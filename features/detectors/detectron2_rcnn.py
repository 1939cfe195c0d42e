"""Any box detector of detectron2: ``--config`` names it, ``--weights`` is its checkpoint.

With the preset ``predictor``, which is the default, boxes, classes and scores are those of detectron2's own
`DefaultPredictor`, batched; ``caffe`` and ``detectron2`` apply bottom-up attention's rules to the proposals of a
Faster or Mask R-CNN. Features are pooled for the regions' own boxes and seen by the box head, so that a stored feature
belongs to exactly the stored box (with ``caffe`` and ``detectron2``: for the proposals, as published): 2048 numbers of
a C4 model, 1024 of an FPN one. A detector without such a head (RetinaNet) gives the mean of 7 x 7 cells of its pyramid.

An image meets only images that are padded to its own size, so its features do not depend on its companions' sizes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from features.boxes import check_given, clip
from features.detectors import visual_genome
from features.detectors.detector import DetectorOptions, described
from features.detectors.detectron2_heads import Heads
from features.detectors.detectron2_setup import Setup, build
from features.detectors.presets import RULES, Candidates, select, with_options
from features.devices import resolve_device
from features.errors import HeedError
from features.regions import Regions
from features.weights import digest


def load(options: DetectorOptions) -> Detectron2Detector:
    """Build the model and load its weights; raise `HeedError` where detectron2, either file or a fit is missing."""
    device = resolve_device(options.device)
    return Detectron2Detector(build(options.config, options.weights, str(device)), options)


class Detectron2Detector:
    """A `features.detectors.Detector` over a detectron2 model in eval mode."""

    def __init__(self, setup: Setup, options: DetectorOptions) -> None:
        self.device = resolve_device(options.device)
        if self.device.type == "cpu":
            torch.set_num_threads(options.threads)
        self.setup, self.model = setup, setup.model
        self.heads = Heads(self.model)
        self.preset = "predictor" if options.preset == "auto" else options.preset
        if self.preset != "predictor" and not self.heads.plain:
            raise HeedError(f"The preset {self.preset!r} needs a Faster or Mask R-CNN with one box head and a softmax "
                            f"over its classes, which {type(self.model).__name__} with its heads is not; leave it out.")
        self.rule = with_options(RULES[self.preset], options)
        if self.preset == "predictor":
            _set_thresholds(self.model, options)
        grid = options.mode == "grid"
        self.options = options if self.preset == "predictor" else replace(
            options, boxes=self.rule.boxes, score_threshold=self.rule.threshold, nms=self.rule.rungs[0])
        self.dim = self.heads.grid_dim() if grid else self.heads.dim
        self.attributes = 0 if grid or not self.heads.attributed else 1
        self.distribution = self.heads.classes + 1 if options.distributions and not grid else 0
        if self.distribution and not self.heads.softmax:
            raise HeedError(f"{type(self.model).__name__} with these heads has no softmax over its classes: leave out "
                            "--distributions.")

    def describe(self) -> dict[str, Any]:
        """Identity for the store. ``versions`` informs and is no part of it."""
        import detectron2

        names, count = self.setup.classes, self.heads.classes
        attributes = self.heads.predictor.attr_score.out_features - 1 if self.heads.attributed else 0
        return {
            "name": "detectron2",
            "architecture": type(self.model).__name__,
            "config": self.setup.digest,
            "weights": digest({name: tensor for name, tensor in self.model.state_dict().items()
                               if not name.endswith("num_batches_tracked")}),
            "classes": names if names and len(names) == count else visual_genome.objects(count),
            "attributes": {"attribute": visual_genome.attributes(attributes)} if attributes else {},
            "dim": self.dim,
            "options": described(replace(self.options, config="", preset=self.preset), self.device.type),
            "versions": {"torch": torch.__version__, "detectron2": detectron2.__version__},
        }

    @torch.inference_mode()
    def detect(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray | None] | None = None
    ) -> list[Regions]:
        """Regions of RGB uint8 images (height, width, 3) of any sizes; for ``boxes`` see `Detector.detect`.

        Given boxes come back clipped to their image. Raises `HeedError` for given boxes that make no sense.
        """
        wanted = [None if given is None else check_given(given, image.shape[1], image.shape[0])
                  for image, given in zip(images, boxes or [None] * len(images), strict=True)]
        inputs = [self._input(image) for image in images]
        step = max(1, self.model.backbone.size_divisibility)
        groups: dict[tuple[int, int, bool], list[int]] = defaultdict(list)
        for index, each in enumerate(inputs):
            height, width = (-(-edge // step) * step for edge in each["image"].shape[1:])
            groups[height, width, wanted[index] is None].append(index)
        found: dict[int, Regions] = {}
        for (_, _, free), members in groups.items():
            batch = [inputs[index] for index in members]
            if not free:
                results = self._given(batch, [wanted[index] for index in members])  # type: ignore[misc]
            elif self.options.mode == "grid":
                results = self._grid(batch)
            elif self.preset == "predictor":
                results = self._predicted(batch)
            else:
                results = self._selected(batch)
            found.update(zip(members, results, strict=True))
        return [found[index] for index in range(len(images))]

    def _input(self, image: np.ndarray) -> dict[str, Any]:
        """What detectron2's predictor gives a model of an RGB image."""
        seen = self.setup.resize(image if self.setup.channels == "RGB" else image[:, :, ::-1])
        pixels = torch.as_tensor(seen.astype("float32").transpose(2, 0, 1))
        return {"image": pixels, "height": image.shape[0], "width": image.shape[1]}

    def _predicted(self, batch: list[dict[str, Any]]) -> list[Regions]:
        seen: list[dict[str, Tensor]] = []
        hook = self.model.backbone.register_forward_hook(lambda _module, _inputs, maps: seen.append(maps))
        try:
            answers = [answer["instances"] for answer in self.model(batch)]
        finally:
            hook.remove()
        boxes = [answer.pred_boxes.tensor for answer in answers]
        features = self.heads.features(seen[0], [rows * _scale(one, rows) for rows, one in
                                                 zip(boxes, batch, strict=True)])
        return self._results(batch, boxes, features, torch.cat([answer.pred_classes for answer in answers]),
                             torch.cat([answer.scores for answer in answers]))

    def _selected(self, batch: list[dict[str, Any]]) -> list[Regions]:
        images = self.model.preprocess_image(batch)
        maps = self.model.backbone(images.tensor)
        proposals, _ = self.model.proposal_generator(images, maps, None)
        boxes = [each.proposal_boxes.tensor for each in proposals]
        features = self.heads.features(maps, boxes)
        predictor = self.model.roi_heads.box_predictor
        logits, codes = predictor(features)
        counts = torch.tensor([len(rows) for rows in boxes], device=self.device)
        whose = torch.repeat_interleave(torch.arange(len(boxes), device=self.device), counts)
        scales = torch.stack([_scale(one, logits)[:2] for one in batch])
        sizes = torch.tensor(images.image_sizes, device=self.device)
        chosen = select(Candidates(
            torch.cat(boxes), whose, logits.softmax(1)[:, :-1], codes.unflatten(1, (-1, 4)), sizes, scales,
            predictor.box2box_transform.weights), self.rule)
        kept = [rows / scale.repeat(2) for rows, scale in zip(chosen.boxes.split(chosen.counts), scales, strict=True)]
        return self._results(batch, kept, features[chosen.rows], chosen.classes, chosen.scores)

    def _given(self, batch: list[dict[str, Any]], given: list[np.ndarray]) -> list[Regions]:
        maps = self.model.backbone(self.model.preprocess_image(batch).tensor)
        boxes = [torch.from_numpy(rows).to(self.device) for rows in given]
        features = self.heads.features(maps, [rows * _scale(one, rows) for rows, one in zip(boxes, batch, strict=True)])
        if not self.heads.classifies:
            unknown = torch.full((len(features),), -1, device=self.device)
            return self._results(batch, boxes, features, unknown, torch.zeros(len(features), device=self.device))
        scores, classes = self.heads.probabilities(features)[:, : self.heads.classes].max(1)
        return self._results(batch, boxes, features, classes, scores)

    def _grid(self, batch: list[dict[str, Any]]) -> list[Regions]:
        pixels = self.model.preprocess_image(batch).tensor
        cells = self.heads.grid(pixels)
        rows, columns = cells.shape[2:]
        step = 2 ** round(np.log2(pixels.shape[2] / rows))
        boxes, features = [], []
        for one, each in zip(batch, cells, strict=True):
            height, width = one["image"].shape[1:]
            down, across = torch.meshgrid(torch.arange(rows, device=self.device) * step,
                                          torch.arange(columns, device=self.device) * step, indexing="ij")
            corners = torch.stack([across, down, across + step, down + step], -1).reshape(-1, 4).float()
            inside = (corners[:, 0] < width) & (corners[:, 1] < height)
            corners = clip(corners[inside], width, height)
            boxes.append(corners / _scale(one, corners))
            features.append(each.flatten(1).T[inside])
        count = sum(map(len, boxes))
        unknown = torch.full((count,), -1, device=self.device)
        return self._results(batch, boxes, torch.cat(features), unknown, torch.zeros(count, device=self.device))

    def _results(self, batch: list[dict[str, Any]], boxes: list[Tensor], features: Tensor, classes: Tensor,
                 scores: Tensor) -> list[Regions]:
        """Split what was computed for all images into regions; ``boxes`` are in the images' pixels."""
        kinds, kind_scores = classes.new_zeros((len(classes), 0)), scores.new_zeros((len(scores), 0))
        if self.attributes:
            logits = self.model.roi_heads.attribute_logits(features)
            named = logits.softmax(1)[:, :-1] if self.rule.name == "caffe" else logits[:, :-1].softmax(1)
            kind_scores, kinds = named.max(1, keepdim=True)
        columns = [torch.cat(boxes), features, classes.int(), scores, kinds.int(), kind_scores]
        if self.distribution:
            columns.append(self.heads.probabilities(features))
        borders = np.cumsum([len(rows) for rows in boxes])[:-1]
        split = [np.split(column.cpu().numpy(), borders) for column in columns]
        results = []
        for index, one in enumerate(batch):
            corners, seen, kind, score, named, certainty, *rest = (column[index] for column in split)
            results.append(Regions(clip(corners, one["width"], one["height"]), seen, kind, score, named, certainty,
                                   one["width"], one["height"], rest[0] if rest else None))
        return results


def _scale(one: dict[str, Any], like: Tensor) -> Tensor:
    """(4,): what takes an image's boxes to the network's input."""
    height, width = one["image"].shape[1:]
    return like.new_tensor([width / one["width"], height / one["height"]] * 2)


def _set_thresholds(model: Any, options: DetectorOptions) -> None:
    """Put the options that are given in the place of the configuration's."""
    heads = getattr(model, "roi_heads", None)
    predictors = [model] if heads is None else (
        list(heads.box_predictor) if isinstance(heads.box_predictor, torch.nn.ModuleList) else [heads.box_predictor])
    names = (("score_threshold", ("test_score_thresh",)), ("nms", ("test_nms_thresh",)),
             ("boxes", ("test_topk_per_image", "max_detections_per_image")))
    for option, places in names:
        given = getattr(options, option)
        for predictor in predictors if given is not None else ():
            for place in places:
                if hasattr(predictor, place):
                    setattr(predictor, place, given[1] if option == "boxes" else given)
