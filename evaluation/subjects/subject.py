"""What goes into a subject and what comes out: one form for one-stream and two-stream models.

Attention is (batch, heads, queries, keys). A block's name tells who looks at whom, query first: ``image->text`` holds
regions that look at words. Position i of the text side is word i of the batch, position j of the image side is its
region j, whatever order the published model keeps inside; positions that a model adds of its own (ViLBERT's region of
the whole image) stand behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from features.errors import HeedError
from features.text.wordpieces import WordPieces

TEXT_TEXT, TEXT_IMAGE, IMAGE_TEXT, IMAGE_IMAGE = "text->text", "text->image", "image->text", "image->image"
BLOCKS = (TEXT_TEXT, TEXT_IMAGE, IMAGE_TEXT, IMAGE_IMAGE)
"""The four blocks, query -> key."""
JOINT = "joint"
"""What an `Edit` is told of a one-stream layer's weights: text and image positions in one matrix, text first."""
PADDING, WORD, CLS, SEP, TASK, REGION, GLOBAL = range(7)
"""Kinds of positions in a modality map. TASK and GLOBAL are positions that a model adds to its input."""
IS_TEXT = (WORD, CLS, SEP, TASK)
IS_IMAGE = (REGION, GLOBAL)

Edit = Callable[[str, str, Tensor], Tensor]
"""(layer's name, block's name or `JOINT`, weights (batch, heads, queries, keys)) -> the weights to use instead.

Called behind the softmax and before the values are summed: ablation multiplies a head by 0; an explanation keeps the
weights and asks for their gradient.
"""


@dataclass(frozen=True)
class Batch:
    """Texts with their images' regions; either side may have length 0 (text only, image only)."""

    words: Tensor
    """(batch, words) int64 ids, [CLS] first and [SEP] last; anything where padded."""
    word_mask: Tensor
    """(batch, words) bool, False where padded."""
    features: Tensor
    """(batch, regions, dim) float32."""
    boxes: Tensor
    """(batch, regions, 4) float32: x1, y1, x2, y2 in pixels."""
    sizes: Tensor
    """(batch, 2) float32: the image's width and height in pixels."""
    region_mask: Tensor
    """(batch, regions) bool, False where padded."""
    hidden: Tensor | None = None
    """(batch, regions) bool: regions whose features the model is not shown, as in masked-region pre-training."""

    def __len__(self) -> int:
        return len(self.words)

    def checked(self) -> Batch:
        """Return self, or raise `HeedError` where shapes disagree, a sample is empty, or some samples lack a side."""
        n, regions = len(self.words), self.features.shape[1]
        shapes = (self.word_mask.shape == self.words.shape and self.features.ndim == 3
                  and self.boxes.shape == (n, regions, 4) and self.sizes.shape == (n, 2)
                  and self.region_mask.shape == (n, regions))
        if not shapes:
            raise HeedError(f"A batch's parts disagree: words {tuple(self.words.shape)}, features "
                            f"{tuple(self.features.shape)}, boxes {tuple(self.boxes.shape)}, sizes "
                            f"{tuple(self.sizes.shape)}, masks {tuple(self.word_mask.shape)} and "
                            f"{tuple(self.region_mask.shape)}.")
        for side, mask in (("words", self.word_mask), ("regions", self.region_mask)):
            empty = ~mask.any(1)
            if mask.shape[1] and bool(empty.any()):
                raise HeedError(f"Sample {int(empty.nonzero()[0])} of the batch has no {side} while others have: put "
                                "samples of one side only into a batch of their own.")
        if not self.words.shape[1] and not regions:
            raise HeedError("The batch has neither words nor regions.")
        return self

    def to(self, device: Any) -> Batch:
        """The same batch on another device."""
        return Batch(**{name: value if value is None else value.to(device) for name, value in vars(self).items()})


