import json

import pytest

import heed
from features.errors import HeedError
from pipeline.datasets import read_captions
from tests.evaluation.probes.tiny import vocabulary
from tests.training.truth_store import truth_store


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    store, scenes = truth_store(folder, 20)
    return store, scenes, vocabulary(folder / "vocab.txt", [caption.text for caption in read_captions(scenes)])


def words(data, out, *more):
    store, scenes, vocab = data
    return ["probe", "uniter:small=random", "--data", str(scenes), "--store", str(store), "--vocabulary", str(vocab),
            "--out", str(out), "--no-pictures", "--options.resamples", "20", *more]


def test_heed_probe_writes_results_and_says_what_the_observations_came_to(data, tmp_path, capsys):
    assert heed.main(words(data, tmp_path, "--probes", "importance", "linguistic", "--images", "12")) == 0
    said = capsys.readouterr().out
    assert "12 pairs of 12 images" in said and "Not measured: linguistic" in said
    assert "Models attend to text more than to the image: not supported" in said
    assert not (tmp_path / "random").exists()  # the subject is random itself
    assert (tmp_path / "mismatched" / "importance.json").exists()
    assert json.loads((tmp_path / "probe.json").read_text())["command"]["images"] == 12


def test_the_features_length_of_a_random_subject_follows_the_store(data, tmp_path):
    heed.main(words(data, tmp_path, "--probes", "importance", "--variants", "subject", "--splits", "test"))
    readings = json.loads((tmp_path / "subject" / "readings" / "cache.json").read_text())
    assert readings["about"]["description"]["config"]["features"] == 40 and readings["about"]["count"] == 2


def test_wrong_words_are_told(data, tmp_path, capsys):
    assert heed.main(words(data, tmp_path, "--probes", "importanse")) == 2
    assert "Did you mean 'importance'" in capsys.readouterr().err
    _, scenes, vocab = data
    assert heed.main(["probe", "uniter:small=random", "--data", str(scenes), "--out", str(tmp_path)]) == 2
    assert "give --store" in capsys.readouterr().err
    assert heed.main(["probe", "uniter:small=random", "--vocabulary", str(vocab), "--out", str(tmp_path)]) == 2
    assert "None of the probes" in capsys.readouterr().err


def test_other_options_in_the_same_folder_are_measured_again_and_other_pairs_refused(data, tmp_path):
    heed.main(words(data, tmp_path, "--probes", "importance", "--variants", "subject"))
    before = json.loads((tmp_path / "subject" / "importance.json").read_text())
    heed.main(words(data, tmp_path, "--probes", "importance", "--variants", "subject", "--options.exclude", "keep"))
    after = json.loads((tmp_path / "subject" / "importance.json").read_text())
    assert before["choices"] != after["choices"] and before["rows"] != after["rows"]
    assert heed.main(words(data, tmp_path, "--probes", "importance", "--variants", "subject", "--seed", "3",
                           "--images", "5")) == 2


def test_a_store_of_another_kind_is_refused(tmp_path):
    from evaluation.probes.pairs import open_store
    from tests.pipeline.rows_store import CLIPS, clip_rows, rows_store

    rows_store(tmp_path / "clips", clip_rows(["a"]), CLIPS)
    with pytest.raises(HeedError, match="holds clips, not regions"):
        open_store(tmp_path / "clips")
