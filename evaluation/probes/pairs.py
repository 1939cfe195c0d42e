"""What a subject is probed on: a caption, its image's regions, which phrase names which, what holds between regions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from evaluation.probes.merging import Merged, merge, regions_of
from features.boxes import iou
from features.errors import HeedError
from features.regions import Regions
from pipeline.annotations import Caption, Relations
from pipeline.datasets.coco_captions import split_of
from pipeline.store import Store

_ONE_BOX = 0.95
"""IoU from which two annotations of an image (a phrase's box and an object's) are one box."""


@dataclass(frozen=True)
class Link:
    """A phrase of the caption and the regions that it names."""

    start: int
    """First character in the caption."""
    end: int
    """One past the last."""
    kind: str
    """Its type, as the dataset says it; "" where it says none."""
    regions: tuple[int, ...]
    """Numbers of the pair's regions, at least one."""


@dataclass(frozen=True)
class Pair:
    """One caption with its image's regions. Region i is image position i of a subject's reading."""

    id: str
    key: str
    """The image's key: pairs are split, and intervals resampled, by it."""
    split: str
    """"train", "val" or "test" of the probes' own split, which follows from the key."""
    caption: str
    boxes: np.ndarray
    """(n, 4) float32 xyxy pixels."""
    width: int
    height: int
    annotated: np.ndarray
    """(n,) bool: regions that an annotated box stands for; the others fill up."""
    links: tuple[Link, ...] = ()
    relations: tuple[tuple[int, str, int], ...] = ()
    """(region, predicate, region)."""
    names: tuple[str, ...] = ()
    """What each region is, where the dataset says so; "" where it does not."""


@dataclass(frozen=True)
class Pairs:
    """Pairs and where their features are; features are read when they are asked for."""

    pairs: tuple[Pair, ...]
    merged: dict[str, Merged] = field(repr=False)
    """Image's key -> which rows of the stores it is shown by."""
    store: Store = field(repr=False)
    given: Store | None = field(default=None, repr=False)
    left_out: int = 0
    """Annotated boxes that no region stands for."""

    def __len__(self) -> int:
        return len(self.pairs)

    def regions(self, key: str) -> Regions:
        """An image's regions with their features."""
        return regions_of(self.merged[key], _row(self.given, key), _needed(self.store, key))

    def digest(self) -> str:
        """SHA-256 of all that the pairs say and of their features' checksums: what readings were made from."""
        said = hashlib.sha256(self.store.fingerprint().encode())
        said.update(self.given.fingerprint().encode() if self.given else b"")
        for pair in self.pairs:
            said.update(json.dumps([pair.id, pair.key, pair.split, pair.caption, pair.relations,
                                    [[link.start, link.end, link.kind, link.regions] for link in pair.links]]).encode())
            said.update(np.ascontiguousarray(pair.boxes).tobytes())
        return said.hexdigest()


def make_pairs(captions: Sequence[Caption], objects: Iterable[Relations], store: Store, given: Store | None = None,
               most: int = 36, threshold: float = 0.5, images: int | None = None, captions_each: int = 1,
               holdout: float = 0.4, seed: int = 0) -> Pairs:
    """Join captions and annotated boxes with the regions of a store, by the rule of `evaluation.probes.merging`.

    ``images`` images are drawn, the same for one seed whatever the order of the files; of each the first
    ``captions_each`` captions are taken. ``holdout``: half of it is the share of images for test, half that for
    validation. Images that are not in the store, or have no region, are left out. Raises `HeedError` where none is
    left.
    """
    by_key: dict[str, list[Caption]] = {}
    for caption in captions:
        by_key.setdefault(caption.key, []).append(caption)
    known = {image.key: image for image in objects}
    pairs: list[Pair] = []
    merged: dict[str, Merged] = {}
    lost = 0
    for key in sorted(by_key, key=lambda key: hashlib.sha256(f"{seed} {key}".encode()).digest()):
        if images is not None and len(merged) >= images:
            break
        detected, boxes_given = _row(store, key), _row(given, key)
        if detected is None or (given is not None and boxes_given is None):
            continue
        about = known.get(key) or Relations(key, np.zeros((0, 4), np.float32), (), ())
        annotated, names, placed = _annotated(by_key[key], about)
        shown = merge(annotated, None if boxes_given is None else boxes_given.boxes, detected.boxes, most, threshold)
        if not len(shown.boxes):
            continue
        merged[key] = shown
        lost += int((shown.places < 0).sum())
        named = ["" for _ in shown.boxes]
        for place, name in zip(shown.places.tolist(), names, strict=True):
            if place >= 0 and not named[place]:
                named[place] = name
        marks = np.isin(np.arange(len(shown.boxes)), shown.places)
        whole = Pair("", key, split_of(key, holdout), "", shown.boxes, detected.width, detected.height, marks, (),
                     _relations(about, shown.places), tuple(named))
        pairs += [replace(whole, id=caption.id, caption=caption.text, links=_links(caption, placed, shown.places))
                  for caption in by_key[key][:captions_each]]
    if not pairs:
        raise HeedError(f"None of the {len(by_key):,} captioned images is in {store.path}: are its keys, for example "
                        f"{next(iter(store.keys()), 'none')!r}, those of the captions, "
                        f"{next(iter(by_key), 'none')!r}?")
    return Pairs(tuple(pairs), merged, store, given, lost)


