"""CLIP's and BERT's text features from folders, against the libraries' own forward on one text at a time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from features.encoders import EncoderOptions
from features.errors import HeedError
from features.text.encoders import load_text_encoder
from tests.features.encoders.test_clip_image import clip_folder

pytest.importorskip("transformers", reason="transformers is not installed")
CPU = EncoderOptions(device="cpu")
TEXTS = ["a cat", "the cat sat", "", "a cat a cat a cat a cat a cat a cat a cat a cat"]


def clip_with_tokeniser(path: Path) -> Path:
    """A small CLIP with a tokeniser of letters and a few merges, numbers 58 and 59 its start and end."""
    clip_folder(path)
    letters = [*"abcdefghijklmnopqrstuvwxyz", *(f"{letter}</w>" for letter in "abcdefghijklmnopqrstuvwxyz")]
    words = [*letters, "th", "the</w>", "ca", "cat</w>", "sa", "sat</w>", "<|startoftext|>", "<|endoftext|>"]
    (path / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (path / "merges.txt").write_text("#version: 0.2\nt h\nth e</w>\nc a\nca t</w>\ns a\nsa t</w>\n")
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "CLIPTokenizer"}))
    return path


def bert_folder(path: Path, pooler: bool = True) -> Path:
    """A small BERT with its vocabulary."""
    from features.hugging_face import transformers

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "cat", "sat", "##s"]
    (path / "vocab.txt").write_text("".join(f"{word}\n" for word in words))
    (path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    config = transformers().BertConfig(vocab_size=10, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                                       intermediate_size=40, max_position_embeddings=12)
    torch.manual_seed(1)
    transformers().BertModel(config, add_pooling_layer=pooler).eval().save_pretrained(path)
    return path


def test_clips_tokens_and_vector_are_those_of_each_text_alone(tmp_path: Path) -> None:
    from features.hugging_face import transformers

    encoder = load_text_encoder(f"clip:{clip_with_tokeniser(tmp_path)}", CPU)
    model = transformers().CLIPModel.from_pretrained(tmp_path).eval()
    numbers = {"a cat": [58, 26, 55, 59], "the cat sat": [58, 53, 55, 57, 59], "": [58, 59]}
    for text, (states, pooled) in zip(TEXTS, encoder.encode(TEXTS), strict=True):
        ids = torch.tensor([numbers.get(text, [58, *[26, 55] * 7, 59])])  # cut at 16, the end kept
        with torch.inference_mode():
            found = model.text_model(input_ids=ids)
            vector = model.text_projection(found.pooler_output)[0]
        assert states.shape == (ids.shape[1], 32) and pooled.shape == (24,)
        assert np.abs(states - found.last_hidden_state[0].numpy()).max() < 1e-5
        assert np.abs(pooled - vector.numpy()).max() < 1e-5
    assert (encoder.dim, encoder.pooled, encoder.most) == (32, 24, 16)


@pytest.mark.parametrize("pooler", [True, False])
def test_berts_states_and_pooled_are_those_of_each_text_alone(pooler: bool, tmp_path: Path) -> None:
    from features.hugging_face import transformers

    encoder = load_text_encoder(f"bert:{bert_folder(tmp_path, pooler)}", CPU)
    model = transformers().BertModel.from_pretrained(tmp_path).eval()
    numbers = [[2, 5, 7, 3], [2, 6, 7, 8, 3], [2, 3], [2, *[5, 7] * 5, 3]]
    for ids, (states, pooled) in zip(numbers, encoder.encode(TEXTS), strict=True):
        with torch.inference_mode():
            found = model(input_ids=torch.tensor([ids]))
        assert states.shape == (len(ids), 32)
        assert np.abs(states - found.last_hidden_state[0].numpy()).max() < 1e-5
        if pooler:
            assert np.abs(pooled - found.pooler_output[0].numpy()).max() < 1e-5
        else:
            assert pooled is None and encoder.pooled == 0


def test_the_identity_follows_weights_and_vocabulary(tmp_path: Path) -> None:
    first = load_text_encoder(f"bert:{bert_folder(tmp_path)}", CPU).describe()
    vocabulary = (tmp_path / "vocab.txt").read_text()
    (tmp_path / "vocab.txt").write_text(vocabulary.replace("cat", "dog"))
    second = load_text_encoder(f"bert:{tmp_path}", CPU).describe()
    assert first["vocabulary"] != second["vocabulary"] and first["weights"] == second["weights"]
    with pytest.warns(UserWarning, match="RANDOM"):
        drawn = load_text_encoder(f"bert:{tmp_path}=random", CPU).describe()
    assert drawn["weights"] != first["weights"]


@pytest.mark.parametrize(("name", "words"), [
    ("brt:x", "no text encoder 'brt:x'.*for example bert:x"),
    ("clip:./nowhere", "no folder './nowhere'"),
])
def test_wrong_names_are_refused_with_a_hint(name: str, words: str) -> None:
    with pytest.raises(HeedError, match=words):
        load_text_encoder(name, CPU)


def test_a_folder_without_tokeniser_or_of_another_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeedError, match="no tokeniser"):
        load_text_encoder(f"clip:{clip_folder(tmp_path)}", CPU)
    with pytest.raises(HeedError, match="is a clip; the text encoder bert reads bert"):
        load_text_encoder(f"bert:{tmp_path}", CPU)
