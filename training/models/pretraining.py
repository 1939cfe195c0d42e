"""A subject's network made ready to be trained: new or from a checkpoint, with heads for regions and with dropout.

The networks are those of `evaluation.subjects`, which are read and never trained and so have no dropout; it is added
here, where BERT has it, and adds no parameter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from evaluation.subjects import SUBJECTS, lxmert, uniter
from evaluation.subjects.bert import Attention, Residual, WordEmbeddings
from evaluation.subjects.family import Family
from evaluation.subjects.loading import said_beside, tidy, weights_file
from evaluation.subjects.runs import FAMILIES
from evaluation.subjects.subject import Edit
from features.errors import HeedError
from features.weights import read_weights
from training.models.pretraining_config import PretrainingModelConfig
from training.models.region_heads import HEADS, add_heads


def family_of(streams: str) -> Family:
    """The published family with this number of streams."""
    return import_module(SUBJECTS[FAMILIES[streams]]).FAMILY


def heads_of(network: nn.Module) -> int:
    """Attention heads of each of its layers."""
    return int(next(module.heads for module in network.modules() if isinstance(module, Attention)))


def new_network(
    config: PretrainingModelConfig, vocabulary: int, features: int, classes: int, positions: int,
) -> nn.Module:
    """A network for ``vocabulary`` pieces, texts of ``positions`` pieces and region features of length ``features``.

    Its weights are drawn from torch's generator. Raises `HeedError` where the heads do not divide the width.
    """
    if config.width % config.heads:
        raise HeedError(f"--model.width {config.width} cannot be shared out among {config.heads} heads.")
    sizes: dict[str, Any] = {"vocabulary": vocabulary, "width": config.width, "heads": config.heads,
                             "inner": config.inner, "positions": positions, "features": features}
    if config.streams == "one":
        return _ready(config, uniter.Uniter(uniter.Config(layers=config.layers, **sizes)), classes)
    return _ready(config, lxmert.Lxmert(lxmert.Config(
        text_layers=config.text_layers, image_layers=config.image_layers, cross_layers=config.cross_layers, **sizes,
    )), classes)


def standardise(network: nn.Module, streams: str, features: Tensor) -> None:
    """Let the matrix that embeds features begin as if those were standardised; ``features`` (n, dim) are a sample.

    (x - mean) / deviation is a matrix and a bias, so the layout stays as published. Detectors' features share a large
    mean: without this, the normalisation behind the matrix makes all regions nearly the same, and small models trained
    from scratch never find out that they differ.
    """
    embeds = network.uniter.img_embeddings.img_linear if streams == "one" else network.bert.encoder.visn_fc.visn_fc
    mean, deviation = features.mean(0), features.std(0)
    deviation = deviation.clamp(min=0.1 * float(deviation.mean()))
    with torch.no_grad():
        embeds.weight.div_(deviation)
        embeds.bias.copy_(-embeds.weight @ mean)
        told = network.feat_regress.bias if streams == "one" else network.obj_predict_head.decoder_dict["feat"].bias
        told.copy_(mean)


def started_network(config: PretrainingModelConfig, path: Path, features: int, classes: int) -> nn.Module:
    """A network of a checkpoint's sizes with its weights; heads that it lacks or has for other classes are drawn.

    ``path`` is a weights file in the published layout, or its folder; a config.json beside it says the number of heads.
    Raises `HeedError` where the encoder's weights do not fit, or read features of another length.
    """
    family, file = family_of(config.streams), weights_file(path)
    stored = read_weights(file).tensors
    tensors = tidy(family, stored, str(path))
    sizes = family.configure(tensors, said_beside(file.parent))
    if sizes.features != features:
        raise HeedError(f"The checkpoint {path} reads region features of length {sizes.features}, the store's have "
                        f"{features}: extract them with the detector it was trained on.")
    network = _ready(config, family.build(sizes), classes)
    wanted = network.state_dict()
    heads = {name.removeprefix("module."): tensor.float() for name, tensor in stored.items()
             if name.removeprefix("module.").startswith(HEADS[config.streams])}
    tensors |= {name: tensor for name, tensor in heads.items()
                if name in wanted and wanted[name].shape == tensor.shape}
    _check(tensors, wanted, (*HEADS[config.streams], *family.optional), path)
    network.load_state_dict(tensors, strict=False)
    return network


def _check(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], may_lack: tuple[str, ...], path: Path) -> None:
    for name, tensor in wanted.items():
        found = tensors.get(name)
        if found is not None and found.shape != tensor.shape:
            raise HeedError(f"In the checkpoint {path} the parameter {name!r} has the shape {tuple(found.shape)} where "
                            f"{tuple(tensor.shape)} is read.")
        if found is None and not name.startswith(may_lack):
            raise HeedError(f"The checkpoint {path} lacks the parameter {name!r}.")


def _ready(config: PretrainingModelConfig, network: nn.Module, classes: int) -> nn.Module:
    add_heads(network, config.streams, classes)
    width = network.get_submodule(family_of(config.streams).root[:-1]).pooler.dense.out_features
    std = config.init_std or 0.02 * math.sqrt(768 / width)
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=std)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    if config.streams == "one":  # shown regions add the first row, which stays 0 in published weights
        nn.init.zeros_(network.uniter.img_embeddings.mask_embedding.weight[0])
    if config.dropout:
        _drop_states(network, config.dropout)
    return network.requires_grad_(True)


def _drop_states(network: nn.Module, rate: float) -> None:
    def drop(module: nn.Module, _: Any, out: Tensor) -> Tensor:
        return functional.dropout(out, rate, module.training)

    for module in network.modules():
        if isinstance(module, Residual):
            module.dense.register_forward_hook(drop)
        elif isinstance(module, WordEmbeddings | uniter.ImageEmbeddings | lxmert.ImageEmbeddings):
            module.register_forward_hook(drop)


def attention_dropout(network: nn.Module, rate: float) -> Edit | None:
    """What drops attention weights while ``network`` is training, to be handed to it with a batch."""
    if not rate or not network.training:
        return None

    def drop(layer: str, block: str, weights: Tensor) -> Tensor:
        return functional.dropout(weights, rate)

    return drop
