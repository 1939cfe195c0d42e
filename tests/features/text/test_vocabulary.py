"""Vocabularies in SCAN's layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from features.errors import HeedError
from features.text.vocabulary import Vocabulary

CAPTIONS = ["A red ball.", "a RED cube", "the red ball"]


def test_words_below_the_count_are_left_out_and_the_rest_keep_their_order() -> None:
    assert Vocabulary.build(CAPTIONS, min_count=2).words == ("<pad>", "<start>", "<end>", "<unk>", "a", "red", "ball")


def test_a_caption_is_framed_numbered_and_placed() -> None:
    text = "A  Red zebra"
    encoded = Vocabulary.build(CAPTIONS, min_count=2).encode(text)
    assert encoded.ids.tolist() == [1, 4, 5, 3, 2]
    assert encoded.tokens == ("<start>", "a", "red", "zebra", "<end>")
    assert encoded.spans.tolist() == [[-1, -1], [0, 1], [3, 6], [7, 12], [-1, -1]]
    assert (encoded.ids.dtype, encoded.spans.dtype) == ("int64", "int32")


def test_decoding_gives_the_words_back() -> None:
    vocabulary = Vocabulary.build(CAPTIONS, min_count=1)
    assert vocabulary.decode(vocabulary.encode("a red cube").ids) == ["<start>", "a", "red", "cube", "<end>"]


def test_the_file_has_the_published_layout_and_comes_back_equal(tmp_path: Path) -> None:
    vocabulary, path = Vocabulary.build(["a café"], min_count=1), tmp_path / "vocab.json"
    vocabulary.save(path)
    assert json.loads(path.read_text()) == {
        "word2idx": {"<pad>": 0, "<start>": 1, "<end>": 2, "<unk>": 3, "a": 4, "café": 5},
        "idx2word": {"0": "<pad>", "1": "<start>", "2": "<end>", "3": "<unk>", "4": "a", "5": "café"}, "idx": 6}
    assert Vocabulary.load(path) == vocabulary
    assert Vocabulary.load(path).number("café") == 5


@pytest.mark.parametrize(("content", "says"), [
    (None, "cannot read"),
    ("[1, 2]", "no vocabulary"),
    ("not json", "no vocabulary"),
    ('{"word2idx": {"<pad>": 0}, "idx2word": {"0": "<start>"}, "idx": 1}', "disagree"),
    ('{"word2idx": {"a": 0}, "idx2word": {"0": "a"}, "idx": 1}', "begins with"),
])
def test_a_bad_file_is_refused_with_a_sentence(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "vocab.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(HeedError, match=says):
        Vocabulary.load(path)


def test_a_word_cannot_have_two_numbers() -> None:
    with pytest.raises(HeedError, match="more than once"):
        Vocabulary(("<pad>", "<start>", "<end>", "<unk>", "a", "a"))
