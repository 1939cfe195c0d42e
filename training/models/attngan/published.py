"""Weights files of AttnGAN and of the attention study: netG_*.pth, netD*.pth, text_encoder*.pth, image_encoder*.pth.

A generator of the study holds the linear layers of all its score functions in every refining stage, whichever it was
trained with; the one that the score function uses is loaded and the others are left out. AttnGAN's own has none. All
the other names are heed's own.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from features.errors import HeedError
from features.weights import load_into, read_weights
from training.attention.config import AttentionConfig
from training.models.attngan.generator import Generator

_LINEAR = {"general": "attn_general", "biased_general": "attn_biased_general",
           "activated_general": "attn_act_general_qwk"}
"""Score function -> the study's name of its linear layer."""


def load_generator(model: Generator, path: str | Path, attention: AttentionConfig) -> None:
    """Load a published generator trained with the score function of ``attention``.

    Raises `HeedError` where it does not fit, and for a score function that the study has no weights of.
    """
    load_into(model, from_published(read_weights(path).tensors, attention), f"the generator ({attention.score})")


def load_network(model: nn.Module, path: str | Path) -> None:
    """Load a published discriminator, text encoder or image encoder; raises `HeedError` where it does not fit."""
    tensors = {name.removeprefix("module."): tensor for name, tensor in read_weights(path).tensors.items()}
    load_into(model, tensors, type(model).__name__)


def from_published(tensors: dict[str, Tensor], attention: AttentionConfig) -> dict[str, Tensor]:
    """The state dict of a published generator by heed's names: the used linear layer is ``att.score.project``.

    One under heed's names already is given back as it is.
    """
    of_the_study = any(".att.attn_" in name for name in tensors)
    if of_the_study and attention.score not in ("dot", "scaled_dot", *_LINEAR):
        raise HeedError(f"There is no published generator with the score {attention.score!r}; there are dot, "
                        f"scaled_dot, {', '.join(_LINEAR)}.")
    if of_the_study and attention.score == "activated_general" and attention.side == "query":
        raise HeedError("The study's generators activate the score with W on the key only: leave --attention.side.")
    used = _LINEAR.get(attention.score)
    found = {}
    for name, tensor in tensors.items():
        before, linear, after = name.removeprefix("module.").partition(".att.attn_")
        if not linear:
            found[before] = tensor
        elif f"attn_{after.split('.')[0]}" == used:
            found[f"{before}.att.score.project.{after.split('.')[1]}"] = tensor
    return found
