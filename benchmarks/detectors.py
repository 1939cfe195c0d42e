"""What a job costs beside its detector, and bottom-up against detectron2.

    python -m benchmarks.detectors [--small] [--only job predictor gpu]

Writes benchmarks/results/detectors.json. All weights are random: a network's speed does not depend on them, but the
number of boxes does a little.

- ``job``: `heed extract regions` (decoding, detector, rows, shards, commit; one process, no Ray) against a bare loop
  that decodes each batch and gives it to the same loaded detector and keeps nothing. Rounds alternate; the overhead is
  that of the best rounds, and the median of the rounds' own is beside it.
- ``predictor``: bottom-up's ResNet-101 C4 in batches against detectron2's `DefaultPredictor`, image by image, with the
  same weights, input size and 300 proposals. Only where detectron2 is installed. The predictor pools no feature for its
  boxes and names no attribute; heed does.
- ``gpu``: images a second of bottom-up at batches of 1, 8 and 32 (6.5 are published for the C4 model), the share of the
  time in proposals and selection (all suppression, sorting and box arithmetic), and how busy the GPU said it was. Only
  where there is one.

``--small`` tries everything out in minutes: ResNet-50 at a quarter of the size, one round, written nowhere. With
``--only``, or where something is lacking, the others' figures stay as they are: each has a machine of its own.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import statistics
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

HEIGHT, WIDTH, SEED = 480, 640, 0
MOST_APART = 1
"""Boxes of an image by which two ways to run one network may differ."""
# Detector -> images a round, batch, rounds.
JOBS = {"torchvision": (48, 8, 3), "bottom-up": (6, 2, 2)}
VISUAL_GENOME = """
MODEL:
  META_ARCHITECTURE: GeneralizedRCNN
  CAFFE_MAXPOOL: True
  PIXEL_MEAN: [102.9801, 115.9465, 122.7717]
  MASK_ON: False
  RESNETS: {DEPTH: 101}
  PROPOSAL_GENERATOR: {HID_CHANNELS: 512}
  ANCHOR_GENERATOR: {SIZES: [[64, 128, 256, 512]]}
  RPN: {PRE_NMS_TOPK_TEST: 6000, POST_NMS_TOPK_TEST: 300}
  ROI_HEADS: {NAME: Res5ROIHeads, NUM_CLASSES: 1600, SCORE_THRESH_TEST: 0.2, NMS_THRESH_TEST: 0.6}
  ROI_BOX_HEAD: {RES5HALVE: False, POOLER_TYPE: ROIPool, ATTR: True, NUM_ATTRS: 400}
INPUT: {MIN_SIZE_TEST: 600, MAX_SIZE_TEST: 1000}
VERSION: 2
"""


def photos(count: int) -> list[np.ndarray]:
    """Pictures (480, 640, 3) uint8 with structure at several scales, which a JPEG compresses as it does photos."""
    rng = np.random.default_rng(SEED)
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    made = []
    for _ in range(count):
        picture = np.full((HEIGHT, WIDTH, 3), 110.0)
        for _ in range(20):
            x, y, size = rng.uniform(0, WIDTH), rng.uniform(0, HEIGHT), rng.uniform(15, 150)
            blob = np.exp(-((across - x) ** 2 + (down - y) ** 2) / (2 * size**2))
            picture += blob[:, :, None] * rng.uniform(-150, 150, 3)
        made.append(np.clip(picture + rng.normal(0, 8, picture.shape), 0, 255).astype(np.uint8))
    return made


def bottom_up(small: bool, device: str, **options: Any) -> tuple[Any, dict[str, Any]]:
    """Bottom-up with random weights whose class scores differ, as a trained network's do; and these weights."""
    import torch

    from features.detectors import DetectorOptions
    from features.detectors.bottom_up import as_detector, random_network
    from features.detectors.c4_config import PY_BOTTOM_UP
    from features.detectors.c4_layouts import Checkpoint

    config = replace(PY_BOTTOM_UP, blocks=(3, 4, 6, 3), side=150, longest=250) if small else PY_BOTTOM_UP
    checkpoint, network = random_network(Checkpoint("py-bottom-up-attention", config, {}))
    probe = as_detector(copy.deepcopy(network), checkpoint, DetectorOptions(device=device, threads=threads()))
    corners = np.random.default_rng(SEED).uniform(0, (WIDTH, HEIGHT), (2, 16, 2))
    boxes = np.concatenate([corners.min(0), corners.max(0) + 1], 1)
    features = torch.from_numpy(probe.detect(photos(1), [boxes])[0].features)
    scores = network.roi_heads.box_predictor.cls_score
    with torch.no_grad():
        scores.weight.mul_(3 / (features @ scores.weight.T).std(0).mean())
        scores.bias.copy_(-(scores.weight @ features.mean(0)))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return as_detector(network, checkpoint, DetectorOptions(device=device, threads=threads(), **options)), before


