import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from evaluation.matching import evaluate_matching
from evaluation.predictions import MatchingPredictions
from features.errors import HeedError
from heed import main
from pipeline.datasets import read_captions
from tests.training.stopping import stopping
from tests.training.truth_store import truth_store
from training.attention.config import AttentionConfig
from training.config import LoopConfig
from training.loop import train
from training.models.scan_config import ScanConfig
from training.run import Run
from training.tasks.matching import MatchingConfig


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    torch.set_num_threads(1)
    return truth_store(tmp_path_factory.mktemp("data"), 60)


def config(data, out, **options):
    store, scenes = data
    loop = LoopConfig(epochs=2, batch_size=32, lr=5e-3, checkpoint_every=1, device="cpu")
    return replace(MatchingConfig(store, scenes, out, min_count=1, attention=AttentionConfig("general"),
                                  model=ScanConfig(embed_dim=16, word_dim=8), loop=loop), **options)


@pytest.mark.parametrize("after", [3, 8, 13])
def test_scan_stopped_and_gone_on_with_has_the_weights_of_one_never_stopped(data, tmp_path, after):
    weights = {}
    for name in ("whole", "cut"):
        cfg = config(data, tmp_path / name)
        run = Run.begin(cfg.out, "matching", cfg, {})
        if name == "cut":
            with pytest.raises(KeyboardInterrupt):
                train(stopping(cfg.build(), after), cfg.loop, run)
        train(cfg.build(), cfg.loop, run)
        weights[name] = torch.load(run.checkpoints / "last.pt", weights_only=True)
    assert weights["whole"]["step"] == weights["cut"]["step"] == 16
    for name, value in weights["whole"]["model"].items():
        assert torch.equal(value, weights["cut"]["model"][name]), name


def test_the_whole_command_learns_predicts_and_judges(data, tmp_path, capsys):
    store, scenes = data
    out = tmp_path / "run"
    words = ["train", "matching", "--store", str(store), "--captions", str(scenes), "--out", str(out), "--epochs", "8",
             "--lr", "2e-2", "--batch-size", "16", "--model.embed-dim", "32", "--model.word-dim", "16",
             "--min-count", "1", "--device", "cpu"]
    assert main(words) == 0
    found = json.loads((out / "evaluation" / "test.json").read_text())
    assert found["captions"] == 30 and found["images"] == 6
    assert found["retrieval"]["t2i_r1"]["value"] > 40  # chance is 16.7
    read = MatchingPredictions.read(out / "predictions" / "test.arrow")
    for row in range(len(read.captions)):
        seen = read.attention(row)
        assert np.allclose(seen.weights.sum(1), 1, atol=1e-3)
        assert len(seen.tokens) == len(seen.spans) and seen.weights.shape == (len(seen.tokens), len(seen.boxes))
    again = evaluate_matching(out / "predictions" / "test.arrow", read_captions(scenes, "test"))
    assert again["retrieval"] == found["retrieval"] and again["attention"] == found["attention"]
    capsys.readouterr()
    assert main(words) == 0 and "Best validation" in capsys.readouterr().out  # finished: nothing is trained again
    other = tmp_path / "val.arrow"
    assert main(["predict", str(out), "--split", "val", "--out", str(other)]) == 0
    assert main(["evaluate", "matching", "--predictions", str(other), "--truth", str(scenes), "--split", "val",
                 "--json"]) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed[printed.index("{"):])["captions"] == 30
    assert main(["train", "matching", "--store", str(store), "--captions", str(scenes), "--out", str(out)]) == 2
    assert "holds another run" in capsys.readouterr().err


def test_validation_agrees_with_scoring_pair_by_pair(data, tmp_path):
    """Blocks, padding and the order of images change no score."""
    task = config(data, tmp_path / "run").build()
    task.model.eval()
    captions = task.config.truth("val")
    keys = list(dict.fromkeys(caption.key for caption in captions))
    with torch.no_grad():
        together = task._scores(keys, captions)
        alone = np.array([[task._scores([key], [caption])[0, 0] for caption in captions[::7]] for key in keys])
    assert np.allclose(together[:, ::7], alone, atol=1e-5)


def test_a_store_of_other_images_is_told(data, tmp_path):
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({
        "images": [{"id": i, "file_name": f"dog{i}.jpg"} for i in range(20)],
        "annotations": [{"id": i, "image_id": i, "caption": "a dog"} for i in range(20)],
    }))
    with pytest.raises(HeedError, match=r"regions lacks 15, for example 'dog\d+\.jpg'"):
        config(data, tmp_path / "run", captions=captions).build()
