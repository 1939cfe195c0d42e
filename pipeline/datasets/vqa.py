"""VQA v2's questions and annotations (Goyal et al. 2017; file formats of visualqa.org).

    v2_OpenEnded_mscoco_{train2014,val2014,test2015}_questions.json
        {"data_subtype": "train2014", "questions": [{"image_id": 9, "question": "…", "question_id": 9000}]}
    v2_mscoco_{train2014,val2014}_annotations.json
        {"annotations": [{"question_id", "image_id", "question_type", "answer_type", "answers": [{"answer"}, …]}]}

A folder that holds them, or one questions file, plain or as .gz. The annotations are looked for beside the questions,
under the name that has "annotations" for "questions" and no "OpenEnded". The official test's answers are kept back.
"""

from __future__ import annotations

import gzip
import json
import re
import zlib
from pathlib import Path
from typing import Any

from features.errors import HeedError
from pipeline.annotations import Question
from pipeline.datasets.coco_captions import split_of

_NAME = re.compile(r"(?P<head>.*)questions(?P<tail>[^/]*\.json(\.gz)?)")
_SPLIT = re.compile(r"(?:^|_)(train|val|test)(?:id)?(?:20\d\d|-dev20\d\d)?(?=[_.])")
_SUBSET = re.compile(r"(train|val|test)20\d\d")
HOLDOUT = 0.2
"""Share of the images of a file without a split of its own that val and test get, half each."""


def recognises(path: Path) -> bool:
    """Whether this is such a folder or file, by its name."""
    return bool(_files(path))


def read(path: str | Path, split: str | None = None) -> list[Question]:
    """Questions in the order of the files; ``kind`` is their answer_type ("yes/no", "number", "other").

    A key is the COCO file name of the image, "COCO_train2014_000000000009.jpg", or "000000000009.jpg" where the file
    does not say of which set it is; an id the question_id. A file whose name has no split is cut by the keys
    (`pipeline.datasets.coco_captions.split_of`). Raises `HeedError` where a split's file, or a file's annotations, are
    missing, or a file is not VQA's.
    """
    path, found = Path(path), []
    files = [file for file in _files(path) if split in (None, _split(file)) or not _split(file)]
    if not files:
        raise HeedError(f"{path} holds no questions of the split {split}; v2_OpenEnded_mscoco_{split}…_questions.json "
                        "would be a file of them.")
    for file in files:
        notes, content = _annotations(file), _load(file)
        try:
            subset = str(content.get("data_subtype", ""))
            rows = [_question(row, subset, notes) for row in content["questions"]]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise HeedError(f"{file} is JSON, but it or its annotations are not VQA's ({error!r}).") from None
        whole = split is None or bool(_split(file))
        found += rows if whole else [row for row in rows if split_of(row.key, HOLDOUT) == split]
    return found


def _question(row: dict[str, Any], subset: str, notes: dict[Any, dict[str, Any]]) -> Question:
    note = notes.get(row["question_id"], {})
    number = row["image_id"]
    folder = "test2015" if subset.startswith("test-dev") else subset  # test-dev2015 asks about images of test2015
    key = f"{f'COCO_{folder}_' if _SUBSET.fullmatch(folder) else ''}{number:012d}.jpg"
    return Question(str(row["question_id"]), key, str(row["question"]),
                    tuple(str(one["answer"]) for one in note.get("answers", ())), str(note.get("answer_type", "")))


def _annotations(file: Path) -> dict[Any, dict[str, Any]]:
    """Annotations by question id, of the file beside the questions; none for a test split without them."""
    match = _NAME.fullmatch(file.name)
    head, tail = (match["head"], match["tail"]) if match else ("", "")
    beside = file.with_name(f"{head.replace('OpenEnded_', '')}annotations{tail}")
    if not beside.is_file():
        if _split(file) == "test":
            return {}
        raise HeedError(f"{file} has no annotations beside it: {beside.name} is missing.")
    try:
        return {note["question_id"]: note for note in _load(beside)["annotations"]}
    except (KeyError, TypeError) as error:
        raise HeedError(f"{beside} is JSON but not VQA's annotations ({error!r}).") from None


def _files(path: Path) -> list[Path]:
    """The questions files, in the order of the splits; one of a split, the last by name (test after test-dev)."""
    candidates = [path] if path.is_file() else sorted(path.glob("*questions*.json*"))
    named = [file for file in candidates if _NAME.fullmatch(file.name) and not file.name.startswith("CLEVR_")]
    by_split = {_split(file): file for file in named}
    return [by_split[split] for split in ("", "train", "val", "test") if split in by_split]


def _split(file: Path) -> str:
    """The split that a file's name says; "" where it says none."""
    match = _SPLIT.search(file.name)
    return match[1] if match else ""


def _load(file: Path) -> Any:
    try:
        data = file.read_bytes()
        return json.loads(gzip.decompress(data) if file.name.endswith(".gz") else data)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise HeedError(f"{file} cannot be read as VQA's: {error}.") from None
