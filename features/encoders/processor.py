"""How a folder in Hugging Face's layout says that pixels are prepared: preprocessor_config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from features.encoders.pixels import Pixels
from features.errors import HeedError


def read_pixels(folder: Path, size: tuple[int, int] | None) -> Pixels:
    """The steps that the folder's file tells, ending at a middle of ``size`` (height, width); None for any size.

    Raises `HeedError` where there is no such file, or it asks for a size that the network does not take.
    """
    path = folder / "preprocessor_config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        resize = _side(config["size"])
        crop = _pair(config["crop_size"]) if config.get("do_center_crop") else _pair(resize)
        if "crop_pct" in config and isinstance(resize, int) and resize < 384:  # ConvNeXT's way to say both
            resize = int(resize / config["crop_pct"])
        elif not config.get("do_center_crop"):
            resize = crop
        filter: Any = Image.Resampling(config.get("resample", 3)).name.lower()
        pixels = Pixels(resize, crop, tuple(config["image_mean"]), tuple(config["image_std"]), filter)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HeedError(f"{path} does not say how images are prepared for the network: {error!r}.") from error
    if size and pixels.crop != size:
        raise HeedError(f"{path} prepares images of {pixels.crop} where the network takes {size}.")
    return pixels


def _side(size: Any) -> int | tuple[int, int]:
    """A size as the file writes it: a number, {"shortest_edge"} (both the short side), or {"height", "width"}."""
    if isinstance(size, int):
        return size
    if "shortest_edge" in size:
        return int(size["shortest_edge"])
    return int(size["height"]), int(size["width"])


def _pair(size: Any) -> tuple[int, int]:
    if isinstance(size, tuple | list):
        return int(size[0]), int(size[1])
    side = _side(size)
    return side if isinstance(side, tuple) else (side, side)
