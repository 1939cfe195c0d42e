"""VALUE on two models that heed trained: every probe, every control, the five observations; writes docs/value.md.

    python -m benchmarks.value STORE SCENES RUNS OUT [SENTENCES]

RUNS/single and RUNS/two are the runs of `python -m benchmarks.pretraining STORE SCENES RUNS`; the probes see scenes
that those were not trained on. SENTENCES: a folder of SentEval's probing files. OUT takes readings and tables; figures
go to benchmarks/results/value/MODEL, and the page is written from them alone (`python -m benchmarks.value` does that).
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evaluation.bootstrap import Figure
from evaluation.probes.fusion import FIGURES
from evaluation.probes.linear import ALL, MAJORITY
from evaluation.probes.linguistic import BEST
from evaluation.probes.result import Result, Row, load
from evaluation.probes.tables import shown

HERE = Path(__file__).parent / "results"
PAGE = Path(__file__).parents[1] / "docs" / "value.md"
MODELS = {"single": "one stream (UNITER's)", "two": "two streams (LXMERT's)"}
IMAGES, REGIONS = 800, 16
COMMAND = f"--splits val test --images {IMAGES} --regions {REGIONS}"


def probe(words: Sequence[str]) -> None:
    """Probe both runs and keep the figures."""
    from heed import main as heed

    store, scenes, runs, out = words[:4]
    sentences = ["--sentences", words[4]] if len(words) > 4 else []
    for name in MODELS:
        if not Path(runs, name, "evaluation", "test.json").exists():
            print(f"{name} is not trained yet and is left out.")
            continue
        if heed(["probe", str(Path(runs, name)), "--data", scenes, "--store", store, "--out", str(Path(out, name)),
                 *COMMAND.split(), *sentences]):
            raise SystemExit(f"probing {name} failed")
        kept = HERE / "value" / name
        shutil.rmtree(kept, ignore_errors=True)
        for file in sorted(Path(out, name).rglob("*.json")):
            if file.parent.name in ("subject", "random", "mismatched", name) and file.name != "probe.json":
                found = kept / file.relative_to(Path(out, name))
                found.parent.mkdir(parents=True, exist_ok=True)
                found.write_text(_anonymous(file))


def _anonymous(file: Path) -> str:
    """A result without the paths of the machine that made it."""
    said = json.loads(file.read_text(encoding="utf-8"))
    if isinstance(said, dict):
        said["made_from"] = {"pairs": said.get("made_from", {}).get("pairs"),
                             "weights": said.get("made_from", {}).get("description", {}).get("weights")}
    return json.dumps(said, ensure_ascii=False) + "\n"


def probed() -> dict[str, str]:
    """The models whose figures are kept."""
    return {name: title for name, title in MODELS.items() if (HERE / "value" / name / "observations.json").exists()}


def found(name: str, variant: str, probe: str) -> Result | None:
    """A kept result."""
    path = HERE / "value" / name / variant / f"{probe}.json"
    return load(path)[0] if path.exists() else None


def rows(name: str, variant: str, probe: str, table: str, **where: Any) -> list[Row]:
    """Rows of a kept result's table; none where it was not measured."""
    result = found(name, variant, probe)
    return [] if result is None else result.find(table, **where)


def markdown(lines: Sequence[dict[str, Any]], head: Sequence[str]) -> str:
    """A table; cells that a row does not have are empty."""
    out = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join(out + [f"| {' | '.join(_cell(key, line.get(key)) for key in head)} |" for line in lines])


def _cell(key: str, value: Any) -> str:
    """A figure with its interval, in percent unless it is no share."""
    if isinstance(value, float) and key == "share":
        return f"{100 * value:.0f}"
    if not isinstance(value, Figure) or key in ("ratio", *FIGURES):
        return shown(value)
    low, high = 100 * value.low, 100 * value.high
    return f"{100 * value.value:.1f}" + (f" [{low:.1f}, {high:.1f}]" if low == low else "")


def trained() -> str:
    """What the two models learnt."""
    said = json.loads((HERE / "pretraining.json").read_text(encoding="utf-8"))
    lines = []
    for name, title in probed().items():
        figures = said[name]["test"]["figures"]
        lines.append({"model": title, "parameters": f"{said[name]['parameters']:,}",
                      "core-minutes": said[name]["core_minutes"],
                      **{head: f"{figures[key]['value']:.1f}" for head, key in (
                          ("hidden words", "word_accuracy"), ("with another image", "word_accuracy_other"),
                          ("commonest word", "word_accuracy_commonest"), ("hidden regions", "region_accuracy"),
                          ("with another caption", "region_accuracy_other"), ("matching", "matching_accuracy"))}})
    return markdown(lines, list(lines[0]))


