"""The layers that AttnGAN's networks are made of, and how their weights begin."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GatedLinear(nn.Module):
    """x1 sigmoid(x2) of the two halves of the channels (Dauphin et al. 2017): (n, 2c, …) to (n, c, …)."""

    def forward(self, x: Tensor) -> Tensor:
        """Half as many channels."""
        value, gate = x.chunk(2, 1)
        return value * torch.sigmoid(gate)


def conv3x3(channels: int, out: int) -> nn.Conv2d:
    """A 3 x 3 convolution that keeps the size, without bias."""
    return nn.Conv2d(channels, out, 3, padding=1, bias=False)


def upsampling(channels: int, out: int) -> nn.Sequential:
    """Twice the size by repetition, then a gated convolution: (n, channels, h, w) to (n, out, 2h, 2w)."""
    return nn.Sequential(nn.Upsample(scale_factor=2.0, mode="nearest"), conv3x3(channels, 2 * out),
                         nn.BatchNorm2d(2 * out), GatedLinear())


def downsampling(channels: int, out: int, norm: bool = True) -> list[nn.Module]:
    """Half the size by a 4 x 4 convolution: the layers of (n, channels, h, w) to (n, out, h/2, w/2)."""
    conv = nn.Conv2d(channels, out, 4, stride=2, padding=1, bias=False)
    return [conv, *([nn.BatchNorm2d(out)] if norm else []), nn.LeakyReLU(0.2, inplace=True)]


def same_size(channels: int, out: int) -> nn.Sequential:
    """A 3 x 3 convolution of a discriminator: (n, channels, h, w) to (n, out, h, w)."""
    return nn.Sequential(conv3x3(channels, out), nn.BatchNorm2d(out), nn.LeakyReLU(0.2, inplace=True))


class Residual(nn.Module):
    """x plus two convolutions of it, the first one gated: (n, c, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            conv3x3(channels, 2 * channels), nn.BatchNorm2d(2 * channels), GatedLinear(),
            conv3x3(channels, channels), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The same shape."""
        return x + self.block(x)


def initialise(network: nn.Module) -> None:
    """First weights as published: convolutions and linear layers orthogonal, batch normalisation N(1, 0.02), biases 0.

    The score functions' linear layers are among them, so every score function begins orthogonal.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(module.weight)
            # A convolution's bias keeps torch's first values: only linear layers' are set to zero.
            if module.bias is not None and isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
