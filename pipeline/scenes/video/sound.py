"""What a video sounds like: each kind of event has a sound of its own.

Waves are made of parabolas and envelopes of polynomials, so that only arithmetic that IEEE 754 defines to the last bit
is used and the samples are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pipeline.scenes.video.motion import BLINK_SECONDS, CONTACT, hops
from pipeline.scenes.video.world import Event, Video

RATE = 16_000
"""Samples a second."""

Wave = np.ndarray
"""(samples,) float64, about -1..1."""

_HUSH = 0.002
_LOUD = 0.55


def soundtrack(of: Video) -> np.ndarray:
    """The whole sound of a video, (seconds x `RATE`,) int16: a faint hiss, and the events' sounds over it."""
    track = _hiss(of.seconds * RATE, of.seed * 1_000_003 + of.index) * _HUSH
    for event in of.events:
        first = round(event.start * RATE)
        sound = SOUNDS[event.kind](event) * _LOUD
        track[first:first + len(sound)] += sound[:max(0, len(track) - first)]
    return np.rint(track.clip(-1, 1) * 32767).astype(np.int16)


def _seconds(event: Event) -> Wave:
    """The times of the event's samples, from 0."""
    return np.arange(round((event.end - event.start) * RATE), dtype=np.float64) / RATE


def _wave(turns: Wave) -> Wave:
    """A wave of period 1, as near to a sine as two parabolas come."""
    part = turns - np.floor(turns) - 0.5
    return part * (8 - 16 * np.abs(part))


def _sweep(time: Wave, low: float, high: float, length: float) -> Wave:
    """A tone from ``low`` to ``high`` hertz in ``length`` seconds."""
    return _wave(time * low + time * time * ((high - low) / (2 * length)))


def _fade(time: Wave, length: float, edge: float = 0.05) -> Wave:
    """1 within a length of time, with short slopes at both ends."""
    return np.minimum(time, length - time).clip(0, edge) / edge


def _strike(time: Wave, length: float) -> Wave:
    """A sudden beginning that dies away in ``length`` seconds: what a hit sounds like."""
    rest = (1 - time / length).clip(0, 1)
    return np.where(time >= 0, rest * rest * rest * (time / 0.004).clip(0, 1), 0.0)


def _since(time: Wave, period: float) -> Wave:
    """Seconds since the last multiple of the period."""
    return time - np.floor(time / period) * period


def _hiss(samples: int, seed: int) -> Wave:
    """White noise: the bits of SplitMix64, see `pipeline.scenes.rng`."""
    z = np.arange(1, samples + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z += np.uint64(seed % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1


def _rush(turns: Wave) -> Wave:
    """Noise whose pitch is the speed of ``turns``: white noise at whole numbers, a smooth way between."""
    cell = np.floor(turns)
    part = turns - cell
    values = _hiss(int(cell.max()) + 2, 5)
    index = cell.astype(np.int64)
    return values[index] + (values[index + 1] - values[index]) * (part * part * (3 - 2 * part))


def _whoosh(low: float, high: float) -> Callable[[Event], Wave]:
    """A rush of air from one pitch to another."""
    def sound(event: Event) -> Wave:
        time, length = _seconds(event), event.end - event.start
        swell = (time / length) * (1 - time / length) * 3 + 0.25
        return _rush(time * low + time * time * ((high - low) / (2 * length))) * swell * _fade(time, length) * 1.1
    return sound


def _glide(low: float, high: float) -> Callable[[Event], Wave]:
    """A tone that rises or falls as long as the event lasts."""
    def sound(event: Event) -> Wave:
        time, length = _seconds(event), event.end - event.start
        return _sweep(time, low, high, length) * _fade(time, length) * 0.6
    return sound


def _spin(event: Event) -> Wave:
    """A whirr: a tone that comes and goes nine times a second."""
    time = _seconds(event)
    return _wave(time * 330) * (0.55 + 0.45 * _wave(time * 9)) * _fade(time, event.end - event.start) * 0.7


def _jump(event: Event) -> Wave:
    """A spring at each hop."""
    time = _seconds(event)
    since = _since(time, (event.end - event.start) / hops(event))
    return _sweep(since, 160, 520, 0.35) * _strike(since, 0.4)


def _shake(event: Event) -> Wave:
    """A rattle, eight times a second."""
    time = _seconds(event)
    return _rush(time * 9000) * _strike(_since(time, 0.125), 0.09)


def _blink(event: Event) -> Wave:
    """A beep as often as it lights up."""
    time = _seconds(event)
    since = _since(time, BLINK_SECONDS)
    return _wave(time * 1250) * _fade(since, BLINK_SECONDS / 2, 0.01) * 0.5


def _recolour(event: Event) -> Wave:
    """A chord of three notes, one after the other, high and glassy."""
    time, length = _seconds(event), event.end - event.start
    notes = zip((0.0, 0.25 * length, 0.5 * length), (1568, 1976, 2637), strict=True)
    return sum((_wave(time * hertz) * _strike(time - at, 0.5 * length) * 0.5 for at, hertz in notes), np.zeros(()))


def _bump(event: Event) -> Wave:
    """A thud where the two touch."""
    time = _seconds(event) - (event.end - event.start) * CONTACT
    return (_sweep(time.clip(0), 130, 55, 0.5) + 0.5 * _rush(time.clip(0) * 1500)) * _strike(time, 0.5) * 1.2


def _bell(event: Event) -> Wave:
    """A bell of four partials, struck every second."""
    time = _seconds(event)
    since = _since(time, 1.0)
    partials = ((523, 0.5), (1046, 0.25), (1255, 0.2), (1569, 0.1))
    return sum((_wave(since * hertz) * weight for hertz, weight in partials), np.zeros(())) * _strike(since, 1.1)


def _drum(event: Event) -> Wave:
    """Three beats a second."""
    since = _since(_seconds(event), 1 / 3)
    return (_sweep(since, 180, 90, 0.3) + 0.4 * _rush(since * 3500)) * _strike(since, 0.28)


def _horn(event: Event) -> Wave:
    """Two sawtooth waves a third apart."""
    time = _seconds(event)
    both = sum((2 * (time * hertz - np.floor(time * hertz)) - 1 for hertz in (233, 294)), np.zeros(()))
    return both * _fade(time, event.end - event.start, 0.08) * 0.35


def _bird(event: Event) -> Wave:
    """Chirps in threes, far above everything else."""
    time = _seconds(event)
    since = _since(time, 0.2)
    pause = np.where(_since(time, 1.0) < 0.6, 1.0, 0.0)
    return _sweep(since, 3200, 5200, 0.15) * _fade(since, 0.15, 0.02) * pause * 0.45


SOUNDS: dict[str, Callable[[Event], Wave]] = {
    "enter": _whoosh(500, 3000), "leave": _whoosh(3000, 500), "move": _whoosh(900, 900), "spin": _spin, "jump": _jump,
    "shake": _shake, "blink": _blink, "grow": _glide(220, 700), "shrink": _glide(700, 220), "recolour": _recolour,
    "bump": _bump, "bell": _bell, "drum": _drum, "horn": _horn, "bird": _bird,
}
"""Kind of event -> its sound, as long as the event at most."""
