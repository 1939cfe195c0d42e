import io
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import HeedError
from pipeline.tars.samples import NAMED, Refusals, TarSample, decoded, split_name
from pipeline.tars.sequential import read_tar
from tests.pipeline.tars.made import image_samples, made_tar, special


def samples(data, **options):
    return [(sample.key, dict(sample.parts)) for sample in read_tar(io.BytesIO(data), "some.tar", **options)]


NAMES = st.builds("{}{}".format, st.sampled_from(["", "a/", "a.b/c/", "./"]),
                  st.from_regex(r"[abAB]([ab.AB]{0,5}[abAB])?", fullmatch=True))


@given(names=st.lists(NAMES, max_size=12, unique_by=str.lower))
@settings(deadline=None, max_examples=20)
def test_samples_are_those_that_webdataset_finds(names, tmp_path_factory):
    webdataset = pytest.importorskip("webdataset")
    data = made_tar([(name, name.encode()) for name in names])
    path = tmp_path_factory.mktemp("t") / "t.tar"
    path.write_bytes(data)
    read = [] if not names else webdataset.WebDataset(str(path), shardshuffle=False, empty_check=False)
    expected = [(one["__key__"], {part: value for part, value in one.items() if not part.startswith("__")})
                for one in read]
    assert samples(data) == [(key, parts) for key, parts in expected if parts]


def test_names_are_cut_at_the_first_dot_behind_the_last_slash():
    assert split_name("a.b/c.features.NPY") == ("a.b/c", "features.npy")
    assert split_name("a/b") == ("a/b", "") and split_name("a/.hidden") == ("a/.hidden", "")


def test_what_is_refused_is_told_by_name_and_counted():
    refused = Refusals()
    entries = [("a.jpg", b"1"), special("a.txt", tarfile.SYMTYPE, "/etc/passwd"), ("../b.jpg", b"2"), ("README", b"3"),
               ("a.jpg", b"again"), ("a.json", b"{}"), ("__index__", b"meta"), ("c.jpg", b"4")]
    assert samples(made_tar(entries), refused=refused) == [("a", {"jpg": b"1", "json": b"{}"}), ("c", {"jpg": b"4"})]
    assert [(one.member, one.reason.split(" (")[0]) for one in refused.first] == [
        ("a.txt", "is a link; heed follows none"), ("../b.jpg", "has a name that leads out of the tar"),
        ("README", "has no extension, which would say what part of a sample it is"),
        ("a.jpg", "is there twice in its sample")]
    assert refused.count == 4
    assert str(refused) == ("4 members or tars were not read, for example 'a.txt' of some.tar: is a link; heed follows "
                            "none")


def test_a_million_refusals_are_counted_but_not_kept():
    refused = Refusals()
    for number in range(NAMED + 50):
        refused.add("t", str(number), "is a link")
    assert refused.count == NAMED + 50 and len(refused.first) == NAMED


def test_of_a_tar_that_is_cut_short_whole_samples_are_given_and_then_it_is_named():
    data = made_tar(image_samples(1, 4))
    whole, ends = samples(data), len(data.rstrip(b"\0"))
    for cut in range(0, ends, 100):
        given, refused = [], Refusals()
        with pytest.raises(HeedError, match=r"some\.tar is cut short"):
            for sample in read_tar(io.BytesIO(data[:cut]), "some.tar"):
                given.append((sample.key, dict(sample.parts)))
        assert given == whole[:len(given)] and len(given) < 3
        assert samples(data[:cut], refused=refused, damaged="skip") == given
        assert refused.count == 1 and "cut short" in refused.first[0].reason
    assert len(given) == 2  # of the third it cannot be known whether it had more parts


def test_parts_are_decoded_by_their_last_extension():
    buffer = io.BytesIO()
    np.save(buffer, np.arange(6, dtype=np.float16).reshape(2, 3))
    read = decoded(TarSample("k", {"json": b'{"a": [1]}', "features.npy": buffer.getvalue(), "txt": "é".encode(),
                                   "cls": b"7", "jpg": b"\xff"}))
    assert np.array_equal(read.pop("features.npy"), np.arange(6).reshape(2, 3))
    assert read == {"json": {"a": [1]}, "txt": "é", "cls": 7, "jpg": b"\xff"}


class Trap:
    def __reduce__(self):
        return print, ("unpickled",)


def test_a_part_that_is_not_what_its_name_says_is_told_and_nothing_is_unpickled(capsys):
    pickled = io.BytesIO()
    np.save(pickled, np.array([Trap()], object), allow_pickle=True)
    for name, data in (("json", b"{"), ("json", b"[" * 100_000), ("a.npy", b"\x93NUMPY"), ("a.npy", pickled.getvalue()),
                       ("cls", b"x"), ("txt", b"\xff")):
        with pytest.raises(HeedError, match=f"Sample 'k': its part {name} cannot be read"):
            decoded(TarSample("k", {name: data}))
    assert capsys.readouterr().out == ""
