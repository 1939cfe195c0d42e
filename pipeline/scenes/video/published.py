"""The videos' annotations in the fields' own formats, so that what reads the published files reads these.

    published/highlight_{train,val,test}_release.jsonl  QVHighlights: queries with windows, clips and saliency
    published/MSRVTT_data.json                          MSR-VTT: videos with splits, sentences
    published/{train,val,test}.caption_coco_format.json the captions once more, as COCO captions
    published/MAD_{train,val,test}.json                 MAD: the running description

A video goes by its number here, "000042", as there videos go by a name without an ending.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.atomic import atomic_write

SPLITS = ("train", "val", "test")


def write_published(out: Path) -> None:
    """Write the published formats of the videos annotated in ``out``; the same annotations give the same bytes."""
    rows = list(_rows(out))
    (out / "published").mkdir(exist_ok=True)
    _write(out / "published" / "MSRVTT_data.json", json.dumps(msrvtt(rows)))
    for split in SPLITS:
        part = [row for row in rows if row["split"] == split]
        _write(out / "published" / f"highlight_{split}_release.jsonl",
               "\n".join(json.dumps(line) for line in qvhighlights(part)))
        _write(out / "published" / f"{split}.caption_coco_format.json", json.dumps(coco_captions(part)))
        _write(out / "published" / f"MAD_{split}.json", json.dumps(mad(part)))


def _rows(out: Path) -> Iterator[dict[str, Any]]:
    for part in sorted((out / "video_annotations").glob("*.jsonl")):
        for line in part.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as file:
        file.write(text.encode())


def _name(row: dict[str, Any]) -> str:
    return str(row["key"]).removesuffix(".mp4")


def qvhighlights(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines of QVHighlights; a query's qid is its video's number times 1,000 plus its place there."""
    return [
        {"qid": row["index"] * 1000 + i, "query": moment["text"], "duration": row["seconds"], "vid": _name(row),
         "relevant_windows": moment["relevant_windows"], "relevant_clip_ids": moment["relevant_clip_ids"],
         "saliency_scores": moment["saliency_scores"]}
        for row in rows for i, moment in enumerate(row["moments"])
    ]


def msrvtt(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """MSR-VTT's one file; its name of the validation split is "validate"."""
    splits = {"train": "train", "val": "validate", "test": "test"}
    return {
        "info": {"description": "scenes rendered by heed"},
        "videos": [
            {"id": row["index"], "video_id": _name(row), "url": "", "category": 0, "start time": 0.0,
             "end time": float(row["seconds"]), "split": splits[row["split"]]} for row in rows
        ],
        "sentences": [
            {"sen_id": row["index"] * 5 + i, "video_id": _name(row), "caption": caption["text"]}
            for row in rows for i, caption in enumerate(row["captions"])
        ],
    }


def coco_captions(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The captions as COCO has them, an image for a video, for the official scorers."""
    return {
        "info": {}, "licenses": [], "type": "captions",
        "images": [{"id": row["index"], "file_name": row["key"]} for row in rows],
        "annotations": [
            {"id": row["index"] * 5 + i, "image_id": row["index"], "caption": caption["text"]}
            for row in rows for i, caption in enumerate(row["captions"])
        ],
    }


def mad(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """MAD's dict of sentences; a movie is a video."""
    return {
        description["id"]: {
            "movie": _name(row), "sentence": description["text"], "movie_duration": float(row["seconds"]),
            "timestamps": [description["start"], description["end"]],
            "ext_timestamps": [description["start"], description["end"]],
        }
        for row in rows for description in row["descriptions"]
    }
