"""Pickles and .npy files that may hold pickles, read without running anything that they name.

Several published formats are pickles at heart (ViLBERT's LMDB, the info of MILVLG's npz, MMF's _info.npy, detectron2's
.pkl weights). This reader knows the handful of instructions that arrays, numbers, strings, lists, tuples and
dictionaries are pickled with. What a pickle names is never imported: NumPy's few constructors are played by functions
of this file, which check every shape against the bytes that are there, so that no more is allocated than the file
holds. Anything else is refused by name.
"""

from __future__ import annotations

import io
import math
import pickle
import re
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from features.errors import HeedError

_DEPTH = 32
_DTYPE = re.compile(r"[<>|=]?([?biufSU]\d{0,4}|O8?)")


def load(data: bytes) -> Any:
    """The value that ``data`` pickles: arrays and plain containers, or `HeedError` saying what was refused.

    Strings written by Python 2 come back as bytes.
    """
    try:
        return _plain(_Unpickler(data).load(), {}, _DEPTH)
    except HeedError:
        raise
    except MemoryError:
        raise HeedError("the pickle is damaged: it asks for more memory than there is") from None
    except Exception as error:  # damaged bytes make the standard unpickler raise almost anything
        raise HeedError(f"the pickle is damaged: {error!r:.200}") from error


def read_npy(source: Path | bytes, objects: bool = False) -> np.ndarray:
    """An array in NumPy's .npy format; one of objects only where ``objects`` allows it, through `load`.

    Raises `HeedError` where the file is cut short, promises more than it holds, or is something else.
    """
    data = source if isinstance(source, bytes) else source.read_bytes()
    shape, fortran, dtype, start = npy_header(data)
    if dtype.kind != "O":
        return _array(memoryview(data)[start:], dtype, shape, fortran)
    if not objects:
        raise HeedError("holds pickled objects where numbers are expected")
    value = load(data[start:])
    if not isinstance(value, np.ndarray) or value.dtype.kind != "O" or value.shape != shape:
        raise HeedError("the pickled array is not the one that its header announces")
    return value


def npy_header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether it is in Fortran's order, type, and where the numbers begin; of ``data`` only the header is read.

    `HeedError` where it is none, or of a shape or a type that no array here can have.
    """
    file = io.BytesIO(data)
    try:
        with warnings.catch_warnings(action="ignore"):  # headers written by Python 2 are read all the same
            version = np.lib.format.read_magic(file)
            readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version not in readers:
                raise HeedError(f"is a .npy of version {version}, which no format here uses")
            shape, fortran, dtype = readers[version](file)
    except HeedError:
        raise
    except Exception as error:  # NumPy parses the header as Python, which fails in as many ways as Python has
        raise HeedError(f"is no .npy array: {str(error).splitlines()[0] if str(error) else error!r}") from error
    return shape, fortran, _dtype(dtype.str), file.tell()


def text(value: Any, name: str) -> str:
    """A string that Python 2 or 3 pickled."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if not isinstance(value, str):
        raise HeedError(f"{name} is {type(value).__name__} where text is expected")
    return value


def dictionary(value: Any) -> dict[str, Any]:
    """A dictionary with its keys as text, also out of a 0-d array of objects; `HeedError` where it is none."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.shape == ():
        value = value.item()
    if not isinstance(value, dict):
        raise HeedError(f"holds {type(value).__name__} where a dictionary is expected")
    return {text(key, "a name") if isinstance(key, bytes) else str(key): inner for key, inner in value.items()}


def plain_dtype(name: str) -> np.dtype:
    """The NumPy type called ``name``: numbers, booleans and fixed strings; `HeedError` for any other."""
    dtype = _dtype(name)
    if dtype.kind == "O":
        raise HeedError("holds pickled objects where numbers are expected")
    return dtype


def plain_array(data: bytes, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """The bytes as an array without a copy; `HeedError` where they are fewer than the shape needs."""
    return _array(data, dtype, shape, False)


def _dtype(name: str) -> np.dtype:
    try:
        dtype = np.dtype(name) if _DTYPE.fullmatch(name) else None
    except (TypeError, ValueError):
        dtype = None
    if dtype is None or not dtype.itemsize:
        raise HeedError(f"holds arrays of type {name[:40]!r}, which heed does not read")
    return dtype


def _array(data: bytes | bytearray | memoryview, dtype: np.dtype, shape: tuple[int, ...], fortran: bool) -> np.ndarray:
    """The bytes as an array, without a copy."""
    if len(shape) > 16 or any(type(n) is not int or n < 0 for n in shape):
        raise HeedError(f"an array has the shape {str(shape)[:60]}, which cannot be")
    count = math.prod(shape)
    if count * dtype.itemsize > len(data):
        raise HeedError(f"an array of shape {shape} needs {count * dtype.itemsize} bytes where {len(data)} are left; "
                        "the file may be cut short")
    try:
        return np.frombuffer(data, dtype, count).reshape(shape, order="F" if fortran else "C")
    except ValueError as error:  # of no numbers, and too large for NumPy all the same
        raise HeedError(f"an array has the shape {str(shape)[:60]}, which cannot be: {error}") from error


class _Dtype:
    """Plays numpy.dtype: ``dtype("f4", False, True)``, then its state, of which the byte order matters."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.dtype = _dtype(text(name, "an array's type"))

    def set(self, state: Any) -> None:
        order = text(state[1], "a byte order")
        if order not in "<>|=" or any(part is not None for part in state[2:5]):
            raise HeedError("holds arrays of a structured type, which heed does not read")
        self.dtype = self.dtype.newbyteorder(order)  # type: ignore[arg-type]


