"""The captioner gives what the released SwinBERT gave, of the same weights under their own names.

The golden (`make_captioner_golden`) holds the names and shapes of its state dict, the scores of hidden pieces with the
released attention masks, both losses, and what it wrote greedily and with beams: without a sparse mask, with the soft
one and with the hard one. `python -m tests.training.models.test_captioner_published` prints the largest differences.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from features.errors import HeedError
from tests.training.models import captioner_inputs as inputs
from training.attention.mask_config import MaskConfig
from training.models.captioner import Captioner
from training.models.captioner_batch import masked_loss
from training.models.captioner_config import CaptionerConfig, CaptionWriting
from training.models.captioner_published import build_published, start, start_from_bert
from training.models.decoding import Specials, beam_search

GOLDEN = Path(__file__).parent / "goldens" / "captioner.npz"
CONFIG = CaptionerConfig(dim=24, heads=4, max_clips=inputs.CLIPS, max_tokens=12)
CLOSE = 1e-5


def state(sparse: str) -> dict[str, Tensor]:
    return inputs.weights(json.loads(str(np.load(GOLDEN)["shapes"]))[sparse])


def published(sparse: str, mask: MaskConfig | None = None) -> Captioner:
    config = CaptionerConfig(dim=24, heads=4, max_clips=inputs.CLIPS, max_tokens=12, sparse_mask=sparse)  # type: ignore[arg-type]
    return build_published(state(sparse), config, mask or MaskConfig()).eval()


def difference(sparse: str, mask: MaskConfig | None = None) -> float:
    """The largest of scores and losses."""
    golden, model = np.load(GOLDEN), published(sparse, mask)
    words, video, lengths = inputs.captions()
    targets = inputs.told(words, lengths)
    with torch.no_grad():
        states = model(words, video, torch.ones(video.shape[:2], dtype=torch.bool))
        scores = model.scores(states[targets >= 0])
        loss = masked_loss(scores, targets[targets >= 0], inputs.SMOOTHING)
    gaps = [np.abs(scores.numpy() - golden[f"{sparse} scores"]).max(), abs(float(loss) - golden[f"{sparse} loss"])]
    if sparse != "none":
        gaps.append(abs(model.mask_loss().item() - 0.5 * golden[f"{sparse} sparsity"]))
    return float(max(gaps))


@pytest.mark.parametrize("sparse", ["none", "soft", "hard"])
def test_scores_and_losses_are_those_of_the_released_code(sparse: str) -> None:
    assert difference(sparse) < CLOSE


@pytest.mark.parametrize("mask", ["lam", "lam-multi", "control"])
def test_released_weights_with_a_mask_that_is_new_are_what_they_were(mask) -> None:
    assert difference("none", MaskConfig(mask)) < CLOSE


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("sparse", ["none", "soft", "hard"])
def test_captions_are_those_that_the_released_code_writes(sparse: str, beams: int) -> None:
    model = published(sparse)
    _, video, _ = inputs.captions()
    video = video.repeat_interleave(beams, 0)
    shown = torch.ones(video.shape[:2], dtype=torch.bool)

    def scores(words: Tensor) -> Tensor:
        hidden = torch.cat([words, torch.full_like(words[:, :1], inputs.MASK)], 1)
        return model.scores(model(hidden, video, shown)[:, -1])

    with torch.no_grad():
        said = beam_search(scores, 4, Specials(0, inputs.BEGIN, inputs.END, inputs.MASK),
                     CaptionWriting(beams, inputs.LONGEST), torch.device("cpu"))
    golden = np.load(GOLDEN)[f"{sparse} said {beams}"]
    assert said == [row[1:row.tolist().index(inputs.END)].tolist() for row in golden]


def test_the_soft_and_the_hard_mask_and_none_are_three_models() -> None:
    golden = np.load(GOLDEN)
    none, soft, hard = (golden[f"{sparse} scores"] for sparse in ("none", "soft", "hard"))
    assert all(np.abs(a - b).max() > 0.01 for a, b in ((none, soft), (none, hard), (soft, hard)))


def test_weights_that_are_missing_or_left_over_are_told() -> None:
    given = state("none")
    del given["trans_encoder.bert.encoder.layer.1.output.dense.bias"]
    with pytest.raises(HeedError, match=r"layer.1.output.dense.bias' is missing"):
        build_published(given, CONFIG, MaskConfig())
    with pytest.raises(HeedError, match=r"blocks.0.weight' is not part"):
        build_published(state("none") | {"blocks.0.weight": torch.zeros(1)}, CONFIG, MaskConfig())
    with pytest.raises(HeedError, match=r"no weights of SwinBERT: bert\.embeddings"):
        build_published({"x": torch.zeros(1)}, CONFIG, MaskConfig())


def test_a_run_starts_from_a_released_checkpoint_and_keeps_its_masks(tmp_path) -> None:
    torch.save(state("soft"), tmp_path / "model.bin")
    reference = published("soft")
    model = Captioner(reference.config, MaskConfig(), inputs.PIECES, inputs.FEATURES).eval()
    start(model, tmp_path / "model.bin")
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in reference.state_dict().items())
    torch.save(state("none"), tmp_path / "model.bin")
    other = Captioner(published("none").config, MaskConfig("lam", identity=False), inputs.PIECES, inputs.FEATURES)
    before = other.masks.masks[0].network[0].weight.clone()
    start(other, tmp_path / "model.bin")
    assert torch.equal(other.masks.masks[0].network[0].weight, before)
    assert torch.equal(other.fc.weight, state("none")["fc.weight"])
    wider = Captioner(published("none").config, MaskConfig(), inputs.PIECES, inputs.FEATURES + 1)
    with pytest.raises(HeedError, match=r"parameter 'fc\.weight' has another shape"):
        start(wider, tmp_path / "model.bin")


def test_a_bert_of_hugging_faces_gives_the_text_part_its_weights(tmp_path) -> None:
    transformers = pytest.importorskip("transformers")
    settings = {"vocab_size": inputs.PIECES, "hidden_size": 24, "num_attention_heads": 4, "intermediate_size": 40,
                "num_hidden_layers": 3}
    torch.manual_seed(0)
    bert = transformers.BertForMaskedLM(transformers.BertConfig(**settings)).eval()
    bert.save_pretrained(tmp_path / "mlm")
    model = published("none")
    found = start_from_bert(model, tmp_path / "mlm")
    assert "cls.predictions.decoder.weight" in found and "cls.predictions.bias" in found
    # Two layers of three, causally, with a [MASK] behind: transformers' own decoder of the same weights says the same.
    words, video, _ = inputs.captions()
    decoder = transformers.BertLMHeadModel.from_pretrained(
        tmp_path / "mlm", is_decoder=True, num_hidden_layers=2, attn_implementation="eager").eval()
    nothing = torch.zeros(video.shape[:2], dtype=torch.bool)
    with torch.no_grad():
        wanted = decoder(words, use_cache=False).logits
        got = model.scores(model(words, video, nothing))
    assert torch.allclose(got, wanted, atol=1e-5)
    bert.bert.save_pretrained(tmp_path / "plain")
    assert not any(name.startswith("cls.") for name in start_from_bert(model, tmp_path / "plain"))
    small = transformers.BertModel(transformers.BertConfig(**{**settings, "vocab_size": 50}))
    small.save_pretrained(tmp_path / "small")
    with pytest.raises(HeedError, match=r"word_embeddings.weight has the shape \(50, 24\), here \(120, 24\)"):
        start_from_bert(model, tmp_path / "small")
    with pytest.raises(HeedError, match="has no weights"):
        start_from_bert(model, tmp_path)


if __name__ == "__main__":
    for kind in ("none", "soft", "hard"):
        print(kind, f"{difference(kind):.1e}")
