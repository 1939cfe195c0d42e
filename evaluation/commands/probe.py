"""`heed probe`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from evaluation.probes.options import ProbeOptions


@dataclass(frozen=True)
class Probe:
    """Probe what a vision-and-language model's states and attention know (VALUE, Cao et al. 2020), with controls.

    Each probe's figures go into OUT/VARIANT as JSON, tables (CSV, Markdown, LaTeX) and heat maps; what the paper's five
    observations come to on this subject is in OUT/observations.md; OUT/page.html shows every head's attention on the
    photos. An interrupted run goes on where it stopped.
    """

    # The model: FAMILY:PLACE (docs/subjects.md), PLACE a weights file, a folder, a name of the Hub, or SIZE=random.
    subject: Positional[str]
    # Folder for the results and the readings.
    out: Path
    # Captions: a scenes folder, Flickr30k Entities, Visual Genome, or COCO's captions.
    data: Path | None = None
    # Store of the images' detected regions.
    store: Path | None = None
    # Store of the annotated boxes' features (extracted with boxes given); without it the nearest detected stand in.
    given: Path | None = None
    # Annotated boxes and relations, where they are not in the data itself (COCO's instances, Visual Genome).
    objects: Path | None = None
    # Folder with SentEval's probing files.
    sentences: Path | None = None
    # Foils in SugarCrepe's or VALSE's format: a file or a folder of them.
    foils: Path | None = None
    # Folder of the photos, for the page; a scenes folder has its own.
    photos: Path | None = None
    # Which probes, or all.
    probes: tuple[str, ...] = ("all",)
    # The subject itself, the same with random weights, and itself with captions of other images.
    variants: tuple[Literal["subject", "random", "mismatched"], ...] = ("subject", "random", "mismatched")
    # Splits of the data to take pairs from, for example those that the subject was not trained on; default all.
    splits: tuple[Literal["train", "val", "test"], ...] = ()
    # Images to draw; default all.
    images: int | None = None
    # Captions of each.
    captions: int = 1
    # Share of these images kept from fitting the probes: half for choosing, half for testing.
    holdout: float = 0.4
    # Regions shown of an image; LXMERT was trained on exactly 36.
    regions: int = 36
    # IoU from which a detected region stands for an annotated box, or is left out beside it.
    iou: float = 0.5
    # The subject's vocab.txt, where its weights' folder has none.
    vocabulary: Path | None = None
    # How the probes measure.
    options: ProbeOptions = field(default_factory=ProbeOptions)
    # Pairs read at once.
    batch: int = 32
    # Number type of states and attention on the disk.
    dtype: Literal["float16", "float32"] = "float16"
    # Where the subject runs: cpu, cuda, auto.
    device: str = "cpu"
    # Draw the heat maps.
    pictures: bool = True
    # Which images are drawn, which random weights, whose captions are swapped.
    seed: int = 0

    def run(self) -> int:
        """Probe; return the exit status."""
        from evaluation.probes.from_command import probe

        return probe(self)
