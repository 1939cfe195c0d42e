"""What a sweep consists of: its variants, and a trial for each of them and each seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.errors import HeedError
from training.run import FREE, flat, to_json
from training.sweep.options import combinations, has_attention, replaced, varied
from training.sweep.variants import VARIANTS, attention_variants, mask_variants


@dataclass(frozen=True)
class Variant:
    """One point of the sweep, the same for all seeds."""

    attention: str
    """Name in `training.sweep.variants.VARIANTS`; empty where the attention is not varied."""
    options: dict[str, str] = field(default_factory=dict)
    """Other options, by their dotted names."""

    @property
    def name(self) -> str:
        """Such as "general-key" or "dot,mask.mask=lam"; a folder's name, too."""
        return ",".join([*filter(None, [self.attention]), *(f"{k}={v}" for k, v in self.options.items())])

    def applied(self, config: Any) -> Any:
        """The task's configuration, made this variant."""
        for option, value in VARIANTS[self.attention].items() if self.attention else ():
            config = replaced(config, f"attention.{option}", value)
        for option, value in self.options.items():
            config = replaced(config, option, value)
        return config


@dataclass(frozen=True)
class Trial:
    """One run of the sweep."""

    variant: str
    seed: int
    config: Any
    """The task's configuration, its ``out`` being the run's folder."""

    @property
    def name(self) -> str:
        """VARIANT/seed-K."""
        return f"{self.variant}/seed-{self.seed}"

    @property
    def done(self) -> bool:
        """Whether it is trained, tested and judged."""
        return (self.config.out / "evaluation" / "test.json").exists()

    def check(self) -> None:
        """Raise `HeedError` where its folder holds a run with other options."""
        path = self.config.out / "config.json"
        if not path.exists():
            return
        there = flat(json.loads(path.read_text(encoding="utf-8")))
        here = flat(json.loads(json.dumps(to_json(self.config))))
        if changed := [name for name in sorted({*here, *there} - {*FREE, "task"}) if here.get(name) != there.get(name)]:
            what = ", ".join(f"{name}: {there.get(name)} then, {here.get(name)} now" for name in changed[:4])
            raise HeedError(f"{self.config.out} holds a trial of another sweep ({what}). Name another --out, or the "
                            "same options to go on with it.")


def variants(
    config: Any, attention: Sequence[str], vary: Sequence[str], mask: Sequence[str] = (),
) -> list[Variant]:
    """All combinations of the attention variants, the masks and the options named; `HeedError` where nothing is varied.
    """
    scores = attention_variants(attention)
    if scores and not has_attention(config):
        raise HeedError("This task has no score function to vary; --vary NAME=VALUE,VALUE varies its other options.")
    masks = mask_variants(mask, flat(to_json(config)))
    options = [varied(config, words) for words in vary]
    if not scores and not options and not masks:
        raise HeedError("Say what to vary: --attention all, --mask all, or --vary NAME=VALUE,VALUE,….")
    if twice := [name for name, _ in options if any(name in chosen for chosen in masks)]:
        raise HeedError(f"Both --mask and --vary vary {twice[0]}; take one of them.")
    return [Variant(score, {**masked, **chosen}) for score in scores or [""] for masked in masks or [{}]
            for chosen in combinations(options)]


def trials(config: Any, points: Sequence[Variant], seeds: int) -> list[Trial]:
    """A trial for each seed and variant, in rounds of one seed, so that a sweep cut short has all variants.

    Seeds count on from the configuration's own. ``config.out`` is the sweep's folder.
    """
    if seeds < 1:
        raise HeedError("--seeds is at least 1.")
    out: Path = config.out
    listed = []
    for seed in range(config.loop.seed, config.loop.seed + seeds):
        for point in points:
            chosen = replaced(replaced(point.applied(config), "loop.seed", seed), "out",
                              out / point.name / f"seed-{seed}")
            listed.append(Trial(point.name, seed, chosen))
    for trial in listed:
        trial.check()
    return listed
