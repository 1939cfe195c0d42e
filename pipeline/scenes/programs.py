"""Functional programs over a scene, as CLEVR has them (Johnson et al. 2017, "CLEVR", §3.2): run one to get an answer.

A program is a list of steps; each takes what earlier steps gave. Objects are ids, in order.

    scene                                   all objects
    filter_{shape,colour,size,texture} [v]  those with this value
    relate [predicate]                      those clearly in this relation to the one object
    same_{shape,…}                          the others with the one object's value
    unique                                  the only object
    count, exist                            a number; yes or no
    query_{shape,…}                         the one object's value
    equal_{shape,…}                         whether two values agree
    greater_than, less_than, equal_integer  of two numbers, yes or no
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.scenes.world import Scene, SceneObject

KINDS = ("shape", "colour", "size", "texture")
"""The kinds of attributes."""


@dataclass(frozen=True)
class Step:
    """One function of a program."""

    function: str
    inputs: tuple[int, ...] = ()
    """Numbers of the steps whose results it takes."""
    value: str = ""
    """What it filters by, or the relation."""

    def as_json(self) -> dict[str, Any]:
        """The step as CLEVR writes it."""
        return {"function": self.function, "inputs": list(self.inputs),
                "value_inputs": [self.value] if self.value else []}


Program = tuple[Step, ...]


def execute(program: Program, of: Scene) -> tuple[str, list[Any]]:
    """The answer of a program on a scene, and the result of each step.

    Raises `ValueError` where ``unique`` is asked of none or several, or a function does not exist.
    """
    results: list[Any] = []
    for step in program:
        results.append(_run(step, [results[i] for i in step.inputs], of))
    last = results[-1]
    if isinstance(last, bool):
        return ("yes" if last else "no"), results
    return str(last), results


def _run(step: Step, inputs: list[Any], of: Scene) -> Any:
    name, _, kind = step.function.partition("_")
    if step.function == "scene":
        return tuple(o.id for o in of.objects)
    if name == "filter":
        return tuple(i for i in inputs[0] if of.objects[i].attributes[kind] == step.value)
    if name == "relate":
        return related(of, step.value, of.objects[inputs[0]])
    if name == "same":
        one = of.objects[inputs[0]]
        return tuple(o.id for o in of.objects if o.id != one.id and o.attributes[kind] == one.attributes[kind])
    if name == "unique":
        if len(inputs[0]) != 1:
            raise ValueError(f"{len(inputs[0])} objects are not one")
        return inputs[0][0]
    if name == "count":
        return len(inputs[0])
    if name == "exist":
        return len(inputs[0]) > 0
    if name == "query":
        return of.objects[inputs[0]].attributes[kind]
    if name == "equal":
        return bool(inputs[0] == inputs[1])
    if step.function in ("greater_than", "less_than"):
        return bool(inputs[0] > inputs[1] if name == "greater" else inputs[0] < inputs[1])
    raise ValueError(f"there is no function {step.function!r}")


def related(of: Scene, name: str, anchor: SceneObject) -> tuple[int, ...]:
    """Ids of the objects that are clearly ``name`` (say, left of) the anchor."""
    return tuple(subject for subject, said, other in of.relations if other == anchor.id and said == name)


def arguably_related(of: Scene, name: str, anchor: SceneObject) -> tuple[int, ...]:
    """Ids of the objects of which someone might say so: their centre lies that way, however little."""
    axis, sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}[name]

    def centre(o: SceneObject) -> float:
        return (o.box[axis] + o.box[axis + 2]) / 2

    return tuple(o.id for o in of.objects if o.id != anchor.id and sign * (centre(o) - centre(anchor)) > 0)
