"""Notes taken while a network runs: each layer's states and the attention weights as they were used."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from evaluation.subjects.subject import (
    BLOCKS,
    CLS,
    GLOBAL,
    JOINT,
    PADDING,
    REGION,
    SEP,
    TASK,
    WORD,
    Batch,
    Edit,
    Layer,
    Reading,
)

CLS_ID, SEP_ID = 101, 102
"""[CLS] and [SEP] in BERT's published vocabularies, cased and uncased."""


def text_kinds(batch: Batch, task: bool = False) -> Tensor:
    """(batch, words) uint8 modality map of the text side; ``task`` adds a position behind the words."""
    kinds = torch.full_like(batch.words, WORD)
    kinds[batch.words == CLS_ID] = CLS
    kinds[batch.words == SEP_ID] = SEP
    kinds[~batch.word_mask] = PADDING
    return _with_last(kinds, TASK if task else None)


def image_kinds(batch: Batch, whole: bool = False) -> Tensor:
    """(batch, regions) uint8 modality map of the image side; ``whole`` adds the whole image behind the regions."""
    kinds = torch.where(batch.region_mask, REGION, PADDING)
    return _with_last(kinds, GLOBAL if whole else None)


def _with_last(kinds: Tensor, kind: int | None) -> Tensor:
    if kind is not None:
        kinds = torch.cat([kinds, torch.full_like(kinds[:, :1], kind) if kinds.shape[1] else
                           kinds.new_full((len(kinds), 1), kind)], 1)
    return kinds.to(torch.uint8)


class Trace:
    """Collects a `Reading`: `open` a layer, hand each attention a `watch`, `close` it with its states."""

    def __init__(self, words: Tensor, regions: Tensor, edit: Edit | None, lean: bool = False) -> None:
        """``words`` and ``regions`` are the two modality maps, (batch, positions).

        ``lean`` keeps no attention, for training, where nobody looks at it.
        """
        self.kinds = {"text": words, "image": regions}
        self.edit, self.lean = edit, lean
        self.layers: list[Layer] = []
        self.name = ""
        self.blocks: dict[str, Tensor] = {}

    def open(self, name: str) -> None:
        """Begin a layer."""
        self.name, self.blocks = name, {}

    def watch(self, block: str) -> Callable[[Tensor], Tensor]:
        """What an attention passes its weights through; it uses what comes back."""
        def used(weights: Tensor) -> Tensor:
            if self.edit is not None:
                weights = self.edit(self.name, block, weights)
            if not self.lean:
                self.blocks[block] = weights
            return weights
        return used

    def close(self, text: Tensor | None, image: Tensor | None) -> None:
        """End the layer with its states; a joint matrix is cut into its four blocks."""
        joint = self.blocks.pop(JOINT, None)
        blocks = dict(self.blocks)
        if joint is not None:
            words, regions = (self.kinds[side].shape[1] for side in ("text", "image"))
            for block in BLOCKS:
                query, key = (slice(0, words) if side == "text" else slice(words, words + regions)
                              for side in block.split("->"))
                part = joint[:, :, query, key]
                if part.numel():
                    blocks[block] = part
        for block, weights in blocks.items():
            real = self.kinds[block.split("->")[0]] != PADDING
            blocks[block] = weights.masked_fill(~real[:, None, :, None], 0.0)
        self.layers.append(Layer(self.name, self._blank(text, "text"), self._blank(image, "image"), blocks,
                                 joint is not None))

    def _blank(self, states: Tensor | None, side: str) -> Tensor | None:
        if states is None or not states.shape[1]:
            return None
        return states.masked_fill((self.kinds[side] == PADDING)[..., None], 0.0)

    def reading(self, match: Tensor | None) -> Reading:
        """All that was noted."""
        return Reading(tuple(self.layers), self.kinds["text"], self.kinds["image"], match)
