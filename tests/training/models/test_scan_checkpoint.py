"""SCAN checkpoints in the published layout, against what the published code gave on the same weights and inputs.

golden/scan.npz holds random weights, inputs and the similarities that kuanghuei/SCAN (scan-…) and adlnlp/Attention_VL's
SCAN (study-…) computed from them, run in Python 3: integer division, softmax over dimension 1, on the CPU.
"""

import argparse
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from features.errors import HeedError
from training.models.scan import Scan
from training.models.scan_checkpoint import METHODS, read_checkpoint

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "scan.npz"))
CASES = sorted({name.split("|")[0] for name in GOLDEN if "|" in name})


def published(case, **changes):
    """The dictionary that the published train.py saves."""
    parts = 3 if case.startswith("study") else 2
    states = [{name.split("|")[2]: torch.from_numpy(value) for name, value in GOLDEN.items()
               if name.startswith(f"{case}|{part}|")} for part in range(parts)]
    options = {**json.loads(GOLDEN[f"{case}|opt"].tobytes()), **changes}
    return {"epoch": 12, "model": states, "best_rsum": np.float64(450.5), "opt": argparse.Namespace(**options),
            "Eiters": 4000}


def loaded(checkpoint):
    scan = Scan(checkpoint.model, checkpoint.attention, GOLDEN["features"].shape[2], 20)
    checkpoint.into(scan)
    return scan.eval()


def similarities(scan):
    features = torch.from_numpy(GOLDEN["features"])
    mask = torch.ones(features.shape[:2], dtype=torch.bool)
    with torch.no_grad():
        return scan(features, mask, torch.from_numpy(GOLDEN["tokens"]), torch.from_numpy(GOLDEN["lengths"])).numpy()


@pytest.mark.parametrize("case", CASES)
def test_similarities_are_the_published_ones(tmp_path, case):
    torch.save(published(case), tmp_path / "model_best.pth.tar")
    given = similarities(loaded(read_checkpoint(tmp_path / "model_best.pth.tar")))
    np.testing.assert_allclose(given, GOLDEN[f"{case}|sims"], atol=1e-5, rtol=0)


def test_every_case_of_both_codes_is_there():
    assert {case.removeprefix("study-") for case in CASES if case.startswith("study")} == set(METHODS)
    assert sum(case.startswith("scan") for case in CASES) == 12


@pytest.mark.parametrize("method", ["general_qwk", "biased_general_kwq", "activated_general_relu"])
def test_the_switch_matters_where_the_study_lays_scores_out_wrongly(tmp_path, method):
    torch.save(published(f"study-{method}"), tmp_path / "c")
    scan = loaded(read_checkpoint(tmp_path / "c"))
    scan.scoring = type(scan.scoring)(**{**vars(scan.scoring), "scrambled": False})
    assert np.abs(similarities(scan) - GOLDEN[f"study-{method}|sims"]).max() > 1e-3


def test_files_of_old_torch_are_read(tmp_path):
    """Written without the zip container, in pickle's protocol 2, as torch 0.4 did."""
    torch.save(published("scan-t2i-0"), tmp_path / "c", _use_new_zipfile_serialization=False, pickle_protocol=2)
    given = similarities(loaded(read_checkpoint(tmp_path / "c")))
    np.testing.assert_allclose(given, GOLDEN["scan-t2i-0|sims"], atol=1e-5, rtol=0)


class Running:
    def __reduce__(self):
        return print, ("run",)


def test_what_a_checkpoint_names_is_not_run(tmp_path, capsys):
    content = published("scan-t2i-0")
    content["opt"].trap = Running()
    torch.save(content, tmp_path / "c")
    with pytest.raises(HeedError, match="no published SCAN checkpoint"):
        read_checkpoint(tmp_path / "c")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("changes", "words"), [
    ({"num_layers": 2}, "2 layers"), ({"raw_feature_norm": "l3norm"}, "'l3norm'"), ({"cross_attn": "both"}, "'both'"),
])
def test_options_that_heeds_scan_has_not_are_told(tmp_path, changes, words):
    torch.save(published("scan-t2i-0", **changes), tmp_path / "c")
    with pytest.raises(HeedError, match=words):
        read_checkpoint(tmp_path / "c")


def test_a_file_that_is_something_else_is_told(tmp_path):
    (tmp_path / "pickle").write_bytes(pickle.dumps({"a": 1}))
    torch.save({"model": {}}, tmp_path / "other")
    for name in ("pickle", "other"):
        with pytest.raises(HeedError, match="no published SCAN checkpoint"):
            read_checkpoint(tmp_path / name)
    with pytest.raises(HeedError, match="There is no checkpoint"):
        read_checkpoint(tmp_path / "absent")


def test_another_vocabulary_is_told(tmp_path):
    torch.save(published("scan-t2i-0"), tmp_path / "c")
    checkpoint = read_checkpoint(tmp_path / "c")
    with pytest.raises(HeedError, match="20 words of the vocabulary; here there are 21"):
        checkpoint.into(Scan(checkpoint.model, checkpoint.attention, 10, 21))
