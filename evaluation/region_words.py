"""The attention study's picture of SCAN: one region, the captions retrieved for its image, the words that look at it.

Its figures (Cao et al., COLING 2022, as their repository's README shows them) have a photo with one region boxed and
the five best captions with a tick or a cross; about five words with the highest attention for that region are bold.
heed makes them from a predictions file and its truth: attention is known for an image's own captions, so words of
wrong captions are not marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.predictions import CaptionAttention, MatchingPredictions
from features.errors import HeedError
from pipeline.annotations import Caption

WORDS = 5
RETRIEVED = 5


@dataclass(frozen=True)
class RetrievedCaption:
    """One of the best captions for an image."""

    text: str
    score: float
    right: bool
    """Whether it is the image's own."""
    spans: tuple[tuple[int, int], ...]
    """First character and one past the last of the words marked; none in a wrong caption."""


@dataclass(frozen=True)
class RegionWords:
    """A region and what is said of it."""

    image: str
    """Key."""
    box: np.ndarray
    """(4,) float32 xyxy pixels."""
    captions: tuple[RetrievedCaption, ...]
    """Best first."""
    words: tuple[tuple[str, float], ...]
    """The words of the image's own captions that attend to the region most, each with its largest weight."""


def region_words(
    read: MatchingPredictions, truth: Sequence[Caption], image: str, region: int, retrieved: int = RETRIEVED,
    words: int = WORDS,
) -> RegionWords:
    """Find the best captions for an image, and the words whose attention on its region is highest.

    Marked are the ``words`` words with the highest weight on the region over the image's own captions among those
    retrieved. Raises `HeedError` where the predictions have no such image, region or attention.
    """
    if image not in read.images:
        raise HeedError(f"{read.path} scores no image {image!r}")
    texts = {caption.id: caption.text for caption in truth}
    scores = read.scores[:, read.images.index(image)]
    best = np.argsort(-scores, kind="stable")[:retrieved].tolist()
    seen = {row: found for row, own in enumerate(read.own) if own == image and read.captions[row] in texts
            and (found := read.attention(row)) is not None}
    if not seen:
        raise HeedError(f"{read.path} has no attention of captions of {image!r}")
    boxes = next(iter(seen.values())).boxes
    if not 0 <= region < len(boxes):
        raise HeedError(f"{image!r} has {len(boxes)} regions, numbered from 0; there is no {region}")
    everywhere = _weights(seen, list(seen), region)
    marked: dict[int, list[tuple[int, int]]] = {}
    for _, row, token in _weights(seen, [row for row in best if row in seen], region)[:words]:
        first, last = seen[row].spans[token].tolist()
        marked.setdefault(row, []).append((first, last))
    top: dict[str, float] = {}
    for weight, row, token in everywhere:
        top.setdefault(seen[row].tokens[token], weight)
    listed = tuple(RetrievedCaption(texts.get(read.captions[row], read.captions[row]), float(scores[row]),
                                    read.own[row] == image, tuple(sorted(marked.get(row, [])))) for row in best)
    return RegionWords(image, boxes[region], listed, tuple(list(top.items())[:words]))


def most_attended(read: MatchingPredictions, image: str) -> int:
    """The region of an image that its own captions' words give the most attention in all; 0 where there are none."""
    total = 0.0
    for row, own in enumerate(read.own):
        if own == image and (seen := read.attention(row)) is not None:
            total = total + seen.weights[seen.spans[:, 0] >= 0].sum(0)
    return int(np.argmax(total))


def _weights(seen: dict[int, CaptionAttention], rows: Sequence[int], region: int) -> list[tuple[float, int, int]]:
    """(weight, row, token) of every word's attention on the region, the highest first; special tokens have none."""
    found = [(float(seen[row].weights[token, region]), int(row), token) for row in rows
             for token in range(len(seen[row].tokens)) if seen[row].spans[token][0] >= 0]
    return sorted(found, key=lambda one: (-one[0], one[1], one[2]))


def draw_region_words(found: RegionWords, photo: Path, out: Path) -> None:
    """Draw the photo with the region boxed, and beside it the captions, marked words bold."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea, VPacker
    from matplotlib.patches import Rectangle
    from PIL import Image

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3), dpi=130, width_ratios=(1, 3))
    left.imshow(np.asarray(Image.open(photo).convert("RGB")))
    x1, y1, x2, y2 = found.box.tolist()
    left.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, edgecolor="#ee3333", linewidth=2))
    left.axis("off")
    right.axis("off")
    lines: list[Any] = []
    for caption in found.captions:
        parts: list[Any] = [TextArea("✓" if caption.right else "✗",
                          textprops={"color": "#228833" if caption.right else "#cc3311", "family": "DejaVu Sans"})]
        parts += [TextArea(text, textprops={"fontweight": "bold" if bold else "normal", "fontsize": 9})
                  for text, bold in pieces(caption)]
        lines.append(HPacker(children=parts, align="baseline", pad=0, sep=3))
    box = VPacker(children=lines, align="left", pad=0, sep=7)
    right.add_artist(AnchoredOffsetbox("center left", child=box, frameon=False, pad=0))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, bbox_inches="tight", metadata={"Software": ""})
    plt.close(figure)


def pieces(caption: RetrievedCaption) -> list[tuple[str, bool]]:
    """A caption cut where words are marked: (text without the spaces around it, whether it is marked)."""
    cut, end = [], 0
    for first, last in caption.spans:
        cut += [(caption.text[end:first].strip(), False), (caption.text[first:last], True)]
        end = last
    return [(text, bold) for text, bold in [*cut, (caption.text[end:].strip(), False)] if text]
