"""AttnGAN's figure: the five most attended words of each stage, beside scikit-image's own maps (word_maps.npz)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import heed
from evaluation.attention_file import Side, StepAttention
from evaluation.generated import GeneratedWriter
from evaluation.report.word_maps import draw, most_attended, word_map
from features.errors import HeedError
from features.images import decode_image
from pipeline.annotations import Caption

GOLDEN = np.load(Path(__file__).with_name("word_maps.npz"))


@pytest.mark.parametrize("side", [16, 64])
def test_maps_are_those_of_scikit_image(side: int) -> None:
    weights = np.random.default_rng(side).dirichlet(np.ones(6), side * side)[:, 2]
    found = word_map(weights, 6)
    assert found.shape == (256, 256) and found.min() == 0 and found.max() == 1
    np.testing.assert_allclose(found[::8, ::8], GOLDEN[f"map{side}"], atol=1e-6)


def test_words_are_ordered_by_what_they_have_where_they_have_much() -> None:
    weights = np.array([[0.9, 0.05, 0.05, 0], [0.1, 0.85, 0.05, 0], [0.1, 0.9, 0, 0], [0.3, 0.3, 0.2, 0.2]])
    # n = 4: t = 0.5, only weights above 2 t = 1 would count, so 8 words are needed for anything to count
    assert most_attended(weights).tolist() == [0, 1, 2, 3]
    wide = np.concatenate([weights, np.zeros((4, 4))], 1)
    assert most_attended(wide, 2).tolist() == [1, 0]  # 0.85 + 0.9 against 0.9


def test_a_word_that_is_nowhere_above_the_threshold_has_an_empty_map() -> None:
    assert (word_map(np.full(16, 0.1), 6) == 0).all()
    with pytest.raises(HeedError, match="no square"):
        word_map(np.ones(15), 6)


def stages(words: tuple[str, ...]) -> list[StepAttention]:
    weights = np.random.default_rng(0).dirichlet(np.full(len(words), 0.2), 64).astype(np.float32)
    return [StepAttention("c", "i", step, "refining stage", Side.words([""] * 64), Side.words(words), weights)
            for step in (2, 3)]


def test_the_figure_has_a_row_a_stage_and_the_picture_before_five_words() -> None:
    drawn = draw(np.full((32, 32, 3), 200, np.uint8), stages(tuple("abcdefg")))
    assert drawn.shape == (2 * (256 + 32), 6 * 258 - 2, 3)
    assert (drawn[40:280, 4:250] == 200).all()
    assert draw(np.zeros((8, 8, 3), np.uint8), stages(("a", "b"))).shape[1] == 3 * 258 - 2
    # where a map is 1 the picture shows through at 75 / 255: 200 * 75 / 255 + 180 = 238
    assert drawn[32:288, 258:514].max() == 238 and drawn[32:288, 258:514].min() == 58


def test_the_command_draws_every_picture_whose_attention_was_kept(tmp_path: Path, capsys) -> None:
    with GeneratedWriter(tmp_path / "test.json") as writer:
        for label, name in enumerate(("c", "d")):
            writer.add(Caption(name, "i", name), label, np.zeros((8, 8, 3), np.uint8), np.eye(2)[label], np.ones(2))
        writer.add_maps(stages(("red", "star")))
    assert heed.main(["evaluate", "generation", "--predictions", str(tmp_path / "test.json"), "--no-objects",
                      "--maps", str(tmp_path / "maps")]) == 0
    (drawn,) = (tmp_path / "maps").iterdir()
    assert decode_image(drawn.read_bytes()).shape == (576, 3 * 258 - 2, 3)
