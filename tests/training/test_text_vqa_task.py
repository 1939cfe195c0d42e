import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.attention_file import AttentionFile
from evaluation.run_folder import attention_path
from features.errors import HeedError
from features.regions import Regions
from heed import main
from pipeline.datasets import read_text_questions
from pipeline.datasets.scenes import rows
from pipeline.fields import region_fields, row_from_regions
from pipeline.job import run_job
from pipeline.scenes.dataset import write_scenes
from pipeline.sources import Item, Source
from tests.training.stopping import stopping
from tests.training.truth_store import DIM, TruthReader
from training.config import LoopConfig
from training.loop import train
from training.models.m4c_config import M4cConfig
from training.run import Run
from training.tasks.text_vqa import TextVqaConfig

SMALL = M4cConfig(hidden=32, heads=2, layers=1, feedforward=32, text_hidden=16, text_layers=1, text_heads=2,
                  text_feedforward=16, dropout=0.0, steps=4, most_pieces=24, learned_words=True, text_lr=1.0)


class WordReader:
    """One region a word; its feature is the colour of the sign."""

    kind, fields = "regions", region_fields(DIM, 0)

    def __init__(self, scenes):
        self.rows = {row["key"]: row for row in rows(scenes)}

    def open(self):
        return self

    open_to_plan = open

    def describe(self):
        return {"name": "words"}

    def read(self, items):
        for item in items:
            row = self.rows[item.key]
            features = np.zeros((len(row["ocr"]), DIM), np.float32)
            for place, word in enumerate(row["ocr"]):
                features[place, sum(map(ord, row["signs"][word["sign"]]["colour"])) % DIM] = 1
            n = len(features)
            boxes = np.array([word["box"] for word in row["ocr"]], np.float32).reshape(-1, 4)
            yield item, row_from_regions(item.key, Regions(
                boxes, features, np.zeros(n, np.int32), np.ones(n, np.float32), np.zeros((n, 0), np.int32),
                np.zeros((n, 0), np.float32), row["width"], row["height"]), self.fields)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_scenes(folder / "signs", 60, size=32, flavour="signs")
    for name, reader in (("store", TruthReader(folder / "signs")), ("ocr", WordReader(folder / "signs"))):
        keys = sorted(row["key"] for row in rows(folder / "signs"))
        run_job(reader, Source("signs", [Item(key, key, 1) for key in keys], 0), folder / name, inline=True)
    return folder


def config(data, out, **options):
    loop = LoopConfig(epochs=2, batch_size=64, lr=3e-3, clip=1.0, device="cpu", checkpoint_every=1)
    return replace(TextVqaConfig(data / "store", data / "signs", out, ocr_store=data / "ocr", answer_count=5,
                                 piece_count=3, model=SMALL, loop=loop), **options)


def test_training_to_evaluation_through_the_run_folder(data, tmp_path, capsys):
    cfg = config(data, tmp_path / "run")
    assert cfg.run() == 0
    predictions = tmp_path / "run" / "predictions" / "test.json"
    asked = {question.id: question for question in read_text_questions(data / "signs", "test")}
    said = {row["question_id"]: row for row in json.loads(predictions.read_text())}
    assert set(said) == set(asked)
    for row in said.values():
        assert len(row["pred_source"]) == len(row["answer"].split())
    attention = AttentionFile.read(attention_path(predictions))
    assert set(attention.rows) == set(asked)
    steps = attention.of(next(iter(asked)))
    assert [step.queries.labels[0] for step in steps][-1] == "</s>" or len(steps) == SMALL.steps
    words = [token.text.lower() for token in asked[next(iter(asked))].tokens]
    assert [label for label, box in zip(steps[0].keys.labels, steps[0].keys.in_image, strict=True) if box and label] \
        == words
    found = json.loads((tmp_path / "run" / "evaluation" / "test.json").read_text())
    assert {"accuracy", "anls", "copied", "attention/pointing"} <= set(found["figures"])
    capsys.readouterr()
    main(["evaluate", "text-vqa", "--predictions", str(predictions), "--truth", str(data / "signs"), "--json"])
    again = json.loads(capsys.readouterr().out)
    assert again["figures"]["accuracy"] == found["figures"]["accuracy"]
    assert main(["predict", str(tmp_path / "run"), "--split", "test", "--out", str(tmp_path / "again.json")]) == 0
    assert json.loads((tmp_path / "again.json").read_text()) == json.loads(predictions.read_text())
    assert main(["faithfulness", str(tmp_path / "run"), "--samples", "12", "--steps", "3", "--orders", "2"]) == 0
    measured = json.loads((tmp_path / "run" / "measures" / "test.faithfulness.json").read_text())
    assert measured["keys"] == "regions and words read" and 0 < measured["samples"] <= 12
    assert measured["curves"]["deletion"][0] == pytest.approx(1)
    assert measured["curves"]["deletion"][-1] == pytest.approx(0)


