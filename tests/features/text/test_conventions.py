"""AttnGAN's, MAC's and M4C's words and numbers against literal restatements of their published steps."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.tokenize import RegexpTokenizer

from features.errors import HeedError
from features.text import attngan, clevr, m4c
from features.text.fasttext import FastText
from features.text.phoc import phoc
from features.text.symbols import Symbols

GOLDEN = Path(__file__).parent / "golden"
TEXT = st.text("abcXYZ09 _.,;:?!\\/()-'\"éß\n", max_size=40)


@given(TEXT)
def test_attngan_words_are_runs_of_letters_kept_to_ascii(caption: str) -> None:
    words = [word.encode("ascii", "ignore").decode() for word in RegexpTokenizer(r"\w+").tokenize(caption.lower())]
    tokens = attngan.tokenize(caption)
    assert [token.text for token in tokens] == [word for word in words if word]
    for token in tokens:
        assert caption[token.start:token.end].lower().encode("ascii", "ignore").decode() == token.text


def test_attngan_numbers_follow_the_words_and_zero_is_the_end() -> None:
    vocabulary = attngan.build(["This bird is red.", "A red, RED bird"])
    assert vocabulary.words == ("<end>", "this", "bird", "is", "red", "a")
    assert attngan.encode("a green bird", vocabulary).tolist() == [5, 2]  # unknown words are left out


def test_attngan_pads_short_captions_and_chooses_from_long_ones_in_order() -> None:
    rng = np.random.default_rng(0)
    assert attngan.choose(np.arange(1, 4), 5, rng).tolist() == [1, 2, 3, 0, 0]
    drawn = np.array([attngan.choose(np.arange(1, 7), 3, rng) for _ in range(600)])
    assert (np.diff(drawn, axis=1) > 0).all()
    assert abs(np.bincount(drawn.ravel(), minlength=7)[1:] - 300).max() < 60  # every word as often


@given(TEXT)
def test_clevr_words_are_those_of_macs_preprocessing(question: str) -> None:
    text = question
    for mark in (".", ",", ";", ":"):
        text = text.replace(mark, f" {mark} ")
    for mark in ("?", "!", "\\", "/", ")", "("):
        text = text.replace(mark, "")
    assert [token.text for token in clevr.tokenize(question)] == [w for w in text.lower().split(" ") if w]


def test_clevr_vocabularies_number_words_in_order_of_appearance() -> None:
    questions = clevr.question_vocabulary(["Is the cube red?", "What is the cube; a sphere?"])
    assert questions.words[:5] == ("<PAD>", "<UNK>", "<START>", "<END>", "is")
    assert questions.words[5:] == ("the", "cube", "red", "what", ";", "a", "sphere")
    assert questions.number("cylinder") == 1
    answers = clevr.answer_vocabulary(["yes", "no", "yes", "2"])
    assert answers.encode(["2", "yes"]).tolist() == [2, 0] and answers.decode([1]) == ["no"]
    with pytest.raises(HeedError, match="no 'maybe'"):
        answers.number("maybe")


def test_m4c_words_are_cleaned_and_told_by_vector_and_spelling() -> None:
    vectors = FastText.load(GOLDEN / "fasttext_subwords.bin")
    assert m4c.clean(" Denny's, Open? ") == "denny 's open"
    features = m4c.word_features(["STOP,", "Dog's"], vectors)
    assert features.shape == (2, 16 + 604) and features.dtype == np.float32
    assert (features[0] == np.concatenate([vectors.vector("stop"), phoc("stop")])).all()
    assert np.allclose(features[1, :16], (vectors.vector("dog") + vectors.vector("'s")) / 2)


def test_m4c_answers_need_their_special_words(tmp_path: Path) -> None:
    path = tmp_path / "answers.txt"
    path.write_text("<pad>\n<s>\n</s>\n<unk>\nyes\nn/a\n")
    assert m4c.read_answers(path).encode(["yes", "never seen", "<s>"]).tolist() == [4, 3, 1]
    path.write_text("<pad>\n<s>\n</s>\nyes\n")
    with pytest.raises(HeedError, match="lacks <unk>"):
        m4c.read_answers(path)
    path.write_text("yes\n<pad>\n<s>\n</s>\n<unk>\n")
    with pytest.raises(HeedError, match="begins with 'yes'"):
        m4c.read_answers(path)


def test_a_vocabulary_file_comes_back_equal_and_doubles_are_refused(tmp_path: Path) -> None:
    words = [chr(97 + n) * (n + 1) for n in range(9)]
    random.Random(0).shuffle(words)
    Symbols(tuple(words)).save(tmp_path / "v.txt")
    assert Symbols.load(tmp_path / "v.txt").words == tuple(words)
    (tmp_path / "v.txt").write_text("a\nb\na\n")
    with pytest.raises(HeedError, match="holds 'a' more than once"):
        Symbols.load(tmp_path / "v.txt")
