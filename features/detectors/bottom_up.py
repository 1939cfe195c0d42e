"""Bottom-up attention's Faster R-CNN: the field's region features, from any of the published checkpoints.

1600 object classes and 400 attributes of Visual Genome, ResNet-101 C4 (Anderson et al., CVPR 2018). ``--weights`` is
a checkpoint's path (`features.detectors.c4_layouts` says which files; none is downloaded), or ``random`` or
``LAYOUT=random`` to try a pipeline out. The layout decides the network and its input, ``--preset`` the selection rule
(`features.detectors.presets`); unless given, it is the one that the checkpoint's own extractor used.

An image meets only images that the network sees in its own size, so that nothing is padded and its features do not
depend on its companions, as they do in detectron2's batches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from features.boxes import check_given, clip
from features.detectors import visual_genome
from features.detectors.c4_layouts import LAYOUTS, Checkpoint, read_checkpoint, sources
from features.detectors.c4_network import STRIDE, C4Network, fold_normalisation
from features.detectors.c4_proposals import anchors, cell_anchors, propose
from features.detectors.detector import DetectorOptions, described
from features.detectors.presets import RULES, Candidates, Rule, select, with_options
from features.detectors.resize import Target, resize, target
from features.devices import resolve_device
from features.errors import HeedError
from features.regions import Regions
from features.weights import digest, load_into, warn_random

_RESIZERS = 4  # threads
# Regions that the fifth stage sees at once: one's maps take 5 MB, which on a CPU should stay near its caches.
_AT_ONCE = {"cpu": 16, "cuda": 600}


def load(options: DetectorOptions) -> BottomUpDetector:
    """Build the network and load its weights; raise `HeedError` when they are not a bottom-up detector's."""
    if options.config:
        raise HeedError("The bottom-up detector reads its configuration off its weights: leave out --config.")
    layout, _, which = options.weights.rpartition("=")
    if which == "default":
        raise HeedError(f"Bottom-up attention's weights cannot be downloaded by heed: fetch one of {sources()}, and "
                        "pass its path as --weights (docs/detectors.md); --weights random tries a pipeline out.")
    if which == "random":
        if (layout or "caffe") not in LAYOUTS:
            raise HeedError(f"There is no layout {layout!r} of bottom-up weights; heed has {', '.join(LAYOUTS)}.")
        warn_random("The bottom-up detector")
        name = layout or "caffe"
        checkpoint, network = random_network(Checkpoint(name, LAYOUTS[name].config, {}))
    else:
        checkpoint = read_checkpoint(options.weights)
        network = C4Network(checkpoint.config)
        load_into(network, checkpoint.tensors, "the bottom-up detector")
    return as_detector(network, checkpoint, options)


def as_detector(network: C4Network, checkpoint: Checkpoint, options: DetectorOptions) -> BottomUpDetector:
    """A network with its weights as a detector. Its normalisation is folded into its convolutions."""
    layout = LAYOUTS[checkpoint.layout]
    rule = (replace(RULES[layout.preset], **checkpoint.rule) if options.preset == "auto" else RULES[options.preset])
    cells = cell_anchors(checkpoint.config) if checkpoint.anchors is None else checkpoint.anchors.float()
    tensors = {name: tensor for name, tensor in network.state_dict().items()
               if not name.endswith("num_batches_tracked")}
    config = checkpoint.config
    identity = {
        "name": "bottom-up",
        "architecture": checkpoint.layout,
        "network": asdict(config),
        "weights": digest({**tensors, "anchors": cells}),
        "classes": visual_genome.objects(config.classes),
        "attributes": {"attribute": visual_genome.attributes(config.attributes)} if config.attributes else {},
    }
    fold_normalisation(network.eval())
    return BottomUpDetector(network, cells, with_options(rule, options), options, identity)


