"""A tiny BERT in Hugging Face's layout whose weights follow from their names, so that two programs have the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from features.text.wordpiece_vocabulary import build_pieces, save_pieces
from tests.evaluation.subjects import rule

CANDIDATES = ["a man is singing on a stage", "a dog runs", "two people cook", "a red star jumps up and down",
              "someone is playing a guitar", "A DOG runs!"]
REFERENCES = ["a man sings a song", "the dog is running in the park", "two people are cooking food", "a star jumps",
              "a woman plays the guitar and sings", "a dog runs", "nothing of the kind happens here", "cats"]
LAYERS, WIDTH = 3, 24
BASELINE = "LAYER,P,R,F\n0,0.1,0.1,0.1\n1,0.2,0.21,0.22\n2,0.3,0.31,0.32\n3,0.4,0.41,0.42\n"


def write_bert(folder: Path, transformers: Any) -> Path:
    """The folder: configuration, vocabulary, tokeniser, weights."""
    pieces = build_pieces([*CANDIDATES, *REFERENCES], 1)
    save_pieces(folder, pieces)
    model = transformers.BertModel(transformers.BertConfig(
        vocab_size=len(pieces), hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=4,
        intermediate_size=40))
    model.load_state_dict(rule.weights({name: list(value.shape) for name, value in model.state_dict().items()}))
    model.save_pretrained(folder)
    transformers.BertTokenizer(vocab=str(folder / "vocab.txt"), vocab_file=str(folder / "vocab.txt"),
                               do_lower_case=True, model_max_length=64).save_pretrained(folder)
    return folder
