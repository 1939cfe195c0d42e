"""Every state and every attention block equals what the published implementations gave (see `make_goldens`).

`python -m tests.evaluation.subjects.test_originals` prints the largest differences, which docs/subjects.md quotes.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from evaluation.subjects import load_subject
from evaluation.subjects.subject import BLOCKS, CLS, GLOBAL, IMAGE_IMAGE, PADDING, SEP, TASK, TEXT_TEXT, Batch, Reading
from tests.evaluation.subjects import published, rule

CLOSE = 1e-5


def read(name: str, folder: Path) -> tuple[Reading, Batch, dict[str, Tensor], object]:
    meta, wanted = published.golden(name)
    published.folder(folder, published.state_dict(meta), meta["config"])
    subject = load_subject(f"{name.split('_')[0]}:{folder}")
    batch = rule.batch(meta["dim"], meta["vocabulary"])
    return subject.read(batch), batch, wanted, subject


def far(found: Tensor, wanted: Tensor, *masks: Tensor) -> float:
    """The largest difference; with masks (batch, positions) of the last axes but states' own, at real ones only."""
    assert found.shape == wanted.shape
    gap = (found - wanted).abs()
    for axis, mask in enumerate(masks, 2 if found.ndim == 4 else 1):
        shape = [1] * gap.ndim
        shape[0], shape[axis] = mask.shape
        gap = gap * mask.reshape(shape)
    return float(gap.max())


def uniter(folder: Path) -> tuple[float, int]:
    """(largest difference, arrays compared); the original's are packed."""
    reading, batch, wanted, subject = read("uniter", folder)
    gaps = []
    kept = reading.kinds != PADDING
    for number, layer in enumerate(reading.layers):
        states = torch.cat([layer.text, layer.image], 1)
        for row in range(len(batch)):
            length = int(kept[row].sum())
            gaps.append(far(states[row][kept[row]][None], wanted[f"states {number}"][row:row + 1, :length]))
            if number:
                packed, kinds = reading.packed(layer, row)
                gaps.append(far(packed[None], wanted[f"attention {number}"][row:row + 1, :, :length, :length]))
                assert len(kinds) == length
    gaps.append(float((reading.match - (wanted["match"][:, 1] - wanted["match"][:, 0])).abs().max()))
    words = subject.word_scores(reading.text)
    gaps.append(far(words, wanted["words"][:, :words.shape[1]], batch.word_mask))
    alone = subject.read(replace(batch, features=batch.features[:, :0], boxes=batch.boxes[:, :0],
                                 region_mask=batch.region_mask[:, :0]))
    gaps.append(far(alone.text, wanted["text only"], batch.word_mask))
    other = subject.read(replace(batch, words=batch.words[:, :0], word_mask=batch.word_mask[:, :0]))
    gaps.append(far(other.image, wanted["image only"], batch.region_mask))
    for number in range(1, 4):
        assert set(alone.layers[number].blocks) == {TEXT_TEXT} and set(other.layers[number].blocks) == {IMAGE_IMAGE}
        gaps += [far(alone.layers[number].blocks[TEXT_TEXT], wanted[f"text only attention {number}"],
                     batch.word_mask, batch.word_mask),
                 far(other.layers[number].blocks[IMAGE_IMAGE], wanted[f"image only attention {number}"],
                     batch.region_mask, batch.region_mask)]
    return max(gaps), len(gaps)


def lxmert(folder: Path) -> tuple[float, int]:
    reading, batch, wanted, subject = read("lxmert", folder)
    masks = {"text": batch.word_mask, "image": batch.region_mask}
    names = {"text->text": "text", "image->image": "image", "text->image": "between", "image->text": "between again"}
    gaps = []
    for layer in reading.layers:
        for side in ("text", "image"):
            states = getattr(layer, side)
            if states is not None:
                key = f"states {layer.name}" + ("" if layer.name.startswith(side) else f" {side}")
                gaps.append(far(states, wanted[key], masks[side]))
        for block, weights in layer.blocks.items():
            query, keys = block.split("->")
            name = f"attention {layer.name}"
            if layer.name.startswith("cross"):
                name = f"{name} {names[block]}"
            gaps.append(far(weights, wanted[name], masks[query], masks[keys]))
    gaps.append(float((reading.match - (wanted["match"][:, 1] - wanted["match"][:, 0])).abs().max()))
    gaps.append(far(subject.word_scores(reading.text), wanted["words"], batch.word_mask))
    assert len(gaps) == len(wanted)
    return max(gaps), len(gaps)


def vilbert(folder: Path, name: str = "vilbert") -> tuple[float, int]:
    """The original's whole image is first and its task's word second: both are last here."""
    reading, _batch, wanted, subject = read(name, folder)
    tasks = name == "vilbert_tasks"
    texts = reading.text_kinds.shape[1]
    order = {"text": [0, *range(2, texts), 1] if tasks else list(range(texts)),
             "image": [*range(1, reading.image_kinds.shape[1]), 0]}
    masks = {"text": reading.text_kinds != PADDING, "image": reading.image_kinds != PADDING}
    gaps = []
    for layer in reading.layers:
        for side in ("text", "image"):
            states = getattr(layer, side)
            if states is not None:
                key = f"states {layer.name}" + ("" if layer.name.startswith(side) else f" {side}")
                gaps.append(far(states, wanted[key][:, order[side]], masks[side]))
        for block, weights in layer.blocks.items():
            query, keys = block.split("->")
            key = f"attention {layer.name}" + (f" {block}" if layer.name.startswith("cross") else "")
            gaps.append(far(weights, wanted[key][:, :, order[query]][..., order[keys]], masks[query], masks[keys]))
    gaps.append(float((reading.match - (wanted["match"][:, 0] - wanted["match"][:, 1])).abs().max()))
    gaps.append(far(subject.word_scores(reading.text), wanted["words"][:, order["text"]], masks["text"]))
    assert len(gaps) == len(wanted)
    assert reading.image_kinds[:, -1].eq(GLOBAL).all() and bool(reading.text_kinds[:, -1].eq(TASK).all()) == tasks
    return max(gaps), len(gaps)


