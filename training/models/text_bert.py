"""TextBert: the first layers of BERT, by which M4C reads a question (Hu et al. 2020, §3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from features.errors import HeedError
from training.models.bert_layers import EPSILON, BertLayers, BertShape, draw_as_bert

POSITIONS, TYPES = 512, 2


class TextEmbeddings(nn.Module):
    """Sum of wordpiece, position and type embeddings, normalised; every wordpiece is of type 0."""

    def __init__(self, pieces: int, shape: BertShape) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(pieces, shape.width, padding_idx=0)
        self.position_embeddings = nn.Embedding(POSITIONS, shape.width)
        self.token_type_embeddings = nn.Embedding(TYPES, shape.width)
        self.LayerNorm = nn.LayerNorm(shape.width, eps=EPSILON)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(batch, tokens, width) of piece numbers (batch, tokens) int64."""
        positions = self.position_embeddings.weight[: tokens.shape[1]]
        out: Tensor = self.LayerNorm(self.word_embeddings(tokens) + positions + self.token_type_embeddings.weight[0])
        return self.dropout(out)


class TextBert(nn.Module):
    """Wordpieces to states; attention is BERT's scaled dot product in every variant of the study."""

    def __init__(self, pieces: int, shape: BertShape, deviation: float = 0.02) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings(pieces, shape)
        self.encoder = BertLayers(shape)
        draw_as_bert(self, deviation)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """States (batch, tokens, width) of piece numbers (batch, tokens) int64; ``mask`` is False at padding."""
        states: Tensor = self.encoder(self.embeddings(tokens), mask)[0]
        return states

    def means(self, pieces: Tensor) -> Tensor:
        """Mean embedding (…, width) of the pieces (…, n) of a word; 0 is padding, and a word of nothing has zeros."""
        present = (pieces != 0).unsqueeze(-1)
        total = (self.embeddings.word_embeddings(pieces) * present).sum(-2)
        return torch.div(total, present.sum(-2).clamp(min=1))


def load_bert(text: TextBert, name: str) -> None:
    """Give TextBert the first layers of a BERT: a folder, OWNER/NAME or a published name (`features.text.encoders`).

    Raises `HeedError` where it cannot be had, or has other sizes.
    """
    from features.encoders.encoder import EncoderName
    from features.text.encoders.bert import PUBLISHED
    from features.text.encoders.encoder import folder_of
    from features.weights import load_into, read_weights

    folder = folder_of(EncoderName("bert", name, "default"), PUBLISHED)
    files = [folder / file for file in ("model.safetensors", "pytorch_model.bin") if (folder / file).is_file()]
    if not files:
        raise HeedError(f"{folder} has no weights: model.safetensors or pytorch_model.bin.")
    wanted = set(text.state_dict())
    found = {}
    for key, value in read_weights(files[0]).tensors.items():
        short = key.removeprefix("bert.").replace(".gamma", ".weight").replace(".beta", ".bias")
        if short in wanted:  # not later layers, the pooler, the heads of pretraining, buffers
            found[short] = value
    load_into(text, found, f"TextBert of width {text.embeddings.word_embeddings.weight.shape[1]}")
