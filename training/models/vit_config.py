"""A vision transformer's options. Light to import: the command line reads it for --help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VitConfig:
    """Which of timm's vision transformers, at what size, and what it starts from."""

    # timm's name of the architecture; which ViT the mask's paper trained is not known.
    architecture: str = "vit_small_patch16_224"
    # Side of the pictures in pixels.
    size: int = 224
    # Side of a patch in pixels; 0 takes the architecture's.
    patch: int = 0
    # Length of a token; 0 takes the architecture's.
    dim: int = 0
    # Number of blocks; 0 takes the architecture's.
    depth: int = 0
    # Heads of a block; 0 takes the architecture's.
    heads: int = 0
    # Greatest probability of a block being passed over in training, linear over the blocks.
    drop_path: float = 0.1
    # Weights to start from: a file in timm's layout (.safetensors, .pth), "published" for timm's own when online, or
    # none. A classifier for other classes is left out.
    start: str = ""
