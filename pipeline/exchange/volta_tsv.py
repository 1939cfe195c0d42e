"""VOLTA's TSV: LXMERT's ten columns and three more: cls_prob, attrs, classes.

Source: e-bug/volta, data/*/extract_*_image.py. The three hold every class's and attribute's probability, which a store
does not keep: they are passed over when read and left empty when written. Files without them are read as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from features.regions import Regions
from pipeline.exchange.lxmert_tsv import COLUMNS, lxmert_line, lxmert_regions
from pipeline.exchange.tsv import columns, lines, write_lines
from pipeline.fields import Fields, Row
from pipeline.sources import Item, read_bytes

MORE = ("cls_prob", "attrs", "classes")

items = lines


def read(item: Item) -> Regions:
    """One line's regions; `HeedError` with the reason where it cannot be read."""
    return lxmert_regions(columns(read_bytes(item), COLUMNS, MORE))


def write(rows: Iterable[Row], fields: Fields, path: Path) -> None:
    """Write the file ``path``."""
    write_lines(rows, path, lambda row: [*lxmert_line(row), "", "", ""])
