import io

import numpy as np
import pytest
from PIL import Image

from features.errors import HeedError
from pipeline.blobs import Blobs
from pipeline.stored_frames import StoredFrames
from tests.make_video import grey, number_of


def files(count):
    found = []
    for number in range(count):
        file = io.BytesIO()
        Image.fromarray(grey(number)).save(file, "PNG")
        found.append(file.getvalue())
    return found


def test_the_stored_frame_shown_is_the_last_that_begins_by_then():
    read = []
    pictures = files(3)
    stored = StoredFrames(np.array([0.5, 1.0, 4.0]), Blobs(3, lambda i: read.append(i) or pictures[i]), 5.0)
    frames = list(stored.at([0.0, 0.7, 0.9999995, 3.9, 4.0, 9.0]))
    assert [number_of(frame.image) for frame in frames] == [0, 0, 1, 1, 2, 2]
    assert [frame.time for frame in frames] == [0.5, 0.5, 1.0, 1.0, 4.0, 4.0]
    assert read == [0, 1, 2] and frames[0] is frames[1]


def test_no_frames_are_an_error():
    with pytest.raises(HeedError, match="no frames"):
        list(StoredFrames(np.zeros(0), [], 0.0).at([1.0]))


@pytest.mark.parametrize("change", [
    {"times": np.array([0.0])}, {"times": np.array([1.0, 0.0])}, {"times": np.array([0.0, np.nan])},
    {"times": np.zeros((2, 1))}, {"duration": -1.0}, {"start": np.inf}])
def test_what_does_not_fit_together_is_named(change):
    good = {"times": np.array([0.0, 1.0]), "files": [b"", b""], "duration": 2.0}
    assert len(StoredFrames(**good).checked()) == 2
    with pytest.raises(HeedError):
        StoredFrames(**{**good, **change}).checked()


def test_blobs_are_read_when_asked_for_and_cut_like_lists():
    read = []
    blobs = Blobs(5, lambda number: read.append(number) or bytes([number]))
    assert len(blobs) == 5 and not read
    assert blobs[-1] == b"\4" and list(blobs[1:4]) == [b"\1", b"\2", b"\3"] and read == [4, 1, 2, 3]
    with pytest.raises(IndexError):
        blobs[5]
