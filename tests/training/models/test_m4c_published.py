"""M4C gives what the published implementations gave, of the same weights under their own names.

The goldens hold the names and shapes of each one's state dict and the scores of random weights and inputs that follow
from names and seeds: sam-textvqa's model (sam), the study's variants of it, and MMF's, with teacher forcing and
greedily. `python -m tests.training.models.test_m4c_published` prints the largest differences.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from features.errors import HeedError
from tests.evaluation.subjects import rule
from tests.training.models.m4c_inputs import SIZES, inputs
from training.attention.config import AttentionConfig
from training.models.m4c import M4c
from training.models.m4c_config import M4cConfig
from training.models.m4c_published import build_published, renamed

GOLDENS = Path(__file__).parent / "goldens" / "m4c.npz"
VARIANTS = {
    "sam": AttentionConfig("scaled_dot"), "mmf": AttentionConfig("scaled_dot"), "dot": AttentionConfig("dot"),
    "qwk": AttentionConfig("general"), "kwq": AttentionConfig("general", "query"),
    "biased_qwk": AttentionConfig("biased_general"), "biased_kwq": AttentionConfig("biased_general", "query"),
    "act_qwk": AttentionConfig("activated_general"),
}
CLOSE = 1e-5
SCALE = 0.2
"""Of the random weights: larger ones saturate the attention, which then hides what W does."""


def state_of(name: str) -> dict[str, torch.Tensor]:
    """Weights under the published names; the rule would take "normal_layers" for LayerNorms."""
    shapes = json.loads(str(np.load(GOLDENS)["shapes"]))[name]
    made = rule.weights({key.replace("normal_layers", "layer"): shape for key, shape in shapes.items()}, scale=SCALE)
    return {key: made[key.replace("normal_layers", "layer")] for key in shapes}


def published(name: str, published_roles: bool = True) -> M4c:
    heads = 2 if name == "mmf" else SIZES["heads"]
    config = M4cConfig(heads=SIZES["heads"], text_heads=heads, steps=SIZES["steps"], dropout=0.1,
                       input_epsilon=1e-5 if name == "mmf" else 1e-12, published_roles=published_roles)
    return build_published(renamed(state_of(name)), config, VARIANTS[name]).eval()


def difference(name: str, published_roles: bool = True) -> tuple[float, float]:
    """(with teacher forcing, greedily), the largest of all scores; a padded word's score is about -10,000."""
    golden, model = np.load(GOLDENS), published(name, published_roles)
    batch, previous = inputs()
    with torch.no_grad():
        forced = model(batch, previous).numpy()
        said, decoded = model.answer(batch, start=1, end=None)
    wanted = golden[f"{name} greedy"]
    assert (said.numpy() == wanted.argmax(-1)).all() or not published_roles
    real = wanted > -5000
    return (float(np.abs(forced - golden[f"{name} train"])[real].max()),
            float(np.abs(decoded.scores.numpy() - wanted)[real].max()))


@pytest.mark.parametrize("name", VARIANTS)
def test_scores_are_those_of_the_published_model_with_its_quirks_on(name: str) -> None:
    assert max(difference(name)) < CLOSE


@pytest.mark.parametrize("name", ["kwq", "biased_kwq"])
def test_the_published_kwq_is_not_the_correct_one(name: str) -> None:
    assert min(difference(name, published_roles=False)) > 0.01


def test_names_that_are_missing_or_left_over_are_told() -> None:
    state = renamed(state_of("qwk"))
    config = M4cConfig(heads=3, text_heads=3)
    with pytest.raises(HeedError, match=r"score.project.weight.*unknown"):
        build_published(state, config, AttentionConfig("dot"))
    del state["ocr_ptr_net.key.bias"]
    with pytest.raises(HeedError, match=r"ocr_ptr_net.key.bias.*missing"):
        build_published(state, config, AttentionConfig("general"))
    with pytest.raises(HeedError, match="no weights of M4C"):
        build_published({"x": torch.zeros(1)}, config, AttentionConfig("general"))


if __name__ == "__main__":
    for variant in VARIANTS:
        print(variant, *(f"{gap:.1e}" for gap in difference(variant)))
