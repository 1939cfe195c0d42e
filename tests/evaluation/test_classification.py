import json

import pytest

from evaluation.classification import evaluate_classification, write_labels
from evaluation.commands.classification import EvaluateClassification
from features.errors import HeedError

NAMES = list("abcdefg")


def files(folder, ranked, labels):
    """Predictions that name the classes of ``ranked``, and the truth."""
    keys = [f"{i}.png" for i in range(len(labels))]
    lines = [{"image": key, "classes": names, "probabilities": [0.1] * len(names)}
             for key, names in zip(keys, ranked, strict=True)]
    (folder / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_labels(folder / "t.jsonl", keys, labels)
    return folder / "p.jsonl", folder / "t.jsonl"


def test_top_1_and_top_5_and_the_mean_over_classes_are_counted(tmp_path, capsys):
    first = NAMES[:5]
    predictions, truth = files(tmp_path, [first] * 6, ["a", "a", "a", "b", "e", "f"])
    found = evaluate_classification(predictions, truth, resamples=200)
    value = {name: figure["value"] for name, figure in found["figures"].items()}
    assert value["top1"] == pytest.approx(50) and value["top5"] == pytest.approx(500 / 6)
    assert value["balanced"] == pytest.approx(25) and value["top1/a"] == 100 and value["top1/f"] == 0
    low, high = found["figures"]["top1"]["low"], found["figures"]["top1"]["high"]
    assert low < 50 < high and found["notes"] == ["classes of the truth that no prediction names: 1"]
    assert EvaluateClassification(predictions, truth, 10).run() == 0
    assert "6 images of 4 classes" in capsys.readouterr().out


@pytest.mark.parametrize(("change", "words"), [
    (lambda p, t: p.write_text(p.read_text().split("\n")[0] + "\n"), "lacks 1 images"),
    (lambda p, t: t.write_text(t.read_text().split("\n")[0] + "\n"), "not in"),
    (lambda p, t: p.write_text("{}\n"), "Line 1"),
    (lambda p, t: p.write_text('{"image": "0.png", "classes": []}\n'), "names no classes"),
    (lambda p, t: p.write_text(p.read_text() * 2), "twice"),
    (lambda p, t: p.write_text(""), "is empty"),
    (lambda p, t: p.unlink(), "no file"),
])
def test_files_that_do_not_fit_are_refused_by_name(tmp_path, change, words):
    predictions, truth = files(tmp_path, [NAMES[:5]] * 2, ["a", "b"])
    change(predictions, truth)
    with pytest.raises(HeedError, match=words):
        evaluate_classification(predictions, truth)
