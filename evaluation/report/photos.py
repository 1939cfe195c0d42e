"""Photos for the page: found by key, made small, given as data URIs."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from evaluation.run_folder import RunFolder, settings
from features.errors import HeedError
from features.images import decode_image

SUFFIXES = ("", ".jpg", ".jpeg", ".png", ".webp")
"""Tried behind a key, which may be an id without one."""


def photo_folder(runs: Iterable[RunFolder], key: str) -> Path | None:
    """Find the folder that holds the photo ``key`` from the paths in the runs' configurations; None where none does.

    Tried for every path set there: the path itself, "images" below it, "images" beside it.
    """
    for run in runs:
        texts = [value for _, value in settings(run.config) if isinstance(value, str) and len(value) < 4096]
        for path in [Path(text) for text in texts if "/" in text or "\\" in text]:
            for folder in (path, path / "images", path.parent / "images"):
                if find_photo(folder, key):
                    return folder
    return None


def find_photo(folder: Path, key: str) -> Path | None:
    """Return the file of ``key`` in ``folder``, never one outside it; None where there is none."""
    for suffix in SUFFIXES:
        path = folder / (key + suffix)
        try:
            if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
                return path
        except (OSError, ValueError):  # a key that no file system could hold
            return None
    return None


def load_photo(folder: Path | None, key: str) -> np.ndarray | None:
    """Return the photo as upright (height, width, 3) uint8 RGB; None where it is missing or damaged."""
    path = find_photo(folder, key) if folder else None
    if path is None:
        return None
    try:
        return decode_image(path.read_bytes())
    except (HeedError, OSError):
        return None


def data_uri(pixels: np.ndarray, longest: int, quality: int = 80) -> str:
    """Return the photo as a JPEG data URI, its longer side at most ``longest`` pixels."""
    image = Image.fromarray(pixels)
    image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    options: dict[str, Any] = {"quality": quality, "optimize": True, "progressive": True}
    image.save(buffer, "JPEG", **options)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
