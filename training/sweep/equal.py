"""Which variants of a task are one model by algebra, so that what separates them is noise.

One table: task -> groups of variants, each with its reason and with the options it rests on. The variants of a group
compute the same function from parameters drawn by the same law; they differ by rounding, or by which numbers were
drawn. How far apart a sweep finds them is the floor below which no difference between other variants means anything.
Groups that are one *class* of functions but start from another law (additive and concat, dot and general in M4C, the
sides of general in MAC with its learned sum) are not listed: optimisation may tell them apart. Source of all of them:
algebra; numerical checks are in `tests/training/attention/test_scores.py` and `tests/training/sweep/test_equal.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from training.run import flat, to_json


@dataclass(frozen=True)
class Equal:
    """Variants that are one model."""

    variants: tuple[str, ...]
    reason: str
    needs: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    """Dotted option -> the values with which it holds."""

    def holds(self, config: Any) -> bool:
        """Whether a configuration has the options this rests on."""
        options = flat(to_json(config))
        return all(options.get(name) in values for name, values in self.needs.items())


_SIDES = Equal(
    ("general-key", "general-query"),
    "q.(W k) = (W' q).k with W' the transpose of W, and every law that draws W draws W' alike",
)
_BIAS = "; the bias on the key side adds q.b to a query's every score, which the softmax over keys drops"

EQUAL: dict[str, tuple[Equal, ...]] = {
    "matching": (
        Equal(("dot", "scaled_dot", "cosine"),
              "embeddings have unit length, so cosine is dot; the leaky ReLU is positively homogeneous and the "
              "normalisation undoes a positive factor, so scaled dot is dot",
              {"model.image_norm": (True,), "model.text_norm": (True,),
               "model.normalisation": ("clipped_l2norm", "l2norm", "clipped_l1norm", "l1norm")}),
        # Biased forms differ in SCAN: its scores are normalised over queries before the softmax over keys.
        Equal(_SIDES.variants, _SIDES.reason, {"model.published_orientation": (False,)}),
    ),
    "vqa": (
        Equal(("dot", "elementwise"), "MAC's sum over the element-wise product is a learned one with either",
              {"model.control_combiner": ("linear",), "model.read_combiner": ("linear",)}),
    ),
    "text-vqa": (
        Equal((*_SIDES.variants, "biased_general-key"), _SIDES.reason + _BIAS),
    ),
    "generation": (
        Equal((*_SIDES.variants, "biased_general-key"), _SIDES.reason + _BIAS),
    ),
}
"""Task -> its groups. A task without an entry has none that are known."""


def equal_groups(task: str, config: Any) -> list[Equal]:
    """The groups of a task that hold with this configuration."""
    return [group for group in EQUAL.get(task, ()) if group.holds(config)]
