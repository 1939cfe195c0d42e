"""Log-mel statistics of a stretch of sound: the mean of each band over its frames, then the standard deviation.

``logmel:64`` is 64 bands on Slaney's scale with filters of one area, as librosa makes them; ``logmel:128-htk`` is 128
bands on HTK's scale with filters of one height. 16 kHz, windows of 25 ms every 10 ms.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from features.encoders.encoder import EncoderName, EncoderOptions
from features.errors import HeedError
from features.sound.encoder import SoundEncoder
from features.sound.mel import LogMel


def load(name: EncoderName, options: EncoderOptions) -> SoundEncoder:
    """The encoder of that many bands; raises `HeedError` for a name that says something else."""
    found = re.fullmatch(r"(\d{1,3})(-slaney|-htk)?", name.name or "64")
    if found is None or name.weights or int(found[1]) < 1:
        raise HeedError("logmel takes a number of bands and a scale, as in logmel:64 or logmel:128-htk, not "
                        f"{name.name!r}.")
    htk = found[2] == "-htk"
    spectrogram = LogMel(mels=int(found[1]), scale="htk" if htk else "slaney", area=not htk)

    def forward(sounds: Sequence[np.ndarray]) -> np.ndarray:
        found = [spectrogram(samples) for samples in sounds]
        return np.stack([np.concatenate([bands.mean(0), bands.std(0)]) for bands in found])

    identity = {"name": "logmel", "feature": "mean of each band, then standard deviation",
                "spectrogram": spectrogram.to_json()}
    return SoundEncoder(identity, 2 * spectrogram.mels, spectrogram.rate, forward, versions={"numpy": np.__version__})
