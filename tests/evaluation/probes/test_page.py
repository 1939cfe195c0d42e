"""The page of heed probe: whole, self-contained, and alive in a real browser."""

import base64
import json
import re

import numpy as np
import pytest

from evaluation.probes.cache import Part, part_path
from evaluation.probes.observations import observe
from evaluation.probes.page import write_page
from evaluation.probes.result import Result, head_map
from tests.evaluation.probes import planted
from tests.evaluation.probes.browser import browse, needs_browser


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page of six planted pairs: in layer 2, head 3, the first word looks at its region alone."""
    folder = tmp_path_factory.mktemp("page")
    pairs = [planted.pair(number, links=[(0, (2,), "thing")]) for number in range(6)]

    def weights(pair, attention):
        attention[1, 2, 1] = 1e-6
        attention[1, 2, 1, len(pair.caption.split()) + 2 + 2] = 1
        return attention

    study = planted.study(folder / "readings", pairs, weights=weights)
    result = Result("importance", "subject", ({"table": "a <table>", "layer": "layer 1", "value": 0.5},),
                    {"text share": head_map(["layer 1", "layer 2"], [[0.1, 0.2, 0.3], [0.4, 0.5, 0.9]], "share")},
                    ("a <note>",))
    found = {"subject": {"importance": result}}
    path = write_page(folder, "uniter:/home/me/a <subject>", found, observe(found), study.cache, tuple(pairs), None, 4)
    return path, study.cache, pairs


def content(path):
    text = path.read_text(encoding="utf-8")
    return text, json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def test_the_page_holds_attention_to_a_byte_and_escapes_what_comes_from_data(made):
    path, cache, pairs = made
    text, data = content(path)
    assert "a <subject>" not in text and "uniter:a &lt;subject&gt;" in text and "a &lt;note&gt;" in text
    assert not re.search(r"(src|href)=\"(http|//)", text)
    assert [layer["name"] for layer in data["layers"]] == ["layer 1", "layer 2"] and len(data["samples"]) == 4
    numbers = {pair.id: number for number, pair in enumerate(pairs)}
    for sample in data["samples"]:
        number = numbers[sample["id"]]
        with Part(part_path(cache.path, number // 5)) as part:
            row = part.pairs.tolist().index(number)
            for layer, blocks in zip(("layer 1", "layer 2"), sample["attention"], strict=True):
                for name, block in blocks.items():
                    packed = np.frombuffer(base64.b64decode(block["weights"]), np.uint8).reshape(block["shape"])
                    real = part.block(layer, name)[row][:, : packed.shape[1], : packed.shape[2]]
                    assert np.abs((packed / 255) ** 2 - real).max() <= 1 / 255  # half a step of the root, at weight 1
        assert sample["links"] == [{"words": [1], "regions": [2]}]


@needs_browser
@pytest.mark.timeout(180)
def test_picking_a_head_changes_the_picture_without_errors_or_requests(made, tmp_path):
    path, _, _ = made

    async def steps(page):
        strokes = "JSON.stringify([...document.querySelectorAll('.viewer rect.region')].map(r => r.style.fillOpacity))"
        before = json.loads(await page.run(strokes))
        await page.run("[...document.querySelectorAll('.heads button')][5].click()")  # layer 2, head 3
        after = json.loads(await page.run(strokes))
        assert before != after and [round(float(x), 2) for x in after] == [0, 0, 0.5, 0]
        said = await page.run("document.querySelector('.readout').textContent")
        assert said.startswith("layer 2, head 3: “w0” looks most at region 3, 100")
        assert "layer=1" in await page.run("location.hash") and "head=2" in await page.run("location.hash")
        await page.run("document.querySelector('#direction').value = 'image->text';"
                       "document.querySelector('#direction').dispatchEvent(new Event('change'))")
        assert "region" in await page.run("document.querySelector('.readout').textContent")
        await page.run("document.querySelectorAll('.viewer rect.region')[3].dispatchEvent(new Event('click'))")
        assert "region 4 looks most at" in await page.run("document.querySelector('.readout').textContent")
        await page.run("document.querySelector('#map').value = 'importance: text share';"
                       "document.querySelector('#map').dispatchEvent(new Event('change'))")
        assert "0.900" in await page.run("document.querySelectorAll('.heads button')[5].title")
        assert page.errors == [] and page.requests == []

    browse(path, tmp_path / "profile", steps)


@needs_browser
@pytest.mark.timeout(180)
def test_the_page_fits_a_telephone(made, tmp_path):
    path, _, _ = made

    async def steps(page):
        assert await page.run("document.documentElement.scrollWidth") <= 390
        sizes = await page.run("[...document.querySelectorAll('.tokens button, .viewer .stage, select')]"
                               ".every(e => e.getBoundingClientRect().right <= 391)")
        assert sizes is True and page.errors == []

    browse(path, tmp_path / "profile", steps, width=390)
