"""Weights to start a captioner from: SwinBERT's released checkpoints, a run's best.pt, or a BERT for its text part."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from features.errors import HeedError
from features.weights import load_into, read_weights
from training.attention.mask_config import MaskConfig
from training.models.captioner import Captioner
from training.models.captioner_config import CaptionerConfig

UNUSED = ("swin.", "bert.pooler.", "cls_img_feat.")
"""Parts of a released checkpoint that a captioner of stored features has not: the video encoder, and two heads that the
released code makes and never asks."""
OWN = ("masks.", "learn_vid_att.", "scale.")
"""Parts of a captioner that another may lack."""


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A released state dict by heed's names, without what is not used here; a run's own stays as it is."""
    out = {}
    for name, value in state.items():
        name = re.sub(r"^(module\.)?(trans_encoder\.)?", "", name)
        if not name.startswith(UNUSED):
            out[name] = value
    return out


def build_published(state: dict[str, Tensor], config: CaptionerConfig, mask: MaskConfig) -> Captioner:
    """The captioner that released weights are of, with them loaded.

    Sizes and whether there is a sparse mask (soft, unless ``config`` says hard) are read off the weights; heads (64
    numbers each in BERT), dropout and the longest caption are those of ``config``. Raises `HeedError` where anything is
    missing or left over.
    """
    state = renamed(state)
    try:
        words, first = state["bert.embeddings.word_embeddings.weight"], state["fc.weight"]
        layers = {name.split(".")[3] for name in state if name.startswith("bert.encoder.layer.")}
        config = replace(config, dim=words.shape[1], layers=len(layers), video_dim=len(first),
                         feedforward=len(state["bert.encoder.layer.0.intermediate.dense.weight"]))
    except KeyError as error:
        raise HeedError(f"These are no weights of SwinBERT: {error.args[0]} is missing.") from None
    if (sparse := state.get("learn_vid_att.weight")) is not None:
        config = replace(config, max_clips=round(len(sparse) ** 0.5),
                         sparse_mask="hard" if config.sparse_mask == "hard" else "soft")
    else:
        config = replace(config, sparse_mask="none")
    model = Captioner(config, mask, len(words), first.shape[1])
    own = {name: value for name, value in model.state_dict().items() if name.startswith("masks.")}
    load_into(model, {**own, **state}, "the captioner")
    return model


def start(model: Captioner, path: Path) -> None:
    """Give ``model`` the weights of a released checkpoint or of a run's best.pt; masks it has more stay as they are.

    Raises `HeedError` where anything else is missing or has another shape.
    """
    state = renamed(dict(read_weights(path).tensors))
    own = model.state_dict()
    kept = {name: value for name, value in own.items() if name.startswith(OWN) and name not in state}
    given = {name: value for name, value in state.items() if name in own or not name.startswith(OWN)}
    load_into(model, {**kept, **given}, f"the captioner that {path} is to start")


def start_from_bert(model: Captioner, folder: Path) -> list[str]:
    """Give the text part of ``model`` the weights of a BERT in Hugging Face's layout; the names of what has them.

    Those are the embeddings of pieces, positions and types, the first layers, and, where the checkpoint has a head for
    hidden words (BertForMaskedLM, BertForPreTraining), that. Raises `HeedError` where a shape differs.
    """
    files = [folder / file for file in ("model.safetensors", "pytorch_model.bin") if (folder / file).is_file()]
    if not files:
        raise HeedError(f"{folder} has no weights: model.safetensors or pytorch_model.bin.")
    own, found = model.state_dict(), {}
    state = read_weights(files[0]).tensors
    for key, value in state.items():
        name = key.replace(".gamma", ".weight").replace(".beta", ".bias")
        name = name if name.startswith(("bert.", "cls.")) else f"bert.{name}"
        if name in own:
            found[name] = value
    words = "bert.embeddings.word_embeddings.weight"
    if "cls.predictions.bias" in found and words in found:  # files that save tied weights once lack the second
        found.setdefault("cls.predictions.decoder.weight", found[words])
    wanted = [name for name in own if name.startswith(("bert.embeddings.", "bert.encoder."))]
    lacking = [name for name in wanted if name not in found]
    wrong = [name for name, value in found.items() if own[name].shape != value.shape]
    if lacking or wrong:
        name = (lacking or wrong)[0]
        said = "is missing" if lacking else f"has the shape {tuple(found[name].shape)}, here {tuple(own[name].shape)}"
        raise HeedError(f"The BERT {folder} does not fit the captioner: {name} {said}. Take its sizes (--model.dim, "
                        "--model.layers, …) and its vocabulary (--vocabulary).")
    model.load_state_dict(found, strict=False)
    return list(found)
