"""Text as M4C reads it (Hu et al. 2020): words seen in an image, answers to point at or to choose from.

An OCR word is told by its fastText vector and its PHOC, each L2-normalised by the model. Questions are BERT wordpieces
(`features.text.wordpieces`), at most 20 with [CLS] and [SEP].
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from features.errors import HeedError
from features.text.fasttext import FastText
from features.text.phoc import DIM, phoc
from features.text.symbols import Symbols

PAD, START, END, UNKNOWN = "<pad>", "<s>", "</s>", "<unk>"


def clean(word: str) -> str:
    """A word or an answer in lower case, without commas and question marks, 's set apart, stripped."""
    return word.lower().replace(",", "").replace("?", "").replace("'s", " 's").strip()


def read_answers(path: str | Path) -> Symbols:
    """A vocabulary in the layout of fixed_answer_vocab_textvqa_5k.txt: one answer word a line, <pad> first.

    Raises `HeedError` where it lacks one of <pad>, <s>, </s> and <unk>.
    """
    answers = Symbols.load(path)
    missing = [word for word in (PAD, START, END, UNKNOWN) if word not in answers.numbers]
    if missing or answers.words[0] != PAD:
        raise HeedError(f"{path} is no answer vocabulary of M4C: it {f'lacks {missing[0]}' if missing else ''}"
                        f"{'' if missing else f'begins with {answers.words[0]!r}, not with <pad>'}.")
    return Symbols(answers.words, UNKNOWN)


def word_features(words: Sequence[str], vectors: FastText) -> np.ndarray:
    """fastText and PHOC of OCR words: (n, dim + 604) float32, not normalised.

    Each word is cleaned first; one that holds spaces afterwards has the mean of its parts' vectors.
    """
    out = np.zeros((len(words), vectors.dim + DIM), np.float32)
    for row, word in zip(out, map(clean, words), strict=True):
        row[:vectors.dim], row[vectors.dim:] = vectors.mean(word), phoc(word)
    return out
