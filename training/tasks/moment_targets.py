"""What is true of a batch of moments, as the losses take it."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.moments import MomentBatch
from training.models.moment_losses import Pairs, Targets
from training.models.spans import to_centres


def targets_of(batch: MomentBatch, most_windows: int, published: bool, device: torch.device | str) -> Targets:
    """Windows, pairs of clips and summed ratings; what is drawn comes from torch's generator, which checkpoints keep.

    ``published`` takes windows as fractions of whole clips, the last one's missing part too.
    """
    spans = []
    for row, windows in enumerate(batch.windows):
        kept = torch.from_numpy(windows)
        if published and batch.clips[row]:
            kept = kept * float(batch.seconds[row]) / float(batch.clips[row] * batch.clip_seconds)
        if len(kept) > most_windows:
            kept = kept[torch.randperm(len(kept))[:most_windows]]
        spans.append(to_centres(kept).to(device))
    ratings = batch.saliency.sum(2, dtype=np.int64).astype(np.float32)
    unrated = ~batch.rated.any(1)
    ratings[unrated] = batch.inside[unrated]  # windows only: inside is 1, as QD-DETR takes subtitles
    keys = [moment.key for moment in batch.moments]
    other = [key != following for key, following in zip(keys, [*keys[1:], *keys[:1]], strict=True)]
    return Targets(spans, _on(draw_pairs(batch), device), torch.from_numpy(ratings).to(device),
                   torch.from_numpy(batch.video_mask).to(device), torch.tensor(other, device=device))


def draw_pairs(batch: MomentBatch) -> Pairs:
    """Two pairs of clips of each sample, as Moment-DETR draws them.

    Of rated clips the best and the worst by the sum of their ratings; and one rated and one that is not, by chance, or
    the first pair again where all are rated. Where nobody rated any, two pairs of one clip inside and one outside of
    the windows, by chance.
    """
    size = len(batch.moments)
    better, worse = (torch.zeros(size, 2, dtype=torch.int64) for _ in range(2))
    known = torch.zeros(size, dtype=torch.bool)
    sums, valid = batch.saliency.sum(2, dtype=np.int64), batch.video_mask
    for row in range(size):
        rated = batch.rated[row]
        relevant = rated if rated.any() else batch.inside[row]
        inside, outside = np.flatnonzero(relevant & valid[row]), np.flatnonzero(~relevant & valid[row])
        if rated.any():
            order = inside[np.argsort(sums[row][inside], kind="stable")]
            better[row], worse[row] = int(order[-1]), int(order[0])
            places = [1] if len(outside) else []
        elif not len(inside) or not len(outside):
            continue
        else:
            places = [0, 1]
        known[row] = True
        for place in places:
            better[row, place] = int(inside[int(torch.randint(len(inside), ()))])
            worse[row, place] = int(outside[int(torch.randint(len(outside), ()))])
    return Pairs(better, worse, known)


def _on(pairs: Pairs, device: torch.device | str) -> Pairs:
    return Pairs(pairs.better.to(device), pairs.worse.to(device), pairs.known.to(device))
