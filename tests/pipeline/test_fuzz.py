"""Every reader on damaged and made-up files: rows or a sentence, soon, and in little memory."""

import dataclasses
import importlib.util
import io
import json
import random
import struct
import subprocess
import sys
import tarfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("msgpack")
pytest.importorskip("h5py")

from benchmarks.fuzz import __main__ as fuzz
from benchmarks.fuzz import inputs
from benchmarks.fuzz.targets import TARGETS, Target, shard_seeds, written
from features.errors import HeedError
from pipeline.exchange import EXCHANGE
from pipeline.importer import ImportReader, open_import
from pipeline.sealed import sealed

ROOT = Path(__file__).parents[2]
DEFLATED = ("npz", "uniter-npz", "uniter-lmdb", "milvlg-npz", "qvhighlights-npz", "parquet", "list.parquet")
"""What may rightly hold a thousand times its size, in whole numbers of a byte, each of which becomes a float32, and in
features of one number a clip, which has two numbers of its own: 40 bytes, working room included.
"""


def tried(name, data):
    """Read ``data``; what went wrong, in words. More than 57 MiB for a file of 1 KiB, or seconds, is a fault too."""
    tracemalloc.start()
    began = time.perf_counter()
    try:
        TARGETS[name].read(data)
        words = ""
    except HeedError as error:
        words = str(error)
        assert words
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert time.perf_counter() - began < 5
    assert peak < (16 << 20) + (40_000 if name in DEFLATED else 100) * len(data)
    return words


def test_every_import_format_is_a_target():
    assert set(EXCHANGE) <= set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_sound_files_are_read(name):
    if name not in ("tar source", "samples"):  # of which some seeds are not sound
        told = [tried(name, data) for data in TARGETS[name].seeds()]
        assert "" in told and all(not words or "bytearray" in words for words in told)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False))
def test_nothing_but_heeds_error_leaves_a_reader(name, rng):
    tried(name, TARGETS[name].example(rng))


def npy(header, body=b"", **told):
    return inputs.npy_of(repr(header).encode(), body, **told)


def tar_of(*members, pax=None):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, body in members:
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(body), pax or {}
            tar.addfile(info, io.BytesIO(body))
    return file.getvalue()


def with_size(data, size):
    """A tar whose first header says another size, its checksum right."""
    head = bytearray(data[:512])
    head[124:136] = b"%011o\0" % size
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + data[512:]


ARROW, SHARD = shard_seeds("arrow")[0], shard_seeds("webdataset")[0]
KEY_ENDS = struct.pack("<4i", 0, 5, 10, 15)
IDENTITY = json.loads(TARGETS["store.json"].seeds()[1])
RECORD = json.loads(TARGETS["record"].seeds()[1])
DEEP = json.loads("[" * 900 + "]" * 900)
PLAIN = {"descr": "<f4", "fortran_order": False}
FOUND = [
    ("npy", npy({**PLAIN, "shape": (0, 1 << 63)}), "which cannot be"),
    ("scan-npy", npy({**PLAIN, "shape": (3, 2, 4)}, version=(2, 0), told=(1 << 32) - 1), "no .npy array"),
    ("scan-npy", npy({**PLAIN, "shape": (1 << 40, 1 << 12, 1 << 12)}, bytes(99)), "needs|has shape"),
    ("arrow shard", ARROW.replace(KEY_ENDS, struct.pack("<4i", 0, 1 << 30, -5, 15)), "cannot be read as Arrow"),
    ("arrow shard", ARROW.replace(b"features", b"\xdbeatures"), "cannot be read as Arrow|does not hold the fields"),
    ("tar shard", SHARD[:512 + 20], "cut short"),
    ("tar shard", tar_of(("9" * 30 + ".json", b"{}")), ""),
    ("tar source", with_size(tar_of(("a.jpg", b""), pax={"comment": "x"}), (1 << 31) - 1), "cannot be read"),
    ("store.json", sealed({**IDENTITY, "source": {}}), "damaged.*has no inputs"),
    ("store.json", sealed({**IDENTITY, "source": 1.5}), "damaged.*not an object"),
    ("store.json", sealed({**IDENTITY, "plan": {"shard_rows": 0}}), "damaged.*no plan"),
    ("store.json", sealed({**IDENTITY, "source": {"inputs": 1 << 52, "digest": ""}}), "damaged.*no plan"),
    ("store.json", sealed({**IDENTITY, "fields": {"a": {"dtype": "float99", "shape": []}}}), "damaged.*float99"),
    ("store.json", sealed({**IDENTITY, "fields": {"a": {"dtype": "int8", "shape": [1 << 40]}}}), "damaged"),
    ("store.json", b'{"heed_store": ' + b"[" * 100_000, "damaged"),
    ("record", sealed({**RECORD, "rows": "3"}), "rows is '3', not a whole number"),
    ("record", sealed({**RECORD, "bytes": -1}), "bytes is '-1'"),
    ("record", sealed({**RECORD, "failed": [{"key": "a"}]}), "has no reason"),
    ("record", sealed({**RECORD, "failed": 7}), "not a list"),
    ("list.jsonl", b'{"key": "a", "path": "a.jpg"}\nnull\n', "Row 2 of .* lacks a key or a path"),
    ("list.jsonl", b'{"key": "a", "path": {"b": 1}}\n', "lacks a key or a path"),
    ("list.jsonl", b'{"key": "a", "path": "a.jpg", "boxes": 3}\n', "boxes are not a list"),
    ("list.jsonl", b"[" * 100_000, "cannot be read"),
    ("list.csv", b"key,path\na,b\0c\n", ""),
    ("list.csv", b"key,path\na," + b"b" * 200_000 + b"\n", "cannot be read: field larger"),
]


