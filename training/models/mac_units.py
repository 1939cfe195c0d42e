"""MAC's control, read and write units (Hudson and Manning 2018, section 3.2), as the published code has them.

The equations' numbers are the paper's; where the published code with the study's options differs, it is said. States
are (batch, dim), words (batch, words, dim), the knowledge base (batch, cells, dim).
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.attention.config import AttentionConfig
from training.models.mac_attention import UnitAttention, xavier
from training.models.mac_config import MacConfig


class ControlUnit(nn.Module):
    """Which operation to do next: attention over the question's words.

        q_i = W_i tanh(U q + d) + b_i           one W_i a step, U shared
        cq_i = q_i                              with ``feed_control`` W [c_{i-1}; q_i] + b (c1)
        ca = w.(cq_i * word) + c                (c2.1) or another score function
        cv = softmax(ca)                        (c2.2)
        c_i = sum of cv * word                  (c2.3)
    """

    def __init__(self, config: MacConfig, attention: AttentionConfig) -> None:
        super().__init__()
        dim = config.dim
        self.question = xavier(nn.Linear(dim, dim))
        self.step = nn.ModuleList(xavier(nn.Linear(dim, dim)) for _ in range(config.steps))
        self.merge = xavier(nn.Linear(2 * dim, dim)) if config.feed_control else None
        if config.published_control_side:
            attention = replace(attention, side="query" if attention.side == "key" else "key")
        self.attention = UnitAttention(dim, attention, config.control_combiner)

    def forward(self, question: Tensor, words: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Controls (batch, steps, dim) of all steps, and their weights (batch, steps, words).

        No step waits for the memory, so all are one; with ``feed_control`` they follow each other, from c_0 = question.
        """
        hidden = torch.tanh(self.question(question))
        wanted = torch.stack([step(hidden) for step in self.step], 1)
        if self.merge is None:
            weights = self.attention(wanted, words.unsqueeze(1), mask.unsqueeze(1))
            return weights @ words, weights
        before, found = question, []
        for one in wanted.unbind(1):
            found.append(self.attention(self.merge(torch.cat([before, one], -1)), words, mask))
            before = summary(found[-1], words)
        weights = torch.stack(found, 1)
        return weights @ words, weights


class ReadUnit(nn.Module):
    """What to take from the image: attention over its knowledge base.

        I = (W k + b) * (W m + b)               (r1), k a cell, m the memory after its dropout
        I' = W' elu(W [I; W k + b] + b) + b'    (r2); the paper has no elu and no W', and k in place of W k + b
        ra = w.elu(c * I') + c'                 (r3.1) or another score function; the paper has no elu
        rv = softmax(ra)                        (r3.2)
        r = sum of rv * k                       (r3.3)
    """

    def __init__(self, config: MacConfig, attention: AttentionConfig) -> None:
        super().__init__()
        dim = config.dim
        self.dropout = nn.Dropout(config.drop_read)
        self.cell = xavier(nn.Linear(dim, dim))
        self.memory = xavier(nn.Linear(dim, dim))
        self.join = xavier(nn.Linear(2 * dim, dim))
        self.after = xavier(nn.Linear(dim, dim)) if config.memory_layers == 2 else nn.Identity()
        self.attention = UnitAttention(dim, attention, config.read_combiner, F.elu, config.drop_read)

    def of_base(self, base: Tensor) -> tuple[Tensor, Tensor]:
        """What of I' follows from the knowledge base alone: W k + b, and its share of W [I; W k + b] + b.

        It is the same at every step unless cells are dropped, which is a draw a step.
        """
        cells = self.cell(self.dropout(base))
        return cells, F.linear(cells, self.join.weight[:, cells.shape[-1]:], self.join.bias)

    def forward(
        self, memory: Tensor, base: Tensor, mask: Tensor, control: Tensor, of_base: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """What is read (batch, dim), and the weights (batch, cells); ``of_base`` where it is known already."""
        cells, joined = of_base or self.of_base(base)
        together = cells * self.memory(self.dropout(memory)).unsqueeze(-2)
        together = self.after(F.elu(F.linear(together, self.join.weight[:, : cells.shape[-1]]) + joined))
        weights = self.attention(control, together, mask)
        return summary(weights, base), weights


class WriteUnit(nn.Module):
    """The new memory: m_i = W [m_{i-1}; r] + b (w1)."""

    def __init__(self, config: MacConfig) -> None:
        super().__init__()
        self.merge = xavier(nn.Linear(2 * config.dim, config.dim))

    def forward(self, memory: Tensor, read: Tensor) -> Tensor:
        """Memory (batch, dim)."""
        return self.merge(torch.cat([memory, read], -1))


def summary(weights: Tensor, values: Tensor) -> Tensor:
    """Sum of values (batch, n, dim) weighted by (batch, n): (batch, dim)."""
    return (weights.unsqueeze(-2) @ values).squeeze(-2)
