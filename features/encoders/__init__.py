"""Encoders of frames and clips by name. To add one: a file in this folder and a line here.

A name is FAMILY:NAME=WEIGHTS, where FAMILY is a line below, NAME its own name of an architecture or a local path, and
WEIGHTS a file, "random", or left out for the published ones. FAMILY may be left out where the rest says it.
"""

from __future__ import annotations

import difflib
import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from features.encoders.encoder import Encoder, EncoderName, EncoderOptions
from features.errors import HeedError

if TYPE_CHECKING:
    from types import ModuleType

ENCODERS = {
    "timm": "features.encoders.timm_image",
    "clip": "features.encoders.clip_image",
    "torchvision": "features.encoders.torchvision_video",
    "slowfast": "features.encoders.slowfast",
    "transformers": "features.encoders.transformers_vision",
    "scenes": "features.encoders.scenes_objects",
}
"""Family -> module with ``load(name: EncoderName, options: EncoderOptions) -> Encoder`` and ``knows(name) -> bool``."""

CONFIG_FAMILIES = {"clip": "clip", "clip_vision_model": "clip"}
"""``model_type`` in a folder's config.json -> family; others are transformers', and timm's says ``architecture``."""


def load_encoder(name: str, options: EncoderOptions | None = None) -> Encoder:
    """Load the encoder called ``name``.

    Raises `HeedError` with the nearest name if there is none, and where its package or its weights cannot be had.
    """
    parsed = parse_name(name)
    encoder: Encoder = _module(parsed.family).load(parsed, options or EncoderOptions())
    return encoder


def parse_name(text: str) -> EncoderName:
    """Take FAMILY:NAME=WEIGHTS apart; `HeedError` where no family knows the name."""
    family, colon, rest = text.partition(":")
    if not colon or family not in ENCODERS:
        if colon and not Path(text).exists() and "/" not in family:
            near = difflib.get_close_matches(family, ENCODERS, 1)
            hint = f" Did you mean {near[0]}:{rest}?" if near else ""
            raise HeedError(f"There is no family of encoders {family!r}; heed has {', '.join(ENCODERS)}.{hint}")
        family, rest = "", text
    if Path(rest).exists():
        return EncoderName(family or _family_of_path(Path(rest)), "", rest)
    name, _, weights = rest.partition("=")
    if Path(name).is_dir():
        return EncoderName(family or _family_of_path(Path(name)), name, weights)
    if "/" in name and name[0] in "/.~":
        raise HeedError(f"There is no encoder at {name}: the path does not exist.")
    return EncoderName(family or _family_of_name(name), name, weights)


def _family_of_path(path: Path) -> str:
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        return "timm" if "architecture" in config else CONFIG_FAMILIES.get(config["model_type"], "transformers")
    except (OSError, ValueError, KeyError, TypeError):
        raise HeedError(f"{path} does not say what encoder it is (a folder with a config.json does); name the family "
                        f"before it, as in clip:{path}. heed has {', '.join(ENCODERS)}.") from None


def _family_of_name(name: str) -> str:
    for family in sorted(ENCODERS, key=lambda family: family == "timm"):  # importing timm takes longest
        if _module(family).knows(name):
            return family
    near = difflib.get_close_matches(name, _module("timm").names(), 1)
    hint = f" Did you mean timm:{near[0]}?" if near else ""
    raise HeedError(f"No family of encoders ({', '.join(ENCODERS)}) knows {name!r}.{hint}")


def _module(family: str) -> ModuleType:
    try:
        return import_module(ENCODERS[family])
    except (ImportError, RuntimeError) as error:  # torchvision beside another build of torch raises a RuntimeError
        raise HeedError(f"The encoders {family!r} cannot be used here ({error}): pip install 'heed[encoders]', and "
                        "torch and torchvision together in the versions of constraints.txt.") from None


__all__ = ["ENCODERS", "Encoder", "EncoderName", "EncoderOptions", "load_encoder", "parse_name"]
