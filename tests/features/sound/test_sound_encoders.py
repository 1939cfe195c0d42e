"""Sound encoders: log-mel statistics, and transformers' models against their own forward, one sound at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from features.encoders import EncoderOptions
from features.errors import HeedError
from features.sound import load_sound_encoder
from features.sound.mel import LogMel

CPU = EncoderOptions(device="cpu")
SOUNDS = [np.random.default_rng(n).normal(size=length).astype(np.float32) * 0.1
          for n, length in enumerate((16_000, 9_000, 16_000))]


def test_log_mel_is_the_mean_and_deviation_of_each_band() -> None:
    encoder = load_sound_encoder("logmel:32")
    features = encoder.encode([*SOUNDS, np.zeros(0, np.float32)])
    bands = LogMel(mels=32)(SOUNDS[1])
    assert features.shape == (4, 64) == (4, encoder.dim) and encoder.rate == 16_000
    assert np.allclose(features[1], np.concatenate([bands.mean(0), bands.std(0)]))
    assert not features[3].any() and features[:3].any(1).all()  # only no sound at all is zero
    assert load_sound_encoder("logmel:32-htk").describe() != encoder.describe()


@pytest.mark.parametrize(("name", "words"), [
    ("logmel:many", "takes a number of bands"), ("lgmel:64", "Did you mean logmel"),
    ("transformers:./nowhere", "no folder './nowhere'"),
])
def test_wrong_names_are_refused(name: str, words: str) -> None:
    with pytest.raises(HeedError, match=words):
        load_sound_encoder(name, CPU)


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}


def model_folder(kind: str, path: Path):
    """A small model of transformers with its feature extractor, saved."""
    from features.hugging_face import transformers

    library = transformers()
    torch.manual_seed(0)
    if kind == "ast":
        model = library.ASTModel(library.ASTConfig(**SMALL, max_length=200, num_mel_bins=32))
        extractor = library.ASTFeatureExtractor(num_mel_bins=32, max_length=200)
    elif kind == "wav2vec2":
        model = library.Wav2Vec2Model(library.Wav2Vec2Config(
            **SMALL, conv_dim=(16, 16), conv_kernel=(10, 3), conv_stride=(5, 2), num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2, num_feat_extract_layers=2))
        extractor = library.Wav2Vec2FeatureExtractor()
    elif kind == "clap":
        audio = library.ClapAudioConfig(hidden_size=32, patch_embeds_hidden_size=16, depths=[1, 1], window_size=4,
                                        num_attention_heads=[2, 2], spec_size=64, num_mel_bins=16, patch_size=4,
                                        enable_fusion=True, projection_dim=24)
        model = library.ClapAudioModelWithProjection(audio)
        extractor = library.ClapFeatureExtractor(feature_size=16, max_length_s=1, sampling_rate=16_000, hop_length=250)
    else:
        model = library.WhisperModel(library.WhisperConfig(
            vocab_size=20, d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=48,
            decoder_layers=1, decoder_attention_heads=4, decoder_ffn_dim=48, num_mel_bins=16, max_source_positions=100,
            pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1, begin_suppress_tokens=None,
            suppress_tokens=None))
        extractor = library.WhisperFeatureExtractor(feature_size=16, chunk_length=2)
    model.eval().save_pretrained(path)
    extractor.save_pretrained(path)
    return model, extractor


@pytest.mark.filterwarnings("ignore:At least one mel filter")
@pytest.mark.parametrize("kind", ["ast", "wav2vec2", "clap", "whisper"])
def test_transformers_models_hear_each_sound_as_if_it_were_alone(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    model, extractor = model_folder(kind, tmp_path)
    encoder = load_sound_encoder(f"transformers:{tmp_path}", CPU)
    features = encoder.encode(SOUNDS)
    assert features.shape == (3, encoder.dim) and features.std(0).max() > 1e-3
    for sound, got in zip(SOUNDS, features, strict=True):
        read = extractor(sound, sampling_rate=16_000, return_tensors="pt")
        with torch.inference_mode():
            if kind == "ast":
                expected = model(read["input_values"]).pooler_output[0]
            elif kind == "wav2vec2":
                expected = model(read["input_values"]).last_hidden_state[0].mean(0)
            elif kind == "clap":
                expected = model(read["input_features"], is_longer=torch.tensor([[False]])).audio_embeds[0]
            else:
                states = model.encoder(read["input_features"]).last_hidden_state[0]
                expected = states[: -(-len(sound) * 50 // 16_000)].mean(0)
        assert np.abs(got - expected.numpy()).max() < 1e-4


def test_sounds_longer_than_a_model_takes_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    model_folder("ast", tmp_path)
    encoder = load_sound_encoder(f"transformers:{tmp_path}", CPU)
    with pytest.raises(HeedError, match="takes at most 2 s of sound at once, not 3"):
        encoder.encode([np.zeros(48_000, np.float32)])


def test_sounds_shorter_than_a_state_are_filled_up(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    model_folder("wav2vec2", tmp_path)
    assert load_sound_encoder(f"transformers:{tmp_path}", CPU).encode([SOUNDS[0][:3]]).any()
