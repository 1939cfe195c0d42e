"""BERTScore against the published package on a tiny BERT, and against a ten-line reference."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from evaluation.metrics.bertscore import BertScore, read_baseline
from features.errors import HeedError
from heed import main
from tests.evaluation.metrics import tiny_bert
from tests.evaluation.metrics.tiny_bert import CANDIDATES, REFERENCES

GOLDEN = Path(__file__).parent / "bertscore.npz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    transformers = pytest.importorskip("transformers")
    return tiny_bert.write_bert(tmp_path_factory.mktemp("bert") / "tiny", transformers)


@pytest.fixture
def baseline(tmp_path) -> Path:
    (tmp_path / "baseline.tsv").write_text(tiny_bert.BASELINE)
    return tmp_path / "baseline.tsv"


@pytest.mark.parametrize("layer", [1, 3])
@pytest.mark.parametrize("rescaled", [False, True])
def test_every_pair_scores_as_in_the_published_package(folder, baseline, layer: int, rescaled: bool) -> None:
    golden = np.load(GOLDEN)
    scorer = BertScore.load(folder, layer, baseline if rescaled else None)
    name = f"layer {layer}" + (" rescaled" if rescaled else "")
    assert np.abs(scorer.f1_matrix(CANDIDATES, REFERENCES) - golden[name]).max() < 1e-5
    groups = [REFERENCES[i:i + 3] for i in range(len(CANDIDATES))]
    assert np.abs(scorer.best(CANDIDATES, groups) - golden[f"{name} best"]).max() < 1e-5


def made_up(texts) -> list[tuple[np.ndarray, np.ndarray]]:
    """A state for each letter; "<" and ">" around them are special."""
    out = []
    for text in texts:
        pieces = f"<{text}>"
        draws = [np.random.default_rng(ord(piece)).normal(size=5) for piece in pieces]
        out.append((np.array(draws, np.float32) * 3, np.array([piece in "<>" for piece in pieces])))
    return out


def by_hand(said: str, true: str) -> float:
    (a, left), (b, right) = made_up([said, true])
    cosines = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    precision, recall = cosines.max(1)[~left].mean(), cosines.max(0)[~right].mean()
    return 2 * precision * recall / (precision + recall)


def test_scores_by_hand_in_any_company() -> None:
    scorer = BertScore(made_up)
    said, true = ["abc", "d", "ccab", "xyzzy"] * 40, ["ab", "zq", "dddd"]
    found = scorer.f1_matrix(said, true)
    assert np.allclose(found, [[by_hand(a, b) for b in true] for a in said], atol=1e-6)
    assert np.allclose(scorer.f1_matrix(["abc"], ["abc"]), 1) and np.allclose(found, scorer.f1_matrix(true, said).T)
    assert np.allclose(scorer.best(["d", "abc"], [true, true[:2]]), [found[1].max(), found[0, :2].max()])
    assert np.allclose(BertScore(made_up, 0.5).f1_matrix(said, true), (found - 0.5) / 0.5)
    assert (scorer.f1_matrix(["", "a"], ["a", ""]) == [[0, 0], [1, 0]]).all()


def test_the_command_tells_bertscore_with_an_interval(folder, baseline, tmp_path, capsys) -> None:
    said, true = tmp_path / "said.json", tmp_path / "true.json"
    said.write_text(json.dumps([{"image_id": i, "caption": text} for i, text in enumerate(CANDIDATES)]))
    true.write_text(json.dumps({"annotations": [
        {"image_id": i, "caption": text} for i in range(len(CANDIDATES)) for text in REFERENCES[i:i + 3]]}))
    words = ["evaluate", "captioning", "--predictions", str(said), "--truth", str(true), "--json", "--meteor", "False",
             "--bertscore", str(folder), "--bertscore-layer", "3", "--bertscore-baseline", str(baseline)]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    figure = found["figures"]["BERTScore"]
    assert figure["value"] == pytest.approx(np.load(GOLDEN)["layer 3 rescaled best"].mean(), abs=1e-5)
    assert figure["low"] < figure["value"] < figure["high"]
    assert any("layer 3, rescaled by 0.42" in note for note in found["notes"])


def test_what_is_not_there_is_said(folder, baseline, tmp_path, monkeypatch) -> None:
    with pytest.raises(HeedError, match="which layer of 'tiny'"):
        BertScore.load(folder)
    with pytest.raises(HeedError, match="has 3 layers; there is no layer 4"):
        BertScore.load(folder, 4)
    with pytest.raises(HeedError, match="There is no folder"):
        BertScore.load(tmp_path / "nothing", 2)
    with pytest.raises(HeedError, match="no baseline of layer 9; it has 0, 1, 2, 3"):
        read_baseline(baseline, 9)
    (tmp_path / "wrong.tsv").write_text("a,b\n1,2\n")
    with pytest.raises(HeedError, match="no table of BERTScore's baselines"):
        read_baseline(tmp_path / "wrong.tsv", 1)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(HeedError, match="needs the package transformers"):
        BertScore.load(folder, 1)
