"""Visual coreference detection and classification: the questions, and what could answer them without the model.

Detection: is this region the one the phrase names (half are not)? Classification: which type is the phrase of, asked of
linked ones alone. Baselines against leakage: the phrase's words alone, the region's box alone, both.
"""

from __future__ import annotations

import numpy as np

from evaluation.probes.examples import Examples, bag_of_words, box_numbers, coreference_examples
from evaluation.probes.linear import Asked, Question, prepared
from evaluation.probes.study import Study

DETECTION, CLASSIFICATION = "coreference detection", "coreference classification"


def questions(study: Study, examples: Examples) -> tuple[Question, Question]:
    """Detection and classification."""
    split, cluster = study.split[examples.pair], study.image[examples.pair]
    detection = np.where(examples.related, "linked", "not linked")
    return (Question(DETECTION, detection, split, cluster, examples.each(), examples.draw, np.ones(len(split), bool)),
            Question(CLASSIFICATION, examples.kind, split, cluster, examples.group, examples.draw,
                     examples.related & (examples.kind != "")))


def baselines(study: Study, examples: Examples) -> dict[str, np.ndarray]:
    """Name -> (n, d)."""
    words = bag_of_words(examples.group.tolist(), study.split[examples.pair] == 0)
    boxes = box_numbers(study, examples, both=False)
    return {"phrase words": words, "box": boxes, "phrase words and box": np.concatenate([words, boxes], 1)}


def measured(study: Study) -> tuple[Examples, list[Asked], list[str]]:
    """The examples, the questions that can be asked of them, and notes on those that cannot."""
    examples = coreference_examples(study)
    if not len(examples):
        return examples, [], ["no phrase has both a region that it names and one that it does not"]
    asked, notes = prepared(questions(study, examples), baselines(study, examples), study.options, study.figure)
    return examples, asked, notes
