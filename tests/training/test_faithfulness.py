import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from features.errors import HeedError
from heed import main
from tests.training.models.m4c_inputs import SIZES, inputs
from tests.training.truth_store import truth_store
from training.attention.config import AttentionConfig
from training.config import LoopConfig
from training.faithfulness import Faithfulness, Probe, Probed, measure
from training.models.attngan.config import AttnGanConfig, EncoderConfig
from training.models.attngan.encoders import Encoders
from training.models.attngan.generator import Generator
from training.models.attngan.probe import generator_probe
from training.models.m4c import M4c, M4cSizes
from training.models.m4c_config import M4cConfig
from training.models.m4c_inputs import M4cInputs
from training.models.m4c_probe import m4c_probe
from training.models.mac import Mac
from training.models.mac_config import MacConfig
from training.models.mac_probe import mac_probe
from training.models.scan import Scan, length_mask
from training.models.scan_config import ScanConfig
from training.models.scan_probe import scan_probe
from training.tasks.matching import MatchingConfig

pytestmark = pytest.mark.timeout(300)


def scan(direction, aggregation="mean", seed=0):
    torch.manual_seed(seed)
    config = ScanConfig(embed_dim=10, word_dim=6, direction=direction, aggregation=aggregation)
    model = Scan(config, AttentionConfig("general"), 5, 20).eval()
    region_mask = torch.arange(7) < torch.tensor([[7], [4], [5]])
    lengths = torch.tensor([6, 3, 5])
    images = model.encode_images(torch.randn(3, 7, 5), region_mask).detach()
    words = model.encode_captions(torch.randint(20, (3, 6)), lengths).detach()
    return model, images, region_mask, words, length_mask(lengths, 6)


@pytest.mark.parametrize("aggregation", ["mean", "logsumexp", "max", "sum"])
@pytest.mark.parametrize("direction", ["t2i", "i2t"])
def test_the_similarity_of_aligned_pairs_is_the_diagonal_of_all(direction, aggregation):
    model, *inputs = scan(direction, aggregation)
    assert torch.allclose(model.matched(*inputs), model.similarity(*inputs).diagonal(), atol=1e-6)


@pytest.mark.parametrize("direction", ["t2i", "i2t"])
def test_a_score_with_some_keys_is_that_of_an_input_that_has_no_others(direction):
    model, images, region_mask, words, word_mask = scan(direction)
    probe = scan_probe(model, images, region_mask, words, word_mask, ["a", "b", "c"])
    key, mask = (images, region_mask) if direction == "t2i" else (words, word_mask)
    left = mask.clone()
    left[0, [1, 3]] = False
    found = probe.score_with(left.numpy())
    alone = key[:1, left[0]]
    whole = torch.ones(1, alone.shape[1], dtype=torch.bool)
    expected = (model.matched(alone, whole, words[:1], word_mask[:1]) if direction == "t2i"
                else model.matched(images[:1], region_mask[:1], alone, whole))
    assert found[0] == pytest.approx(float(expected.detach()), abs=1e-6)
    assert np.array_equal(probe.score_with(np.zeros(mask.shape, bool)), np.zeros(3))
    assert probe.counts.tolist() == mask.sum(1).tolist()


def test_gradient_times_input_is_the_slope_along_a_keys_own_vector():
    model, images, region_mask, words, word_mask = scan("t2i")
    model.double()
    probe = scan_probe(model, images.double(), region_mask, words.double(), word_mask, ["a", "b", "c"])
    step = 1e-5
    for region in range(4):
        scores = []
        for sign in (1, -1):
            moved = images.double().clone()
            moved[1, region] *= 1 + sign * step
            scores.append(float(model.matched(moved, region_mask, words.double(), word_mask)[1].detach()))
        assert probe.gradient[1, region] == pytest.approx((scores[0] - scores[1]) / (2 * step), rel=1e-4, abs=1e-9)
    assert (probe.gradient[1, 4:] == 0).all() and (probe.attention[1, 4:] == 0).all()


