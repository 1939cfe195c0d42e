"""Let a subject read the pairs, and sentences, into caches on the disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.probes.cache import Cache, LayerInfo, describe, part_path
from evaluation.probes.pairs import Pairs
from evaluation.probes.sentences import AT_ONCE, taken
from evaluation.subjects.batches import make_batch
from evaluation.subjects.subject import CLS, PADDING, WORD, Batch, Layer, Reading, Subject
from features.devices import resolve_device
from features.errors import HeedError
from features.regions import Regions
from features.text.vocabulary import EncodedCaption
from pipeline.atomic import atomic_write, write_json
from pipeline.datasets.senteval import read as read_sentences
from pipeline.progress import JobProgress
from pipeline.store import file_digest


def fill_cache(subject: Subject, pairs: Pairs, path: Path, batch: int = 32, dtype: str = "float16",
               most_words: int = 128, device: str = "cpu", title: str = "reading") -> Cache:
    """Read all pairs and keep states and attention of every layer; what is already there is not read again.

    ``dtype`` of states and attention on the disk: float16 (attention to 5e-4 of itself) or float32. Raises `HeedError`
    where the folder holds readings of other pairs or another subject, or a state is too large for the number type.
    """
    about = {"subject": subject.name, "description": subject.description, "pairs": pairs.digest(), "count": len(pairs),
             "batch": batch, "dtype": dtype, "most_words": most_words}
    path.mkdir(parents=True, exist_ok=True)
    _same(path, about)
    parts = -(-len(pairs) // batch)
    if (path / "cache.json").exists() and all(part_path(path, number).exists() for number in range(parts)):
        return Cache.open(path)
    target = resolve_device(device)
    if hasattr(subject.model, "to"):
        subject.model.to(target)
    layers: tuple[LayerInfo, ...] = ()
    with JobProgress(title, len(pairs), "pairs") as progress:
        for number in range(parts):
            first, last = number * batch, min((number + 1) * batch, len(pairs))
            if not part_path(path, number).exists() or not layers:
                here = pairs.pairs[first:last]
                texts = encode(subject, [pair.caption for pair in here], most_words)
                words = make_batch(subject, texts, [pairs.regions(pair.key) for pair in here])
                reading = subject.read(words.to(target))
                layers = tuple(map(_info, reading.layers))
                _write(path, number, np.arange(first, last), reading, words, texts, dtype)
            progress.update(last)
    write_json(path / "cache.json", describe(layers, parts, about))
    return Cache.open(path)


def encode(subject: Subject, texts: Sequence[str], most_words: int) -> list[EncodedCaption]:
    """The texts in the subject's word pieces, cut where its positions end; `HeedError` where it has no vocabulary."""
    if subject.pieces is None:
        raise HeedError(f"{subject.name} has no vocabulary to cut texts with: give its vocab.txt with --vocabulary.")
    positions = subject.description.get("config", {}).get("positions", most_words)
    return [subject.pieces.encode(text, min(most_words, positions)) for text in texts]


def _write(path: Path, number: int, numbers: np.ndarray, reading: Reading, batch: Batch,
           texts: Sequence[EncodedCaption], dtype: str) -> None:
    spans = np.full((*batch.words.shape, 2), -1, np.int32)
    for row, text in zip(spans, texts, strict=True):
        row[:len(text.spans)] = text.spans
    arrays = {"spans": spans, "pairs": numbers, "words": batch.words.numpy(),
              "text_kinds": reading.text_kinds.cpu().numpy(), "image_kinds": reading.image_kinds.cpu().numpy()}
    if reading.match is not None:
        arrays["match"] = reading.match.float().cpu().numpy()
    for layer in reading.layers:
        for name, tensor in (("text", layer.text), ("image", layer.image), *layer.blocks.items()):
            if tensor is not None:
                arrays[f"{layer.name}/{name}"] = _stored(tensor.float().cpu().numpy(), dtype, layer.name)
    with atomic_write(part_path(path, number)) as file:
        np.savez(file, **arrays)


