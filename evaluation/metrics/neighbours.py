"""R@k/N, recall within neighbours: is a generated sentence nearer to its own reference than to those around it?

As in AutoAD-II (Han et al. 2023, arXiv 2310.06838; `recall_within_neighbours.py`): the sentences of one film are in
order; windows of N start at 0, N/2, N, … as long as they are full (a shorter rest at the end is not judged, so of few
sentences none may be). In a window, a sentence is found if its own reference is among the k most similar of the N. The
figure is the mean over windows of the share found.

The published code leaves ties to the sort; here an equally similar neighbour counts as before one's own reference, as
in `evaluation.metrics.retrieval`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from features.errors import HeedError


def recall_within_neighbours(
    similarity: np.ndarray, k: Sequence[int] = (1, 5), neighbours: int = 16
) -> tuple[np.ndarray, np.ndarray]:
    """R@k/N of each window, for each of ``k``: (windows, len(k)) in 0 … 1; and where each window starts (windows,).

    ``similarity`` (sentences, sentences): of generated sentence i (row) with reference j (column), for example
    BERTScore's F1. Raises `HeedError` where it is not square or holds NaN, or k is no number from 1 to N.
    """
    if similarity.ndim != 2 or similarity.shape[0] != similarity.shape[1]:
        raise HeedError(f"R@k/N needs a similarity of each sentence with each reference, not {similarity.shape}.")
    if np.isnan(similarity).any():
        raise HeedError("R@k/N cannot be computed: similarities hold NaN.")
    if neighbours < 2 or not all(1 <= one <= neighbours for one in k):
        raise HeedError(f"R@k/N needs N of at least 2 and k from 1 to N, not k = {list(k)} and N = {neighbours}.")
    starts = np.arange(0, len(similarity) - neighbours + 1, neighbours // 2)
    out = np.zeros((len(starts), len(k)))
    for place, start in enumerate(starts):
        block = similarity[start : start + neighbours, start : start + neighbours]
        rank = (block >= np.diagonal(block)[:, None]).sum(1) - 1
        out[place] = [(rank < one).mean() for one in k]
    return out, starts
