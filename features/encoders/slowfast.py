"""SlowFast ResNet-50 (Feichtenhofer et al. 2019) as an encoder of 2304 numbers, as QVHighlights' clips have them.

``slowfast:8x8_r50=PATH`` (or 4x16_r50) with a checkpoint of Kinetics-400 in one of the layouts that
`features.encoders.slowfast_network` tells, or ``=random``. Frames are prepared as HERO's extractor prepares them: the
short side 224 (its output's sides rounded down), the middle 224 x 224, mean 0.45 and deviation 0.225.
"""

from __future__ import annotations

import torch

from features.encoders.encoder import Encoder, EncoderName, EncoderOptions, settled_device
from features.encoders.pixels import Pixels
from features.encoders.slowfast_network import SlowFast, published_names
from features.errors import HeedError
from features.weights import digest, load_into, read_weights, warn_random

VARIANTS = {"8x8_r50": (4, 7), "4x16_r50": (8, 5)}
"""Name -> alpha and the kernel of the fusion (PySlowFast's configs/Kinetics/SLOWFAST_*.yaml); a window is 32 frames,
every second one of a video of 30 a second, in both."""
PIXELS = Pixels(224, (224, 224), (0.45, 0.45, 0.45), (0.225, 0.225, 0.225), "bicubic")


def knows(name: str) -> bool:
    """Whether this is one of the two variants."""
    return name in VARIANTS


def load(name: EncoderName, options: EncoderOptions) -> Encoder:
    """Build the network and load its weights; raises `HeedError` when they cannot be had or do not fit."""
    if name.name not in VARIANTS or not name.weights:
        raise HeedError(f"SlowFast is given as slowfast:{next(iter(VARIANTS))}=PATH of a checkpoint (variants: "
                        f"{', '.join(VARIANTS)}) or =random; PySlowFast's model zoo lists SLOWFAST_8x8_R50.pkl.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = SlowFast(*VARIANTS[name.name])
    if name.weights == "random":
        warn_random(f"The encoder slowfast:{name.name}")
    else:
        load_into(model, published_names(read_weights(name.weights).tensors), f"slowfast:{name.name}")
    device = settled_device(options)
    identity = {"name": "slowfast", "architecture": name.name, "feature": "pooled, slow then fast",
                "weights": digest(model.state_dict())}
    return Encoder(identity, model.dim, PIXELS, model.eval().to(device), device, 32, 15.0,
                   {"torch": torch.__version__})
