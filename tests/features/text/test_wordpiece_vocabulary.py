from pathlib import Path

import pytest

from evaluation.subjects.trace import CLS_ID, SEP_ID
from features.errors import HeedError
from features.text.wordpiece_vocabulary import MASK_ID, build_pieces, save_pieces
from features.text.wordpieces import WordPieces

TEXTS = ["A red star, and a red moon.", "Red stars!", "The moon"]


def test_special_pieces_have_bert_s_numbers(tmp_path: Path) -> None:
    """[PAD] 0, [UNK] 100, [CLS] 101, [SEP] 102, [MASK] 103 in bert-base-uncased's vocab.txt."""
    pieces = build_pieces(TEXTS)
    assert [pieces.index(piece) for piece in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")] == [0, 100, 101, 102, 103]
    assert (CLS_ID, SEP_ID, MASK_ID) == (101, 102, 103)
    save_pieces(tmp_path, pieces)
    assert WordPieces.load(tmp_path).encode("moon").ids.tolist() == [101, pieces.index("moon"), 102]


def test_common_words_are_whole_and_rare_ones_spelt_out(tmp_path: Path) -> None:
    save_pieces(tmp_path, build_pieces(TEXTS, min_count=2))
    read = WordPieces.load(tmp_path)
    assert read.encode("red RED moon").tokens == ("[CLS]", "red", "red", "moon", "[SEP]")
    assert read.encode("star").tokens == ("[CLS]", "s", "##t", "##a", "##r", "[SEP]")
    assert read.encode("zoo").tokens == ("[CLS]", "[UNK]", "[SEP]")


def test_the_commonest_words_are_kept_where_there_is_room_for_few() -> None:
    whole = build_pieces(TEXTS, 1)
    words = [piece for piece in whole if len(piece) > 1 and not piece.startswith(("[", "##"))]
    assert words == ["red", "moon", "and", "star", "stars", "the"]
    assert build_pieces(TEXTS, 1, len(whole) - 4) == whole[:-4]
    assert build_pieces(reversed(TEXTS), 1) == whole
    with pytest.raises(HeedError, match="no text"):
        build_pieces([])
