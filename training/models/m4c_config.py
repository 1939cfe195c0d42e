"""M4C's options. Light to import: the command line reads it for --help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class M4cConfig:
    """M4C's options; the defaults are those of the attention study (sam-textvqa without spatial layers)."""

    # Width of the multimodal transformer.
    hidden: int = 768
    # Heads of its self-attention; each compares vectors of hidden / heads numbers.
    heads: int = 12
    # Its layers.
    layers: int = 4
    # Width inside its feed-forward networks.
    feedforward: int = 3072
    # Width of TextBert, which reads the question; where it is another than hidden, a linear layer leads over.
    text_hidden: int = 768
    # TextBert's layers: the first of BERT.
    text_layers: int = 3
    # TextBert's heads.
    text_heads: int = 12
    # Width inside TextBert's feed-forward networks.
    text_feedforward: int = 3072
    # Weights of BERT for TextBert: empty draws them, else a model's name (downloaded when online), a folder, or a file.
    text_weights: str = ""
    # Dropout of states, attention weights and inputs.
    dropout: float = 0.1
    # Deviation of the transformers' first weights: 0.02 is BERT's, for a width of 768; 0.02 times the root of
    # 768 / hidden keeps attention as sharp in a narrower one.
    init_deviation: float = 0.02
    # Width of the vectors that the OCR pointer compares; 0 takes hidden.
    pointer: int = 0
    # Most decoding steps, </s> included.
    steps: int = 12
    # Most wordpieces of a question, [CLS] and [SEP] included.
    most_pieces: int = 20
    # Most regions of an image.
    most_objects: int = 100
    # Most words of an image that can be pointed at.
    most_words: int = 50
    # Tell an OCR word by its PHOC.
    phoc: bool = True
    # Tell an OCR word by the mean of TextBert's embeddings of its pieces too: a learned stand-in for fastText.
    learned_words: bool = False
    # Zeros behind an OCR word's features, for which published weights hold columns: 50 there.
    legacy_zeros: int = 0
    # Region features are Detectron's fc6 and pass through its fc7, which is trained too (MMF's M4C, not the study's).
    tune_fc7: bool = False
    # Epsilon of the LayerNorms of object and OCR inputs: 1e-12 in the study's code, 1e-5 in MMF's.
    input_epsilon: float = 1e-12
    # Reproduce the roles of query and key as the study's released code swaps them for W on the query ("kwq").
    published_roles: bool = False
    # What counts as right from the second step on, besides the sampled entry: every entry of the same word
    # (identical); what sam-textvqa's code finds, which misses other boxes of an OCR word (published); nothing, as MMF.
    targets: Literal["identical", "published", "sampled"] = "identical"
    # Learning rate of TextBert, and of fc7, as a multiple of --lr.
    text_lr: float = 0.1