def test_stopped_and_gone_on_with_it_has_the_weights_of_one_never_stopped(data, tmp_path):
    weights = {}
    for name in ("whole", "cut"):
        cfg = config(data, tmp_path / name)
        run = Run.begin(cfg.out, "text-vqa", cfg, {})
        if name == "cut":
            with pytest.raises(KeyboardInterrupt):
                train(stopping(cfg.build(), 3), cfg.loop, run)
        task = cfg.build()
        train(task, cfg.loop, run)
        weights[name] = task.model.state_dict()
    assert all(torch.equal(weights["whole"][key], weights["cut"][key]) for key in weights["whole"])


def test_it_learns_what_it_is_shown(data, tmp_path):
    cfg = config(data, tmp_path / "run", loop=LoopConfig(batch_size=64, device="cpu"))
    task = cfg.build()
    optimiser = torch.optim.Adam(task.model.parameters(), lr=5e-3)
    batch = next(iter(task.batches(0, 0)))
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss, _ = task.step(batch)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_text_bert_learns_at_its_own_rate(data, tmp_path):
    task = config(data, tmp_path / "run", model=replace(SMALL, text_lr=0.1)).build()
    rest, slow = task.parameter_groups()
    names = {id(p): name for name, p in task.model.named_parameters()}
    assert slow["lr_scale"] == 0.1 and all(names[id(p)].startswith("text_bert.") for p in slow["params"])
    assert len(rest["params"]) + len(slow["params"]) == len(names)


def test_without_a_store_of_words_they_are_told_by_letters_and_place(data, tmp_path):
    task = config(data, tmp_path / "run", ocr_store=None).build()
    assert task.model.words.features.in_features == 604 + SMALL.text_hidden
    loss, _ = task.step(next(iter(task.batches(0, 0))))
    assert torch.isfinite(loss)


def test_an_image_without_a_size_is_refused(data, tmp_path):
    task = config(data, tmp_path / "run").build()
    batch = next(iter(task.batches(0, 0)))
    batch["objects"]["width"].values[1] = 0
    with pytest.raises(HeedError, match="without its size"):
        task.step(batch)


def test_a_checkpoint_in_sam_textvqas_layout_is_started_from(data, tmp_path):
    vectors = Path(__file__).parents[1] / "features" / "text" / "golden" / "fasttext_subwords.bin"
    model = replace(SMALL, learned_words=False, legacy_zeros=50, text_hidden=32)
    cfg = config(data, tmp_path / "run", model=model, fasttext=vectors)
    first = cfg.build()
    state = {name.replace("mmt.encoder.layer", "module.mmt.encoder.normal_layers").replace("classifier.module.",
                                                                                           "classifier."): value
             for name, value in first.model.state_dict().items()}
    torch.save({"model_state_dict": state, "epoch_id": 3}, tmp_path / "best.pt")
    again = replace(cfg, weights=tmp_path / "best.pt", loop=replace(cfg.loop, seed=5)).build()
    batch = next(iter(first.batches(0, 0)))
    inputs = first._inputs(batch)
    previous = torch.ones(len(batch.samples), 2, dtype=torch.int64)
    assert torch.equal(first.model.eval()(inputs, previous), again.model.eval()(inputs, previous))
    with pytest.raises(HeedError, match="give the --pieces"):
        replace(cfg, weights=tmp_path / "best.pt", fasttext=None, out=tmp_path / "other").build()


def test_text_bert_starts_from_the_first_layers_of_a_bert(data, tmp_path):
    """Under the names of the published checkpoints; that TextBert then is BERT the goldens of M4C show."""
    from safetensors.torch import save_file

    state = config(data, tmp_path / "run").build().model.text_bert.state_dict()
    torch.manual_seed(9)
    other = {name: torch.randn_like(value) for name, value in state.items()}
    older = {"bert." + name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"):
             value for name, value in other.items()}
    later = {name.replace("layer.0.", "layer.1."): value.clone() for name, value in older.items() if "layer.0." in name}
    (tmp_path / "bert").mkdir()
    pooler = {"bert.pooler.dense.weight": torch.zeros(16, 16)}
    save_file({**older, **later, **pooler}, tmp_path / "bert" / "model.safetensors")
    task = config(data, tmp_path / "run", model=replace(SMALL, text_weights=str(tmp_path / "bert"))).build()
    assert all(torch.equal(value, other[name]) for name, value in task.model.text_bert.state_dict().items())
    with pytest.raises(HeedError, match="TextBert of width 32"):
        wide = replace(SMALL, text_hidden=32, text_weights=str(tmp_path / "bert"))
        config(data, tmp_path / "run", model=wide).build()


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