def test_mac_answers_with_some_cells_as_with_an_image_that_has_no_others():
    torch.manual_seed(0)
    config = MacConfig(steps=2, dim=8, word_dim=6, classifier=(8,), stem="linear")
    model = Mac(config, AttentionConfig("general"), 5, 20, 4).eval().double()
    features, boxes = torch.randn(3, 6, 5).double(), torch.rand(3, 6, 5).double()
    mask = torch.arange(6) < torch.tensor([[6], [4], [5]])
    tokens, lengths, right = torch.randint(1, 20, (3, 5)), torch.tensor([5, 2, 4]), torch.tensor([0, 3, 1])
    probe = mac_probe(model, features, boxes, mask, tokens, lengths, right, ["a", "b", "c"])
    left = mask.clone()
    left[1, [0, 2]] = False
    alone = model(features[1:2, left[1]], boxes[1:2, left[1]], torch.ones(1, 2, dtype=torch.bool), tokens[1:2],
                  lengths[1:2])
    expected = float(alone.logits.softmax(1)[0, 3].detach())
    assert probe.score_with(left.numpy())[1] == pytest.approx(expected, abs=1e-6)
    assert np.allclose(probe.attention.sum(1), 1, atol=1e-6) and (probe.attention[~mask.numpy()] == 0).all()
    step = 1e-3
    up, down = (features.clone(), features.clone())
    up[1, 2] *= 1 + step
    down[1, 2] *= 1 - step
    slope = [float(model(moved, boxes, mask, tokens, lengths).logits.softmax(1)[1, 3].detach()) for moved in (up, down)]
    assert probe.gradient[1, 2] == pytest.approx((slope[0] - slope[1]) / (2 * step), rel=1e-3)


def test_m4c_answers_with_some_regions_and_words_as_with_an_image_that_has_no_others():
    torch.manual_seed(0)
    sizes = M4cSizes(SIZES["pieces"], SIZES["answers"], SIZES["objects"], SIZES["words"], True)
    model = M4c(M4cConfig(hidden=24, heads=3, layers=2, feedforward=40, text_hidden=16, text_layers=1, text_heads=2,
                          text_feedforward=30, steps=5, init_deviation=0.3), AttentionConfig("general"), sizes).eval()
    whole, previous = inputs(slots=8)
    right = torch.zeros(3, 5, SIZES["answers"] + 8, dtype=torch.bool)
    right[:, :, 3] = right[:, 0, 5] = True
    right[0, 1, SIZES["answers"] + 2] = True
    counted = torch.arange(5) < torch.tensor([[4], [2], [5]])
    probe = m4c_probe(model, whole, previous, right, counted, ["a", "b", "c"])
    assert probe.counts.tolist() == [3 + 4, 5 + 7, 4 + 2] and probe.attention.shape == (3, 12)
    assert (probe.attention[0, :7] > 0).all() and (probe.attention[0, 7:] == 0).all()
    left = np.arange(12) < probe.counts[:, None]
    left[0, [1, 3]] = False  # a region, and the first word
    regions, words = [0, 2], [1, 2, 3]
    alone = M4cInputs(
        whole.tokens[:1], whole.token_mask[:1], whole.objects[:1, regions], whole.object_boxes[:1, regions],
        torch.ones(1, 2, dtype=torch.bool), tuple(part[:1, words] for part in whole.words),
        whole.word_objects[:1, words], None, whole.word_boxes[:1, words], torch.ones(1, 3, dtype=torch.bool))
    said = previous[:1].clone()
    said[said >= SIZES["answers"]] -= 1  # the first word is gone
    assert int(said.max()) >= SIZES["answers"]
    mass = model(alone, said).softmax(-1)[0]
    expected = (mass[0, 3] + mass[0, 5]) * (mass[1, 3] + mass[1, SIZES["answers"] + 1]) * mass[2, 3] * mass[3, 3]
    assert probe.score_with(left)[0] == pytest.approx(float(expected.detach()), rel=1e-4)


