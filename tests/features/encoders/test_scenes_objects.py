"""The scenes encoder: what its numbers say of made-up objects, and of a rendered video."""

from __future__ import annotations

import numpy as np
import pytest

from features.encoders import load_encoder, parse_name
from features.encoders.scenes_objects import MEASURES, Objects, pooled
from features.errors import HeedError
from pipeline.scenes.shapes import SHAPES
from pipeline.scenes.video import draw_frames, video
from pipeline.scenes.world import COLOURS as COLOURS_BY_NAME

LOOKS, COLOURS = 23, slice(8, 16)
LOOKED_AT = (1, 4, 8, 11, 14)
"""Of a clip's sixteen frames, eight a second, those that the encoder looks at."""


def frame(*objects: tuple[int, int, float, float, float]) -> Objects:
    """Objects of (shape, colour, x, y, side)."""
    boxes = np.array([[x, y, x + side, y + side] for _, _, x, y, side in objects], np.float32).reshape(-1, 4)
    looks = np.zeros((len(objects), LOOKS), np.float32)
    for row, (shape, colour, *_) in enumerate(objects):
        looks[row, [shape, 8 + colour, 16, 19]] = 1
    return Objects(boxes, looks, looks[:, COLOURS], np.ones((len(objects), 4), np.float32))


def said(frames: list[Objects]) -> np.ndarray:
    return pooled(frames, LOOKS).reshape(len(MEASURES), LOOKS).T


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
    assert turned[8:16, MEASURES.index("recolours")].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]  # the colour that was
    assert turned[8:16, MEASURES.index("becomes")].tolist() == [0, 0, 0, 0, 0, 1, 0, 0]  # and the one that is
    assert not said([frame(), frame()]).any()


def test_on_a_rendered_video_it_sees_the_event_when_it_happens() -> None:
    encoder = load_encoder("scenes:objects")
    shown = video(0, 1)
    jump = next(event for event in shown.events if event.kind == "jump")  # from 3 to 9 s, and nothing else till 10 s
    assert (jump.start, jump.end, shown.actors[jump.actor].shape) == (3.0, 9.0, "cross")
    pictures = list(draw_frames(shown, 112, 8))
    clips = (2, 3, 7, 9)
    windows = np.stack([[encoder.prepare(pictures[16 * clip + place]) for place in LOOKED_AT] for clip in clips])
    found = encoder.encode(windows).reshape(len(clips), len(MEASURES), LOOKS).swapaxes(1, 2)
    up_and_down = found[:, SHAPES.index("cross"), [MEASURES.index("up"), MEASURES.index("down")]].sum(1)
    assert up_and_down[:2].min() > 0.5 and up_and_down[2:].max() < 0.2
    assert encoder.dim == LOOKS * len(MEASURES)
    assert np.allclose(encoder.encode(windows[1:2])[0], found[1].T.ravel(), atol=1e-3)


def test_it_is_seen_who_shakes() -> None:
    encoder = load_encoder("scenes:objects")
    shown = video(0, 6)
    shake = next(event for event in shown.events if event.kind == "shake")
    assert shake.actor is not None and shake.before is not None
    first = int(shake.start // 2 + 1) * 16  # the clip after it began
    assert first / 8 + 2 <= shake.end
    pictures = list(draw_frames(shown, 112, 8))[first:first + 16]
    found = encoder.encode(np.stack([[encoder.prepare(pictures[place]) for place in LOOKED_AT]]))
    sideways = found.reshape(len(MEASURES), LOOKS)[[MEASURES.index("left"), MEASURES.index("right")]].sum(0)
    assert SHAPES[int(sideways[:8].argmax())] == shown.actors[shake.actor].shape
    assert COLOURS_BY_NAME[int(sideways[COLOURS].argmax())] == shake.before.colour and sideways[COLOURS].max() > 0.2


def test_it_has_one_name_and_no_other() -> None:
    assert parse_name("scenes:objects").family == "scenes"
    with pytest.raises(HeedError, match="one encoder, scenes:objects"):
        load_encoder("scenes:nothing")