class _Array:
    """Plays numpy.ndarray until its state is known."""

    value: np.ndarray | None = None

    def set(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or type(shape) is not tuple:
            raise HeedError("an array's pickle is damaged")
        if dtype.dtype.kind == "O":
            if type(data) is not list or math.prod(shape) != len(data) or len(shape) > 16:
                raise HeedError(f"an array of objects says shape {str(shape)[:60]} and holds another number of them")
            self.value = np.empty(len(data), object)
            self.value[:] = _boxed(data)
            self.value = self.value.reshape(shape, order="F" if fortran else "C")
        elif isinstance(data, bytes):
            self.value = _array(data, dtype.dtype, shape, bool(fortran))
        else:
            raise HeedError("an array's pickle is damaged: its numbers are no bytes")


def _boxed(values: list) -> np.ndarray:
    """A list as a 1-d array of its elements: NumPy would spread nested lists over several axes."""
    out = np.empty(len(values), object)
    for place, value in enumerate(values):
        out[place] = value
    return out


def _scalar(dtype: Any, data: Any) -> Any:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes) or dtype.dtype.kind == "O":
        raise HeedError("a number's pickle is damaged")
    return _array(data, dtype.dtype, (), False).item()


def _frombuffer(data: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> _Array:
    if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | bytearray) or type(shape) is not tuple:
        raise HeedError("an array's pickle is damaged")
    array = _Array()
    array.value = _array(data, plain_dtype(dtype.dtype.str), shape, order == "F")
    return array


_NUMPY = {
    ("multiarray", "_reconstruct"): lambda *_: _Array(),
    ("multiarray", "scalar"): _scalar,
    ("numeric", "_frombuffer"): _frombuffer,
}
_GLOBALS: dict[tuple[str, str], Callable | object] = {
    **{(f"numpy.{core}.{module}", name): f for core in ("core", "_core") for (module, name), f in _NUMPY.items()},
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): object(),  # only ever an argument of _reconstruct
    **{(module, "bytes"): lambda: b"" for module in ("builtins", "__builtin__")},  # b"" in old protocols
}
_ENCODE = object()  # stands for _codecs.encode, with which Python 3 writes bytes into old protocols
_CALLABLE = {id(f) for f in _GLOBALS.values() if callable(f)}


class _Dict(dict):
    """A dictionary whose keys are cheap to hash: nested tuples would be a way to stall the reader."""

    def __setitem__(self, key: Any, value: Any) -> None:
        if not isinstance(key, str | bytes | int | float):
            raise HeedError(f"a dictionary has a key of type {type(key).__name__}")
        super().__setitem__(key, value)


_OPCODES = """
    PROTO FRAME STOP MARK POP POP_MARK DUP NONE NEWTRUE NEWFALSE INT LONG BININT BININT1 BININT2 LONG1 LONG4 FLOAT
    BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE SHORT_BINUNICODE
    BINUNICODE8 EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST APPEND APPENDS SETITEM SETITEMS GET BINGET
    LONG_BINGET PUT BINPUT LONG_BINPUT MEMOIZE GLOBAL STACK_GLOBAL
"""
_STANDARD: Any = pickle._Unpickler


