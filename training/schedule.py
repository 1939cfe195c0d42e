"""The learning rate as a function of the step."""

from __future__ import annotations

import math

from training.config import LoopConfig


def learning_rate(config: LoopConfig, step: int, total: int) -> float:
    """Rate of optimiser step ``step`` (0-based) of ``total``: linear warm-up from ``warmup_from`` times the
    peak, then the configured schedule.

    cosine: lr (1 + cos(pi t)) / 2 and linear: lr (1 - t), with t the fraction of the steps behind the warm-up that
    have passed; step: lr / 10 for each of ``drop_at`` passed, as a fraction of all steps.
    """
    if step < config.warmup:
        risen = (step + 1) / config.warmup
        return config.lr * (config.warmup_from * (1 - risen) + risen)
    passed = (step - config.warmup) / max(1, total - config.warmup)
    if config.schedule == "cosine":
        return config.lr * (1 + math.cos(math.pi * passed)) / 2
    if config.schedule == "linear":
        return config.lr * (1 - passed)
    if config.schedule == "step":
        return config.lr * 0.1 ** sum(step >= fraction * total for fraction in config.drop_at)
    return config.lr
