"""What words need the image for: the loss of a phrase's words with the image, without it, and without what it names.

Frank, Bugliarello and Elliott (2021, "Vision-and-Language or Vision-for-Language?") mask a phrase's words and take away
nothing, the regions that the phrase names, or all regions. A model that uses the image for its words must lose with the
named regions gone, more than with as many others gone. Conditions:

- image: nothing is taken away;
- without others: as many regions that the phrase does not name;
- without named: every region with IoU of at least 0.5 with one that the phrase names;
- without image: all regions;
- without looking: regions stay, but text cannot attend to them (`evaluation.probes.intervening.cut_across`).

The loss is the phrase's words' mean negative log-likelihood in nats; ``rise`` is over that with the image. Matching is
measured too: by how much the log-odds fall without the image, and without words (all masked).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from evaluation.probes.intervening import Some, chosen_pairs, cut_across, masked_loss, predicts_words, some, without
from evaluation.probes.pairs import Link, Pair
from evaluation.probes.phrases import positions
from evaluation.probes.result import Result, Row
from evaluation.probes.study import Study
from features.boxes import iou

TITLE = "what a phrase's words lose without the regions they name, and matching without either side"
VARIANTS = ("subject", "random")
NEEDS = "links"
CONDITIONS = ("image", "without others", "without named", "without image", "without looking")
SAME = 0.5
"""IoU from which a region shows what another does."""


@dataclass(frozen=True)
class _Phrase:
    number: int
    """Of the pair."""
    pieces: np.ndarray
    """Text positions."""
    named: np.ndarray
    others: np.ndarray
    """(regions,) bool."""


def run(study: Study) -> Result:
    """A row for each condition, and for each side taken from matching."""
    numbers = chosen_pairs(study, links=True)
    rows: list[Row] = []
    notes = []
    if predicts_words(study, some(study, numbers[:1])):
        loss, image = _phrases(study, numbers)
        for place, name in enumerate(CONDITIONS):
            row: Row = {"table": "masked phrases", "condition": name, "loss": study.figure(loss[place], image)}
            if place:
                row["rise"] = study.figure(loss[place] - loss[0], image)
            rows.append(row)
        difference = loss[CONDITIONS.index("without named")] - loss[CONDITIONS.index("without others")]
        rows.append({"table": "masked phrases", "condition": "named over others",
                     "rise": study.figure(difference, image)})
    else:
        notes.append("the subject has no head for masked words, so phrases are not measured")
    falls = _matching(study, numbers)
    if falls is None:
        notes.append("the subject has no matching head, so matching is not measured")
    else:
        rows += [{"table": "matching", "taken away": name, "drop": study.figure(values, study.image[numbers])}
                 for name, values in falls.items()]
    return Result("modality-ablation", study.variant, tuple(rows), {}, tuple(notes),
                  {"pairs": len(numbers), "iou": SAME})


def _phrases(study: Study, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Losses (conditions, phrases) and each phrase's image."""
    phrases = [phrase for number in numbers.tolist() for phrase in _of(study, number)]
    found = np.full((len(CONDITIONS), len(phrases)), np.nan)
    with study.progress(len(phrases), "phrases") as progress:
        for first in range(0, len(phrases), study.batch):
            here = phrases[first : first + study.batch]
            one = some(study, [phrase.number for phrase in here])
            masked = torch.zeros_like(one.words)
            named, others = torch.zeros_like(one.regions), torch.zeros_like(one.regions)
            for row, phrase in enumerate(here):
                masked[row, phrase.pieces] = True
                named[row, : len(phrase.named)] = torch.from_numpy(phrase.named).to(named.device)
                others[row, : len(phrase.others)] = torch.from_numpy(phrase.others).to(named.device)
            masked &= one.words
            for place, taken in enumerate((None, others, named, one.regions, None)):
                batch = without(one.batch, regions=taken)
                edit = cut_across(one.batch.words.shape[1], "text->image") if place == 4 else None
                with torch.no_grad():
                    found[place, first : first + len(here)] = masked_loss(study.subject, batch, masked, edit).cpu()
            progress.update(first + len(here))
    return found, study.image[[phrase.number for phrase in phrases]]


def _of(study: Study, number: int) -> list[_Phrase]:
    """A pair's phrases that have other regions than those they name."""
    pair = study.pairs.pairs[number]
    spans = some(study, [number]).spans[0]
    found = []
    for link in pair.links:
        pieces = positions(spans, link)
        named = _shows(pair, link)
        rest = np.flatnonzero(~named)
        if not len(pieces) or not len(rest):
            continue
        rng = np.random.default_rng([study.seed, number, link.start])
        others = np.zeros(len(named), bool)
        others[rng.choice(rest, min(len(rest), int(named.sum())), replace=False)] = True
        found.append(_Phrase(number, pieces, named, others))
    return found


def _shows(pair: Pair, link: Link) -> np.ndarray:
    """(regions,) bool: those that show what the phrase names."""
    return np.asarray(iou(pair.boxes, pair.boxes[list(link.regions)]).max(1) >= SAME)


def _matching(study: Study, numbers: np.ndarray) -> dict[str, np.ndarray] | None:
    """Side -> (n,) by how much the log-odds fall without it; None without a matching head."""
    found: dict[str, list[np.ndarray]] = {"image": [], "words": []}
    for first in range(0, len(numbers), study.batch):
        one = some(study, numbers[first : first + study.batch])
        whole = _match(study, one, None, None)
        if whole is None:
            return None
        for name, words, regions in (("image", None, one.regions), ("words", one.words, None)):
            left = _match(study, one, words, regions)
            assert left is not None
            found[name].append(whole - left)
    return {name: np.concatenate(values) for name, values in found.items()}


def _match(study: Study, one: Some, words: Tensor | None, regions: Tensor | None) -> np.ndarray | None:
    match = study.subject.read(without(one.batch, words, regions)).match
    return None if match is None else match.float().cpu().numpy()
