"""`heed evaluate generation`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class EvaluateGeneration:
    """Judge generated pictures by their files: R-precision, named objects (scenes), inception score and FID.

    The inception score and FID need a network: without --network they are not computed.
    """

    # The list of pictures (RUN/predictions/SPLIT.json).
    predictions: Path
    # The captions: a scenes folder, a captions file, AttnGAN's data folder, or the SPLIT.truth.jsonl beside the list.
    # FID takes the real pictures from the dataset, so it needs one of the first three.
    truth: Path | None = None
    # Which part of the truth was predicted.
    split: str = "test"
    # Folder of the real images, where it is not the dataset's own.
    images: Path | None = None
    # Share of images held out, where the truth has no splits of its own; as in training.
    holdout: float = 0.2
    # Inception-v3: fidelity (of the published figures) or torchvision, downloaded, or either's weights file.
    network: str | None = None
    # Do not look for named objects in pictures of scenes.
    no_objects: bool = False
    # Folder to draw the pictures in, for which the attention was kept, with each stage's five most attended words.
    maps: Path | None = None
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Where networks run: cpu, cuda, or auto (cuda where there is one).
    device: str = "auto"
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.generation import evaluate_generation
        from evaluation.run_folder import TRUTH_SUFFIX
        from evaluation.table import print_figures
        from evaluation.truth import read_truth
        from pipeline.captioned_pictures import read_pictures

        captions, real = [], None
        if self.truth is not None and self.truth.name.endswith(TRUTH_SUFFIX):
            captions = read_truth(self.truth)
        elif self.truth is not None:
            pictures = read_pictures(self.truth, self.split, self.images, self.holdout)
            captions = [caption for picture in pictures for caption in picture.captions]
            real = _real(self.predictions, pictures)
        found = evaluate_generation(self.predictions, captions, self.network, real, not self.no_objects,
                                    self.resamples, device=self.device)
        if self.maps is not None:
            from evaluation.report.word_maps import write_word_maps

            write_word_maps(self.predictions, self.maps)
        if self.json:
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            print_figures(f"{found['pictures']:,} generated pictures", found["figures"], found["notes"], "image")
        return 0


def _real(predictions: Path, pictures: list) -> Iterator[np.ndarray]:
    """The real pictures of a split, cut and scaled to the generated ones' size."""
    from evaluation.generated import Generated
    from features.crops import squares
    from features.images import decode_image

    side = Generated.read(predictions).pixels(0).shape[0]
    for picture in pictures:
        yield squares(decode_image(picture.path.read_bytes()), (side,), picture.box, enlarge=False)[0]
