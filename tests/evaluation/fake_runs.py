"""Runs as training leaves them, made from nothing: scores and attention from a seed, photos of plain colours."""

import json

import numpy as np
from PIL import Image

from evaluation.matching import evaluate_matching
from evaluation.predictions import CaptionAttention, MatchingRow, write_matching
from evaluation.truth import write_truth
from pipeline.annotations import Caption, Phrase

IMAGES, REGIONS, WIDTH, HEIGHT = 10, 6, 120, 80
TEXT = "a red cup on the <script>alert('{i}')</script> table & more"


def truth():
    """Two captions an image; "red cup" is region 0 of its image."""
    captions = []
    for i in range(IMAGES):
        phrase = Phrase(2, 9, boxes(i)[:1], "cup")
        captions += [Caption(f"{i}.{j}", f"{i}.png", TEXT.format(i=i) if j else f"the red cup {i}", (phrase,))
                     for j in range(2)]
    return captions


def boxes(i):
    """Regions of image i."""
    corner = np.random.default_rng(i).uniform(0, 60, (REGIONS, 2))
    return np.concatenate([corner, corner + 20], axis=1).astype(np.float32)


def make_photos(folder):
    """Write a photo an image."""
    folder.mkdir(parents=True)
    for i in range(IMAGES):
        Image.new("RGB", (WIDTH, HEIGHT), (20 * i, 200 - 10 * i, 90)).save(folder / f"{i}.png")
    return folder


def make_run(path, seed, score="dot", attention=True, keep_truth=True):
    """Write a run folder whose model is right more often than not."""
    rng = np.random.default_rng(seed)
    for folder in ("predictions", "evaluation"):
        (path / folder).mkdir(parents=True)
    keys = [f"{i}.png" for i in range(IMAGES)]

    def rows():
        for caption in truth():
            scores = rng.normal(size=IMAGES) + 2.0 * np.array([key == caption.key for key in keys])
            words = caption.text.split()
            starts = np.cumsum([0] + [len(word) + 1 for word in words[:-1]])
            spans = [[-1, -1], *([int(s), int(s) + len(w)] for s, w in zip(starts, words, strict=True))]
            weights = rng.dirichlet(np.ones(REGIONS), size=len(spans)).astype(np.float32)
            seen = CaptionAttention(("<start>", *words), np.array(spans, np.int32), boxes(int(caption.key[:-4])),
                                    weights, WIDTH, HEIGHT)
            yield MatchingRow(caption.id, caption.key, scores, seen if attention else None)

    write_matching(path / "predictions" / "test.arrow", keys, "t2i", rows())
    if keep_truth:
        write_truth(path / "predictions" / "test.truth.jsonl", truth())
    found = evaluate_matching(path / "predictions" / "test.arrow", truth(), resamples=50)
    (path / "evaluation" / "test.json").write_text(json.dumps(found))
    config = {"task": "matching", "attention": {"score": score}, "loop": {"batch_size": 8, "seed": seed}}
    (path / "config.json").write_text(json.dumps(config))
    (path / "environment.json").write_text(json.dumps({"versions": {"heed": "0.1.0"}}))
    lines = [{"step": s, "epoch": s // 10, "split": "train", "loss": 10 / s} for s in range(1, 31)]
    lines += [{"step": s, "epoch": s // 10, "split": "val", "rsum": 10.0 * s} for s in (10, 20, 30)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
