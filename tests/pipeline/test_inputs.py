import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import heed
from features.errors import HeedError
from pipeline.commands.extract import ExtractRegions
from pipeline.commands.jobs import JobOptions
from pipeline.exporter import export
from pipeline.identity import IDENTITY_FILE, Identity, Part
from pipeline.inputs import list_path
from pipeline.job import run_job
from pipeline.repair import told
from pipeline.sources import Item, Source
from pipeline.store import Store
from pipeline.verify import verify
from tests.pipeline.test_limits import Detector
from tests.pipeline.toy import Toy, ToyReader, shard_bytes, toy_regions

FIRST = ["b", "d", "f", "h", "k"]
GROWN = ["a", "b", "c", "d", "e", "f", "g", "h", "k", "z"]


def source(folder, keys, bad=()):
    """Files as a folder lists them: sorted by key."""
    folder.mkdir(parents=True, exist_ok=True)
    items = []
    for key in sorted(keys):
        data = b"bad" if key in bad else key.encode()
        (folder / key).write_bytes(data)
        items.append(Item(key, str(folder / key), len(data)))
    return Source(str(folder), items, 0)


def run(tmp_path, keys, name="store", bad=(), spec=None, **options):
    return run_job(spec or Toy(), source(tmp_path / "in", keys, bad), tmp_path / name,
                   **{"shard_rows": 2, "inline": True, **options})


def sound(path):
    return all(not problems for _, problems in verify(path))