def random_network(checkpoint: Checkpoint) -> tuple[Checkpoint, C4Network]:
    """A network with random weights, the same in every process, its normalisation fitted to a cloudy picture."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = C4Network(checkpoint.config)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    generator = torch.Generator().manual_seed(0)
    noise = functional.interpolate(60 * torch.randn((1, 3, 16, 16), generator=generator), (128, 128), mode="bicubic")
    with torch.no_grad():
        network.grid(network.train().maps(noise + 10 * torch.randn(noise.shape, generator=generator)))
    return checkpoint, network.eval()


class BottomUpDetector:
    """A `features.detectors.Detector` over a `C4Network` whose normalisation is folded."""

    def __init__(self, network: C4Network, cells: Tensor, rule: Rule, options: DetectorOptions,
                 identity: dict[str, Any]) -> None:
        self.device = resolve_device(options.device)
        if self.device.type == "cpu":
            torch.set_num_threads(options.threads)
        # Channels last: 1.2 to 1.6 times as fast on a CPU (docs/detectors.md).
        self.network = network.eval().to(self.device, memory_format=torch.channels_last)
        self.config = network.config
        self.cells = cells.to(self.device)
        self.rule = rule
        self.identity = identity
        self.options = replace(options, boxes=rule.boxes, score_threshold=rule.threshold, nms=rule.rungs[0],
                               preset=rule.name)  # type: ignore[arg-type]
        grid = options.mode == "grid"
        self.dim = self.config.dim
        self.attributes = 0 if grid or not self.config.attributes else 1
        self.distribution = self.config.classes + 1 if options.distributions and not grid else 0

    def describe(self) -> dict[str, Any]:
        """Identity for the store. ``versions`` informs and is no part of it."""
        return {**self.identity, "dim": self.dim, "rungs": list(self.rule.rungs),
                "options": described(self.options, self.device.type),
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
        config = self.config
        targets = [target(image.shape[0], image.shape[1], config.side, config.longest, config.resizer)
                   for image in images]
        groups: dict[tuple[int, int, bool], list[int]] = defaultdict(list)
        for index, size in enumerate(targets):
            groups[size.height, size.width, wanted[index] is None].append(index)
        found: dict[int, Regions] = {}
        for (_, _, free), members in groups.items():
            batch = _Batch([images[i] for i in members], [targets[i] for i in members])
            maps = self.network.maps(self.pixels(batch.images, batch.targets))
            if not free:
                results = self._given(batch, maps, [wanted[i] for i in members])  # type: ignore[misc]
            elif self.options.mode == "grid":
                results = self._grid(batch, maps)
            else:
                results = self._regions(batch, maps)
            found.update(zip(members, results, strict=True))
        return [found[index] for index in range(len(images))]

    def pixels(self, images: Sequence[np.ndarray], targets: Sequence[Target]) -> Tensor:
        """The network's input (batch, 3, h, w): blue, green and red less their means."""
        def one(image: np.ndarray, size: Target) -> Tensor:
            return resize(image, size, self.config.resizer, self.device)

        with ThreadPoolExecutor(_RESIZERS) as pool:
            batch = torch.stack(list(pool.map(one, images, targets)))
        batch = batch.flip(1) - batch.new_tensor(self.config.mean)[:, None, None]
        return batch.contiguous(memory_format=torch.channels_last)

    def _regions(self, batch: _Batch, maps: Tensor) -> list[Regions]:
        boxes = self.proposals(maps, batch.targets)
        features = self.features(maps, boxes)
        logits, codes, attributes = self.network.predict(features)
        probabilities = logits.softmax(1)
        sizes = torch.tensor([[size.height, size.width] for size in batch.targets], device=self.device)
        chosen = select(Candidates(
            torch.cat(boxes), _image_of(boxes), probabilities[:, :-1], codes, sizes, batch.scales(self.device),
            self.config.box_weights, self.config.inclusive), self.rule)
        kept = [each / scale.repeat(2) for each, scale in
                zip(chosen.boxes.split(chosen.counts), batch.scales(self.device), strict=True)]
        rows = chosen.rows
        return self._results(batch, kept, features[rows], chosen.classes, chosen.scores, probabilities[rows],
                             None if attributes is None else attributes[rows])

    def _given(self, batch: _Batch, maps: Tensor, given: list[np.ndarray]) -> list[Regions]:
        boxes = [torch.from_numpy(rows).to(self.device) for rows in given]
        features = self.features(maps, [rows * scale.repeat(2) for rows, scale in
                                        zip(boxes, batch.scales(self.device), strict=True)])
        logits, _, attributes = self.network.predict(features)
        probabilities = logits.softmax(1)
        scores, classes = probabilities[:, :-1].max(1)
        return self._results(batch, boxes, features, classes, scores, probabilities, attributes)

    def _grid(self, batch: _Batch, maps: Tensor) -> list[Regions]:
        cells = self.network.grid(maps)
        rows, columns = cells.shape[2:]
        step = STRIDE if self.config.dilated else 2 * STRIDE
        down, across = torch.meshgrid(torch.arange(rows, device=self.device) * step,
                                      torch.arange(columns, device=self.device) * step, indexing="ij")
        corners = torch.stack([across, down, across + step, down + step], -1).reshape(-1, 4).float()
        size = batch.targets[0]
        inside = (corners[:, 0] < size.width) & (corners[:, 1] < size.height)
        corners = clip(corners[inside], size.width, size.height)
        boxes = [corners / scale.repeat(2) for scale in batch.scales(self.device)]
        features = cells.flatten(2)[:, :, inside].transpose(1, 2).flatten(0, 1)
        unknown = torch.full((len(features),), -1, device=self.device)
        return self._results(batch, boxes, features, unknown, torch.zeros(len(features), device=self.device))

    def proposals(self, maps: Tensor, targets: Sequence[Target]) -> list[Tensor]:
        """Proposals (n, 4) of each image of a batch, in the pixels of the network's input, best first."""
        objectness, codes = self.network.proposals(maps)
        grid = anchors(self.cells, maps.shape[2], maps.shape[3])
        return [propose(objectness[place], codes[place], grid, (size.height, size.width), size.scale[0], self.config)
                for place, size in enumerate(targets)]

    def features(self, maps: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """Features (n, d) of the boxes of all images, in order."""
        at_once = _AT_ONCE.get(self.device.type, 64)
        maps = maps.contiguous()  # as torchvision's pooling reads them
        parts = [maps.new_zeros(0, self.dim)]
        for place, each in enumerate(boxes):
            for part in each.split(at_once) if len(each) else ():
                cells = self.network.pool(maps[place : place + 1], [part])
                parts.append(self.network.region_features(cells.contiguous(memory_format=torch.channels_last)))
        return torch.cat(parts)

    def _results(self, batch: _Batch, boxes: list[Tensor], features: Tensor, classes: Tensor, scores: Tensor,
                 probabilities: Tensor | None = None, attributes: Tensor | None = None) -> list[Regions]:
        """Split what was computed for all images into regions; ``boxes`` are in the images' pixels."""
        n = len(classes)
        kinds, kind_scores = classes.new_zeros((n, 0)), scores.new_zeros((n, 0))
        if attributes is not None:
            kind_scores, kinds = self._named(attributes).max(1, keepdim=True)
        columns = [torch.cat(boxes), features, classes.int(), scores, kinds.int(), kind_scores]
        if self.distribution and probabilities is not None:
            columns.append(probabilities)
        borders = np.cumsum([len(rows) for rows in boxes])[:-1]
        split = [np.split(column.cpu().numpy(), borders) for column in columns]
        results = []
        for index, image in enumerate(batch.images):
            height, width = image.shape[:2]
            corners, seen, kind, score, named, certainty, *rest = (column[index] for column in split)
            results.append(Regions(clip(corners, width, height), seen, kind, score, named, certainty, width, height,
                                   rest[0] if rest else None))
        return results

    def _named(self, attributes: Tensor) -> Tensor:
        """Probabilities (n, attributes) of attribute logits: in Caffe's rule "none" has its share of them."""
        if not self.config.none:
            return attributes.softmax(1)
        if self.rule.name == "caffe":
            return attributes.softmax(1)[:, :-1]
        return attributes[:, :-1].softmax(1)


@dataclass(frozen=True)
class _Batch:
    """Images that the network sees in one size."""

    images: list[np.ndarray]
    targets: list[Target]

    def scales(self, device: torch.device) -> Tensor:
        """(images, 2): what takes x and y of each image to the network's input."""
        return torch.tensor([size.scale for size in self.targets], device=device)


def _image_of(parts: Sequence[Tensor]) -> Tensor:
    """Which of the parts each row of their concatenation is from, int64."""
    counts = torch.tensor([len(part) for part in parts], device=parts[0].device)
    return torch.repeat_interleave(torch.arange(len(parts), device=parts[0].device), counts)
