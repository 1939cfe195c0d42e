"""The members of an .npz that a format asks for, and no others: strays such as ``allow_pickle`` are never looked at."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence

import numpy as np

from features.errors import HeedError
from features.restricted import read_npy
from pipeline.exchange.arrays import MAX_ENTRY

_DEFLATE_RATIO = 1032
"""Most bytes that one byte of deflate can stand for."""


def read_npz(data: bytes, names: Sequence[str], objects: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Those of the members ``names`` that are there, and those of ``objects``, which may be pickled (restricted).

    Raises `HeedError` where the archive is cut short or damaged, or promises more than it can hold.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            return {name: read_npy(_member(archive, members[name]), name in objects)
                    for name in (*names, *objects) if name in members}
    except HeedError:
        raise
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, RuntimeError, LookupError) as error:
        raise HeedError(f"is no whole .npz archive: {error}") from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise HeedError(f"{info.filename[:40]!r} is compressed in a way that NumPy does not use")
    if info.file_size > min(MAX_ENTRY, info.compress_size * _DEFLATE_RATIO + 1024):
        raise HeedError(f"{info.filename[:40]!r} promises {info.file_size} bytes, more than its "
                        f"{info.compress_size} can hold")
    return archive.read(info)
