"""AttnGAN's pickled captions, written as Python 2 wrote them, and others."""

import pickle

import pytest

from features.errors import HeedError
from pipeline.datasets.attngan_captions import read_pickle

WORDS = {0: "<end>", 1: "bird", 2: "red"}


def write(path, train=([1, 2], [2]), test=([1],), words=WORDS, numbers=None):
    value = [list(train), list(test), words, numbers or {word: n for n, word in words.items()}]
    path.write_bytes(pickle.dumps(value, protocol=2))
    return path


def test_captions_and_words_come_back(tmp_path):
    read = read_pickle(write(tmp_path / "captions.pickle"))
    assert read.vocabulary.words == ("<end>", "bird", "red")
    assert (read.train, read.test) == ([[1, 2], [2]], [[1]])
    assert [read.vocabulary.decode(caption) for caption in read.train] == [["bird", "red"], ["red"]]


def test_strings_of_python_2_are_read_too(tmp_path):
    path = tmp_path / "captions.pickle"  # protocol 0, byte strings
    path.write_bytes(b"(lp0\n(lp1\n(lp2\nI1\naaa(lp3\na(dp4\nI0\nS'<end>'\np5\nsI1\nS'bird'\np6\nsa(dp7\ng5\nI0\nsg6\nI1\n"
                     b"sa.")
    assert read_pickle(path).vocabulary.words == ("<end>", "bird") and read_pickle(path).train == [[1]]


@pytest.mark.parametrize(("changes", "reason"), [
    ({"numbers": {"<end>": 0, "bird": 2, "red": 1}}, "dictionaries disagree"),
    ({"train": [[3]]}, "stands for no word"),
    ({"words": {0: "bird"}}, "not '<end>'"),
])
def test_files_that_disagree_with_themselves_are_refused(tmp_path, changes, reason):
    with pytest.raises(HeedError, match=reason):
        read_pickle(write(tmp_path / "captions.pickle", **changes))


def test_nothing_in_the_file_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    (tmp_path / "c.pickle").write_bytes(pickle.dumps([Evil(), [], {}, {}], protocol=2))
    with pytest.raises(HeedError, match="refused"):
        read_pickle(tmp_path / "c.pickle")
