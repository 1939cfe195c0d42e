"""`heed evaluate description`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class EvaluateDescription:
    """Judge audio descriptions: CIDEr, ROUGE-L, BLEU, METEOR where Java is there, and recall within neighbours.

    R@k/N asks of each sentence whether its own reference is among the k most similar of N neighbours in its film
    (AutoAD-II). Intervals are resampled by film.
    """

    # The descriptions: JSON lines {"id", "video", "start", "end", "sentence"}.
    predictions: Path
    # The true ones, in the same format.
    truth: Path
    # What R@k/N compares sentences by: their words, their longest common sequence, or their n-grams by rarity.
    similarity: Literal["word-f1", "rouge-l", "cider"] = "word-f1"
    # N of R@k/N.
    neighbours: int = 16
    # Judge only the descriptions that have a prediction.
    subset: bool = False
    # Compute METEOR: where not given, if Java is there.
    meteor: bool | None = None
    # Compute BERTScore, too, and R@k/N by it, with this BERT or RoBERTa: a folder in Hugging Face's layout, or a name.
    bertscore: str = ""
    # Its layer; 0 takes the published choice for the model's name.
    bertscore_layer: int = 0
    # Table of baselines to rescale it by (LAYER,P,R,F, as the package bert-score ships them); AutoAD-II rescales.
    bertscore_baseline: Path | None = None
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.description import evaluate_descriptions, print_descriptions
        from evaluation.metrics.bertscore import BertScore

        scorer = None
        if self.bertscore:
            scorer = BertScore.load(self.bertscore, self.bertscore_layer, self.bertscore_baseline)
        found = evaluate_descriptions(self.predictions, self.truth, self.resamples, subset=self.subset,
                                      with_meteor=self.meteor, similarity=self.similarity, neighbours=self.neighbours,
                                      bertscore=scorer)
        if self.json:
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            print_descriptions(found)
        return 0
