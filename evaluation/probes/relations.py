"""Visual relation identification and classification: the questions, and what could answer them without the model.

Identification: does any relation hold from this region to that one (half do not)? Classification: which of the most
frequent predicates, asked of related ones alone; how many is an option, as the paper's own figures disagree (32
predicates, but a chance of 3.33 % = 1/30). Baselines against leakage: the two boxes alone, the names of what is in
them alone.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from evaluation.probes.examples import Examples, bag_of_words, box_numbers, relation_examples
from evaluation.probes.linear import Asked, Question, prepared
from evaluation.probes.study import Study

IDENTIFICATION, CLASSIFICATION = "relation identification", "relation classification"


def questions(study: Study, examples: Examples) -> tuple[Question, Question]:
    """Identification and classification."""
    split, cluster = study.split[examples.pair], study.image[examples.pair]
    label = np.where(examples.related, "related", "unrelated")
    train = examples.related & (split == 0)
    frequent = sorted(Counter(examples.kind[train].tolist()).items(), key=lambda item: (-item[1], item[0]))
    kept = [predicate for predicate, _ in frequent[:study.options.predicates]]
    named = np.array([bool(group.strip(" /")) for group in examples.group.tolist()], bool)
    group = np.where(named, examples.group, examples.each())
    return (Question(IDENTIFICATION, label, split, cluster, examples.each(), examples.draw, _balanced(examples)),
            Question(CLASSIFICATION, examples.kind, split, cluster, group, examples.draw,
                     examples.related & np.isin(examples.kind, kept)))


def _balanced(examples: Examples) -> np.ndarray:
    """(n,) bool: all negatives, and of each image's related pairs as many as a draw has negatives."""
    asked = ~examples.related
    for pair in np.unique(examples.pair):
        here = examples.of(int(pair))
        negatives = int((examples.draw[here] == 0).sum())
        asked[here.start + np.flatnonzero(examples.related[here])[:negatives]] = True
    return asked


def measured(study: Study) -> tuple[Examples, list[Asked], list[str]]:
    """The examples, the questions that can be asked of them, and notes on those that cannot."""
    examples = relation_examples(study)
    if not len(examples):
        return examples, [], ["no two regions are in a relation"]
    known = {"boxes": box_numbers(study, examples, both=True)}
    if any(group.strip(" /") for group in examples.group.tolist()):
        names = [" ".join(f"{side}:{name}" for side, name in enumerate(group.split(" / ")))
                 for group in examples.group.tolist()]
        known["names"] = bag_of_words(names, study.split[examples.pair] == 0)
    asked, notes = prepared(questions(study, examples), known, study.options, study.figure)
    return examples, asked, notes
