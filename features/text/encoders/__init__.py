"""Encoders of texts by name. To add one: a file in this folder and a line here.

A name is FAMILY:FOLDER, FAMILY:NAME of a published model, or either with =random; see `features.encoders`.
"""

from __future__ import annotations

import difflib
from importlib import import_module

from features.encoders.encoder import EncoderName, EncoderOptions
from features.errors import HeedError
from features.text.encoders.encoder import TextEncoder

TEXT_ENCODERS = {
    "clip": "features.text.encoders.clip_text",
    "bert": "features.text.encoders.bert",
}
"""Family -> module with a ``load(name: EncoderName, options: EncoderOptions) -> TextEncoder``."""


def load_text_encoder(name: str, options: EncoderOptions | None = None) -> TextEncoder:
    """Load the text encoder called ``name``; raises `HeedError` where there is none or its weights cannot be had."""
    family, colon, rest = name.partition(":")
    if not colon or family not in TEXT_ENCODERS:
        near = difflib.get_close_matches(family, TEXT_ENCODERS, 1) or list(TEXT_ENCODERS)[:1]
        raise HeedError(f"There is no text encoder {name!r}: it is given as FAMILY:FOLDER, FAMILY one of "
                        f"{', '.join(TEXT_ENCODERS)}, for example {near[0]}:{rest or 'FOLDER'}.")
    place, _, weights = rest.partition("=")
    encoder: TextEncoder = import_module(TEXT_ENCODERS[family]).load(
        EncoderName(family, place, weights), options or EncoderOptions())
    return encoder


__all__ = ["TEXT_ENCODERS", "TextEncoder", "load_text_encoder"]
