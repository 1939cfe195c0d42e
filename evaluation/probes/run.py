"""Read, probe, write: every variant of a subject through every probe, going on where an interrupted run stopped.

    OUT/probe.json             what was asked, and with which versions
    OUT/VARIANT/sentences/     pooled states of SentEval's sentences (`evaluation.probes.sentences`)
    OUT/VARIANT/readings/      the cache (`evaluation.probes.cache`), where a probe needs it
    OUT/VARIANT/PROBE.json     a probe's result (`evaluation.probes.result`), written last
    OUT/VARIANT/PROBE.csv, .md, .tex, PROBE-MAP.png

VARIANT is "subject", "random" (the same network, random weights) or "mismatched" (each image with another's caption).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.probes import load_probe
from evaluation.probes.heat_maps import draw_maps
from evaluation.probes.options import ProbeOptions
from evaluation.probes.pairs import Pairs, mismatched
from evaluation.probes.result import Result, load, save
from evaluation.probes.study import Study
from evaluation.probes.tables import write_tables
from features.errors import HeedError
from pipeline.datasets.senteval import files

if TYPE_CHECKING:
    from evaluation.subjects.subject import Subject

VARIANTS = ("subject", "random", "mismatched")


@dataclass(frozen=True)
class Plan:
    """What is to be done."""

    subject: Subject
    pairs: Pairs | None
    """None where only sentences are probed."""
    out: Path
    probes: Sequence[str]
    variants: Sequence[str] = VARIANTS
    options: ProbeOptions = field(default_factory=ProbeOptions)
    sentences: Path | None = None
    """Folder of SentEval's probing files."""
    foils: Path | None = None
    """File or folder of foils (`pipeline.datasets.foils`)."""
    batch: int = 32
    dtype: str = "float16"
    device: str = "cpu"
    pictures: bool = True
    """Whether heat maps are drawn."""
    seed: int = 0
    """Of random weights and of mismatched captions."""


def run_probes(plan: Plan) -> dict[str, dict[str, Result]]:
    """Do it: variant -> probe -> result. Raises `HeedError` where nothing at all can be probed."""
    found: dict[str, dict[str, Result]] = {}
    for variant in plan.variants:
        if variant == "random" and plan.subject.description.get("weights") == "random":
            continue
        names = [name for name in plan.probes if variant in load_probe(name).VARIANTS and _has(plan, name)]
        if names:
            found[variant] = _variant(plan, variant, names)
    if not any(found.values()):
        raise HeedError(f"None of the probes {', '.join(plan.probes)} can be asked of this data: captions with a store "
                        "(--data, --store) or sentences (--sentences) are needed.")
    return found


def missing(plan: Plan) -> dict[str, str]:
    """Probe -> what the data lacks for it."""
    lacks = {"pairs": "captions with a store of regions (--data, --store)", "links": "phrases linked to boxes",
             "relations": "relations between boxes", "sentences": "SentEval's probing files (--sentences)",
             "foils": "foils with their images' regions (--foils, --data, --store)"}
    return {name: lacks[load_probe(name).NEEDS] for name in plan.probes if not _has(plan, name)}


def _has(plan: Plan, name: str) -> bool:
    pairs = plan.pairs.pairs if plan.pairs else ()
    return {"pairs": bool(pairs), "links": any(pair.links for pair in pairs),
            "relations": any(pair.relations for pair in pairs), "sentences": plan.sentences is not None,
            "foils": bool(pairs) and plan.foils is not None,
            }[load_probe(name).NEEDS]


def _variant(plan: Plan, variant: str, names: Sequence[str]) -> dict[str, Result]:
    folder = plan.out / variant
    folder.mkdir(parents=True, exist_ok=True)
    subject, pairs = plan.subject, plan.pairs
    if variant == "random":
        from evaluation.subjects.randomised import randomised

        subject = randomised(subject, plan.seed)
    if variant == "mismatched" and pairs is not None:
        pairs = mismatched(pairs, plan.seed)
    made_from: dict[str, Any] = {
        "subject": subject.name, "description": subject.description, "pairs": pairs.digest() if pairs else None,
        "options": asdict(plan.options), "sentences": str(plan.sentences), "dtype": plan.dtype,
        "foils": str(plan.foils), "seed": plan.seed}
    done = {name: result for name in names if (result := _earlier(folder / f"{name}.json", made_from)) is not None}
    left = [name for name in names if name not in done]
    if left:
        study = _study(plan, variant, subject, pairs, folder, left)
        for name in left:
            done[name] = _probe(study, name, folder, made_from, plan.pictures)
    return {name: done[name] for name in names}


def _study(
    plan: Plan, variant: str, subject: Subject, pairs: Pairs | None, folder: Path, names: Sequence[str]
) -> Study:
    """Let the subject read what the probes need."""
    from evaluation.probes.reading import fill_cache, fill_sentences

    needs = {load_probe(name).NEEDS for name in names}
    cache = None
    if pairs is not None and needs - {"sentences"}:
        cache = fill_cache(subject, pairs, folder / "readings", plan.batch, plan.dtype, device=plan.device,
                           title=f"{variant}: reading")
    sentences = None
    if plan.sentences is not None and "sentences" in needs:
        sentences, options = folder / "sentences", plan.options
        fill_sentences(subject, files(plan.sentences), sentences, options.sentence, options.most_sentences,
                       options.blank_regions, device=plan.device, title=f"{variant}: reading")
    return Study(variant, cache, pairs, plan.options, folder / "scratch", sentences, subject, plan.foils, plan.batch,
                 plan.device, plan.seed)


def _probe(study: Study, name: str, folder: Path, made_from: dict[str, Any], pictures: bool) -> Result:
    shutil.rmtree(study.scratch, ignore_errors=True)
    study.scratch.mkdir(parents=True)
    try:
        result = load_probe(name).run(replace(study, name=name))
    finally:
        shutil.rmtree(study.scratch, ignore_errors=True)
    write_tables(result, folder)
    if pictures:
        draw_maps(result, folder)
    save(result, folder / f"{name}.json", made_from)
    return result


def _earlier(path: Path, made_from: dict[str, Any]) -> Result | None:
    """A result that is there and was made from the same."""
    if not path.exists():
        return None
    result, said = load(path)
    return result if said == json.loads(json.dumps(made_from)) else None
