"""What a run tells while it trains: metrics.jsonl, TensorBoard, and progress. Silent on every worker but the first."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from pipeline.progress import JobProgress
from training.run import Run
from training.workers import first


class Journal:
    """A context manager; ``step`` of ``total`` steps are done when it opens."""

    def __init__(self, run: Run, step: int, total: int) -> None:
        self.run = run
        self._writer: Any = None
        self._progress: JobProgress | None = None
        if first():
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=step)
            self._progress = JobProgress(f"training {run.path.name}", total, "steps", step)

    def __enter__(self) -> Journal:
        if self._progress:
            self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress:
            self._progress.__exit__(kind, error, trace)
            self._writer.close()

    def log(self, split: str, step: int, epoch: int, figures: dict[str, float]) -> None:
        """Log figures of a split, "train" or "val"."""
        if self._writer:
            self.run.log(step=step, epoch=epoch, split=split, **figures)
            for name, value in figures.items():
                self._writer.add_scalar(f"{split}/{name}", value, step)

    def progress(self, step: int, note: str) -> None:
        """Say how many steps are done in all, and a word more."""
        if self._progress:
            self._progress.update(step, note)
