"""Pickles and msgpack: as NumPy and published extractors write them, changed, absurd, or built of instructions."""

from __future__ import annotations

import pickle
import random
import struct
from collections.abc import Sequence
from typing import Any

import msgpack
import numpy as np

NUMBERS = (0, 1, 2, 7, 8, 15, 16, 127, 128, 255, 256, 4095, 65535, 1 << 20, (1 << 31) - 1, 1 << 31, (1 << 32) - 1,
           1 << 32, (1 << 40) + 3, (1 << 62) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
"""Lengths, counts and offsets at which readers stumble."""
SHAPES: tuple[Any, ...] = (
    (), (3,), (2, 3), (3, 2), (0,), (0, 4), (4, 0), (-1,), (1 << 31,), (1 << 62, 8), (1 << 63,), (1 << 64, 0),
    (0, 1 << 63), (10 ** 9, 10 ** 9), (1,) * 20, (1,) * 40, (3.0,), ("3",), (True,), ((3,),), 3, None, [2, 3],
    (10 ** 400,), (2, -3))
"""Of arrays; few can be."""
_LENGTHS = (0, 1, 2, 255, 256, 65536, (1 << 31) - 1, (1 << 32) - 1)
_INSTRUCTIONS = (
    b"(", b"t", b"]", b"}", b")", b"a", b"e", b"s", b"u", b"l", b"d", b"0", b"1", b"2", b"N", b"\x88", b"\x89", b"R",
    b"b", b"\x81", b"\x85", b"\x86", b"\x87", b"\x90", b"\x91", b"\x8f", b"\x92", b"\x93", b"\x94", b"\x97", b"\x98",
    b"Q", b"I1\n", b"L1L\n", b"F1\n", b"S'a'\n", b"Va\n", b"g0\n", b"p0\n", b"P1\n", b"cnumpy\ndtype\n",
    b"cnumpy\nndarray\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy._core.multiarray\nscalar\n",
    b"cnumpy._core.numeric\n_frombuffer\n", b"c_codecs\nencode\n", b"ccollections\nOrderedDict\n",
    b"c__builtin__\nbytes\n")
_WHOLE = (
    b"\x80\x02(" * 2000 + b".", b"\x80\x02" + b"(" * 2000 + b"t" * 2000 + b".", b"]q\x00h\x00a.", b"(lp0\ng0\na.",
    b"}q\x00(K\x01h\x00u.", b"I" + b"9" * 5000 + b"\n.", b"L" + b"9" * 5000 + b"L\n.", b"\x80\xff.",
    b"\x8a\xff" + b"\x7f" * 255 + b".", b"\x8b\xff\xff\xff\xff.", b"\x8b\0\0\0\x40" + b"\xff" * 9 + b".",
    b"p999999999999\n.", b"N" + b"2" * 3000 + b"t.", b"F1e999999\n.", b"S'\\x'\n.", b"V\\ud800\n.",
    b"c__builtin__\neval\n(S'1'\ntR.", b"\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", b"cnumpy\nload\n.",
    b"\x82\x01.")
"""Deep, self-containing, endless, absurd in number, or after something that must not be run."""


def some_pickle(rng: random.Random) -> bytes:
    """A sound pickle of what feature files hold."""
    values: tuple[Any, ...] = (
        {"bbox": np.ones((3, 4), np.float32), "image_width": 9, "image_height": np.int64(9)}, [b"1", b"2"],
        np.array({"a": 1}, object), np.arange(6).reshape(2, 3).T, {"a": {"b": ({"c": [1.5, None, True]},)}}, "text",
        {"image_id": "1", "features": np.ones((3, 4), np.float32), "boxes": np.ones((3, 4), np.float32),
         "num_boxes": 3, "image_h": 9, "image_w": 9}, 1 << 200, np.float64(2), bytearray(b"abc"), np.array(["a", "b"]))
    return pickle.dumps(rng.choice(values), rng.choice((0, 1, 2, 3, 4, 5)))


def pickles(rng: random.Random) -> bytes:
    """A sound pickle; one built of instructions; an array's of any shape and state; or one that wants too much."""
    kind = rng.randrange(4)
    if kind == 0:
        return some_pickle(rng)
    if kind == 1:
        return b"\x80\x04" + b"".join(_instruction(rng) for _ in range(rng.randrange(40))) + b"."
    if kind == 2:
        return _reconstructed(rng)
    parts = [b"(h" + bytes([n]) * 2 + b"tq" + bytes([n + 1]) for n in range(rng.randrange(1, 60))]
    doubled = b"\x80\x02]q\x00" + b"".join(parts) + b"."  # each part holds the one before twice
    return rng.choice((*_WHOLE, doubled, doubled, b"r" + struct.pack("<I", rng.choice(_LENGTHS)) + b".",
                       b"\x95" + struct.pack("<Q", rng.choice(NUMBERS)) + b"N."))


def _instruction(rng: random.Random) -> bytes:
    """An instruction with its argument."""
    if rng.random() < 0.6:
        return rng.choice(_INSTRUCTIONS)
    small = bytes([rng.randrange(4)])
    text = bytes(rng.choice(b"ab01.\\'\n") for _ in range(rng.randrange(9)))
    own, size = bytes([len(text)]), rng.choice((len(text), len(text), rng.choice(_LENGTHS)))
    short, long = struct.pack("<I", size), struct.pack("<Q", size)
    return rng.choice((
        b"h" + small, b"q" + small, b"K" + small, b"M" + small * 2, b"J" + small * 4, b"G" + small * 8,
        b"j" + small + b"\0\0\0", b"\x8a" + small + b"\1" * small[0], b"U" + own + text, b"C" + own + text,
        b"\x8c" + own + text, b"B" + short + text, b"X" + short + text, b"T" + short + text, b"\x8d" + long + text,
        b"\x8e" + long + text, b"\x96" + long + text))


def _reconstructed(rng: random.Random) -> bytes:
    """An array's pickle with any shape, type and state."""
    shape = rng.choice(SHAPES)
    dtype = rng.choice(("f4", "f2", "O", "U3", "S9", "V4", "i8", "M8", "f4,f4", "S999999999"))
    data: Any = rng.choice((b"", bytes(24), bytes(25), [1, 2, 3], [[1], [2], [3]], "text", None))
    state = rng.choice(((1, shape, "DTYPE", rng.choice((False, True)), data), (1, shape, "DTYPE"), (shape,), None, 5,
                        (1, shape, "f4", False, data)))

    def put(value: Any) -> bytes:
        if value == "DTYPE":
            order = rng.choice((b"<", b">", b"|", b"="))
            ending = rng.choice((b"NNNK\xffK\xffK\x00tb", b"NNNtb", b"tb", b"U\x01a}NK\x01K\x01K\x00tb"))
            name = bytes([len(dtype)]) + dtype.encode()
            return b"cnumpy\ndtype\n(U" + name + b"\x89\x88tR(K\x03U\x01" + order + ending
        if isinstance(value, tuple):
            return b"(" + b"".join(put(inner) for inner in value) + b"t"
        if isinstance(value, list):
            return b"](" + b"".join(put(inner) for inner in value) + b"e"
        return pickle.dumps(value, 2)[2:-1]

    module = rng.choice((b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n"))
    return b"\x80\x02" + module + b"_reconstruct\n(cnumpy\nndarray\n(K\x00tU\x01btR" + put(state) + b"b."


_ODD: tuple[Any, ...] = (
    None, -1, 0, 1 << 70, 1.5, float("nan"), "", "x", b"", b"AAAA", [], {}, [1, 2], np.ones(0), np.ones((0, 4)),
    np.ones((3, 4, 1)), np.ones(()), np.array(["a"]), np.array([None, {}], object), np.full((3, 4), np.nan),
    np.ones((3, 4), np.complex64), np.ones((1, 12)), np.ones((2, 4), bool), "AAAA" * 9, np.float32(3), np.array(3),
    np.array([3, 3]), np.full((3, 4), np.inf, np.float16), np.ones((3, 0)), True)


def information(rng: random.Random) -> dict[str, Any]:
    """What ViLBERT's and MMF's files pickle of an image, under all the names that they use, some of it absurd."""
    boxes, ids = np.tile(np.array([1, 2, 8, 9], np.float32), (3, 1)), np.array([4, 5, 6])
    value: dict[str, Any] = {
        "image_id": "1", "features": np.ones((3, 4), np.float32), "boxes": boxes, "bbox": boxes, "num_boxes": 3,
        "image_h": 64, "image_w": 64, "image_height": 64, "image_width": 64, "objects_id": ids, "objects": ids,
        "objects_conf": np.ones(3, np.float32), "cls_prob": np.ones((3, 5), np.float32), "attrs_id": ids}
    for name in list(value):
        if rng.random() < 0.07:
            value[name] = rng.choice(_ODD)
        elif rng.random() < 0.07:
            del value[name]
    return value


# msgpack

_ODD_PARTS: tuple[Any, ...] = (
    None, 0, -1, b"", "x", [], {}, [1 << 62], [1 << 40, 1 << 40], True, 1.5, [[3]], b"V", msgpack.ExtType(5, b"x"),
    [-3, 4], "<f4,<f4", b"|O", "|S999999999")
_BROKEN = (b"\xdd\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\x7f\xff\xff\xff", b"\x91" * 3000, b"\x81" * 3000,
           b"\xc9\xff\xff\xff\xff\x01")


def packed_seeds() -> list[bytes]:
    """Two arrays as msgpack_numpy packs them."""
    return [msgpack.packb({name: _array() for name in ("features", "conf")})]


def _array() -> dict[bytes, Any]:
    return {b"nd": True, b"type": "<f2", b"kind": b"", b"shape": [3, 4], b"data": bytes(24)}


def packed(rng: random.Random, names: Sequence[str]) -> bytes:
    """Arrays as msgpack_numpy packs them, with anything in the place of some parts."""
    if rng.random() < 0.1:
        return rng.choice((*_BROKEN, msgpack.packb(rng.choice(_ODD_PARTS))))
    value: dict[str, Any] = {}
    for name in names:
        value[name] = {part: rng.choice(_ODD_PARTS) if rng.random() < 0.15 else given
                       for part, given in _array().items() if rng.random() < 0.98}
        if rng.random() < 0.05:
            value[name] = rng.choice(_ODD_PARTS)
    return msgpack.packb(value) + rng.choice((b"",) * 8 + _BROKEN[:2])
