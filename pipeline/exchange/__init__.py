"""Somebody else's feature files, by name. To add a format: a file in this folder and a line here.

A format's module has ``items(path) -> Iterable[Item]``, which lists the file's entries without reading them whole, and
``read(item) -> Regions | Clips | Tokens``, which reads one of them or raises `HeedError` with the reason it cannot be
read. What `read` gives for the first entry decides the kind of store. Where heed writes the format too, it has
``write(rows, fields, path)``, which makes the file or folder ``path`` (and files beside it, where the format has them)
from rows of the kinds that ``KINDS`` names, or of regions. ``NOTE`` says what a store made from it should tell.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from types import ModuleType

from features.errors import HeedError

EXCHANGE = {
    "butd-tsv": "pipeline.exchange.butd_tsv",
    "lxmert-tsv": "pipeline.exchange.lxmert_tsv",
    "volta-tsv": "pipeline.exchange.volta_tsv",
    "uniter-npz": "pipeline.exchange.uniter_npz",
    "uniter-lmdb": "pipeline.exchange.uniter_lmdb",
    "vilbert-lmdb": "pipeline.exchange.vilbert_lmdb",
    "volta-h5": "pipeline.exchange.volta_h5",
    "milvlg-npz": "pipeline.exchange.milvlg_npz",
    "scan-npy": "pipeline.exchange.scan_npy",
    "mmf-lmdb": "pipeline.exchange.mmf_lmdb",
    "mmf-npy": "pipeline.exchange.mmf_npy",
    "qvhighlights-npz": "pipeline.exchange.qvhighlights_npz",
    "clevr-h5": "pipeline.exchange.clevr_h5",
    "mad-h5": "pipeline.exchange.mad_h5",
    "h5": "pipeline.exchange.plain_h5",
    "parquet": "pipeline.exchange.plain_parquet",
}


def exchange_format(name: str) -> ModuleType:
    """The module of the format called ``name``; `HeedError` with the nearest name if there is none."""
    if name not in EXCHANGE:
        near = difflib.get_close_matches(name, EXCHANGE, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise HeedError(f"There is no exchange format {name!r}; heed has {', '.join(EXCHANGE)}.{hint}")
    return import_module(EXCHANGE[name])