def threads() -> int:
    """Cores for one process."""
    return os.cpu_count() or 1


class Ready:
    """A reader that is already open, so that a job's time is not its detector's loading."""

    def __init__(self, reader: Any) -> None:
        self.reader = reader

    def open(self) -> Any:
        return self.reader

    open_to_plan = open


def job(name: str, small: bool, folder: Path) -> dict[str, Any]:
    """Seconds of the job and of the bare loop, alternately."""
    from PIL import Image

    from features.detectors import DetectorOptions, load_detector
    from features.images import decode_image
    from pipeline.detect import DetectionReader, DetectRegions
    from pipeline.job import run_job
    from pipeline.sources import open_source

    images, batch, rounds = (4, 2, 1) if small else JOBS[name]
    source = folder / name
    source.mkdir()
    for number, picture in enumerate(photos(images)):
        Image.fromarray(picture).save(source / f"{number:03d}.jpg", quality=90)
    if name == "bottom-up":
        detector = bottom_up(small, "cpu")[0]
    else:
        detector = load_detector("torchvision", DetectorOptions(
            weights="fasterrcnn_mobilenet_v3_large_320_fpn=random", device="cpu", threads=threads()))
    reader = DetectionReader.__new__(DetectionReader)
    reader.spec, reader.detector = DetectRegions(name, detector.options, "float16", batch), detector
    reader.fields = _fields(detector)
    files = sorted(source.iterdir())

    def loop() -> None:
        for first in range(0, len(files), batch):
            detector.detect([decode_image(path.read_bytes()) for path in files[first : first + batch]])

    def whole() -> None:
        run_job(Ready(reader), open_source(str(source)), folder / f"{name}-{time.monotonic_ns()}", inline=True)

    loop()
    seconds: dict[str, list[float]] = {"loop": [], "job": []}
    for number in range(rounds):
        for kind, run in (("loop", loop), ("job", whole)) if number % 2 else (("job", whole), ("loop", loop)):
            seconds[kind].append(timed(run))
    return {
        "images": images, "batch": batch, "rounds": rounds,
        "loop, images/s": round(images / min(seconds["loop"]), 3),
        "job, images/s": round(images / min(seconds["job"]), 3),
        "overhead of the best": round(min(seconds["job"]) / min(seconds["loop"]) - 1, 4),
        "overhead, median": round(statistics.median(
            one / other - 1 for one, other in zip(seconds["job"], seconds["loop"], strict=True)), 4),
    }


def _fields(detector: Any) -> Any:
    from pipeline.fields import region_fields

    return region_fields(detector.dim, detector.attributes, "float16", detector.distribution)


def timed(run: Callable[[], object]) -> float:
    """Seconds by the clock."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def predictor(small: bool, folder: Path) -> dict[str, Any] | None:
    """Images/s of bottom-up in batches and of detectron2's predictor, the same weights in both."""
    try:
        from detectron2.config import get_cfg
        from detectron2.engine import DefaultPredictor
    except ImportError:
        return None
    import torch

    from features.detectors import detectron2_bottom_up

    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, batch, rounds = (2, 2, 1) if small else ((64, 32, 3) if device == "cuda" else (4, 4, 2))
    detector, weights = bottom_up(small, device, preset="predictor", score_threshold=0.2, nms=0.6)
    (folder / "vg.yaml").write_text(VISUAL_GENOME)
    cfg = get_cfg()
    detectron2_bottom_up.add_config(cfg)
    cfg.merge_from_file(str(folder / "vg.yaml"), allow_unsafe=False)
    detectron2_bottom_up.choose_modules(cfg)
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = device, ""
    if small:
        cfg.MODEL.RESNETS.DEPTH, cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 50, 150, 250
    theirs = DefaultPredictor(cfg)
    theirs.model.load_state_dict(weights, strict=False)
    if device == "cpu":
        torch.set_num_threads(threads())
    seen = photos(images)

    def one_by_one() -> list[int]:
        return [len(theirs(picture[:, :, ::-1])["instances"]) for picture in seen]

    def batched() -> list[int]:
        return [len(regions) for first in range(0, images, batch)
                for regions in detector.detect(seen[first : first + batch])]

    found = one_by_one(), batched()
    # With random weights some boxes overlap by just about the threshold, and a batch rounds otherwise than one image.
    apart = max(abs(one - other) for one, other in zip(*found, strict=True))
    assert apart <= MOST_APART, f"the two find {found[0]} and {found[1]} boxes"
    seconds = [(timed(batched), timed(one_by_one)) for _ in range(rounds)]
    ours, other = (min(column) for column in zip(*seconds, strict=True))
    return {"device": device, "images": images, "batch": batch, "rounds": rounds, "boxes": found,
            "heed, images/s": round(images / ours, 3), "DefaultPredictor, images/s": round(images / other, 3),
            "times as fast": round(other / ours, 2)}