@pytest.mark.parametrize(("name", "data", "words"), FOUND, ids=[f"{i}-{found[0]}" for i, found in enumerate(FOUND)])
def test_what_was_found_once_is_told_in_words(name, data, words):
    import re

    assert re.search(words, tried(name, data), re.S)


def test_a_key_that_is_no_text_is_stored_as_text_that_can_be_written(tmp_path):
    """A file's name need not be UTF-8, a key must be."""
    import os

    from pipeline.sources import open_source

    (tmp_path / "a").mkdir()
    with open(os.fsencode(tmp_path / "a") + b"/caf\xe9.jpg", "wb") as file:  # noqa: PTH123
        file.write(b"\xff\xd8")
    item, = open_source(str(tmp_path / "a")).items
    assert item.key == "caf\\udce9.jpg" and Path(item.uri).read_bytes() == b"\xff\xd8"
    assert len(open_source(str(tmp_path / "a")).digest()) == 64


def test_a_line_without_a_key_fails_by_its_place():
    sound = TARGETS["butd-tsv"].seeds()[0]
    path = written(sound + b"\t" + sound.split(b"\n")[0].split(b"\t", 1)[1] + b"\n", ".tsv")
    source, spec = open_import("butd-tsv", path, "float32")
    *_, (item, result) = ImportReader(spec).read(source.items)
    path.unlink()
    assert item.key == f"line at byte {len(sound)}" and str(result) == "has no key: its first column is empty"


@pytest.fixture
def watch(tmp_path, monkeypatch):
    def with_reader(read, exact=True):
        monkeypatch.setitem(TARGETS, "made up", Target("made up", lambda: [b"x"], read))
        return fuzz.Watch("made up", tmp_path / "notes", exact)

    return with_reader


def noted(watch):
    return [json.loads(line)["words"] for line in watch.notes.read_text().splitlines()] if watch.notes.exists() else []


def raising(error):
    def read(_):
        raise error
    return read


def test_the_campaign_notes_another_error_once_with_its_place(watch):
    watching = watch(raising(KeyError("x")))
    for _ in range(3):
        watching(b"data")
    assert len(noted(watching)) == 1 and noted(watching)[0].startswith("KeyError at test_fuzz.py:")
    assert watching.runs == 3


def test_the_campaign_notes_memory_time_and_empty_words_and_allows_heeds_error(watch, monkeypatch):
    monkeypatch.setattr(fuzz, "SLOW", 0.01)
    for read, words in ((lambda _: np.empty(1 << 28, np.uint8), "asked for more than 16 MiB"),
                        (lambda _: time.sleep(0.02), "took more than 0 s"),
                        (raising(HeedError("")), "an error without words")):
        watching = watch(read)
        watching.notes.unlink(missing_ok=True)
        watching(b"data")
        assert words in noted(watching)
    watching = watch(raising(HeedError("is bad")))
    watching.notes.unlink()
    watching(b"data")
    assert not noted(watching)


def test_examples_follow_from_the_seed():
    one, other = fuzz.examples("pickle", 3), fuzz.examples("pickle", 3)
    assert [one() for _ in range(5)] == [other() for _ in range(5)] != [fuzz.examples("pickle", 4)() for _ in range(5)]


@pytest.mark.slow
@pytest.mark.parametrize("guided", [False, True])
def test_a_target_runs_in_a_process_of_its_own_and_is_counted(guided):
    if guided and importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed")
    told = fuzz.campaign("npy", 1.5, 0, guided)
    assert told["findings"] == [] and told["executions"] > 10 and told["guided_by_atheris"] is guided
    assert not guided or told["edges"] > 20


def test_a_process_that_dies_is_a_finding_with_the_bytes_that_killed_it(monkeypatch):
    died = "import sys, pathlib, os; pathlib.Path(sys.argv[1], 'last').write_bytes(b'bad'); os.abort()"
    monkeypatch.setattr(fuzz, "MOST_DEATHS", 1)
    run = subprocess.run
    monkeypatch.setattr(fuzz.subprocess, "run", lambda command, **options: run(
        [sys.executable, "-c", died, command[-2]], **options))
    told = fuzz.campaign("npy", 1, 0, False)
    assert [bytes.fromhex(each["data"]) for each in told["findings"]] == [b"bad"]
    assert "died with status -6" in told["findings"][0]["words"]


def test_the_published_campaign_found_nothing_more():
    if not fuzz.RESULT.exists():
        pytest.skip("the campaign has not been run: python -m benchmarks.fuzz")
    result = json.loads(fuzz.RESULT.read_text())
    assert result["findings"] == 0 and set(result["targets"]) == set(TARGETS) and result["executions"] > 50_000


def test_mutations_change_at_most_what_they_say():
    data = bytes(range(256)) * 4
    for seed in range(200):
        assert len(inputs.mutated(data, random.Random(seed))) <= 2 * len(data) + 4 * 64
    assert dataclasses.is_dataclass(Target)
