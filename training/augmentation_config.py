"""What happens to training pictures. Light to import: the command line reads it for --help."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class AugmentConfig:
    """What happens to training pictures; the defaults are DeiT's (Touvron et al. 2021, arXiv 2012.12877, table 9)."""

    # Least share of a picture's area that its random crop takes.
    crop: float = 0.08
    # timm's name of a policy, such as rand-m9-mstd0.5-inc1 (RandAugment); empty for none.
    policy: str = "rand-m9-mstd0.5-inc1"
    # Probability of erasing a random rectangle.
    erase: float = 0.25
    # Mixup's alpha; 0 does not mix.
    mixup: float = 0.8
    # Cutmix's alpha; 0 does not cut. With both, either is drawn for each batch.
    cutmix: float = 1.0
    # Probability given to all classes instead of the true one.
    smoothing: float = 0.1
    # Probability of a mirrored picture.
    flip: float = 0.5
