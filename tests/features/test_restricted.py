import io
import os
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import HeedError
from features.restricted import dictionary, load, plain_dtype, read_npy

VALUE = {
    "image_id": "a", "rows": np.arange(6, dtype="<f4").reshape(2, 3), "columns": np.asfortranarray(np.eye(3)[:2]),
    "count": np.int64(5), "half": np.float32(0.5), "list": [1, (2, 3.5), [None, True]], "text": "é", "bytes": b"\xff\0",
    "big": np.arange(3, dtype=">i4"), "names": np.array(["ab", "c"]), "long": 1 << 80, "empty": np.zeros((0, 4)),
}


class Calls:
    """Pickles to a call of any function."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def npy(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_plain_containers_come_back_whole(protocol):
    read = load(pickle.dumps(VALUE, protocol))
    assert list(read) == list(VALUE)
    for name, value in VALUE.items():
        np.testing.assert_equal(read[name], value, err_msg=name)


@pytest.mark.parametrize("protocol", range(6))
def test_an_array_of_objects_comes_back_with_its_shape(protocol):
    value = np.empty((2, 1), object)
    value[0, 0], value[1, 0] = {"boxes": np.ones((2, 4))}, [1, 2]
    read = load(pickle.dumps(value, protocol))
    assert read.shape == (2, 1) and read[1, 0] == [1, 2]
    assert np.array_equal(read[0, 0]["boxes"], np.ones((2, 4)))


def test_a_pickle_of_python_2_is_read():
    # pickle.dumps({"boxes": numpy.array([1, 2], "<f4"), "image_h": 480}, 2) under Python 2.7 and NumPy 1.11
    pickled = (b"\x80\x02}q\x00(U\x05boxesq\x01cnumpy.core.multiarray\n_reconstruct\nq\x02cnumpy\nndarray\nq\x03K\x00"
               b"\x85q\x04U\x01bq\x05\x87q\x06Rq\x07(K\x01K\x02\x85q\x08cnumpy\ndtype\nq\tU\x02f4q\nK\x00K\x01\x87q\x0b"
               b"Rq\x0c(K\x03U\x01<q\rNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0eb\x89U\x08\x00\x00\x80?\x00\x00"
               b"\x00@q\x0ftq\x10bU\x07image_hq\x11M\xe0\x01u.")
    read = dictionary(load(pickled))
    assert read["boxes"].tolist() == [1.0, 2.0] and read["image_h"] == 480


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(("bad", "named"), [
    (Calls(os.system, "touch attacked"), "system"), (Calls(eval, "1"), "eval"), (Calls(getattr, 1, "real"), "getattr"),
    ({"deep": [(1, Calls(eval, "1"))]}, "eval"), (np.array([Calls(os.system, "touch attacked")], object), "system"),
    (Calls(np.load, "x"), "load"), (Calls(__import__, "os"), "__import__"),
    (np.zeros(2, [("a", "<f4"), ("b", "O")]), "type 'V"), (np.array([1j]), "'c16'"),
])
def test_anything_else_is_refused_by_name_and_never_run(protocol, bad, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HeedError, match=named):
        load(pickle.dumps(bad, protocol))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("pickled", "words"), [
    (b"cnumpy\ndtype\n}S'__defaults__'\nNsb.", "sets the state of"),  # would change a function of the reader
    (b"cnumpy.core.multiarray\nscalar\n(N}S'__defaults__'\nNstb.", "sets the state of"),
    (b"(S'a'\ntR.", "damaged"), (b"I1\n(tR.", "calls something"), (b"\x80\x04\x8c\x01a\x85\x81.", "NEWOBJ"),
    (b"(inumpy\ndtype\n.", "INST"), (b"Pid\n.", "PERSID"), (b"\x82\x01.", "EXT1"),
    (b"", "damaged"), (b"\x80", "damaged"),
    (b"(" * 5000 + b"t" * 5000 + b".", "nested"), (b"]q\0h\0a.", "nested"), (b"}(I1\nI2\ntI1\ns.", "key of type tuple"),
])
def test_crafted_pickles_are_refused(pickled, words):
    with pytest.raises(HeedError, match=words):
        load(pickled)


def shaped(shape, data, code="<f4"):
    """A pickled array that claims ``shape`` and holds ``data``."""
    honest = pickle.dumps(np.zeros((7, 5), code), 2)
    claimed = pickle.dumps(shape, 2)[2:-1]
    start = honest.index(b"K\x07K\x05\x86")
    return honest[:start] + claimed + honest[honest.index(b"q", start):].replace(
        pickle.dumps(np.zeros((7, 5), code).tobytes().decode("latin1"), 2)[2:-1].split(b"q")[0],
        pickle.dumps(data, 2)[2:-1].split(b"q")[0])


@pytest.mark.parametrize(("pickled", "words"), [
    (shaped((1 << 40, 1 << 20), "x"), "needs"), (shaped((2, 3), "x"), "needs 24 bytes"),
    (b"B\xff\xff\xff\x7fabc.", "damaged"), (b"\x8e" + b"\xff" * 7 + b"\x00abc.", "damaged"),
    (b"\x96" + b"\xff" * 7 + b"\x00abc.", "damaged"), (b"Nr\xff\xff\xff\x7fj\xff\xff\xff\x7f.", None),
    (b"\x80\x02c_codecs\nencode\nq\0X\x00\x00\x01\x00" + b"a" * 65536 + b"q\x01X\x06\x00\x00\x00latin1\x86q\x02]("
     + b"h\0h\x02R" * 20000 + b"e.", "again and again"),
])
def test_nothing_is_allocated_beyond_what_the_bytes_can_hold(pickled, words):
    tracemalloc.start()
    try:
        if words is None:
            assert load(pickled) is None
        else:
            with pytest.raises(HeedError, match=words):
                load(pickled)
        assert tracemalloc.get_traced_memory()[1] < 20 * len(pickled) + 200_000
    finally:
        tracemalloc.stop()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 5), st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=3)), min_size=1))
def test_damaged_bytes_give_a_value_or_a_sentence(protocol, changes):
    data = bytearray(pickle.dumps(VALUE, protocol))
    for where, new in changes:
        at = int(where * (len(data) - 1))
        data[at:at + len(new)] = new
    try:
        load(bytes(data))
    except HeedError as error:
        assert str(error)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.integers(0, 255))
def test_a_damaged_npy_gives_an_array_or_a_sentence(where, new):
    data = bytearray(npy(np.arange(12, dtype="<f4").reshape(3, 4)))
    data[int(where * (len(data) - 1))] = new
    try:
        read_npy(bytes(data), objects=True)
    except HeedError as error:
        assert str(error)


def test_npy_files_are_read_as_numpy_reads_them():
    for array in (np.arange(6.0).reshape(2, 3), np.asfortranarray(np.eye(3)), np.float16(2), np.array(["ab"])):
        np.testing.assert_array_equal(read_npy(npy(array)), array)
    assert dictionary(read_npy(npy(np.array({"num_boxes": 3})), objects=True)) == {"num_boxes": 3}


def test_npy_of_objects_is_refused_unless_allowed_and_then_restricted():
    with pytest.raises(HeedError, match="pickled objects"):
        read_npy(npy(np.array({"a": 1})))
    with pytest.raises(HeedError, match="eval"):
        read_npy(npy(np.array(Calls(eval, "1"), object)), objects=True)


def test_a_npy_that_promises_more_than_it_holds_is_refused():
    data = npy(np.zeros((10, 4), "<f4"))
    with pytest.raises(HeedError, match="needs 160 bytes where 159 are left"):
        read_npy(data[:-1])
    with pytest.raises(HeedError, match="needs"):
        read_npy(data.replace(b"(10, 4), }          ", b"(9999999999999, 4),}"))
    with pytest.raises(HeedError, match=r"no \.npy"):
        read_npy(b"PK\x03\x04")


@pytest.mark.parametrize("name", ["O", "V8", "f4,f4", "{'a': 1}", "M8[s]", "S0", "f99", ""])
def test_types_that_are_no_numbers_are_refused(name):
    with pytest.raises(HeedError):
        plain_dtype(name)