def test_a_picture_is_painted_with_some_words_as_for_a_caption_that_has_no_others():
    torch.manual_seed(0)
    options = AttnGanConfig(stages=2, base_size=16, gf_dim=2, df_dim=2, z_dim=4, condition_dim=5, residuals=1)
    generator = Generator(options, AttentionConfig("general"), 8).eval()
    encoders = Encoders(EncoderConfig("small", embed_dim=8, word_dim=6, width=4), 20).eval()
    noise, epsilon, words, sentences = (torch.randn(3, *shape) for shape in ((4,), (5,), (6, 8), (8,)))
    mask = torch.arange(6) < torch.tensor([[6], [2], [4]])
    probe = generator_probe(generator, encoders, noise, epsilon, words, sentences, mask, ["a", "b", "c"])
    assert np.allclose(probe.attention.sum(1), 1, atol=1e-5) and (probe.attention[~mask.numpy()] == 0).all()
    left = mask.clone()
    left[0, [1, 4]] = False
    painted = generator(noise[:1], sentences[:1], words[:1, left[0]], torch.ones(1, 4, dtype=torch.bool),
                        epsilon=epsilon[:1])
    expected = torch.cosine_similarity(encoders.see(painted.pictures[-1])[1], sentences[:1])
    assert probe.score_with(left.numpy())[0] == pytest.approx(float(expected.detach()), abs=1e-5)
    assert np.isfinite(probe.score_with(np.zeros((3, 6), bool))).all()


class Planted:
    """A task whose score is the share of one key, to which attention points and the gradient does not."""

    keys = "regions"

    def __init__(self, attention):
        self.model = torch.nn.Identity()
        self.attention = attention

    def probes(self, split, most):
        truth = np.zeros((most, 6))
        truth[np.arange(most), np.arange(most) % 6] = 1
        yield Probe(np.arange(most).astype(str), np.full(most, 6), truth if self.attention == "right" else 1 - truth,
                    1 - truth, lambda left: (left * truth).sum(1))


@pytest.mark.parametrize(("attention", "deletion"), [("right", 1 / 12), ("wrong", 11 / 12)])
def test_attention_planted_on_the_key_that_counts_is_found_faithful(attention, deletion):
    task = Planted(attention)
    assert isinstance(task, Probed)
    found = measure(task, Faithfulness(None, samples=60, steps=6, orders=3))
    figures = {name: one["value"] for name, one in found["faithfulness"].items()}
    assert figures["deletion"] == pytest.approx(deletion)
    assert figures["insertion"] == pytest.approx(1 - deletion)
    assert figures["gradient_deletion"] == pytest.approx(11 / 12)
    assert (figures["deletion_gain"] > 0.3) == (attention == "right")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    store, scenes = truth_store(tmp_path_factory.mktemp("data"), 40)
    out = tmp_path_factory.mktemp("runs") / "run"
    config = MatchingConfig(store, scenes, out, min_count=1, model=ScanConfig(embed_dim=16, word_dim=8),
                            loop=LoopConfig(epochs=6, batch_size=16, lr=2e-2, device="cpu"))
    assert config.run() == 0
    return out


def test_a_trained_runs_attention_is_more_faithful_than_chance_and_measured_alike_twice(run, capsys):
    assert main(["faithfulness", str(run), "--samples", "20", "--orders", "3"]) == 0
    path = run / "measures" / "test.faithfulness.json"
    found = json.loads(path.read_text())
    assert found["samples"] == 20 and found["keys"] == "regions"
    assert found["faithfulness"]["deletion_gain"]["value"] > 0
    assert found["curves"]["deletion"][0] == pytest.approx(1) and found["curves"]["deletion"][-1] == pytest.approx(0)
    assert "deletion_gain" in capsys.readouterr().out
    before = path.read_bytes()
    assert main(["faithfulness", str(run), "--samples", "20", "--orders", "3"]) == 0
    assert path.read_bytes() == before


def test_the_studys_picture_of_a_region_is_drawn_from_a_runs_folder(run, tmp_path, capsys):
    assert main(["draw", "matching", str(run), "--out", str(tmp_path / "x.png")]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Region ") and printed.count("✓") + printed.count("✗") == 5
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"


def test_attention_is_judged_from_the_predictions_file(run, capsys):
    file = str(run / "predictions" / "test.arrow")
    assert main(["evaluate", "attention", file, file, "--json", "--resamples", "20"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0 < found["concentration"][file]["words.entropy"]["value"] < 1
    assert found["agreement"][f"{file} and {file}"]["words.js"]["value"] == pytest.approx(1)


def test_a_task_that_cannot_be_probed_says_so(run, monkeypatch, capsys):
    from training.tasks.matching import Matching

    monkeypatch.delattr(Matching, "probes")
    assert main(["faithfulness", str(run)]) == 2
    assert "cannot be scored with some of its keys alone" in capsys.readouterr().err


def test_no_run_is_no_run(tmp_path):
    with pytest.raises(HeedError, match=r"has no config\.json"):
        replace(Faithfulness(tmp_path)).run()
