"""Bytes to try readers with: valid files, changed anywhere or in places that matter, and files built to be absurd.

Everything follows from a `random.Random`, so that hypothesis can draw and shrink it and a seed can repeat it.
"""

from __future__ import annotations

import base64
import copy
import io
import json
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.fuzz.packed import NUMBERS, SHAPES, some_pickle
from pipeline.sealed import sealed


def mutated(data: bytes, rng: random.Random, most: int = 4) -> bytes:
    """``data`` with up to ``most`` changes: bits, bytes, whole numbers, pieces cut out, put in, doubled or moved."""
    out = bytearray(data)
    for _ in range(rng.randint(1, most)):
        at = rng.randrange(len(out) + 1)
        size = 1 + rng.randrange(min(64, len(out) + 1))
        kind = rng.randrange(8)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and at < len(out):
            out[at] = rng.randrange(256)
        elif kind in (2, 3):
            width = rng.choice((2, 4, 8))
            number = rng.choice(NUMBERS) & (1 << 8 * width) - 1
            out[at:at + width] = number.to_bytes(width, rng.choice(("little", "little", "big")))
        elif kind == 4:
            del out[at:at + size]
        elif kind == 5:
            out[at:at] = bytes(rng.randrange(256) for _ in range(size))
        elif kind == 6:
            start = rng.randrange(len(out) + 1)
            out[at:at] = out[start:start + size]
        else:
            del out[at:]
    return bytes(out)


# .npy and .npz

_DESCRIPTIONS: tuple[Any, ...] = (
    "<f4", "<f4", "<f2", ">f8", "|O", "<i8", "|b1", "<U3", "|S9", "|S999999999", "<U2147483647", "<M8[ns]", "V8",
    "f4,f4", "<c16", "", "x" * 500, [("a", "<f4")], [("a", "<f4", (1 << 40,))], ("<f4", (3,)), 4, None,
    {"names": ["a"]}, "O8")
_HEADERS = ("(" * 3000, "[" * 200 + "]" * 200, "{" * 500, "9" * 6000, "-" * 5000 + "1", "'" + "a" * 9000, "()", "{}",
            "", "__import__('os').getpid()", "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'more': 1}",
            "{'descr': '<f4', 'fortran_order': False}", "{1: 2}", "\x00", "{'shape': 1 << 60}", "1if 1else 2", "{**{}}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (3L,), }")


def npy(rng: random.Random) -> bytes:
    """An .npy whose header may say anything."""

    def sound(value: Any, others: Sequence[Any]) -> Any:
        return value if rng.random() < 0.7 else rng.choice(others)

    header = sound(repr({
        "descr": sound("<f4", _DESCRIPTIONS), "fortran_order": sound(False, (True, 0, None, "no")),
        "shape": sound((3, 4), SHAPES)}), _HEADERS)
    body = sound(np.ones(12, "<f4").tobytes(), (b"", bytes(24), bytes(6), some_pickle(rng), bytes(range(256))))
    return npy_of(header.encode("latin1"), body, sound((1, 0), ((2, 0), (3, 0), (1, 1), (255, 255))),
                  sound(None, (0, 65535, (1 << 32) - 1)))


def npy_of(header: bytes, body: bytes, version: tuple[int, int] = (1, 0), told: int | None = None) -> bytes:
    """An .npy of this header, ``told`` being what it says of the header's length."""
    length = len(header) if told is None else told
    size = struct.pack("<H", length & 65535) if version[0] == 1 else struct.pack("<I", length)
    return b"\x93NUMPY" + bytes(version) + size + header + body


_BOMB = npy_of(repr({"descr": "|u1", "fortran_order": False, "shape": (1 << 18, 1)}).encode(), bytes(1 << 18))


def npz(rng: random.Random, valid: Callable[[], Sequence[bytes]]) -> bytes:
    """An .npz as ``valid`` gives it, with some members absurd, or a directory that lies about them."""
    with zipfile.ZipFile(io.BytesIO(valid()[0])) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    file = io.BytesIO()
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(file, "w", rng.choice(methods)) as archive:
        for name, body in members.items():
            if rng.random() < 0.12:
                body = rng.choice((npy(rng), mutated(body, rng), b"", _BOMB))
            stem = name.removesuffix(".npy")
            archive.writestr(rng.choice((name,) * 40 + (stem, f"../{name}", f"{name}/", "allow_pickle.npy")), body)
    data = bytearray(file.getvalue())
    if rng.random() < 0.4:
        start = data.find(b"PK\x01\x02")
        for at in (8, 10, 20, 24, 28, 30, 32, 42):  # flags, method, sizes, name, extra, comment, offset of the member
            if rng.random() < 0.3:
                width = 2 if at in (8, 10, 28, 30, 32) else 4
                number = rng.choice(NUMBERS) & (1 << 8 * width) - 1
                data[start + at:start + at + width] = number.to_bytes(width, "little")
    return bytes(data)


# TSV

def tsv(rng: random.Random, columns: Sequence[str], integers: Sequence[str]) -> bytes:
    """Lines of columns, each a number or base64 as it should be, or something else."""
    lines = []
    for number in range(rng.randrange(4)):
        fields = []
        for name in columns:
            if rng.random() < 0.08:
                fields.append(rng.choice((
                    b"", b"b''", b'b"', b"=", b"AAAA", b"-1", b"99999999999999999999", b"9" * 5000, b"1e3", b" 3 ",
                    b"\xff\xfe", b"nan", b"0x3", b"3_0", "３".encode(), base64.b64encode(bytes(7)), b"A" * 5, b"====",
                    b"\x00")))
            elif name in integers:
                fields.append(b"3" if "num" in name else b"9")
            elif name.endswith("id") and name in columns[:1]:
                fields.append(b"%d" % number)
            else:
                width = {"boxes": 4, "features": 5}.get(name, 1)
                values = np.ones((3, width), np.int64 if name.endswith("_id") else np.float32)
                text = base64.b64encode(values.tobytes())
                fields.append(b"b'" + text + b"'" if rng.random() < 0.1 else text)
        if rng.random() < 0.1:
            rng.shuffle(fields)
        if rng.random() < 0.1:
            del fields[rng.randrange(len(fields)):]
        lines.append(b"\t".join(fields))
    return rng.choice((b"\n", b"\r\n", b"\n\n", b"\r")).join(lines) + rng.choice((b"\n", b"", b"\t"))


