"""Karpathy's splits of Flickr8k, Flickr30k and COCO: dataset_flickr30k.json, dataset_coco.json.

    {"images": [{"filename": "1000092795.jpg", "imgid": 0, "split": "train", "sentids": [0, …],
                 "sentences": [{"raw": "Two young guys …", "tokens": ["two", …], "imgid": 0, "sentid": 0}, …]}, …],
     "dataset": "flickr30k"}

Published with "Deep Visual-Semantic Alignments" (Karpathy and Fei-Fei, CVPR 2015); COCO's images have "filepath" and
"cocoid" beside that, and a fourth split, "restval": the 30,504 images of COCO's validation set that are in neither val
nor test, which the field trains on.
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path, PurePosixPath

from features.errors import HeedError
from pipeline.annotations import Caption
from pipeline.datasets.coco_captions import load_json

_HEAD = 4096


def recognises(path: Path) -> bool:
    """Whether this is a .json or .json.gz that speaks of sentences within its first bytes."""
    if not (path.is_file() and path.name.endswith((".json", ".json.gz"))):
        return False
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            return re.search(rb'"(sentids|sentences|imgid)"\s*:', file.read(_HEAD)) is not None
    except (OSError, EOFError, zlib.error):
        return False


def read(
    path: str | Path, split: str | None = None, holdout: float = 0.2, restval: bool = True, keys: str = "file",
) -> list[Caption]:
    """Captions as their writers wrote them ("raw"; the tokens, joined, where there is none), in the order of the file.

    An image's key is the last component of its file name, or with ``keys`` "id" its number: "cocoid", or for Flickr,
    which numbers images by their names, the name without its ending. ``restval`` False leaves COCO's "restval" images
    out of "train". The file has its own splits, so ``holdout`` means nothing here. Raises `HeedError` for a file that
    is something else.
    """
    path = Path(path)
    content = load_json(path)
    wanted = None if split is None else {split, "restval"} if split == "train" and restval else {split}
    captions, seen = [], set()
    try:
        for image in content["images"]:
            name = PurePosixPath(image["filename"])
            key = name.name if keys == "file" else str(image.get("cocoid", name.stem))
            if key in seen:
                raise HeedError(f"{path} has two images {key!r}; heed joins captions to images by that.")
            seen.add(key)
            own = image["split"]
            if wanted is None or own in wanted:
                captions += [Caption(str(sentence["sentid"]), key, _text(sentence)) for sentence in image["sentences"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise HeedError(f"{path} is JSON but not in Karpathy's layout: {type(error).__name__} {error} in its "
                        "images.") from None
    if len({caption.id for caption in captions}) != len(captions):
        raise HeedError(f"{path} has two sentences with one sentid.")
    return captions


def _text(sentence: dict) -> str:
    return str(sentence["raw"] if "raw" in sentence else " ".join(sentence["tokens"])).strip()
