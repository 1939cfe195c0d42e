"""Captions and queries through a small CLIP or BERT into a store of tokens."""

from __future__ import annotations

import json

import numpy as np
import pytest

from features.encoders import EncoderOptions
from features.errors import HeedError
from features.text.encoders import load_text_encoder
from heed import main
from pipeline.store import Store
from pipeline.text_features import read_texts
from tests.features.text.test_encoders import bert_folder, clip_with_tokeniser
from tests.pipeline.toy import shard_bytes
from tests.shared import SHARED, needs_shared

pytest.importorskip("transformers", reason="transformers is not installed")
QUERIES = ["a cat sat", "the cat", "cat cat cat", "the the", "sat"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return clip_with_tokeniser(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def queries(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(json.dumps({"qid": n, "query": query, "vid": f"v{n}", "duration": 10})
                              for n, query in enumerate(QUERIES)))
    return path


def extract(captions, store, encoder, *more) -> int:
    words = ["extract", "text", str(captions), str(store), "--encoder", encoder, "--inline", "--device", "cpu", *more]
    return main(words)


def test_each_query_has_its_tokens_and_vector_under_its_qid(clip, queries, tmp_path):
    assert extract(queries, tmp_path / "store", f"clip:{clip}", "--dtype", "float32", "--batch", "2") == 0
    store = Store.open(tmp_path / "store")
    assert store.identity.kind == "tokens" and list(store.keys()) == [f"qid{n}" for n in range(5)]
    encoder = load_text_encoder(f"clip:{clip}", EncoderOptions("cpu"))
    for n, query in enumerate(QUERIES):
        (states, pooled), row = encoder.encode([query])[0], store.row(store.find(f"qid{n}"))
        assert np.abs(row["features"] - states).max() < 1e-5 and np.abs(row["pooled"] - pooled).max() < 1e-5


def test_captions_lists_and_cut_texts(tmp_path, capsys):
    bert = bert_folder(tmp_path)
    coco = {"images": [{"id": 1, "file_name": "a.jpg"}],
            "annotations": [{"id": 7, "image_id": 1, "caption": " a cat "}]}
    (tmp_path / "c.json").write_text(json.dumps(coco))
    assert extract(tmp_path / "c.json", tmp_path / "coco", f"bert:{bert}") == 0
    assert list(Store.open(tmp_path / "coco").keys()) == ["7"]
    (tmp_path / "list.csv").write_text('key,text\nx,"a cat, sat"\ny,the the the the the\n')
    assert extract(tmp_path / "list.csv", tmp_path / "list", f"bert:{bert}", "--most", "4") == 0
    store = Store.open(tmp_path / "list")
    assert [len(store.row(n)["features"]) for n in range(2)] == [4, 4]
    assert "2 of 2 texts stored" in capsys.readouterr().out


def test_another_text_under_a_stored_key_is_found_out_and_new_ones_can_be_appended(clip, queries, tmp_path, capsys):
    assert extract(queries, tmp_path / "store", f"clip:{clip}") == 0
    before = shard_bytes(tmp_path / "store")
    lines = queries.read_text().splitlines()
    queries.write_text("\n".join([*lines[:-1], lines[-1].replace("sat", "cat")]))
    assert extract(queries, tmp_path / "store", f"clip:{clip}") == 2
    assert "The text given for 'qid4' is not the one" in capsys.readouterr().err
    queries.write_text("\n".join([*lines, lines[0].replace('"qid": 0', '"qid": 9')]))
    assert extract(queries, tmp_path / "store", f"clip:{clip}", "--append") == 0
    after = shard_bytes(tmp_path / "store")
    assert len(Store.open(tmp_path / "store")) == 6 and before.items() <= after.items()


def test_a_damaged_shard_is_made_again(clip, queries, tmp_path):
    extract(queries, tmp_path / "store", f"clip:{clip}")
    before = shard_bytes(tmp_path / "store")
    shard = next((tmp_path / "store" / "shards").glob("*.arrow"))
    shard.write_bytes(b"damaged" + shard.read_bytes()[7:])
    main(["store", "repair", str(tmp_path / "store")])
    assert shard_bytes(tmp_path / "store") == before


@needs_shared
def test_every_dataset_of_sentences_gives_its_texts():
    data = SHARED / "data"
    assert len(read_texts(data / "qvhighlights", "val")) == 1550
    assert read_texts(data / "moments" / "charades_sta_test.txt")["1"] == "person turn a light on."
    assert len(read_texts(data / "moments" / "didemo_val_data.json.gz")) == 4180
    assert len(read_texts(data / "coco_photos" / "captions.json")) > 500


@pytest.mark.parametrize(("content", "words"), [
    ('{"key": "a", "text": "x"}\n{"key": "a", "text": "y"}\n', "Two inputs have the key 'a'"),
    ('{"key": "a", "text": "x"}\n{"key": "b"}\n', "Row 2 of"),
])
def test_lists_that_are_wrong_are_refused(content, words, tmp_path):
    (tmp_path / "list.jsonl").write_text(content)
    with pytest.raises(HeedError, match=words):
        read_texts(tmp_path / "list.jsonl")
    with pytest.raises(HeedError, match="There is no dataset 'coco'"):
        read_texts(tmp_path / "list.jsonl", dataset="coco")
