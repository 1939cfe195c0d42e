"""AttnGAN's discriminators, one a stage: is this a real picture, and does it fit the sentence?"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from training.models.attngan.blocks import downsampling, initialise, same_size


class Verdict(nn.Module):
    """4 x 4 cells to a logit, with the sentence beside each cell if ``joint``."""

    def __init__(self, channels: int, sentence_dim: int, joint: bool) -> None:
        super().__init__()
        if joint:
            self.jointConv = same_size(channels + sentence_dim, channels)
        # A sequence of one keeps the published name; the published second is the sigmoid, which is in the loss here.
        self.outlogits = nn.Sequential(nn.Conv2d(channels, 1, 4, stride=4))

    def forward(self, cells: Tensor, sentences: Tensor | None = None) -> Tensor:
        """Cells (batch, channels, 4, 4) and, of a joint one, sentences (batch, sentence_dim) to logits (batch,)."""
        if sentences is not None:
            beside = sentences[:, :, None, None].expand(-1, -1, *cells.shape[2:])
            cells = self.jointConv(torch.cat([cells, beside], 1))
        return self.outlogits(cells).flatten()


class Discriminator(nn.Module):
    """For pictures of ``size`` pixels, 16 or more; parameters as in the published netD*.pth (64, 128 and 256 pixels).

    Four halvings end at 8 df channels; each halving beyond them doubles the channels, and as many convolutions bring
    them back to 8 df. A picture smaller than 64 starts with as many more channels.
    """

    def __init__(self, size: int, df_dim: int, sentence_dim: int, unconditional: bool = True) -> None:
        super().__init__()
        halvings = size.bit_length() - 3
        first = min(halvings, 4)
        widths = [df_dim << 4 - first + number for number in range(first)]
        layers = downsampling(3, widths[0], norm=False)
        for before, after in itertools.pairwise(widths):
            layers += downsampling(before, after)
        self.img_code_s16 = nn.Sequential(*layers)
        channels = widths[-1]
        self.further: list[str] = []
        for number in range(1, halvings - first + 1):
            self._add(f"img_code_s{16 << number}", nn.Sequential(*downsampling(channels, 2 * channels)))
            channels *= 2
        for number in range(1, halvings - first + 1):
            self._add(f"img_code_s{16 << halvings - first}_{number}", same_size(channels, channels // 2))
            channels //= 2
        self.UNCOND_DNET = Verdict(channels, sentence_dim, joint=False) if unconditional else None
        self.COND_DNET = Verdict(channels, sentence_dim, joint=True)
        initialise(self)

    def _add(self, name: str, module: nn.Module) -> None:
        setattr(self, name, module)
        self.further.append(name)

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures (batch, 3, size, size) to cells (batch, 8 df, 4, 4) for the verdicts."""
        x = self.img_code_s16(pictures)
        for name in self.further:
            x = getattr(self, name)(x)
        return x
