"""`heed report`: gather what the runs hold, fill the page, write the figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from evaluation.matching import evaluate_matching
from evaluation.predictions import MatchingPredictions
from evaluation.report import (
    answer_samples,
    caption_samples,
    curves,
    description_samples,
    photos,
    samples,
    tables,
    words,
)
from evaluation.run_folder import RunFolder, read_run
from evaluation.truth import read_truth
from features.errors import HeedError
from pipeline.annotations import Caption
from pipeline.atomic import atomic_write
from pipeline.datasets import read_captions

PHOTO, THUMBNAIL = 640, 112
"""Longest sides, in pixels, of the photos on the page."""
RUNS = 6
"""Most runs of one report: as many as there are colours that everyone can tell apart."""


@dataclass(frozen=True)
class Written:
    """What `write_report` made."""

    page: Path
    """The HTML page."""
    figures: list[Path]
    """PNG figures."""
    notes: list[str]
    """What could not be shown, in sentences."""


@dataclass
class Gathered:
    """All that the page and the figures show."""

    runs: list[RunFolder]
    names: list[str]
    evaluations: list[dict[str, Any] | None]
    samples: list[dict[str, Any]] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    """Places, among ``runs``, of the runs that ``samples`` show."""
    answers: list[dict[str, Any]] = field(default_factory=list)
    """Questions with where each step of their answer looks, and "run", the place of theirs."""
    captions: list[dict[str, Any]] = field(default_factory=list)
    """Videos with what the runs that caption say of them (`caption_samples.samples`)."""
    descriptions: list[dict[str, Any]] = field(default_factory=list)
    """Stretches of films with what the runs say of them (`evaluation.report.description_samples`)."""
    photos: dict[str, Any] = field(default_factory=dict)
    """Key -> pixels, None where the photo is missing; of the samples' own images and those retrieved."""
    notes: list[str] = field(default_factory=list)


def write_report(
    paths: Sequence[Path], out: Path, images: Path | None = None, split: str = "test", count: int = 12,
    figures: bool = True,
) -> Written:
    """Write the page on the runs at ``paths`` to ``out``, and PNG figures into the folder ``out`` without its suffix.

    ``images`` is the folder of the photos; where None it is looked for at the paths the runs' configurations name.
    Raises `HeedError` where a path is no run folder or a file in it is damaged.
    """
    if not paths:
        raise HeedError("heed report needs at least one run folder")
    if len(paths) > RUNS:
        raise HeedError(f"one report shows at most {RUNS} runs, not {len(paths)}: choose those to compare")
    if images is not None and not images.is_dir():
        raise HeedError(f"there is no folder of photos {images}")
    found = gather([read_run(path) for path in paths], images, split, count)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as file:
        file.write(page(found, split).encode())
    drawn: list[Path] = []
    if figures:
        from evaluation.report.figures import write_figures

        drawn = write_figures(found, out.with_suffix(""))
    return Written(out, drawn, found.notes)


def gather(runs: list[RunFolder], images: Path | None, split: str, count: int) -> Gathered:
    """Read predictions, choose samples and load their photos."""
    found = Gathered(runs, words.labels(runs), [run.evaluations.get(split) for run in runs])
    judged = []
    for place, run in enumerate(runs):
        if run.config.get("task") != "matching":
            if found.evaluations[place] is None:
                found.notes.append(f"{found.names[place]} was not evaluated on the split {split}: no figures of it are "
                                   "shown")
            continue
        if split not in run.predictions:
            found.notes.append(f"{found.names[place]} has no predictions for the split {split}: no samples of it are "
                               "shown")
            continue
        truth = _truth(run, split)
        if truth is None:
            found.notes.append(f"the captions that {found.names[place]} was judged by are neither in its folder nor "
                               "where its configuration says: no samples of it are shown")
            continue
        if found.evaluations[place] is None:
            found.evaluations[place] = evaluate_matching(run.predictions[split], truth)
        judged.append(samples.judge(MatchingPredictions.read(run.predictions[split]), truth))
        found.shown.append(place)
    chosen = samples.choose(judged, count)
    if judged and count and not chosen:
        found.notes.append("the runs have no caption in common, so no samples are shown")
    found.samples = [samples.sample(judged, name) for name in chosen]
    found.answers = _answers(runs, split, count)
    written = [one for place, run in enumerate(runs) if (one := caption_samples.captioned(place, run, split))]
    found.captions = caption_samples.samples(written, images, count)
    found.descriptions = description_samples.chosen(runs, split, count)
    found.notes += _evaluation_notes(found)
    if shown := found.samples + found.answers:
        folder = images or photos.photo_folder(runs, shown[0]["key"])
        keys = dict.fromkeys(sample["key"] for sample in shown)
        found.photos = {key: photos.load_photo(folder, key) for key in keys}
        if missing := [key for key in keys if found.photos[key] is None]:
            where = f" in {folder}" if folder else ""
            found.notes.append(f"{len(missing)} of {len(keys)} photos were not found{where} (for example "
                               f"{missing[0]}): their boxes are drawn on an empty canvas; give the folder as --images")
        for key in {one["key"] for sample in found.samples for run in sample["runs"] for one in run["images"]}:
            if key not in found.photos:
                found.photos[key] = photos.load_photo(folder, key)
    return found


