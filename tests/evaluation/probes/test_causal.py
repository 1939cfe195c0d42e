"""Causal probes on subjects whose answers are known: planted heads, additive models, and identities that must hold."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.probes.faithful import run as faithful
from evaluation.probes.intervening import chosen_pairs, cut_across, drawn_words, some, without
from evaluation.probes.options import ProbeOptions
from evaluation.probes.pairs import make_pairs, open_store
from evaluation.probes.reading import fill_cache
from evaluation.probes.relevance import METHODS, explain
from evaluation.probes.run import Plan, run_probes
from evaluation.probes.shapley import shapley
from evaluation.probes.study import Study
from evaluation.subjects.subject import JOINT, Reading, Subject
from evaluation.subjects.trace import Trace, image_kinds, text_kinds
from features.errors import HeedError
from pipeline.datasets import read_captions, read_relations
from pipeline.datasets.foils import read_foils
from tests.evaluation.probes.tiny import tiny_lxmert, tiny_uniter, vocabulary
from tests.shared import SHARED, needs_shared
from tests.training.truth_store import DIM, truth_store

OPTIONS = ProbeOptions(resamples=20, seeds=1, causal_pairs=6, shapley_pairs=2, shapley_orders=1, steps=4)
CAUSAL = ("ablation", "modality-ablation", "faithfulness", "shapley")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    store, scenes = truth_store(folder, 24)
    captions = read_captions(scenes)
    words = vocabulary(folder / "vocab.txt", [caption.text for caption in captions])
    return make_pairs(captions, read_relations(scenes), open_store(store)), words


def study_of(subject, pairs, folder, **options):
    cache = fill_cache(subject, pairs, folder / "readings", 8, "float32")
    return Study("subject", cache, pairs, ProbeOptions(**{**vars(OPTIONS), **options}), folder, None, subject, batch=4)


class Linear:
    """Matching is the sum of the regions' first feature and of 0.1 x the shown words' ids: what each token adds is
    known. Attention of [CLS] is what is planted in the second feature.
    """

    def eval(self):
        pass

    def word_scores(self, states):
        return None

    def __call__(self, batch, edit):
        trace = Trace(text_kinds(batch), image_kinds(batch), edit)
        features = batch.features if batch.hidden is None else batch.features.masked_fill(batch.hidden[..., None], 0)
        words = batch.words.shape[1]
        trace.open("layer 1")
        weights = torch.cat([torch.zeros(batch.words.shape), batch.features[..., 1] * batch.region_mask], 1)
        weights = weights[:, None, None].expand(-1, 1, weights.shape[1], -1)
        used = trace.watch(JOINT)(weights)
        trace.close(torch.zeros(*batch.words.shape, 2), torch.zeros(*batch.region_mask.shape, 2))
        shown = torch.where((batch.words > 103) & batch.word_mask, 0.1 * batch.words, 0.0)
        match = (features[..., 0] * batch.region_mask).sum(1) + shown.sum(1) + 0 * used[:, 0, 0, words:].sum(-1)
        return trace.reading(match)


def linear(words):
    from features.text.wordpieces import WordPieces

    return Subject("linear", Linear(), DIM, {"family": "linear"}, WordPieces.load(words, lower=True))


@pytest.mark.parametrize("make", [tiny_uniter, tiny_lxmert])
def test_every_causal_probe_runs_on_one_and_two_streams_and_is_kept(data, tmp_path, make):
    pairs, words = data
    plan = Plan(make(words, DIM), pairs, tmp_path, CAUSAL, ("subject",), OPTIONS, batch=8)
    found = run_probes(plan)["subject"]
    assert set(found) == set(CAUSAL)
    ablation = found["ablation"]
    assert {"matching drop", "word loss rise"} == set(ablation.maps)
    assert all(np.isfinite(line).all() for line in ablation.maps["word loss rise"].values)
    joint = make is tiny_uniter
    assert len(ablation.maps["matching drop"].layers) == (2 if joint else 2 + 1 + 2 * 4)
    rows = {row["condition"]: row for row in found["modality-ablation"].tables["masked phrases"]}
    assert rows["without image"]["rise"].value == pytest.approx(
        rows["without image"]["loss"].value - rows["image"]["loss"].value, abs=1e-4)
    share = found["shapley"].rows[0]["text share"]
    assert 0 <= share.value <= 1
    again = run_probes(plan)["subject"]
    assert str(again["shapley"].rows) == str(found["shapley"].rows)
    assert json.loads((tmp_path / "subject" / "ablation.json").read_text())["choices"]["pairs"] == 6


def test_a_head_that_carries_all_is_found_and_idle_heads_lose_nothing(data, tmp_path):
    pairs, words = data
    subject = tiny_uniter(words, DIM)
    net = subject.model.uniter.encoder["layer"]
    with torch.no_grad():
        for number, layer in enumerate(net):
            out = layer.attention.output.dense.weight  # (width, heads * 8): head h writes through columns 8 h …
            keep = out[:, 8:16].clone()
            out.zero_()
            if number == 1:
                out[:, 8:16] = 20 * keep
    from evaluation.probes.ablation import run

    found = run(study_of(subject, pairs, tmp_path))
    lost = np.array(found.maps["word loss rise"].values)
    assert np.abs(np.delete(lost.ravel(), 4)).max() < 1e-5 < abs(lost[1, 1])
    rows = found.find("ablation", measure="matching drop", layer="layer 1")
    assert rows[0]["mean over heads"].value == pytest.approx(0, abs=1e-5)


def test_shapley_values_of_an_additive_model_are_what_each_token_adds(data, tmp_path):
    pairs, words = data
    study = study_of(linear(words), pairs, tmp_path)
    number = int(chosen_pairs(study)[0])
    one = some(study, [number])
    values, is_word = shapley(study, one, 2, [0])
    with torch.no_grad():
        whole = study.subject.read(one.batch).match.double().sigmoid()
        empty = study.subject.read(without(one.batch, one.words, one.regions)).match.double().sigmoid()
    assert values.sum() == pytest.approx(float(whole - empty), abs=1e-9)  # efficiency
    assert is_word.sum() == int(one.words.sum()) and len(values) == int(one.words.sum() + one.regions.sum())
    # A region without a first feature adds nothing, in any order.
    nothing = (one.batch.features[0, :, 0] == 0)[one.regions[0]].numpy()
    assert np.abs(values[~is_word][nothing]).max(initial=0) == 0


def test_the_gradient_finds_what_an_additive_model_uses_and_planted_attention_is_not_taken_for_it(data, tmp_path):
    pairs, words = data
    found = faithful(study_of(linear(words), pairs, tmp_path, causal_pairs=12))
    rows = {row["explanation"]: row for row in found.tables["faithfulness, regions"]}
    assert rows["gradient"]["deletion gain"].low > 0 and rows["gradient"]["insertion gain"].low > 0
    assert rows["gradient"]["deletion"].value < rows["attention"]["deletion"].value
    assert "gradient" not in {row["explanation"] for row in found.tables["faithfulness, words"]}


@pytest.mark.parametrize("make", [tiny_uniter, tiny_lxmert])
def test_explanations_are_per_token_not_negative_and_rollout_sums_to_one(data, make):
    pairs, words = data
    subject = make(words, DIM)
    from evaluation.subjects.batches import make_batch

    some_pairs = pairs.pairs[:3]
    batch = make_batch(subject, [p.caption for p in some_pairs], [pairs.regions(p.key) for p in some_pairs])
    for method in METHODS:
        text, image = explain(subject, batch, method)
        assert image.shape == batch.region_mask.shape and (image >= 0).all()
        assert not image[~batch.region_mask].any()
        if method == "rollout":
            assert torch.allclose(text.sum(1) + image.sum(1), torch.ones(3), atol=1e-5)
    with pytest.raises(HeedError, match="no explanation"):
        explain(subject, batch, "saliency")


def test_relevance_in_one_stream_is_the_published_rule(data):
    pairs, words = data
    subject = tiny_uniter(words, DIM)
    from evaluation.subjects.batches import make_batch

    pair = pairs.pairs[0]
    batch = make_batch(subject, [pair.caption], [pairs.regions(pair.key)])
    kept: list[Tensor] = []

    def keep(layer, block, weights):
        kept.append(weights if weights.requires_grad else weights.detach().requires_grad_())
        return kept[-1]

    reading: Reading = subject.read(batch, keep, gradients=True)
    slopes = torch.autograd.grad(reading.match.sum(), kept)
    relevance = torch.eye(kept[0].shape[-1])
    for weights, slope in zip(kept, slopes, strict=True):
        relevance = relevance + (weights * slope).clamp(min=0)[0].mean(0) @ relevance
    row = relevance[0].clone()
    row[0] = 0
    text, image = explain(subject, batch, "relevance")
    assert torch.allclose(torch.cat([text[0], image[0]]), row, atol=1e-6)


def test_cutting_text_from_the_image_keeps_rows_at_one_and_the_image_out(data):
    pairs, words = data
    subject = tiny_uniter(words, DIM)
    from evaluation.subjects.batches import make_batch

    here = pairs.pairs[:2]
    batch = make_batch(subject, [p.caption for p in here], [pairs.regions(p.key) for p in here])
    edit = cut_across(batch.words.shape[1], "text->image")
    layer = subject.read(batch, edit).layers[-1]
    assert not layer.blocks["text->image"].any()
    real = batch.word_mask[:, None].expand(-1, 3, -1)
    assert torch.allclose(layer.blocks["text->text"].sum(-1)[real], torch.ones(()), atol=1e-5)


def test_words_to_mask_are_a_share_drawn_from_the_seed():
    words = torch.tensor([[False, True, True, True, True, False], [False, True, False, False, False, False]])
    found = drawn_words(words, 0.3, 1)
    assert found.sum(1).tolist() == [2, 1] and not (found & ~words).any()
    assert torch.equal(found, drawn_words(words, 0.3, 1))


def test_foils_are_read_in_both_formats_and_judged(data, tmp_path):
    pairs, words = data
    rows = {str(i): {"filename": pair.key, "caption": pair.caption, "negative_caption": "a"}
            for i, pair in enumerate(pairs.pairs[:5])} | {"9": {"filename": "x.jpg", "caption": "b",
                                                               "negative_caption": "c"}}
    (tmp_path / "foils").mkdir()
    (tmp_path / "foils" / "sugarcrepe_swap_obj.json").write_text(json.dumps(rows))
    people = {str(i): {"dataset": "v", "image_file": pair.key, "caption": "a", "foil": pair.caption,
                       "mturk": {"caption": 3 - i % 3, "foil": 0}} for i, pair in enumerate(pairs.pairs[:6])}
    (tmp_path / "foils" / "valse_plurals.json").write_text(json.dumps(people))
    assert [foil.phenomenon for foil in read_foils(tmp_path / "foils")] == ["swap_obj"] * 6 + ["plurals"] * 4
    plan = Plan(linear(words), pairs, tmp_path / "out", ("foils",), ("subject",), OPTIONS,
                foils=tmp_path / "foils", batch=4)
    found = run_probes(plan)["subject"]["foils"]
    value = {row["phenomenon"]: row["accuracy"].value for row in found.rows}
    # Longer captions have more ids: the linear subject prefers each to "a".
    assert value == {"all": pytest.approx(500 / 9), "swap_obj": 100, "plurals": 0}
    assert found.notes == ("foils about images that are not probed, left out: 1",)
    (tmp_path / "bad.json").write_text('{"1": {"caption": "a"}}')
    with pytest.raises(HeedError, match="neither SugarCrepe's nor VALSE's"):
        read_foils(tmp_path / "bad.json")


@needs_shared
@pytest.mark.shared
def test_the_published_files_of_foils_are_read_whole():
    found = read_foils(SHARED / "data" / "itm")
    counts = {kind: sum(foil.phenomenon == kind for foil in found) for kind in {foil.phenomenon for foil in found}}
    assert counts["replace_obj"] == 1652 and counts["swap_obj"] == 245 and counts["add_obj"] == 2062
    assert set(counts) >= {"plurals", "relations", "foil-it"}
