"""MAC's options. Light to import: the command line reads it for --help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from training.attention.config import AttentionConfig

Combiner = Literal["linear", "sum"]


@dataclass(frozen=True)
class MacConfig:
    """MAC's options; the defaults are those of the attention study on CLEVR (`--netLength 4 @configs/args.txt` of its
    released code, and the upstream code's own defaults).

    Dropout is given as the share dropped; the published options are the share kept.
    """

    # Steps of reasoning; published: 4, and 4 to 16 upstream.
    steps: int = 4
    # Size of control, memory and attention, and of both directions of the question's LSTM together.
    dim: int = 512
    # Size of the word embeddings, learned from scratch, first drawn between -1 and 1.
    word_dim: int = 300
    # What turns an image's features into its knowledge base: 3 x 3 convolutions where its regions are the cells of a
    # grid, linear layers on each region and its box otherwise; auto looks at the store.
    stem: Literal["auto", "cnn", "linear"] = "auto"
    # Layers of the stem.
    stem_layers: int = 2
    # Hidden layers of the classifier, each of this many units.
    classifier: tuple[int, ...] = (512,)
    # How the control unit's vectors of interaction become scores: by a learned sum, or the plain one.
    control_combiner: Combiner = "linear"
    # The same in the read unit.
    read_combiner: Combiner = "linear"
    # In which unit --attention is used; the study changes both alike.
    attention_in: Literal["both", "control", "read"] = "both"
    # The score function of the other unit, where only one is named.
    other: AttentionConfig = field(default_factory=lambda: AttentionConfig("elementwise", init="xavier"))
    # Let the control see the control before it (equation c1 of the paper; off in the published options).
    feed_control: bool = False
    # Linear layers of the read unit's interaction with memory: 2, with the activation between them, as in the
    # published code; 1, with the activation behind it.
    memory_layers: Literal[1, 2] = 2
    # Give the classifier the question beside the memory.
    output_question: bool = True
    # And their product (the published outQuestionMul, off in the study): whether what was read is what was asked for.
    output_product: bool = False
    # The study's names in the control unit: there its "qwk" has W on the control, which is the query everywhere else.
    published_control_side: bool = False
    # Dropout of word embeddings.
    drop_words: float = 0.15
    # Dropout before each layer of the stem.
    drop_stem: float = 0.18
    # Dropout of the question's vector.
    drop_question: float = 0.08
    # Dropout of the memory before it is read, one draw for all steps of a question.
    drop_memory: float = 0.15
    # Dropout in the read unit: of the knowledge base, of the memory, and of what becomes the scores.
    drop_read: float = 0.15
    # Dropout before each layer of the classifier.
    drop_output: float = 0.15