def mismatched(pairs: Pairs, seed: int = 0) -> Pairs:
    """Each pair's image with the caption of another image of its split; links go, relations stay.

    Raises `HeedError` where a split has captions of one image only.
    """
    rng = np.random.default_rng(seed)
    found = list(pairs.pairs)
    for split in ("train", "val", "test"):
        here = [i for i, pair in enumerate(pairs.pairs) if pair.split == split]
        keys = sorted({pairs.pairs[i].key for i in here})
        if not here:
            continue
        if len(keys) < 2:
            raise HeedError(f"The {split} split has one image, so no caption of another: take more images.")
        order = rng.permutation(len(keys))
        other = {keys[order[i]]: keys[order[(i + 1) % len(keys)]] for i in range(len(keys))}
        texts: dict[str, list[Pair]] = {}
        for i in here:
            texts.setdefault(pairs.pairs[i].key, []).append(pairs.pairs[i])
        for i in here:
            pair = pairs.pairs[i]
            theirs = texts[other[pair.key]]
            found[i] = replace(pair, caption=theirs[i % len(theirs)].caption, links=())
    return replace(pairs, pairs=tuple(found))


def _annotated(captions: Sequence[Caption], about: Relations) -> tuple[np.ndarray, list[str], dict[bytes, int]]:
    """An image's annotated boxes, each once, objects' before phrases'; their names; a phrase's box -> its number."""
    boxes = list(np.asarray(about.boxes, np.float32).reshape(-1, 4))
    names = list(about.names)
    placed: dict[bytes, int] = {}
    for caption in captions:
        for phrase in caption.phrases:
            for box in np.asarray(phrase.boxes, np.float32).reshape(-1, 4):
                if box.tobytes() in placed:
                    continue
                overlap = iou(np.stack(boxes), box[None])[:, 0] if boxes else np.zeros(0)
                if len(overlap) and overlap.max() >= _ONE_BOX:
                    placed[box.tobytes()] = int(overlap.argmax())
                else:
                    placed[box.tobytes()] = len(boxes)
                    boxes.append(box)
                    names.append(phrase.kind)
    return np.array(boxes, np.float32).reshape(-1, 4), names, placed


def _links(caption: Caption, placed: dict[bytes, int], places: np.ndarray) -> tuple[Link, ...]:
    found = []
    for phrase in caption.phrases:
        numbers = [placed[box.tobytes()] for box in np.asarray(phrase.boxes, np.float32).reshape(-1, 4)]
        regions = sorted({int(places[number]) for number in numbers} - {-1})
        if regions:
            found.append(Link(phrase.start, phrase.end, phrase.kind, tuple(regions)))
    return tuple(found)


def _relations(about: Relations, places: np.ndarray) -> tuple[tuple[int, str, int], ...]:
    triples = ((int(places[first]), predicate, int(places[second])) for first, predicate, second in about.triples)
    return tuple(dict.fromkeys(t for t in triples if t[0] >= 0 and t[2] >= 0 and t[0] != t[2]))


def _row(store: Store | None, key: str) -> Regions | None:
    row = store.find(key) if store is not None else None
    return None if store is None or row is None else store.regions(row)


def _needed(store: Store, key: str) -> Regions:
    found = _row(store, key)
    if found is None:
        raise HeedError(f"{store.path} has no row {key!r} any more.")
    return found


def open_store(path: Path | str) -> Store:
    """A store of regions; `HeedError` for one of another kind."""
    store = Store.open(str(path))
    if store.identity.kind != "regions":
        raise HeedError(f"{path} holds {store.identity.kind}, not regions: extract them with heed extract regions.")
    return store
