"""`heed report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Report:
    """Write one self-contained HTML page on one or several runs: figures, curves, and attention over their photos.

    Figures for papers (PNG) are written into a folder beside it.
    """

    # Run folders, as heed train wrote them.
    runs: tyro.conf.Positional[tuple[Path, ...]]
    # The page.
    out: Path = Path("report.html")
    # Folder of the photos; where not given, the one the runs' configurations name.
    images: Path | None = None
    # Split whose evaluation and predictions are shown.
    split: str = "test"
    # How many captions are shown with their photos and attention.
    samples: int = 12
    # Also write PNG figures, into a folder called after the page.
    figures: bool = True

    def run(self) -> int:
        """Write the page; return the exit status."""
        from evaluation.report.build import write_report

        written = write_report(self.runs, self.out, self.images, self.split, self.samples, self.figures)
        for note in written.notes:
            print(f"Note: {note}.")
        size = f"{written.page.stat().st_size / 1e6:.1f} MB"
        print(f"The report on {len(self.runs)} run{'s' * (len(self.runs) > 1)} is {written.page} ({size}).")
        if written.figures:
            print(f"{len(written.figures)} figures for papers are in {written.figures[0].parent}.")
        return 0
