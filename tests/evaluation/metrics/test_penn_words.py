"""Tokens of the Java program, kept for 1,036 lines that try every rule, and compared live where Java is there."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from evaluation.metrics.meteor import jar
from evaluation.metrics.penn_words import penn_tokens, penn_words
from tests.shared import SHARED, needs_shared

GOLDEN = json.loads(Path(__file__).with_suffix("").with_name("penn_words.json").read_text())


@pytest.mark.parametrize("number", range(3))
def test_the_tokens_of_lines_that_try_every_rule_are_the_java_programs(number):
    lines = [line for line, *_ in GOLDEN["files"][number]]
    found = dict(zip(lines, penn_tokens(lines), strict=True))
    expected = {line: tokens for line, *tokens in GOLDEN["files"][number]}
    assert {line for line in lines if found[line] != expected[line]} <= set(GOLDEN["known"])


def test_an_abbreviation_ends_the_sentence_only_if_the_next_caption_begins_with_a_capital():
    assert penn_tokens(["pens, etc.", "A dog", "pens, etc.", "a dog"]) == [
        ["pens", ",", "etc.", "."], ["a", "dog"], ["pens", ",", "etc."], ["a", "dog"]
    ]


def test_punctuation_is_left_out_and_lower_cased_brackets_are_not_as_published():
    assert penn_words(['A "big" dog (red), isn\'t it?']) == [
        ["a", "big", "dog", "-lrb-", "red", "-rrb-", "is", "n't", "it"]
    ]


@needs_shared
@pytest.mark.skipif(not (shutil.which("java") and jar()), reason="no Java, or pycocoevalcap is not installed")
def test_the_tokens_of_all_coco_captions_and_vqa_questions_are_the_java_programs(tmp_path):
    with gzip.open(SHARED / "data/coco_caption/captions_val2017.json.gz") as file:
        lines = [row["caption"] for row in json.load(file)["annotations"]]
    for part in ("valid", "test"):
        with gzip.open(SHARED / f"data/vqa/vqa_v2_60k_questions_{part}.json.gz") as file:
            rows = json.load(file)
        lines += [row["question"] for row in (rows["questions"] if isinstance(rows, dict) else rows)]
    lines = [line.replace("\n", " ") for line in lines]
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    program = jar().parent.parent / "tokenizer" / "stanford-corenlp-3.4.1.jar"
    said = subprocess.run(["java", "-Dfile.encoding=UTF-8", "-cp", program, "edu.stanford.nlp.process.PTBTokenizer",
                           "-preserveLines", "-lowerCase", tmp_path / "lines.txt"],
                          capture_output=True, check=True, timeout=100).stdout.decode()
    expected = [[token for token in line.split(" ") if token] for line in said.split("\n")[: len(lines)]]
    assert len(lines) > 35_000
    differing = [line for line, a, b in zip(lines, penn_tokens(lines), expected, strict=True) if a != b]
    assert not differing
