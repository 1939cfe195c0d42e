"""The scenes encoder: what its numbers say of made-up objects, and of a rendered video."""

from __future__ import annotations

import numpy as np
import pytest

from features.encoders import load_encoder, parse_name
from features.encoders.scenes_objects import MEASURES, Objects, pooled
from features.errors import HeedError
from pipeline.scenes.shapes import SHAPES
from pipeline.scenes.video import draw_frames, video

LOOKS, COLOURS = 23, slice(8, 16)


def frame(*objects: tuple[int, int, float, float, float]) -> Objects:
    """Objects of (shape, colour, x, y, side)."""
    boxes = np.array([[x, y, x + side, y + side] for _, _, x, y, side in objects], np.float32).reshape(-1, 4)
    looks = np.zeros((len(objects), LOOKS), np.float32)
    for row, (shape, colour, *_) in enumerate(objects):
        looks[row, [shape, 8 + colour, 16, 19]] = 1
    return Objects(boxes, looks, looks[:, COLOURS], np.ones((len(objects), 4), np.float32))


def said(frames: list[Objects]) -> np.ndarray:
    return pooled(frames, LOOKS).reshape(LOOKS, len(MEASURES))


def test_only_the_look_of_what_moves_is_said_to_move() -> None:
    still = (1, 2, 0.1, 0.1, 0.1)
    frames = [frame(still, (4, 6, 0.5 + 0.05 * step, 0.5, 0.1)) for step in range(4)]
    found = said(frames)
    assert found[4, MEASURES.index("right")] == pytest.approx(0.5, abs=1e-5) == found[8 + 6, MEASURES.index("right")]
    assert found[4, MEASURES.index("left")] == 0 and not found[[1, 8 + 2], 1:10].any()
    assert found[[1, 4], 0] == pytest.approx([1, 1])


def test_growing_vanishing_and_changing_colour_are_told_apart() -> None:
    grows = said([frame((0, 0, 0.4, 0.4, 0.1)), frame((0, 0, 0.4, 0.4, 0.11))])
    assert grows[0, MEASURES.index("grows")] > 0.5 and not grows[0, MEASURES.index("shrinks")]
    gone = said([frame((3, 0, 0.4, 0.4, 0.1)), frame()])
    assert gone[3, MEASURES.index("vanishes")] == 1 and not gone[3, MEASURES.index("appears")]
    turned = said([frame((3, 0, 0.4, 0.4, 0.1)), frame((3, 5, 0.4, 0.4, 0.1))])
    assert turned[3, MEASURES.index("recolours")] == 1 and not turned[3, MEASURES.index("vanishes")]
    assert not said([frame(), frame()]).any()


def test_on_a_rendered_video_it_sees_the_event_when_it_happens() -> None:
    encoder = load_encoder("scenes:objects")
    shown = video(0, 1)
    jump = next(event for event in shown.events if event.kind == "jump")  # from 3 to 9 s, and nothing else till 10 s
    assert (jump.start, jump.end, shown.actors[jump.actor].shape) == (3.0, 9.0, "cross")
    pictures = list(draw_frames(shown, 112, 4))
    clips = (2, 3, 7, 9)  # a clip has eight frames here, of which the encoder looks at every other
    windows = np.stack([[encoder.prepare(one) for one in pictures[8 * clip + 1:8 * clip + 8:2]] for clip in clips])
    found = encoder.encode(windows).reshape(len(clips), LOOKS, len(MEASURES))
    up_and_down = found[:, SHAPES.index("cross"), [MEASURES.index("up"), MEASURES.index("down")]].sum(1)
    assert up_and_down[:2].min() > 0.5 and up_and_down[2:].max() < 0.2
    assert encoder.dim == LOOKS * len(MEASURES)
    assert np.allclose(encoder.encode(windows[1:2])[0], found[1].ravel(), atol=1e-3)


def test_it_has_one_name_and_no_other() -> None:
    assert parse_name("scenes:objects").family == "scenes"
    with pytest.raises(HeedError, match="one encoder, scenes:objects"):
        load_encoder("scenes:nothing")
