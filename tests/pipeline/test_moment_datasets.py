"""Readers of moments on the datasets' own published files, and on files that are not in the format."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import HeedError
from pipeline.datasets import didemo, qvhighlights, read_moments
from tests.shared import SHARED, needs_shared

DATA = SHARED / "data"


@needs_shared
@pytest.mark.parametrize(("name", "queries", "videos", "windows", "lengths"), [
    ("highlight_val_release.jsonl", 1550, 1519, 2803, (1130, 1062, 611)),
    ("highlight_test_with_gt.jsonl", 1542, 1529, 2761, (1079, 1069, 613)),
])
def test_qvhighlights_has_the_published_counts_and_keeps_its_invariants(name, queries, videos, windows, lengths):
    moments = read_moments(DATA / "qvhighlights" / name)
    assert len(moments) == queries and len({moment.key for moment in moments}) == videos
    bounds = np.concatenate([moment.windows for moment in moments])
    size = bounds[:, 1] - bounds[:, 0]
    assert len(bounds) == windows
    assert ((size <= 10).sum(), ((size > 10) & (size <= 30)).sum(), (size > 30).sum()) == lengths
    for moment in moments:
        inside = [clip for start, end in moment.windows for clip in range(int(start) // 2, int(end) // 2)]
        assert inside == moment.clips.tolist() and moment.saliency.shape == (len(inside), 3)
        assert moment.saliency.max(initial=0) <= 4 and (moment.windows[:, 1] <= moment.duration).all()


@needs_shared
def test_a_folder_of_qvhighlights_is_read_by_split_and_ids_name_the_queries():
    test = read_moments(DATA / "qvhighlights", "test")
    assert len(test) == 1542 and len(read_moments(DATA / "qvhighlights")) == 1542 + 1550
    raw = json.loads((DATA / "qvhighlights" / "highlight_test_with_gt.jsonl").read_text().split("\n")[0])
    assert test[0].id == f"qid{raw['qid']}" and qvhighlights.qid(test[0]) == raw["qid"]
    assert (test[0].text, test[0].key, test[0].duration) == (raw["query"], raw["vid"], raw["duration"])
    with pytest.raises(HeedError, match=r"no highlight_train_release\.jsonl"):
        read_moments(DATA / "qvhighlights", "train")


@needs_shared
def test_charades_sta_gives_every_line_its_window():
    moments = read_moments(DATA / "moments" / "charades_sta_test.txt")
    assert len(moments) == 3720 and moments[0].key == "3MSZA" and moments[0].duration == 0
    assert moments[0].text == "person turn a light on." and np.allclose(moments[0].windows, [[24.3, 30.4]])
    assert len({moment.key for moment in moments}) == 1334


@needs_shared
def test_tacos_turns_frames_into_seconds():
    moments = read_moments(DATA / "moments" / "tacos_val.json")
    assert len(moments) == 4436 and len({moment.key for moment in moments}) == 27
    first = moments[0]
    assert (first.id, first.text) == ("s34-d28.avi#0", "The person gets out a knife.")
    assert np.allclose(first.windows, [[201 / 29.4, 487 / 29.4]]) and first.duration == pytest.approx(11800 / 29.4)
    assert all(moment.windows[0, 1] <= moment.duration + 1e-3 for moment in moments)


@needs_shared
def test_didemo_takes_the_window_most_annotators_gave():
    moments = read_moments(DATA / "moments" / "didemo_val_data.json.gz")
    assert len(moments) == 4180 and Counter(len(moment.alternatives) for moment in moments) == {4: 4165, 7: 15}
    assert moments[0].windows.tolist() == [[5, 10]] and moments[0].duration == 30
    for moment in moments:
        votes = Counter(map(tuple, moment.alternatives.tolist()))
        assert votes[tuple(moment.windows[0].tolist())] == max(votes.values())


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)).map(sorted), min_size=1, max_size=7))
def test_among_windows_of_as_many_votes_the_nearest_to_all_is_taken(times):
    windows = np.array(times, np.float32)
    chosen = didemo.agreed(windows).tolist()
    votes = Counter(map(tuple, windows.tolist()))
    tied = [window for window, count in votes.items() if count == max(votes.values())]
    far = {window: sum(abs(window[0] - a) + abs(window[1] - b) for a, b in windows.tolist()) for window in tied}
    assert tuple(chosen) == min(tied, key=lambda window: (far[window], window))
    assert didemo.agreed(windows[::-1]).tolist() == chosen


def test_a_part_of_a_file_is_a_part_of_its_videos(tmp_path):
    lines = [{"qid": n, "query": "a", "vid": f"v{n % 40}", "duration": 10, "relevant_windows": [[0, 2]]}
             for n in range(120)]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, lines)))
    parts = [read_moments(tmp_path / "m.jsonl", split, holdout=0.5) for split in ("train", "val", "test")]
    videos = [{moment.key for moment in part} for part in parts]
    assert sum(map(len, parts)) == 120 and all(videos) and not videos[0] & videos[1] and not videos[1] & videos[2]


@pytest.mark.parametrize(("changes", "words"), [
    ({"saliency_scores": [[1, 2, 3]]}, "2 relevant clips and saliency scores of shape"),
    ({"relevant_windows": [[4, 2]]}, "ends before it starts"),
    ({"duration": None}, "TypeError"),
    ({"saliency_scores": [[1, 2, 300], [1, 2, 3]]}, "Line 1"),
    ({"relevant_windows": [[1, 2, 3]]}, "Line 1"),
])
def test_lines_that_are_not_in_the_format_are_named(tmp_path, changes, words):
    line = {"qid": 1, "query": "a", "vid": "v", "duration": 10, "relevant_windows": [[0, 2]],
            "relevant_clip_ids": [0, 1], "saliency_scores": [[1, 2, 3], [0, 0, 4]]}
    (tmp_path / "m.jsonl").write_text(json.dumps({**line, **changes}))
    with pytest.raises(HeedError, match=words) as caught:
        read_moments(tmp_path / "m.jsonl")
    assert "Line 1 of" in str(caught.value)


def test_bytes_that_are_no_text_are_a_line_that_is_named(tmp_path):
    (tmp_path / "m.jsonl").write_bytes(
        b'{"qid": 1, "query": "a", "vid": "v", "duration": 4}\n{"qid": 2, "query": "\xff"}')
    with pytest.raises(HeedError, match="Line 2 of"):
        read_moments(tmp_path / "m.jsonl")


def test_files_of_no_known_format_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("nothing\n")
    with pytest.raises(HeedError, match="none of the annotations of moments"):
        read_moments(tmp_path / "a.txt")
    (tmp_path / "c.txt").write_text("V 3.0 1.0##turned round\nV one two##x\n")
    with pytest.raises(HeedError, match="Line 2 of"):
        read_moments(tmp_path / "c.txt")
    (tmp_path / "c.txt").write_text("V 3.0 1.0##turned round\n")
    assert read_moments(tmp_path / "c.txt")[0].windows.tolist() == [[1.0, 3.0]]
    (tmp_path / "t.json").write_text('{"v": {"timestamps": [[3, 1]], "sentences": ["a"], "fps": 2, "num_frames": 9}}')
    with pytest.raises(HeedError, match="at v"):
        read_moments(tmp_path / "t.json")
