"""What the package bert-score answers, kept for `test_bertscore`.

    python -m tests.evaluation.metrics.make_bertscore_golden

Needs bert-score 0.3.13, its default settings, and the tiny BERT of `tiny_bert`.
"""

from __future__ import annotations

import tempfile
from itertools import product
from pathlib import Path

import numpy as np
import transformers
from bert_score import BERTScorer  # type: ignore[import-not-found]

from tests.evaluation.metrics import tiny_bert

if __name__ == "__main__":
    arrays = {}
    with tempfile.TemporaryDirectory() as place:
        folder = tiny_bert.write_bert(Path(place) / "tiny", transformers)
        (Path(place) / "baseline.tsv").write_text(tiny_bert.BASELINE)
        pairs = list(product(tiny_bert.CANDIDATES, tiny_bert.REFERENCES))
        shape = len(tiny_bert.CANDIDATES), len(tiny_bert.REFERENCES)
        for layer in (1, 3):
            for rescaled in (False, True):
                scorer = BERTScorer(str(folder), layer, lang="en", rescale_with_baseline=rescaled, device="cpu",
                                    baseline_path=str(Path(place) / "baseline.tsv"))
                name = f"layer {layer}" + (" rescaled" if rescaled else "")
                # A pair at a time: where cosines are negative, the package's padding would count.
                arrays[name] = np.array([float(scorer.score([a], [b])[2][0]) for a, b in pairs]).reshape(shape)
                groups = [tiny_bert.REFERENCES[i:i + 3] for i in range(len(tiny_bert.CANDIDATES))]
                arrays[f"{name} best"] = scorer.score(tiny_bert.CANDIDATES, groups)[2].numpy()
    np.savez_compressed(Path(__file__).parent / "bertscore.npz", **arrays)
    print({name: value.round(4).tolist() for name, value in arrays.items()})
