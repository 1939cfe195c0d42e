"""Weights of M4C as MMF, sam-textvqa and the study's fork of it save them, by heed's names.

The three differ in names, in whether fc7 is trained along (MMF), and in the study's W. Sizes are read off the weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from features.errors import HeedError
from features.weights import load_into, read_weights
from training.attention.config import AttentionConfig
from training.models.m4c import M4c, M4cSizes
from training.models.m4c_config import M4cConfig

_RENAMED = (
    (r"^module\.", ""),  # DataParallel
    (r"^(obj|ocr)_faster_rcnn_fc7\.module\.", r"\1_faster_rcnn_fc7."),
    (r"^linear_obj_feat_to_mmt_in\.", "objects.features."), (r"^linear_obj_bbox_to_mmt_in\.", "objects.box."),
    (r"^obj_feat_layer_norm\.", "objects.features_norm."), (r"^obj_bbox_layer_norm\.", "objects.box_norm."),
    (r"^linear_ocr_feat_to_mmt_in\.", "words.features."), (r"^linear_ocr_bbox_to_mmt_in\.", "words.box."),
    (r"^ocr_feat_layer_norm\.", "words.features_norm."), (r"^ocr_bbox_layer_norm\.", "words.box_norm."),
    (r"\.encoder\.normal_layers\.", ".encoder.layer."),
    (r"\.attention\.self\.W\.", ".attention.self.score.project."),
    (r"^classifier\.(weight|bias)$", r"classifier.module.\1"),
)
_BUFFERS = ("position_ids",)
ZEROS = 50
"""Columns of the OCR input that only ever saw zeros."""


def renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Published weights under heed's names; buffers that are no weights are dropped."""
    out = {}
    for name, value in state.items():
        for pattern, name_here in _RENAMED:
            name = re.sub(pattern, name_here, name)
        if not name.endswith(_BUFFERS):
            out[name] = value
    return out


def read_published(path: Path) -> dict[str, Tensor]:
    """The weights in a checkpoint file of MMF (under "model") or sam-textvqa ("model_state_dict"), by heed's names."""
    return renamed(read_weights(path).tensors)


def build_published(state: Mapping[str, Tensor], config: M4cConfig, attention: AttentionConfig) -> M4c:
    """The model that weights by heed's names are of, with them loaded.

    Widths, layers and vocabularies are read off the weights; heads (64 numbers each, unless ``config`` says other
    widths), dropout and switches are those of ``config``. Raises `HeedError` where anything is missing or left over,
    a W for a score function without one, for example.
    """
    try:
        text, rows = state["text_bert.embeddings.word_embeddings.weight"], state["classifier.module.weight"]
        objects, words = state["objects.features.weight"].shape[1], state["words.features.weight"].shape[1]
        config = replace(
            config, hidden=rows.shape[1], text_hidden=text.shape[1], pointer=len(state["ocr_ptr_net.query.weight"]),
            layers=_layers(state, "mmt"), text_layers=_layers(state, "text_bert"),
            feedforward=len(state["mmt.encoder.layer.0.intermediate.dense.weight"]),
            text_feedforward=len(state["text_bert.encoder.layer.0.intermediate.dense.weight"]),
            tune_fc7="obj_faster_rcnn_fc7.lc.weight" in state, legacy_zeros=ZEROS,
        )
    except KeyError as error:
        raise HeedError(f"these are no weights of M4C: {error.args[0]} is missing") from None
    fixed = words - ZEROS - objects
    model = M4c(config, attention, M4cSizes(len(text), len(rows), objects, fixed, True))
    load_into(model, dict(state), "M4C")
    return model


def _layers(state: Mapping[str, Any], part: str) -> int:
    numbers = [int(found[1]) for name in state if (found := re.match(rf"{part}\.encoder\.layer\.(\d+)\.", name))]
    return 1 + max(numbers, default=-1)
