"""Which form of its keys a store has: datasets and published features name the same image differently.

"COCO_val2014_000000000042.jpg" in a dataset may be "COCO_val2014_000000000042", "000000000042.jpg", "000000000042" or
"42" in a store.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from pipeline.store import Store

_LOOKED_AT = 100
"""Different keys that are looked for in the store before a form is chosen."""


def _as_it_is(key: str) -> str:
    return key


def _without_ending(key: str) -> str:
    return str(PurePosixPath(key).with_suffix("")) if PurePosixPath(key).name else key


def _number(key: str) -> str:
    digits = re.search(r"(\d+)(?:\.\w+)?$", key)
    return str(int(digits[1])) if digits else key


def _padded(key: str) -> str:
    return _number(key).zfill(12)


def _coco_2017(key: str) -> str:
    return f"{_padded(key)}.jpg"


FORMS: tuple[Callable[[str], str], ...] = (_as_it_is, _without_ending, _coco_2017, _padded, _number)
"""In the order in which they are tried."""


@dataclass(frozen=True)
class KeyOf:
    """A sample's key in the store, from its ``key``; can be sent to another process."""

    form: Callable[[str], str] = _as_it_is

    def __call__(self, sample: Any) -> str:
        """The key in the store."""
        return self.form(sample.key)


def key_of(store: Store, keys: Iterable[str]) -> KeyOf:
    """The form under which the store holds most of the first keys; as they are where it holds none."""
    first = list(islice(dict.fromkeys(keys), _LOOKED_AT))
    return KeyOf(max(FORMS, key=lambda form: sum(store.find(form(key), True) is not None for key in first)))
