"""The attention variants and the masks a sweep knows by name. Light to import: the command line reads it.

A variant's name says the score function, then the side W is on, then the activation, as far as the score has them:
"activated_general-key-tanh". A side is left out where it would change nothing (dot, cosine, additive, …).
"""

from __future__ import annotations

from collections.abc import Container, Sequence

from features.errors import HeedError
from features.names import nearest

ACTIVATIONS = ("relu", "tanh", "sigmoid", "leaky_relu")
SIDES = ("key", "query")

VARIANTS: dict[str, dict[str, str]] = {
    "dot": {"score": "dot"},
    "scaled_dot": {"score": "scaled_dot"},
    "cosine": {"score": "cosine"},
    **{f"general-{side}": {"score": "general", "side": side} for side in SIDES},
    **{f"biased_general-{side}": {"score": "biased_general", "side": side} for side in SIDES},
    **{f"activated_general-{side}-{activation}":
       {"score": "activated_general", "side": side, "activation": activation}
       for activation in ACTIVATIONS for side in SIDES},
    "elementwise": {"score": "elementwise"},
    "additive": {"score": "additive"},
    "concat": {"score": "concat"},
}
"""Name -> options of `training.attention.config.AttentionConfig`. The first is the baseline where no other is named."""

SETS: dict[str, tuple[str, ...]] = {
    "all": tuple(VARIANTS),
    # What the released code of Cao et al. (COLING 2022) runs in at least one of its four models.
    "study": ("dot", "scaled_dot", "cosine", "general-key", "general-query", "biased_general-key",
              "biased_general-query", "activated_general-key-relu", "activated_general-query-relu", "elementwise"),
}
"""Names that stand for several variants."""


def attention_variants(names: Sequence[str]) -> list[str]:
    """The variants that ``names`` and sets among them say, each once; `HeedError` for a name that is neither."""
    found: dict[str, None] = {}
    for name in names:
        if name not in VARIANTS and name not in SETS:
            raise HeedError(f"There is no attention variant {name!r}{nearest(name, (*SETS, *VARIANTS))} "
                            f"There is {', '.join((*SETS, *VARIANTS))}.")
        found.update(dict.fromkeys(SETS.get(name, (name,))))
    return list(found)


MASKS: dict[str, dict[str, str]] = {
    "none": {"mask.mask": "none"},
    "lam": {"mask.mask": "lam"},
    "lam-multi": {"mask.mask": "lam-multi"},
    "control": {"mask.mask": "control"},
    # SwinBERT's static mask, in place of the learnable one: only captioning has it.
    "sparse": {"mask.mask": "none", "model.sparse_mask": "soft"},
}
"""Name -> a task's options, by their dotted names."""


def mask_variants(names: Sequence[str], known: Container[str]) -> list[dict[str, str]]:
    """The options of the masks that ``names`` say, each once; "all" is every one whose options are ``known``.

    Raises `HeedError` for a name that is none, and for a mask that the task has not.
    """
    there = [name for name, options in MASKS.items() if all(option in known for option in options)]
    found: dict[str, None] = {}
    for name in names:
        if name != "all" and name not in MASKS:
            raise HeedError(f"There is no mask {name!r}{nearest(name, ('all', *MASKS))} There is all, "
                            f"{', '.join(MASKS)}.")
        if not there or (name != "all" and name not in there):
            raise HeedError(f"This task has no mask {name!r} to vary." if there else "This task has no learnable mask "
                            "to vary; --vary NAME=VALUE,VALUE varies its other options.")
        found.update(dict.fromkeys(there if name == "all" else (name,)))
    return [MASKS[name] for name in found]
