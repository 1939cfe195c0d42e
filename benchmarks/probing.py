"""VALUE's probes with all controls on 1,000 image-text pairs through a 12 x 12 subject: python -m benchmarks.probing

Writes benchmarks/results/probing.json; takes some twelve minutes.

The subject has the shape of UNITER-base where the probes see it (12 layers, 12 heads, 768 wide) and random weights;
its inner layers are narrow, which makes its own forward shorter and nothing else. The pairs are rendered scenes, their
captions and boxes, filled up to 36 regions; the sentences of the linguistic tasks are the captions. What is told is
the time beyond the subject's forward: writing and reading the cache, all examples, fits, intervals, tables and
pictures, for the subject, its random twin and mismatched captions.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluation.probes.observations import write_observations
from evaluation.probes.options import ProbeOptions
from evaluation.probes.pairs import make_pairs, open_store
from evaluation.probes.run import Plan, run_probes
from evaluation.subjects import uniter
from evaluation.subjects.loading import build
from evaluation.subjects.subject import Batch, Reading, Subject
from features.regions import Regions
from features.text.wordpieces import WordPieces
from pipeline.annotations import Caption
from pipeline.datasets import read_captions, read_relations
from pipeline.datasets.scenes import read_objects
from pipeline.fields import Row, region_fields, row_from_regions
from pipeline.job import run_job
from pipeline.scenes.dataset import write_scenes
from pipeline.sources import Item, Source

PAIRS, REGIONS, DIM = 1000, 36, 64
PROBES = ("fusion", "importance", "cross-modal-heads", "coreference-heads", "coreference-attention",
          "coreference-states", "relations-attention", "relations-states", "linguistic", "patterns")
"""Those that measure; the causal ones are made of forwards."""
RESULT = Path(__file__).parent / "results" / "probing.json"


class Boxes:
    """Each scene's objects, filled up with boxes anywhere; features are noise that follows from the key."""

    kind, fields = "regions", region_fields(DIM, 0)

    def __init__(self, scenes: Path) -> None:
        self.objects = {objects.key: objects for objects in read_objects(scenes)}

    def open(self) -> Boxes:
        return self

    open_to_plan = open

    def describe(self) -> dict[str, Any]:
        return {"name": "boxes"}

    def read(self, items: Sequence[Item]) -> Iterator[tuple[Item, Row]]:
        for item in items:
            objects = self.objects[item.key]
            rng = np.random.default_rng(list(item.key.encode()))
            corners = np.sort(rng.uniform(0, objects.width, (REGIONS - len(objects.boxes), 2, 2)), 1)
            boxes = np.concatenate([objects.boxes, corners.reshape(-1, 4).astype(np.float32)])
            n = len(boxes)
            yield item, row_from_regions(item.key, Regions(
                boxes, rng.normal(size=(n, DIM)).astype(np.float32), np.zeros(n, np.int32), np.ones(n, np.float32),
                np.zeros((n, 0), np.int32), np.zeros((n, 0), np.float32), objects.width, objects.height), self.fields)


def subject(words: Path, clock: dict[str, float]) -> Subject:
    pieces = WordPieces.load(words, lower=True)
    config = uniter.Config(vocabulary=len(pieces), inner=64, features=DIM)
    model = build(uniter.FAMILY, config, None, "benchmark", 0)
    forward = model.forward

    def timed(batch: Batch, edit: Any = None) -> Reading:
        wall, processor = time.perf_counter(), time.process_time()
        reading: Reading = forward(batch, edit)
        clock["forward_wall_s"] += time.perf_counter() - wall
        clock["forward_processor_s"] += time.process_time() - processor
        return reading

    model.forward = timed
    return Subject("uniter 12 x 12, 768 wide", model, DIM, {"weights": "as drawn"}, pieces)


def write_words(path: Path, captions: Sequence[Caption]) -> Path:
    words = sorted({word for caption in captions for word in caption.text.lower().replace(".", " .").replace(
        ",", " ,").replace(";", " ;").split()})
    unused = [f"[unused{n}]" for n in range(1, 100)]
    path.write_text("\n".join(["[PAD]", *unused, "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]) + "\n")
    return path


def write_sentences(folder: Path, captions: Sequence[Caption]) -> Path:
    """Two tasks in SentEval's format: how long a caption is, and whether two neighbouring words are swapped."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    length, shift = [], []
    for number, caption in enumerate(captions):
        split = ("tr", "tr", "tr", "va", "te")[number % 5]
        words = caption.text.split()
        length.append(f"{split}\t{min(len(words) // 4, 5)}\t{caption.text}")
        if number % 2:
            at = int(rng.integers(len(words) - 1))
            words[at], words[at + 1] = words[at + 1], words[at]
        shift.append(f"{split}\t{'I' if number % 2 else 'O'}\t{' '.join(words)}")
    (folder / "sentence_length.txt").write_text("\n".join(length))
    (folder / "bigram_shift.txt").write_text("\n".join(shift))
    return folder


def measure(folder: Path, count: int) -> dict[str, Any]:
    write_scenes(folder / "scenes", count, size=64)
    reader = Boxes(folder / "scenes")
    run_job(reader, Source(str(folder / "scenes"), [Item(key, key, 1) for key in sorted(reader.objects)], 0),
            folder / "store", inline=True)
    captions = read_captions(folder / "scenes")
    firsts = list({caption.key: caption for caption in captions}.values())
    clock = {"forward_wall_s": 0.0, "forward_processor_s": 0.0}
    probed = subject(write_words(folder / "vocab.txt", captions), clock)
    pairs = make_pairs(firsts, read_relations(folder / "scenes"), open_store(folder / "store"))
    plan = Plan(probed, pairs, folder / "out", list(PROBES), sentences=write_sentences(folder / "sentences", firsts))
    wall, processor = time.perf_counter(), time.process_time()
    per_probe: dict[str, float] = {}
    for name in PROBES:
        started = time.perf_counter(), clock["forward_wall_s"]
        run_probes(replace(plan, probes=[name]))
        per_probe[name] = round(time.perf_counter() - started[0] - (clock["forward_wall_s"] - started[1]), 1)
    write_observations(run_probes(plan), folder / "out")
    total = {"wall_s": time.perf_counter() - wall, "processor_s": time.process_time() - processor}
    readings = sum(file.stat().st_size for file in (folder / "out" / "subject" / "readings").glob("*.npz"))
    return {"pairs": len(pairs), "variants": 3, "links": sum(len(pair.links) for pair in pairs.pairs),
            "relations": sum(len(pair.relations) for pair in pairs.pairs), "probes": list(PROBES),
            **{name: round(value, 1) for name, value in (total | clock).items()},
            "beyond_forward_wall_s": round(total["wall_s"] - clock["forward_wall_s"], 1),
            "beyond_forward_processor_s": round(total["processor_s"] - clock["forward_processor_s"], 1),
            "by_probe_wall_s": per_probe, "readings_mb_a_variant": round(readings / 1e6),
            "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=PAIRS)
    count = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), count)
    found |= {"threads": torch.get_num_threads(), "cores": os.cpu_count(), "machine": platform.machine(),
              "options": {"seeds": ProbeOptions().seeds, "resamples": ProbeOptions().resamples}}
    print(json.dumps(found, indent=1))
    RESULT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
