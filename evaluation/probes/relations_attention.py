"""Visual relations from the attention of all heads between two regions, there and back (VALUE §3.4)."""

from __future__ import annotations

from evaluation.probes.linear import layer_rows
from evaluation.probes.matrices import relation_attention
from evaluation.probes.relations import measured
from evaluation.probes.result import Result
from evaluation.probes.study import Study

TITLE = "relations between regions, from the attention of all heads"
VARIANTS = ("subject", "random", "mismatched")
NEEDS = "relations"


def run(study: Study) -> Result:
    """Identification and classification: of all layers together, and of each layer alone."""
    examples, asked, notes = measured(study)
    matrix, columns = relation_attention(study, examples)
    if not columns:
        notes.append("no layer has attention between regions")
    rows = layer_rows(study, asked, matrix, columns)
    return Result("relations-attention", study.variant, tuple(rows), {}, tuple(notes), {
        "predicates": study.options.predicates, "relations_each": study.options.relations_each,
        "seeds": study.options.seeds})
