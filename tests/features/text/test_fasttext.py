"""fastText's files: goldens are random models in its .bin layout, and what fastText's own program reads from them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from features.errors import HeedError
from features.text.fasttext import FastText, subword_hashes

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", ["subwords", "plain", "labels"])
def test_vectors_are_those_of_fasttext_itself(name: str) -> None:
    vectors = FastText.load(GOLDEN / f"fasttext_{name}.bin")
    for word, expected in json.loads((GOLDEN / f"fasttext_{name}.json").read_text()).items():
        assert np.abs(vectors.vector(word) - expected).max() < 1e-6, word
    assert "cat" in vectors and "unknown" not in vectors and vectors.dim == 16


def test_an_unknown_word_is_the_mean_of_its_grams_rows() -> None:
    vectors = FastText.load(GOLDEN / "fasttext_subwords.bin")

    def fnv(gram: str) -> int:
        value = 2166136261
        for byte in np.frombuffer(gram.encode(), np.int8):
            value = (value ^ (int(byte) & 0xFFFFFFFF)) * 16777619 % 2**32
        return value

    grams = ["<ü", "<üx", "<üx>", "üx", "üx>", "x>"]  # 2 to 4 characters, by start, then by length
    assert list(subword_hashes("üx", 2, 4)) == [fnv(gram) for gram in grams]
    rows = vectors.rows[[len(vectors.words) + fnv(gram) % 97 for gram in grams]]
    assert np.allclose(vectors.vector("üx"), rows.mean(0), atol=1e-6)


def test_single_characters_count_but_not_the_marks_of_the_words_ends() -> None:
    assert list(subword_hashes("a", 1, 1)) == list(subword_hashes("a", 1, 2))[1:2]
    assert len(list(subword_hashes("a", 1, 2))) == 3  # <a, a, a>


def test_a_text_is_the_mean_of_its_words() -> None:
    vectors = FastText.load(GOLDEN / "fasttext_subwords.bin")
    assert np.allclose(vectors.mean("stop exit"), (vectors.vector("stop") + vectors.vector("exit")) / 2)


def test_vec_files_are_read_and_unknown_words_are_zero(tmp_path: Path) -> None:
    (tmp_path / "a.vec").write_text("2 3\nthe 1 -2.5 3e-2 \nnew\u00a0york 4 5 6 \n", encoding="utf-8")
    vectors = FastText.load(tmp_path / "a.vec")
    assert vectors.vector("the").tolist() == pytest.approx([1, -2.5, 0.03])
    assert vectors.vector("new\u00a0york").tolist() == [4, 5, 6] and not vectors.vector("The").any()


@pytest.mark.parametrize("damage", [
    lambda data: data[:100], lambda data: data[:-3000], lambda data: b"\0" * 8 + data[8:], lambda data: b"",
    lambda data: data[:8] + b"\xff" + data[9:],
])
def test_damaged_files_are_refused_by_name(tmp_path: Path, damage) -> None:
    data = (GOLDEN / "fasttext_subwords.bin").read_bytes()
    (tmp_path / "m.bin").write_bytes(damage(data))
    with pytest.raises(HeedError, match=r"m\.bin is no fastText file"):
        FastText.load(tmp_path / "m.bin")
    (tmp_path / "m.vec").write_text("3 2\na 1 2\nb 1\n")
    with pytest.raises(HeedError, match="line 3 has not a word and 2 numbers"):
        FastText.load(tmp_path / "m.vec")
    with pytest.raises(HeedError, match="There are no fastText vectors"):
        FastText.load(tmp_path / "none.bin")
