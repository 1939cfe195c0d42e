"""Detectors by name. To add one: a file in this folder and a line here."""

from __future__ import annotations

import difflib
from importlib import import_module

from features.detectors.detector import Detector, DetectorOptions
from features.errors import HeedError

DETECTORS = {
    "torchvision": "features.detectors.torchvision_frcnn",
    "scenes": "features.detectors.scenes_frcnn",
    "bottom-up": "features.detectors.bottom_up",
    "detectron2": "features.detectors.detectron2_rcnn",
}
"""Name on the command line -> module with a ``load(options: DetectorOptions) -> Detector``."""


def load_detector(name: str, options: DetectorOptions) -> Detector:
    """Load the detector registered under ``name``.

    Raises `HeedError` with the nearest name if there is none, and where the packages it needs do not import.
    """
    if name not in DETECTORS:
        near = difflib.get_close_matches(name, DETECTORS, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise HeedError(f"There is no detector {name!r}; heed has {', '.join(DETECTORS)}.{hint}")
    try:
        module = import_module(DETECTORS[name])
    except (ImportError, RuntimeError) as error:  # torchvision beside another build of torch raises a RuntimeError
        raise HeedError(f"The detector {name!r} cannot be used here ({error}): install torch and torchvision together, "
                        "in the versions of constraints.txt.") from None
    detector: Detector = module.load(options)
    return detector


__all__ = ["DETECTORS", "Detector", "DetectorOptions", "load_detector"]
