"""SwinBERT's sparse attention mask (Lin et al., CVPR 2022, arXiv 2111.13196, §3.2), static: the same for all videos.

Every pair of clips has a learned number, whose sigmoid m says how far one may look at the other, itself always (1).
BERT adds (1 - m) * -10000 to the scores, so that m must come very near to 1 for a clip to be seen at all: numbers that
only begin at a normal distribution's give about -5000, and 0 and 1 are told apart by training alone. The loss has the
mean of m over all pairs, 0 on the diagonal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BLOCKED = -10000.0
"""Added to the score of what m = 0 forbids (BERT)."""


class SparseMask(nn.Module):
    """The numbers of pairs of ``longest`` clips, named as in the released code (learn_vid_att.weight)."""

    def __init__(self, longest: int, hard: bool) -> None:
        super().__init__()
        self.longest, self.hard = longest, hard
        self.weight = nn.Parameter(torch.randn(longest * longest, 1))

    def open(self) -> Tensor:
        """m of every pair (longest, longest), 0 on the diagonal."""
        among = torch.sigmoid(self.weight.view(self.longest, self.longest))
        return among * (1 - torch.eye(self.longest, device=among.device))

    def forward(self, tokens: int, clips: int) -> Tensor:
        """What is added to the scores of ``tokens`` pieces and ``clips`` clips behind them, (1, 1, length, length).

        ``hard`` rounds m, which then learns by the sparsity loss alone, as in the released code.
        """
        among = self.open() + torch.eye(self.longest, device=self.weight.device)
        if self.hard:
            among = (among >= 0.5).float().detach()
        added = ((1 - among) * BLOCKED)[:clips, :clips]
        return nn.functional.pad(added, (tokens, 0, tokens, 0))[None, None]

    def loss(self) -> Tensor:
        """The mean of m."""
        return self.open().mean()
