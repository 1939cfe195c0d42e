import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from evaluation.metrics.grounding import span_attention
from evaluation.predictions import MatchingPredictions
from evaluation.report.build import write_report
from features.errors import HeedError
from tests.evaluation import fake_runs

VOID = {"meta", "img", "br", "input", "link", "hr", "line", "path", "circle"}


class Page(HTMLParser):
    """Checks nesting; collects references, text, words and the embedded JSON."""

    def __init__(self, text):
        super().__init__()
        self.stack, self.references, self.words, self.scripts, self.tags = [], [], [], [], []
        self.text, self.embedded = "", ""
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        attributes = dict(attributes)
        named = ("src", "href", "action", "srcset", "data", "poster")
        self.references += [attributes[name] for name in named if name in attributes]
        if tag not in VOID:
            self.stack.append((tag, attributes))
        if tag == "script":
            self.scripts.append(attributes)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.stack and self.stack[-1][0] == tag, (tag, self.stack[-3:])
        self.stack.pop()

    def handle_data(self, data):
        self.text += data
        if self.stack and self.stack[-1][1].get("id") == "data":
            self.embedded += data
        if self.stack and "word" in (self.stack[-1][1].get("class") or "").split():
            self.words.append(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    runs = [fake_runs.make_run(folder / name, seed, name) for seed, name in enumerate(("dot", "general"))]
    photos = fake_runs.make_photos(folder / "images")
    written = write_report(runs, folder / "out" / "page.html", photos, count=6)
    return written, runs, written.page.read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_fetches_nothing(made):
    page = Page(made[2])
    assert page.references and all(r.startswith(("data:image/", "#")) for r in page.references)
    assert not re.search(r"url\(\s*['\"]?(?!data:)", made[2])
    assert not re.search(r"https?://", made[2])
    assert not re.search(r"@import|fetch\(|XMLHttpRequest|<link|<iframe", made[2])
    assert page.tags.count("h1") == 1 and {"main", "header", "table", "svg", "fieldset"} <= set(page.tags)


def test_captions_are_data_never_markup(made):
    page = Page(made[2])
    assert len(page.scripts) == 2 and page.tags.count("script") == 2  # the data and the behaviour
    assert "<script>alert" not in made[2] and "alert('" in page.text
    assert "<" not in page.embedded and "&" not in page.embedded


def test_every_word_of_every_sample_is_a_button(made):
    page = Page(made[2])
    samples = json.loads(page.embedded)["samples"]
    expected = [sample["text"][start:end] for sample in samples for start, end in sample["words"]]
    assert page.words == expected and len(samples) == 6
    for sample in samples:
        assert html.escape(sample["text"].split()[0]) in made[2]


def test_embedded_numbers_are_those_of_the_predictions(made):
    _, runs, text = made
    data = json.loads(Page(text).embedded)
    assert data["runs"] == ["dot", "general"]
    for place, run in enumerate(runs):
        read = MatchingPredictions.read(run / "predictions" / "test.arrow")
        for sample in data["samples"]:
            row = read.captions.index(sample["id"])
            seen, shown = read.attention(row), sample["runs"][place]
            np.testing.assert_allclose(sample["boxes"][shown["boxes"]], seen.boxes, atol=0.06)
            for (start, end), weights in zip(sample["words"], shown["weights"], strict=True):
                np.testing.assert_allclose(weights, span_attention(seen, start, end), atol=6e-5)
            own = read.images.index(sample["key"])
            assert shown["rank"] == 1 + int((read.scores[row] > read.scores[row, own]).sum())
            order = np.argsort(-read.scores[row])[:5]
            assert [one["key"] for one in shown["images"]] == [read.images[i] for i in order]
            assert [one["right"] for one in shown["images"]] == [bool(i == own) for i in order]
            best = np.argsort(-read.scores[:, own])[:5]
            assert [one["id"] for one in shown["captions"]] == [read.captions[i] for i in best]


def test_tables_show_the_evaluations_and_mark_the_best(made):
    _, runs, text = made
    values = [json.loads((run / "evaluation" / "test.json").read_text())["retrieval"]["rsum"]["value"] for run in runs]
    row = re.search(r"Sum of the six recalls</th>(.*?)</tr>", text, re.S).group(1)
    cells = re.findall(r'<td class="num( best)?"><b>([\d.]+)</b>', row)
    assert [float(value) for _, value in cells] == pytest.approx(values, abs=0.051)
    assert [bool(best) for best, _ in cells] == [value == max(values) for value in values]


def test_samples_hold_found_and_missed_captions_and_are_the_same_every_time(made, tmp_path):
    written, runs, text = made
    samples = json.loads(Page(text).embedded)["samples"]
    first = {sum(run["rank"] == 1 for run in sample["runs"]) for sample in samples}
    assert first == {0, 1, 2}
    assert len({sample["key"] for sample in samples}) == len(samples)
    again = write_report(runs, tmp_path / "again.html", written.page.parent.parent / "images", count=6, figures=False)
    assert again.page.read_text(encoding="utf-8") == text


def test_figures_for_papers_are_written_beside_the_page(made):
    figures = made[0].figures
    assert [path.name for path in figures] == ["curves.png", *(f"sample_{n:02d}.png" for n in range(1, 7))]
    for path in figures:
        with Image.open(path) as image:
            assert image.width > 300 and len(image.convert("RGB").getcolors(1 << 22)) > 50


def test_missing_photos_are_said_and_boxes_drawn_all_the_same(tmp_path):
    run = fake_runs.make_run(tmp_path / "run", 0)
    written = write_report([run], tmp_path / "page.html", count=3, figures=False)
    assert any("3 of 3 photos were not found" in note for note in written.notes)
    text = written.page.read_text(encoding="utf-8")
    assert "photo not found" in text and "3 of 3 photos were not found" in Page(text).text
    assert 'name="run"' not in text  # one run: nothing to switch


def test_photos_are_found_where_the_configuration_says_and_never_outside(tmp_path):
    from evaluation.report.photos import find_photo, photo_folder
    from evaluation.run_folder import read_run

    run = fake_runs.make_run(tmp_path / "run", 0)
    photos = fake_runs.make_photos(tmp_path / "scenes" / "images")
    config = json.loads((run / "config.json").read_text()) | {"captions": str(tmp_path / "scenes")}
    (run / "config.json").write_text(json.dumps(config))
    assert photo_folder([read_run(run)], "3.png") == photos
    assert photo_folder([read_run(run)], "absent.png") is None
    assert find_photo(photos, "3") == photos / "3.png"
    (tmp_path / "scenes" / "secret.png").write_bytes((photos / "3.png").read_bytes())
    for key in ("../secret.png", str(tmp_path / "scenes" / "secret.png"), "\0", ""):
        assert find_photo(photos, key) is None


def test_a_run_without_evaluation_predictions_or_metrics_still_has_a_page(tmp_path):
    run = fake_runs.make_run(tmp_path / "run", 0)
    (run / "evaluation" / "test.json").unlink()
    text = write_report([run], tmp_path / "a.html", count=2, figures=False).page.read_text(encoding="utf-8")
    assert "Sum of the six recalls" in text  # evaluated now
    for name in ("metrics.jsonl", "predictions/test.arrow", "environment.json"):
        (run / name).unlink()
    written = write_report([run], tmp_path / "b.html", count=2)
    assert written.notes == ["run has no predictions for the split test: no samples of it are shown"]
    assert "no training was logged" in Page(written.page.read_text(encoding="utf-8")).text and written.figures == []


def test_predictions_without_attention_show_what_is_retrieved(tmp_path):
    run = fake_runs.make_run(tmp_path / "run", 0, attention=False)
    page = Page(write_report([run], tmp_path / "a.html", count=2).page.read_text(encoding="utf-8"))
    assert len(json.loads(page.embedded)["samples"]) == 2 and "This caption finds" in page.text


def test_nothing_to_report_is_refused(tmp_path):
    run = fake_runs.make_run(tmp_path / "run", 0)
    with pytest.raises(HeedError, match="at least one run"):
        write_report([], tmp_path / "a.html")
    with pytest.raises(HeedError, match="at most 6 runs"):
        write_report([run] * 7, tmp_path / "a.html")
    with pytest.raises(HeedError, match="no folder of photos"):
        write_report([run], tmp_path / "a.html", tmp_path / "none")