# Tars

def tar(rng: random.Random, members: Sequence[tuple[str, bytes]]) -> bytes:
    """A tar of ``members`` whose headers, with right checksums, say other things than they should."""
    file = io.BytesIO()
    form = rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        for name, body in members:
            info = tarfile.TarInfo(rng.choice((name,) * 9 + ("../" + name, "/" + name, name + "é", "a" * 70 + name)))
            info.size = len(body)
            if form == tarfile.PAX_FORMAT and rng.random() < 0.2:
                key = rng.choice(("size", "path", "linkpath", "GNU.sparse.map", "GNU.sparse.size", "mtime", "x"))
                info.pax_headers = {key: rng.choice(("", "0", "-1", "9" * 30, "1,2,3", "x" * 9, "../../x"))}
            archive.addfile(info, io.BytesIO(body))
    data = bytearray(file.getvalue())
    for at in range(0, len(data) - 511, 512):
        if data[at + 257:at + 262] == b"ustar" and rng.random() < 0.4:
            _change_header(data, at, rng)
    return bytes(data)


def _change_header(data: bytearray, at: int, rng: random.Random) -> None:
    kind = rng.randrange(4)
    if kind == 0:
        octal = rng.choice((b"77777777777", b"00000000000", b"00000001000", b"-0000000001", b" " * 11, b"9999999999x"))
        data[at + 124:at + 135] = octal
    elif kind == 1:
        data[at + 124:at + 136] = rng.choice((b"\x80", b"\xff")) + rng.choice(NUMBERS).to_bytes(11, "big")
    elif kind == 2:
        data[at + 156] = rng.choice(b"0123456789xgLKSDMNVAX\x00\x7f")
    else:
        for _ in range(3):
            data[at + rng.randrange(512)] = rng.randrange(256)
    data[at + 148:at + 156] = b" " * 8
    data[at + 148:at + 156] = b"%06o\0 " % sum(data[at:at + 512])


# JSON under a seal

_ODD: tuple[Any, ...] = (
    None, -1, 0, 1 << 70, 1.5, float("nan"), "", "x", "../../x", [], {}, [None], {"a": 1}, [[[]]], True, "9" * 5000,
    [1 << 40] * 3, [{"key": 1, "reason": 2}], {"dtype": "float99", "shape": [None]})


def small_file(rng: random.Random, valid: dict[str, Any]) -> bytes:
    """A sealed file like ``valid``, with anything in the place of some of its parts, its seal right or not."""
    value = json.loads(json.dumps(valid))
    for _ in range(rng.randrange(1, 4)):
        _change_json(value, rng)
    if rng.random() < 0.05:
        return rng.choice((b"", b"[]", b"{}", b"null", b"[" * 9000, b'{"seal": 1}', b"\xff\xfe{}", b"1" * 6000,
                           b'{"a": 1e999}'))
    if rng.random() < 0.5 and value:
        return sealed(value)
    return json.dumps(value, indent=1).encode()


def _change_json(value: Any, rng: random.Random) -> None:
    place, name = value, None
    while isinstance(place, dict | list) and len(place):
        name = rng.choice(list(place)) if isinstance(place, dict) else rng.randrange(len(place))
        if not isinstance(place[name], dict | list) or not place[name] or rng.random() < 0.5:
            break
        place = place[name]
    if name is None:
        return
    odd = copy.deepcopy(rng.choice(_ODD))
    if isinstance(place, dict) and rng.random() < 0.2:
        del place[name]
    elif isinstance(place, dict) and rng.random() < 0.1:
        place[rng.choice(("", "more", "seal"))] = odd
    else:
        place[name] = odd


def rows(rng: random.Random, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a list of inputs, with anything in them."""
    odd = (*_ODD, "a.jpg", "b/c.jpg", "[[1,2,3,4]]", [[1, 2, 3, 4]], "[[1,2]]", "no://where", "file:///etc/hosts")
    return [{name: rng.choice(odd) if rng.random() < 0.15 else "" if name in ("boxes", "times") else f"{number}.jpg"
             for name in columns if rng.random() < 0.95} for number in range(rng.randrange(4))]


def jsonl(rng: random.Random) -> bytes:
    """A .jsonl list of inputs."""
    lines = [json.dumps(row).encode() for row in rows(rng, ("key", "path", "boxes", "times"))]
    if rng.random() < 0.2:
        lines.append(rng.choice((b"", b"[]", b"1", b"null", b'"a"', b"{", b"[" * 9000, b"\xff",
                                 b'{"key": "\\ud800", "path": "x"}')))
    return b"\n".join(lines)


def table(rng: random.Random) -> bytes:
    """A .csv list of inputs."""
    lines = ["key,path,boxes", *(",".join(f'"{row.get(name, "")}"' for name in ("key", "path", "boxes"))
                                 for row in rows(rng, ("key", "path", "boxes")))]
    if rng.random() < 0.2:
        lines.append(rng.choice(("", '"', "a,b,c,d,e", "\0", "a" * 200_000, '"a\nb",c')))
    return "\n".join(lines).encode("utf-8", "surrogatepass")


Build = Callable[[random.Random], bytes]
