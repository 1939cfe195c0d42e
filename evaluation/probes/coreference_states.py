"""Visual coreference from the states of each layer (VALUE §3.3): the phrase's and the region's side by side.

The paper warns that a noun phrase's own content may tell its type: compare with the baseline of the phrase's words.
Side by side, a linear probe cannot tell whether two vectors are alike; their product (the option `combine`) lets it.
"""

from __future__ import annotations

from evaluation.probes.coreference import CLASSIFICATION, measured
from evaluation.probes.matrices import coreference_states
from evaluation.probes.result import Result, Row
from evaluation.probes.study import Study

TITLE = "phrases and their regions, from the states of each layer"
VARIANTS = ("subject", "random")
NEEDS = "links"


def run(study: Study) -> Result:
    """Detection from all that `combine` gives; classification from the two states side by side."""
    examples, asked, notes = measured(study)
    rows: list[Row] = []
    layers = sum(bool(layer.text and layer.image) for layer in study.cache.layers)
    with study.progress(layers * len(asked), "fits") as progress:
        for number, (layer, matrix, beside) in enumerate(coreference_states(study, examples) if asked else ()):
            for place, question in enumerate(asked):
                aside = question.question.name == CLASSIFICATION
                rows.append(question.row(layer, matrix[:, :beside] if aside else matrix))
                progress.update(number * len(asked) + place + 1)
    rows += [row for question in asked for row in question.baseline_rows()]
    return Result("coreference-states", study.variant, tuple(rows), {}, tuple(notes), {
        "pooling": study.options.pooling, "negatives": study.options.negatives, "combine": study.options.combine,
        "seeds": study.options.seeds})
