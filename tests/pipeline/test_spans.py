"""How videos are cut into clips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import HeedError
from pipeline.spans import clip_spans, sample_times, windows_of


@pytest.mark.parametrize(("duration", "counts"), [
    (150.0, (75, 75, 75)), (150.03, (75, 76, 75)), (139.3, (70, 70, 69)), (150.9995, (76, 76, 75)),
    (149.9995, (75, 75, 75)), (0.4, (1, 1, 1)), (2.9, (1, 2, 1)), (3.0, (2, 2, 1)), (0.0, (1, 1, 1)),
])
def test_a_rest_is_a_clip_by_the_rule_asked_for(duration, counts):
    assert tuple(len(clip_spans(duration, 2.0, last)) for last in ("half", "keep", "drop")) == counts


@pytest.mark.parametrize("frames", [1, 29, 30, 31, 45, 59, 60, 61, 149, 3750, 3763, 4497, 4500])
def test_the_usual_rule_counts_as_ffmpegs_fps_filter_does(frames):
    """ffmpeg -vf fps=1/2 gives round(duration / 2) frames (half up), at least one (libavfilter/vf_fps.c)."""
    duration = frames / 30
    assert len(clip_spans(duration, 2.0)) == max(1, int(duration / 2 + 0.5 + 1e-6))


@given(st.floats(0, 5000), st.floats(0.2, 30), st.sampled_from(["half", "keep", "drop"]))
def test_clips_follow_each_other_and_end_with_the_video(duration, seconds, last):
    spans = clip_spans(duration, seconds, last)
    assert spans[0, 0] == 0 and np.allclose(spans[1:, 0], spans[:-1, 1])
    assert np.allclose(spans[:-1, 1] - spans[:-1, 0], seconds) and 0 <= spans[-1, 1] - spans[-1, 0] <= seconds + 1e-9
    assert spans[-1, 1] <= duration + 1e-3 or len(spans) == 1
    missing = duration - spans[-1, 1]
    assert missing < {"half": seconds / 2, "keep": 2e-3, "drop": seconds}[last] + 1e-6


def test_times_are_the_middles_of_equal_parts_and_stop_at_the_end():
    spans = clip_spans(5.2, 2.0)
    assert spans.tolist() == [[0, 2], [2, 4], [4, 5.2]]
    assert sample_times(spans, 2.0, 1, 5.2).tolist() == [[1], [3], [5]]
    assert np.allclose(sample_times(spans, 2.0, 4, 5.2)[2], [4.25, 4.75, 4.75, 4.75])
    assert sample_times(clip_spans(3, 2.0), 2.0, 1, 3.0).tolist() == [[1], [2]]  # nothing is shown at 3.0
    assert sample_times(clip_spans(0.3, 2.0), 2.0, 2, 0.3).tolist() == [[0, 0]]
    flat = sample_times(clip_spans(8, 2.0), 2.0, 5, 8).ravel()
    assert np.allclose(np.diff(flat), 0.4)  # evenly over all clips


@pytest.mark.parametrize(("seconds", "frames", "rate", "windows"), [
    (2.0, 1, 0, 1), (2.0, 32, 15.0, 1), (2.0, 16, 15.0, 2), (2.0, 16, 7.5, 1), (10.0, 16, 15.0, 9), (0.2, 16, 15.0, 1),
])
def test_windows_keep_near_the_rate_an_encoder_was_trained_at(seconds, frames, rate, windows):
    assert windows_of(seconds, frames, rate) == windows


def test_impossible_clips_are_refused():
    with pytest.raises(HeedError, match="has no length"):
        clip_spans(3, 0)
    with pytest.raises(HeedError, match="is the file damaged"):
        clip_spans(1e9, 0.5)
