"""Visual coreference from the attention of all heads at once (VALUE §3.3).

    p(c | i, j)  proportional to  exp sum over heads k of  w_k a^k_ij + u_k a^k_ji

A linear probe of 2 x heads numbers, i the phrase and j the region: of all layers together, and of each layer alone.
"""

from __future__ import annotations

from evaluation.probes.coreference import measured
from evaluation.probes.linear import layer_rows
from evaluation.probes.matrices import coreference_attention
from evaluation.probes.result import Result
from evaluation.probes.study import Study

TITLE = "phrases and their regions, from the attention of all heads"
VARIANTS = ("subject", "random")
NEEDS = "links"


def run(study: Study) -> Result:
    """Detection and classification."""
    examples, asked, notes = measured(study)
    matrix, columns = coreference_attention(study, examples)
    if not columns:
        notes.append("no layer has attention between words and regions")
    rows = layer_rows(study, asked, matrix, columns)
    return Result("coreference-attention", study.variant, tuple(rows), {}, tuple(notes), {
        "pooling": study.options.pooling, "negatives": study.options.negatives, "seeds": study.options.seeds})
