"""Published weights into a subject's network: by path, by name of the Hub, or random."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evaluation.subjects.family import Family
from evaluation.subjects.subject import Subject
from features.errors import HeedError
from features.hugging_face import hub_folder, is_repository
from features.text.wordpieces import WordPieces
from features.weights import digest, load_into, read_weights

FILES = ("model.safetensors", "pytorch_model.bin")
"""Weights in a folder, in the order of preference."""


def load(family: Family, place: str, random: bool, vocabulary: str | Path | None, seed: int,
         features: int | None = None) -> Subject:
    """A subject of ``family``; see `evaluation.subjects.load_subject`."""
    name = f"{family.name}:{place}"
    if random and place in family.sizes:
        config, folder, tensors = family.sizes[place], None, None
    else:
        path = _find(family, place)
        folder = path if path.is_dir() else path.parent
        tensors = tidy(family, read_weights(weights_file(path)).tensors, name)
        config = family.configure(tensors, said_beside(folder))
    if random and features is not None:
        config, tensors = replace(config, features=features), None
    return subject(family, name, config, tensors, folder, random, vocabulary, seed)


def subject(
    family: Family, name: str, config: Any, tensors: Mapping[str, Tensor] | None, folder: Path | None, random: bool,
    vocabulary: str | Path | None, seed: int,
) -> Subject:
    """A subject with these weights, or random ones of their sizes; its vocabulary lies in ``folder`` or is given."""
    model = build(family, config, tensors, name, None if not random else seed)
    description = {
        "family": family.name, "config": asdict(config),
        "weights": "random" if random else digest(model.state_dict()), "seed": seed if random else None,
        "heads": [head for head in family.optional if _part(model, head) is not None],
    }
    return Subject(name + ("=random" if random else ""), model, config.features, description,
                   _pieces(family, folder, vocabulary, config.vocabulary))


def build(family: Family, config: Any, tensors: Mapping[str, Tensor] | None, name: str, seed: int | None) -> nn.Module:
    """The network in evaluation mode: with ``tensors``, or with random weights where ``seed`` is given.

    Heads that ``tensors`` lack altogether become None. Raises `HeedError` naming the first parameter that is missing,
    unknown or of another shape.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        model = family.build(config)
        if seed is not None:
            model.apply(_as_bert)
    if tensors is not None:
        for head in family.optional:
            if not any(key.startswith(f"{head}.") for key in tensors):
                parent, _, child = head.rpartition(".")
                setattr(model.get_submodule(parent), child, None)
        if seed is None:
            load_into(model, dict(tensors), name)
    return model.eval().requires_grad_(False)


def tidy(family: Family, tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """A published state dict under this package's names, in float32, tied weights once, heads for other tasks gone.

    Raises `HeedError` where a weight that should be tied differs from its twin.
    """
    found: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        key = key.removeprefix("module.")
        key = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", key))
        for pattern, replacement in family.renames:
            key = re.sub(pattern, replacement, key)
        found[key] = tensor.float() if tensor.is_floating_point() else tensor
    if not any(key.startswith(family.root) for key in found):
        found = {family.root + key: tensor for key, tensor in found.items()}
    found = {key: tensor for key, tensor in found.items()
             if not key.endswith("position_ids") and not any(re.search(pattern, key) for pattern in family.aside)}
    for twin, original in (("cls.predictions.decoder.weight", family.tied),
                           ("cls.predictions.decoder.bias", "cls.predictions.bias")):
        if twin in found:
            tensor = found.pop(twin)
            if not torch.equal(found.setdefault(original, tensor), tensor):
                raise HeedError(f"In the weights of {name} the parameter {twin!r} differs from {original!r}, to which "
                                "it is tied in every published model.")
    return found


def _find(family: Family, place: str) -> Path:
    if Path(place).exists():
        return Path(place)
    repository = family.hub.get(place, place)
    if not is_repository(repository):
        raise HeedError(f"There is no file or folder {place!r}; give one, OWNER/NAME of the Hub, or one of "
                        f"{', '.join(sorted({*family.hub, *(f'{size}=random' for size in family.sizes)}))}.")
    return hub_folder(repository, [*FILES[::-1], "config.json", "vocab.txt", "tokenizer_config.json"],
                      f"{family.name}:{place}")


def weights_file(path: Path) -> Path:
    """The weights at ``path``: itself, or the one of `FILES` in it; `HeedError` where there is none."""
    if path.is_file():
        return path
    for name in FILES:
        if (path / name).is_file():
            return path / name
    raise HeedError(f"{path} has no weights ({', '.join(FILES)}); bring the whole folder, or give the file itself.")


def said_beside(folder: Path) -> dict[str, Any]:
    """What the config.json in a folder says; {} where there is none."""
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError:
        return {}
    except ValueError as error:
        raise HeedError(f"{folder / 'config.json'} is damaged: {error}.") from error
    return said if isinstance(said, dict) else {}


def _pieces(family: Family, folder: Path | None, vocabulary: str | Path | None, size: int) -> WordPieces | None:
    if vocabulary is None:
        if folder is None or not (folder / "vocab.txt").is_file():
            return None
        vocabulary = folder / "vocab.txt"
    path = Path(vocabulary)
    beside = (path if path.is_dir() else path.parent) / "tokenizer_config.json"
    pieces = WordPieces.load(path, None if beside.is_file() else family.lower)
    if len(pieces) > size:
        raise HeedError(f"The vocabulary {path} has {len(pieces)} pieces but the weights know {size}: UNITER reads "
                        "bert-base-cased's (28,996), the others bert-base-uncased's (30,522).")
    return pieces


def _as_bert(module: nn.Module) -> None:
    """BERT's initial weights: normal of deviation 0.02, biases 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def _part(model: nn.Module, head: str) -> Any:
    part: Any = model
    for name in head.split("."):
        part = getattr(part, name, None)
    return part
