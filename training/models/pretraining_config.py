"""Options of pre-training. Light to import: the command line reads it for --help.

Published recipes: UNITER (Chen et al. 2020; ChenRocks/UNITER, config/pretrain-indomain-base-8gpu.json and data/mlm.py,
mrm.py, itm.py) and LXMERT (Tan and Bansal 2019; airsplay/lxmert, run/lxmert_pretrain.bash and
src/pretrain/lxmert_pretrain.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class PretrainingModelConfig:
    """The network. Of one that starts from a checkpoint, the checkpoint says the sizes."""

    # one: words and regions in one stream, UNITER's network. two: a stream each and layers between, LXMERT's.
    streams: Literal["one", "two"] = "one"
    # Length of the states.
    width: int = 128
    # Attention heads of a layer.
    heads: int = 4
    # Length inside the feed-forward layers; published: 4 times the width.
    inner: int = 512
    # Layers of the one stream.
    layers: int = 4
    # Of two streams: the text's own layers, the image's own, and those between (published: 9, 5, 5).
    text_layers: int = 2
    image_layers: int = 1
    cross_layers: int = 3
    # Dropout of attention weights, of what each half of a layer adds, and of embeddings; published: 0.1.
    dropout: float = 0.1
    # Deviation of the initial weights. 0: BERT's 0.02 at width 768, and as much larger as the width is smaller,
    # 0.02 sqrt(768 / width), so that attention does not begin flat.
    init_std: float = 0.0
    # Images over whose regions features are standardised at the start, by the matrix that embeds them; 0: not at all.
    standardise: int = 500


@dataclass(frozen=True)
class ObjectivesConfig:
    """What is hidden and what is to be told."""

    # alone: a sample is for matching, for words or for regions, and nothing else is hidden then (UNITER). together: all
    # at once (LXMERT). auto: as the model's streams were published.
    masking: Literal["auto", "alone", "together"] = "auto"
    # alone: weights by which a sample is given to matching, words, regions. UNITER: 2 : 2 : 1 + 1, regression and
    # classification of regions counted apart; it draws for a batch, here each sample is drawn.
    mix: tuple[float, float, float] = (1.0, 1.0, 1.0)
    # Share of the word pieces that are to be told; of those 80 % are masked, 10 % replaced, 10 % left (both).
    word_rate: float = 0.15
    # Share of the regions that are to be told. one stream: all masked (UNITER); two: as words are (LXMERT).
    region_rate: float = 0.15
    # Share of the captions that are exchanged for another image's, where matching is asked (both: a half).
    mismatched: float = 0.5
    # together: ask for words and regions of exchanged pairs too, of which the other side says nothing (LXMERT's code).
    tell_mismatched: bool = False
    # Ask for the classes of shown regions as well (LXMERT's code does): without that, nothing keeps a small model that
    # is trained from scratch from making all regions alike.
    tell_shown: bool = False
    # Also hide regions that overlap one to be told by more than this IoU, which would give it away. 1: none (both);
    # ViLBERT: 0.4.
    overlap: float = 1.0
    # Weights of the losses of words, matching, regions' features and regions' classes.
    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