def _answers(runs: list[RunFolder], split: str, count: int) -> list[dict[str, Any]]:
    """Choose questions of the runs that have attention of their answers, equally many of each."""
    read = [(place, answered) for place, run in enumerate(runs) if run.config.get("task") != "matching"
            and (answered := answer_samples.answered(run, split)) is not None]
    chosen = []
    for place, answered in read:
        for name in answer_samples.choose(answered, max(1, count // len(read))):
            if (one := answer_samples.sample(answered, name)) is not None:
                chosen.append({**one, "run": place})
    return chosen


def _truth(run: RunFolder, split: str) -> list[Caption] | None:
    """Return the captions of a split: those kept in the run's folder, else those its configuration names."""
    if split in run.truth:
        return read_truth(run.truth[split])
    captions, holdout = run.setting("captions"), run.setting("holdout")
    if not isinstance(captions, str) or not Path(captions).exists():
        return None
    return read_captions(captions, split, holdout=0.2 if holdout is None else float(holdout))


def _evaluation_notes(found: Gathered) -> list[str]:
    """Return what the evaluations note, each once, with the runs it is about unless it is all of them."""
    about: dict[str, list[str]] = {}
    for name, evaluation in zip(found.names, found.evaluations, strict=True):
        for note in (evaluation or {}).get("notes", []):
            about.setdefault(note, []).append(name)
    return [note if len(names) == len(found.names) else f"{', '.join(names)}: {note}" for note, names in about.items()]


def page(found: Gathered, split: str) -> str:
    """Fill the template. It escapes whatever comes from data; the JSON for the script cannot end its element."""
    environment = Environment(loader=PackageLoader("evaluation.report", "."), autoescape=True,
                              undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    drawn = curves.charts(found.runs)
    figures, parts = tables.figure_rows(found.evaluations)
    apart, shared = tables.differences(found.runs)
    thumbs = {key: photos.data_uri(pixels, THUMBNAIL, 70) for key, pixels in found.photos.items() if pixels is not None}
    own = {sample["key"]: photos.data_uri(found.photos[sample["key"]], PHOTO)
           for sample in found.samples + found.answers if found.photos.get(sample["key"]) is not None}
    data = {"runs": found.names, "shown": found.shown, "samples": found.samples + found.answers,
            "charts": [{**asdict(chart), "lines": [{k: v for k, v in asdict(line).items() if k in "run x y"}
                                                   for line in chart.lines]} for chart in drawn]}
    return environment.get_template("page.html.j2").render(
        names=found.names, shown=found.shown, split=split, headline=words.headline(found.names, found.evaluations),
        described=[words.described(run) for run in found.runs], runs=found.runs, apart=apart, shared=shared,
        retrieval=tables.metric_rows(found.evaluations, "retrieval"),
        attention=tables.metric_rows(found.evaluations, "attention"), figures=figures, parts=parts,
        charts=drawn, frame=curves, samples=found.samples, answers=found.answers, captions=found.captions,
        descriptions=found.descriptions,
        answer_pieces=[pieces(sample) for sample in found.answers],
        verdicts=[words.verdict([found.names[place] for place in found.shown], [run["rank"] for run in sample["runs"]])
                  for sample in found.samples],
        pieces=[pieces(sample) for sample in found.samples], photos=own, thumbs=thumbs,
        thumb_class={key: f"t{number}" for number, key in enumerate(thumbs)}, notes=found.notes,
        data=embedded(data), protocols=sorted({e.get("protocol", "") for e in found.evaluations if e}),
        directions=sorted({e.get("direction", "") for e in found.evaluations if e}),
    )


def embedded(data: Any) -> Markup:
    """Return JSON that is safe inside a script element: no <, > or & is left in it."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}))


def pieces(sample: dict[str, Any]) -> list[dict[str, Any]]:
    """Cut a sample's caption into the words that are buttons and what stands between them, in order."""
    out: list[dict[str, Any]] = []
    at = 0
    linked = {word: number for number, phrase in enumerate(sample["phrases"]) for word in phrase["words"]}
    last = {phrase["words"][-1]: number for number, phrase in enumerate(sample["phrases"]) if phrase["words"]}
    for number, (start, end) in enumerate(sample["words"]):
        out.append({"text": sample["text"][at:start], "word": None})
        out.append({"text": sample["text"][start:end], "word": number, "phrase": linked.get(number),
                    "ends": last.get(number)})
        at = end
    out.append({"text": sample["text"][at:], "word": None})
    return [piece for piece in out if piece["text"]]
