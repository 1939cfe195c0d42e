"""SCAN's options. Light to import: the command line reads it for --help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["t2i", "i2t"]
Normalisation = Literal["clipped_l2norm", "l2norm", "clipped_l1norm", "l1norm", "clipped", "softmax", "no_norm"]
Aggregation = Literal["mean", "logsumexp", "max", "sum"]


@dataclass(frozen=True)
class ScanConfig:
    """SCAN's options; the defaults are "t-i AVG" as trained in the attention study (`--cross_attn=t2i
    --agg_func=Mean`).
    """

    # t2i: every word attends to the regions; i2t: every region attends to the words.
    direction: Direction = "t2i"
    # What is done to the scores of each key over all queries, before the softmax; clipped is a leaky ReLU of slope 0.1.
    normalisation: Normalisation = "clipped_l2norm"
    # How the relevances of the words (t2i) or of the regions (i2t) become the similarity of image and caption.
    aggregation: Aggregation = "mean"
    # Inverse temperature of the attention softmax; published: 9 for t2i, 4 for i2t on Flickr30K.
    lambda_softmax: float = 9.0
    # Inverse temperature of aggregation logsumexp.
    lambda_lse: float = 6.0
    # Size of the joint embedding, of the GRU's state, and so of the vectors the score function compares.
    embed_dim: int = 1024
    # Size of the word embeddings, learned from scratch.
    word_dim: int = 300
    # Read captions in both directions and average the two states of each word.
    bidirectional: bool = True
    # Scale region embeddings to unit length.
    image_norm: bool = True
    # Scale word embeddings to unit length.
    text_norm: bool = True
    # Margin of the hinge loss, in units of similarity.
    margin: float = 0.2
    # Only the hardest negative of the batch counts, for each image and each caption; otherwise all are summed.
    max_violation: bool = True
    # Reproduce the scrambled attention of the study's released SCAN for general (key side), biased_general and
    # activated_general: scores laid out (word, region) are read as (region, word). Needs equally many regions in
    # every image.
    published_orientation: bool = False
