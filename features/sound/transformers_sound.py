"""Sound encoders of the library transformers, from a folder in Hugging Face's layout, with their own preprocessing.

``transformers:FOLDER``, ``transformers:FOLDER=random`` (no weights needed), or ``transformers:OWNER/NAME`` of the Hub.
AST (Gong et al. 2021): the pooled class and distillation tokens. wav2vec 2.0, HuBERT and WavLM: the mean of the last
states. CLAP (Wu et al. 2023): the vector in the space it shares with texts. Whisper (Radford et al. 2023): the mean of
the encoder's states over the time that there is sound. torchaudio is not needed: AST's filter bank is then that of
transformers itself, in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from features.encoders.encoder import EncoderName, EncoderOptions, settled_device
from features.errors import HeedError
from features.hugging_face import (
    hub_folder,
    is_repository,
    load_pretrained,
    random_model,
    read_config,
    transformers,
)
from features.sound.encoder import SoundEncoder
from features.weights import digest, warn_random

KINDS = {
    "audio-spectrogram-transformer": ("ASTModel", "pooled"),
    "wav2vec2": ("Wav2Vec2Model", "mean of states"),
    "hubert": ("HubertModel", "mean of states"),
    "wavlm": ("WavLMModel", "mean of states"),
    "clap": ("ClapAudioModelWithProjection", "projected"),
    "clap_audio_model": ("ClapAudioModelWithProjection", "projected"),
    "whisper": ("WhisperModel", "mean of states that are heard"),
}
"""Model type in config.json -> class of transformers, and which of its outputs is the feature."""
PREPARED = (
    "sampling_rate", "feature_size", "num_mel_bins", "max_length", "do_normalize", "mean", "std", "n_fft", "hop_length",
    "chunk_length", "fft_window_size", "frequency_min", "frequency_max", "truncation", "padding",
)
STATES_A_SECOND = 50
"""Of Whisper's encoder: a state each 20 ms."""


def load(name: EncoderName, options: EncoderOptions) -> SoundEncoder:
    """Build the network and load its weights; raises `HeedError` when they cannot be had or do not fit."""
    library = transformers()
    folder = Path(name.name)
    if not folder.is_dir():
        if not is_repository(name.name) or name.weights:
            raise HeedError(f"There is no folder {name.name!r}; transformers: takes a folder in Hugging Face's layout, "
                            "or OWNER/NAME of the Hub.")
        folder = hub_folder(name.name, ("model.safetensors", "config.json", "preprocessor_config.json"), name.name)
    config = read_config(folder)
    if config.model_type not in KINDS:
        raise HeedError(f"{folder} is a {config.model_type}; of transformers' models heed hears with "
                        f"{', '.join(KINDS)}.")
    class_name, feature = KINDS[config.model_type]
    kind = getattr(library, class_name)
    if config.model_type == "clap":
        config.audio_config.projection_dim = config.projection_dim
        config = config.audio_config
    if name.weights == "random":
        warn_random(f"The sound encoder transformers:{name.name}")
        model = random_model(kind, config)
    else:
        model = load_pretrained(kind, folder, class_name, config)
    try:
        prepare = library.AutoFeatureExtractor.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise HeedError(f"{folder} does not say how sound is prepared (preprocessor_config.json): "
                        f"{str(error).splitlines()[0]}.") from error
    device = settled_device(options)
    model = (model.get_encoder() if class_name == "WhisperModel" else model).to(device)
    hear = {"ASTModel": _ast, "ClapAudioModelWithProjection": _clap, "WhisperModel": _whisper}.get(class_name, _states)

    def forward(sounds: Sequence[np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return hear(model, prepare, list(sounds), device).float().cpu().numpy()

    longest = {"ASTModel": lambda: prepare.max_length / 100, "WhisperModel": lambda: prepare.chunk_length,
               "ClapAudioModelWithProjection": lambda: prepare.nb_max_samples / prepare.sampling_rate}
    dim = config.projection_dim if feature == "projected" else getattr(config, "d_model", None) or config.hidden_size
    identity = {"name": "transformers", "architecture": class_name, "feature": feature,
                "weights": digest(model.state_dict()), "prepared": _settings(prepare)}
    return SoundEncoder(identity, int(dim), int(prepare.sampling_rate), forward,
                        float(longest.get(class_name, lambda: 0)()),
                        {"torch": torch.__version__, "transformers": library.__version__})


def _settings(prepare: Any) -> dict[str, Any]:
    """What of the preprocessing's settings changes what a network hears, for a store's identity."""
    settings = prepare.to_dict()
    return {name: settings[name] for name in PREPARED if name in settings}


def _ast(model: Any, prepare: Any, sounds: list[np.ndarray], device: torch.device) -> Tensor:
    found = prepare(sounds, sampling_rate=prepare.sampling_rate, return_tensors="pt")
    return model(found["input_values"].to(device)).pooler_output


def _clap(model: Any, prepare: Any, sounds: list[np.ndarray], device: torch.device) -> Tensor:
    """The extractor calls one short sound in a batch long, at random; none is."""
    found = prepare(sounds, sampling_rate=prepare.sampling_rate, return_tensors="pt")
    short = torch.zeros((len(sounds), 1), dtype=torch.bool, device=device)
    return model(input_features=found["input_features"].to(device), is_longer=short).audio_embeds


def _whisper(model: Any, prepare: Any, sounds: list[np.ndarray], device: torch.device) -> Tensor:
    found = prepare(sounds, sampling_rate=prepare.sampling_rate, return_tensors="pt")
    states = model(found["input_features"].to(device)).last_hidden_state
    heard = [max(1, math.ceil(len(samples) * STATES_A_SECOND / prepare.sampling_rate)) for samples in sounds]
    return torch.stack([row[:count].mean(0) for row, count in zip(states, heard, strict=True)])


def _states(model: Any, prepare: Any, sounds: list[np.ndarray], device: torch.device) -> Tensor:
    """Sounds of one length at a time, as padding would be heard; one shorter than a state is filled up with zeros."""
    least = _receptive_field(model.config)
    out = torch.zeros((len(sounds), model.config.hidden_size), device=device)
    for length in {len(samples) for samples in sounds}:
        places = [place for place, samples in enumerate(sounds) if len(samples) == length]
        alike = [np.pad(sounds[place], (0, max(0, least - length))) for place in places]
        found = prepare(alike, sampling_rate=prepare.sampling_rate, return_tensors="pt", padding=False)
        out[places] = model(found["input_values"].to(device)).last_hidden_state.mean(1)
    return out


def _receptive_field(config: Any) -> int:
    """Samples of which the convolutions make one state."""
    field = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        field = (field - 1) * stride + kernel
    return int(field)

