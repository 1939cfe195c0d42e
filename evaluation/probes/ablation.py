"""What each head does: matching and masked words with one head switched off (causal, beyond VALUE).

A head's weights are set to 0, so that it adds nothing to the residual stream, in every softmax of its layer in turn
(Michel, Levy and Neubig 2019, "Are sixteen heads really better than one?", switch heads off the same way). Measured:

- matching drop: by how much the log-odds that image and caption belong together fall, less the same for the caption of
  another image: the margin that tells right from wrong;
- word loss rise: by how much the masked words' mean negative log-likelihood grows, in nats, the same words each time.

Both are 0 for a head that does nothing, and may be negative. Intervals are by image.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from evaluation.probes.intervening import Some, chosen_pairs, drawn_words, masked_loss, predicts_words, some
from evaluation.probes.result import Result, Row, head_map
from evaluation.probes.study import Study
from evaluation.subjects.subject import Edit

TITLE = "what matching and masked words lose with each head switched off"
VARIANTS = ("subject", "random")
NEEDS = "pairs"
SHARE = 0.3
"""Of a caption's words that are masked."""
MEASURES = ("matching drop", "word loss rise")


def run(study: Study) -> Result:
    """A row for each softmax and measure, and maps of every head."""
    numbers = chosen_pairs(study)
    softmaxes = _softmaxes(study, some(study, numbers[:1]))
    with_words = predicts_words(study, some(study, numbers[:1]))
    heads = [(layer, block, head) for layer, block, count in softmaxes for head in range(count)]
    lost = np.full((len(MEASURES), len(heads), len(numbers)), np.nan)
    others = np.roll(numbers, 1)  # a caption of another image: one pair an image is chosen
    with study.progress(len(heads) * len(numbers), "heads x pairs") as progress:
        done = 0
        for first in range(0, len(numbers), study.batch):
            here = slice(first, first + study.batch)
            own = some(study, numbers[here])
            wrong = some(study, numbers[here], [study.pairs.pairs[int(other)].caption for other in others[here]])
            masked = drawn_words(own.words, SHARE, study.seed) if with_words else None
            whole = _measured(study, own, wrong, masked, None)
            for place, (layer, block, head) in enumerate(heads):
                found = _measured(study, own, wrong, masked, _off(layer, block, head))
                lost[0, place, here], lost[1, place, here] = whole[0] - found[0], found[1] - whole[1]
                done += len(own.pairs)
                progress.update(done)
    image = study.image[numbers]
    rows: list[Row] = []
    maps = {}
    names = [layer if block == "joint" else f"{layer} {block}" for layer, block, _ in softmaxes]
    for measure, values in zip(MEASURES, lost, strict=True):
        if not np.isfinite(values).any():
            continue
        means = np.nanmean(values, axis=1)
        lines, at = [], 0
        for name, (_, _, count) in zip(names, softmaxes, strict=True):
            line = means[at : at + count]
            lines.append(line)
            top = int(np.argmax(line))
            rows.append({"table": "ablation", "measure": measure, "layer": name, "most": f"head {top + 1}",
                         "its loss": study.figure(values[at + top], image),
                         "mean over heads": study.figure(values[at : at + count].mean(0), image)})
            at += count
        maps[measure] = head_map(names, lines, "nats", 0.0)
    return Result("ablation", study.variant, tuple(rows), maps, _notes(lost),
                  {"pairs": len(numbers), "masked share": SHARE})


def _softmaxes(study: Study, one: Some) -> list[tuple[str, str, int]]:
    """(layer, block or "joint", heads) of every softmax, in the order in which they run."""
    found: list[tuple[str, str, int]] = []

    def note(layer: str, block: str, weights: Tensor) -> Tensor:
        found.append((layer, block, weights.shape[1]))
        return weights

    study.subject.read(one.batch, note)
    return found


def _off(layer: str, block: str, head: int) -> Edit:
    """Switch one head off."""
    def edit(where: str, which: str, weights: Tensor) -> Tensor:
        if (where, which) != (layer, block):
            return weights
        kept = torch.ones(weights.shape[1], device=weights.device, dtype=weights.dtype)
        kept[head] = 0
        return weights * kept[:, None, None]

    return edit


def _measured(
    study: Study, own: Some, wrong: Some, masked: Tensor | None, edit: Edit | None
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) margin of matching, (n,) masked words' loss; NaN where the subject has no such head."""
    nothing = np.full(len(own.pairs), np.nan)
    right, left = study.subject.read(own.batch, edit).match, study.subject.read(wrong.batch, edit).match
    margin = nothing if right is None or left is None else (right - left).float().cpu().numpy()
    if masked is None:
        return margin, nothing
    with torch.no_grad():
        return margin, masked_loss(study.subject, own.batch, masked, edit).float().cpu().numpy()


def _notes(lost: np.ndarray) -> tuple[str, ...]:
    lacking = ("the subject has no matching head, so the drop of matching is not measured",
               "the subject has no head for masked words, so their loss is not measured")
    return tuple(note for note, values in zip(lacking, lost, strict=True) if not np.isfinite(values).any())
