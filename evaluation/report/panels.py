"""Attention drawn onto a photo, as pixels: the look of the page, fast enough for a hundred panels."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

ATTEND = np.array([255, 176, 0], np.float32)
DASH = 6
"""Pixels of a dash of a true box."""


def background(sample: dict[str, Any], photo: np.ndarray | None, width: int) -> np.ndarray:
    """Return the photo dimmed, dark grey where there is none: (height, width, 3) float32, in its proportions."""
    height = max(1, round(sample["height"] * width / sample["width"]))
    if photo is None:
        return np.full((height, width, 3), 48, np.float32)
    small = Image.fromarray(photo).resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(small).astype(np.float32) * 0.7


def panel(sample: dict[str, Any], run: dict[str, Any], word: int, behind: np.ndarray) -> np.ndarray:
    """Draw one word's attention and its phrase's true boxes onto a copy of ``behind``; return uint8."""
    pixels, scale = behind.copy(), behind.shape[1] / sample["width"]
    weights = run["weights"][word] if "weights" in run else None
    if weights:
        _regions(pixels, np.array(sample["boxes"][run["boxes"]]) * scale, np.array(weights))
    for phrase in sample["phrases"]:
        if word in phrase["words"]:
            for box in np.array(phrase["boxes"]) * scale:
                _dashed(pixels, box)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _regions(pixels: np.ndarray, boxes: np.ndarray, weights: np.ndarray) -> None:
    """Blend the boxes in, the weakest first; as on the page, full strength needs four times an even share."""
    full = max(float(weights.max()), min(1.0, 4 / len(weights)), 1e-9)
    for i in np.argsort(weights, kind="stable"):
        strength = float(weights[i]) / full
        if strength > 0.07:
            inside = _inside(pixels, boxes[i])
            inside += (ATTEND - inside) * 0.5 * strength
            for side in _sides(inside, round(1 + 2.5 * strength)):
                side += (ATTEND - side) * min(1.0, 0.15 + strength)


def _dashed(pixels: np.ndarray, box: np.ndarray) -> None:
    """Draw a box in dashes of white and black, seen on any photo."""
    inside = _inside(pixels, box)
    for side in _sides(inside, 2):
        rows, columns = np.indices(side.shape[:2])
        side[:] = np.where((rows + columns) // DASH % 2, 20.0, 255.0)[..., None]


def _inside(pixels: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Return the view of a box's pixels, at least one."""
    height, width = pixels.shape[:2]
    x1, y1 = (int(np.clip(round(float(v)), 0, limit - 1)) for v, limit in ((box[0], width), (box[1], height)))
    return pixels[y1:max(y1 + 1, round(float(box[3]))), x1:max(x1 + 1, round(float(box[2])))]


def _sides(inside: np.ndarray, thick: int) -> list[np.ndarray]:
    """Return views of a box's four sides, not overlapping."""
    middle = inside[thick:max(thick, len(inside) - thick)]
    lower = inside[max(thick, len(inside) - thick):]
    return [inside[:thick], lower, middle[:, :thick], middle[:, max(thick, inside.shape[1] - thick):]]
