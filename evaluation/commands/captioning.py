"""`heed evaluate captioning`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class EvaluateCaptioning:
    """Judge captions of images or videos: BLEU, ROUGE-L, CIDEr, and METEOR where Java is there.

    The figures are those of coco-caption, whose words they count without Java; intervals are resampled by image.
    """

    # The captions: COCO's results format, [{"image_id", "caption"}].
    predictions: Path
    # The references: COCO's captions format.
    truth: Path
    # Judge only the images that have a result.
    subset: bool = False
    # Compute METEOR: where not given, if Java is there.
    meteor: bool | None = None
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.captions import evaluate_captions
        from evaluation.table import print_figures

        found = evaluate_captions(self.predictions, self.truth, self.meteor, self.resamples, subset=self.subset)
        if self.json:
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            print_figures(f"Captions of {found['images']:,} images", found["figures"], found["notes"], "image")
        return 0
