"""Groups of `training.sweep.equal` are one model: with the parameters that correspond, the same numbers come out."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training.attention.attend import attend
from training.attention.config import AttentionConfig
from training.attention.scores import build_score
from training.models.scan import Scan
from training.models.scan_config import ScanConfig
from training.sweep.equal import EQUAL, equal_groups
from training.sweep.variants import VARIANTS
from training.tasks.matching import MatchingConfig

DIM = 12


def matched(module, like, side_module, side_like):
    """Give ``module`` the weights of ``like``, transposed where W is on the other side."""
    if hasattr(module, "project"):
        weight = like.project.weight
        module.project.weight.data = weight.data.clone() if side_module == side_like else weight.data.T.clone()


def pairs(task):
    return [pair for group in EQUAL[task] for pair in itertools.combinations(group.variants, 2)]


@pytest.mark.parametrize(("one", "other"), pairs("matching"))
def test_scans_equal_variants_give_equal_similarities(one, other):
    torch.manual_seed(0)
    configs = [AttentionConfig(**VARIANTS[name]) for name in (one, other)]
    models = [Scan(ScanConfig(embed_dim=DIM, word_dim=6), config, 5, 20) for config in configs]
    models[1].image_encoder.load_state_dict(models[0].image_encoder.state_dict())
    models[1].text_encoder.load_state_dict(models[0].text_encoder.state_dict())
    matched(models[1].score, models[0].score, configs[1].side, configs[0].side)
    features, mask = torch.randn(3, 7, 5), torch.arange(7) < torch.tensor([[7], [4], [5]])
    tokens, lengths = torch.randint(20, (4, 6)), torch.tensor([6, 3, 5, 2])
    first, second = (model(features, mask, tokens, lengths) for model in models)
    assert torch.allclose(first, second, atol=2e-6)
    assert not torch.allclose(first[0], first[1], atol=1e-3)  # something is measured


@pytest.mark.parametrize(("task", "one", "other"),
                         [(task, *pair) for task in ("text-vqa", "generation") for pair in pairs(task)])
def test_attentions_equal_variants_give_equal_weights(task, one, other):
    torch.manual_seed(0)
    configs = [AttentionConfig(**VARIANTS[name]) for name in (one, other)]
    scores = [build_score(config, DIM) for config in configs]
    matched(scores[1], scores[0], configs[1].side, configs[0].side)
    query, key = torch.randn(2, 1, 5, DIM), torch.randn(2, 1, 7, DIM)
    first, second = (attend(query, key, key, score)[1] for score in scores)
    assert torch.allclose(first, second, atol=1e-6) and first.std() > 0.05


def test_a_group_that_rests_on_unit_vectors_is_not_claimed_without_them():
    config = MatchingConfig(Path("s"), Path("c"), Path("o"))
    assert [group.variants[0] for group in equal_groups("matching", config)] == ["dot", "general-key"]
    loose = replace(config, model=ScanConfig(text_norm=False))
    assert [group.variants[0] for group in equal_groups("matching", loose)] == ["general-key"]
    assert equal_groups("detection", config) == []


def test_all_names_are_variants_and_no_variant_is_in_two_groups():
    for groups in EQUAL.values():
        names = [name for group in groups for name in group.variants]
        assert set(names) <= set(VARIANTS) and len(names) == len(set(names))
        assert all(group.reason for group in groups)
