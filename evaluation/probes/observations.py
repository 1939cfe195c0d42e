"""The paper's five observations (VALUE, abstract), answered one by one on this subject.

Each has conditions, every one a figure with its interval; it is supported where all of them hold, not supported where
one fails, and not measured where a probe or its data is missing. A condition holds where the whole interval is on its
side: the subject's lower end above the bound, or above the upper end of the same network with random weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from evaluation.bootstrap import Figure
from evaluation.probes.linear import ALL
from evaluation.probes.linguistic import BEST
from evaluation.probes.result import Result, Row
from evaluation.probes.tables import shown
from pipeline.atomic import atomic_write, write_json

Found = Mapping[str, Mapping[str, Result]]
"""Variant -> probe -> result."""


@dataclass(frozen=True)
class Condition:
    """One thing that must be seen."""

    text: str
    """In words, with its figures."""
    holds: bool


@dataclass(frozen=True)
class Observation:
    """One claim and what became of it."""

    number: str
    claim: str
    conditions: tuple[Condition, ...]
    also: tuple[str, ...] = ()
    """Figures that belong to it and decide nothing."""

    @property
    def verdict(self) -> str:
        """"supported", "not supported" or "not measured"."""
        if not self.conditions:
            return "not measured"
        return "supported" if all(condition.holds for condition in self.conditions) else "not supported"


_NO_CONTROL = Condition("more than with random weights: not measured, or the subject's own weights are random", False)
"""Random weights are biased, too, and images alone do not show it: without this control nothing is supported."""


def observe(found: Found) -> list[Observation]:
    """The five."""
    each = [_text_over_image(found), _cross_modal_heads(found), _coreference(found), _relations(found),
            _linguistic(found)]
    if "random" in found:
        return each
    return [replace(one, conditions=(*one.conditions, _NO_CONTROL)) if one.conditions else one for one in each]


def write_observations(found: Found, folder: Path) -> list[Observation]:
    """Write observations.json and observations.md; returns them."""
    observed = observe(found)
    write_json(folder / "observations.json", [asdict(one) | {"verdict": one.verdict} for one in observed])
    lines = ["# The five observations of VALUE on this subject", ""]
    for one in observed:
        lines += [f"## {one.number}. {one.claim}: {one.verdict}", ""]
        lines += [f"- [{'x' if condition.holds else ' '}] {condition.text}" for condition in one.conditions]
        lines += [f"- {text}" for text in one.also] + [""]
    with atomic_write(folder / "observations.md") as file:
        file.write("\n".join(lines).encode())
    return observed


def _text_over_image(found: Found) -> Observation:
    claim = "Models attend to text more than to the image"
    rows = _rows(found, "subject", "importance", "importance", looking="[CLS]")
    if not rows:
        return Observation("i", claim, (), _why(found, "importance"))
    others = {row["layer"]: row for row in _rows(found, "random", "importance", "importance", looking="[CLS]")}
    half = len(rows) / 2
    more = sum(_figure(row, "text share").low > 0.5 for row in rows)
    ratio = sum(_figure(row, "ratio").low > 1 for row in rows)
    conditions = [
        Condition(f"[CLS] gives words more than regions in most layers: {more} of {len(rows)}", more > half),
        Condition(f"more than their number alone would bring in most layers: {ratio} of {len(rows)}", ratio > half)]
    if others:
        above = sum(_figure(row, "ratio").low > _figure(others[row["layer"]], "ratio").high for row in rows
                    if row["layer"] in others)
        conditions.append(Condition(f"more than with random weights in most layers: {above} of {len(rows)}",
                                    above > half))
    also = [f"{row['layer']}: text share {shown(row['text share'])}, ratio to uniform {shown(row['ratio'])}"
            for row in rows]
    return Observation("i", claim, tuple(conditions), tuple(also))


def _cross_modal_heads(found: Found) -> Observation:
    claim = "A subset of heads is tailored to cross-modal interaction"
    where = {"direction": "image->text", "statistic": "any token"}
    rows = _rows(found, "subject", "cross-modal-heads", "cross-modal heads", **where)
    if not rows:
        return Observation("ii", claim, (), _why(found, "cross-modal-heads"))
    top, share = _figure(rows[0], "highest"), _figure(rows[0], "share of heads above 0.5")
    conditions = [
        Condition(f"a head's regions look at words on most pairs: {rows[0]['highest head']}, {shown(top)}",
                  top.low > 0.5),
        Condition(f"but not most heads: share of heads {shown(share)}", share.high < 0.5)]
    for other in _rows(found, "random", "cross-modal-heads", "cross-modal heads", **where):
        theirs = _figure(other, "highest")
        conditions.append(Condition(f"more than the best of random weights, {shown(theirs)}", top.low > theirs.high))
    tokens = _rows(found, "subject", "cross-modal-heads", "cross-modal heads", direction="image->text",
                   statistic="mean over tokens")
    also = [f"mean over tokens, best head {shown(row['highest'])}, share of heads "
            f"{shown(row['share of heads above 0.5'])}" for row in tokens]
    return Observation("ii", claim, tuple(conditions), tuple(also))


def _coreference(found: Found) -> Observation:
    claim = "Attention agrees with which region a phrase names"
    return _probed(found, "iii", claim, "coreference-attention", "coreference detection", "coreference classification")


def _relations(found: Found) -> Observation:
    claim = "Attention between regions tells their relations"
    return _probed(found, "iv", claim, "relations-attention", "relation identification", "relation classification")


def _probed(found: Found, number: str, claim: str, probe: str, table: str, second: str) -> Observation:
    rows = _rows(found, "subject", probe, table, features=ALL)
    if not rows:
        return Observation(number, claim, (), _why(found, probe))
    accuracy = _figure(rows[0], "accuracy")
    conditions = [Condition(f"{table} {shown(accuracy)}: {name} {shown(rows[0][name])}",
                            _figure(rows[0], name).low > 0)
                  for name in rows[0] if name.startswith("over ")]
    for other in _rows(found, "random", probe, table, features=ALL):
        theirs = _figure(other, "accuracy")
        conditions.append(Condition(f"{table} {shown(accuracy)}: with random weights {shown(theirs)}",
                                    accuracy.low > theirs.high))
    also = []
    for name in (table, second):
        for variant in ("subject", "random", "mismatched"):
            for row in _rows(found, variant, probe, name):
                if row["features"] == ALL or (variant == "subject" and "shuffled" not in row):
                    control = f", shuffled labels {shown(row['shuffled'])}" if "shuffled" in row else ""
                    also.append(f"{name}, {variant}, {row['features']}: {shown(row['accuracy'])}{control}")
    return Observation(number, claim, tuple(conditions), tuple(also))


def _linguistic(found: Found) -> Observation:
    claim = "Linguistic knowledge is encoded"
    rows = _rows(found, "subject", "linguistic", BEST)
    if not rows:
        return Observation("v", claim, (), _why(found, "linguistic"))
    others = {row["task"]: row for row in _rows(found, "random", "linguistic", BEST)}
    half = len(rows) / 2
    conditions = []
    for name, words in (("over majority", "the most frequent answer"), ("over words", "the words in any order"),
                        ("over length", "the length"), ("selectivity", "labels to learn by heart")):
        above = sum(_figure(row, name).low > 0 for row in rows)
        conditions.append(Condition(f"the best layer is above {words} in most tasks: {above} of {len(rows)}",
                                    above > half))
    if others:
        above = sum(_figure(row, "accuracy").low > _figure(others[row["task"]], "accuracy").high for row in rows
                    if row["task"] in others)
        conditions.append(Condition(f"and above random weights in most tasks: {above} of {len(rows)}", above > half))
    also = [f"{row['task']}: {row['layer']}, {shown(row['accuracy'])}, most frequent {shown(row['majority'])}"
            for row in rows]
    return Observation("v", claim, tuple(conditions), tuple(also))


def _rows(found: Found, variant: str, probe: str, table: str, **where: str) -> list[Row]:
    result = found.get(variant, {}).get(probe)
    return [] if result is None else result.find(table, **where)


def _figure(row: Row, name: str) -> Figure:
    """A row's figure; one of which nothing holds where it is absent."""
    value = row.get(name)
    return value if isinstance(value, Figure) else Figure(float("nan"), float("nan"), float("nan"), 0)


def _why(found: Found, probe: str) -> tuple[str, ...]:
    result = found.get("subject", {}).get(probe)
    return (f"the probe {probe} was not run, or the data has nothing for it",) if result is None else result.notes