@dataclass(frozen=True)
class Layer:
    """One layer's states and the attention that made them; at padded positions both are 0."""

    name: str
    """``embeddings``, ``layer 1``; in two-stream models ``text 1``, ``image 1``, ``cross 1``."""
    text: Tensor | None
    """(batch, words, dim) states behind the layer; None where the layer has no text side."""
    image: Tensor | None
    """(batch, regions, dim) states behind the layer; None where it has no image side."""
    blocks: dict[str, Tensor] = field(default_factory=dict)
    """Block -> weights (batch, heads, queries, keys); blocks that the layer does not have are absent."""
    joint: bool = False
    """Whether words and regions share one softmax: then a query's weights on both sides together sum to 1."""

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The blocks whose rows together sum to 1, one tuple for each softmax."""
        present = [block for block in BLOCKS if block in self.blocks]
        if not self.joint:
            return tuple((block,) for block in present)
        return tuple(group for side in ("text", "image")
                     if (group := tuple(block for block in present if block.startswith(side))))


@dataclass(frozen=True)
class Reading:
    """All that a subject did with a batch."""

    layers: tuple[Layer, ...]
    """In the order in which they ran, the embeddings first."""
    text_kinds: Tensor
    """(batch, words) uint8: what each text position is, one of the kinds above."""
    image_kinds: Tensor
    """(batch, regions) uint8: what each image position is."""
    match: Tensor | None = None
    """(batch,) log-odds that text and image belong together; None where the weights have no such head."""

    @property
    def kinds(self) -> Tensor:
        """(batch, words + regions) uint8: the modality map of `joined`."""
        return torch.cat([self.text_kinds, self.image_kinds], 1)

    @property
    def text(self) -> Tensor | None:
        """(batch, words, dim): the text's states behind the last layer that has them; None without words."""
        return next((layer.text for layer in reversed(self.layers) if layer.text is not None), None)

    @property
    def image(self) -> Tensor | None:
        """(batch, regions, dim): the image's states behind the last layer that has them; None without regions."""
        return next((layer.image for layer in reversed(self.layers) if layer.image is not None), None)

    def joined(self, layer: Layer) -> Tensor:
        """(batch, heads, n, n), n = words + regions: the blocks in one matrix, NaN where the layer has none."""
        if not layer.blocks:
            raise HeedError(f"The layer {layer.name!r} has no attention.")
        words, regions = self.text_kinds.shape[1], self.image_kinds.shape[1]
        any_block = next(iter(layer.blocks.values()))
        whole = any_block.new_full((*any_block.shape[:2], words + regions, words + regions), torch.nan)
        places = {"text": slice(0, words), "image": slice(words, words + regions)}
        for name, block in layer.blocks.items():
            query, key = name.split("->")
            whole[:, :, places[query], places[key]] = block
        return whole

    def packed(self, layer: Layer, sample: int) -> tuple[Tensor, Tensor]:
        """One sample without its padding, as UNITER keeps it: weights (heads, n, n) and the kinds (n,)."""
        kept = self.kinds[sample] != PADDING
        return self.joined(layer)[sample][:, kept][:, :, kept], self.kinds[sample][kept]


class Reads(Protocol):
    """A network that reads batches: the published ones of this package, or a model of one's own."""

    def __call__(self, batch: Batch, edit: Edit | None) -> Reading:
        """Read a batch."""

    def word_scores(self, states: Tensor) -> Tensor | None:
        """Scores (..., vocabulary) of words from text states of the last layer; None without such a head."""

    def eval(self) -> Any:
        """Switch dropout off."""


@dataclass(frozen=True)
class Subject:
    """A model under study."""

    name: str
    model: Reads
    feature_dim: int
    """Length of the region features that it reads."""
    description: dict[str, Any]
    """What it is: family, configuration, where the weights came from and their digest, heads."""
    pieces: WordPieces | None = None
    """Its wordpieces; None where no vocabulary was given, so that only ids can be read."""

    def read(self, batch: Batch, edit: Edit | None = None, gradients: bool = False) -> Reading:
        """States and attention of every layer, dropout off; with ``gradients`` the graph is kept.

        Raises `HeedError` for a batch whose parts do not fit each other or the subject.
        """
        batch.checked()
        if batch.features.shape[1] and batch.features.shape[2] != self.feature_dim:
            raise HeedError(f"{self.name} reads region features of length {self.feature_dim}, not "
                            f"{batch.features.shape[2]}: extract them with the detector it was trained on.")
        self.model.eval()
        with torch.set_grad_enabled(gradients):
            return self.model(batch, edit)

    def word_scores(self, states: Tensor) -> Tensor:
        """Scores (..., vocabulary) of words from text states of the last layer; `HeedError` without such a head."""
        scores = self.model.word_scores(states)
        if scores is None:
            raise HeedError(f"The weights of {self.name} have no head that predicts masked words.")
        return scores
