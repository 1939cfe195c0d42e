"""Were two stores' features made by one extractor? What prediction asks before it uses a model on other features.

Moment-DETR was trained on SlowFast and CLIP and shipped with an extractor of CLIP alone: nothing told its users. Here a
store says what made it, and a model trained on one is not used on features of another.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.errors import HeedError
from pipeline.fields import read_fields
from pipeline.identity import Identity
from pipeline.stored_rows import untraced

TOLD = ("versions", "batch", "decoders", "max_pixels", "options.device", "options.threads", "options.batch", "note")
"""What of an extractor's description does not change what a feature means, at most its last bits."""


def same_extractor(trained: Identity, given: Identity, where: str = "The features given") -> None:
    """Raise `HeedError` where the features of ``given`` do not mean what those of ``trained`` do.

    Kind, feature length and the extractor's description must agree: architecture, weights, preprocessing, clips. Number
    type, shard format, batch size and library versions may differ, and what a store has gone through since. ``where``
    names the features of ``given`` at the beginning of the sentence.
    """
    differences = []
    if trained.kind != given.kind:
        differences.append(f"they are {given.kind}, not {trained.kind}")
    widths = [identity.fields["features"].inner if "features" in read_fields(identity.fields) else ()
              for identity in (trained, given)]
    if widths[0] != widths[1]:
        differences.append(f"they have {widths[1][0] if widths[1] else 0} numbers each, not "
                           f"{widths[0][0] if widths[0] else 0}")
    mine, theirs = (dict(_leaves(untraced(identity.extractor))) for identity in (trained, given))
    for name in sorted({*mine, *theirs}):
        if mine.get(name) != theirs.get(name) and not name.startswith(TOLD):
            differences.append(f"{name} is {_short(theirs.get(name))}, not {_short(mine.get(name))}")
    if differences:
        raise HeedError(f"{where} were not made by the extractor of those that the model was trained on: "
                        f"{'; '.join(differences[:4])}{'; …' if len(differences) > 4 else ''}. Extract them as the "
                        "training features were (heed store info tells how), or train on features such as these.")


def _leaves(value: Any, name: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        dot = f"{name}." if name else ""
        return [leaf for part, inner in value.items() for leaf in _leaves(inner, f"{dot}{part}")]
    return [(name, list(value) if isinstance(value, tuple) else value)]


def _short(value: Any) -> str:
    words = "nothing" if value is None else repr(value)
    return words if len(words) <= 40 else f"{words[:36]} …"
