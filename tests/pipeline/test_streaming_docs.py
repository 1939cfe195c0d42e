"""The examples of docs/streaming.md run as they stand."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipeline.rows_store import CLIPS, clip_rows, rows_store
from tests.pipeline.tars.made import image_samples, made_tar
from tests.training.truth_store import truth_store

DOCUMENT = Path(__file__).parents[2] / "docs" / "streaming.md"


@dataclass(frozen=True)
class Query:
    qid: str
    vid: str


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch").set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    truth_store(tmp_path, 30)
    rows_store(tmp_path / "clips", clip_rows([f"v{i}" for i in range(9)]), CLIPS)
    rows_store(tmp_path / "audio", clip_rows([f"v{i}" for i in range(0, 9, 2)]), CLIPS)
    rows_store(tmp_path / "tokens", clip_rows([f"q{i}" for i in range(20)]), CLIPS)
    (tmp_path / "tars").mkdir()
    (tmp_path / "tars" / "0.tar").write_bytes(made_tar(image_samples(0, 9)))
    queries = [Query(f"q{i}", f"v{i % 9}") for i in range(20)]
    names = {"read_queries": lambda: queries}
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, str(DOCUMENT), "exec"), names)
    assert len(names["samples"]) == 9 and names["refused"].count == 0
    assert "nothing was refused" in capsys.readouterr().out
    assert names["moments"].missing["audio"].samples == 9 and len(names["moments"].kept) == 20
