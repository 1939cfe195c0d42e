"""Small JSON files that notice when a bit of them has changed: store.json and the commit records.

A sealed file is an object, indented by one space, whose last member ``seal`` is the SHA-256 of the same text without
that member. It has exactly one form, so that any other byte, were it only a space or the last line's end, is damage.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pipeline.atomic import atomic_write
from pipeline.places import Place

SEAL = "seal"
END = b"\n}"


def sealed(value: dict[str, Any]) -> bytes:
    """``value``, of at least one member, with its seal, as the file holds it."""
    body = json.dumps(value, indent=1, ensure_ascii=False).encode().removesuffix(END)
    return body + _seal(body)


def unsealed(data: bytes) -> dict[str, Any]:
    """What a sealed file holds, without the seal; `ValueError` where it is damaged. A file without a seal is taken."""
    value = json.loads(data.decode("utf-8"))
    if not isinstance(value, dict):
        raise ValueError("it holds no JSON object")
    body = data[:-len(_seal(b""))]
    if value.pop(SEAL, None) is not None and data != body + _seal(body):
        raise ValueError("it does not match its seal, the SHA-256 of its content")
    return value


def write_sealed(path: Place, value: dict[str, Any], aside: Place | None = None) -> None:
    """Write ``value`` with its seal, atomically; the same value gives the same bytes."""
    with atomic_write(path, aside) as file:
        file.write(sealed(value))


def _seal(body: bytes) -> bytes:
    """What follows ``body``, an object's text without its end."""
    digest = hashlib.sha256(body + END + b"\n").hexdigest().encode()
    return b',\n "%s": "%s"' % (SEAL.encode(), digest) + END + b"\n"
