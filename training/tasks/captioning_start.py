"""What a captioning run begins with: its word pieces, kept in the run, and perhaps somebody's weights."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from features.encoders.encoder import EncoderName
from features.errors import HeedError
from features.text.encoders.bert import PUBLISHED
from features.text.encoders.encoder import folder_of
from features.text.wordpiece_vocabulary import build_pieces, save_pieces
from features.text.wordpieces import WordPieces, says_lower
from training.models.captioner import Captioner
from training.models.captioner_published import start, start_from_bert


def run_pieces(run: Path, texts: Iterable[str], min_count: int, vocabulary: str) -> WordPieces:
    """RUN/vocab.txt where there is one; else ``vocabulary``, or one built from ``texts``, written there.

    ``vocabulary`` is a vocab.txt, a folder with it, OWNER/NAME or a published name. Raises `HeedError` where it is
    none of them.
    """
    if not (run / "vocab.txt").exists():
        if not vocabulary:
            save_pieces(run, build_pieces(texts, min_count))
        else:
            file = Path(vocabulary)
            file = file if file.is_file() else bert_folder(vocabulary) / "vocab.txt"
            try:
                lines = file.read_text(encoding="utf-8").splitlines()
            except (OSError, ValueError) as error:
                raise HeedError(f"The vocabulary {file} cannot be read: {error}.") from error
            save_pieces(run, lines, says_lower(file.parent / "tokenizer_config.json"))
    return WordPieces.load(run)


def start_weights(model: Captioner, name: str) -> None:
    """Load ``name`` into a captioner: a file, of SwinBERT or a run; or a BERT by its folder or name. Says which."""
    if Path(name).is_file():
        start(model, Path(name))
        print(f"The captioner starts from {name}.")
    else:
        found = start_from_bert(model, bert_folder(name))
        head = "and what tells pieces" if any(key.startswith("cls.") for key in found) else "(it tells no pieces)"
        print(f"The captioner's layers and embeddings start from {name} {head}.")


def bert_folder(name: str) -> Path:
    """The folder of a BERT by its path or name."""
    return folder_of(EncoderName("bert", name, "default"), PUBLISHED)
