"""DAMSM's image encoders: a picture into regions, and into one vector for the whole, in the space of the words.

`InceptionEncoder` is the published one: Inception-v3 trained on ImageNet and frozen, its 17 x 17 cells behind Mixed_6e
(768 channels) and its last pooling (2048), each with a learned linear map. `SmallEncoder` has the same interface and is
learned whole, from pictures of 64 pixels or so: 8 x 8 regions of those.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from features.weights import download, load_into, read_weights
from training.models.attngan.config import EncoderConfig

_WEIGHTS = "1a9a5a14"
"""torchvision's first file of Inception-v3, which AttnGAN's encoder began with: the beginning of its SHA-256."""
_SIDE = 299
_LAYERS = (
    "Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3", "pool", "Conv2d_3b_1x1", "Conv2d_4a_3x3", "pool", "Mixed_5b",
    "Mixed_5c", "Mixed_5d", "Mixed_6a", "Mixed_6b", "Mixed_6c", "Mixed_6d", "Mixed_6e",
)
_LAST = ("Mixed_7a", "Mixed_7b", "Mixed_7c")


class InceptionEncoder(nn.Module):
    """Parameters as in the published image_encoder*.pth; only the two maps into the joint space learn.

    As published, batch normalisation takes a batch's own statistics in training mode, and keeps them. Begins with
    random weights: `load_inception` brings those of ImageNet.
    """

    def __init__(self, dim: int = 256, align_corners: bool = False) -> None:
        from torchvision.models import inception_v3

        super().__init__()
        self.align_corners = align_corners
        # init_weights=False: torchvision's own first weights take seconds to draw, and are to be replaced.
        network = inception_v3(weights=None, aux_logits=False, transform_input=False, init_weights=False)
        for name in dict.fromkeys((*_LAYERS, *_LAST)):
            if name != "pool":
                setattr(self, name, getattr(network, name))
        for parameter in self.parameters():
            parameter.requires_grad = False
        self.emb_features = nn.Conv2d(768, dim, 1, bias=False)
        self.emb_cnn_code = nn.Linear(2048, dim)
        _begin(self)

    def load_inception(self, weights: str) -> None:
        """Load torchvision's Inception-v3 from a file, or downloaded; `HeedError` where that cannot be."""
        path = download(_address(), _WEIGHTS, option="--model.inception ") if weights == "default" else weights
        tensors = read_weights(path).tensors
        used = {name.split(".")[0] for name in self.state_dict()}
        kept = {name: tensor for name, tensor in tensors.items() if name.split(".")[0] in used}
        own = {name: tensor for name, tensor in self.state_dict().items() if name.startswith("emb_")}
        load_into(self, {**kept, **own}, "Inception-v3")

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (batch, 3, h, w) in -1..1 to regions (batch, 289, dim) and whole pictures (batch, dim)."""
        x = F.interpolate(pictures, (_SIDE, _SIDE), mode="bilinear", align_corners=self.align_corners)
        for name in _LAYERS:
            x = F.max_pool2d(x, 3, 2) if name == "pool" else getattr(self, name)(x)
        regions = self.emb_features(x).flatten(2).transpose(1, 2)
        for name in _LAST:
            x = getattr(self, name)(x)
        return regions, self.emb_cnn_code(F.avg_pool2d(x, 8).flatten(1))


class SmallEncoder(nn.Module):
    """Four convolutions of stride 2: an eighth of the side in regions, and a mean over a sixteenth for the whole."""

    def __init__(self, dim: int = 64, width: int = 32) -> None:
        super().__init__()
        self.regions = nn.Sequential(*_halving(3, width), *_halving(width, 2 * width), *_halving(2 * width, 4 * width))
        self.whole = nn.Sequential(*_halving(4 * width, 4 * width))
        self.emb_features = nn.Conv2d(4 * width, dim, 1, bias=False)
        self.emb_cnn_code = nn.Linear(4 * width, dim)
        _begin(self)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (batch, 3, h, w) in -1..1 to regions (batch, h/8 * w/8, dim) and whole pictures (batch, dim)."""
        x = self.regions(pictures)
        regions = self.emb_features(x).flatten(2).transpose(1, 2)
        return regions, self.emb_cnn_code(self.whole(x).mean((2, 3)))


def build_image_encoder(config: EncoderConfig) -> InceptionEncoder | SmallEncoder:
    """The configured encoder, with first weights."""
    if config.image_encoder == "small":
        return SmallEncoder(config.embed_dim, config.width)
    return InceptionEncoder(config.embed_dim, config.align_corners)


def _halving(channels: int, out: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out),
            nn.LeakyReLU(0.2, inplace=True)]


def _begin(encoder: InceptionEncoder | SmallEncoder) -> None:
    """First values of the maps into the joint space, as published."""
    with torch.no_grad():
        encoder.emb_features.weight.uniform_(-0.1, 0.1)
        encoder.emb_cnn_code.weight.uniform_(-0.1, 0.1)


def _address() -> str:
    """Where torchvision publishes the file: beside the one it names today."""
    from torchvision.models import Inception_V3_Weights

    today: str = Inception_V3_Weights.IMAGENET1K_V1.url
    return today[: today.rindex("-") + 1] + _WEIGHTS + ".pth"
