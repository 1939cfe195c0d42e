"""Which explanation finds what matching relies on: deletion and insertion of words or regions, most relevant first.

For each explanation of `evaluation.probes.relevance` a side's tokens are taken away in equal steps, the most relevant
first (deletion), or put back into an input without any (insertion), and the log-odds of matching are read. Areas under
these curves are scaled so that 1 is the whole input's score and 0 the empty one's, means over pairs
(`evaluation.metrics.faithfulness`). Gains are over random order: positive where the explanation is faithful. The other
side stays whole, and special tokens stay (Chefer et al. 2021 test the same way).
"""

from __future__ import annotations

import numpy as np
import torch

from evaluation.bootstrap import figure, mean
from evaluation.metrics.faithfulness import area, ranks, steps_taken
from evaluation.probes.intervening import Some, chosen_pairs, some, without
from evaluation.probes.relevance import METHODS, explain
from evaluation.probes.result import Result, Row
from evaluation.probes.study import Study

TITLE = "which explanation of matching is faithful: deletion and insertion against random order"
VARIANTS = ("subject", "random")
NEEDS = "pairs"
RANDOM = "random order"
SIDES = ("regions", "words")


def run(study: Study) -> Result:
    """A row for each side and explanation."""
    numbers = chosen_pairs(study)
    if study.subject.read(some(study, numbers[:1]).batch).match is None:
        return Result("faithfulness", study.variant, notes=("the subject has no matching head to explain",))
    steps = study.options.steps
    curves = {(side, method, kind): np.full((len(numbers), steps + 1), np.nan)
              for side in SIDES for method in (*METHODS, RANDOM) for kind in ("deletion", "insertion")
              if (side, method) != ("words", "gradient")}
    with study.progress(len(numbers), "pairs") as progress:
        for first in range(0, len(numbers), study.batch):
            here = slice(first, first + study.batch)
            one = some(study, numbers[here])
            for method in (*METHODS, RANDOM):
                found = dict(zip(("words", "regions"), (None, None) if method == RANDOM
                                 else explain(study.subject, one.batch, method), strict=True))
                for side in SIDES:
                    if (side, method, "deletion") not in curves:
                        continue
                    weights = found[side]
                    order = _order(one, side, None if weights is None else weights.cpu().numpy(), study.seed)
                    for kind in ("deletion", "insertion"):
                        curves[side, method, kind][here] = _curve(study, one, side, order, steps, kind)
            progress.update(first + len(one.pairs))
    return Result("faithfulness", study.variant, tuple(_rows(study, numbers, curves)), {}, (),
                  {"pairs": len(numbers), "steps": steps})


def _order(one: Some, side: str, weights: np.ndarray | None, seed: int) -> np.ndarray:
    """(n, positions) rank of every token of the side, 0 first; others behind all."""
    real = (one.regions if side == "regions" else one.words).cpu().numpy()
    rng = np.random.default_rng([seed, int(one.numbers[0]), len(side)])
    if weights is None:
        weights = np.zeros(real.shape)
    # `ranks` takes each row's first tokens for the real ones: they are moved there and back.
    front = np.argsort(~real, axis=1, kind="stable")
    ranked = ranks(np.take_along_axis(np.where(real, weights, -1.0), front, 1), real.sum(1), rng)
    out = np.empty_like(ranked)
    np.put_along_axis(out, front, ranked, axis=1)
    return out


def _curve(study: Study, one: Some, side: str, order: np.ndarray, steps: int, kind: str) -> np.ndarray:
    """(n, steps + 1) log-odds as ever more tokens are taken away, or put back."""
    real = one.regions if side == "regions" else one.words
    reached = steps_taken(real.sum(1).cpu().numpy(), steps)  # (steps + 1, n)
    ranked = torch.from_numpy(order).to(real.device)
    out = np.empty((len(order), steps + 1))
    for step in range(steps + 1):
        touched = (ranked < torch.from_numpy(reached[step]).to(real.device)[:, None]) & real
        gone = touched if kind == "deletion" else real & ~touched
        batch = without(one.batch, **{side: gone})
        match = study.subject.read(batch).match
        assert match is not None
        out[:, step] = match.float().cpu().numpy()
    return out


def _rows(study: Study, numbers: np.ndarray, curves: dict[tuple[str, str, str], np.ndarray]) -> list[Row]:
    image = study.image[numbers]
    clusters = len(np.unique(image))
    rows: list[Row] = []
    for side in SIDES:
        whole = mean(study.weights, curves[side, RANDOM, "deletion"][:, 0], image)
        empty = mean(study.weights, curves[side, RANDOM, "deletion"][:, -1], image)
        span = np.where(whole > empty, whole - empty, np.nan)
        areas = {key[1:]: (mean(study.weights, area(curve), image) - empty) / span
                 for key, curve in curves.items() if key[0] == side}
        for method in (*METHODS, RANDOM):
            if (method, "deletion") not in areas:
                continue
            row: Row = {"table": f"faithfulness, {side}", "explanation": method}
            for kind, sign in (("deletion", -1), ("insertion", 1)):
                row[kind] = figure(areas[method, kind], len(numbers), clusters)
                if method != RANDOM:
                    gain = sign * (areas[method, kind] - areas[RANDOM, kind])
                    row[f"{kind} gain"] = figure(gain, len(numbers), clusters)
            rows.append(row)
    return rows


