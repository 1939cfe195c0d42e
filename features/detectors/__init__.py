"""Detectors by name. To add one: a file in this folder and a line here."""

from __future__ import annotations

import difflib
from importlib import import_module

from features.detectors.detector import Detector, DetectorOptions
from features.errors import HeedError

DETECTORS = {
    "torchvision": "features.detectors.torchvision_frcnn",
    "scenes": "features.detectors.scenes_frcnn",
}
"""Name on the command line -> module with a ``load(options: DetectorOptions) -> Detector``."""


def load_detector(name: str, options: DetectorOptions) -> Detector:
    """Load the detector registered under ``name``; raise `HeedError` with the nearest name if there is none."""
    if name not in DETECTORS:
        near = difflib.get_close_matches(name, DETECTORS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise HeedError(f"There is no detector {name!r}; heed has {', '.join(DETECTORS)}.{hint}")
    return import_module(DETECTORS[name]).load(options)


__all__ = ["DETECTORS", "Detector", "DetectorOptions", "load_detector"]
