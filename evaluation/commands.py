"""The command line of this floor. Light to import: what is heavy is imported when a command runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True)
class EvaluateMatching:
    """Judge a matching model by its predictions file alone: retrieval, and attention against truth.

    Every figure comes with a 95 % interval, resampled by image.
    """

    # The Arrow file of predictions (RUN/predictions/SPLIT.arrow).
    predictions: Path
    # The captions it was made from: a scenes folder, a captions file, or the SPLIT.truth.jsonl beside the predictions.
    truth: Path
    # Which part of the truth was predicted.
    split: str = "test"
    # Format of the truth, where it cannot be told from the files.
    format: str | None = None
    # Share of images held out, where the truth has no splits of its own; as in training.
    holdout: float = 0.2
    # Rank among all images and captions, or in COCO's folds of 1,000 images, averaged.
    protocol: Literal["all", "1k"] = "all"
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.matching import evaluate_matching
        from evaluation.run_folder import TRUTH_SUFFIX

        if self.truth.name.endswith(TRUTH_SUFFIX):
            from evaluation.truth import read_truth

            captions = read_truth(self.truth)
        else:
            from pipeline.datasets import read_captions

            captions = read_captions(self.truth, self.split, format=self.format, holdout=self.holdout)
        found = evaluate_matching(self.predictions, captions, self.protocol, self.resamples)
        if self.json:
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            from evaluation.table import print_matching

            print_matching(found)
        return 0


@dataclass(frozen=True)
class EvaluateMoments:
    """Judge a QVHighlights submission: moment retrieval and highlights, as the official evaluator does.

    Every figure comes with a 95 % interval, resampled by video.
    """

    # The submission: JSON lines with qid, pred_relevant_windows and pred_saliency_scores.
    predictions: Path
    # The annotations, in the format of highlight_val_release.jsonl.
    truth: Path
    # Judge the queries that both files have, where they do not hold the same.
    subset: bool = False
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print the official evaluator's JSON, rounded as it rounds.
    official: bool = False
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.moments import evaluate_moments
        from evaluation.table import print_figures

        found = evaluate_moments(self.predictions, self.truth, self.resamples, subset=self.subset)
        if self.official or self.json:
            print(json.dumps(found["official"] if self.official else found, indent=1, ensure_ascii=False))
        else:
            shown = {name: found["figures"][name] for name in found["official"]["brief"]}
            print_figures(f"Moments: {found['queries']:,} queries", shown, found["notes"], "video")
        return 0


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


@dataclass(frozen=True)
class EvaluateAnswers:
    """Judge answers to questions about images: soft accuracy against ten people's answers, and ANLS.

    Intervals are resampled by image.
    """

    # The answers: the VQA challenge's results format, [{"question_id", "answer"}].
    predictions: Path
    # The people's answers: VQA's annotations format.
    truth: Path
    # Whose normalisation and rules: VQA v2's or TextVQA's.
    protocol: Literal["vqa", "text-vqa"] = "vqa"
    # Judge only the questions that have a result.
    subset: bool = False
    # Resamples of the bootstrap.
    resamples: int = 1000
    # Print JSON for machines instead of a table.
    json: bool = False

    def run(self) -> int:
        """Print the figures; return the exit status."""
        import json

        from evaluation.answers import evaluate_answers
        from evaluation.table import print_figures

        found = evaluate_answers(self.predictions, self.truth, self.protocol, self.resamples, subset=self.subset)
        if self.json:
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            print_figures(f"Answers to {found['questions']:,} questions, percent", found["figures"], found["notes"],
                          "image")
        return 0


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
