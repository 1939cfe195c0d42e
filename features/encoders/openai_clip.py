"""OpenAI's own CLIP files (ViT-B-32.pt, …): their parameters under the names of transformers' CLIP.

The published files are TorchScript archives (`features.torchscript`); state dicts saved from them are read too.
Only the vision transformers: the ResNets of CLIP are other networks, which transformers does not have.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import HeedError
from features.torchscript import is_torchscript, read_torchscript
from features.weights import read_weights

if TYPE_CHECKING:
    from torch import Tensor

_VISION = {
    "class_embedding": "embeddings.class_embedding", "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight", "ln_pre": "pre_layrnorm", "ln_post": "post_layernorm",
}
_LAYER = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2",
          "attn.out_proj": "self_attn.out_proj"}


def read_vision(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings of a `transformers.CLIPVisionConfig`, and the state dict of its CLIPVisionModelWithProjection, float32.

    Raises `HeedError` where the file holds something else.
    """
    tensors = read_torchscript(path) if is_torchscript(path) else read_weights(path).tensors
    if "visual.proj" not in tensors:
        raise HeedError(f"{path} holds no vision transformer in OpenAI's layout (it has no visual.proj): heed reads "
                        "ViT-B-32.pt, ViT-B-16.pt and ViT-L-14.pt, or a folder in Hugging Face's layout.")
    try:
        width, _, patch, _ = tensors["visual.conv1.weight"].shape
        settings = {
            "hidden_size": width, "patch_size": patch, "num_attention_heads": max(1, width // 64),
            "image_size": patch * round((len(tensors["visual.positional_embedding"]) - 1) ** 0.5),
            "intermediate_size": len(tensors["visual.transformer.resblocks.0.mlp.c_fc.weight"]),
            "num_hidden_layers": len({name.split(".")[3] for name in tensors if ".resblocks." in name
                                      and name.startswith("visual.")}),
            "projection_dim": tensors["visual.proj"].shape[1], "hidden_act": "quick_gelu",
        }
    except (KeyError, ValueError) as error:
        raise HeedError(f"{path} is not laid out as OpenAI's CLIP is: {error!r}.") from error
    state: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.startswith("visual."):
            state |= _renamed(name.removeprefix("visual."), tensor.float())
    return settings, state


def _renamed(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """One parameter of the vision tower under its new name; the joined query, key and value as three."""
    if name == "proj":
        return {"visual_projection.weight": tensor.T.contiguous()}
    found = re.fullmatch(r"transformer\.resblocks\.(\d+)\.(.*)", name)
    if found is None:
        old = next((old for old in _VISION if name == old or name.startswith(f"{old}.")), None)
        return {f"vision_model.{_VISION[old] + name.removeprefix(old) if old else name}": tensor}
    layer, rest = f"vision_model.encoder.layers.{found[1]}", found[2]
    if rest.startswith("attn.in_proj_"):
        kind = rest.removeprefix("attn.in_proj_")
        return {f"{layer}.self_attn.{which}_proj.{kind}": part
                for which, part in zip("qkv", tensor.chunk(3), strict=True)}
    old = next((old for old in _LAYER if rest.startswith(f"{old}.")), "")
    return {f"{layer}.{_LAYER.get(old, '') + rest.removeprefix(old)}": tensor}
