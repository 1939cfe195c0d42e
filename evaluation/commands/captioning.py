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
    # Compute BERTScore, too, with this BERT or RoBERTa: a folder in Hugging Face's layout, or a name.
    bertscore: str = ""
    # Its layer; 0 takes the published choice for the model's name.
    bertscore_layer: int = 0
    # Table of baselines to rescale it by (LAYER,P,R,F, as the package bert-score ships them).
    bertscore_baseline: Path | None = None
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.captions import evaluate_captions
        from evaluation.metrics.bertscore import BertScore
        from evaluation.table import print_figures

        scorer = None
        if self.bertscore:
            scorer = BertScore.load(self.bertscore, self.bertscore_layer, self.bertscore_baseline)
        found = evaluate_captions(self.predictions, self.truth, self.meteor, self.resamples, subset=self.subset,
                                  bertscore=scorer)
        if self.json:
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            print_figures(f"Captions of {found['images']:,} images", found["figures"], found["notes"], "image")
        return 0
