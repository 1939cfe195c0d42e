"""BERT's wordpieces against the greedy rule of its paper."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import HeedError
from features.text.wordpieces import WordPieces

pytest.importorskip("tokenizers", reason="wordpieces need the package tokenizers")
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "##a", "##b", "ab", "##ab", "abab", "##ba", ",", ".", "cafe"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bert")
    (path / "vocab.txt").write_text("".join(f"{piece}\n" for piece in PIECES))
    return path


def greedy(text: str) -> list[str]:
    out = []
    for word in re.findall(r"[a-c]+|[,.]", text.lower()):
        pieces, at = [], 0
        while at < len(word):
            end = next((e for e in range(len(word), at, -1) if ("##" if at else "") + word[at:e] in PIECES), None)
            if end is None:
                pieces = ["[UNK]"]
                break
            pieces.append(("##" if at else "") + word[at:end])
            at = end
        out += pieces
    return out


@given(text=st.text("abAB c,. ", max_size=30))
def test_pieces_are_the_longest_that_fit_from_the_left(folder: Path, text: str) -> None:
    encoded = WordPieces.load(folder).encode(text)
    assert list(encoded.tokens) == ["[CLS]", *greedy(text), "[SEP]"]
    assert encoded.ids.tolist() == [PIECES.index(token) for token in encoded.tokens]
    for token, (start, end) in list(zip(encoded.tokens, encoded.spans, strict=True))[1:-1]:
        assert token == "[UNK]" or text[start:end].lower() == token.removeprefix("##")


def test_long_texts_are_cut_before_the_end_mark(folder: Path) -> None:
    encoded = WordPieces.load(folder).encode("a, b. a, b.", most=5)
    assert encoded.tokens == ("[CLS]", "a", ",", "b", "[SEP]") and encoded.spans[-1].tolist() == [-1, -1]


def test_case_and_accents_follow_the_models_own_config(folder: Path, tmp_path: Path) -> None:
    assert WordPieces.load(folder).encode("Café").tokens[1] == "cafe"
    (tmp_path / "vocab.txt").write_text((folder / "vocab.txt").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False}))
    assert WordPieces.load(tmp_path).encode("Café").tokens[1] == "[UNK]"


def test_a_file_that_is_no_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeedError, match="cannot be read"):
        WordPieces.load(tmp_path)
    (tmp_path / "vocab.txt").write_text("a\nb\n")
    with pytest.raises(HeedError, match=r"lacks \[UNK\]"):
        WordPieces.load(tmp_path)


@given(text=st.lists(st.sampled_from(["ab", "abab", "aba", "cafe", "a"]), max_size=8).map(" ".join))
def test_pieces_are_put_together_again(folder: Path, text: str) -> None:
    pieces = WordPieces.load(folder)
    assert pieces.decode(pieces.encode(text).ids.tolist()) == text
    assert pieces.decode([4, 12, 5, 13]) == "a, b."
