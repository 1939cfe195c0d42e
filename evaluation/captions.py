"""Evaluate captions: a COCO results file and its references, to BLEU, ROUGE-L, CIDEr and, with Java, METEOR.

Results are [{"image_id", "caption"}], one for each image; references {"annotations": [{"image_id", "caption"}, …]} or
the list alone, any number for each image: the formats of COCO's server, which MSR-VTT's and others' results use too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.bootstrap import RESAMPLES, figure, mean, resample
from evaluation.metrics import ngrams
from evaluation.metrics.bertscore import BertScore
from evaluation.metrics.meteor import meteor, missing
from evaluation.metrics.penn_words import penn_words
from features.errors import HeedError

Rows = list[dict[str, Any]]
METRICS = ("bleu", "rouge", "cider", "meteor")
SPICE = ("SPICE was not computed: its Java program needs the Stanford parser's models, which it downloads at its first "
         "run; pycocoevalcap.spice gives it where they are")


def evaluate_captions(
    results: Path | Rows, references: Path | Rows, with_meteor: bool | None = None, resamples: int = RESAMPLES,
    seed: int = 0, subset: bool = False, bertscore: BertScore | None = None,
) -> dict[str, Any]:
    """Compute the figures of coco-caption, each with an interval resampled by image, as one JSON-ready dict.

    Keys: task, images, ``figures`` (BLEU-1 … BLEU-4, ROUGE-L, CIDEr, CIDEr-plain; METEOR and BERTScore if computed),
    each as `Figure.to_json` on the scale of the published code (0 … 1, CIDEr 0 … 10), and ``notes``. ``with_meteor``
    None computes METEOR where Java is there; True insists. METEOR's interval is that of the mean over images, moved to
    the program's figure for the whole, which is no mean. ``bertscore`` computes BERTScore with it. ``subset`` allows
    images without a result, which are then left out. Raises `HeedError` where a file cannot be read or images do not
    match.
    """
    said, true = _captions(results, "results"), _captions(references, "references")
    twice = next((image for image, group in said.items() if len(group) > 1), None)
    if twice is not None:
        raise HeedError(f"The results have two captions for image {twice!r}; one is judged.")
    notes = _unmatched(set(said), set(true), subset)
    images = [image for image in true if image in said]
    flat = penn_words([said[image][0] for image in images] + [text for image in images for text in true[image]])
    captions, rest = flat[: len(images)], iter(flat[len(images):])
    groups = [[next(rest) for _ in true[image]] for image in images]

    weights, of = resample(len(images), resamples, seed), np.arange(len(images))
    counts = np.array([ngrams.bleu_counts(caption, group) for caption, group in zip(captions, groups, strict=True)])
    samples = {f"BLEU-{n + 1}": column for n, column in enumerate(ngrams.bleu(weights @ counts).T)}
    rouge = [ngrams.rouge_l(caption, group) for caption, group in zip(captions, groups, strict=True)]
    samples["ROUGE-L"] = mean(weights, np.array(rouge), of)
    samples["CIDEr"] = mean(weights, ngrams.cider(captions, groups), of)
    samples["CIDEr-plain"] = mean(weights, ngrams.cider(captions, groups, plain=True), of)
    reason = missing() if with_meteor is not False else "it was not asked for"
    if with_meteor or not reason:
        whole, each = meteor(captions, groups)
        samples["METEOR"] = mean(weights, each, of) + whole - each.mean()
    else:
        notes.append(f"METEOR was not computed: {reason}")
    if bertscore is not None:
        said_whole, true_whole = [said[image][0] for image in images], [true[image] for image in images]
        samples["BERTScore"] = mean(weights, bertscore.best(said_whole, true_whole), of)
        rescaled = f"rescaled by {bertscore.baseline:g}" if bertscore.baseline else "not rescaled"
        notes.append(f"BERTScore is the F1 with the best reference, layer {bertscore.layer}, {rescaled}")
    notes.append(SPICE)
    figures = {name: figure(values, len(images), len(images)).to_json() for name, values in samples.items()}
    return {"task": "captioning", "images": len(images), "figures": figures, "notes": notes}


def _captions(source: Path | Rows, what: str) -> dict[Any, list[str]]:
    """Image -> its captions, in the order of the file."""
    rows: Any = source
    if isinstance(source, Path):
        try:
            rows = json.loads(source.read_text(encoding="utf-8"))
        except OSError as error:
            raise HeedError(f"{source} cannot be read: {error.strerror or error}.") from error
        except ValueError as error:
            raise HeedError(f"{source} is not JSON in UTF-8: {error}.") from error
    if isinstance(rows, dict):
        rows = rows.get("annotations")
    if not isinstance(rows, list) or not rows:
        raise HeedError(f"The {what} hold no captions: a list of {{image_id, caption}} is expected.")
    out: dict[Any, list[str]] = {}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict) or "image_id" not in row or not isinstance(row.get("caption"), str):
            raise HeedError(f"Row {number} of the {what} has no image_id and caption.")
        out.setdefault(row["image_id"], []).append(row["caption"])
    return out


def _unmatched(said: set[Any], true: set[Any], subset: bool) -> list[str]:
    if extra := sorted(said - true, key=str):
        raise HeedError(f"{len(extra):,} of the results' images have no references, for example {extra[0]!r}.")
    if not (lacking := sorted(true - said, key=str)):
        return []
    note = f"images without a result, left out: {len(lacking):,} (for example {lacking[0]!r})"
    if not subset:
        raise HeedError(f"The results lack images: {note}. Add --subset to judge the others.")
    return [note]
