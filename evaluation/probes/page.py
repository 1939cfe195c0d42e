"""OUT/page.html: pick a pair, a layer, a head and a direction, and see who attends to whom, on the photo.

One self-contained file without any request to a network. Attention is kept in a byte a weight, of its square root, so
that small weights keep their digits: (v / 255)^2. What is picked stands in the address, so that a view can be shared.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from evaluation.probes.cache import Cache, Part
from evaluation.probes.observations import Observation
from evaluation.probes.pairs import Pair
from evaluation.probes.result import Result
from evaluation.probes.study import CLS, SEP, WORD
from evaluation.probes.tables import columns, shown
from evaluation.report.build import embedded
from evaluation.report.photos import data_uri, load_photo
from pipeline.atomic import atomic_write

PHOTO = 560
"""Longest side, in pixels, of a photo on the page."""
BYTES = 6_000_000
"""Most bytes of attention on the page; fewer pairs are shown where one takes many."""
MAPS = 24
"""Most maps that the heads can be coloured by."""


def write_page(
    out: Path, name: str, found: Mapping[str, Mapping[str, Result]], observed: list[Observation], cache: Cache | None,
    pairs: tuple[Pair, ...], images: Path | None, count: int = 8,
) -> Path:
    """Write the page into the folder ``out``; ``images`` is the folder of the photos, None for empty canvases.

    ``cache`` and ``pairs`` are the subject's readings, of which the first ``count`` pairs of the held-out images are
    shown, those with linked phrases first.
    """
    samples = [] if cache is None else _samples(cache, pairs, images, count)
    environment = Environment(loader=PackageLoader("evaluation", "."), autoescape=True, undefined=StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True)
    maps = _maps(found)
    data = {"samples": samples, "maps": maps,
            "layers": [] if cache is None else [
                {"name": layer.name, "heads": layer.heads, "blocks": list(layer.blocks), "joint": layer.joint}
                for layer in cache.attended]}
    text = environment.get_template("probes/page.html.j2").render(
        name=_short(name), observed=observed, samples=samples, maps=list(maps), data=embedded(data),
        tables=_tables(found))
    path = out / "page.html"
    with atomic_write(path) as file:
        file.write(text.encode())
    return path


def _short(name: str) -> str:
    """A subject's name as it is shown: a path's last part, and what stands before it; OWNER/NAME of the Hub whole."""
    family, colon, place = name.rpartition(":")
    return name if place.count("/") < 2 else family + colon + place.rpartition("/")[2]


def _samples(cache: Cache, pairs: tuple[Pair, ...], images: Path | None, count: int) -> list[dict[str, Any]]:
    order = sorted(range(len(pairs)), key=lambda i: (not pairs[i].links, pairs[i].split != "test", i))
    seen: dict[str, int] = {}
    for number in order:
        seen.setdefault(pairs[number].key, number)
    wanted = list(seen.values())[:count]
    found: dict[int, dict[str, Any]] = {}
    for part in cache:
        for row, number in enumerate(part.pairs.tolist()):
            if number in wanted:
                found[number] = _sample(cache, part, row, pairs[number], images)
    samples: list[dict[str, Any]] = []
    size = 0
    for number in wanted:
        size += sum(len(block["weights"]) for layer in found[number]["attention"] for block in layer.values())
        if samples and size > BYTES:
            break
        samples.append(found[number])
    return samples


def _sample(cache: Cache, part: Part, row: int, pair: Pair, images: Path | None) -> dict[str, Any]:
    """One pair, JSON-ready: tokens of both sides, links between them, and every layer's blocks."""
    kinds, spans = part.text_kinds[row], part.spans[row]
    words = int(np.count_nonzero(kinds))
    special = {CLS: "[CLS]", SEP: "[SEP]"}
    tokens = [pair.caption[spans[i, 0]:spans[i, 1]] if kinds[i] == WORD and i < len(spans)
              else special.get(int(kinds[i]), "[·]") for i in range(words)]
    regions = int(np.count_nonzero(part.image_kinds[row]))
    attention = []
    for layer in cache.attended:
        blocks = {}
        for block in layer.blocks:
            side = {"text": words, "image": regions}
            query, key = block.split("->")
            weights = part.block(layer.name, block)[row][:, : side[query], : side[key]]
            packed = np.round(255 * np.sqrt(np.clip(weights, 0, 1))).astype(np.uint8)
            blocks[block] = {"shape": list(packed.shape), "weights": base64.b64encode(packed.tobytes()).decode()}
        attention.append(blocks)
    photo = load_photo(images, pair.key)
    links = [{"words": [i for i in range(words) if spans[i, 0] < link.end and spans[i, 1] > link.start],
              "regions": list(link.regions)} for link in pair.links]
    return {"id": pair.id, "key": pair.key, "caption": pair.caption, "tokens": tokens, "width": pair.width,
            "height": pair.height, "boxes": np.round(pair.boxes, 1).tolist(), "names": list(pair.names),
            "links": links, "attention": attention,
            "photo": None if photo is None else data_uri(photo, PHOTO)}


def _maps(found: Mapping[str, Mapping[str, Result]]) -> dict[str, Any]:
    """Maps of layers by heads of the subject itself: what the heads can be coloured by."""
    maps: dict[str, Any] = {}
    for probe, result in found.get("subject", {}).items():
        for name, one in result.maps.items():
            if len(maps) < MAPS:
                maps[f"{probe}: {name}"] = {
                    "layers": list(one.layers), "unit": one.unit, "middle": one.middle,
                    "values": [[None if np.isnan(value) else round(float(value), 4) for value in line]
                               for line in one.values]}
    return maps


def _tables(found: Mapping[str, Mapping[str, Result]]) -> list[dict[str, Any]]:
    """Every probe's tables, the variants' rows one below the other."""
    probes = dict.fromkeys(probe for results in found.values() for probe in results)
    tables = []
    for probe in probes:
        by_table: dict[str, list[dict[str, Any]]] = {}
        notes: list[str] = []
        for variant, results in found.items():
            if probe in results:
                notes += [f"{variant}: {note}" for note in results[probe].notes]
                for table, rows in results[probe].tables.items():
                    by_table.setdefault(table, []).extend({"variant": variant, **row} for row in rows)
        shown_tables = [{"name": table, "columns": (head := columns(rows)),
                         "rows": [[shown(row.get(column)) for column in head] for row in rows]}
                        for table, rows in by_table.items()]
        tables.append({"probe": probe, "tables": shown_tables, "notes": notes})
    return tables
