from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluation.pretraining import read_pretraining
from evaluation.probes.reading import encode
from evaluation.subjects import load_subject, lxmert, uniter
from evaluation.subjects.batches import make_batch
from features.errors import HeedError
from features.text.wordpiece_vocabulary import build_pieces, save_pieces
from heed import main
from pipeline.datasets import read_captions
from tests.evaluation.subjects import published
from tests.training.stopping import stopping
from tests.training.truth_store import DIM, truth_store
from training.config import LoopConfig
from training.loop import train
from training.models.pretraining_batch import losses
from training.models.pretraining_config import ObjectivesConfig, PretrainingModelConfig
from training.models.region_heads import tell_regions
from training.run import Run
from training.tasks.pretraining import PretrainingConfig

TINY = PretrainingModelConfig(width=12, heads=3, inner=20, layers=2, text_layers=1, image_layers=1, cross_layers=1)
STREAMS = pytest.mark.parametrize("streams", ["one", "two"])


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    torch.set_num_threads(1)
    return truth_store(tmp_path_factory.mktemp("data"), 30)


def config(data: tuple[Path, Path], out: Path, streams: str = "one", **options: Any) -> PretrainingConfig:
    loop = LoopConfig(epochs=2, batch_size=32, lr=3e-3, checkpoint_every=1, device="cpu")
    made = PretrainingConfig(*data, out, model=replace(TINY, streams=streams), loop=loop, validation_captions=10)
    return replace(made, **options)


@STREAMS
def test_stopped_and_gone_on_with_has_the_weights_of_one_never_stopped(
    data: tuple[Path, Path], tmp_path: Path, streams: str,
) -> None:
    weights = {}
    for name in ("whole", "cut"):
        cfg = config(data, tmp_path / name, streams)
        run = Run.begin(cfg.out, "pretraining", cfg, {})
        if name == "cut":
            with pytest.raises(KeyboardInterrupt):
                train(stopping(cfg.build(), 5), cfg.loop, run)
        train(cfg.build(), cfg.loop, run)
        weights[name] = torch.load(run.checkpoints / "last.pt", weights_only=True)
    assert weights["whole"]["step"] == weights["cut"]["step"] == 8
    for name, value in weights["whole"]["model"].items():
        assert torch.equal(value, weights["cut"]["model"][name]), name


