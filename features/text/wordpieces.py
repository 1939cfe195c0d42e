"""BERT's wordpieces (Devlin et al. 2019) from a local vocabulary, with their places in the text."""

from __future__ import annotations

import json
import string
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from features.errors import HeedError
from features.text.vocabulary import EncodedCaption
from features.text.words import tokenize

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class WordPieces:
    """A loaded vocabulary."""

    tokenizer: Any
    """A `tokenizers` BertWordPieceTokenizer."""

    def __len__(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def encode(self, text: str, most: int = 512) -> EncodedCaption:
        """[CLS], the text's pieces, [SEP]: at most ``most`` in all, cut behind the last piece that fits."""
        found = self.tokenizer.encode(text)
        kept = [*range(min(len(found.ids) - 1, most - 1)), len(found.ids) - 1]
        spans = np.array(found.offsets, np.int32)[kept]
        spans[[0, -1]] = -1
        return EncodedCaption(np.array(found.ids, np.int64)[kept], tuple(found.tokens[i] for i in kept), spans)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of pieces, special ones left out: words apart, ##continuations joined, no space before full stops
        and apostrophes (the tokeniser's own clean-up).
        """
        found: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return found

    @classmethod
    def load(cls, path: str | Path, lower: bool | None = None) -> WordPieces:
        """Read vocab.txt (one piece a line), or the folder that holds it.

        ``lower`` None takes what tokenizer_config.json beside it says (do_lower_case), else lower case, which is right
        for the uncased models. Raises `HeedError` where the file or the package `tokenizers` is not there.
        """
        path = Path(path)
        path = path / "vocab.txt" if path.is_dir() else path
        try:
            from tokenizers import BertWordPieceTokenizer
        except ImportError:
            raise HeedError("BERT's wordpieces need the package tokenizers: pip install 'heed[encoders]'.") from None
        try:
            pieces = [line.rstrip("\n") for line in path.open(encoding="utf-8")]
        except (OSError, ValueError) as error:
            raise HeedError(f"The vocabulary {path} cannot be read: {error}.") from error
        missing = [piece for piece in ("[UNK]", "[CLS]", "[SEP]") if piece not in pieces]
        if missing:
            raise HeedError(f"{path} is no vocabulary of BERT: it lacks {missing[0]}.")
        if lower is None:
            lower = says_lower(path.parent / "tokenizer_config.json")
        return cls(BertWordPieceTokenizer({piece: n for n, piece in enumerate(pieces)}, lowercase=lower))


def says_lower(config: Path) -> bool:
    """Whether a tokenizer_config.json says that words are lower-cased; True where it says nothing."""
    try:
        return bool(json.loads(config.read_text(encoding="utf-8")).get("do_lower_case", True))
    except (OSError, ValueError, AttributeError):
        return True


def build_pieces(texts: Iterable[str], min_count: int) -> tuple[str, ...]:
    """A vocabulary for texts that no published one is at hand for: their words that occur at least ``min_count``
    times, and letters and digits, alone and as ##continuations, which spell every other word.

    Special pieces come first, [PAD] as number 0; write one piece a line and `WordPieces.load` reads it.
    """
    counts = Counter(token.text for text in texts for token in tokenize(text))
    letters = string.ascii_lowercase + string.digits
    words = (word for word, count in counts.most_common() if count >= min_count)
    return tuple(dict.fromkeys((*_SPECIAL, *letters, *string.punctuation, *(f"##{c}" for c in letters), *words)))
