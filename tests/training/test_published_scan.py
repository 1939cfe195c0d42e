"""From SCAN's own files to a run: its folder of captions and features, its vocabulary, its checkpoint."""

import json

import numpy as np
import pytest
import torch

from evaluation.predictions import MatchingPredictions
from features.text.vocabulary import Vocabulary
from heed import main
from tests.training.models.test_scan_checkpoint import published

pytestmark = pytest.mark.timeout(400)
WORDS = ("a", "man", "dog", "runs", "red", "ball", "on", "the", "grass", "with", "child", "in", "hat", "plays", "two",
         "of")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """f30k_precomp with its store, a vocabulary and a checkpoint that knows it; 10 numbers a region, 20 words."""
    folder = tmp_path_factory.mktemp("scan")
    precomp = folder / "f30k_precomp"
    precomp.mkdir()
    generator = np.random.default_rng(0)
    for split, count in (("train", 6), ("dev", 4), ("test", 4)):
        np.save(precomp / f"{split}_ims.npy", generator.normal(size=(count, 5, 10)).astype(np.float32))
        (precomp / f"{split}_caps.txt").write_text("".join(
            " ".join(generator.choice(WORDS, 6)) + " .\n" for _ in range(5 * count)))
    assert main(["import", "scan-npy", str(precomp), str(folder / "store"), "--dtype", "float32"]) == 0
    Vocabulary(("<pad>", "<start>", "<end>", "<unk>", *WORDS)).save(folder / "f30k_precomp_vocab.json")
    torch.save(published("study-general_qwk"), folder / "model_best.pth.tar")
    return folder


def words(files, out, *more):
    return ["train", "matching", "--store", str(files / "store"), "--captions", str(files / "f30k_precomp"),
            "--vocabulary", str(files / "f30k_precomp_vocab.json"), "--out", str(out), "--device", "cpu", *more]


def test_a_published_checkpoint_is_judged_as_it_is_and_can_be_trained_on(files, tmp_path, capsys):
    init = ["--init", str(files / "model_best.pth.tar")]
    assert main(words(files, tmp_path / "judged", *init, "--epochs", "0")) == 0
    config = json.loads((tmp_path / "judged" / "config.json").read_text())
    assert config["attention"]["score"] == "general" and config["model"]["published_orientation"]
    best = torch.load(tmp_path / "judged" / "checkpoints" / "best.pt", weights_only=True)["model"]
    theirs = published("study-general_qwk")["model"]
    assert torch.equal(best["image_encoder.fc.weight"], theirs[0]["fc.weight"])
    assert torch.equal(best["score.project.weight"], theirs[2]["attention_general.weight"])
    read = MatchingPredictions.read(tmp_path / "judged" / "predictions" / "test.arrow")
    assert len(read.captions) == 20 and len(read.images) == 4
    assert json.loads((tmp_path / "judged" / "evaluation" / "test.json").read_text())["captions"] == 20
    assert main(words(files, tmp_path / "judged", *init, "--epochs", "0")) == 0  # nothing is done again
    assert main(words(files, tmp_path / "tuned", *init, "--epochs", "1", "--batch-size", "10")) == 0
    tuned = torch.load(tmp_path / "tuned" / "checkpoints" / "last.pt", weights_only=True)
    assert tuned["step"] == 3 and not torch.equal(tuned["model"]["image_encoder.fc.weight"], theirs[0]["fc.weight"])
    assert main(["predict", str(tmp_path / "tuned"), "--split", "val", "--out", str(tmp_path / "val.arrow")]) == 0


def test_a_checkpoint_without_its_vocabulary_or_with_other_options_is_told(files, tmp_path, capsys):
    init = ["--init", str(files / "model_best.pth.tar")]
    without = [word for word in words(files, tmp_path / "a", *init) if "vocab" not in word]
    assert main(without) == 2 and "needs --vocabulary" in capsys.readouterr().err
    assert main(words(files, tmp_path / "a", *init, "--model.embed-dim", "7")) == 2
    assert "brings its own options of the model" in capsys.readouterr().err
