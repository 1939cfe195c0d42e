"""The study's figure of M4C: boxes of the words in an image as thick as the attention on them, the question's marked.

One panel a question: the image with the box of every word read in it, the three most attended in colour with their
rank; below it the question, a word's background as strong as the attention on it, then the answer and what people said.
The attention is that of the decoder's steps before </s> (`evaluation.text_vqa.DECODER`), averaged; thickness and
background are relative to the most attended word of either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from evaluation.attention_file import StepAttention
from evaluation.metrics.answers import text_vqa_accuracy
from evaluation.text_vqa import seen_words
from features.errors import HeedError
from features.images import decode_image
from pipeline.annotations import Question

WIDTH, LINE, MARGIN = 360, 24, 10
THICKEST, THINNEST = 9, 1
TOP = ("#c2185b", "#e65100", "#f9a825")
"""The three most attended words, the first of them first."""
GREY, INK, RIGHT, WRONG = "#8a8a8a", "#222222", "#2e7d32", "#c62828"
HIGHLIGHT = np.array([255, 214, 79])


@dataclass(frozen=True)
class Shown:
    """What a panel is drawn from."""

    question: Question
    answer: str
    steps: Sequence[StepAttention]
    """The steps before </s>, or all where there are none."""
    photo: Path

    @property
    def weights(self) -> np.ndarray:
        """(keys,) float64 mean attention on the keys of the first step, which all steps have first."""
        count = min(len(step.keys) for step in self.steps)
        found: np.ndarray = np.mean([step.weights.mean(0, dtype=np.float64)[:count] for step in self.steps], 0)
        return found


def draw(shown: Sequence[Shown], out: Path) -> None:
    """Write the panels side by side as a PNG; `HeedError` where there are none or a photo cannot be read."""
    if not shown:
        raise HeedError("There is no question to draw.")
    panels = [panel(one) for one in shown]
    sheet = Image.new("RGB", (len(panels) * (WIDTH + MARGIN) + MARGIN, max(p.height for p in panels) + 2 * MARGIN),
                      "white")
    for place, picture in enumerate(panels):
        sheet.paste(picture, (MARGIN + place * (WIDTH + MARGIN), MARGIN))
    sheet.save(out, "PNG", optimize=True)


def panel(shown: Shown) -> Image.Image:
    """One question's panel."""
    photo = Image.fromarray(decode_image(shown.photo.read_bytes()))
    height = round(WIDTH * photo.height / photo.width)
    picture = Image.new("RGB", (WIDTH, height + 8 * LINE), "white")
    picture.paste(photo.resize((WIDTH, height)))
    ink = ImageDraw.Draw(picture)
    _boxes(ink, shown, WIDTH / (shown.steps[0].width or photo.width))
    font = _font(16)
    y = _question(ink, shown, height + 10, font)
    right = text_vqa_accuracy(shown.answer, shown.question.answers) >= 0.5 if len(shown.question.answers) > 1 else False
    ink.text((0, y + 4), f"answer: {shown.answer}", RIGHT if right else WRONG, font)
    people = Counter(shown.question.answers).most_common(1)
    ink.text((0, y + 4 + LINE), f"people: {people[0][0] if people else 'not told'}", INK, font)
    return picture.crop((0, 0, WIDTH, y + 4 + 2 * LINE + 4))


def thickness(weights: np.ndarray) -> np.ndarray:
    """(n,) int line widths in pixels, `THINNEST` for no attention to `THICKEST` for the most of these."""
    most = weights.max(initial=0)
    return np.rint(THINNEST + (THICKEST - THINNEST) * (weights / most if most > 0 else weights)).astype(int)


def _boxes(ink: ImageDraw.ImageDraw, shown: Shown, scale: float) -> None:
    step = shown.steps[0]
    words = seen_words(step)
    weights = shown.weights[words]
    order = np.argsort(-weights, kind="stable")
    widths = thickness(weights)
    for rank, place in reversed(list(enumerate(order.tolist()))):  # the most attended on top
        x1, y1, x2, y2 = (step.keys.boxes[words[place]] * scale).round().tolist()
        colour = TOP[rank] if rank < len(TOP) else GREY
        out = int(widths[place])
        ink.rectangle((x1 - out, y1 - out, x2 + out, y2 + out), outline=colour, width=out)
        if rank < len(TOP):
            tag, font = f"{rank + 1}", _font(13)
            ink.rectangle((x1 - out, y1 - out - 16, x1 - out + 14, y1 - out), fill=colour)
            ink.text((x1 - out + 3, y1 - out - 16), tag, "white", font)


def _question(ink: ImageDraw.ImageDraw, shown: Shown, y: int, font: ImageFont.FreeTypeFont) -> int:
    """Write the question, its words marked; give the y behind it."""
    keys, weights = shown.steps[0].keys, shown.weights
    pieces = np.flatnonzero(keys.in_text)
    strongest = weights[pieces].max(initial=0)
    text, x = shown.question.text, 0.0
    for start, word in _words(text):
        inside = [weights[p] for p in pieces if start <= keys.spans[p, 0] < start + len(word)]
        share = max(inside, default=0.0) / strongest if strongest > 0 else 0.0
        length = ink.textlength(word, font)
        if x + length > WIDTH:
            x, y = 0.0, y + LINE
        fill = tuple(np.rint(255 + (HIGHLIGHT - 255) * share).astype(int).tolist())
        ink.rectangle((x - 1, y, x + length + 1, y + LINE - 4), fill=fill)
        ink.text((x, y), word, INK, font)
        x += length + ink.textlength(" ", font)
    return y + LINE


def _words(text: str) -> list[tuple[int, str]]:
    """(first character, word) of the words between spaces."""
    found, at = [], 0
    for word in text.split(" "):
        if word:
            found.append((at, word))
        at += len(word) + 1
    return found


def _font(size: int) -> ImageFont.FreeTypeFont:
    from matplotlib import font_manager

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
