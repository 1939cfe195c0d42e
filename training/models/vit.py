"""A vision transformer of timm's, with or without a learnable mask in its blocks; the task classifies with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from features.errors import HeedError
from features.weights import read_weights
from training.attention.mask_config import MaskConfig
from training.attention.masked_vit import masked_vit
from training.models.vit_config import VitConfig


def build_vit(config: VitConfig, mask: MaskConfig, classes: int) -> nn.Module:
    """The network, pictures (batch, 3, size, size) to logits (batch, classes), with the weights it starts from.

    Raises `HeedError` where timm has no such architecture or the weights do not fit it.
    """
    options: dict[str, Any] = {"img_size": config.size, "num_classes": classes, "drop_path_rate": config.drop_path}
    named = {"patch_size": config.patch, "embed_dim": config.dim, "depth": config.depth, "num_heads": config.heads}
    options |= {name: value for name, value in named.items() if value}
    if config.start == "published":
        options["pretrained"] = True
    model = masked_vit(config.architecture, mask, **options)
    if config.start and config.start != "published":
        _start(model, Path(config.start))
    return model


def _start(model: nn.Module, path: Path) -> None:
    """Load a file's weights; only masks, and a classifier of other classes, may be missing from it."""
    weights = dict(read_weights(path).tensors)
    own = model.state_dict()
    for name in [name for name in weights if name.startswith("head.")]:
        if name in own and own[name].shape != weights[name].shape:
            del weights[name]
    wrong = [name for name, value in weights.items() if name not in own or own[name].shape != value.shape]
    missing = [name for name in own if name not in weights and not name.startswith(("masks.", "head."))]
    if wrong or missing:
        raise HeedError(f"{path} does not fit the model: {len(wrong)} of its weights have no place (for example "
                        f"{(wrong or ['none'])[0]}), {len(missing)} are missing (for example "
                        f"{(missing or ['none'])[0]}). Is it of another architecture or size?")
    model.load_state_dict(weights, strict=False)


def mask_loss(model: nn.Module) -> Tensor | float:
    """The masks' sparsity loss of the last forward pass; 0 without masks."""
    masks = getattr(model, "masks", None)
    return 0.0 if masks is None else masks.loss()
