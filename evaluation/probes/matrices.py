"""Features of examples from the readings: matrices on the disk, filled part by part."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evaluation.probes.cache import LayerInfo, Part
from evaluation.probes.examples import Examples
from evaluation.probes.pairs import Pair
from evaluation.probes.phrases import pooled, positions
from evaluation.probes.study import Study


def coreference_attention(study: Study, examples: Examples) -> tuple[np.ndarray, list[tuple[str, slice]]]:
    """(n, 2 x heads) float32 on the disk: of each head the phrase's attention on the region, and the region's on it.

    Also the columns of each layer. Layers without attention between the two sides are left out; a phrase's pieces are
    pooled as the option says.
    """
    def weights(part: Part, layer: LayerInfo, row: int, pair: Pair, here: slice) -> np.ndarray:
        there, back = part.block(layer.name, "text->image")[row], part.block(layer.name, "image->text")[row]
        found = np.empty((here.stop - here.start, 2, layer.heads), np.float32)
        for link in np.unique(examples.first[here]):
            chosen = examples.first[here] == link
            pieces = positions(part.spans[row], pair.links[link])
            regions = examples.second[here][chosen]
            found[chosen, 0] = pooled(there[:, pieces], 1, study.options.pooling)[:, regions].T
            found[chosen, 1] = pooled(back[:, :, pieces], 2, study.options.pooling)[:, regions].T
        return found.reshape(len(found), -1)

    return _attention(study, examples, ("text->image", "image->text"), weights)


def relation_attention(study: Study, examples: Examples) -> tuple[np.ndarray, list[tuple[str, slice]]]:
    """(n, 2 x heads) float32 on the disk: of each head the attention of the first region on the second, and back."""
    def weights(part: Part, layer: LayerInfo, row: int, pair: Pair, here: slice) -> np.ndarray:
        block = part.block(layer.name, "image->image")[row]
        first, second = examples.first[here], examples.second[here]
        return np.concatenate([block[:, first, second].T, block[:, second, first].T], 1)

    return _attention(study, examples, ("image->image",), weights)


def _attention(study, examples, needed, weights):  # type: ignore[no-untyped-def]
    layers = [layer for layer in study.cache.attended if set(needed) <= set(layer.blocks)]
    ends = np.cumsum([0, *(2 * layer.heads for layer in layers)]).tolist()
    columns = [(layer.name, slice(*ends[place:place + 2])) for place, layer in enumerate(layers)]
    matrix = _matrix(study, "attention", (len(examples), ends[-1]))
    for part, pairs in study.parts():
        held = _Held(part)
        for (_, place), layer in zip(columns, layers, strict=True):
            for row, (number, pair) in enumerate(zip(part.pairs.tolist(), pairs, strict=True)):
                here = examples.of(number)
                if here.stop > here.start:
                    matrix[here, place] = weights(held, layer, row, pair, here)
            held.forget()
    return matrix, columns


def coreference_states(study: Study, examples: Examples) -> Iterator[tuple[str, np.ndarray, int]]:
    """Of each layer with both sides: its name, (n, d) float32 on the disk, and how many columns stand side by side.

    The phrase's pooled state, the region's; with the option `combine` "product" also their product, where both have one
    length. The matrix is written anew for the next layer.
    """
    for layer in study.cache.layers:
        if not layer.text or not layer.image:
            continue
        beside = layer.text + layer.image
        product = study.options.combine == "product" and layer.text == layer.image
        matrix = _matrix(study, "states", (len(examples), beside + product * layer.text))
        for part in study.cache:
            text, image = part.states(layer.name, "text"), part.states(layer.name, "image")
            for row, (number, spans) in enumerate(zip(part.pairs.tolist(), part.spans, strict=True)):
                here = examples.of(number)
                for link in np.unique(examples.first[here]):
                    chosen = here.start + np.flatnonzero(examples.first[here] == link)
                    pieces = positions(spans, study.pairs.pairs[number].links[link])
                    phrase = pooled(text[row, pieces], 0, study.options.pooling)
                    regions = image[row, examples.second[chosen]]
                    matrix[chosen, :layer.text] = phrase
                    matrix[chosen, layer.text:beside] = regions
                    if product:
                        matrix[chosen, beside:] = phrase * regions
        yield layer.name, matrix, beside


def relation_states(study: Study, examples: Examples) -> Iterator[tuple[str, np.ndarray]]:
    """The same for two regions, of each layer with an image side: its name and the matrix."""
    for layer in study.cache.layers:
        if not layer.image:
            continue
        product = study.options.combine == "product"
        matrix = _matrix(study, "states", (len(examples), (2 + product) * layer.image))
        for part in study.cache:
            image = part.states(layer.name, "image")
            for row, number in enumerate(part.pairs.tolist()):
                here = examples.of(number)
                first, second = image[row, examples.first[here]], image[row, examples.second[here]]
                matrix[here] = np.concatenate([first, second, *([first * second] if product else [])], 1)
        yield layer.name, matrix


def _matrix(study: Study, name: str, shape: tuple[int, int]) -> np.ndarray:
    return np.lib.format.open_memmap(study.scratch / f"{name}.npy", "w+", np.float32, shape)


class _Held:
    """A part whose blocks are read once for all rows of a layer."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._blocks: dict[tuple[str, str], np.ndarray] = {}
        self.spans = part.spans

    def block(self, layer: str, block: str) -> np.ndarray:
        if (layer, block) not in self._blocks:
            self._blocks[layer, block] = self._part.block(layer, block)
        return self._blocks[layer, block]

    def forget(self) -> None:
        self._blocks.clear()
