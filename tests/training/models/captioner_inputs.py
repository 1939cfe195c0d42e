"""Weights and inputs for the captioner that follow from names and seeds: the released code had the same."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tests.evaluation.subjects import rule

SIZES = {"dim": 24, "heads": 4, "feedforward": 40, "layers": 2, "video_dim": 10}
PIECES, FEATURES, CLIPS, LONGEST = 120, 14, 5, 9
BEGIN, END, MASK = 101, 102, 103
SMOOTHING = 0.1


def weights(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """By `rule`; the sparse mask's larger, so that it is neither all open nor all shut, and [SEP] likely to come."""
    made = rule.weights(shapes, scale=0.6)
    if "learn_vid_att.weight" in made:
        made["learn_vid_att.weight"] *= 30
    made["trans_encoder.cls.predictions.decoder.weight"] *= 0.5
    made["trans_encoder.cls.predictions.bias"][END] = 2.9
    for kind in ("word", "position"):
        made[f"trans_encoder.bert.embeddings.{kind}_embeddings.weight"] *= 3
    return made


def captions() -> tuple[Tensor, Tensor, list[int]]:
    """Pieces (batch, 8) int64, video (batch, 5, 14) without padding, and the captions' lengths."""
    rng = np.random.default_rng(4)
    lengths = [8, 5, 7, 6]
    words = rng.integers(104, PIECES, (4, 8))
    words[:, 0] = BEGIN
    for row, length in enumerate(lengths):
        words[row, length - 1] = END
        words[row, length:] = 0
    words[0, 3] = words[2, 2] = MASK
    return (torch.from_numpy(words), torch.from_numpy(rng.normal(size=(4, CLIPS, FEATURES)).astype(np.float32)),
            lengths)


def told(words: Tensor, lengths: list[int]) -> Tensor:
    """Pieces to be told, (batch, 8) int64, -1 elsewhere: the second, and the last."""
    targets = torch.full_like(words, -1)
    for row, length in enumerate(lengths):
        targets[row, 1], targets[row, length - 1] = 104 + row, END
    return targets
