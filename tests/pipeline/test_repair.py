import json
from dataclasses import replace

import pytest

import heed
from features.detectors.detector import DetectorOptions
from features.errors import HeedError
from pipeline.commands.extract import ExtractRegions
from pipeline.commands.jobs import JobOptions
from pipeline.exporter import export
from pipeline.identity import IDENTITY_FILE, Identity, ShardRecord
from pipeline.index import INDEX_FILE
from pipeline.inputs import list_path
from pipeline.job import run_job
from pipeline.repair import maker, told
from pipeline.sealed import write_sealed
from pipeline.store import Store
from pipeline.verify import verify
from tests.pipeline.toy import Toy, shard_bytes, toy_source


@pytest.fixture
def imported(tmp_path):
    """A store imported from a TSV of 23 images, in five shards, through the command line."""
    run_job(Toy(), toy_source(tmp_path / "in", 23), tmp_path / "toy", inline=True)
    export("butd-tsv", Store.open(tmp_path / "toy"), tmp_path / "f.tsv")
    arguments = ["import", "butd-tsv", str(tmp_path / "f.tsv"), str(tmp_path / "store"), "--shard-rows", "5"]
    assert heed.main([*arguments, "--dtype", "float32"]) == 0
    return tmp_path / "store"


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def repair(store, *options):
    return heed.main(["store", "repair", str(store), *options])


def changes(store):
    """Which shard files were written: a file renamed into place has another inode."""
    return {path.name: path.stat().st_ino for path in (store / "shards").glob("*.arrow")}


def is_sound(store):
    return all(not problems for _, problems in verify(store))


def test_only_damaged_and_missing_shards_are_made_again_with_the_same_bytes(imported, capsys):
    before, inodes = shard_bytes(imported), changes(imported)
    flip(imported / "shards" / "000001.arrow")
    (imported / "shards" / "000003.arrow").unlink()
    flip(imported / "shards" / "000004.json")
    assert repair(imported) == 0
    assert shard_bytes(imported) == before and is_sound(imported)
    kept = {name for name, inode in changes(imported).items() if inode == inodes[name]}
    assert {"000000.arrow", "000002.arrow"} <= kept and "3 parts repaired" in capsys.readouterr().out
    assert repair(imported) == 0 and "nothing to repair" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_an_index_is_written_again_without_the_source(imported, tmp_path, damage):
    (tmp_path / "f.tsv").unlink()
    path = imported / INDEX_FILE
    before = path.read_bytes()
    path.unlink() if damage == "missing" else flip(path)
    assert repair(imported) == 0 and path.read_bytes() == before and is_sound(imported)


def test_a_source_that_is_gone_is_told_and_nothing_is_touched(imported, tmp_path, capsys):
    flip(imported / "shards" / "000001.arrow")
    (tmp_path / "f.tsv").rename(tmp_path / "moved.tsv")
    before = shard_bytes(imported)
    assert repair(imported) == 2 and shard_bytes(imported) == before
    assert "f.tsv, is not there any more" in capsys.readouterr().err
    assert repair(imported, "--source", str(tmp_path / "moved.tsv")) == 0 and is_sound(imported)


