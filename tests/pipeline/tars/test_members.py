import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.tars.members import DamagedTar, TarReader
from tests.pipeline.tars.made import made_tar, special

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=300).filter(
    lambda name: not name.endswith("/") and len(name.encode()) < 600)


class Pipe(io.RawIOBase):
    """Bytes that come a few at a time and cannot be sought."""

    def __init__(self, data, most=700):
        self.data, self.most = io.BytesIO(data), most

    def readable(self):
        return True

    def read(self, count=-1):
        return self.data.read(min(count, self.most))

    def seekable(self):
        return False


def members(file):
    reader = TarReader(file, "some.tar")
    found = []
    while member := reader.next():
        found.append((member, reader.read(member)))
    return found


@given(entries=st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=6),
       format=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
@settings(deadline=None, max_examples=30)
def test_members_are_those_that_python_finds_in_every_format_seeking_or_not(entries, format):
    try:
        data = made_tar(entries, format)
    except ValueError:  # a name that ustar cannot hold
        return
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [(m.name, m.offset_data, m.size, tar.extractfile(m).read()) for m in tar if m.isfile()]
    for file in (io.BytesIO(data), Pipe(data)):
        assert [(m.name, m.offset, m.size, content) for m, content in members(file)] == expected
    headers = TarReader(io.BytesIO(data), "some.tar")
    assert [(headers.next().name) for _ in expected] == [name for name, *_ in expected] and headers.next() is None


def test_numbers_too_large_for_digits_are_read_in_base_256_and_a_sparse_member_is_passed_over():
    large = tarfile.TarInfo("large.bin")
    large.size = 9 << 30
    assert large.tobuf(tarfile.GNU_FORMAT)[124] == 0x80
    member = TarReader(Pipe(large.tobuf(tarfile.GNU_FORMAT)), "t").next()
    assert member.size == 9 << 30 and "9663676416 bytes" in member.refusal
    # What GNU tar -S writes: a map of the holes in the header and, as it says at byte 482, in one more block.
    sparse = special("holes", tarfile.GNUTYPE_SPARSE)
    sparse.size = 3
    header = bytearray(sparse.tobuf(tarfile.GNU_FORMAT))
    header[482] = 1
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + sum(header[156:]) + 8 * 32)
    data = bytes(header) + bytes(512) + b"abc".ljust(512, b"\0") + made_tar([("after", b"x")])
    (holes, _), (after, content) = members(io.BytesIO(data))
    assert "sparse" in holes.refusal and (after.name, content) == ("after", b"x")


def test_what_must_not_be_read_is_told_why():
    entries = [("../up.txt", b"1"), ("/etc/passwd", b"2"), ("a/../../b.txt", b"3"), ("..\\w.txt", b"4"),
               special("soft.txt", tarfile.SYMTYPE, "/etc/passwd"), special("hard.txt", tarfile.LNKTYPE, "good.txt"),
               special("pipe.txt", tarfile.FIFOTYPE), special("folder", tarfile.DIRTYPE), ("good..txt", b"5")]
    found = members(io.BytesIO(made_tar(entries)))
    assert [(m.name, m.refusal.split(";")[0].split(" (")[0]) for m, _ in found] == [
        ("../up.txt", "has a name that leads out of the tar"), ("/etc/passwd", "has a name that leads out of the tar"),
        ("a/../../b.txt", "has a name that leads out of the tar"),
        ("..\\w.txt", "has a name that leads out of the tar"), ("soft.txt", "is a link"), ("hard.txt", "is a link"),
        ("pipe.txt", "is no file but a device, a pipe or something unknown"), ("good..txt", "")]


@pytest.mark.parametrize("seekable", [True, False])
def test_a_tar_cut_anywhere_is_told_after_what_was_whole(seekable):
    data = made_tar([("a.txt", b"x" * 600), ("b.txt", b"y" * 10)])
    assert len(members(io.BytesIO(data[:2560 + 512]))) == 2  # one block of zeros is an end
    for cut in [*range(0, 2561, 64), 512, 513, 1112, 1111, 2058, 2057]:
        reader, found = TarReader(io.BytesIO(data[:cut]) if seekable else Pipe(data[:cut]), "cut.tar"), []
        with pytest.raises(DamagedTar, match=r"cut\.tar is cut short: it ends at byte"):
            while member := reader.next():
                found.append(reader.read(member))
        # Content is whole at 512 + 600 and, behind the first one's padding and a header, at 2048 + 10.
        assert found == [b"x" * 600, b"y" * 10][:(cut >= 1112) + (cut >= 2058)]


@given(place=st.integers(0, 511), bit=st.integers(0, 7))
@settings(deadline=None, max_examples=100)
def test_a_changed_bit_in_a_header_never_ends_a_tar_in_silence(place, bit):
    """As it would with Python's tarfile. In the checksum's own field a change may leave its number as it was."""
    whole = made_tar([("a.txt", b"1"), ("b.txt", b"2")])
    data = bytearray(whole)
    data[1024 + place] ^= 1 << bit
    try:
        assert members(Pipe(bytes(data))) == members(Pipe(whole)) and 148 <= place < 156
    except DamagedTar as error:
        assert "some.tar is damaged at byte 1024" in str(error)


@given(data=st.binary(max_size=3000), where=st.integers(0, 2500), pax=st.booleans())
@settings(deadline=None, max_examples=100)
def test_any_bytes_give_members_or_a_damaged_tar(data, where, pax):
    whole = made_tar([("é" * 90, b"1"), ("b.txt", b"2" * 700)], tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT)
    for file in (data, whole[:where] + data, whole[:where] + data[:40] + whole[where + 40:]):
        try:
            members(io.BytesIO(file))
        except DamagedTar as error:
            assert "some.tar" in str(error)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"0"])
def test_an_absurd_size_takes_no_memory(kind):
    import tracemalloc

    huge = special("x", kind)
    huge.size = 1 << 40
    data = huge.tobuf(tarfile.GNU_FORMAT) + bytes(2000)
    tracemalloc.start()
    with pytest.raises(DamagedTar):
        members(Pipe(data))
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_a_pax_header_that_is_not_made_of_records_is_damage():
    for content in (b"99 path=a\n", b"path=a\n", b"5 a\n", b"0 a=b\n", b"-9 a=b\n"):
        header = special("x", b"x")
        header.size = len(content)
        with pytest.raises(DamagedTar, match="pax header"):
            members(io.BytesIO(header.tobuf() + content.ljust(512, b"\0") + made_tar([("a", b"")])))
