"""What a captioner looks at of a clip: one token of all its features, or several, where they are vectors side by side.

SwinBERT's tokens are the cells of a grid, 7 x 7 for every two frames. A store has one row of numbers a clip; where it
is such a grid, flattened, or another list of vectors of one length, `CaptionerConfig.parts` says of how many. Which of
them a token is is told by an embedding, which the released code does not have: there the video encoder's features hold
it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from features.errors import HeedError
from training.models.captioner_config import CaptionerConfig

PLACE = 2
"""Numbers at the end of a clip's features that say where in the video it is."""


class ClipTokens(nn.Module):
    """Cuts clips; ``sizes`` are the lengths of the stores' features, the clips' places in the last one's.

    Raises `HeedError` where the first store's do not come in so many parts.
    """

    def __init__(self, config: CaptionerConfig, sizes: Sequence[int]) -> None:
        super().__init__()
        self.parts = config.parts
        self.first = sizes[0] - (PLACE if len(sizes) == 1 else 0)
        rest = sum(sizes) - PLACE - self.first
        self.tokens, self.dim = 1, sum(sizes)
        """Tokens of a clip, and the length of the features of those that are parts."""
        if self.parts == 1:
            return
        if self.first % self.parts:
            raise HeedError(f"The first store's clips have {self.first} numbers, which are not --model.parts "
                            f"{self.parts} vectors of one length.")
        self.tokens, self.dim = self.parts + bool(rest), self.first // self.parts + PLACE
        self.part_embedding = nn.Embedding(self.tokens, config.dim)
        self.others = nn.Linear(rest + PLACE, config.dim) if rest else None

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor | None]:
        """Of clips (batch, clips, d) the features of parts (batch, clips, parts, dim), and the one token of the other
        stores (batch, clips, 1, width), if there are any; uncut (batch, clips, d) and None where a clip is one token.
        """
        if self.parts == 1:
            return video, None
        place = video[..., None, -PLACE:]
        cut = video[..., : self.first].unflatten(-1, (self.parts, -1))
        cut = torch.cat([cut, place.expand(*cut.shape[:-1], PLACE)], -1)
        return cut, None if self.others is None else self.others(video[..., None, self.first :])

    def joined(self, parts: Tensor, others: Tensor | None) -> Tensor:
        """Tokens (batch, clips * tokens, width), a clip's side by side, of what linear layers made of `forward`'s."""
        if self.parts == 1:
            return parts
        whole = parts if others is None else torch.cat([parts, others], 2)
        return (whole + self.part_embedding.weight).flatten(1, 2)
