"""JSON that a program will rely on, compared with the form it must have, before it is used."""

from __future__ import annotations

from typing import Any

MOST = (1 << 53) - 1
"""Largest whole number that every JSON reader keeps exactly."""


def expect(value: Any, form: Any, name: str = "it") -> None:
    """Raise `ValueError`, naming the part, where ``value`` has not the form.

    A form is ``int`` (a whole number of 0 to 2^53 - 1), ``str``, ``dict`` or ``list``; a list of one form, of which
    there may be any number; or a dictionary of members that must be there, each with its form, more being allowed.
    """
    if isinstance(form, dict):
        expect(value, dict, name)
        for member, inner in form.items():
            if member not in value:
                raise ValueError(f"{name} has no {member}")
            expect(value[member], inner, member)
    elif isinstance(form, list):
        expect(value, list, name)
        for inner in value:
            expect(inner, form[0], f"a part of {name}")
    elif form is int:
        if type(value) is not int or not 0 <= value <= MOST:
            raise ValueError(f"{name} is {str(value)[:40]!r}, not a whole number of 0 or more")
    elif not isinstance(value, form):
        words = {str: "text", dict: "an object", list: "a list"}
        raise ValueError(f"{name} is {str(value)[:40]!r}, not {words[form]}")
