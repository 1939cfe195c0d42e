"""Arrow files of predictions: mapped, with the columns they should have."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from features.errors import HeedError


def mapped_table(path: Path, schema: pa.Schema, what: str) -> pa.Table:
    """The table of an Arrow file, mapped: nothing is read before it is asked for.

    ``what`` names the file in messages, such as "attention file". Raises `HeedError` where there is no such file, where
    it is cut short or none of Arrow's, and where a column of ``schema`` is missing or of another type.
    """
    try:
        with pa.memory_map(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
    except FileNotFoundError:
        raise HeedError(f"there is no {what} {path}") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise HeedError(f"the {what} {path} is not a whole Arrow file ({error}): write it again") from None
    wrong = [f.name for f in schema if f.name not in table.schema.names or table.schema.field(f.name).type != f.type]
    if wrong:
        raise HeedError(f"{path} is not a {what} of heed: column {wrong[0]!r} is missing or not "
                        f"{schema.field(wrong[0]).type}")
    return table
