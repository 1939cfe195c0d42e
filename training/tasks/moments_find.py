"""`heed find moments`: queries in videos that a trained model has not seen, into an evaluated submission."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from features.errors import HeedError
from pipeline.commands.options import PlaceOption


@dataclass(frozen=True)
class FindMoments:
    """Find the moments of queries in videos, by a trained run or a checkpoint of the released code.

    Writes a QVHighlights submission, and beside it the annotations it is judged by where they say what is true.
    Features that another extractor made than those of the run are refused.
    """

    # Folder of a run, or a checkpoint of Moment-DETR's or QD-DETR's released code.
    trained: Positional[Path]
    # Stores of clip features, in the order of the training.
    video: tuple[PlaceOption, ...]
    # The queries: annotations as for training; windows may be missing.
    moments: Path
    # The file to write, .jsonl.
    out: Path
    # Store of the queries' token features, unless the run learned its words.
    text: PlaceOption | None = None
    # Which of the queries.
    split: Literal["all", "train", "val", "test"] = "all"
    # Where to compute: cpu, cuda, or auto (cuda where there is one).
    device: str = "auto"

    def run(self) -> int:
        """Predict and judge."""
        from training.commands import load_weights, predict_and_judge
        from training.models.detr_published import read_published
        from training.run import from_json
        from training.tasks.moments import Moments, MomentsConfig

        run = self.trained / "config.json"
        if run.exists():
            value = json.loads(run.read_text(encoding="utf-8"))
            if (task_name := value.pop("task")) != "moments":
                raise HeedError(f"{self.trained} is a run of {task_name}, not of moments.")
            config = from_json(MomentsConfig, value)
            config = replace(config, video=self.video, moments=self.moments, text=self.text, init=None)
        elif self.text is None:
            raise HeedError("A checkpoint of the released code reads token features: give their store (--text).")
        else:
            config = MomentsConfig(self.video, self.moments, self.out.parent, self.text, init=self.trained,
                                   model=read_published(self.trained).config, round_windows="always")
        config = replace(config, loop=replace(config.loop, device=self.device))
        task = Moments(config, measure=False)
        if run.exists():
            load_weights(task, self.trained / "checkpoints" / "best.pt")
        predict_and_judge(task, config, self.split, self.out)
        print(f"{self.out}: moments found by {self.trained}.")
        return 0
