"""AttnGAN beside the published code: files under its names, equal outputs.

attngan.npz holds what the code of taoxugit/AttnGAN and of the attention study (adlnlp/Attention_VL, birds and COCO)
gives for weights drawn by `drawn` and the inputs in it. Pictures and attention are every sixteenth place of theirs.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from features.errors import HeedError
from training.attention.config import AttentionConfig
from training.models.attngan import damsm, losses
from training.models.attngan.config import AttnGanConfig, EncoderConfig
from training.models.attngan.discriminator import Discriminator
from training.models.attngan.generator import Generator, Painted
from training.models.attngan.image_encoder import InceptionEncoder
from training.models.attngan.published import load_generator, load_network
from training.models.attngan.text_encoder import TextEncoder

GOLDEN = {name: value for name, value in np.load(Path(__file__).with_name("attngan.npz")).items() if name != "names"}
NAMES = json.loads(str(np.load(Path(__file__).with_name("attngan.npz"))["names"]))
CONFIG = AttnGanConfig(gf_dim=4, df_dim=2, z_dim=5, condition_dim=6, published_mask=True)
DIM = 8
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def drawn(shapes: dict[str, list[int]], seed: int) -> dict[str, torch.Tensor]:
    """Weights that follow from their names, of a size that keeps signals alive."""
    found = {}
    for name, shape in shapes.items():
        x = np.random.default_rng([seed, zlib.crc32(name.encode())]).standard_normal(shape)
        if name.endswith("running_var"):
            x = 1 + 0.2 * np.abs(x)
        elif name.endswith("running_mean"):
            x = 0.1 * x
        elif len(shape) == 1:
            x = 0.1 * x + (1.0 if name.endswith("weight") else 0.0)
        else:
            x = x * np.sqrt(1.5 / np.prod(shape[1:]))
        found[name] = torch.from_numpy(np.asarray(x, np.float32))
    return found


def file(folder: Path, which: str, seed: int) -> Path:
    torch.save(drawn(NAMES[which], seed), folder / f"{which}.pth")
    return folder / f"{which}.pth"


def tensor(name: str) -> torch.Tensor:
    return torch.from_numpy(GOLDEN[name])


def paint(generator: Generator) -> Painted:
    generator.eval()
    with torch.no_grad():
        return generator(tensor("noise"), tensor("sentences"), tensor("words"), tensor("captions") != 0, True,
                         tensor("epsilon"))


STUDY = {
    "cub/dot": AttentionConfig("dot"), "cub/scaled": AttentionConfig("scaled_dot"),
    "cub/general_kwq": AttentionConfig("general", "query"), "cub/general_qwk": AttentionConfig("general"),
    "cub/biased_general_kwq": AttentionConfig("biased_general", "query"),
    "cub/biased_general_qwk": AttentionConfig("biased_general"),
    "cub/activated_general_qwk": AttentionConfig("activated_general", activation="sigmoid"),
    "coco/activated_general_qwk": AttentionConfig("activated_general", activation="relu"),
}


@pytest.mark.parametrize("which", ["upstream", *STUDY])
def test_published_generators_paint_the_same_pictures(tmp_path: Path, which: str) -> None:
    attention = STUDY.get(which, AttentionConfig("dot"))
    generator = Generator(CONFIG, attention, DIM)
    load_generator(generator, file(tmp_path, "study" if which in STUDY else which, 1), attention)
    painted = paint(generator)
    for stage, picture in enumerate(painted.pictures):
        torch.testing.assert_close(picture[:, :, 3::16, 5::16], tensor(f"{which}/picture{stage}"), **CLOSE)
    for stage, weights in enumerate(painted.attention):
        maps = weights[:, 0].transpose(1, 2).unflatten(2, (64 << stage, 64 << stage))
        torch.testing.assert_close(maps[:, :, 1::16, 2::16], tensor(f"{which}/attention{stage}"), **CLOSE)
    torch.testing.assert_close(painted.mean, tensor("mean"), **CLOSE)
    torch.testing.assert_close(painted.log_variance, tensor("log_variance"), **CLOSE)
    torch.testing.assert_close(losses.conditioning_loss(painted), tensor("kl"), **CLOSE)


def test_the_published_mask_changes_pictures_and_the_correct_one_keeps_captions_apart(tmp_path: Path) -> None:
    generator = Generator(AttnGanConfig(gf_dim=4, z_dim=5, condition_dim=6), AttentionConfig(), DIM)
    load_generator(generator, file(tmp_path, "upstream", 1), AttentionConfig())
    painted = paint(generator)
    assert (painted.attention[0][1, ..., 3:] == 0).all() and (painted.attention[0][2, ..., 2:] == 0).all()
    assert not torch.allclose(painted.pictures[1][1, :, 3::16, 5::16], tensor("upstream/picture1")[1], atol=1e-3)
    with torch.no_grad():  # a caption alone, without padding, gives what it gave among the others
        alone = generator(tensor("noise")[1:2], tensor("sentences")[1:2], tensor("words")[1:2, :3],
                          torch.ones(1, 3, dtype=torch.bool), False, tensor("epsilon")[1:2])
    torch.testing.assert_close(alone.pictures[2][0], painted.pictures[2][1], **CLOSE)


@pytest.mark.parametrize("stage", range(3))
def test_published_discriminators_judge_the_same(tmp_path: Path, stage: int) -> None:
    judge = Discriminator(64 << stage, 2, DIM)
    load_network(judge, file(tmp_path, f"netD{stage}", 10 + stage))
    shape = (3, 3, 64 << stage, 64 << stage)
    real, painted = (torch.from_numpy(np.random.default_rng(seed + stage).uniform(-1, 1, shape).astype(np.float32))
                     for seed in (20, 30))
    with torch.no_grad():
        judge.eval()
        cells = judge(real)
        torch.testing.assert_close(cells, tensor(f"netD{stage}/cells"), **CLOSE)
        fits, alone = judge.COND_DNET(cells, tensor("sentences")), judge.UNCOND_DNET(cells)
        torch.testing.assert_close(torch.sigmoid(fits), tensor(f"netD{stage}/cond"), **CLOSE)
        torch.testing.assert_close(torch.sigmoid(alone), tensor(f"netD{stage}/uncond"), **CLOSE)
        judge.train()
        loss = losses.discriminator_loss(judge, real, painted, tensor("sentences"))
    torch.testing.assert_close(loss, tensor(f"netD{stage}/loss"), **CLOSE)


@pytest.mark.parametrize("classes", [True, False])
def test_damsm_losses_are_the_published_ones(classes: bool) -> None:
    regions = tensor("regions").flatten(2).transpose(1, 2)
    mask = tensor("captions") != 0
    which = tensor("classes") if classes else None
    by_words, by_sentence = damsm.damsm_losses(regions, tensor("codes"), tensor("words"), tensor("sentences"), mask,
                                               EncoderConfig(), which)
    published = tensor("damsm/classes" if classes else "damsm/none")
    torch.testing.assert_close(torch.stack([by_words, by_sentence]), published.view(2, 2).sum(1), **CLOSE)
    weights = damsm.region_attention(regions, tensor("words"), mask, 4.0)
    for i, length in enumerate([5, 3, 2]):
        torch.testing.assert_close(weights[i, i, :length], tensor(f"damsm/attention{i}")[0].flatten(1), **CLOSE)


def test_the_generators_whole_loss_is_the_published_one(tmp_path: Path) -> None:
    total = torch.zeros(())
    for stage in range(3):
        judge = Discriminator(64 << stage, 2, DIM).eval()
        load_network(judge, file(tmp_path, f"netD{stage}", 10 + stage))
        shape = (3, 3, 64 << stage, 64 << stage)
        painted = torch.from_numpy(np.random.default_rng(30 + stage).uniform(-1, 1, shape).astype(np.float32))
        total = total + losses.adversarial_loss(judge, painted, tensor("sentences"))
    guide = damsm.damsm_losses(tensor("regions").flatten(2).transpose(1, 2), tensor("codes"), tensor("words"),
                               tensor("sentences"), tensor("captions") != 0, EncoderConfig(), tensor("classes"))
    torch.testing.assert_close(total + 5 * sum(guide), tensor("generator_loss"), **CLOSE)


def test_the_published_text_encoder_reads_the_same(tmp_path: Path) -> None:
    encoder = TextEncoder(20, DIM, 7).eval()
    load_network(encoder, file(tmp_path, "text_encoder", 2))
    with torch.no_grad():
        words, sentences = encoder(tensor("captions"), tensor("lengths"))
    torch.testing.assert_close(words.transpose(1, 2), tensor("text/words"), **CLOSE)
    torch.testing.assert_close(sentences, tensor("text/sentences"), **CLOSE)


def test_the_published_image_encoder_sees_the_same(tmp_path: Path) -> None:
    encoder = InceptionEncoder(DIM).eval()
    load_network(encoder, file(tmp_path, "image_encoder", 3))
    picture = np.random.default_rng(40).uniform(-1, 1, (1, 3, 80, 80)).astype(np.float32)
    with torch.no_grad():
        regions, whole = encoder(torch.from_numpy(picture))
    torch.testing.assert_close(regions[0].T.unflatten(1, (17, 17)), tensor("image/regions")[0], **CLOSE)
    torch.testing.assert_close(whole, tensor("image/picture"), **CLOSE)
    assert {name for name, p in encoder.named_parameters() if p.requires_grad} == {
        "emb_features.weight", "emb_cnn_code.weight", "emb_cnn_code.bias"}


def test_files_that_do_not_fit_are_refused_by_a_parameters_name(tmp_path: Path) -> None:
    generator = Generator(CONFIG, AttentionConfig("general"), DIM)
    with pytest.raises(HeedError, match=r"att\.score\.project\.weight"):
        load_generator(generator, file(tmp_path, "upstream", 1), AttentionConfig("general"))
    with pytest.raises(HeedError, match="no published generator with the score 'cosine'"):
        load_generator(generator, file(tmp_path, "study", 1), AttentionConfig("cosine"))
    with pytest.raises(HeedError, match="another shape"):
        load_network(TextEncoder(21, DIM, 7), file(tmp_path, "text_encoder", 2))


def test_a_score_begins_orthogonal_unless_another_law_is_asked_for() -> None:
    weights = [Generator(AttnGanConfig(stages=2, base_size=8, gf_dim=8), AttentionConfig("general", init=law), DIM)
               .h_net2.att.score.project.weight.detach() for law in ("default", "normal_002")]
    torch.testing.assert_close(weights[0] @ weights[0].T, torch.eye(8), **CLOSE)
    assert 0.01 < float(weights[1].std()) < 0.03
