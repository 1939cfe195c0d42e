"""Questions with their images' rows out of the stores, as M4C takes them in, and what it is to answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from features.errors import HeedError
from features.text.fasttext import FastText
from features.text.m4c import END, START, clean
from features.text.m4c_targets import AnswerEntries, answer_entries, draw_steps
from features.text.phoc import phoc
from features.text.symbols import Symbols
from features.text.vocabulary import EncodedCaption
from features.text.wordpieces import WordPieces
from pipeline.annotations import TextQuestion
from pipeline.pinned import PaddedTensors
from training.models.m4c_config import M4cConfig
from training.models.m4c_inputs import M4cInputs

Fields = Mapping[str, PaddedTensors]
LONGEST_WORD = 12
"""Pieces of an OCR word that are embedded."""


class Reading:
    """Turns samples into tensors; what follows from a word or a question is computed once."""

    def __init__(self, config: M4cConfig, pieces: WordPieces, answers: Symbols, vectors: FastText | None) -> None:
        self.config, self.pieces, self.answers, self.vectors = config, pieces, answers, vectors
        self.start, self.end = answers.number(START), answers.number(END)
        self._questions: dict[str, EncodedCaption] = {}
        self._entries: dict[str, AnswerEntries] = {}
        self._words: dict[str, tuple[np.ndarray, ...]] = {}
        self._spelled: dict[str, np.ndarray] = {}

    @property
    def word_dim(self) -> int:
        """Length of a word's fixed features."""
        return sum(len(part) for part in self._parts("a"))

    def question(self, asked: TextQuestion) -> EncodedCaption:
        """A question's wordpieces, cut to the most that are read."""
        if asked.id not in self._questions:
            self._questions[asked.id] = self.pieces.encode(asked.text, self.config.most_pieces)
        return self._questions[asked.id]

    def words(self, asked: TextQuestion) -> list[str]:
        """An image's words, cleaned, as many as can be pointed at."""
        return [clean(token.text) for token in asked.tokens[: self.config.most_words]]

    def inputs(self, samples: Sequence[TextQuestion], objects: Fields, ocr: Fields | None) -> M4cInputs:
        """A batch on the device of the stores' tensors.

        ``objects`` has features, boxes, width and height, ``ocr`` features and boxes of the images' words in their
        order. Raises `HeedError` for an image without a size.
        """
        most, device = self.config.most_objects, objects["features"].values.device
        size = torch.stack([objects["width"].values, objects["height"].values] * 2, 1).float()
        if len(size) and not bool((size > 0).all()):
            key = samples[int((size <= 0).any(1).nonzero()[0])].key
            raise HeedError(f"The store of regions has image {key!r} without its size, by which M4C measures boxes.")
        words = [self.words(asked) for asked in samples]
        lengths = [len(row) for row in words]
        if ocr is not None:
            lengths = [min(pair) for pair in zip(lengths, ocr["features"].lengths.tolist(), strict=True)]
            words = [row[:length] for row, length in zip(words, lengths, strict=True)]
        slots = max(lengths, default=0)
        tokens, token_mask = _padded([self.question(asked).ids for asked in samples])
        parts = tuple(torch.from_numpy(part).to(device) for part in self._features(words, slots))
        spelled = self._pieces(words, slots) if self.config.learned_words else None
        return M4cInputs(
            tokens.to(device), token_mask.to(device), objects["features"].values[:, :most].float(),
            objects["boxes"].values[:, :most].float() / size[:, None], objects["features"].mask[:, :most], parts,
            None if ocr is None else _fitted(ocr["features"].values, slots),
            None if spelled is None else spelled.to(device),
            self._boxes(samples, ocr, slots).to(device) / size[:, None],
            torch.arange(slots, device=device) < torch.tensor(lengths, device=device)[:, None],
        )

    def targets(
        self, samples: Sequence[TextQuestion], slots: int, random: Callable[[str], np.random.Generator]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Said before each step (batch, steps) int64, targets (batch, steps, entries), steps that count (batch, steps).

        ``random`` gives a question's generator by its id. A question whose answers cannot be spelled has no step that
        counts.
        """
        most, rule = self.config.steps, self.config.targets
        drawn = [draw_steps(self.entries(asked), self.answers, random(asked.id), most, rule) for asked in samples]
        longest = max(1, *(len(one.previous) for one in drawn))
        previous = torch.zeros(len(samples), longest, dtype=torch.int64)
        targets = torch.zeros(len(samples), longest, len(self.answers) + slots)
        counted = torch.zeros(len(samples), longest)
        previous[:, 0] = self.start
        for row, one in enumerate(drawn):
            previous[row, : len(one.previous)] = torch.from_numpy(one.previous)
            counted[row, : len(one.previous)] = 1
            for step, right in enumerate(one.right):
                for entry, value in right.items():
                    targets[row, step, entry] = value
        return previous, targets, counted

    def entries(self, asked: TextQuestion) -> AnswerEntries:
        """All ways to say what people answered."""
        if asked.id not in self._entries:
            self._entries[asked.id] = answer_entries(asked.answers, self.words(asked), self.answers)
        return self._entries[asked.id]

    def spell(self, entries: Sequence[int], words: Sequence[str]) -> tuple[list[str], list[str]]:
        """The words of an answer before its </s>, and where each is from: "OCR" or "VOCAB", as MMF writes it."""
        said, sources = [], []
        for entry in entries:
            if entry == self.end:
                break
            copied = entry >= len(self.answers)
            said.append(words[entry - len(self.answers)] if copied else self.answers.words[entry])
            sources.append("OCR" if copied else "VOCAB")
        return said, sources

    def _parts(self, word: str) -> tuple[np.ndarray, ...]:
        if word not in self._words:
            found = [] if self.vectors is None else [self.vectors.mean(word)]
            self._words[word] = (*found, *([phoc(word)] if self.config.phoc else []))
        return self._words[word]

    def _features(self, words: Sequence[Sequence[str]], slots: int) -> list[np.ndarray]:
        out = [np.zeros((len(words), slots, len(part)), np.float32) for part in self._parts("a")]
        for row, line in enumerate(words):
            for place, word in enumerate(line):
                for part, value in zip(out, self._parts(word), strict=True):
                    part[row, place] = value
        return out

    def _pieces(self, words: Sequence[Sequence[str]], slots: int) -> Tensor:
        out = np.zeros((len(words), slots, LONGEST_WORD), np.int64)
        for row, line in enumerate(words):
            for place, word in enumerate(line):
                if word not in self._spelled:
                    self._spelled[word] = self.pieces.encode(word, LONGEST_WORD + 2).ids[1:-1]
                out[row, place, : len(self._spelled[word])] = self._spelled[word]
        return torch.from_numpy(out)

    def _boxes(self, samples: Sequence[TextQuestion], ocr: Fields | None, slots: int) -> Tensor:
        """(batch, slots, 4) pixels: the annotations' own, the store's where those say nothing."""
        out = torch.zeros(len(samples), slots, 4) if ocr is None else _fitted(ocr["boxes"].values, slots).cpu()
        for row, asked in enumerate(samples):
            own = np.array([token.box for token in asked.tokens[:slots]], np.float32).reshape(-1, 4)
            known = own[:, 2] > own[:, 0]
            out[row, : len(own)][torch.from_numpy(known)] = torch.from_numpy(own[known])
        return out


def _padded(rows: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    out = torch.zeros(len(rows), max(map(len, rows), default=1), dtype=torch.int64)
    for place, row in enumerate(rows):
        out[place, : len(row)] = torch.from_numpy(row)
    lengths = torch.tensor([len(row) for row in rows])
    return out, torch.arange(out.shape[1]) < lengths[:, None]


def _fitted(values: Any, slots: int) -> Tensor:
    """(batch, n, d) cut or filled with zeros to (batch, slots, d) float32."""
    out: Tensor = torch.nn.functional.pad(values.float(), (0, 0, 0, max(0, slots - values.shape[1])))[:, :slots]
    return out
