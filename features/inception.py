"""Inception-v3 as the eye of FID and of the inception score: pooled features and class probabilities of pictures.

Two networks go by that name. "fidelity" is the one of the published figures, TensorFlow's of 2015 with 1008 classes, in
torch-fidelity's port: average pools that do not count padding, a maximum pool in the last block, pictures enlarged as
TensorFlow 1 did, class scores without their bias. "torchvision" is torchvision's, trained anew with 1000 classes: its
figures are comparable among themselves only. A file says by its number of classes which of the two it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import inception_v3
from torchvision.models.inception import BasicConv2d, InceptionE

from features.devices import resolve_device
from features.errors import HeedError
from features.weights import digest, download, load_into, read_weights

_SIDE = 299
_CLASSES = {"fidelity": 1008, "torchvision": 1000}
_FIDELITY = ("https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
             "weights-inception-2015-12-05-6726825d.pth", "6726825d")
"""Where torch-fidelity publishes its file, and the beginning of its SHA-256."""


@dataclass(frozen=True)
class Eye:
    """A loaded network."""

    name: str
    """fidelity or torchvision."""
    network: nn.Module
    digest: str
    """Of its weights."""
    device: torch.device

    def look(self, pictures: Iterator[np.ndarray] | Sequence[np.ndarray], batch: int = 16
             ) -> tuple[np.ndarray, np.ndarray]:
        """Features (pictures, 2048) and class probabilities (pictures, classes), float32, of (h, w, 3) uint8 pictures.

        Pictures may differ in size.
        """
        features: list[np.ndarray] = []
        probabilities: list[np.ndarray] = []
        waiting: list[Tensor] = []
        for pixels in pictures:
            waiting.append(self._enlarged(pixels))
            if len(waiting) == batch:
                self._see(waiting, features, probabilities)
                waiting = []
        if waiting:
            self._see(waiting, features, probabilities)
        return np.concatenate(features), np.concatenate(probabilities)

    def _enlarged(self, pixels: np.ndarray) -> Tensor:
        x = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device).permute(2, 0, 1)[None].float()
        if self.name == "fidelity":
            return (resized_as_tensorflow(x, _SIDE) - 128) / 128
        return F.interpolate(x, (_SIDE, _SIDE), mode="bilinear", align_corners=False) / 127.5 - 1

    @torch.no_grad()
    def _see(self, enlarged: list[Tensor], features: list[np.ndarray], probabilities: list[np.ndarray]) -> None:
        seen = self.network(torch.cat(enlarged))
        fc = self.network.classifier[0]  # in a list, so that it is no part of the network's own forward pass
        scores = F.linear(seen, fc.weight, None if self.name == "fidelity" else fc.bias)
        features.append(seen.cpu().numpy())
        probabilities.append(torch.softmax(scores, 1).cpu().numpy())


def load(weights: str = "fidelity", device: str = "auto") -> Eye:
    """The network called ``weights`` (downloaded), or that of a file; raises `HeedError` where it is not to be had."""
    if weights in _CLASSES:
        path = download(*_address(weights), option="--network ")
    else:
        path = weights  # type: ignore[assignment]
    tensors = {name: tensor for name, tensor in read_weights(path).tensors.items() if not name.startswith("AuxLogits")}
    classes = len(tensors["fc.bias"]) if "fc.bias" in tensors else 0
    name = next((name for name, count in _CLASSES.items() if count == classes), None)
    if name is None:
        raise HeedError(f"The weights {weights!r} are no Inception-v3 of 1008 classes (torch-fidelity's) or of 1000 "
                        "(torchvision's).")
    network = build(name)
    load_into(network, {key: tensor.float() for key, tensor in tensors.items()}, f"Inception-v3 ({name})")
    network.classifier = [network.fc]
    network.fc = nn.Identity()
    where = resolve_device(device)
    network.classifier[0].to(where)
    return Eye(name, network.eval().requires_grad_(False).to(where), digest(tensors), where)


def build(name: str) -> nn.Module:
    """The network with arbitrary weights; parameters have torchvision's names, which are torch-fidelity's too."""
    network = inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False,
                           num_classes=_CLASSES[name])
    if name == "fidelity":
        for block in ("5b", "5c", "5d", "6b", "6c", "6d", "6e", "7b"):
            mixed = getattr(network, f"Mixed_{block}")
            old = mixed.branch_pool.conv
            mixed.branch_pool = _Unpadded(old.in_channels, old.out_channels, kernel_size=1)
        network.Mixed_7c = _LastBlock(2048)
    return network


class _Unpadded(BasicConv2d):
    """Behind an average over 3 x 3 that has counted padding as zeros: what it is without counting it."""

    def forward(self, x: Tensor) -> Tensor:
        inside = F.avg_pool2d(torch.ones_like(x[:1, :1]), 3, 1, 1)
        return super().forward(x / inside)


class _LastBlock(InceptionE):
    """The last block with a maximum where the others average."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        *outputs, _ = super()._forward(x)
        return [*outputs, self.branch_pool(F.max_pool2d(x, 3, 1, 1))]


def resized_as_tensorflow(x: Tensor, side: int) -> Tensor:
    """(n, c, h, w) to (n, c, side, side), bilinear as TensorFlow 1 has it: corner on corner, without half a pixel."""
    for axis in (2, 3):
        size = x.shape[axis]
        at = torch.arange(side, device=x.device) * (torch.tensor(size, dtype=torch.float32, device=x.device) / side)
        before = at.floor().long()
        share = (at - before).view(-1, 1) if axis == 2 else at - before
        first, second = (x.index_select(axis, place) for place in (before, (before + 1).clamp(max=size - 1)))
        x = first + (second - first) * share
    return x


def _address(name: str) -> tuple[str, str]:
    """Where the network's file is published, and the beginning of its SHA-256, which ends the file's name."""
    if name == "fidelity":
        return _FIDELITY
    from torchvision.models import Inception_V3_Weights

    url: str = Inception_V3_Weights.IMAGENET1K_V1.url
    return url, url[url.rindex("-") + 1 :].removesuffix(".pth")