def _stored(array: np.ndarray, dtype: str, layer: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        found = array.astype(dtype)
    if not np.isfinite(found).all():
        raise HeedError(f"A state of {layer} is not finite in {dtype}: keep the readings with --dtype float32.")
    return found


def _info(layer: Layer) -> LayerInfo:
    heads = next((block.shape[1] for block in layer.blocks.values()), 0)
    return LayerInfo(layer.name, 0 if layer.text is None else layer.text.shape[2],
                     0 if layer.image is None else layer.image.shape[2], int(heads), tuple(layer.blocks), layer.joint)


def _same(path: Path, about: dict[str, Any]) -> None:
    """Hold that what is in the folder was made from the same; the first word on it is written before any part."""
    file = path / "made-from.json"
    if not file.exists():
        write_json(file, about)
    elif json.loads(file.read_text(encoding="utf-8")) != json.loads(json.dumps(about)):
        raise HeedError(f"{path} holds readings of another subject, other pairs or other options: give another --out, "
                        f"or delete {path}.")


def fill_sentences(subject: Subject, files: Mapping[str, Path], path: Path, pooling: str, most: int, blank: int = 0,
                   batch: int = 64, most_words: int = 128, device: str = "cpu", title: str = "reading") -> None:
    """Read each task's sentences and keep one vector a sentence and layer of the text's side.

    ``pooling``: "mean" over the words without special tokens, or "cls". ``blank`` regions, all zeros and each as large
    as the image, stand beside each sentence; 0 reads it alone. What is already there is not read again.
    """
    target = resolve_device(device)
    if hasattr(subject.model, "to"):
        subject.model.to(target)
    about = {"subject": subject.name, "description": subject.description, "pooling": pooling, "most": most,
             "blank": blank, "most_words": most_words}
    for task, file in files.items():
        folder = path / task
        sentences = taken(read_sentences(file), most)
        folder.mkdir(parents=True, exist_ok=True)
        _same(folder, about | {"sentences": file_digest(file)})
        if (folder / "sentences.json").exists():
            continue
        layers: list[str] = []
        with JobProgress(f"{title} {task}", len(sentences), "sentences") as progress:
            for number, first in enumerate(range(0, len(sentences), AT_ONCE)):
                here = sentences[first:first + AT_ONCE]
                part = folder / f"{number:06d}.npz"
                if not part.exists():
                    states = _pooled(subject, [sentence.text for sentence in here], pooling, blank, batch, most_words,
                                     target)
                    with atomic_write(part) as out:
                        np.savez(out, **states)  # type: ignore[arg-type]
                if not layers:
                    with np.load(part, allow_pickle=False) as content:
                        layers = list(content)
                progress.update(first + len(here))
        write_json(folder / "sentences.json", {"layers": layers, "sentences": [
            [sentence.split, sentence.label, sentence.text] for sentence in sentences]})


def _pooled(subject: Subject, texts: Sequence[str], pooling: str, blank: int, batch: int, most_words: int,
            device: Any) -> dict[str, np.ndarray]:
    """Layer -> (texts, dim) float32; sentences of like length are read together, so that little is padding."""
    encoded = encode(subject, texts, most_words)
    order = sorted(range(len(texts)), key=lambda place: len(encoded[place].ids))
    found: dict[str, np.ndarray] = {}
    for first in range(0, len(order), batch):
        here = order[first:first + batch]
        nothing = _blank(blank, subject.feature_dim)
        reading = subject.read(make_batch(subject, [encoded[place] for place in here],
                                          [nothing] * len(here) if blank else None).to(device))
        kinds = reading.text_kinds.cpu().numpy()
        kept = (kinds == (CLS if pooling == "cls" else WORD))
        kept[~kept.any(1)] = kinds[~kept.any(1)] != PADDING
        for layer in reading.layers:
            if layer.text is not None:
                states = layer.text.float().cpu().numpy()
                mean = np.einsum("bwd,bw->bd", states, kept.astype(np.float32)) / kept.sum(1)[:, None]
                found.setdefault(layer.name, np.empty((len(texts), states.shape[2]), np.float32))[here] = mean
    return found


def _blank(count: int, dim: int) -> Regions:
    return Regions(np.tile(np.array([0, 0, 1, 1], np.float32), (count, 1)), np.zeros((count, dim), np.float32),
                   np.full(count, -1, np.int32), np.zeros(count, np.float32), np.zeros((count, 0), np.int32),
                   np.zeros((count, 0), np.float32), 1, 1)
