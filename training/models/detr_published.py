"""Build either model, and read checkpoints of the released code: {"model", "optimizer", "epoch", "opt", …}."""

from __future__ import annotations

import argparse
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from features.errors import HeedError
from training.attention.mask_config import MaskConfig
from training.models.detr_config import DetrConfig
from training.models.moment_detr import MomentDetr
from training.models.qd_detr import QdDetr

MASKS = ("encoder_masks.", "cross_masks.")
"""Parameters that published models have not."""


def build_detr(config: DetrConfig, mask: MaskConfig, video_dim: int, text_dim: int) -> MomentDetr | QdDetr:
    """The configured model; ``video_dim`` counts the two numbers of a clip's place."""
    kind = MomentDetr if config.name == "moment-detr" else QdDetr
    return kind(config, mask, video_dim, text_dim)


@dataclass(frozen=True)
class Published:
    """What a checkpoint holds of a model."""

    config: DetrConfig
    video_dim: int
    text_dim: int
    tensors: dict[str, Tensor]

    def load_into(self, model: MomentDetr | QdDetr) -> None:
        """Copy the weights; masks and controls of ``model`` stay as they are. `HeedError` where anything else differs.
        """
        wanted = {name: tensor.shape for name, tensor in model.state_dict().items() if not name.startswith(MASKS)}
        given = {name: tensor.shape for name, tensor in self.tensors.items()}
        if wanted != given:
            name = next(name for name in {**wanted, **given} if wanted.get(name) != given.get(name))
            there = list(given[name]) if name in given else "missing"
            here = list(wanted[name]) if name in wanted else "unknown"
            raise HeedError(f"The checkpoint does not fit the model: {name} is {there} in it and {here} here.")
        model.load_state_dict(self.tensors, strict=False)


def read_published(path: Path) -> Published:
    """A checkpoint of either released code, or a run's best.pt; sizes are read from its tensors.

    Raises `HeedError` for a file that is neither, or holds more than tensors and plain values (and the options, an
    argparse.Namespace).
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise HeedError(f"There is no checkpoint {path}.") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise HeedError(f"The checkpoint {path} cannot be read: {str(error).splitlines()[0]}") from error
    tensors = state.get("model") if isinstance(state, dict) else None
    if not isinstance(tensors, dict) or "span_embed.layers.0.weight" not in tensors:
        raise HeedError(f"{path} is no checkpoint of Moment-DETR or QD-DETR: it has no model with a span_embed.")
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith((*MASKS, "words.", "scale."))}
    options = vars(state["opt"]) if isinstance(state.get("opt"), argparse.Namespace) else {}
    return Published(_config(tensors, options), tensors["input_vid_proj.0.LayerNorm.weight"].shape[0],
                     tensors["input_txt_proj.0.LayerNorm.weight"].shape[0], tensors)


def _config(tensors: dict[str, Tensor], options: dict[str, Any]) -> DetrConfig:
    def layers(prefix: str) -> int:
        depth = prefix.count(".") + 1
        return len({name.split(".")[depth] for name in tensors if name.startswith(prefix + ".")})

    return DetrConfig(
        name="qd-detr" if "global_rep_token" in tensors else "moment-detr",
        dim=tensors["class_embed.weight"].shape[1], heads=options.get("nheads", DetrConfig.heads),
        feedforward=tensors["transformer.encoder.layers.0.linear1.weight"].shape[0],
        encoder_layers=layers("transformer.encoder.layers"), decoder_layers=layers("transformer.decoder.layers"),
        queries=tensors["query_embed.weight"].shape[0], input_layers=layers("input_vid_proj"),
        input_dropout=options.get("input_dropout", DetrConfig.input_dropout),
        dropout=options.get("dropout", DetrConfig.dropout),
        text_positions=options.get("use_txt_pos", DetrConfig.text_positions),
        max_clips=options.get("max_v_l", DetrConfig.max_clips),
        max_tokens=tensors["txt_position_embed.position_embeddings.weight"].shape[0],
        max_windows=options.get("max_windows", DetrConfig.max_windows),
    )
