"""Encoders of sound by name. To add one: a file in this folder and a line here.

``logmel:64``, ``logmel:128-htk``; ``transformers:FOLDER``, ``transformers:OWNER/NAME``, ``transformers:FOLDER=random``.
"""

from __future__ import annotations

import difflib
from importlib import import_module

from features.encoders.encoder import EncoderName, EncoderOptions
from features.errors import HeedError
from features.sound.encoder import SoundEncoder

SOUND_ENCODERS = {
    "logmel": "features.sound.log_mel",
    "transformers": "features.sound.transformers_sound",
}
"""Family -> module with a ``load(name: EncoderName, options: EncoderOptions) -> SoundEncoder``."""


def load_sound_encoder(name: str, options: EncoderOptions | None = None) -> SoundEncoder:
    """Load the sound encoder called ``name``; raises `HeedError` where there is none or its weights cannot be had."""
    family, _, rest = name.partition(":")
    if family not in SOUND_ENCODERS:
        near = difflib.get_close_matches(family, SOUND_ENCODERS, 1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise HeedError(f"There is no sound encoder {name!r}: it is given as logmel:MELS or transformers:FOLDER.{hint}")
    place, _, weights = rest.partition("=")
    encoder: SoundEncoder = import_module(SOUND_ENCODERS[family]).load(
        EncoderName(family, place, weights), options or EncoderOptions())
    return encoder


__all__ = ["SOUND_ENCODERS", "SoundEncoder", "load_sound_encoder"]
