"""TextVQA in the .npy "imdb" files of MMF and sam-textvqa: an array of dictionaries, the first of them about the file.

sam-textvqa: data/textvqa/tvqa_{train,val,test}_imdb.npy with question, question_id, image_id, answers (ten; absent in
test), image_height, image_width, google_ocr_tokens_filtered; the words' boxes are in its OCR LMDB, in the same order.
MMF: imdb_{train,val,test}_ocr_en.npy and the like with question or question_str, question_id, image_id, image_path,
feature_path, ocr_tokens, ocr_normalized_boxes (or ocr_info), image_width, image_height, answers. Pickles are read by
`features.restricted`. A question's key is that of its image in a store imported from the features beside the file.
"""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from features.errors import HeedError
from features.restricted import dictionary, read_npy, text
from pipeline.annotations import OcrToken, TextQuestion

_SPLIT = re.compile(r"(?:^|_)(train|val|test)(?:_|\.)")
_CORNERS = (("top_left_x", "topLeftX"), ("top_left_y", "topLeftY"), ("width", "width"), ("height", "height"))
NOWHERE = np.zeros(4, np.float32)
"""The box of a word whose place this file does not say."""


def recognises(path: Path) -> bool:
    """Whether this is such a file, or a folder of them."""
    return (path.suffix == ".npy" and "imdb" in path.name) or bool(path.is_dir() and _files(path))


def read(path: Path, split: str | None = None) -> list[TextQuestion]:
    """The questions of a split, in the order of their ids, as published code has them.

    A file is taken whole, whatever ``split``. Raises `HeedError` where a file is absent or not understood.
    """
    files = [path] if path.is_file() else [file for name, file in _files(path) if split in (None, name)]
    if not files:
        raise HeedError(f"{path} has no imdb file of the split {split}: tvqa_{split}_imdb.npy, or imdb_{split}_….npy.")
    found = [question for file in files for question in _questions(file)]
    return sorted(found, key=lambda question: int(question.id) if question.id.isdigit() else 0)


def _files(folder: Path) -> list[tuple[str, Path]]:
    """(split, file) of a folder's imdb files; where it has several of one split, MMF's English ones."""
    named = [(found[1], file) for file in sorted(folder.glob("*imdb*.npy")) if (found := _SPLIT.search(file.name))]
    english = [(name, file) for name, file in named if "ocr_en" in file.name]
    return english or named


def _questions(path: Path) -> list[TextQuestion]:
    try:
        rows = read_npy(path, objects=True)
        entries = [dictionary(row) for row in rows.reshape(-1)[1:]]
    except OSError as error:
        raise HeedError(f"{path} cannot be read: {error.strerror or error}.") from error
    except HeedError as error:
        raise HeedError(f"{path} is no imdb file: {error}.") from error
    found = []
    for number, entry in enumerate(entries, 1):
        try:
            found.append(_question(entry))
        except (KeyError, TypeError, ValueError, AttributeError, HeedError) as error:
            raise HeedError(f"Entry {number} of {path} is not understood ({error!r}).") from error
    return found


def _question(entry: dict[str, Any]) -> TextQuestion:
    asked = text(entry["question"] if "question" in entry else entry["question_str"], "question")
    answers = tuple(text(answer, "an answer") for answer in entry.get("answers", ()))
    theirs = "google_ocr_tokens_filtered" in entry
    tokens = tuple(text(word, "a word") for word in entry["google_ocr_tokens_filtered" if theirs else "ocr_tokens"])
    boxes = [NOWHERE] * len(tokens) if theirs else _boxes(entry, len(tokens))
    key = text(entry["image_id"], "image_id") if theirs else _feature_key(entry)
    return TextQuestion(str(int(entry["question_id"])), key, asked, answers,
                        tuple(OcrToken(word, box) for word, box in zip(tokens, boxes, strict=True)))


def _feature_key(entry: dict[str, Any]) -> str:
    """MMF's rule: COCO's images have their own path of features, others that of the image."""
    features = text(entry.get("feature_path", ""), "feature_path")
    path = features if "COCO" in features or "image_path" not in entry else text(entry["image_path"], "image_path")
    return str(PurePosixPath(path).with_suffix(""))


def _boxes(entry: dict[str, Any], count: int) -> list[np.ndarray]:
    """Pixel boxes of the words; of the older layout out of ocr_info's top left corner, width and height."""
    if "ocr_normalized_boxes" in entry:
        relative = np.asarray(entry["ocr_normalized_boxes"], np.float32).reshape(-1, 4)
    else:
        found = [dictionary(dictionary(word)["bounding_box"]) for word in entry["ocr_info"]]
        corners = [[float(box[name] if name in box else box[other]) for name, other in _CORNERS] for box in found]
        relative = np.array(corners, np.float32).reshape(-1, 4)
        relative[:, 2:] += relative[:, :2]
    if len(relative) != count:
        raise HeedError(f"{count} words have {len(relative)} boxes")
    size = np.array([entry["image_width"], entry["image_height"]] * 2, np.float32)
    return list(relative * size)
