"""MAC: Compositional Attention Networks for Machine Reasoning (Hudson and Manning, ICLR 2018, arXiv 1803.03067).

A recurrent cell answers a question about an image in a fixed number of steps. In each, the control unit attends to the
question's words, the read unit attends to the image's knowledge base as the control asks, and the write unit brings
what was read into memory. The answer is read off the last memory and the question.

    words, question = LSTM(tokens)        base = stem(features)        m_0 learned, c_0 = question
    c_i = control(question, words)        r_i = read(m_{i-1}, base, c_i)        m_i = write(m_{i-1}, r_i)
    logits = classifier([m_n; W question + b])

Shapes: features (batch, cells, feature_dim) with a boolean mask, any number of cells; tokens (batch, words); logits
(batch, answers); attention (batch, 1, steps, keys), a step being a query. Padding has no influence on anything.

Follows the published code (stanfordnlp/mac-network) with the options of "Understanding Attention for
Vision-and-Language Tasks" (Cao et al., COLING 2022), which exchanges the score function in both attentions
(`training.models.mac_attention`). What differs is in form alone: attention masks padding with -inf, published code
with -1e30.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.attention.config import AttentionConfig
from training.models.mac_attention import xavier
from training.models.mac_config import MacConfig
from training.models.mac_inputs import GridStem, QuestionEncoder, RegionStem
from training.models.mac_units import ControlUnit, ReadUnit, WriteUnit


class MacOutput(NamedTuple):
    """What MAC gives."""

    logits: Tensor
    """(batch, answers)."""
    control: Tensor
    """(batch, 1, steps, words): attention over the words."""
    read: Tensor
    """(batch, 1, steps, cells): attention over the knowledge base."""


class Mac(nn.Module):
    """MAC with a chosen score function in its control and its read unit.

    ``feature_dim`` is the size of a cell's feature, ``vocabulary`` the number of words with padding as number 0,
    ``answers`` the number of answers; ``grid`` (rows, columns) makes the stem convolutional, None linear.
    """

    def __init__(
        self, config: MacConfig, attention: AttentionConfig, feature_dim: int, vocabulary: int, answers: int,
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.encoder = QuestionEncoder(config, vocabulary)
        self.stem = RegionStem(config, feature_dim) if grid is None else GridStem(config, feature_dim, grid)
        self.control = ControlUnit(config, config.other if config.attention_in == "read" else attention)
        self.read = ReadUnit(config, config.other if config.attention_in == "control" else attention)
        self.write = WriteUnit(config)
        self.first_memory = nn.Parameter(torch.randn(dim))
        self.question = xavier(nn.Linear(dim, dim)) if config.output_question else None
        parts = 1 + config.output_question * (1 + config.output_product)
        sizes = [dim * parts, *config.classifier, answers]
        self.classifier = nn.ModuleList(xavier(nn.Linear(a, b)) for a, b in pairwise(sizes))
        self.drop_output = nn.Dropout(config.drop_output)

    def forward(
        self, features: Tensor, boxes: Tensor, mask: Tensor, tokens: Tensor, lengths: Tensor
    ) -> MacOutput:
        """Logits and attention.

        features (batch, cells, feature_dim) of any float type, boxes (batch, cells, 5) of
        `training.models.mac_inputs.box_geometry`, mask (batch, cells) bool; tokens (batch, words) int64 of the given
        lengths (batch,), at least 1.
        """
        words, question = self.encoder(tokens, lengths)
        real = torch.arange(words.shape[1], device=words.device) < lengths.to(words.device).unsqueeze(1)
        base = self.stem(features, boxes, mask)
        memory = self.first_memory.expand(len(base), -1)
        kept = F.dropout(torch.ones_like(memory), self.config.drop_memory, self.training)  # one draw for all steps
        controls, of_words = self.control(question, words, real)
        once = None if self.training and self.config.drop_read else self.read.of_base(base)
        of_cells = []
        for control in controls.unbind(1):
            read, weights = self.read(memory * kept, base, mask, control, once)
            memory = self.write(memory, read)
            of_cells.append(weights)
        return MacOutput(self._answer(memory, question), of_words.unsqueeze(1), torch.stack(of_cells, 1).unsqueeze(1))

    def _answer(self, memory: Tensor, question: Tensor) -> Tensor:
        x = memory
        if self.question is not None:
            asked = self.question(question)
            x = torch.cat([memory, asked, memory * asked] if self.config.output_product else [memory, asked], -1)
        for number, layer in enumerate(self.classifier):
            x = layer(self.drop_output(x))
            if number < len(self.classifier) - 1:
                x = F.elu(x)
        return x
