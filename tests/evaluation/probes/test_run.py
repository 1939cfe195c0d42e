import json

import numpy as np
import pytest

from evaluation.probes import PROBES, chosen, reading, result
from evaluation.probes.cache import Cache, part_path
from evaluation.probes.options import ProbeOptions
from evaluation.probes.pairs import make_pairs, open_store
from evaluation.probes.reading import fill_cache
from evaluation.probes.run import Plan, run_probes
from evaluation.subjects.batches import make_batch
from evaluation.subjects.randomised import randomised
from features.errors import HeedError
from pipeline.datasets import read_captions, read_relations
from tests.evaluation.probes.tiny import tiny_lxmert, tiny_uniter, vocabulary
from tests.training.truth_store import DIM, truth_store

QUICK = ProbeOptions(resamples=20, seeds=1)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    store, scenes = truth_store(folder, 24)
    captions = read_captions(scenes)
    words = vocabulary(folder / "vocab.txt", [caption.text for caption in captions])
    return make_pairs(captions, read_relations(scenes), open_store(store)), words


@pytest.mark.parametrize("make", [tiny_uniter, tiny_lxmert])
def test_the_cache_holds_what_the_subject_reads(data, tmp_path, make):
    pairs, words = data
    subject = make(words, DIM)
    cache = fill_cache(subject, pairs, tmp_path, batch=10, dtype="float32")
    assert cache.parts == 3
    for part in cache:
        here = [pairs.pairs[i] for i in part.pairs]
        read = subject.read(make_batch(subject, [p.caption for p in here], [pairs.regions(p.key) for p in here]))
        assert (part.text_kinds == read.text_kinds.numpy()).all()
        for info, layer in zip(cache.layers, read.layers, strict=True):
            assert (info.name, info.joint, info.blocks) == (layer.name, layer.joint, tuple(layer.blocks))
            for block, weights in layer.blocks.items():
                assert part.block(info.name, block) == pytest.approx(weights.numpy(), abs=1e-6)
            if layer.text is not None:
                assert part.states(info.name, "text") == pytest.approx(layer.text.numpy(), abs=1e-5)
        for pair, spans, kinds in zip(here, part.spans, part.text_kinds, strict=True):
            words_read = [pair.caption[start:end] for (start, end), kind in zip(spans, kinds, strict=True) if kind == 1]
            assert "".join(words_read) == pair.caption.replace(" ", "")


def test_an_interrupted_reading_goes_on_and_other_pairs_are_refused(data, tmp_path, monkeypatch):
    pairs, words = data
    subject = tiny_uniter(words, DIM)
    whole = fill_cache(subject, pairs, tmp_path / "whole", batch=10)
    written = []

    def write(path, number, *rest):
        if number == 1:
            raise KeyboardInterrupt
        original(path, number, *rest)

    original = reading._write
    monkeypatch.setattr(reading, "_write", write)
    with pytest.raises(KeyboardInterrupt):
        fill_cache(subject, pairs, tmp_path / "cut", batch=10)
    with pytest.raises(HeedError, match="no finished cache"):
        Cache.open(tmp_path / "cut")
    monkeypatch.setattr(reading, "_write", lambda path, number, *rest: (written.append(number),
                                                                         original(path, number, *rest)))
    cut = fill_cache(subject, pairs, tmp_path / "cut", batch=10)
    assert written == [1, 2] or written == [0, 1, 2]
    for number in range(3):
        with np.load(part_path(cut.path, number)) as mine, np.load(part_path(whole.path, number)) as theirs:
            assert all((mine[name] == theirs[name]).all() for name in theirs)
    with pytest.raises(HeedError, match="other pairs"):
        fill_cache(tiny_uniter(words, DIM, seed=1), pairs, tmp_path / "cut", batch=10)


def test_a_damaged_part_is_refused_by_name(data, tmp_path):
    pairs, words = data
    cache = fill_cache(tiny_uniter(words, DIM), pairs, tmp_path, batch=12)
    path = part_path(cache.path, 1)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(HeedError, match=r"000001.npz are missing or damaged"):
        for part in cache:
            for layer in cache.layers:
                for name in ("text", "image", *layer.blocks):
                    part.array(f"{layer.name}/{name}")


def test_results_are_written_read_back_and_not_made_again(data, tmp_path, monkeypatch):
    pairs, words = data
    plan = Plan(tiny_uniter(words, DIM), pairs, tmp_path, ["fusion", "importance"], options=QUICK)
    first = run_probes(plan)
    assert set(first) == {"subject", "random", "mismatched"}
    for suffix in (".json", ".csv", ".md", ".tex"):
        assert (tmp_path / "random" / f"fusion{suffix}").stat().st_size > 0
    assert (tmp_path / "subject" / "importance-text-share-from-CLS.png").read_bytes()[:4] == b"\x89PNG"
    assert result.load(tmp_path / "subject" / "fusion.json")[0] == first["subject"]["fusion"]
    lines = (tmp_path / "subject" / "fusion.csv").read_text().splitlines()
    assert lines[0].startswith("table,layer,nmi,nmi low,nmi high,nmi n") and len(lines) == 1 + 3
    monkeypatch.setattr("evaluation.probes.run._study", lambda *_: pytest.fail("it was all there"))
    assert run_probes(plan) == first
    (tmp_path / "subject" / "fusion.json").write_text("{}")
    with pytest.raises(HeedError, match="no result of a probe"):
        run_probes(plan)


def test_a_random_twin_has_new_weights_and_the_subject_keeps_its_own(data):
    _, words = data
    subject = tiny_uniter(words, DIM)
    before = {name: p.clone() for name, p in subject.model.named_parameters()}
    twin = dict(randomised(subject, 5).model.named_parameters())
    again = dict(randomised(subject, 5).model.named_parameters())
    assert all((twin[name] == again[name]).all() for name in twin)
    for name, p in subject.model.named_parameters():
        assert (p == before[name]).all()
        if p.ndim == 2:
            assert not (p == twin[name]).any() and float(twin[name].std()) == pytest.approx(0.02, rel=0.3)
        elif name.endswith("bias"):
            assert not twin[name].any()


def test_a_wrong_name_is_told_with_the_nearest():
    with pytest.raises(HeedError, match="Did you mean 'fusion'"):
        chosen(["fussion"])
    assert chosen(["all"]) == list(PROBES)


def test_the_options_that_made_a_result_are_in_it(data, tmp_path):
    pairs, words = data
    run_probes(Plan(tiny_uniter(words, DIM), pairs, tmp_path, ["fusion"], ["subject"], QUICK, pictures=False))
    said = json.loads((tmp_path / "subject" / "fusion.json").read_text())
    assert said["choices"] == {"kmeans_init": "k-means++", "kmeans_starts": 10, "nmi": "arithmetic", "exclude": "both"}
    assert said["made_from"]["options"]["resamples"] == 20
