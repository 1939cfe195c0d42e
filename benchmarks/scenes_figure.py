"""The README's picture of the scenes dataset: python -m benchmarks.scenes_figure

Writes docs/scenes.png: five scenes with a caption each; a phrase and the boxes it is linked to share a colour.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from pipeline.scenes import SceneCaption, captions, render, scene

SIZE, GAP, TEXT, LINE = 320, 12, 17, 23
SHOWN = ((0, 92, 3), (0, 44, 2), (0, 88, 2), (0, 53, 1), (0, 61, 0))
"""(seed, index, caption) of each scene."""
INKS = ("#c2185b", "#1565c0", "#2e7d32", "#e65100")
GREY = "#333333"


def panel(seed: int, index: int, which: int, font: ImageFont.FreeTypeFont) -> Image.Image:
    """One scene with its boxes, twice as sharp as the page, over its caption."""
    of = scene(seed, index)
    caption = captions(of)[which]
    picture = Image.new("RGB", (SIZE, SIZE + 7 * LINE), "white")
    picture.paste(Image.fromarray(render(of, SIZE)))
    draw = ImageDraw.Draw(picture)
    boxes = of.boxes(SIZE)
    for ink, phrase in zip(INKS, caption.phrases, strict=False):
        for x1, y1, x2, y2 in np.rint(boxes[list(phrase.objects)]).astype(int).tolist():
            draw.rounded_rectangle((x1 - 4, y1 - 4, x2 + 3, y2 + 3), 4, outline="white", width=4)
            draw.rounded_rectangle((x1 - 3, y1 - 3, x2 + 2, y2 + 2), 4, outline=ink, width=2)
    write(draw, caption, font)
    return picture


def write(draw: ImageDraw.ImageDraw, caption: SceneCaption, font: ImageFont.FreeTypeFont) -> None:
    """The caption's words below the picture, in the ink of their phrase."""
    x, y, at = 0.0, SIZE + 8.0, 0
    for word in caption.text.split(" "):
        ink = next((ink for ink, p in zip(INKS, caption.phrases, strict=False) if p.start <= at < p.end), GREY)
        if x + draw.textlength(word, font) > SIZE:
            x, y = 0.0, y + LINE
        draw.text((x, y), word, ink, font)
        x += draw.textlength(word + " ", font)
        at += len(word) + 1


def main() -> None:
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), TEXT)
    panels = [panel(*shown, font) for shown in SHOWN]
    strip = Image.new("RGB", (len(panels) * (SIZE + GAP) - GAP, panels[0].height), "white")
    for i, picture in enumerate(panels):
        strip.paste(picture, (i * (SIZE + GAP), 0))
    content = np.asarray(strip.convert("L")).min(axis=1) < 255
    strip = strip.crop((0, 0, strip.width, int(np.nonzero(content)[0].max()) + 1))
    out = Path(__file__).parents[1] / "docs" / "scenes.png"
    strip.save(out, optimize=True)
    print(f"{out}: {strip.width} x {strip.height}, {out.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
