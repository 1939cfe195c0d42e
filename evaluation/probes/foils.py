"""Does matching prefer the caption to its foil? Pairwise accuracy by phenomenon (VALSE's acc_r, SugarCrepe's accuracy).

The subject has to score the image higher with the right caption than with the one that is wrong in one thing; 50 % is
chance, ties count half. ``no image`` is the same with all regions hidden: what the sentences alone give away, which
SugarCrepe was made to keep low. Intervals are by image.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from evaluation.bootstrap import figure, mean, resample
from evaluation.probes.intervening import make_some, without
from evaluation.probes.pairs import Pair
from evaluation.probes.result import Result, Row
from evaluation.probes.study import Study
from pipeline.datasets.foils import Foil, read_foils

TITLE = "does matching prefer captions to foils that are wrong in one thing"
VARIANTS = ("subject", "random")
NEEDS = "foils"
CHANCE = 50.0


def run(study: Study) -> Result:
    """A row for each phenomenon and one for all."""
    assert study.foils is not None
    asked = read_foils(study.foils)
    shown = {pair.key: pair for pair in study.pairs.pairs}
    foils = [foil for foil in asked if foil.key in shown]
    choices = {"foils": len(foils), "of": len(asked)}
    if not foils:
        return Result("foils", study.variant, notes=(
            f"none of the {len(asked):,} foils is about an image of the store that is probed",), choices=choices)
    right = _right(study, foils, shown)
    if right is None:
        return Result("foils", study.variant, notes=("the subject has no matching head",), choices=choices)
    keys = np.array([foil.key for foil in foils])
    kinds = np.array([foil.phenomenon for foil in foils])
    rows: list[Row] = []
    for kind in ("all", *sorted(set(kinds.tolist()))):
        here = np.ones(len(foils), bool) if kind == "all" else kinds == kind
        _, image = np.unique(keys[here], return_inverse=True)
        weights = resample(int(image.max()) + 1, study.options.resamples)
        row: Row = {"table": "foils", "phenomenon": kind, "foils": int(here.sum())}
        for name, values in right.items():
            row[name] = figure(mean(weights, 100 * values[here], image), int(here.sum()), weights.shape[1])
        rows.append(row)
    notes = (f"foils about images that are not probed, left out: {len(asked) - len(foils):,}",) \
        if len(foils) < len(asked) else ()
    return Result("foils", study.variant, tuple(rows), {}, notes, choices)


def _right(study: Study, foils: list[Foil], shown: dict[str, Pair]) -> dict[str, np.ndarray] | None:
    """Condition -> (n,) 1 where the caption is preferred, 0.5 for a tie."""
    found: dict[str, list[np.ndarray]] = {"accuracy": [], "no image": []}
    with study.progress(len(foils), "foils") as progress:
        for first in range(0, len(foils), study.batch):
            here = foils[first : first + study.batch]
            pairs = [replace(shown[foil.key], id=foil.id, caption=foil.caption, links=()) for foil in here]
            scores: dict[str, list[np.ndarray]] = {name: [] for name in found}
            for texts in ([foil.caption for foil in here], [foil.foil for foil in here]):
                one = make_some(study.subject, study.pairs, pairs, np.arange(len(here)), texts, study.device)
                for name, hidden in (("accuracy", None), ("no image", one.regions)):
                    match = study.subject.read(without(one.batch, regions=hidden)).match
                    if match is None:
                        return None
                    scores[name].append(match.double().cpu().numpy())
            for name, (right, wrong) in scores.items():
                found[name].append((right > wrong) + 0.5 * (right == wrong))
            progress.update(first + len(here))
    return {name: np.concatenate(values) for name, values in found.items()}
