"""The 1,600 objects and 400 attributes that bottom-up attention's detectors name."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "vocabularies"


def objects(count: int) -> list[str]:
    """Names by class id, or numbers where a detector has not as many classes."""
    return _names("vg_objects.txt", count)


def attributes(count: int) -> list[str]:
    """Names by attribute id, or numbers where a detector has not as many attributes."""
    return _names("vg_attributes.txt", count)


def _names(file: str, count: int) -> list[str]:
    """The first synonym of each line."""
    lines = (FOLDER / file).read_text(encoding="utf-8").splitlines()
    return [line.split(",")[0].strip() for line in lines] if len(lines) == count else [str(i) for i in range(count)]
