"""SCAN's Gram form against the published loop, 128 images x 640 captions: python -m benchmarks.scan_scoring

Writes benchmarks/results/scan_scoring.json; takes some four minutes on two idle cores.

36 regions, 1024 dimensions, captions of 8 to 16 words, two threads, float32. Both are run in turn, round after round,
so that whatever else the machine does falls on both; medians are compared. Beside the wall clock stands the processor
time of the process, which other processes disturb less. "training" is forward and backward for 128 images and 128
captions.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from training.attention.config import AttentionConfig
from training.models.scan import Scan, length_mask
from training.models.scan_config import ScanConfig

IMAGES, CAPTIONS, REGIONS, DIM, ROUNDS, THREADS = 128, 640, 36, 1024, 7, 2
RESULT = Path(__file__).parent / "results" / "scan_scoring.json"


def published_loop(images: Tensor, words: Tensor, lengths: list[int], direction: str) -> Tensor:
    """The published computation (`func_attention` and `xattn_score_*` of kuanghuei/SCAN), from its formulas: caption by
    caption, attended vectors laid out; clipped_l2norm, lambda 9, mean.
    """
    columns = []
    for caption, length in zip(words, lengths, strict=True):
        repeated = caption[:length].repeat(len(images), 1, 1)
        query, context = (repeated, images) if direction == "t2i" else (images, repeated)
        scores = F.leaky_relu(torch.bmm(context, query.transpose(1, 2)), 0.1)  # (images, context, queries)
        scores = scores / (scores.square().sum(2, keepdim=True).sqrt() + 1e-8)
        weights = torch.softmax(9 * scores.transpose(1, 2).contiguous(), dim=2)
        attended = torch.bmm(weights, context)
        cosine = (query * attended).sum(2) / (query.norm(dim=2) * attended.norm(dim=2)).clamp(min=1e-8)
        columns.append(cosine.mean(1))
    return torch.stack(columns, dim=1)


def compare(loop: Callable[[], Tensor], gram: Callable[[], Tensor]) -> dict[str, float]:
    """Times in seconds (medians of `ROUNDS`), their ratios, and the largest difference of the results."""
    walls: dict[str, list[float]] = {"loop": [], "gram": []}
    processors: dict[str, list[float]] = {"loop": [], "gram": []}
    results: dict[str, Tensor] = {}
    for _ in range(ROUNDS):
        for name, function in (("loop", loop), ("gram", gram)):
            wall, processor = time.perf_counter(), time.process_time()
            results[name] = function()
            walls[name].append(time.perf_counter() - wall)
            processors[name].append(time.process_time() - processor)
    wall_s, processor_s = ({name: statistics.median(times) for name, times in table.items()}
                           for table in (walls, processors))
    return {"loop_s": wall_s["loop"], "gram_s": wall_s["gram"], "times_faster": wall_s["loop"] / wall_s["gram"],
            "loop_processor_s": processor_s["loop"], "gram_processor_s": processor_s["gram"],
            "times_less_processor": processor_s["loop"] / processor_s["gram"],
            "largest_difference": (results["loop"] - results["gram"]).abs().max().item()}


def main() -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    lengths = torch.randint(8, 17, (CAPTIONS,))
    images = F.normalize(torch.randn(IMAGES, REGIONS, DIM), dim=-1)
    words = F.normalize(torch.randn(CAPTIONS, int(lengths.max()), DIM), dim=-1)
    region_mask, word_mask = torch.ones(IMAGES, REGIONS, dtype=torch.bool), length_mask(lengths, words.shape[1])
    figures: dict[str, object] = {
        "images": IMAGES, "captions": CAPTIONS, "regions": REGIONS, "dim": DIM, "rounds": ROUNDS,
        "mean_words": lengths.float().mean().item(), "threads": THREADS,
        "processor": platform.machine(), "torch": torch.__version__}

    def scoring(direction: str, n: int, backward: bool) -> dict[str, float]:
        model = Scan(ScanConfig(direction), AttentionConfig(), feature_dim=1, vocab_size=4)
        leaf = images.clone().requires_grad_(backward)

        def step(similarity: Callable[[], Tensor]) -> Tensor:
            with torch.set_grad_enabled(backward):
                result = similarity()
                if backward:
                    result.sum().backward()
            return result.detach()

        return compare(lambda: step(lambda: published_loop(leaf, words[:n], lengths[:n].tolist(), direction)),
                       lambda: step(lambda: model.similarity(leaf, region_mask, words[:n], word_mask[:n])))

    for name, direction, n, backward in (("t2i", "t2i", CAPTIONS, False), ("i2t", "i2t", CAPTIONS, False),
                                         ("training t2i", "t2i", IMAGES, True)):
        figures[name] = scoring(direction, n, backward)
        print(name, json.dumps(figures[name]))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
