"""What M4C's task takes from its data: the question's wordpieces and the answer vocabulary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from features.text.symbols import Symbols
    from features.text.wordpieces import WordPieces
    from pipeline.annotations import TextQuestion
    from training.tasks.text_vqa import TextVqaConfig

PIECES_FILE, ANSWERS_FILE = "vocab.txt", "answers.txt"


def pieces_of(config: TextVqaConfig, training: Sequence[TextQuestion]) -> WordPieces:
    """The question's wordpieces: as given, as the run has them, else built from the training questions and kept."""
    from features.text.wordpieces import WordPieces, build_pieces

    if config.pieces is not None:
        return WordPieces.load(config.pieces)
    path = config.out / PIECES_FILE
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = build_pieces((asked.text for asked in training), config.piece_count)
        path.write_text("".join(f"{piece}\n" for piece in found), encoding="utf-8")
    return WordPieces.load(path)


def answers_of(config: TextVqaConfig, training: Sequence[TextQuestion]) -> Symbols:
    """The answer vocabulary, likewise."""
    from features.text.m4c import END, PAD, START, UNKNOWN, clean, read_answers
    from features.text.symbols import Symbols

    if config.answers is not None:
        return read_answers(config.answers)
    path = config.out / ANSWERS_FILE
    if not path.exists():
        counts = Counter(word for asked in training
                         for word in {word for answer in asked.answers for word in clean(answer).split()})
        words = (word for word, count in counts.most_common() if count >= config.answer_count)
        path.parent.mkdir(parents=True, exist_ok=True)
        Symbols.build(words, (PAD, START, END, UNKNOWN)).save(path)
    return read_answers(path)