class _Unpickler(_STANDARD):
    """The standard unpickler in Python (the one in C grows its memo to any number a file names), cut down."""

    dispatch: ClassVar[dict[int, Callable]] = {
        code: _STANDARD.dispatch[code] for code in (getattr(pickle, name)[0] for name in _OPCODES.split())}

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        self._budget = len(data)

    def load(self) -> Any:
        try:
            return super().load()
        except KeyError as error:
            code = error.args[0] if error.args else None
            if isinstance(code, int) and bytes([code & 255]) in _NAMES:
                raise HeedError(f"the pickle uses {_NAMES[bytes([code])]}, which arrays and plain containers do not "
                                "need; it is refused") from None
            raise

    def find_class(self, module: Any, name: Any) -> Any:
        module, name = text(module, "a module"), text(name, "a name")
        if (module, name) == ("_codecs", "encode"):
            return _ENCODE
        if (module, name) == ("collections", "OrderedDict"):
            return _Dict
        if (module, name) not in _GLOBALS:
            raise HeedError(f"the pickle names {module[:80]}.{name[:80]}, which is neither an array nor a plain "
                            "container; it is refused, nothing was run")
        return _GLOBALS[module, name]

    def _reduce(self) -> None:
        arguments = self.stack.pop()
        function = self.stack[-1]
        if function is _ENCODE:
            written, encoding = arguments
            if encoding not in ("latin1", b"latin1"):
                raise HeedError("the pickle encodes text in a way that bytes are never pickled in; it is refused")
            self._spend(len(written))
            self.stack[-1] = written.encode("latin1")
        elif function is _Dict and arguments == ():
            self.stack[-1] = _Dict()
        elif id(function) in _CALLABLE:
            self.stack[-1] = function(*arguments)
        else:
            raise HeedError("the pickle calls something that is no function; it is refused")

    def _build(self) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Array | _Dtype):
            raise HeedError(f"the pickle sets the state of a {type(self.stack[-1]).__name__}; it is refused")
        if isinstance(state[-1], list):
            self._spend(len(state[-1]))
        self.stack[-1].set(state)

    def _spend(self, size: int) -> None:
        """Copies may not outgrow the pickle: one large part could be named, and copied, again and again."""
        self._budget -= size
        if self._budget < 0:
            raise HeedError("the pickle copies one part of it again and again; it is refused")

    def _empty_dict(self) -> None:
        self.append(_Dict())

    def _dict(self) -> None:
        items = self.pop_mark()
        made = _Dict()
        for place in range(0, len(items), 2):
            made[items[place]] = items[place + 1]
        self.append(made)

    def _bytearray8(self) -> None:
        (size,) = struct.unpack("<Q", self.read(8))
        self.append(bytearray(self.read(size)))

    dispatch[pickle.REDUCE[0]] = _reduce
    dispatch[pickle.BUILD[0]] = _build
    dispatch[pickle.EMPTY_DICT[0]] = _empty_dict
    dispatch[pickle.DICT[0]] = _dict
    dispatch[pickle.BYTEARRAY8[0]] = _bytearray8


_NAMES = {value: name for name, value in vars(pickle).items()
          if name.isupper() and isinstance(value, bytes) and len(value) == 1 and value[0] not in _Unpickler.dispatch}


def _plain(value: Any, seen: dict[int, Any], depth: int) -> Any:
    """The value with arrays in the place of their stand-ins; each shared part is looked at once."""
    if isinstance(value, str | bytes | int | float | None.__class__):
        return value
    if not depth:
        raise HeedError(f"the pickle is nested deeper than {_DEPTH}, or in itself")
    if id(value) in seen:
        return seen[id(value)][1]
    plain: Any
    if isinstance(value, _Array) and value.value is not None:
        plain = value.value
        if plain.dtype.kind == "O":
            plain = _boxed([_plain(inner, seen, depth - 1) for inner in plain.reshape(-1)]).reshape(plain.shape)
    elif isinstance(value, dict):
        plain = {key: _plain(inner, seen, depth - 1) for key, inner in value.items()}
    elif isinstance(value, list | tuple):
        plain = type(value)(_plain(inner, seen, depth - 1) for inner in value)
    elif isinstance(value, bytearray):
        plain = bytes(value)
    else:
        raise HeedError(f"the pickle holds a bare {type(value).__name__.lstrip('_')}; it is refused")
    seen[id(value)] = (value, plain)  # the value is kept so that its id stays its own
    return plain
