"""The published bottom-up checkpoints: which is which, and its parameters under one set of names.

Names were read off the modules of the repositories: airsplay/py-bottom-up-attention@85ec9b7,
MILVLG/bottom-up-attention.pytorch@4dbce86 on detectron2 0.2.1, and the frcnn-vg port of huggingface/transformers
(examples/research_projects/lxmert).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from features.detectors import c4_config
from features.detectors.c4_config import C4Config
from features.errors import HeedError
from features.weights import read_weights

ANCHORS = "proposal_generator.anchor_generator.cell_anchors.0"
"""detectron2 kept its anchors in checkpoints until May 2021, and bottom-up-attention.pytorch relies on it: its
configuration asks for anchors of 4 to 32 pixels, which the checkpoint's own then overwrite."""

_PREDICTOR = "roi_heads.box_predictor"
_CAFFE_NAMES = {"cls_embed": "cls_embedding", "attr_linear1": "fc_attr", "attr_linear2": "attr_score"}
_D2_NAMES = {"obj_embed": "cls_embedding", "fc.0": "fc_attr", "attr_score": "attr_score"}


@dataclass(frozen=True)
class Checkpoint:
    """A bottom-up detector's weights."""

    layout: str
    config: C4Config
    tensors: dict[str, Tensor]
    """By the names of `features.detectors.c4_network.C4Network`."""
    anchors: Tensor | None = None
    """(kinds, 4) where the file brings its own."""
    rule: dict[str, Any] = field(default_factory=dict)
    """Fields of `features.detectors.presets.Rule` that a configuration beside the file sets."""


@dataclass(frozen=True)
class Layout:
    """How one repository wrote its checkpoints."""

    config: C4Config
    preset: str
    """Name of the selection rule its extractor used."""
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]]
    source: str
    """Where its files were published, and under which names."""


