"""How M4C answers: with words of a vocabulary or seen in the image, a step at a time (Hu et al. 2020, §3.2, 3.3).

A number below the vocabulary's size names its word, a greater one the OCR word with that number less the size.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.bert_layers import EPSILON

STEPS, KINDS = 100, 5
PADDED = -10000.0
"""What a pointer adds to the score of a padded word, as published: the loss needs a number, not -inf."""


class OcrPointer(nn.Module):
    """Score of every OCR word at every step: (W_q d + b_q).(W_k o + b_k) / sqrt(dim), in every variant of the study."""

    def __init__(self, hidden: int, dim: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(hidden, dim), nn.Linear(hidden, dim)

    def forward(self, steps: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        """(batch, steps, words) of states (batch, steps, hidden) and (batch, words, hidden)."""
        query, key = self.query(steps), self.key(words)
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        return scores + (~mask[:, None]).to(scores.dtype) * PADDED


class PreviousAnswers(nn.Module):
    """Embeddings of the words said before: a row of the classifier or an OCR word's own, with position and kind."""

    def __init__(self, hidden: int, dropout: float) -> None:
        super().__init__()
        self.position_embeddings = nn.Embedding(STEPS, hidden)
        self.token_type_embeddings = nn.Embedding(KINDS, hidden)
        self.ans_layer_norm, self.ocr_layer_norm, self.emb_layer_norm = (
            nn.LayerNorm(hidden, eps=EPSILON) for _ in range(3))
        self.emb_dropout = nn.Dropout(dropout)

    def forward(self, vocabulary: Tensor, words: Tensor, previous: Tensor) -> Tensor:
        """(batch, steps, hidden) of numbers ``previous`` (batch, steps) int64.

        ``vocabulary`` (size, hidden) are the classifier's rows, ``words`` (batch, words, hidden) the OCR inputs.
        """
        size = len(vocabulary)
        copied = previous >= size
        # The published code lays the whole vocabulary out for every question; each step needs one row of it.
        known = self.ans_layer_norm(F.embedding(previous.clamp(max=size - 1), vocabulary))
        place = (previous - size).clamp(min=0).unsqueeze(-1).expand(-1, -1, words.shape[-1])
        seen = F.pad(self.ocr_layer_norm(words), (0, 0, 0, 1)).gather(1, place)
        steps = self.position_embeddings.weight[: previous.shape[1]]
        told = self.emb_dropout(self.emb_layer_norm(steps + self.token_type_embeddings(copied.long())))
        return torch.where(copied.unsqueeze(-1), seen, known) + told
