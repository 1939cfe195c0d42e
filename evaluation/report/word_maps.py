"""The published figure of AttnGAN's attention: each refining stage's five most attended words, on the picture.

The rule is that of the released code (`build_super_images2`): of n words, with t = 2 / n, a word's confidence is the
sum of its map over the places where it is more than 2 t; the five most confident words are shown, each map set to zero
where it is not more than t, enlarged and smoothed (a Gaussian of 20 pixels), stretched to 0..1 and laid over the
picture of 256 pixels at 180 / 255. A label is the word's number and the word. A row is a stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation.attention_file import AttentionFile, StepAttention
from evaluation.generated import Generated
from evaluation.run_folder import attention_path
from features.errors import HeedError
from pipeline.atomic import atomic_write

TOP = 5
SIDE = 256
_SIGMA = 20.0
_OPACITY = 180 / 255
_LABEL = 32  # pixels of a row's labels
_GAP = 2


def most_attended(weights: np.ndarray, top: int = TOP) -> np.ndarray:
    """Numbers of the ``top`` most confident words of a stage's weights (places, words), most confident first.

    Ties go to the earlier word (in the published code, which reverses an ascending sort, mostly to the later one).
    """
    confident = np.where(weights > 4 / weights.shape[1], weights, 0).sum(0)
    return np.argsort(-confident, kind="stable")[:top]


def word_map(weights: np.ndarray, words: int) -> np.ndarray:
    """One word's weights (places,) of a square of places as a map (256, 256) in 0..1; all 0 where none is above 2 / n.

    Equal to the published ``pyramid_expand`` of scikit-image and its min-max normalisation.
    """
    from scipy.ndimage import gaussian_filter, zoom

    side = round(len(weights) ** 0.5)
    if side * side != len(weights):
        raise HeedError(f"attention over {len(weights)} places is no square of them")
    seen = np.where(weights > 2 / words, weights, 0).reshape(side, side).astype(np.float64)
    if side < SIDE:
        seen = zoom(seen, SIDE / side, order=1, mode="mirror", grid_mode=True)
        seen = gaussian_filter(seen, _SIGMA, mode="reflect")
    low, high = seen.min(), seen.max()
    return (seen - low) / (high - low) if high > low else np.zeros_like(seen)


def draw(pixels: np.ndarray, stages: Sequence[StepAttention], top: int = TOP) -> np.ndarray:
    """The figure (height, width, 3) uint8 of a picture (size, size, 3) uint8 and its refining stages' attention."""
    from PIL import Image, ImageDraw, ImageFont

    picture = np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float64)
    columns = 1 + max(min(top, len(stage.keys)) for stage in stages)
    size = (columns * (SIDE + _GAP) - _GAP, len(stages) * (SIDE + _LABEL))
    canvas = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(20)
    for row, stage in enumerate(stages):
        y = row * (SIDE + _LABEL)
        pen.text((4, y + 4), f"stage {stage.step}", fill="black", font=font)
        canvas.paste(Image.fromarray(picture.astype(np.uint8)), (0, y + _LABEL))
        for column, word in enumerate(most_attended(stage.weights, top), 1):
            x = column * (SIDE + _GAP)
            pen.text((x + 4, y + 4), f"{word}:{stage.keys.labels[word]}", fill="black", font=font)
            light = 255 * word_map(stage.weights[:, word], len(stage.keys))[..., None]
            laid = (1 - _OPACITY) * picture + _OPACITY * light
            canvas.paste(Image.fromarray(laid.astype(np.uint8)), (x, y + _LABEL))
    return np.asarray(canvas)


def write_word_maps(predictions: Path, folder: Path) -> list[Path]:
    """Draw every picture whose attention was kept; give the PNG files, named after the pictures.

    Raises `HeedError` where no attention was kept.
    """
    from PIL import Image

    generated = Generated.read(predictions)
    kept = AttentionFile.read(attention_path(predictions))
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for place, name in enumerate(generated.ids):
        if stages := kept.of(name):
            drawn.append(folder / generated.files[place].name)
            with atomic_write(drawn[-1]) as file:
                Image.fromarray(draw(generated.pixels(place), stages)).save(file, format="PNG")
    return drawn
