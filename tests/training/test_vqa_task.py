import json
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from evaluation.attention_file import AttentionFile
from evaluation.question_truth import read_question_truth
from evaluation.vqa import evaluate_vqa, read_results
from features.errors import HeedError
from heed import main
from pipeline.datasets import read_questions
from tests.training.truth_store import truth_store
from training.attention.config import AttentionConfig
from training.config import LoopConfig
from training.loop import train
from training.models.mac_config import MacConfig
from training.run import Run
from training.tasks.vqa import VqaConfig

SMALL = MacConfig(steps=2, dim=16, word_dim=8, classifier=(16,))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    torch.set_num_threads(1)
    return truth_store(tmp_path_factory.mktemp("data"), 60)


def config(data, out, **options):
    store, scenes = data
    loop = LoopConfig(epochs=1, batch_size=32, lr=5e-3, clip=8, ema=0.9, device="cpu")
    return replace(VqaConfig(store, scenes, out, ten_answers=True, model=SMALL, loop=loop), **options)


def test_the_whole_command_learns_predicts_and_judges(data, tmp_path, capsys):
    store, scenes = data
    out = tmp_path / "run"
    words = ["train", "vqa", "--store", str(store), "--questions", str(scenes), "--out", str(out), "--ten-answers",
             "--epochs", "4", "--lr", "1e-2", "--batch-size", "32", "--model.dim", "16", "--model.word-dim", "16",
             "--model.steps", "2", "--ema", "0.9", "--device", "cpu"]
    assert main(words) == 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    training = [line["loss"] for line in lines if line["split"] == "train"]
    assert training[-1] < 0.9 * training[0]
    found = json.loads((out / "evaluation" / "test.json").read_text())
    truth = read_question_truth(out / "predictions" / "test.truth.jsonl")
    assert [one.id for one in truth] == [one.id for one in read_questions(scenes, "test", ten_answers=True)]
    again = evaluate_vqa(out / "predictions" / "test.json", truth, out / "predictions" / "test.attention.arrow")
    assert again == found and found["questions"] == len(truth)
    said = read_results(out / "predictions" / "test.json")
    right = [said[one.id] == one.answers[0] for one in truth]
    assert found["figures"]["accuracy"]["value"] == pytest.approx(100 * np.mean(right))
    assert {"read/step 1/pointing", "read/step 2/mass", "control/step 1/entropy"} <= set(found["attention"])
    seen = AttentionFile.read(out / "predictions" / "test.attention.arrow")
    assert len(seen) == 4 * len(truth)
    for row in seen.of(truth[0].id):
        assert row.weights.sum() == pytest.approx(1, abs=1e-4) and (row.width, row.height) == (32, 32)
        text = [truth[0].text[start:end].lower().strip("?") for start, end in row.keys.spans]
        assert row.name == "read" or text == list(row.keys.labels)
    capsys.readouterr()
    assert main(words) == 0 and "Best validation" in capsys.readouterr().out
    assert main(["predict", str(out), "--split", "val", "--out", str(tmp_path / "val.json")]) == 0
    assert (tmp_path / "val.attention.arrow").exists() and (tmp_path / "val.truth.jsonl").exists()


def test_answers_and_words_come_from_training_alone(data, tmp_path):
    task = config(data, tmp_path / "run").build()
    train_questions = read_questions(data[1], "train", ten_answers=True)
    assert set(task.answers.words) == {one.answers[0] for one in train_questions}
    assert task.words.words[:4] == ("<PAD>", "<UNK>", "<START>", "<END>")
    assert task.words.number("xylophone") == 1
    again = config(data, tmp_path / "run", min_words=1000).build()  # the run keeps its own
    assert again.words == task.words


