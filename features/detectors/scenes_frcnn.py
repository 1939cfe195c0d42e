"""The detector for rendered scenes: shape as class; colour, size and texture as attributes. Its weights ship with heed.

``--weights default`` are those in ``weights/scenes.safetensors``, made by ``heed train detection``
(`training.tasks.detection` says how long it took and how good they are). A file of one's own is given by path.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from features.detectors.detector import DetectorOptions
from features.detectors.frcnn import FasterRCNNDetector
from features.detectors.scenes_model import build
from features.errors import HeedError
from features.weights import digest, load_into, read_weights, warn_random

SHIPPED = Path(__file__).parent / "weights" / "scenes.safetensors"


def load(options: DetectorOptions) -> FasterRCNNDetector:
    """Build the network and load its weights; raise `HeedError` when they are not a scenes detector's."""
    source = read_weights(SHIPPED if options.weights in ("default", "random") else options.weights)
    if "classes" not in source.metadata or "attributes" not in source.metadata:
        raise HeedError(f"The weights {options.weights!r} do not name their classes and attributes: "
                        "the scenes detector reads files that `heed train detection` exported.")
    classes: list[str] = json.loads(source.metadata["classes"])
    attributes: dict[str, list[str]] = json.loads(source.metadata["attributes"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build(classes, attributes)
    if options.weights == "random":
        warn_random("The scenes detector")
    else:
        load_into(model, {name: tensor.float() for name, tensor in source.tensors.items()}, "the scenes detector")
    identity = {
        "name": "scenes",
        "architecture": "scenes_frcnn",
        "weights": digest(model.state_dict()),
        "classes": classes,
        "attributes": attributes,
    }
    fold_normalisation(model.eval())
    return as_detector(model, options, identity)


def as_detector(model: GeneralizedRCNN, options: DetectorOptions, identity: dict) -> FasterRCNNDetector:
    """A scenes network as a detector, its weights as they are."""
    return FasterRCNNDetector(model, options, identity, list(model.roi_heads.attribute_heads.values()))


def save(model: GeneralizedRCNN, classes: list[str], attributes: dict[str, list[str]], path: Path) -> None:
    """Write the weights as `load` reads them: matrices in float16, vectors (normalisation, biases) in float32."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
               if tensor.is_floating_point()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.half() if tensor.dim() > 1 else tensor for name, tensor in tensors.items()}, path,
              metadata={"classes": json.dumps(classes), "attributes": json.dumps(attributes)})


def fold_normalisation(module: nn.Module) -> None:
    """Fold each batch normalisation into the convolution before it: the same function in eval mode, a pass less."""
    for parent in module.modules():
        if not isinstance(parent, nn.Sequential):
            continue
        layers = list(parent.named_children())
        for (first, before), (second, after) in itertools.pairwise(layers):
            if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                setattr(parent, first, fuse_conv_bn_eval(before, after))
                setattr(parent, second, nn.Identity())
