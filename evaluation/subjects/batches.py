"""Batches for subjects, from texts and region features; and the two things every image embedding begins with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from evaluation.subjects.subject import Batch, Subject
from features.boxes import ENCODINGS
from features.errors import HeedError
from features.regions import Regions
from features.text.vocabulary import EncodedCaption


def make_batch(subject: Subject, texts: Sequence[str | EncodedCaption] | None, regions: Sequence[Regions] | None,
               most_words: int = 512) -> Batch:
    """Texts and their images' regions, padded; None leaves that side out.

    Texts are cut into the subject's wordpieces, at most ``most_words`` with [CLS] and [SEP], unless they are already.
    Raises `HeedError` where the sides differ in length, or texts are given to a subject without a vocabulary.
    """
    if texts is not None and regions is not None and len(texts) != len(regions):
        raise HeedError(f"A batch has {len(texts)} texts but {len(regions)} images.")
    n = len(texts if texts is not None else regions or ())
    encoded = [_encoded(subject, text, most_words).ids for text in texts or ()]
    words = torch.zeros(n, max(map(len, encoded), default=0), dtype=torch.int64)
    word_mask = torch.zeros(words.shape, dtype=torch.bool)
    for row, ids in enumerate(encoded):
        words[row, :len(ids)] = torch.from_numpy(np.asarray(ids, np.int64))
        word_mask[row, :len(ids)] = True
    most = max(map(len, regions or ()), default=0)
    features, boxes = torch.zeros(n, most, subject.feature_dim), torch.zeros(n, most, 4)
    sizes, region_mask = torch.ones(n, 2), torch.zeros(n, most, dtype=torch.bool)
    for row, found in enumerate(regions or ()):
        count = len(found)
        if count and found.features.shape[1] != subject.feature_dim:
            raise HeedError(f"{subject.name} reads region features of length {subject.feature_dim}, not "
                            f"{found.features.shape[1]}: extract them with the detector it was trained on.")
        features[row, :count] = torch.from_numpy(np.array(found.features, np.float32))
        boxes[row, :count] = torch.from_numpy(np.array(found.boxes, np.float32))
        sizes[row] = torch.tensor([float(found.width), float(found.height)])
        region_mask[row, :count] = True
    return Batch(words, word_mask, features, boxes, sizes, region_mask).checked()


def _encoded(subject: Subject, text: str | EncodedCaption, most: int) -> EncodedCaption:
    if not isinstance(text, str):
        return text
    if subject.pieces is None:
        raise HeedError(f"{subject.name} has no vocabulary to cut texts with: give its vocab.txt.")
    return subject.pieces.encode(text, most)


def encoded_boxes(batch: Batch, length: int) -> Tensor:
    """(batch, regions, length) float32: the boxes as a model with ``length`` numbers for each reads them.

    Raises `HeedError` where an image has no size, as in features that came without boxes.
    """
    n, regions = batch.boxes.shape[:2]
    if regions and not bool((batch.sizes > 0).all()):
        raise HeedError("The batch has an image of 0 pixels: its features came without boxes, which this model reads. "
                        "VisualBERT reads none.")
    shares = (batch.boxes / batch.sizes.repeat(1, 2)[:, None]).reshape(-1, 4)
    found = ENCODINGS[length](shares.detach().cpu().numpy(), 1.0, 1.0)
    return torch.from_numpy(found).reshape(n, regions, length).to(batch.boxes)


def shown_features(batch: Batch) -> Tensor:
    """(batch, regions, dim): the features, 0 for hidden regions."""
    if batch.hidden is None:
        return batch.features
    return batch.features.masked_fill(batch.hidden[..., None], 0.0)