@contextmanager
def on_the_gpu(module: Any, name: str, spans: list) -> Iterator[None]:
    """Note, in the GPU's own time, when calls of a function begin and end."""
    import torch

    original = getattr(module, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        result = original(*arguments, **named)
        end.record()
        spans.append((begin, end))
        return result

    setattr(module, name, wrapped)
    try:
        yield
    finally:
        setattr(module, name, original)


def busy(stop: threading.Event, seen: list[int]) -> None:
    """What the driver says of the GPU's utilisation, ten times a second."""
    import torch

    while not stop.wait(0.1):
        try:
            seen.append(torch.cuda.utilization())
        except Exception:  # without NVML's Python package nothing is known
            return


def gpu(small: bool) -> dict[str, Any] | None:
    """Images/s at three batch sizes."""
    import torch

    if not torch.cuda.is_available():
        return None
    from features.detectors import bottom_up as module

    results: dict[str, Any] = {"device": torch.cuda.get_device_name()}
    for preset in ("caffe", "detectron2"):
        detector, _ = bottom_up(small, "cuda", preset=preset)
        for batch in (1, 8, 32):
            results[f"{preset}, batch {batch}"] = one_batch_size(module, detector, photos(batch), max(2, 96 // batch))
    return results


def one_batch_size(module: Any, detector: Any, seen: list[np.ndarray], rounds: int) -> dict[str, Any]:
    """The figures of one batch, given to the detector again and again."""
    import torch

    def rounds_of_it() -> None:
        for _ in range(rounds):
            detector.detect(seen)
        torch.cuda.synchronize()

    rounds_of_it()
    stop = threading.Event()
    said: list[int] = []
    spans: list[Any] = []
    watcher = threading.Thread(target=busy, args=(stop, said))
    watcher.start()
    spent = timed(rounds_of_it)
    stop.set()
    watcher.join()
    with on_the_gpu(module, "propose", spans), on_the_gpu(module, "select", spans):
        again = timed(rounds_of_it)
    chosen = sum(begin.elapsed_time(end) for begin, end in spans) / 1000
    rate = len(seen) * rounds / spent
    return {"images/s": round(rate, 2), "times 6.5 images/s": round(rate / 6.5, 2),
            "share in proposals and selection": round(chosen / again, 4),
            "GPU utilisation, %": round(statistics.mean(said), 1) if said else None}


def main() -> None:
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", nargs="+", choices=("job", "predictor", "gpu"), default=("job", "predictor", "gpu"))
    wanted = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads())
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, torch {torch.__version__}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made: dict[str, Callable[[], dict[str, Any] | None]] = {
            "job": lambda: {kind: job(kind, wanted.small, folder) for kind in JOBS},
            "predictor": lambda: predictor(wanted.small, folder), "gpu": lambda: gpu(wanted.small)}
        found = {kind: made[kind]() for kind in wanted.only}
    result = {kind: figures | {"machine": machine} for kind, figures in found.items() if figures}
    print(json.dumps(result, indent=1))
    if not wanted.small:
        out = Path(__file__).parent / "results" / "detectors.json"
        kept = json.loads(out.read_text()) if out.exists() else {}
        size = {"input": f"{WIDTH} x {HEIGHT} pixels, seen as 800 x 600"}
        out.write_text(json.dumps(kept | result | size, indent=1) + "\n")


if __name__ == "__main__":
    main()