def volta(folder: Path, name: str) -> tuple[float, int]:
    """The original numbers states and attention by sub-layer, from 1, and puts the whole image first."""
    reading, batch, wanted, subject = read(f"volta_{name}", folder)
    config = published.golden(f"volta_{name}")[0]["config"]
    feeds = sorted({*config["t_ff_sublayers"], *config["v_ff_sublayers"]})
    order = {"text": list(range(batch.words.shape[1])), "image": [*range(1, reading.image_kinds.shape[1]), 0]}
    masks = {"text": reading.text_kinds != PADDING, "image": reading.image_kinds != PADDING}
    gaps, blocks = [], 0
    for last, layer in zip([-1, *feeds], reading.layers, strict=True):
        for side in ("text", "image"):
            states = getattr(layer, side)
            if states is not None:
                gaps.append(far(states, wanted[f"{side} {last + 1}"][:, order[side]], masks[side]))
        for block, weights in layer.blocks.items():
            query, keys = block.split("->")
            # the nearest sub-layer before the feed-forward one that has this block
            number = max(int(key.split()[1]) for key in wanted
                         if key.startswith(block) and int(key.split()[1]) <= last + 1)
            found = wanted[f"{block} {number}"][:, :, order[query]][..., order[keys]]
            gaps.append(far(weights, found, masks[query], masks[keys]))
            blocks += 1
    gaps.append(float((reading.match - (wanted["match"][:, 0] - wanted["match"][:, 1])).abs().max()))
    gaps.append(far(subject.word_scores(reading.text), wanted["words"], masks["text"]))
    assert blocks == sum("->" in key for key in wanted)
    return max(gaps), len(gaps)


COMPARED = {"uniter": uniter, "lxmert": lxmert, "vilbert": vilbert,
            "vilbert, with task words": lambda folder: vilbert(folder, "vilbert_tasks"),
            "volta, uniter": lambda folder: volta(folder, "uniter"),
            "volta, lxmert": lambda folder: volta(folder, "lxmert"),
            "volta, vilbert": lambda folder: volta(folder, "vilbert"),
            "volta, visualbert": lambda folder: volta(folder, "visualbert")}


@pytest.mark.parametrize("name", COMPARED)
def test_all_states_and_blocks_equal_the_published_implementation(name: str, tmp_path: Path) -> None:
    gap, compared = COMPARED[name](tmp_path)
    assert gap < CLOSE and compared > 10


@pytest.mark.parametrize("name", ["uniter", "lxmert", "vilbert"])
def test_blocks_of_one_softmax_sum_to_one_and_padding_gets_nothing(name: str, tmp_path: Path) -> None:
    reading, _batch, _, _ = read(name, tmp_path)
    real = {"text": reading.text_kinds != PADDING, "image": reading.image_kinds != PADDING}
    for layer in reading.layers[1:]:
        assert {block for group in layer.groups for block in group} == set(layer.blocks)
        assert layer.joint == (name == "uniter")
        for group in layer.groups:
            side = group[0].split("->")[0]
            total = sum(layer.blocks[block].sum(-1) for block in group)
            torch.testing.assert_close(total, real[side][:, None].expand_as(total).float())
            for block in group:
                keys = ~real[block.split("->")[1]]
                assert layer.blocks[block].masked_select(keys[:, None, None]).eq(0).all()
    assert reading.text_kinds[:, 0].eq(CLS).all()
    assert reading.text_kinds.eq(SEP).sum(1).tolist() == [1, 1, 1]
    assert reading.text_kinds[1].tolist()[:6] == [CLS, 1, 1, SEP, PADDING, PADDING]


def test_two_stream_layers_have_the_blocks_that_they_compute_and_nan_elsewhere(tmp_path: Path) -> None:
    reading, batch, _, _ = read("lxmert", tmp_path)
    blocks = {layer.name: set(layer.blocks) for layer in reading.layers}
    assert blocks["embeddings"] == set() and blocks["text 3"] == {TEXT_TEXT} and blocks["image 2"] == {IMAGE_IMAGE}
    assert blocks["cross 1"] == blocks["cross 2"] == set(BLOCKS)
    words = batch.words.shape[1]
    whole = reading.joined(next(layer for layer in reading.layers if layer.name == "text 3"))
    assert not whole[:, :, :words, :words].isnan().any()
    assert whole[:, :, words:].isnan().all() and whole[:, :, :, words:].isnan().all()


if __name__ == "__main__":
    torch.set_num_threads(1)
    for subject, compare in COMPARED.items():
        with tempfile.TemporaryDirectory() as place:
            gap, compared = compare(Path(place))
        print(f"{subject}: {gap:.1e} over {compared} arrays")
