"""What the figures are called on a page and in a table, in which order, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Label:
    """How a figure is shown."""

    title: str
    """For people."""
    unit: str = ""
    """Behind the number."""
    better: int = 1
    """1: higher is better; -1: lower is; 0: neither."""
    top: float | None = None
    """Largest value it can take, where there is one."""


RETRIEVAL = {
    "t2i_r1": Label("Text to image, R@1", "%", 1, 100),
    "t2i_r5": Label("Text to image, R@5", "%", 1, 100),
    "t2i_r10": Label("Text to image, R@10", "%", 1, 100),
    "i2t_r1": Label("Image to text, R@1", "%", 1, 100),
    "i2t_r5": Label("Image to text, R@5", "%", 1, 100),
    "i2t_r10": Label("Image to text, R@10", "%", 1, 100),
    "rsum": Label("Sum of the six recalls", "", 1, 600),
    "t2i_median": Label("Text to image, median rank", "", -1),
    "t2i_mean": Label("Text to image, mean rank", "", -1),
    "i2t_median": Label("Image to text, median rank", "", -1),
    "i2t_mean": Label("Image to text, mean rank", "", -1),
}
ATTENTION = {
    "pointing": Label("Pointing accuracy", "%", 1, 100),
    "mass": Label("Attention on the named object", "%", 1, 100),
    "uniform": Label("Uniform attention would get", "%", 0, 100),
    "ceiling": Label("Best possible pointing", "%", 0, 100),
    "pointing_ratio": Label("Pointing, times uniform", "×"),
    "mass_ratio": Label("Attention on object, times uniform", "×"),
    "entropy": Label("Entropy (1 = uniform)", "", 0, 1),
}
MEASURES = {
    "gini": Label("Sparsity (Gini's index)", "", 0, 1),
    "hoyer": Label("Sparsity (Hoyer)", "", 0, 1),
    "largest": Label("Largest weight", "", 0, 1),
    "keys_90": Label("Share of keys that hold 90 %", "", 0, 1),
    "deletion_gain": Label("Faithfulness: deletion beats random by", "", 1, 1),
    "insertion_gain": Label("Faithfulness: insertion beats random by", "", 1, 1),
    "R@1/16": Label("R@1/16, recall within neighbours", "%", 1, 100),
    "R@5/16": Label("R@5/16, recall within neighbours", "%", 1, 100),
    "js": Label("Agreement between seeds (JS similarity)", "", 1, 1),
    "top": Label("Same key on top with another seed", "", 1, 1),
}
"""Figures of attention that any task may have, and of descriptions."""
_LOWER = ("loss", "fid", "frechet", "rank", "perplexity", "error")
_NEITHER = ("uniform", "chance", "ceiling", "entropy", "sparsity", "share", "copied")


def label_of(name: str) -> Label:
    """The label of any figure: the one above, or for others the name itself, better where higher but for a few."""
    if (known := RETRIEVAL.get(name) or ATTENTION.get(name) or MEASURES.get(name)) is not None:
        return known
    words = set(name.lower().replace("/", " ").replace("_", " ").split())
    better = -1 if words & set(_LOWER) else 0 if words & set(_NEITHER) else 1
    return Label(name.replace("_", " ").replace("/", ": "), "", better)


def title_of(name: str) -> str:
    """What a figure is called by its dotted name in a run: "attention.pointing" is "Pointing accuracy (%)"."""
    _, *kinds, last = name.split(".") if "." in name else ("", name)
    label = label_of(last)
    return label.title + (f" ({label.unit})" if label.unit else "") + "".join(f", {kind}" for kind in kinds)
