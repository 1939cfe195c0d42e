"""DAMSM's text encoder (section 3.2): a bidirectional LSTM over learned word embeddings.

A word is the states of both directions at it, a sentence their last states. Padding is zero and changes nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class TextEncoder(nn.Module):
    """Tokens to words and sentence; parameters as in the published text_encoder*.pth.

    ``words`` is the size of the vocabulary, number 0 of it padding; ``dim`` that of the embeddings given, of which each
    direction has half.
    """

    def __init__(self, words: int, dim: int = 256, word_dim: int = 300, dropout: float = 0.5) -> None:
        super().__init__()
        self.encoder = nn.Embedding(words, word_dim)
        self.drop = nn.Dropout(dropout)
        self.rnn = nn.LSTM(word_dim, dim // 2, batch_first=True, bidirectional=True)
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)

    def forward(self, tokens: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (batch, words) int64 and lengths (batch,) of at least 1, on the CPU, in any order.

        Gives words (batch, words, dim), zero beyond a length, and sentences (batch, dim).
        """
        packed = pack_padded_sequence(self.drop(self.encoder(tokens)), lengths, batch_first=True, enforce_sorted=False)
        states, (last, _) = self.rnn(packed)
        words, _ = pad_packed_sequence(states, batch_first=True, total_length=tokens.shape[1])
        return words, torch.cat([last[0], last[1]], 1)
