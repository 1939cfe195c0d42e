"""Options of a task's configuration, by their dotted names: found, read from text, replaced."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal, TypeVar

from features.errors import HeedError
from features.names import nearest
from training.attention.config import AttentionConfig
from training.run import flat, to_json

C = TypeVar("C")


def has_attention(config: Any) -> bool:
    """Whether a task has a score function to vary: an `AttentionConfig` called "attention"."""
    return isinstance(getattr(config, "attention", None), AttentionConfig)


def option_name(config: Any, name: str) -> str:
    """The full dotted name of an option as the command line says it: dashes or underscores, the loop's without "loop.".

    Raises `HeedError` where the task has no such option.
    """
    wanted = name.replace("-", "_")
    known = set(flat(to_json(config))) - {"out", "loop.seed"}
    for full in (wanted, f"loop.{wanted}"):
        if full in known:
            return full
    raise HeedError(f"The task has no option {name!r} to vary{nearest(wanted, known)}")


def replaced(config: C, name: str, value: Any) -> C:
    """The configuration with the option ``name`` (dotted) set; a text is read as the option's own type."""
    first, _, rest = name.partition(".")
    if rest:
        return dataclasses.replace(config, **{first: replaced(getattr(config, first), rest, value)})  # type: ignore[type-var]
    if isinstance(value, str):
        value = _read(typing.get_type_hints(type(config), include_extras=False)[first], value, name)
    return dataclasses.replace(config, **{first: value})  # type: ignore[type-var]


def _read(hint: Any, text: str, name: str) -> Any:
    """``text`` as a value of the type ``hint``."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if text not in map(str, parts):
            raise HeedError(f"{text!r} is no value of {name}; take one of {', '.join(map(str, parts))}.")
        return next(part for part in parts if str(part) == text)
    if origin in (typing.Union, types.UnionType):
        if text == "none" and type(None) in parts:
            return None
        return _read(next(part for part in parts if part is not type(None)), text, name)
    if hint is bool:
        if text not in ("true", "false"):
            raise HeedError(f"{name} is true or false, not {text!r}.")
        return text == "true"
    if hint in (int, float, str):
        try:
            return hint(text)
        except ValueError:
            raise HeedError(f"{text!r} is no {hint.__name__}, which {name} must be.") from None
    raise HeedError(f"{name} cannot be varied: only numbers, names and true or false can.")


def varied(config: Any, words: str) -> tuple[str, list[str]]:
    """Read ``NAME=VALUE,VALUE,…``: the option's full name and the values, as texts that the option can take."""
    name, sign, values = words.partition("=")
    if not sign or not all(values.split(",")):
        raise HeedError(f"--vary {words} is not NAME=VALUE,VALUE,… such as mask.mask=none,lam.")
    full = option_name(config, name)
    listed = list(dict.fromkeys(values.split(",")))
    for value in listed:
        replaced(config, full, value)
    return full, listed


def combinations(options: list[tuple[str, list[str]]]) -> Iterator[dict[str, str]]:
    """Every choice of one value for each option, the last option changing fastest."""
    if not options:
        yield {}
        return
    (name, values), *rest = options
    for value in values:
        for others in combinations(rest):
            yield {name: value, **others}