@STREAMS
def test_the_command_trains_a_subject_and_judges_it(
    data: tuple[Path, Path], tmp_path: Path, streams: str, capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    words = ["train", "pretraining", "--store", str(data[0]), "--captions", str(data[1]), "--out", str(out),
             "--epochs", "1", "--batch-size", "40", "--device", "cpu", "--model.streams", streams, "--model.width",
             "12", "--model.heads", "3", "--model.inner", "20", "--model.layers", "2", "--model.text-layers", "1",
             "--model.cross-layers", "1"]
    assert main(words) == 0
    found = json.loads((out / "evaluation" / "test.json").read_text())
    rows = read_pretraining(out / "predictions" / "test.jsonl")
    captions = {caption.id: caption for caption in read_captions(data[1], "test")}
    assert found["captions"] == len(rows) == len(captions) == 15
    capsys.readouterr()
    assert main(["evaluate", "pretraining", "--predictions", str(out / "predictions" / "test.jsonl"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["figures"] == found["figures"]

    subject = load_subject(str(out))
    task = config(data, out, streams, loop=replace(config(data, out).loop)).build()
    task.model.load_state_dict(torch.load(out / "checkpoints" / "best.pt", weights_only=True)["model"])
    task.model.eval()
    shown = [captions[row.caption] for row in rows[:4]]
    regions = [task.store.regions(task.store.find(caption.key)) for caption in shown]
    batch = make_batch(subject, [caption.text for caption in shown], regions)
    reading = subject.read(batch)
    with torch.no_grad():
        mine = task.model(batch, None)
    assert len(reading.layers) == len(mine.layers)
    for layer, other in zip(reading.layers, mine.layers, strict=True):
        assert layer.name == other.name and layer.blocks.keys() == other.blocks.keys()
        assert all(torch.equal(layer.blocks[block], other.blocks[block]) for block in layer.blocks)
        assert layer.text is None or torch.equal(layer.text, other.text)
        assert layer.image is None or torch.equal(layer.image, other.image)
    assert reading.match.tolist() == pytest.approx([row.match for row in rows[:4]], abs=1e-5)  # other padding there
    assert torch.equal(subject.word_scores(reading.text), task.model.word_scores(mine.text))
    assert subject.description["heads"] == ["cls.predictions", "itm_output" if streams == "one" else
                                            "cls.seq_relationship"]
    assert [len(one.ids) for one in encode(subject, ["a red star " * 99, "red"], 512)] == [60, 3]  # as long as trained
    control = load_subject(f"{out}=random", seed=3)
    assert control.description["config"] == subject.description["config"] and control.name == f"{out}=random"
    assert not torch.equal(control.read(batch).match, reading.match)


@pytest.mark.parametrize("streams, name, family", [("one", "uniter", uniter), ("two", "lxmert", lxmert)])
def test_a_run_s_weights_have_the_published_names(
    data: tuple[Path, Path], tmp_path: Path, streams: str, name: str, family: Any,
) -> None:
    """Those that the original class wrote, less twins of a tied weight and heads that are not trained here."""
    sizes = replace(TINY, streams=streams, layers=3, text_layers=3, image_layers=2, cross_layers=2)
    found = config(data, tmp_path, streams, model=sizes).build().model.state_dict()
    meta, _ = published.golden(name)
    unread = ("cls.predictions.decoder.weight", "answer_head.", "obj_predict_head.decoder_dict.attr.")
    assert found.keys() == {key for key in meta["shapes"] if not key.startswith(unread)}


@pytest.mark.parametrize("streams, name", [("one", "uniter"), ("two", "lxmert")])
def test_training_starts_from_a_checkpoint_in_the_published_layout(
    data: tuple[Path, Path], tmp_path: Path, streams: str, name: str,
) -> None:
    meta, _ = published.golden(name)
    tensors = published.state_dict(meta)
    embeds = "uniter.img_embeddings.img_linear.weight" if streams == "one" else "bert.encoder.visn_fc.visn_fc.weight"
    regress = "feat_regress" if streams == "one" else "obj_predict_head.decoder_dict.feat"
    tensors[embeds] = torch.randn(12, DIM)  # the store's features are longer than the golden's
    if streams == "one":
        tensors["uniter.img_embeddings.mask_embedding.weight"] = torch.randn(2, DIM)
    tensors = {key: tensor for key, tensor in tensors.items() if not key.startswith(regress)}
    folder = published.folder(tmp_path / "published", tensors, meta["config"])
    cfg = config(data, tmp_path / "run", streams, init=folder)
    with pytest.raises(HeedError, match=r"no vocabulary .*vocab\.txt"):
        cfg.build()
    save_pieces(tmp_path / "words", build_pieces(["a red star"])[:meta["vocabulary"]])
    task = replace(cfg, vocabulary=tmp_path / "words", most_words=16).build()
    found = task.model.state_dict()
    head = "itm_output.weight" if streams == "one" else "cls.seq_relationship.weight"
    for key in (embeds, head, next(key for key in found if "query.weight" in key)):
        assert torch.equal(found[key], tensors[key]), key
    assert json.loads((tmp_path / "run" / "network.json").read_text())["num_attention_heads"] == 3
    loss, _ = task.step(next(task.batches(0, 0)))
    assert math.isfinite(loss.item())
    kept = {key: tensor for key, tensor in tensors.items() if "layer.0.attention.self.query.weight" not in key}
    broken = published.folder(tmp_path / "broken", kept, meta["config"])
    with pytest.raises(HeedError, match=r"lacks the parameter .*query\.weight"):
        replace(cfg, init=broken, vocabulary=tmp_path / "words", out=tmp_path / "b").build()


def test_alone_asks_each_sample_for_one_thing_and_together_for_all(data: tuple[Path, Path], tmp_path: Path) -> None:
    """UNITER masks one modality at a time; LXMERT both, and exchanges captions as well."""
    alone = next(config(data, tmp_path / "1").build().batches(0, 0))
    asked = torch.stack([alone.matching, (alone.words >= 0).any(1), alone.regions.any(1)])
    assert (asked.sum(0) == 1).all() and asked.any(1).all()
    assert bool(alone.matched[~alone.matching].all()) and not bool(alone.matched.all())
    task = config(data, tmp_path / "2", "two").build()
    together = next(task.batches(0, 0))
    assert bool(together.matching.all()) and not bool(together.matched.all())
    assert bool(((together.words >= 0).any(1) & together.regions.any(1)).any())
    again = next(task.batches(0, 0))
    assert all(torch.equal(value, getattr(again, name)) for name, value in vars(together).items() if name != "shown")
    assert torch.equal(together.shown.words, again.shown.words)
    other = next(task.batches(1, 0))
    assert other.words.shape != together.words.shape or not torch.equal(other.words, together.words)


def test_the_losses_are_those_written_out(data: tuple[Path, Path], tmp_path: Path) -> None:
    task = config(data, tmp_path, objectives=ObjectivesConfig("together"), model=replace(TINY, dropout=0.0)).build()
    task.model.eval()
    lesson = next(task.batches(0, 0))
    with torch.no_grad():
        found = losses(task.model, lesson, "one", None)
        reading = task.model(lesson.shown, None)
        scores = task.model.word_scores(reading.text).log_softmax(-1)
        features = task.model.feat_regress(reading.image)
        classes = task.model.region_classifier(reading.image)[..., 1:].log_softmax(-1)
    places = [(i, j) for i, row in enumerate(lesson.words.tolist()) for j, piece in enumerate(row) if piece >= 0]
    told = [(i, j) for i, row in enumerate(lesson.regions.tolist()) for j, asked in enumerate(row) if asked]
    expected = {
        "words": -sum(float(scores[i, j, lesson.words[i, j]]) for i, j in places) / len(places),
        "matching": sum(math.log1p(math.exp(-x if same else x)) for x, same in
                        zip(reading.match.tolist(), lesson.matched.tolist(), strict=True)) / len(lesson.matched),
        "features": sum(float(((features - lesson.features)[i, j] ** 2).mean()) for i, j in told) / len(told),
        "classes": -sum(float(classes[i, j, lesson.classes[i, j]]) for i, j in told) / len(told),
    }
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-4)


@STREAMS
def test_dropout_is_drawn_while_training_only(data: tuple[Path, Path], tmp_path: Path, streams: str) -> None:
    task = config(data, tmp_path, streams).build()
    lesson = next(task.batches(0, 0))
    task.model.train()
    assert float(task.step(lesson)[0]) != float(task.step(lesson)[0])
    task.model.eval()
    assert float(task.step(lesson)[0]) == float(task.step(lesson)[0])


def test_a_run_of_another_task_and_one_without_weights_are_no_subjects(data: tuple[Path, Path], tmp_path: Path) -> None:
    cfg = config(data, tmp_path / "run")
    Run.begin(cfg.out, "pretraining", cfg, {})
    cfg.build()
    with pytest.raises(HeedError, match="no weights yet"):
        load_subject(str(cfg.out))
    (tmp_path / "config.json").write_text('{"task": "matching"}')
    with pytest.raises(HeedError, match="is a run of matching, no subject"):
        load_subject(str(tmp_path))


def test_what_is_hidden_does_not_tell_which_captions_were_exchanged(data: tuple[Path, Path], tmp_path: Path) -> None:
    """Exchanged pairs are hidden as much as others and not asked for; LXMERT's own code asks for them too."""
    task = config(data, tmp_path, "two", objectives=ObjectivesConfig(word_rate=0.5)).build()
    lessons = [next(task.batches(epoch, 0)) for epoch in range(8)]
    shares: dict[bool, list[float]] = {True: [], False: []}
    for lesson in lessons:
        for n, same in enumerate(lesson.matched.tolist()):
            real = lesson.shown.word_mask[n].sum()
            shares[same].append(float((lesson.shown.words[n] == task.lessons.mask).sum() / real))
            assert same or not bool((lesson.words[n] >= 0).any() | lesson.regions[n].any())
    means = [sum(share) / len(share) for share in shares.values()]
    assert abs(means[0] - means[1]) < 0.05 and min(means) > 0.2
    theirs = config(data, tmp_path, "two", objectives=ObjectivesConfig(tell_mismatched=True)).build()
    lesson = next(theirs.batches(0, 0))
    assert bool((lesson.words[~lesson.matched] >= 0).any() & lesson.regions[~lesson.matched].any())


@STREAMS
def test_no_attention_is_kept_while_training(data: tuple[Path, Path], tmp_path: Path, streams: str) -> None:
    task = config(data, tmp_path, streams, model=replace(TINY, streams=streams, dropout=0.0)).build()
    shown = next(task.batches(0, 0)).shown
    with torch.no_grad():
        trained, read = task.model.train()(shown, None), task.model.eval()(shown, None)
    assert not any(layer.blocks for layer in trained.layers) and any(layer.blocks for layer in read.layers)
    assert torch.equal(trained.match, read.match)


@STREAMS
def test_features_are_embedded_as_if_they_were_standardised(
    data: tuple[Path, Path], tmp_path: Path, streams: str,
) -> None:
    sizes = replace(TINY, streams=streams, standardise=0)
    plain, made = (config(data, tmp_path, streams, model=replace(sizes, standardise=n)).build() for n in (0, 100))
    name = "uniter.img_embeddings.img_linear" if streams == "one" else "bert.encoder.visn_fc.visn_fc"
    sample = made._sample(100)
    assert len(sample) > 50 and sample.shape[1] == DIM
    deviation = sample.std(0).clamp(min=0.1 * float(sample.std(0).mean()))
    expected = (sample - sample.mean(0)) / deviation @ plain.model.get_parameter(f"{name}.weight").T
    assert torch.allclose(made.model.get_submodule(name)(sample), expected, atol=1e-5)


@STREAMS
def test_classes_of_shown_regions_are_asked_where_that_is_wanted(
    data: tuple[Path, Path], tmp_path: Path, streams: str,
) -> None:
    options = ObjectivesConfig("together", mismatched=0.0, tell_shown=True)
    sizes = replace(TINY, streams=streams, dropout=0.0)
    task = config(data, tmp_path, streams, objectives=options, model=sizes).build()
    lesson = next(task.batches(0, 0))
    assert torch.equal(lesson.named, lesson.shown.region_mask) and not torch.equal(lesson.named, lesson.regions)
    with torch.no_grad():
        found = losses(task.model, lesson, streams, None)
        reading = task.model(lesson.shown, None)
        features, scores = tell_regions(task.model, reading.image)
    distance = torch.nn.functional.mse_loss if streams == "one" else torch.nn.functional.smooth_l1_loss
    assert float(found["features"]) == pytest.approx(
        float(distance(features[lesson.regions], lesson.features[lesson.regions])), rel=1e-4)
    assert float(found["classes"]) == pytest.approx(float(torch.nn.functional.cross_entropy(
        scores[lesson.named], lesson.classes[lesson.named])), rel=1e-4)
