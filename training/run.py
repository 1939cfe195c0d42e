"""A run folder as training writes it: resolved config, environment, metrics; reading it is `evaluation.run_folder`'s.

    RUN/config.json        every option, resolved, with the task's name
    RUN/environment.json   versions, and fingerprints of the stores read
    RUN/metrics.jsonl      {"step", "epoch", "split", figures…}, one line a logged step or validation
    RUN/checkpoints/       last.pt (to go on from) and best.pt (best monitored figure)
    RUN/tensorboard/       the same figures for TensorBoard
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import platform
import types
import typing
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from features.errors import HeedError
from pipeline.atomic import atomic_write, write_json
from pipeline.places import Remote, place

C = TypeVar("C")
FREE = ("out", "loop.device", "loop.workers", "loop.address")
"""Options with which a run may be gone on with though they were others: where and by how many it is made."""


class Run:
    """A run's folder as training writes it, new or to be gone on with."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.metrics = path / "metrics.jsonl"

    @staticmethod
    def begin(path: Path, task: str, config: Any, fingerprints: dict[str, str]) -> Run:
        """Create the folder, or check that what is in it is this run: the same options over the same stores.

        Raises `HeedError` naming the options that differ. Where it is made, by how many workers, and where it lies may
        change.
        """
        run = Run(path)
        resolved = {"task": task, **to_json(config)}
        environment = {"versions": versions(), "fingerprints": fingerprints}
        if (path / "config.json").exists():
            before = flat(json.loads((path / "config.json").read_text(encoding="utf-8")))
            stores = json.loads((path / "environment.json").read_text(encoding="utf-8"))["fingerprints"]
            now = flat(json.loads(json.dumps(resolved)))
            changed = [name for name in {*before, *now} if name not in FREE and before.get(name) != now.get(name)]
            if changed or stores != fingerprints:
                what = ", ".join(f"{n}: {before.get(n)} then, {now.get(n)} now" for n in sorted(changed)[:4])
                raise HeedError(f"{path} holds another run ({what or 'its store has changed since'}). "
                                "Name another --out, or the same options to go on with it.")
        else:
            run.checkpoints.mkdir(parents=True, exist_ok=True)
            write_json(path / "environment.json", environment)
            write_json(path / "config.json", resolved)  # last: with it the run exists
        return run

    def log(self, **figures: Any) -> None:
        """Append one line to metrics.jsonl."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop logged lines of steps behind ``step``, and a line that a kill cut short: they will be logged again."""
        if not self.metrics.exists():
            return
        kept = []
        for line in self.metrics.read_bytes().splitlines(keepends=True):
            try:
                if json.loads(line)["step"] <= step and line.endswith(b"\n"):
                    kept.append(line)
            except ValueError:
                continue
        with atomic_write(self.metrics) as file:
            file.writelines(kept)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that numbers depend on."""
    found = {"python": platform.python_version()}
    for name in ("heed", "torch", "torchvision", "numpy", "pyarrow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def to_json(value: Any) -> Any:
    """A config dataclass as plain JSON values; paths become absolute, URLs stay."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, Remote):
        return str(value)
    if isinstance(value, tuple | list):
        return [to_json(part) for part in value]
    return value


def from_json(kind: type[C], value: dict[str, Any]) -> C:
    """Inverse of `to_json`; `HeedError` where the config has an option this heed does not know."""
    hints = typing.get_type_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for name in value:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did it mean {near[0]}?" if near else ""
            raise HeedError(f"The run's config has the option {name!r}, which this heed does not know{hint}")
    return kind(**{name: _typed(hints[name], part) for name, part in value.items()})


def _typed(hint: Any, value: Any) -> Any:
    if Remote in typing.get_args(hint):
        return None if value is None else place(value)
    if isinstance(hint, types.UnionType):
        return None if value is None else _typed(next(h for h in hint.__args__ if h is not type(None)), value)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, value)
    if hint is Path:
        return Path(value)
    if typing.get_origin(hint) is tuple:
        parts = typing.get_args(hint)
        return tuple(_typed(parts[0], part) for part in value) if parts[1:] == (...,) else tuple(value)
    return value


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """A nested config as {"attention.score": …}."""
    if isinstance(value, dict):
        return {key: leaf for part, inner in value.items() for key, leaf in flat(inner, f"{name}.{part}").items()}
    return {name.lstrip("."): value}