def _as_is(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return tensors


def _from_caffe(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Background and "none" were Caffe's first; background had a box code of its own."""
    named = {}
    for name, tensor in tensors.items():
        prefix, _, rest = name.partition(f"{_PREDICTOR}.")
        if not prefix and rest:
            module, _, kind = rest.rpartition(".")
            name = f"{_PREDICTOR}.{_CAFFE_NAMES.get(module, module)}.{kind}"
            if module in ("cls_score", "cls_embed", "attr_linear2"):
                tensor = tensor.roll(-1, 0)
            elif module == "bbox_pred":
                tensor = tensor[4:]
        named[name] = tensor
    return named


def _from_d2(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    named = {}
    for name, tensor in tensors.items():
        prefix, _, rest = name.partition("roi_heads.attribute_predictor.")
        if not prefix and rest:
            module, _, kind = rest.rpartition(".")
            name = f"{_PREDICTOR}.{_D2_NAMES.get(module, module)}.{kind}"
        named[name] = tensor
    return named


LAYOUTS = {
    "caffe": Layout(c4_config.CAFFE, "caffe", _from_caffe,
                    "bua-caffe-frcn-r101-k10-100.pth or -k36.pth of MILVLG/bottom-up-attention.pytorch"),
    "caffe-r152": Layout(c4_config.CAFFE_152, "caffe", _from_caffe,
                         "bua-caffe-frcn-r152.pth of MILVLG/bottom-up-attention.pytorch"),
    "py-bottom-up-attention": Layout(c4_config.PY_BOTTOM_UP, "detectron2", _as_is,
                                     "faster_rcnn_from_caffe_attr.pkl of airsplay/py-bottom-up-attention"),
    "frcnn-vg": Layout(c4_config.FRCNN_VG, "detectron2", _as_is,
                       "pytorch_model.bin and config.yaml of unc-nlp/frcnn-vg-finetuned"),
    "milvlg-d2": Layout(c4_config.MILVLG_D2, "predictor", _from_d2,
                        "bua-d2-frcn-r50.pth, -r101.pth or -x152.pth of MILVLG/bottom-up-attention.pytorch"),
}
"""Name -> layout."""


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a published checkpoint, or one saved in the same layout; of frcnn-vg, the folder or the .bin in it.

    Sizes are read off the tensors, so that a smaller network saved in a layout is read too. Raises `HeedError` where
    the file is none of them.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "pytorch_model.bin"
    return understood(read_weights(path).tensors, path)


def understood(tensors: Mapping[str, Tensor], path: Path) -> Checkpoint:
    """What `read_checkpoint` makes of the tensors of the file ``path``."""
    tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    name = layout_of(tensors, path)
    layout = LAYOUTS[name]
    anchors = tensors.pop(ANCHORS, None)
    mean = tensors.pop("pixel_mean", None)
    tensors.pop("pixel_std", None)
    named = layout.rename({name: tensor.float() if tensor.is_floating_point() else tensor
                           for name, tensor in tensors.items()})
    try:
        config = measured(layout.config, named)
    except (KeyError, IndexError) as error:
        raise HeedError(f"The weights file {str(path)!r} is not a bottom-up detector's: {error} is missing; "
                        f"heed reads {sources()}.") from None
    if mean is not None:
        blue, green, red = mean.flatten().tolist()
        config = replace(config, mean=(blue, green, red))
    beside = path.parent / "config.yaml"
    if name != "frcnn-vg" or not beside.is_file():
        return Checkpoint(name, config, named, anchors)
    sizes, rule = _read_yaml(beside)
    return Checkpoint(name, replace(config, **sizes), named, anchors, rule)


def sources() -> str:
    """The published files, as a phrase."""
    return "; ".join(layout.source for layout in LAYOUTS.values())


def layout_of(tensors: Mapping[str, Tensor], path: Path) -> str:
    """Which layout these names are in; `HeedError` where they are in none."""
    if f"{_PREDICTOR}.cls_score.weight" not in tensors:
        raise HeedError(f"The weights file {str(path)!r} is not a bottom-up detector's; heed reads {sources()}.")
    if "roi_heads.attribute_predictor.obj_embed.weight" in tensors or "pixel_mean" in tensors:
        return "milvlg-d2"
    classes = len(tensors[f"{_PREDICTOR}.cls_score.weight"])
    if f"{_PREDICTOR}.cls_embed.weight" in tensors or len(tensors[f"{_PREDICTOR}.bbox_pred.weight"]) == 4 * classes:
        return "caffe-r152" if "roi_heads.res5_bn.weight" in tensors else "caffe"
    return "frcnn-vg" if path.suffix == ".bin" else "py-bottom-up-attention"


def measured(config: C4Config, tensors: Mapping[str, Tensor]) -> C4Config:
    """The configuration with every size that the tensors tell; KeyError where one is missing."""
    def rows(name: str) -> int:
        return len(tensors[f"{name}.weight"])

    blocks = (_count(tensors, "backbone.res2"), _count(tensors, "backbone.res3"),
              _count(tensors, "backbone.res4"), _count(tensors, "roi_heads.res5"))
    kinds = rows("proposal_generator.rpn_head.anchor_deltas") // 4
    sides = config.anchor_sides if 3 * len(config.anchor_sides) == kinds else tuple(
        2.0 ** power for power in range(6, 6 + kinds // 3))
    inner = rows("backbone.res2.0.conv1")
    groups = inner // tensors["backbone.res2.0.conv2.weight"].shape[1]
    config = replace(
        config, blocks=blocks, stem=rows("backbone.stem.conv1"), inner=inner, outer=rows("backbone.res2.0.conv3"),
        groups=groups, rpn=rows("proposal_generator.rpn_head.conv"), anchor_sides=sides,
        classes=rows(f"{_PREDICTOR}.cls_score") - 1, attributes=0)
    if groups > 1:  # ResNeXt: Facebook's, with its stride in the 3 x 3 convolution; X152 pools 7 x 7 cells
        config = replace(config, stride_in_1x1=False, cells=7)
    if f"{_PREDICTOR}.attr_score.weight" in tensors:
        config = replace(config, attributes=rows(f"{_PREDICTOR}.attr_score") - config.none,
                         embedding=tensors[f"{_PREDICTOR}.cls_embedding.weight"].shape[1],
                         hidden=rows(f"{_PREDICTOR}.fc_attr"))
    return config


def _count(tensors: Mapping[str, Tensor], stage: str) -> int:
    count = 0
    while f"{stage}.{count}.conv1.weight" in tensors:
        count += 1
    if not count:
        raise KeyError(f"{stage}.0.conv1.weight")
    return count


def _read_yaml(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What frcnn-vg's config.yaml says of the input and the proposals, and of the selection."""
    try:
        import yaml
    except ImportError:
        raise HeedError(f"Reading {str(path)!r} needs PyYAML: pip install pyyaml.") from None
    try:
        said = dict(_flattened(yaml.safe_load(path.read_text())))
        sizes = {ours: kind(said[theirs]) for ours, theirs, kind in (
            ("side", "input.min_size_test", int), ("longest", "input.max_size_test", int),
            ("mean", "model.pixel_mean", _numbers), ("before", "rpn.pre_nms_topk_test", int),
            ("after", "rpn.post_nms_topk_test", int), ("overlap", "rpn.nms_thresh", float)) if theirs in said}
        rule: dict[str, Any] = {}
        if "min_detections" in said and "max_detections" in said:
            rule["boxes"] = int(said["min_detections"]), int(said["max_detections"])
        if "roi_heads.nms_thresh_test" in said:
            rule["rungs"] = _numbers(said["roi_heads.nms_thresh_test"])
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise HeedError(f"{str(path)!r} is no configuration of frcnn-vg ({str(error).splitlines()[0]}).") from None
    return sizes, rule


def _numbers(value: Any) -> tuple[float, ...]:
    return tuple(map(float, value if isinstance(value, list) else [value]))


def _flattened(value: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Settings by their lower-case dotted names."""
    if not isinstance(value, dict):
        return [(prefix, value)]
    return [pair for key, inner in value.items()
            for pair in _flattened(inner, f"{prefix}.{key}".lower().lstrip("."))]
