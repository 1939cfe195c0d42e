"""The same questions out of TextVQA's published layouts make the same batches."""

import numpy as np
import pytest
import torch

from pipeline.datasets import read_text_questions
from tests.training.test_text_vqa_task import config, data  # noqa: F401


def imdb(path, layout, questions, sizes):
    entries = []
    for number, asked in enumerate(questions, 5):
        width, height = sizes[asked.key]
        words, boxes = [token.text for token in asked.tokens], np.array([token.box for token in asked.tokens])
        entry = {"question": asked.text, "question_id": number, "image_id": asked.key, "answers": list(asked.answers),
                 "image_width": width, "image_height": height}
        entries.append(entry | ({"google_ocr_tokens_filtered": words} if layout == "sam" else {
            "ocr_tokens": words, "ocr_normalized_boxes": boxes / [width, height, width, height],
            "image_path": f"train/{asked.key}.jpg", "feature_path": f"COCO/{asked.key}.npy"}))
    np.save(path, np.array([{"version": 1}, *entries], object), allow_pickle=True)


@pytest.mark.parametrize("layout", ["sam", "mmf"])
def test_published_layouts_make_the_batches_of_the_scenes(data, tmp_path, layout, monkeypatch):  # noqa: F811
    if layout == "mmf":  # its keys are paths of features; the store's are names of images
        monkeypatch.setattr("pipeline.datasets.textvqa_imdb._feature_key", lambda entry: entry["image_id"])
    folder = tmp_path / "imdb"
    folder.mkdir()
    sizes = {asked.key: (32, 32) for asked in read_text_questions(data / "signs")}
    for split in ("train", "val", "test"):
        name = f"tvqa_{split}_imdb.npy" if layout == "sam" else f"imdb_{split}_ocr_en.npy"
        imdb(folder / name, layout, read_text_questions(data / "signs", split), sizes)
    ours = config(data, tmp_path / "scenes").build()
    theirs = config(data, tmp_path / layout, questions=folder).build()
    batches = [next(task._held("train")) for task in (ours, theirs)]
    one, other = (task._inputs(batch) for task, batch in zip((ours, theirs), batches, strict=True))
    for name in ("tokens", "objects", "object_boxes", "word_objects", "word_pieces", "word_mask"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name
    assert (one.word_boxes - other.word_boxes).abs().max() < 1e-5
    assert all(torch.equal(a, b) for a, b in zip(one.words, other.words, strict=True))
    drawn = [task.reading.targets(batch.samples, 9, lambda _: np.random.default_rng(0))
             for task, batch in zip((ours, theirs), batches, strict=True)]
    assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))
