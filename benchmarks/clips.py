"""How fast `heed extract clips` goes, against a plain loop over the same decoder and encoder.

    python -m benchmarks.clips VIDEOS [ENCODER [DEVICE]]     default timm:vit_small_patch16_224=random on auto
                                                             writes results/clips.json

The plain loop decodes a video, encodes its clips in one batch, and goes on to the next. heed decodes two videos in
processes of their own while the encoder works, and batches clips across videos; its guard against files that hang costs
a copy of each frame that is looked at. Rounds are interleaved, as the machine's speed drifts; medians are the figures.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from features.encoders import EncoderOptions
from features.video import frames_at, probe
from pipeline.clip_features import ClipReader, EncodeClips
from pipeline.sources import VIDEO_SUFFIXES, Item, open_source
from pipeline.spans import clip_spans, sample_times

RESULT = Path(__file__).parent / "results" / "clips.json"
ROUNDS = 3


def plain(reader: ClipReader, items: Sequence[Item]) -> list[np.ndarray]:
    """The loop that one would write."""
    found = []
    frames = reader.encoder.frames
    for item in items:
        duration = probe(item.uri).duration
        times = sample_times(clip_spans(duration, 2.0), 2.0, reader.spec.windows * frames, duration).ravel()
        prepared = np.stack([reader.encoder.prepare(frame.image) for frame in frames_at(item.uri, times, threads=1)])
        windows = prepared.reshape(-1, frames, *prepared.shape[1:])
        encoded = [reader.encoder.encode(windows[i:i + reader.spec.batch])
                   for i in range(0, len(windows), reader.spec.batch)]
        found.append(np.concatenate(encoded).reshape(-1, reader.spec.windows, reader.encoder.dim).mean(1))
    return found


def main(videos: str, encoder: str = "timm:vit_small_patch16_224=random", device: str = "auto") -> None:
    warnings.simplefilter("ignore")
    items = open_source(videos, VIDEO_SUFFIXES, "videos").items
    reader = EncodeClips(encoder, EncoderOptions(device), dtype="float32").open()
    seconds: dict[str, list[float]] = {"heed": [], "plain": []}
    for round_ in range(ROUNDS + 1):
        began = time.perf_counter()
        rows = [row for _, row in reader.read(items) if isinstance(row, dict)]
        middle = time.perf_counter()
        expected = plain(reader, items)
        if round_:  # the first round warms caches
            seconds["heed"].append(middle - began)
            seconds["plain"].append(time.perf_counter() - middle)
    apart = max(float(np.abs(row["features"] - one).max()) for row, one in zip(rows, expected, strict=True))
    clips = sum(len(row["features"]) for row in rows)
    rates = {name: clips / statistics.median(took) for name, took in seconds.items()}
    result = {
        "videos": len(items), "clips": clips, "encoder": encoder, "device": str(reader.encoder.device),
        "cores": os.cpu_count(), "clips_a_second": {name: round(rate, 2) for name, rate in rates.items()},
        "times_the_plain_loop": round(rates["heed"] / rates["plain"], 2), "largest_difference": apart,
        "all_seconds": {name: [round(took, 2) for took in each] for name, each in seconds.items()},
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
