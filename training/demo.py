"""The demo: the whole road on rendered scenes, from pixels to a report, killed and gone on with at will."""

from __future__ import annotations

import importlib.util
import shlex
import time
from dataclasses import dataclass
from pathlib import Path

from training.attention.config import AttentionConfig
from training.config import LoopConfig
from training.models.scan_config import ScanConfig

REGIONS = (8, 24)
"""At least and at most so many regions a picture."""
SCORES = (("dot", "key"), ("general", "key"))
"""The two score functions the demo compares: SCAN's own, and one learned bilinear form."""


@dataclass(frozen=True)
class Demo:
    """Render scenes, extract regions with Ray, train SCAN with two score functions, evaluate both, write a report.

    Takes minutes on two CPU cores. Kill it at any time: run again, it goes on where it stopped.
    """

    # Folder for everything the demo makes.
    out: Path = Path("demo")
    # Scenes to render: in every ten, eight are for training, one for validation and one for testing.
    images: int = 2000
    # Passes over the training captions.
    epochs: int = 3
    # Extract in this process, without Ray.
    inline: bool = False

    def run(self) -> int:
        """Run the five stages."""
        began = time.monotonic()
        self._render()
        self._extract()
        for score, side in SCORES:
            self._train(score, side)
        page = self._report()
        minutes = (time.monotonic() - began) / 60
        print(f"""
Done in {minutes:.1f} minutes. The report is {page}: open it in a browser and move over the words of a caption.

To go on:
  heed store peek {_q(self.out / "store")}              look at what was extracted
  heed train matching --store {_q(self.out / "store")} --captions {_q(self.out / "scenes")} \\
       --attention.score additive --out {_q(self.out / "runs" / "additive")}    another score function
  heed extract regions YOUR_PHOTOS STORE --detector torchvision    your own photos (heed extract regions --help)""")
        return 0

    def _render(self) -> None:
        from pipeline.commands.scenes import Scenes

        _say(1, f"Rendering {self.images} scenes whose truth is known: boxes, attributes, captions, phrases.")
        Scenes(self.out / "scenes", self.images).run()

    def _extract(self) -> None:
        from features.detectors import DetectorOptions
        from pipeline.commands.extract import ExtractRegions
        from pipeline.commands.jobs import JobOptions

        inline = self.inline or importlib.util.find_spec("ray") is None
        where = "in this process" if inline else "on Ray"
        _say(2, f"Detecting objects in each picture and storing a feature vector for every one of them, {where}.")
        options = DetectorOptions(boxes=REGIONS)
        job = JobOptions(inline=inline, shard_rows=100)
        ExtractRegions(str(self.out / "scenes" / "images"), self.out / "store", "scenes", job, options, batch=16).run()

    def _train(self, score: str, side: str) -> None:
        from training.tasks.matching import MatchingConfig

        _say(3, f"Teaching SCAN which caption fits which picture; its words attend to regions by the {score} score.")
        config = MatchingConfig(
            store=self.out / "store", captions=self.out / "scenes", out=self.out / "runs" / score,
            attention=AttentionConfig(score=score, side=side, init="orthogonal"),  # type: ignore[arg-type]
            model=ScanConfig(embed_dim=128, word_dim=64),
            loop=LoopConfig(epochs=self.epochs, batch_size=64, lr=2e-3, schedule="cosine", checkpoint_every=25),
        )
        config.run()

    def _report(self) -> Path:
        from evaluation.commands.report import Report

        _say(4, "Writing the report.")
        page = self.out / "report.html"
        runs = tuple(self.out / "runs" / score for score, _ in SCORES)
        Report(runs, page, self.out / "scenes" / "images").run()
        return page


def _say(number: int, words: str) -> None:
    print(f"\n[{number}/4] {words}", flush=True)


def _q(path: Path) -> str:
    return shlex.quote(str(path))
