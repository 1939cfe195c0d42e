"""The videos of a scenes folder: mp4 files, and annotations in parts that commit them.

    OUT/videos.json                       {"version": 1, "seed": 0, "videos": N, "seconds": 24, "size": 112, …}
    OUT/videos/000000.mp4 …               a video's key is its path below videos/
    OUT/video_annotations/000000.jsonl …  one line a video, 50 a file, named after its first video
    OUT/published/…                       the same annotations in the fields' own formats, see `published`

A part of the annotations is written after its videos, aside and renamed: a part that is there is whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from features.errors import HeedError
from pipeline.atomic import atomic_write, write_json
from pipeline.scenes.dataset import split_of
from pipeline.scenes.language import ScenePhrase
from pipeline.scenes.rendering import in_order
from pipeline.scenes.shapes import SHAPES
from pipeline.scenes.video.draw import boxes_at, draw_frames
from pipeline.scenes.video.encode import encode
from pipeline.scenes.video.language import descriptions, queries, video_captions
from pipeline.scenes.video.published import write_published
from pipeline.scenes.video.relevance import relevance
from pipeline.scenes.video.script import video
from pipeline.scenes.video.sound import RATE, soundtrack
from pipeline.scenes.video.world import KINDS, Video
from pipeline.scenes.world import COLOURS, SETTINGS, SIZES, TEXTURES

VERSION = 1
"""Of the layout and of the videos: raised when either changes, for then a folder must not be continued."""
PART = 50
"""Videos a file of annotations."""
TRACK_FPS = 2
"""Boxes a second in the annotations."""


def annotate_video(of: Video, size: int, fps: int) -> dict[str, Any]:
    """Everything that is true of a video drawn at ``size``, as JSON; times in seconds, boxes xyxy in pixels."""
    number = f"{of.index:06d}"
    boxes = [boxes_at(of, i / TRACK_FPS, size) for i in range(of.seconds * TRACK_FPS)]
    moments = []
    for i, query in enumerate(queries(of)):
        found = relevance(of, i, query.events)
        moments.append({
            "id": f"{number}-{i}", "text": query.caption.text, "phrases": _phrases(query.caption.phrases),
            "events": list(query.events), "relevant_windows": [list(window) for window in found.windows],
            "relevant_clip_ids": list(found.clips), "saliency_scores": [list(scores) for scores in found.saliency],
        })
    return {
        "key": f"{number}.mp4", "index": of.index, "split": split_of(of.index), "seconds": of.seconds, "fps": fps,
        "width": size, "height": size,
        "shots": [{"start": shot.start, "end": shot.end, "label": shot.label} for shot in of.shots],
        "objects": [
            {"id": a.id, "shot": a.shot, "shape": a.shape, "colour": a.first.colour, "size": a.first.size,
             "texture": a.texture} for a in of.actors
        ],
        "events": [
            {"id": e.id, "kind": e.kind, "start": e.start, "end": e.end, "object": e.actor, "other": e.other,
             "detail": e.detail} for e in of.events
        ],
        "moments": moments,
        "captions": [
            {"id": f"{number}-{i}", "text": caption.text, "phrases": _phrases(caption.phrases)}
            for i, caption in enumerate(video_captions(of))
        ],
        "descriptions": [
            {"id": f"{number}-{i}", "start": d.start, "end": d.end, "text": d.caption.text,
             "phrases": _phrases(d.caption.phrases), "events": list(d.events)}
            for i, d in enumerate(descriptions(of))
        ],
        "track_fps": TRACK_FPS,
        "tracks": [
            [[round(edge, 1) for edge in at[a.id]] if a.id in at else None for at in boxes] for a in of.actors
        ],
    }


def _phrases(phrases: Sequence[ScenePhrase]) -> list[dict[str, Any]]:
    return [{"start": p.start, "end": p.end, "objects": list(p.objects)} for p in phrases]


def write_videos(
    out: str | Path, videos: int, seed: int = 0, seconds: int = 24, size: int = 112, fps: int = 8,
    progress: Callable[[int, int], None] | None = None, workers: int = 1,
) -> None:
    """Write the first ``videos`` videos of a seed to ``out``, or what of them is not there yet.

    ``progress`` is called with (videos done, videos in all) after each video and each part found; ``workers``
    processes render. A folder that holds other videos raises `HeedError`; one with fewer videos grows.
    """
    out = Path(out)
    _claim(out, videos, {"seed": seed, "seconds": seconds, "size": size, "fps": fps})
    for folder in ("videos", "video_annotations"):
        (out / folder).mkdir(exist_ok=True)
    parts = [range(first, min(first + PART, videos)) for first in range(0, videos, PART)]
    missing = [index for part in parts if not _whole(_part(out, part), len(part)) for index in part]
    made = in_order(partial(_make, seed, seconds, size, fps), missing, workers)
    for part in parts:
        if _whole(_part(out, part), len(part)):
            if progress:
                progress(part.stop, videos)
            continue
        lines = []
        for index in part:
            content, line = next(made)
            (out / "videos" / f"{index:06d}.mp4").write_bytes(content)
            lines.append(line)
            if progress:
                progress(index + 1, videos)
        with atomic_write(_part(out, part)) as file:
            file.write("".join(line + "\n" for line in lines).encode())
    write_published(out)


def _make(seed: int, seconds: int, size: int, fps: int, index: int) -> tuple[bytes, str]:
    """A video's mp4 file and its line of annotations."""
    of = video(seed, index, seconds)
    return encode(draw_frames(of, size, fps), fps, soundtrack(of), RATE), json.dumps(annotate_video(of, size, fps))


def _part(out: Path, indices: range) -> Path:
    return out / "video_annotations" / f"{indices.start:06d}.jsonl"


def _whole(part: Path, lines: int) -> bool:
    return part.exists() and len(part.read_bytes().splitlines()) >= lines


def _claim(out: Path, videos: int, identity: dict[str, int]) -> None:
    """Make the folder's videos these, or raise `HeedError` if they are others."""
    if videos < 1:
        raise HeedError(f"{videos} videos cannot be rendered; ask for at least one.")
    if not 1 <= identity["fps"] <= 60:
        raise HeedError(f"{identity['fps']} frames a second cannot be rendered; ask for 1 to 60.")
    identity = {"version": VERSION, **identity}
    header = out / "videos.json"
    if header.exists():
        held = json.loads(header.read_text())
        for name, value in identity.items():
            if held.get(name) != value:
                raise HeedError(f"{out} holds videos of {name} {held.get(name)}, not {value}: "
                                f"choose another folder or ask for {name} {held.get(name)}.")
        if held["videos"] > videos:
            raise HeedError(f"{out} holds {held['videos']} videos already: ask for as many or choose another folder.")
        if held["videos"] == videos:
            return
    elif out.exists() and any(out.iterdir()) and not (out / "scenes.json").exists():
        raise HeedError(f"{out} is not empty and holds no scenes: choose another folder.")
    out.mkdir(parents=True, exist_ok=True)
    vocabularies = {"kinds": KINDS, "shapes": SHAPES, "colours": COLOURS, "sizes": SIZES, "textures": TEXTURES,
                    "labels": SETTINGS}
    write_json(header, {**identity, "videos": videos, "sound_rate": RATE, **vocabularies})
