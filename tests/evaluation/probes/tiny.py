"""Small subjects with random weights, and a vocabulary of the words at hand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from evaluation.subjects import lxmert, uniter
from evaluation.subjects.loading import build
from evaluation.subjects.subject import Subject
from features.text.wordpieces import WordPieces


def vocabulary(path: Path, texts: Iterable[str]) -> Path:
    """A vocab.txt with every word of the texts, special pieces where BERT has them."""
    words = sorted({word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())})
    unused = [f"[unused{n}]" for n in range(1, 100)]
    path.write_text("\n".join(["[PAD]", *unused, "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
    return path


def tiny_uniter(vocabulary: Path, features: int, layers: int = 2, heads: int = 3, width: int = 24,
                seed: int = 0) -> Subject:
    pieces = WordPieces.load(vocabulary, lower=True)
    config = uniter.Config(vocabulary=len(pieces), width=width, layers=layers, heads=heads, inner=2 * width,
                           positions=128, features=features)
    return _subject("uniter:tiny=random", uniter.FAMILY, config, pieces, seed)


def tiny_lxmert(vocabulary: Path, features: int, seed: int = 0) -> Subject:
    pieces = WordPieces.load(vocabulary, lower=True)
    config = lxmert.Config(vocabulary=len(pieces), width=24, text_layers=2, image_layers=1, cross_layers=2, heads=3,
                           inner=48, positions=128, features=features)
    return _subject("lxmert:tiny=random", lxmert.FAMILY, config, pieces, seed)


def _subject(name, family, config, pieces, seed):
    model = build(family, config, None, name, seed)
    return Subject(name, model, config.features, {"family": family.name, "weights": f"tiny {seed}"}, pieces)
