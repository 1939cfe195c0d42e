"""The whole road, small: from nothing to a report, stopped on the way and gone on with."""

import json

import pytest
import torch

from training.demo import Demo

pytest.importorskip("torchvision", reason="the scenes detector needs torchvision")


def stamps(folder):
    return {path: path.stat().st_mtime_ns for part in ("scenes", "store/shards", "runs/dot/checkpoints")
            for path in (folder / part).rglob("*") if path.is_file()}


@pytest.mark.timeout(300)
def test_stopped_in_its_second_training_it_goes_on_without_redoing_what_is_done(tmp_path, monkeypatch, capsys):
    torch.set_num_threads(1)
    demo = Demo(tmp_path / "demo", images=60, epochs=1, inline=True)
    train = Demo._train

    def stopping(self, score, side):
        if score == "general":
            raise KeyboardInterrupt
        train(self, score, side)

    with monkeypatch.context() as patch:
        patch.setattr(Demo, "_train", stopping)
        with pytest.raises(KeyboardInterrupt):
            demo.run()
    before = stamps(demo.out)
    assert len(before) > 60
    assert demo.run() == 0
    assert stamps(demo.out) == before
    printed = capsys.readouterr().out
    assert "report.html: open it in a browser" in printed and "heed train matching" in printed
    page = (demo.out / "report.html").read_text()
    for score in ("dot", "general"):
        found = json.loads((demo.out / "runs" / score / "evaluation" / "test.json").read_text())
        assert found["images"] == 6 and found["attention"]["pointing"]["n"] > 0
        assert f">{score}<" in page
