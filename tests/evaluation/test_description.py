"""Judging descriptions: caption metrics by film, recall within neighbours by hand, files that do not match."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evaluation.captions import evaluate_captions
from evaluation.description import evaluate_descriptions
from evaluation.metrics.bertscore import BertScore
from evaluation.metrics.neighbours import recall_within_neighbours
from evaluation.metrics.similarity import word_f1
from features.errors import HeedError
from heed import main

NAMES = ["star", "moon", "bell", "ring", "cube", "disc", "leaf", "bird", "horn", "drum", "wave",
         "tree", "lamp", "door", "boat", "fish", "rose", "coin"]
ACTS = ["spins", "jumps", "rings", "grows", "falls"]


def film(name: str, sentences: list[str]) -> list[dict]:
    return [{"id": f"{name}-{i}", "video": name, "start": 2.0 * i, "end": 2.0 * i + 1, "sentence": sentence}
            for i, sentence in enumerate(sentences)]


def films(seed: int = 0) -> tuple[list[dict], list[dict]]:
    """Three films of 20, 25 and 9 descriptions, and predictions of which some are another's."""
    draw = np.random.default_rng(seed)
    true, said = [], []
    for name, count in (("a", 20), ("b", 25), ("c", 9)):
        sentences = [f"The {NAMES[draw.integers(len(NAMES))]} {ACTS[draw.integers(len(ACTS))]} in shot {i}."
                     for i in range(count)]
        order = np.where(draw.random(count) < 0.4, draw.permutation(count), np.arange(count))
        true += film(name, sentences)
        said += film(name, [sentences[i] for i in order])
    return said, true


def test_caption_metrics_are_those_of_captions_and_intervals_are_over_films():
    said, true = films()
    found = evaluate_descriptions(said, true, resamples=50, with_meteor=False)
    captions = evaluate_captions([{"image_id": row["id"], "caption": row["sentence"]} for row in said],
                                 [{"image_id": row["id"], "caption": row["sentence"]} for row in true],
                                 False, resamples=0)
    for name in ("BLEU-1", "BLEU-4", "ROUGE-L", "CIDEr"):
        assert found["figures"][name]["value"] == pytest.approx(captions["figures"][name]["value"])
        assert found["figures"][name]["low"] < found["figures"][name]["value"] < found["figures"][name]["high"]
    assert (found["descriptions"], found["films"]) == (54, 3)


def test_recall_is_of_full_windows_within_each_film():
    said, true = films()
    found = evaluate_descriptions(said, true, resamples=0, with_meteor=False)
    windows = []
    for name, count in (("a", 20), ("b", 25)):
        words = [[row["sentence"].lower().rstrip(".").split() for row in rows if row["video"] == name]
                 for rows in (said, true)]
        assert len(words[0]) == count
        windows.append(recall_within_neighbours(word_f1(*words), (1, 5), 16)[0])
    expected = 100 * np.concatenate(windows).mean(0)
    assert [found["figures"][name]["value"] for name in ("R@1/16", "R@5/16")] == pytest.approx(expected)
    assert found["windows"] == 1 + 2 and found["chance"] == {"R@1/16": 6.25, "R@5/16": 31.25}
    assert any("fewer than 16 descriptions" in note and "1 of 3" in note for note in found["notes"])


def test_rows_may_come_in_any_order_and_a_perfect_describer_is_found():
    _, true = films()
    mixed = [true[i] for i in np.random.default_rng(1).permutation(len(true))]
    found = evaluate_descriptions(mixed, mixed[::-1], resamples=0, with_meteor=False)["figures"]
    assert found["R@5/16"]["value"] == 100 and found["BLEU-4"]["value"] == pytest.approx(1)


def test_one_sentence_for_all_is_no_better_than_chance():
    _, true = films()
    same = [{**row, "sentence": "The star spins in shot 3."} for row in true]
    for similarity in ("word-f1", "rouge-l", "cider"):
        found = evaluate_descriptions(same, true, resamples=0, with_meteor=False, similarity=similarity)["figures"]
        assert found["R@5/16"]["value"] <= 31.25


def whole_sentences(sentences):
    """A "model" in which a sentence is one piece, and no two different ones are alike."""
    known = sorted({row["sentence"] for row in films()[1]})
    return [(np.eye(len(known), dtype=np.float32)[[known.index(one)]], np.zeros(1, bool)) for one in sentences]


def test_bertscores_pairs_are_judged_beside_the_words():
    said, true = films()
    found = evaluate_descriptions(said, true, resamples=0, with_meteor=False, bertscore=BertScore(whole_sentences))
    right = np.mean([a["sentence"] == b["sentence"] for a, b in zip(said, true, strict=True)])
    assert found["figures"]["BERTScore"]["value"] == pytest.approx(100 * right)
    assert found["chance"]["R@5/16 BERTScore"] == 31.25 and found["figures"]["R@1/16 BERTScore"]["value"] < 100


def test_what_does_not_match_is_told(tmp_path):
    said, true = films()
    with pytest.raises(HeedError, match="Add --subset"):
        evaluate_descriptions(said[1:], true)
    assert evaluate_descriptions(said[1:], true, 0, subset=True, with_meteor=False)["descriptions"] == 53
    with pytest.raises(HeedError, match="have no true description"):
        evaluate_descriptions(said, true[1:])
    with pytest.raises(HeedError, match="no similarity 'words'"):
        evaluate_descriptions(said, true, similarity="words")
    path = tmp_path / "said.jsonl"
    for line, words in (('{"id": 1}', "Line 1"), ("[", "Line 1"), (json.dumps(said[0]) * 1 + "\n" + json.dumps(said[0]),
                                                                   "two rows")):
        path.write_text(line)
        with pytest.raises(HeedError, match=words):
            evaluate_descriptions(path, true)


def test_the_command_prints_a_table_and_json(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("evaluation.description.missing", lambda: "it takes too long in a test")
    said, true = films()
    for name, rows in (("said", said), ("true", true)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    words = ["evaluate", "description", "--predictions", str(tmp_path / "said.jsonl"), "--truth",
             str(tmp_path / "true.jsonl"), "--resamples", "20"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "R@5/16" in printed and "compares by word-f1, in 3 windows" in " ".join(printed.split())
    assert main([*words, "--similarity", "rouge-l", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["similarity"] == "rouge-l"
