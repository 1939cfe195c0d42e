"""What `heed probe` does: gather what its options name, probe it, and say what came out."""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.probes import chosen
from evaluation.probes.cache import Cache
from evaluation.probes.observations import write_observations
from evaluation.probes.page import write_page
from evaluation.probes.pairs import Pairs, make_pairs, open_store
from evaluation.probes.run import Plan, missing, run_probes
from features.errors import HeedError
from pipeline.annotations import Caption, Relations
from pipeline.atomic import write_json
from pipeline.datasets import RELATION_DATASETS, read_captions, read_relations

if TYPE_CHECKING:
    from evaluation.commands.probe import Probe


def probe(command: Probe) -> int:
    """Run the command; exit status 0."""
    from evaluation.subjects import load_subject

    names = chosen(command.probes)
    pairs = read_pairs(command)
    width = None if pairs is None else int(pairs.store.identity.fields["features"].inner[0])
    subject = load_subject(command.subject, command.vocabulary, command.seed, features=width)
    command.out.mkdir(parents=True, exist_ok=True)
    plan = Plan(subject, pairs, command.out, names, command.variants, command.options, command.sentences,
                command.foils, command.batch, command.dtype, command.device, command.pictures, command.seed)
    write_json(command.out / "probe.json", {"subject": subject.name, "description": subject.description,
                                            "command": {name: _plain(value) for name, value in vars(command).items()}})
    for name, lack in missing(plan).items():
        print(f"Not measured: {name}, as the data has no {lack}.")
    if pairs is not None:
        links = sum(len(pair.links) for pair in pairs.pairs)
        print(f"{len(pairs):,} pairs of {len(pairs.merged):,} images, {links:,} linked phrases, "
              f"{sum(len(pair.relations) for pair in pairs.pairs):,} relations; {pairs.left_out:,} annotated boxes "
              "have no region and are left out.")
    found = run_probes(plan)
    observed = write_observations(found, command.out)
    page = write_page(command.out, subject.name, found, observed, _readings(command), pairs.pairs if pairs else (),
                      _photos(command))
    for one in observed:
        print(f"{one.number:>3}. {one.claim}: {one.verdict}.")
    print(f"The results are in {command.out}; {page} shows the attention of every head.")
    return 0


def read_pairs(command: Probe) -> Pairs | None:
    """The pairs that the options name; None where they name no captions. Raises `HeedError` where half is missing."""
    if command.data is None:
        return None
    if command.store is None:
        raise HeedError("Captions need their images' regions: give --store, made by heed extract regions.")
    captions: list[Caption] = []
    objects: list[Relations] = []
    where = command.objects or command.data
    boxed = command.objects is not None or any(import_module(module).recognises(where)
                                               for module in RELATION_DATASETS.values())
    for split in command.splits or (None,):
        captions += read_captions(command.data, split)
        objects += read_relations(where, split) if boxed else []
    if not any(caption.phrases for caption in captions) and objects:
        from pipeline.datasets.coco_instances import named

        captions = named(captions, objects)
    return make_pairs(captions, objects, open_store(command.store),
                      None if command.given is None else open_store(command.given), command.regions, command.iou,
                      command.images, command.captions, command.holdout, command.seed)


def _readings(command: Probe) -> Cache | None:
    """The subject's own readings, where a probe needed any."""
    path = command.out / "subject" / "readings"
    return Cache.open(path) if (path / "cache.json").exists() else None


def _photos(command: Probe) -> Path | None:
    own = None if command.data is None else command.data / "images"
    return command.photos or (own if own is not None and own.is_dir() else None)


def _plain(value: object) -> object:
    if hasattr(value, "__dataclass_fields__"):
        return asdict(value)  # type: ignore[call-overload]
    return value if isinstance(value, int | float | str | tuple | None) else str(value)
