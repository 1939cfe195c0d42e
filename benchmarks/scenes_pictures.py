"""The pictures of docs/scenes.md: python -m benchmarks.scenes_pictures

Writes docs/scenes-videos.png: a frame of each 2-second clip, the queries over their time, and the sound; and
docs/scenes-questions.png: questions about objects, and about signs, with the boxes one has to look at.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from pipeline.scenes import FLAVOURS, render
from pipeline.scenes.questions import questions
from pipeline.scenes.text_questions import text_questions
from pipeline.scenes.video import RATE, boxes_at, draw_frames, queries, soundtrack, video
from pipeline.scenes.video.relevance import relevance

DOCS = Path(__file__).parents[1] / "docs"
INKS = ("#c2185b", "#1565c0", "#2e7d32", "#e65100", "#6a1b9a", "#00838f", "#9e7700", "#5d4037", "#455a64")
GREY, PALE = "#333333", "#eef0f2"
VIDEOS, CELL, GAP, ROW, WAVE = ((0, 104), (0, 125)), 128, 4, 26, 44
"""(seed, index) of each video shown; pixels of a frame, between frames, of a query's line, of the sound."""
OBJECTS, SIGNS = ((0, 44), (0, 88), (0, 53)), ((0, 6), (0, 8), (0, 20))
PANEL, LINE = 400, 25


def font(points: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    family = font_manager.FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return ImageFont.truetype(font_manager.findfont(family), points)


def frame_boxes(draw: ImageDraw.ImageDraw, boxes: Sequence[Sequence[float]], ink: str) -> None:
    for x1, y1, x2, y2 in np.rint(np.array(boxes).reshape(-1, 4)).astype(int).tolist():
        draw.rounded_rectangle((x1 - 4, y1 - 4, x2 + 3, y2 + 3), 4, outline="white", width=4)
        draw.rounded_rectangle((x1 - 3, y1 - 3, x2 + 2, y2 + 2), 4, outline=ink, width=2)


def film(seed: int, index: int) -> Image.Image:
    """One video: frames in the middle of its clips, its queries with windows and saliency, its sound."""
    of = video(seed, index)
    asked = queries(of)
    clips = of.seconds // 2
    width = clips * (CELL + GAP) - GAP
    picture = Image.new("RGB", (width, CELL + 10 + ROW * len(asked) + WAVE + 6), "white")
    draw = ImageDraw.Draw(picture)
    scale = (width + GAP) / of.seconds
    frames = list(draw_frames(of, CELL, 4))
    for clip in range(clips):
        cell = Image.fromarray(frames[8 * clip + 4])
        boxes = boxes_at(of, 2 * clip + 1, CELL)
        for ink, query in zip(INKS, asked, strict=False):
            happening = [of.events[i] for i in query.events if of.events[i].start <= 2 * clip + 1 < of.events[i].end]
            named = [boxes[i] for e in happening for i in (e.actor, e.other) if i in boxes]
            frame_boxes(ImageDraw.Draw(cell), named, ink)
        picture.paste(cell, (clip * (CELL + GAP), 0))
    small = font(15)
    for line, (ink, query) in enumerate(zip(INKS, asked, strict=False)):
        y = CELL + 10 + ROW * line
        found = relevance(of, line, query.events)
        draw.rectangle((0, y + 1, width, y + ROW - 3), fill=PALE)
        for clip, scores in zip(found.clips, found.saliency, strict=True):
            light = 0.25 + 0.15 * float(np.mean(scores))
            shade = tuple(round(255 - (255 - int(ink[i:i + 2], 16)) * light * 0.55) for i in (1, 3, 5))
            draw.rectangle((clip * 2 * scale, y + 1, (clip + 1) * 2 * scale - GAP, y + ROW - 3), fill=shade)
        for i in query.events:
            start, end = of.events[i].start * scale, of.events[i].end * scale
            draw.rectangle((start, y + ROW - 7, end - GAP, y + ROW - 3), fill=ink)
        start, end = found.windows[0][0] * scale, found.windows[-1][1] * scale
        words, long = query.caption.text, draw.textlength(query.caption.text, small)
        x = end + 6 if end + 6 + long < width else start - 8 - long if start - 8 - long > 0 else start + 6
        draw.text((x, y + 2), words, ink, small)
    middle = picture.height - WAVE / 2
    pieces = np.abs(soundtrack(of).reshape(-1, RATE // 32).astype(float)).max(1) / 32768
    for i, loud in enumerate(pieces):
        x = i / 32 * scale
        draw.line((x, middle - loud * WAVE * 0.6 - 1, x, middle + loud * WAVE * 0.6 + 1), "#7d8890", 2)
    return picture


def panel(flavour: str, seed: int, index: int) -> Image.Image:
    """One scene over four of its questions; each with its answer, and its boxes in its ink."""
    of = FLAVOURS[flavour](seed, index)
    picture = Image.new("RGB", (PANEL, PANEL + 12 * LINE), "white")
    picture.paste(Image.fromarray(render(of, PANEL)))
    draw = ImageDraw.Draw(picture)
    boxes = of.boxes(PANEL)
    plain, bold, y = font(17), font(17, bold=True), PANEL + 8.0
    asked = text_questions(of) if flavour == "signs" else questions(of)[1::3]
    for ink, q in zip(INKS, asked, strict=False):
        seen = [boxes[i] for i in q.objects]
        if flavour == "signs":
            seen += [np.array(of.signs[i].box) * PANEL for i in q.signs]
        if len(seen) <= 2:
            frame_boxes(draw, seen, ink)
        x = 0.0
        for word in [*((word, ink, plain) for word in q.text.split()), *((w, GREY, bold) for w in q.answer.split())]:
            if x + draw.textlength(word[0], word[2]) > PANEL:
                x, y = 0.0, y + LINE
            draw.text((x, y), word[0], word[1], word[2])
            x += draw.textlength(word[0] + " ", word[2])
        y += LINE + 4
    return picture.crop((0, 0, PANEL, round(y)))


def beside(pictures: Sequence[Image.Image], gap: int) -> Image.Image:
    height = max(picture.height for picture in pictures)
    strip = Image.new("RGB", (sum(p.width + gap for p in pictures) - gap, height), "white")
    for i, picture in enumerate(pictures):
        strip.paste(picture, (i * (picture.width + gap), 0))
    return strip


def below(pictures: Sequence[Image.Image], gap: int) -> Image.Image:
    page = Image.new("RGB", (max(p.width for p in pictures), sum(p.height + gap for p in pictures) - gap), "white")
    y = 0
    for picture in pictures:
        page.paste(picture, (0, y))
        y += picture.height + gap
    return page


def save(picture: Image.Image, name: str) -> None:
    picture.save(DOCS / name, optimize=True)
    size = (DOCS / name).stat().st_size / 1024
    print(f"{DOCS / name}: {picture.width} x {picture.height}, {size:.0f} KiB")


def main() -> None:
    save(below([film(*which) for which in VIDEOS], 24), "scenes-videos.png")
    save(below([beside([panel("objects", *which) for which in OBJECTS], 20),
                beside([panel("signs", *which) for which in SIGNS], 20)], 20), "scenes-questions.png")


if __name__ == "__main__":
    main()
