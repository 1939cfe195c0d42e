"""Generated pictures judged by their files alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import heed
from evaluation.attention_file import AttentionFile, Side, StepAttention
from evaluation.generated import FORMAT, Generated, GeneratedWriter, embeddings_path
from evaluation.generation import evaluate_generation, own_and_others
from evaluation.named_objects import agreement, named_in
from evaluation.run_folder import attention_path
from features.errors import HeedError
from features.images import decode_image
from pipeline.annotations import Caption, Phrase
from pipeline.datasets import read_captions
from pipeline.scenes.dataset import write_scenes


def written(out: Path, count: int = 6, aligned: int = 4) -> Path:
    """Pictures whose embeddings agree with their captions', the first ``aligned`` of them."""
    rng = np.random.default_rng(0)
    said = np.eye(count)
    with GeneratedWriter(out) as writer:
        for place in range(count):
            seen = said[place if place < aligned else place - 1] + 0.01 * rng.standard_normal(count)
            writer.add(Caption(f"c{place}", f"i{place}", f"word {place}"), place,
                       np.full((8, 8, 3), 10 * place, np.uint8), seen, said[place])
        writer.add_maps([StepAttention("c0", "i0", 2, "refining stage", Side.words([""] * 4), Side.words(["word"]),
                                       np.ones((4, 1), np.float32))])
    return out


def test_pictures_come_back_as_written_and_r_precision_needs_no_model(tmp_path: Path) -> None:
    out = written(tmp_path / "test.json")
    read = Generated.read(out)
    assert read.ids == [f"c{n}" for n in range(6)] and (read.pixels(3) == 30).all()
    assert len(AttentionFile.read(attention_path(out))) == 1
    found = evaluate_generation(out)
    assert found["figures"]["r_precision"]["value"] == pytest.approx(100 * 4 / 6)
    assert any("no inception score and no FID" in note for note in found["notes"])
    assert set(found["figures"]) == {"r_precision"}  # nothing is made up for what was not there


def test_writing_again_leaves_nothing_of_before(tmp_path: Path) -> None:
    written(tmp_path / "test.json", 6)
    written(tmp_path / "test.json", 3)
    assert len(list((tmp_path / "test").glob("*.png"))) == 3 and len(Generated.read(tmp_path / "test.json").files) == 3


def test_r_precision_takes_others_of_other_classes_only() -> None:
    said = np.eye(4)
    similarity = own_and_others(said, said, np.array([0, 0, 1, 1]))
    assert similarity.shape == (4, 3) and (similarity[:, 0] == 1).all() and (similarity[:, 1:] == 0).all()
    with pytest.raises(HeedError, match="more than one class"):
        own_and_others(said, said, np.zeros(4))


def damaged(path: Path, **changes: object) -> None:
    content = json.loads(path.read_text())
    content["pictures"][0] |= changes
    path.write_text(json.dumps(content))


def test_damaged_lists_are_refused(tmp_path: Path) -> None:
    out = written(tmp_path / "test.json")
    damaged(out, file="../x.png")
    with pytest.raises(HeedError, match="outside its folder"):
        Generated.read(out)
    damaged(out, file="test/000099.png")
    with pytest.raises(HeedError, match=r"000099\.png is missing"):
        Generated.read(out)
    out.write_text(json.dumps({"format": FORMAT, "pictures": []}))
    with pytest.raises(HeedError, match="no list of generated pictures"):
        Generated.read(out)
    out = written(tmp_path / "val.json")
    embeddings_path(out).write_bytes(b"damaged")
    with pytest.raises(HeedError, match="predict again"):
        evaluate_generation(out)


def test_phrases_name_colour_and_shape_in_any_of_their_words() -> None:
    text = "A violet spotted disc, two red crosses and a large thing over the moon"
    spans = [(0, 21), (23, 38), (43, 56), (62, 70)]
    caption = Caption("c", "i", text, tuple(Phrase(a, b, np.zeros((1, 4), np.float32)) for a, b in spans))
    assert named_in(caption) == [("purple", "circle"), ("red", "cross")]


def test_agreement_and_chance_are_counted_as_by_hand() -> None:
    named = [[("red", "star")], [("blue", "ring"), ("red", "star")], []]
    seen = [{("red", "star")}, {("red", "ring"), ("blue", "star")}, {("red", "star")}]
    held = agreement(named, seen)
    assert held["picture"].tolist() == [0, 1, 1]
    assert held["both"].tolist() == [1, 0, 0]
    assert held["colour"].tolist() == [1, 1, 1] and held["shape"].tolist() == [1, 1, 1]
    assert held["chance"].tolist() == [0.5, 0, 1]  # of the two other pictures


def test_real_scenes_hold_what_their_captions_name_and_shuffled_ones_do_not(tmp_path: Path, capsys) -> None:
    write_scenes(tmp_path / "few", 200, 0, 64, flavour="few", workers=1)
    captions = [c for c in read_captions(tmp_path / "few", "test") if c.id.endswith("-0")]
    with GeneratedWriter(tmp_path / "test.json") as writer:
        for place, caption in enumerate(captions):
            pixels = decode_image((tmp_path / "few" / "images" / caption.key).read_bytes())
            writer.add(caption, place, pixels, np.eye(20)[place], np.eye(20)[place])
    assert heed.main(["evaluate", "generation", "--predictions", str(tmp_path / "test.json"),
                      "--truth", str(tmp_path / "few"), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["figures"]
    assert figures["named_object"]["value"] > 75 and figures["chance"]["value"] < 15
    assert figures["r_precision"]["value"] == 100


def test_a_network_that_is_not_there_is_an_error_and_no_number(tmp_path: Path) -> None:
    with pytest.raises(HeedError, match="no weights file"):
        evaluate_generation(written(tmp_path / "test.json"), network=str(tmp_path / "none.pth"))
