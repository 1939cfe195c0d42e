"""Caption figures: the published code's results on COCO's sample captions, and small cases by hand."""

import json
import shutil

import numpy as np
import pytest

from evaluation.captions import evaluate_captions
from evaluation.commands.captioning import EvaluateCaptioning
from evaluation.metrics import ngrams
from evaluation.metrics.meteor import jar
from features.errors import HeedError
from tests.shared import SHARED, needs_shared


def sample():
    rows = json.loads((SHARED / "data/coco_caption/fakecap_with_references.json").read_text())
    results = [{"image_id": row["image_id"], "caption": row["test"]} for row in rows]
    return results, [{"image_id": row["image_id"], "caption": text} for row in rows for text in row["refs"]]


def golden():
    return json.loads((SHARED / "golden/captions_fakecap.json").read_text())


@needs_shared
def test_the_sample_captions_get_the_published_figures_without_java():
    found = evaluate_captions(*sample(), with_meteor=False, resamples=20)["figures"]
    assert [found[f"BLEU-{n}"]["value"] for n in (1, 2, 3, 4)] == pytest.approx(golden()["BLEU"], abs=1e-9)
    assert found["ROUGE-L"]["value"] == pytest.approx(golden()["ROUGE-L"], abs=1e-9)
    assert found["CIDEr"]["value"] == pytest.approx(golden()["CIDEr"], abs=1e-9)
    assert all(figure["low"] < figure["value"] < figure["high"] for figure in found.values())


@needs_shared
@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("java") and jar()), reason="no Java, or pycocoevalcap is not installed")
def test_the_sample_captions_get_the_published_meteor():
    found = evaluate_captions(*sample(), with_meteor=True, resamples=5)["figures"]
    assert found["METEOR"]["value"] == pytest.approx(golden()["METEOR"], abs=1e-9)


def words(*texts):
    return [text.split() for text in texts]


def test_bleu_counts_are_clipped_and_the_nearer_then_shorter_reference_sets_the_length():
    counts = ngrams.bleu_counts(["the", "the", "the", "cat"], words("the cat sat", "a the the cat on it"))
    assert counts.tolist() == [3, 2, 1, 0, 4, 3, 2, 1, 4, 3]  # lengths 3 and 6 against 4: 3 is nearer


def test_bleu_of_a_perfect_corpus_is_one_and_a_short_one_is_punished():
    perfect = ngrams.bleu(ngrams.bleu_counts(["a", "b", "c", "d", "e"], words("a b c d e"))[None].sum(0))
    assert perfect == pytest.approx(np.ones(4), abs=1e-8)
    short = ngrams.bleu(ngrams.bleu_counts(["a", "b"], words("a b c d"))[None].sum(0))
    assert short[0] == pytest.approx(np.exp(1 - 2), abs=1e-8)


def test_rouge_takes_precision_and_recall_each_from_its_best_reference():
    # LCS 2 with both: precision 2/2, recall 2/4 and 2/3 -> 2/3
    assert ngrams.rouge_l(["a", "c"], words("a b c d", "a x c")) == pytest.approx(2.44 * (2 / 3) / (2 / 3 + 1.44))


def test_cider_of_the_only_reference_is_ten_and_of_foreign_words_nothing():
    groups = [words("a red dog runs fast"), words("two blue cats sleep here"), words("one green bird flies up")]
    assert ngrams.cider([group[0] for group in groups], groups) == pytest.approx([10, 10, 10])
    assert ngrams.cider(words("x", "y", "z"), groups) == pytest.approx([0, 0, 0])


def test_plain_cider_does_not_punish_length_nor_repetition_as_cider_d_does():
    groups = [words("a red dog runs fast"), words("two blue cats sleep here")]
    long = words("a red dog runs fast a red dog runs fast a red dog runs fast", "two blue cats sleep here")
    assert ngrams.cider(long, groups, plain=True)[0] > 8 > 3 > ngrams.cider(long, groups)[0]


@pytest.mark.parametrize(("results", "said"), [
    ([{"image_id": 1, "caption": "a"}], "lack images"), ([{"image_id": 9, "caption": "a"}], "no references"),
    ([{"image_id": 1, "caption": "a"}] * 2, "two captions for image 1"), ([], "hold no captions"), ([{}], "Row 1 of"),
])  # fmt: skip
def test_results_that_cannot_be_judged_are_told_in_a_sentence(results, said):
    with pytest.raises(HeedError, match=said):
        evaluate_captions(results, [{"image_id": n, "caption": "a dog"} for n in (1, 2)], with_meteor=False)


def test_the_command_judges_a_subset_and_says_what_it_left_out(tmp_path, capsys):
    results, references = tmp_path / "results.json", tmp_path / "references.json"
    results.write_text(json.dumps([{"image_id": n, "caption": f"a dog number {n}"} for n in (1, 2, 3)]))
    references.write_text(json.dumps({"annotations": [{"image_id": n, "caption": f"a dog number {n}"}
                                                      for n in (1, 2, 3, 4)]}))
    assert EvaluateCaptioning(results, references, subset=True, meteor=False, json=True).run() == 0
    found = json.loads(capsys.readouterr().out)
    assert found["figures"]["BLEU-4"]["value"] == pytest.approx(1) and "left out: 1" in found["notes"][0]