@pytest.mark.parametrize("format", ["arrow", "webdataset"])
def test_new_inputs_go_into_new_shards_and_the_old_ones_keep_their_bytes(tmp_path, capsys, format):
    run(tmp_path, FIRST, format=format, bad=["d"])
    before = shard_bytes(tmp_path / "store")
    summary = run(tmp_path, GROWN, format=format, bad=["d", "g"], append=True)
    after = shard_bytes(tmp_path / "store")
    assert {name: after[name] for name in before} == before and len(after) == 2 * (3 + 3)
    assert (summary.inputs, summary.stored, summary.appended, summary.extracted, summary.status) == (10, 8, 5, 5, 3)
    assert "5 new images were appended" in summary.text()
    store = Store.open(tmp_path / "store")
    assert list(store.keys()) == ["b", "f", "h", "k", "a", "c", "e", "z"]
    assert [failure["key"] for failure in store.failures()] == ["d", "g"]
    assert [store.identity.shard_inputs(number) for number in range(6)] == [
        range(2), range(2, 4), range(4, 5), range(5, 7), range(7, 9), range(9, 10)]
    for row, key in enumerate(store.keys()):
        read = store.regions(row)
        assert np.array_equal(read.features, toy_regions(key.encode()).features.astype(np.float16))
    assert sound(store.path) and store.identity.to_json()["heed_store"] == 2
    assert heed.main(["store", "info", str(store.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"] == [5, 5]


def test_nothing_new_changes_nothing(tmp_path):
    run(tmp_path, FIRST)
    files = {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}
    summary = run(tmp_path, FIRST, append=True)
    assert (summary.appended, summary.extracted) == (0, 0)
    assert files == {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}


def test_an_append_can_begin_a_store(tmp_path):
    run(tmp_path, FIRST)
    run(tmp_path, FIRST, name="other", append=True)
    assert shard_bytes(tmp_path / "other") == shard_bytes(tmp_path / "store")
    assert not Identity.read(tmp_path / "other").appended


def test_a_grown_source_without_append_is_refused_with_advice_and_nothing_is_touched(tmp_path):
    run(tmp_path, FIRST)
    before = shard_bytes(tmp_path / "store"), (tmp_path / "store" / IDENTITY_FILE).read_bytes()
    with pytest.raises(HeedError, match=r"for 5 inputs.*has 5 inputs \('a', …\) that the store has not.*--append"):
        run(tmp_path, GROWN)
    assert before == (shard_bytes(tmp_path / "store"), (tmp_path / "store" / IDENTITY_FILE).read_bytes())


def test_inputs_that_are_gone_are_told_and_what_is_stored_of_them_stays(tmp_path):
    run(tmp_path, FIRST)
    with pytest.raises(HeedError, match=r"does not have 1 input \('b'\) any more.*--append"):
        run(tmp_path, FIRST[1:])
    summary = run(tmp_path, [*FIRST[1:], "m"], append=True)
    assert list(summary.vanished) == ["b"] and (summary.stored, summary.appended, summary.status) == (6, 1, 0)
    assert "'b'" in summary.text() and Store.open(tmp_path / "store").find("b") == 0 and sound(tmp_path / "store")


class Stops(ToyReader):
    def __init__(self, spec):
        super().__init__(spec)
        self.left = spec.left

    def read(self, items):
        for item, row in super().read(items):
            if not self.left:
                raise KeyboardInterrupt
            self.left -= 1
            yield item, row


class Stopping(Toy):
    """A toy whose reader is stopped after ``left`` inputs."""

    def __init__(self, left):
        super().__init__()
        object.__setattr__(self, "left", left)

    def open(self):
        return Stops(self)

    open_to_plan = open


@pytest.mark.parametrize("left", range(6))
def test_an_append_that_was_killed_goes_on_to_the_same_bytes(tmp_path, left):
    run(tmp_path, FIRST, name="whole", bad=["d"])
    run(tmp_path, GROWN, name="whole", bad=["d", "e"], append=True)
    run(tmp_path, FIRST, bad=["d"])
    if left < 5:
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, GROWN, bad=["d", "e"], spec=Stopping(left), append=True)
        with pytest.raises(HeedError, match="is not finished"):
            Store.open(tmp_path / "store")
    run(tmp_path, GROWN, bad=["d", "e"], append=left % 2 == 1)  # the plan is settled: with or without
    assert shard_bytes(tmp_path / "store") == shard_bytes(tmp_path / "whole") and sound(tmp_path / "store")


@pytest.mark.parametrize("step", ["list", "store.json"])
def test_an_append_killed_while_it_writes_its_plan_is_begun_again(tmp_path, monkeypatch, step):
    run(tmp_path, FIRST)
    target = "pipeline.inputs._write_list" if step == "list" else "pipeline.identity.Identity.write"
    with monkeypatch.context() as patch:
        patch.setattr(target, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, GROWN, append=True)
    assert sound(tmp_path / "store") and len(Store.open(tmp_path / "store")) == 5
    assert run(tmp_path, [*GROWN, "zz"], append=True).appended == 6 and sound(tmp_path / "store")


def test_a_store_killed_before_its_list_is_written_goes_on(tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("pipeline.inputs._write_list", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        run(tmp_path, FIRST)
    assert run(tmp_path, FIRST).extracted == 5 and sound(tmp_path / "store")
    assert run(tmp_path, GROWN, append=True).appended == 5 and sound(tmp_path / "store")


def test_an_unfinished_store_is_finished_before_what_is_new(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, FIRST, spec=Stopping(3))
    run(tmp_path, FIRST, name="whole")
    run(tmp_path, GROWN, name="whole", append=True)
    run(tmp_path, GROWN, append=True)
    assert shard_bytes(tmp_path / "store") == shard_bytes(tmp_path / "whole")


def test_an_input_that_is_gone_before_it_was_stored_is_a_counted_failure(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, FIRST, spec=Stopping(1))
    summary = run(tmp_path, [*FIRST[:1], *FIRST[2:]], append=True)
    assert summary.failures == [{"key": "d", "reason": "is not in the source any more"}] and sound(tmp_path / "store")
    assert run(tmp_path, FIRST, retry_failed=True).status == 0 and Store.open(tmp_path / "store").find("d") == 1


@given(steps=st.lists(st.sets(st.sampled_from("abcdefghij"), min_size=1), min_size=1, max_size=4))
@settings(max_examples=8, deadline=None)
def test_however_a_source_grows_and_shrinks_every_input_ever_seen_is_stored_once(steps, tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("grow")
    seen: set[str] = set()
    for number, keys in enumerate(steps):
        before = shard_bytes(tmp_path / "store") if number else {}
        summary = run(tmp_path, keys, append=True)
        assert summary.appended == (len(keys - seen) if number else 0)
        assert set(summary.vanished) == (seen - keys if number else set())
        seen |= keys
        after = shard_bytes(tmp_path / "store")
        assert all(after[name] == data for name, data in before.items())
    store = Store.open(tmp_path / "store")
    assert sorted(store.keys()) == sorted(seen) and sound(store.path)
    assert all(store.shard(*store.locate(store.find(key))[:1]).key(store.locate(store.find(key))[1]) == key
               for key in seen)


def test_other_boxes_for_a_stored_key_are_refused(tmp_path):
    listed = source(tmp_path / "in", FIRST)
    boxes = [np.array([[0, 0, n, n]], np.float32) for n in range(1, 6)]
    given_boxes = [replace(item, boxes=box) for item, box in zip(listed.items, boxes, strict=True)]
    run_job(Toy(), Source("x", given_boxes, 0), tmp_path / "store", shard_rows=2, inline=True)
    changed = [*given_boxes[:2], replace(given_boxes[2], boxes=boxes[0]), *given_boxes[3:]]
    with pytest.raises(HeedError, match="boxes given for 'f' are not those"):
        run_job(Toy(), Source("x", changed, 0), tmp_path / "store", shard_rows=2, inline=True, append=True)


@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_a_lost_list_is_found_by_verify_and_brought_back_from_the_shards(tmp_path, part, damage):
    run(tmp_path, FIRST, bad=["d"])
    run(tmp_path, GROWN, bad=["d"], append=True)
    path = list_path(tmp_path / "store", part)
    before = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(before.replace(b"[", b"{", 1))
    problem, = [problems[0] for name, problems in verify(tmp_path / "store") if problems]
    assert path.name in problem and "heed store repair" in problem
    run(tmp_path, [*GROWN, "zz"], bad=["d"], append=True)
    assert path.read_bytes() == before and sound(tmp_path / "store")


def test_a_list_that_nothing_tells_any_more_is_refused(tmp_path):
    run(tmp_path, FIRST)
    list_path(tmp_path / "store", 0).unlink()
    with pytest.raises(HeedError, match=r"000000\.jsonl is missing, and what .* holds now does not tell"):
        run(tmp_path, ["a", *FIRST[1:]], append=True)


def test_a_shard_with_other_inputs_than_planned_is_told(tmp_path):
    run(tmp_path, FIRST)
    other = tmp_path / "other"
    run(tmp_path, ["b", "dd", *FIRST[2:]], name="other")
    for name in ("000000.arrow", "000000.json"):
        (tmp_path / "store" / "shards" / name).write_bytes((other / "shards" / name).read_bytes())
    assert dict(verify(tmp_path / "store"))["inputs"] == [
        "shard 000000 has other inputs in the place of 1 that were planned ('d')"]


def test_an_appended_store_is_checked_shard_by_shard(tmp_path):
    run(tmp_path, FIRST)
    run(tmp_path, GROWN, append=True)
    path = tmp_path / "store" / "shards" / "000004.arrow"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    (tmp_path / "store" / "shards" / "000001.json").unlink()
    assert [part for part, problems in verify(tmp_path / "store") if problems] == ["shard 000001", "shard 000004"]
    assert [part for part, problems in verify(tmp_path / "store", quick=True) if problems] == ["shard 000001"]


def test_an_imported_file_that_has_grown_is_appended_and_repaired(tmp_path, capsys):
    run(tmp_path, GROWN, name="toy")
    export("butd-tsv", Store.open(tmp_path / "toy"), tmp_path / "f.tsv")
    lines = (tmp_path / "f.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "f.tsv").write_text("".join(lines[1::2]))
    command = ["import", "butd-tsv", str(tmp_path / "f.tsv"), str(tmp_path / "store"), "--shard-rows", "2"]
    assert heed.main(command) == 0
    (tmp_path / "f.tsv").write_text("".join(lines))
    assert heed.main(command) == 2 and "--append" in capsys.readouterr().err
    assert heed.main([*command, "--append"]) == 0
    before = shard_bytes(tmp_path / "store")
    assert "append" not in Identity.read(tmp_path / "store").source["command"]["options"]
    for number in (0, 4):
        (tmp_path / "store" / "shards" / f"{number:06d}.arrow").unlink()
    (tmp_path / "f.tsv").write_text("".join([*lines, lines[0].replace("a", "more", 1)]))
    assert heed.main(["store", "repair", str(tmp_path / "store")]) == 0
    assert shard_bytes(tmp_path / "store") == before and sound(tmp_path / "store")


def test_an_appended_store_converts_and_exports_like_any_other(tmp_path):
    run(tmp_path, FIRST)
    run(tmp_path, GROWN, append=True)
    out = tmp_path / "out"
    assert heed.main(["store", "convert", str(tmp_path / "store"), str(out), "--shard-rows", "4"]) == 0
    converted, store = Store.open(out), Store.open(tmp_path / "store")
    assert list(converted.keys()) == list(store.keys()) and [record.rows for record in converted.records] == [4, 4, 2]
    assert all(np.array_equal(converted.row(i)["features"], store.row(i)["features"]) for i in range(10))


def test_an_extraction_keeps_the_word_append_to_itself(tmp_path):
    command = ExtractRegions(str(tmp_path), tmp_path / "store", job=JobOptions(append=True))
    assert "append" not in json.dumps(told("extract regions", command))


def test_parts_tell_the_versions_that_made_them_where_they_are_others(tmp_path, monkeypatch):
    run(tmp_path, FIRST)
    monkeypatch.setattr(ToyReader, "describe", lambda self: {"name": "toy", "version": 1, "versions": {"toy": "2"}})
    run(tmp_path, GROWN, append=True)
    first, second = Identity.read(tmp_path / "store").parts
    assert isinstance(first, Part) and first.versions == {} and second.versions == {"toy": "2"}


def test_a_store_without_lists_goes_on_where_its_source_still_tells_them(tmp_path):
    """Stores were made without lists before heed could append."""
    run(tmp_path, FIRST)
    list_path(tmp_path / "store", 0).unlink()
    Path(tmp_path / "store" / "inputs").rmdir()
    assert run(tmp_path, GROWN, append=True).appended == 5 and sound(tmp_path / "store")


def test_a_store_at_a_url_grows_merges_and_is_cut_like_a_local_one(tmp_path, monkeypatch):
    monkeypatch.setenv("HEED_CACHE", str(tmp_path / "cache"))
    url = f"memory://{tmp_path.name}"
    for store in (tmp_path / "store", f"{url}/store"):
        run_job(Toy(), source(tmp_path / "in", FIRST), store, shard_rows=2, inline=True)
        with pytest.raises(HeedError, match="--append"):
            run_job(Toy(), source(tmp_path / "in", GROWN), store, shard_rows=2, inline=True)
        run_job(Toy(), source(tmp_path / "in", GROWN), store, shard_rows=2, inline=True, append=True)
        assert sound(store)
    assert heed.main(["store", "subset", f"{url}/store", f"{url}/cut", "--match", "[a-e]", "--dtype", "int8"]) == 0
    rest = tmp_path / "rest"
    assert heed.main(["store", "subset", str(tmp_path / "store"), str(rest), "--match", "[!a-e]"]) == 0
    assert heed.main(["store", "merge", f"{url}/out", f"{url}/cut", str(rest), "--dtype", "float32"]) == 0
    local, remote, out = Store.open(tmp_path / "store"), Store.open(f"{url}/store"), Store.open(f"{url}/out")
    assert remote.fingerprint() == local.fingerprint() and sorted(out.keys()) == GROWN and sound(f"{url}/out")
    before = (out.path / "shards" / "000001.arrow").read_bytes()
    (out.path / "shards" / "000001.arrow").unlink()
    (out.path / "inputs" / "000000.jsonl").unlink()
    assert heed.main(["store", "repair", f"{url}/out"]) == 0 and sound(f"{url}/out")
    assert (out.path / "shards" / "000001.arrow").read_bytes() == before


def test_the_command_extracts_what_a_folder_has_got_since(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pipeline.detect.load_detector", lambda name, options: Detector(lambda found: {}))
    photos, store = tmp_path / "photos", tmp_path / "store"
    photos.mkdir()
    for name in ("b", "d", "e"):
        Image.new("RGB", (64, 64)).save(photos / f"{name}.png")
    command = ["extract", "regions", str(photos), str(store), "--inline", "--shard-rows", "2", "--dtype", "int8"]
    assert heed.main(command) == 0 and Identity.read(store).fields["features"].dtype == "int8"
    Image.new("RGB", (64, 64)).save(photos / "a.png")
    (photos / "c.png").write_bytes(b"no picture")
    assert heed.main(command) == 2 and "--append" in capsys.readouterr().err
    assert heed.main([*command, "--append"]) == 3
    told = capsys.readouterr().out
    assert "2 new images were appended" in told and "c.png: " in told
    assert list(Store.open(store).keys()) == ["b.png", "d.png", "e.png", "a.png"] and sound(store)
    (store / "shards" / "000000.arrow").unlink()
    (store / "shards" / "000002.json").unlink()
    before = shard_bytes(store)
    assert heed.main(["store", "repair", str(store)]) == 0 and sound(store)
    assert before.items() <= shard_bytes(store).items()
