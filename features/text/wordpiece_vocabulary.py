"""A vocabulary of wordpieces for texts of one's own, in the format of BERT's vocab.txt.

As in bert-base-uncased, [PAD] is line 0, [UNK], [CLS], [SEP] and [MASK] are lines 100 to 103, and unused pieces fill
the lines between: code that knows BERT's numbers reads it. Behind them stand the characters, at a word's beginning and
inside (##), then whole words, the commonest first. So a rarer word is spelt out, and nothing that consists of known
characters is unknown. It follows from the texts alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from features.errors import HeedError

SPECIAL = ("[PAD]", *(f"[unused{n}]" for n in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""The first lines of bert-base-uncased's vocab.txt."""
MASK_ID = SPECIAL.index("[MASK]")


def build_pieces(texts: Iterable[str], min_count: int = 2, most: int = 30522) -> tuple[str, ...]:
    """At most ``most`` pieces: the special ones, all characters, and words that occur ``min_count`` times.

    Words are lower-cased and parted as BERT's own tokeniser does it. Raises `HeedError` where there is no text.
    """
    try:
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import BertPreTokenizer
    except ImportError:
        raise HeedError("BERT's wordpieces need the package tokenizers: pip install 'heed[encoders]'.") from None
    normal, apart = BertNormalizer(lowercase=True), BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        words.update(word for word, _ in apart.pre_tokenize_str(normal.normalize_str(text)))
    if not words:
        raise HeedError("There is no text to build a vocabulary from.")
    characters = sorted({character for word in words for character in word})
    pieces = [*SPECIAL, *characters, *(f"##{character}" for character in characters)]
    common = sorted((word for word, count in words.items() if count >= min_count and len(word) > 1),
                    key=lambda word: (-words[word], word))
    return tuple(pieces + common[:max(0, most - len(pieces))])


def save_pieces(folder: Path, pieces: Iterable[str], lower: bool = True) -> None:
    """Write vocab.txt, and tokenizer_config.json saying whether words are lower-cased."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("".join(piece + "\n" for piece in pieces), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": lower}) + "\n", encoding="utf-8")
