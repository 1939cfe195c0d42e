"""A describer's sentences for films, in which each may follow from those it has said before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from pipeline.annotations import Description
from pipeline.descriptions import Window, description_stream
from pipeline.sampler import Order
from training.models.describer_language import say
from training.tasks.description import DESCRIBED_AT_ONCE, sentences_before

if TYPE_CHECKING:
    from training.tasks.description import AudioDescription


def described(task: AudioDescription, descriptions: Sequence[Description]) -> dict[str, str]:
    """Description's id -> the model's sentence, of those whose clips the stores hold.

    Where a sentence follows from the model's own, all films' first ones are said, then all second ones, and so on.
    """
    config = task.config
    windows = task.windows(descriptions)
    own = config.context > 0 and config.context_from == "own"
    before = {} if own else sentences_before(descriptions, config.context)
    said: dict[str, list[str]] = {}
    found: dict[str, str] = {}
    for group in in_rounds(windows) if own else [windows]:
        stream = description_stream(group, task.stores, DESCRIBED_AT_ONCE, Order(shuffle="none"))
        for batch in stream.epoch(0).batches():
            told = [said.get(one.key, [])[-config.context:] if own else before[one.id] for one in batch.samples]
            numbers = say(task.model, *task._prompt(batch, told), task.tokens.end, config.language.max_tokens,
                          config.decode)
            for one, sentence in zip(batch.samples, map(task.tokens.decode, numbers), strict=True):
                found[one.id] = sentence
                said.setdefault(one.key, []).append(sentence)
    return found


def in_rounds(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """The first description of every film, then the second of every film, …"""
    films: dict[str, list[Window]] = {}
    for window in windows:
        films.setdefault(window.key, []).append(window)
    for group in zip_longest(*films.values()):
        yield [window for window in group if window is not None]