def test_inputs_of_a_damaged_shard_that_are_gone_are_told_and_nothing_is_touched(imported, tmp_path, capsys):
    flip(imported / "shards" / "000004.arrow")
    lines = (tmp_path / "f.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "f.tsv").write_text("".join(lines[:-1]))
    before = shard_bytes(imported)
    assert repair(imported) == 2 and shard_bytes(imported) == before
    assert "does not hold 1 input ('a.b/0022.bin') any more, of which shard 000004" in capsys.readouterr().err


def test_a_source_that_has_changed_elsewhere_still_repairs_a_shard(imported, tmp_path):
    before = shard_bytes(imported)
    flip(imported / "shards" / "000001.arrow")
    lines = (tmp_path / "f.tsv").read_text().splitlines(keepends=True)
    new = [lines[0].replace("a.b/0000", f"a.b/{key}") for key in ("-before", "0000-between", "behind")]
    (tmp_path / "f.tsv").write_text("".join([new[0], lines[0], new[1], *lines[1:-1], new[2]]))
    assert repair(imported) == 0 and shard_bytes(imported) == before and is_sound(imported)


@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_a_list_of_inputs_is_written_again_from_the_source(imported, damage, capsys):
    path = list_path(imported, 0)
    before = path.read_bytes()
    path.unlink() if damage == "missing" else flip(path)
    assert [part for part, problems in verify(imported) if problems] == ["inputs"]
    assert repair(imported) == 0 and path.read_bytes() == before and is_sound(imported)


def test_other_bytes_than_the_former_ones_are_told(imported, tmp_path, capsys):
    """The same keys and sizes with other numbers: the digest of a source does not see into its files."""
    data = (tmp_path / "f.tsv").read_bytes()
    place = data.index(b"\n") - 20
    other = b"B" if data[place:place + 1] == b"A" else b"A"
    (tmp_path / "f.tsv").write_bytes(data[:place] + other + data[place + 1:])
    flip(imported / "shards" / "000000.arrow")
    assert repair(imported) == 1
    assert "shard 000000 has other bytes than before" in capsys.readouterr().out


def test_a_moved_store_is_repaired_where_it_is(imported, tmp_path):
    before = shard_bytes(imported)
    moved = imported.rename(tmp_path / "elsewhere")
    (moved / "shards" / "000002.json").unlink()
    assert repair(moved) == 0 and shard_bytes(moved) == before and not imported.exists()


def test_a_converted_store_is_repaired_from_the_store_it_came_from(imported, tmp_path):
    out = tmp_path / "out"
    assert heed.main(["store", "convert", str(imported), str(out), "--format", "webdataset", "--shard-rows", "7"]) == 0
    before = shard_bytes(out)
    flip(out / "shards" / "000001.tar")
    assert repair(out) == 0 and shard_bytes(out) == before


def test_failures_of_the_first_run_are_no_fault(tmp_path):
    run_job(Toy(), toy_source(tmp_path / "in", 23), tmp_path / "toy", inline=True)
    export("butd-tsv", Store.open(tmp_path / "toy"), tmp_path / "f.tsv")
    lines = (tmp_path / "f.tsv").read_text().splitlines(keepends=True)
    lines[7] = lines[7].split("\t")[0] + "\tnonsense\n"
    (tmp_path / "f.tsv").write_text("".join(lines))
    store = tmp_path / "store"
    assert heed.main(["import", "butd-tsv", str(tmp_path / "f.tsv"), str(store), "--shard-rows", "5"]) == 3
    before = shard_bytes(store)
    flip(store / "shards" / "000001.arrow")
    assert repair(store) == 0 and shard_bytes(store) == before


def test_a_job_of_another_program_makes_shards_again_by_number(tmp_path, capsys):
    source, store = toy_source(tmp_path / "in", 23), tmp_path / "store"
    run_job(Toy(), source, store, shard_rows=5, inline=True)
    before = shard_bytes(store)
    flip(store / "shards" / "000001.arrow")
    flip(store / "shards" / "000002.json")
    assert repair(store) == 2 and "again=" in capsys.readouterr().err
    summary = run_job(Toy(), source, store, shard_rows=5, inline=True, again=[1, 2])
    assert summary.extracted == 10 and shard_bytes(store) == before


def test_an_extraction_is_told_whole_but_for_how_it_was_run(tmp_path):
    """The command that `maker` gives is the one that was told, with the paths of today."""
    command = ExtractRegions(
        str(tmp_path), tmp_path / "store", "scenes", JobOptions("webdataset", "float32", 7, 3, "auto", True, True),
        DetectorOptions(boxes=(8, 24), nms=0.5), batch=3, max_pixels=99)
    source = {"uri": str(tmp_path), "inputs": 0, "digest": "", "command": told("extract regions", command)}
    (tmp_path / "moved").mkdir()
    Identity("regions", "arrow", {}, {}, json.loads(json.dumps(source)), 7).write(tmp_path / "moved")
    job = replace(command.job, actors=0, address="", retry_failed=False)
    assert maker(tmp_path / "moved") == replace(command, store=tmp_path / "moved", job=job)


@pytest.mark.parametrize("options", ["text", {"job": 3}, {"format": 5, "unknown": {}}, None])
def test_a_command_that_cannot_be_run_is_told(imported, options):
    value = Identity.read(imported).to_json()
    value["source"]["command"] = {"name": "extract regions", "options": options}
    write_sealed(imported / IDENTITY_FILE, value)
    (imported / "shards" / "000001.json").unlink()
    assert repair(imported) == 2
    assert ShardRecord.read(imported, 1) is None and ShardRecord.read(imported, 0) is not None


def test_keys_shared_by_two_inputs_are_beyond_repair(imported, monkeypatch, capsys):
    monkeypatch.setattr("pipeline.verify.verify", lambda *_: iter([("keys", ["key 'a' is twice"])]))
    assert repair(imported) == 1 and "cannot be repaired" in capsys.readouterr().out


def test_maker_needs_a_store(tmp_path):
    with pytest.raises(HeedError, match="is not a store"):
        maker(tmp_path)
