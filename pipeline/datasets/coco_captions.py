"""Read captions in the JSON of MS COCO (Chen et al. 2015, "Microsoft COCO Captions", §4): images and annotations.

    {"images": [{"id": 1, "file_name": "000000000139.jpg", …}, …],
     "annotations": [{"id": 7, "image_id": 1, "caption": "A woman in a kitchen."}, …]}
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from pathlib import Path, PurePosixPath
from typing import Any

from features.errors import HeedError
from pipeline.annotations import Caption


def recognises(path: Path) -> bool:
    """Whether this is a .json or .json.gz file."""
    return path.is_file() and path.name.endswith((".json", ".json.gz"))


def split_of(key: str, holdout: float) -> str:
    """The split of an image: a hash of its key alone, so that it stays there when others come or go.

    With u the first 8 bytes of its SHA-256 as a fraction of 2^64: test where u < holdout / 2, else val where
    u < holdout, else train.
    """
    u = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
    return "test" if u < holdout / 2 else "val" if u < holdout else "train"


def read(path: str | Path, split: str | None = None, holdout: float = 0.2) -> list[Caption]:
    """Captions in the order of the file; an image's key is the last component of its file name.

    COCO's files are a split each already; to train and test on one of them, ``split`` takes a piece of it: half of
    ``holdout`` for test, half for val, the rest for train, by `split_of`. None takes all. Captions are stripped of the
    white space around them. Raises `HeedError` for a file that is not COCO captions.
    """
    path = Path(path)
    if not 0 <= holdout < 1:
        raise HeedError(f"A holdout of {holdout} makes no sense: it is the fraction of images kept from training.")
    content = load_json(path)
    try:
        keys = {image["id"]: PurePosixPath(image["file_name"]).name for image in content["images"]}
        found = [Caption(str(note["id"]), keys[note["image_id"]], note["caption"].strip())
                 for note in content["annotations"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise HeedError(f"{path} is JSON but not COCO captions: {type(error).__name__} {error} in its images or "
                        "annotations.") from None
    if len(set(keys.values())) != len(keys):
        raise HeedError(f"{path} has two images with one file name; heed joins captions to images by it.")
    if len({caption.id for caption in found}) != len(found):
        raise HeedError(f"{path} has two captions with one id.")
    return found if split is None else [caption for caption in found if split_of(caption.key, holdout) == split]


def load_json(path: Path) -> Any:
    """The content of a .json or .json.gz file; `HeedError` where it is none."""
    try:
        data = path.read_bytes()
        return json.loads(gzip.decompress(data) if path.name.endswith(".gz") else data)
    except OSError as error:
        raise HeedError(f"{path} cannot be read as captions: {error.strerror or error}.") from None
    except (ValueError, EOFError, zlib.error) as error:
        raise HeedError(f"{path} is not JSON ({error}); COCO captions are a .json or .json.gz file.") from None
