"""The word pieces of a pre-training run: a checkpoint's, or built from the training captions; kept in the run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from features.errors import HeedError
from features.text.wordpiece_vocabulary import build_pieces, save_pieces
from features.text.wordpieces import WordPieces, says_lower
from training.models.pretraining import family_of


def run_pieces(
    run: Path, texts: Iterable[str], min_count: int, checkpoint: Path | None, vocabulary: Path | None, streams: str,
) -> WordPieces:
    """RUN/vocab.txt where there is one; else the checkpoint's vocabulary, or one built from ``texts``, written there.

    Raises `HeedError` where a checkpoint has no vocabulary beside it and none is given.
    """
    if not (run / "vocab.txt").exists():
        if checkpoint is None:
            save_pieces(run, build_pieces(texts, min_count))
        else:
            folder = checkpoint if checkpoint.is_dir() else checkpoint.parent
            source = vocabulary or folder
            file = source / "vocab.txt" if source.is_dir() else source
            if not file.is_file():
                raise HeedError(f"There is no vocabulary {file} for the checkpoint {checkpoint}: give its vocab.txt as "
                                "--vocabulary.")
            beside = file.parent / "tokenizer_config.json"
            lower = says_lower(beside) if beside.is_file() else family_of(streams).lower
            save_pieces(run, file.read_text(encoding="utf-8").splitlines(), lower)
    return WordPieces.load(run)