def linear(probe: str, table: str) -> str:
    """One row a model and variant: all heads together, and what could answer without them."""
    lines: list[dict[str, Any]] = []
    for name, title in probed().items():
        for variant in ("subject", "random", "mismatched"):
            for row in rows(name, variant, probe, table, features=ALL):
                lines.append({"model": title, "variant": variant, **row})
        lines += [{"model": title, "variant": f"baseline: {row['features']}", "accuracy": row["accuracy"]}
                  for row in rows(name, "subject", probe, table)
                  if row.get("validation") is not None and "shuffled" not in row]
    return markdown(lines, ["model", "variant", "accuracy", "shuffled", "selectivity", f"over {MAJORITY}"])


def states(probe: str, table: str) -> str:
    """The best layer's states, chosen on validation."""
    from evaluation.probes.linear import best_row

    lines = []
    for name, title in probed().items():
        for variant in ("subject", "random", "mismatched"):
            measured = [row for row in rows(name, variant, probe, table) if "shuffled" in row]
            if measured:
                best = best_row(measured)
                lines.append({"model": title, "variant": variant, "layer": best["features"], **best})
    return markdown(lines, ["model", "variant", "layer", "accuracy", "shuffled", "selectivity", f"over {MAJORITY}"])


def each(probe: str, table: str, head: Sequence[str], variants: Sequence[str] = ("subject", "random"),
         **where: Any) -> str:
    """A table of all rows of both models."""
    lines = [{"model": title, "variant": variant, **row} for name, title in probed().items() for variant in variants
             for row in rows(name, variant, probe, table, **where)]
    return markdown(lines, ["model", "variant", *head])


def observations() -> str:
    """The five, with every condition."""
    said = {name: json.loads((HERE / "value" / name / "observations.json").read_text(encoding="utf-8"))
            for name in probed()}
    first = next(iter(said.values()))
    lines = [{"": f"{one['number']}. {one['claim']}", **{title: said[name][at]["verdict"]
                                                         for name, title in probed().items()}}
             for at, one in enumerate(first)]
    out = [markdown(lines, ["", *probed().values()])]
    for name, title in probed().items():
        out += ["", f"Of {title}:", ""]
        for one in said[name]:
            conditions = [f"{condition['text']} ({'yes' if condition['holds'] else 'no'})"
                          for condition in one["conditions"]]
            out.append(f"- **{one['number']}**, {one['verdict']}: {'; '.join(conditions or one['also'])}.")
    return "\n".join(out)


SECTIONS: dict[str, Callable[[], str]] = {
    "trained": trained,
    "observations": observations,
    "coreference detection": lambda: linear("coreference-attention", "coreference detection"),
    "coreference classification": lambda: linear("coreference-attention", "coreference classification"),
    "coreference of single heads": lambda: each(
        "coreference-heads", "coreference of single heads",
        ["direction", "head", "right", "chance", "other phrase", "mean of all heads"], type="all"),
    "coreference from states": lambda: states("coreference-states", "coreference detection"),
    "relation identification": lambda: linear("relations-attention", "relation identification"),
    "relation classification": lambda: linear("relations-attention", "relation classification"),
    "relations from states": lambda: states("relations-states", "relation classification"),
    "fusion": lambda: each("fusion", "fusion", ["layer", *FIGURES]),
    "importance": lambda: each("importance", "importance", ["layer", "text share", "uniform", "ratio"],
                               looking="[CLS]"),
    "cross-modal heads": lambda: each(
        "cross-modal-heads", "cross-modal heads",
        ["direction", "statistic", "highest head", "highest", "mean", "share of heads above 0.5"]),
    "linguistic": lambda: each("linguistic", BEST, ["task", "layer", "accuracy", MAJORITY, "shuffled"]),
    "patterns": lambda: each("patterns", "patterns", ["class", "heads", "share"]),
}


def write_page() -> None:
    """Fill what stands between <!-- NAME --> and <!-- end --> in docs/value.md anew."""
    text = PAGE.read_text(encoding="utf-8")
    for name, make in SECTIONS.items():
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, opened, rest = text.partition(start)
        if not opened:
            raise SystemExit(f"{PAGE} has no place for {name!r}")
        text = before + start + make() + "\n" + end + rest.partition(end)[2]
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        probe(sys.argv[1:])
    write_page()
