"""Studies whose states and attention are written by hand: what a probe has to find in them is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from evaluation.probes.cache import Cache, LayerInfo, describe, part_path
from evaluation.probes.options import ProbeOptions
from evaluation.probes.pairs import Link, Pair, Pairs
from evaluation.probes.study import CLS, REGION, SEP, WORD, Study
from pipeline.atomic import write_json
from pipeline.datasets.coco_captions import split_of

BLOCKS = ("text->text", "text->image", "image->text", "image->image")


def pair(number: int, regions: int = 4, links: Sequence[tuple[int, tuple[int, ...], str]] = (),
         relations: Sequence[tuple[int, str, int]] = (), words: int = 6) -> Pair:
    """A pair of "w0 w1 …", of which word ``links[k][0]`` names the regions ``links[k][1]``; all regions annotated."""
    caption = " ".join(f"w{word}" for word in range(words))
    rng = np.random.default_rng(number)
    corner = rng.uniform(0, 50, (regions, 2)).astype(np.float32)
    key = f"image {number}"
    return Pair(f"{number}", key, split_of(key, 0.4), caption, np.concatenate([corner, corner + 20], 1), 100, 100,
                np.ones(regions, bool), tuple(Link(3 * word, 3 * word + 2, kind, named) for word, named, kind in links),
                tuple(relations), ("",) * regions)


def study(folder: Path, pairs: Sequence[Pair], states: Callable[[Pair, str, int], np.ndarray] | None = None,
          weights: Callable[[Pair, np.ndarray], np.ndarray] | None = None, layers: int = 2, heads: int = 3,
          dim: int = 8, joint: bool = True, batch: int = 5, **options: object) -> Study:
    """A study of two-sided layers "layer 1", ….

    ``weights(pair, uniform)`` changes attention (layers, heads, n, n) that is uniform, n = [CLS], words, [SEP],
    regions; rows are then made to sum to 1. ``states(pair, side, layer)`` gives (positions, dim); by default noise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, first in enumerate(range(0, len(pairs), batch)):
        here = list(pairs[first:first + batch])
        texts = [len(p.caption.split()) + 2 for p in here]
        longest, most = max(texts), max(len(p.boxes) for p in here)
        arrays: dict[str, np.ndarray] = {
            "pairs": np.arange(first, first + len(here)), "words": np.zeros((len(here), longest), np.int64),
            "spans": np.full((len(here), longest, 2), -1, np.int32),
            "text_kinds": np.zeros((len(here), longest), np.uint8),
            "image_kinds": np.zeros((len(here), most), np.uint8)}
        for layer in range(layers):
            for side, length in (("text", longest), ("image", most)):
                arrays[f"layer {layer + 1}/{side}"] = np.zeros((len(here), length, dim), np.float32)
                for other, keys in (("text", longest), ("image", most)):
                    shape = len(here), heads, length, keys
                    arrays[f"layer {layer + 1}/{side}->{other}"] = np.zeros(shape, np.float32)
        for row, p in enumerate(here):
            text, image = texts[row], len(p.boxes)
            arrays["text_kinds"][row, :text] = [CLS, *[WORD] * (text - 2), SEP]
            arrays["image_kinds"][row, :image] = REGION
            arrays["spans"][row, 1:text - 1] = [(3 * word, 3 * word + 2) for word in range(text - 2)]
            rng = np.random.default_rng([first + row, 7])
            attention = np.full((layers, heads, text + image, text + image), 1.0)
            if not joint:
                attention[:, :, :text, :text] *= image / text
            if weights is not None:
                attention = weights(p, attention)
            for layer in range(layers):
                for side, start, length in (("text", 0, text), ("image", text, image)):
                    given = states(p, side, layer) if states else rng.normal(size=(length, dim))
                    arrays[f"layer {layer + 1}/{side}"][row, :length] = given
                    rows = attention[layer, :, start:start + length]
                    if joint:
                        rows = rows / rows.sum(2, keepdims=True)
                    for other, begin, keys in (("text", 0, text), ("image", text, image)):
                        block = rows[:, :, begin:begin + keys]
                        arrays[f"layer {layer + 1}/{side}->{other}"][row, :, :length, :keys] = (
                            block if joint else block / block.sum(2, keepdims=True))
        with part_path(folder, number).open("wb") as file:
            np.savez(file, **arrays)
    infos = tuple(LayerInfo(f"layer {layer + 1}", dim, dim, heads, BLOCKS, joint) for layer in range(layers))
    write_json(folder / "cache.json", describe(infos, -(-len(pairs) // batch), {}))
    (folder / "scratch").mkdir(exist_ok=True)
    return Study("subject", Cache.open(folder), Pairs(tuple(pairs), {}, None),
                 ProbeOptions(**{"resamples": 50, **options}), folder / "scratch")
