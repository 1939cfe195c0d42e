"""A detectron2 model from a configuration and a checkpoint, without running code from either.

A ``.yaml`` is read safely and a checkpoint by `features.weights`. A ``.py`` configuration is a program, which
detectron2 runs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from features.errors import HeedError
from features.weights import download, load_into, read_weights, warn_random

_NOT_INSTALLED = ("detectron2 is not installed; it has no package release, so build it from its source against the "
                  "torch that is here (docs/detectors.md). --detector bottom-up and torchvision need none of it.")


@dataclass(frozen=True)
class Setup:
    """A model and what its configuration says beside it."""

    model: Any
    resize: Callable[[np.ndarray], np.ndarray]
    """An image (height, width, 3) uint8 in ``channels``, as large as the network sees it."""
    channels: str
    """RGB or BGR."""
    classes: list[str] | None
    """Class names, where detectron2 knows the data that the model was trained on."""
    digest: str
    """sha256 of the configuration without its device, folders and files."""


def build(config: str, weights: str, device: str) -> Setup:
    """The model, in eval mode on ``device``, with ``weights`` in it; `HeedError` where either cannot be had."""
    try:
        import detectron2  # noqa: F401
        from detectron2 import model_zoo
    except ImportError:
        raise HeedError(_NOT_INSTALLED) from None
    if not config:
        raise HeedError("The detectron2 detector needs --config: a .yaml or .py file, or a name in detectron2's model "
                        "zoo such as COCO-Detection/faster_rcnn_R_50_C4_1x.yaml.")
    path = Path(config)
    if not path.is_file():
        try:
            path = Path(model_zoo.get_config_file(config))
        except RuntimeError:
            raise HeedError(f"There is no configuration {config!r}, neither a file nor in detectron2's model zoo; "
                            "give the path of a .yaml or .py file.") from None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        setup = _from_python(path, device) if path.suffix == ".py" else _from_yaml(path, device)
    _load(setup.model, weights, config)
    setup.model.eval()
    return setup


def _from_yaml(path: Path, device: str) -> Setup:
    from detectron2.config import get_cfg
    from detectron2.data import transforms
    from detectron2.modeling import build_model
    from yaml import YAMLError

    from features.detectors import detectron2_bottom_up

    cfg = get_cfg()
    detectron2_bottom_up.add_config(cfg)
    try:
        cfg.merge_from_file(str(path), allow_unsafe=False)
        detectron2_bottom_up.choose_modules(cfg)
        cfg.MODEL.DEVICE = device
        model = build_model(cfg)
    except (YAMLError, KeyError, AssertionError, ValueError, TypeError) as error:
        raise HeedError(f"detectron2 cannot build {str(path)!r}: {' '.join(str(error).split())[:300]}.") from None
    resize = transforms.ResizeShortestEdge([cfg.INPUT.MIN_SIZE_TEST] * 2, cfg.INPUT.MAX_SIZE_TEST)
    said = cfg.clone()
    said.MODEL.DEVICE = said.MODEL.WEIGHTS = said.OUTPUT_DIR = ""
    return Setup(model, _resizer([resize]), cfg.INPUT.FORMAT, _names(cfg.DATASETS.TRAIN),
                 hashlib.sha256(said.dump().encode()).hexdigest())


def _from_python(path: Path, device: str) -> Setup:
    from detectron2.config import LazyConfig, instantiate
    from omegaconf import OmegaConf

    cfg = LazyConfig.load(str(path))
    said = OmegaConf.to_container(cfg.model)
    try:
        model = instantiate(cfg.model).to(device)
        mapper = cfg.dataloader.test.mapper
        augmentations, channels = instantiate(mapper.augmentations), mapper.image_format
        names = _names([cfg.dataloader.test.dataset.names])
    except Exception as error:  # whatever the configuration's own code raises
        raise HeedError(f"detectron2 cannot build {str(path)!r}: {' '.join(str(error).split())[:300]}.") from None
    return Setup(model, _resizer(augmentations), channels, names,
                 hashlib.sha256(json.dumps(said, sort_keys=True, default=_named).encode()).hexdigest())


def _named(value: Any) -> str:
    """What stands for a class or a function in a configuration that is written down."""
    return f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else type(value).__qualname__


def _resizer(augmentations: list) -> Callable[[np.ndarray], np.ndarray]:
    from detectron2.data import transforms

    def resize(image: np.ndarray) -> np.ndarray:
        seen = transforms.AugInput(image)
        transforms.AugmentationList(augmentations)(seen)
        return seen.image

    return resize


def _names(datasets: Any) -> list[str] | None:
    """What detectron2 calls the classes of the first data set, if it knows."""
    from detectron2.data import MetadataCatalog

    for name in datasets:
        known = MetadataCatalog.get(name).get("thing_classes") if isinstance(name, str) else None
        return list(known) if known else None
    return None


def _load(model: Any, weights: str, config: str) -> None:
    """Put a checkpoint's tensors into the model: detectron2's, or Caffe2's by its name matching."""
    from detectron2 import model_zoo

    if weights == "random":
        warn_random("The detectron2 detector")
        return
    if weights == "default":
        try:
            weights = str(download(model_zoo.get_checkpoint_url(config)))
        except RuntimeError:
            raise HeedError(f"detectron2's model zoo has no weights for {config!r}: give --weights PATH.") from None
    tensors = read_weights(weights).tensors
    wanted = model.state_dict()
    if not any(name in wanted for name in tensors):
        tensors = _by_matching(wanted, tensors)
    # Older checkpoints keep what detectron2 now computes.
    dropped = ("proposal_generator.anchor_generator.", "anchor_generator.cell_anchors", "pixel_mean", "pixel_std")
    load_into(model, {name: tensor for name, tensor in tensors.items()
                      if name in wanted or not name.startswith(dropped)}, "this detectron2 configuration")


def _by_matching(wanted: dict[str, Tensor], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """detectron2's heuristics for the names of Caffe2 and Detectron."""
    from detectron2.checkpoint.c2_model_loading import align_and_update_state_dicts

    return {**wanted, **align_and_update_state_dicts(wanted, dict(tensors), c2_conversion=True)}
