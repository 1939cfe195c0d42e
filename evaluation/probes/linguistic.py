"""Linguistic knowledge in the states of sentences, layer by layer: SentEval's ten tasks (VALUE §3.5 has nine).

A sentence's vector is the mean of its words' states, or [CLS]'s (the option `sentence`). No image stands beside it,
unless `blank_regions` asks for some: the paper does not say what stood there. Without an image a two-stream model runs
its text layers alone. Baselines: the sentence's words, whatever their order, and its length in words and characters.
Figures are intervals over sentences.
"""

from __future__ import annotations

import numpy as np

from evaluation.bootstrap import Figure, figure, mean, resample
from evaluation.probes.examples import bag_of_words
from evaluation.probes.linear import MAJORITY, Asked, Question, best_row
from evaluation.probes.result import Result, Row
from evaluation.probes.sentences import SentenceStates
from evaluation.probes.study import SPLITS, Study
from features.errors import HeedError
from pipeline.datasets.senteval import TASKS

TITLE = "what each layer knows of a sentence's form (SentEval)"
VARIANTS = ("subject", "random")
NEEDS = "sentences"
BEST = "best layers"


def run(study: Study) -> Result:
    """A table for each task, and one of the layers that validation chooses."""
    assert study.sentences is not None
    tasks = [task for task in TASKS if (study.sentences / task / "sentences.json").exists()]
    opened = {task: SentenceStates.open(study.sentences / task) for task in tasks}
    rows: list[Row] = []
    best: list[Row] = []
    notes: list[str] = [f"{task}: no file" for task in TASKS if task not in tasks]
    with study.progress(sum(len(states.layers) for states in opened.values()), "fits") as progress:
        done = 0
        for task, states in opened.items():
            try:
                asked = _asked(study, task, states)
            except HeedError as error:
                notes.append(str(error))
                continue
            found = []
            for layer in states.layers:
                found.append(asked.row(layer, states.states(layer)))
                done += 1
                progress.update(done)
            known = asked.baseline_rows()
            rows += [*found, *known]
            top = best_row(found)
            best.append({"table": BEST, "task": task, "layer": top["features"],
                         **{name: value for name, value in top.items() if name not in ("table", "features")},
                         MAJORITY: known[-1]["accuracy"]})
    return Result("linguistic", study.variant, (*best, *rows), {}, tuple(notes), {
        "sentence": study.options.sentence, "blank_regions": study.options.blank_regions,
        "most_sentences": study.options.most_sentences})


def _asked(study: Study, task: str, states: SentenceStates) -> Asked:
    texts = [sentence.text for sentence in states.sentences]
    split = np.array([SPLITS.index(sentence.split) for sentence in states.sentences], np.int64)
    everyone = np.ones(len(texts), bool)
    question = Question(task, np.array([sentence.label for sentence in states.sentences]), split,
                        np.arange(len(texts)), np.array(texts), np.full(len(texts), -1), everyone)
    length = np.array([[len(text.split()), len(text)] for text in texts], np.float32)
    test = np.flatnonzero(split == 2)
    weights = resample(max(1, len(test)), study.options.resamples)

    def interval(values: np.ndarray, cluster: np.ndarray) -> Figure:
        return figure(mean(weights, values, np.searchsorted(test, cluster)), len(values), len(values))

    return Asked(question, {"words": bag_of_words(texts, split == 0, 1000), "length": length}, study.options, interval)
