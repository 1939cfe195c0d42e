"""Read Flickr30k Entities (Plummer et al. 2015): phrases of captions linked to boxes by chains.

    Sentences/1000092795.txt      a caption a line: [/EN#1/people Two young guys] with [/EN#2/bodyparts shaggy hair] …
    Annotations/1000092795.xml    boxes, each with the chains (<name>) that it shows
    train.txt, val.txt, test.txt  the images of each split, where the folder has them

An image's key is its number with .jpg. Chain 0 and the type notvisual mark what cannot be seen. Boxes are counted from
pixel 1, the last one in the box, as in VOC; here they are counted from 0 and end behind it.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from features.errors import HeedError
from pipeline.annotations import Caption, Phrase
from pipeline.datasets.coco_captions import split_of

TYPES = ("people", "clothing", "bodyparts", "animals", "vehicles", "instruments", "scene", "other", "notvisual")
"""The eight types of the annotation and the mark of what cannot be seen."""
_PHRASE = re.compile(r"\[/EN#(\d+)(/\S+) ([^\]]*)\]")


def recognises(path: Path) -> bool:
    """Whether this is a folder with Sentences and Annotations."""
    return (path / "Sentences").is_dir() and (path / "Annotations").is_dir()


def read(path: str | Path, split: str | None = None, holdout: float = 0.2) -> list[Caption]:
    """Captions with those phrases whose chain has boxes, in the order of the images' numbers.

    A phrase's ``kind`` is its first type and its ``chain`` the chain's number. Where the folder has no list of a split
    the images are split by `pipeline.datasets.coco_captions.split_of`. Raises `HeedError` for a file that is missing
    or damaged.
    """
    path = Path(path)
    wanted = None
    if split is not None and (path / f"{split}.txt").is_file():
        wanted = set((path / f"{split}.txt").read_text(encoding="utf-8").split())
    found = []
    for file in sorted((path / "Sentences").glob("*.txt"), key=lambda file: (len(file.stem), file.stem)):
        key = f"{file.stem}.jpg"
        if wanted is not None and file.stem not in wanted:
            continue
        if split is not None and wanted is None and split_of(key, holdout) != split:
            continue
        boxes = read_boxes(path / "Annotations" / f"{file.stem}.xml")
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        for number, line in enumerate(lines):
            text, phrases = sentence(line, str(file))
            found.append(Caption(f"{file.stem}#{number}", key, text, tuple(
                Phrase(start, end, boxes[chain], kinds[0], chain)
                for start, end, chain, kinds in phrases if chain in boxes)))
    return found


def sentence(line: str, where: str = "the line") -> tuple[str, list[tuple[int, int, str, tuple[str, ...]]]]:
    """A line of Sentences as (text, phrases): of each its first character, one past its last, its chain, its types.

    Raises `HeedError` where a bracket is left open.
    """
    text, phrases, done = "", [], 0
    for found in _PHRASE.finditer(line):
        text += line[done:found.start()]
        phrases.append((len(text), len(text) + len(found[3]), found[1], tuple(found[2].strip("/").split("/"))))
        text += found[3]
        done = found.end()
    text += line[done:]
    if "[/EN#" in text:
        raise HeedError(f"{where} has a phrase that is not '[/EN#chain/type words]': {line[:80]!r}.")
    lead = len(text) - len(text.lstrip())
    return text.strip(), [(start - lead, end - lead, chain, kinds) for start, end, chain, kinds in phrases]


def read_boxes(path: Path) -> dict[str, np.ndarray]:
    """Chain -> its boxes (m, 4) float32 xyxy pixels; chains without boxes (scenes, what is not visual) are absent.

    Raises `HeedError` for a file that is missing or damaged.
    """
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except OSError as error:
        raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from None
    except ElementTree.ParseError as error:
        raise HeedError(f"{path} is no XML of Flickr30k Entities: {error}.") from None
    found: dict[str, list[list[float]]] = {}
    try:
        for entry in root.iter("object"):
            corners = entry.find("bndbox")
            if corners is None:
                continue
            box = [float(corners.findtext(edge, "")) for edge in ("xmin", "ymin", "xmax", "ymax")]
            for name in entry.findall("name"):
                found.setdefault(str(name.text), []).append([box[0] - 1, box[1] - 1, box[2], box[3]])
    except ValueError as error:
        raise HeedError(f"{path} has a box whose edges are no numbers: {error}.") from None
    return {chain: np.array(boxes, np.float32).reshape(-1, 4) for chain, boxes in found.items()}
