"""Visual relations from the states of two regions, layer by layer (VALUE §3.4)."""

from __future__ import annotations

from evaluation.probes.matrices import relation_states
from evaluation.probes.relations import measured
from evaluation.probes.result import Result, Row
from evaluation.probes.study import Study

TITLE = "relations between regions, from the states of each layer"
VARIANTS = ("subject", "random", "mismatched")
NEEDS = "relations"


def run(study: Study) -> Result:
    """Identification and classification from all that `combine` gives."""
    examples, asked, notes = measured(study)
    rows: list[Row] = []
    layers = sum(bool(layer.image) for layer in study.cache.layers)
    with study.progress(layers * len(asked), "fits") as progress:
        for number, (layer, matrix) in enumerate(relation_states(study, examples) if asked else ()):
            for place, question in enumerate(asked):
                rows.append(question.row(layer, matrix))
                progress.update(number * len(asked) + place + 1)
    rows += [row for question in asked for row in question.baseline_rows()]
    return Result("relations-states", study.variant, tuple(rows), {}, tuple(notes), {
        "predicates": study.options.predicates, "relations_each": study.options.relations_each,
        "seeds": study.options.seeds})