def test_a_run_stopped_and_gone_on_with_has_the_weights_of_one_never_stopped(data, tmp_path):
    weights = []
    for name in ("whole", "cut"):
        cfg = config(data, tmp_path / name)
        cfg = replace(cfg, loop=replace(cfg.loop, epochs=2))
        run = Run.begin(cfg.out, "vqa", cfg, {})
        if name == "cut":
            task, left = cfg.build(), [11]
            step = task.step

            def stopping(batch, step=step, left=left):
                left[0] -= 1
                if not left[0]:
                    raise KeyboardInterrupt
                return step(batch)

            task.step = stopping
            with pytest.raises(KeyboardInterrupt):
                train(task, cfg.loop, run)
        train(cfg.build(), cfg.loop, run)
        weights.append(torch.load(run.checkpoints / "last.pt", weights_only=True)["model"])
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_soft_targets_are_how_right_each_answer_would_be(data, tmp_path, monkeypatch):
    from pipeline.annotations import Question
    from training.tasks import vqa

    key = read_questions(data[1], "train")[0].key
    asked = [Question(f"q{i}", key, "What is it?", ("Cat",) * 3 + ("a dog.",) * 7) for i in range(8)]
    asked.append(Question("rare", key, "What?", ("bird",) * 9 + ("fish",)))
    monkeypatch.setattr(vqa.VqaConfig, "truth", lambda self, split: asked)
    task = config(data, tmp_path / "soft", targets="soft", min_answers=1).build()
    assert set(task.answers.words) == {"dog", "bird"}  # the commonest of each question, as VQA compares them
    assert task._targets(asked[0]) == {task.answers.numbers["dog"]: 1.0}
    batch = next(task.batches(0, 0))
    loss, figures = task.step(batch)
    assert loss.isfinite() and 0 <= figures["accuracy"] <= 100
    single = config(data, tmp_path / "single", min_answers=2).build()
    assert single.answers.words == ("dog",) and len(single.stream.kept) == 8
    with pytest.raises(HeedError, match="is given 20 times"):
        config(data, tmp_path / "none", min_answers=20).build()


def test_it_trains_on_clevrs_own_files(tmp_path, capsys):
    """Questions, scenes and grid features as published, through the importer and the convolutional stem."""
    from tests.pipeline.test_question_datasets import clevr

    folder = clevr(tmp_path / "clevr")
    for split in ("train", "val", "test"):
        with h5py.File(tmp_path / f"{split}.h5", "w") as file:
            file["features"] = np.random.default_rng(0).normal(size=(8, 12, 4, 6)).astype("f4")
        assert main(["import", "clevr-h5", str(tmp_path / f"{split}.h5"), str(tmp_path / f"store_{split}")]) == 0
    assert main(["store", "merge", str(tmp_path / "store"), *(str(tmp_path / f"store_{split}")
                                                             for split in ("train", "val", "test"))]) == 0
    words = ["train", "vqa", "--store", str(tmp_path / "store"), "--questions", str(folder), "--out",
             str(tmp_path / "run"), "--epochs", "2", "--model.dim", "8", "--model.word-dim", "4", "--device", "cpu"]
    assert main(words) == 0
    found = json.loads((tmp_path / "run" / "evaluation" / "test.json").read_text())
    assert found["figures"] == {} and "kept back, not judged: 8" in found["notes"][-1]
    row = AttentionFile.read(tmp_path / "run" / "predictions" / "test.attention.arrow").of("test-40", "read")[0]
    assert row.weights.shape == (1, 24) and (row.width, row.height) == (480, 320)
    task = VqaConfig(tmp_path / "store", folder, tmp_path / "other", model=replace(SMALL, stem="linear")).build()
    assert type(task.model.stem).__name__ == "RegionStem"


def test_a_convolutional_stem_on_regions_is_refused(data, tmp_path):
    with pytest.raises(HeedError, match="not the cells of a grid"):
        config(data, tmp_path / "run", model=replace(SMALL, stem="cnn")).build()


def test_the_defaults_are_the_studys():
    given = VqaConfig(None, None, None)
    assert (given.loop.epochs, given.loop.batch_size, given.loop.lr, given.loop.clip, given.loop.ema) == (
        8, 64, 1e-4, 8.0, 0.999)
    assert given.attention == AttentionConfig("elementwise", init="xavier")
    model = given.model
    assert (model.steps, model.dim, model.word_dim, model.classifier, model.stem_layers) == (4, 512, 300, (512,), 2)
    kept = [round(1 - getattr(model, f"drop_{name}"), 2)
            for name in ("words", "stem", "question", "memory", "read", "output")]
    assert kept == [0.85, 0.82, 0.92, 0.85, 0.85, 0.85]


def test_the_shares_of_several_workers_weigh_up_to_the_loss_of_the_whole_batch(data, tmp_path, monkeypatch):
    task = config(data, tmp_path / "run").build()
    task.model.eval()
    (whole, _), shares = task.step(next(task.batches(0, 0))), []
    monkeypatch.setattr("training.workers.world", lambda: 3)
    for worker in range(3):
        monkeypatch.setattr("training.workers.rank", lambda worker=worker: worker)
        batch = next(task.batches(0, 0))
        shares.append((task.weight(batch), float(task.step(batch)[0])))
    assert len({weight for weight, _ in shares}) > 1  # 32 among three
    together = sum(weight * loss for weight, loss in shares) / sum(weight for weight, _ in shares)
    assert together == pytest.approx(float(whole), rel=1e-5)
