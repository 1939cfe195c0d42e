"""The describer gives what AutoAD's public code gives, of the same weights under the same names.

The golden holds the names and shapes of its state dict, the prefixes that autoad_i/model_ad.py makes of clips and the
sentences that models/gpt_utils.py makes of prompts; weights and inputs follow from names and seeds. The mapper is 128
wide, the GPT-2 has two layers and 60 tokens, of which number 5 takes the place of the code's end token.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.evaluation.subjects import rule
from training.attention.mask_config import MaskConfig
from training.models.describer import Describer
from training.models.describer_config import DecodeConfig, MapperConfig
from training.models.describer_language import say
from training.models.gpt2 import Gpt2

GOLDEN = Path(__file__).parent / "golden" / "autoad.npz"
DIM, END, MOST = 128, 5, 14
DECODING = {"plain": DecodeConfig(), "published": DecodeConfig(5, 1.2, 3), "greedy": DecodeConfig(1)}


def state_of(shapes: dict[str, list[int]]) -> dict[str, torch.Tensor]:
    """Weights under the public names: the mapper's small, that rounding is below 1e-5, the language model's large, that
    sentences differ; its embeddings are its last layer too.
    """
    state = {}
    for part, scale in (("gpt.", 0.4), ("", 0.1)):
        named = {name.replace("ln_", "norm_"): name for name in shapes if name not in state and name.startswith(part)}
        made = rule.weights({new: shapes[name] for new, name in named.items()}, scale=scale)
        state |= {name: made[new] for new, name in named.items()}
    state["gpt.lm_head.weight"] = state["gpt.transformer.wte.weight"] = 2 * state["gpt.transformer.wte.weight"]
    return state


def video() -> torch.Tensor:
    """Clips of three samples."""
    return torch.from_numpy(np.random.default_rng(5).normal(size=(3, 9, DIM)).astype(np.float32))


def prompts() -> torch.Tensor:
    """What six sentences go on from."""
    return torch.from_numpy(np.random.default_rng(6).normal(scale=2, size=(6, 7, 48)).astype(np.float32))


def published(mask: MaskConfig | None = None) -> Describer:
    model = Describer(MapperConfig(dim=DIM), mask or MaskConfig(), DIM, 0, Gpt2(60, 64, 48, 2, 4), trained=True,
                      context=True)
    missing, extra = model.load_state_dict(state_of(json.loads(str(np.load(GOLDEN)["shapes"]))), strict=False)
    assert not extra and all(name.startswith("perceiver.masks.") for name in missing)
    return model.eval()


@pytest.mark.parametrize("mask", ["none", "lam-multi"])
def test_the_prefix_is_the_public_codes(mask) -> None:
    model = published(MaskConfig(mask))
    with torch.no_grad():
        found = model.project(model.perceiver(video(), torch.ones(3, 9, dtype=torch.bool)))
    assert np.abs(found.numpy() - np.load(GOLDEN)["prefix"]).max() < 1e-5


def test_a_context_stands_between_its_two_vectors() -> None:
    model = published()
    with torch.no_grad():
        prompt, valid = model.prompt(torch.zeros(1, 10, DIM), torch.tensor([[3, 4, 5]]), torch.ones(1, 3).bool())
    assert np.abs(prompt[:, :5].numpy() - np.load(GOLDEN)["context"]).max() < 1e-6
    assert prompt.shape == (1, 5 + 10 + 1, 48) and valid.all()
    assert torch.equal(prompt[0, -1], model.bos_token.weight[0])


@pytest.mark.parametrize("name", DECODING)
def test_sentences_are_those_of_the_public_beam(name) -> None:
    model = published()
    with torch.no_grad():
        said = say(model, prompts(), torch.ones(6, 7, dtype=torch.bool), END, MOST, DECODING[name])
    wanted = [[token for token in row if token not in (-1, END)] for row in np.load(GOLDEN)[name].tolist()]
    assert said == wanted and len({len(one) for one in wanted}) > 1
