"""A captioner of videos as BERT reads: SwinBERT (Lin et al., CVPR 2022, arXiv 2111.13196) behind its video encoder.

The pieces of the caption and, behind them, the clips of the video go through BERT's layers together. A piece sees the
pieces before it, itself, and all clips; a clip sees clips only: so what is said next never depends on what comes after,
and hidden pieces can be told (masked-language training) by the very network that writes word by word, putting [MASK] at
the end and reading what stands there. Clips have no positions of their own, as published: their features hold where
in the video they are (`pipeline.moments`); a clip is one token, or several (`ClipTokens`). The learnable mask
(`MaskConfig`) is over the whole of it, pieces and clips; SwinBERT's static sparse mask, the comparison, is among the
clips. Parameters are named as in the released code (microsoft/SwinBERT), which computes the same numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from features.errors import HeedError
from training.attention.mask import LayerMasks
from training.attention.mask_config import MaskConfig
from training.attention.multihead import Projected
from training.models.bert_layers import EPSILON, BertShape, Intermediate, Output, draw_as_bert
from training.models.captioner_config import CaptionerConfig
from training.models.captioner_sparse import SparseMask
from training.models.captioner_video import ClipTokens
from training.models.text_bert import TextEmbeddings


class _Attention(nn.Module):
    def __init__(self, shape: BertShape, mask: MaskConfig) -> None:
        super().__init__()
        self.self = Projected(shape.width, shape.heads, shape.dropout, mask)
        self.output = Output(shape.width, shape.width, shape.dropout)


class CaptionerLayer(nn.Module):
    """BERT's layer, with a mask in its scores."""

    def __init__(self, shape: BertShape, mask: MaskConfig) -> None:
        super().__init__()
        self.attention = _Attention(shape, mask)
        self.intermediate = Intermediate(shape)
        self.output = Output(shape.feedforward, shape.width, shape.dropout)

    def forward(
        self, x: Tensor, allowed: Tensor, learned: Tensor | None, behind: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """(batch, length, dim); ``allowed`` bool (batch, 1, length, keys), ``learned`` (batch or 1, …) like it;
        ``behind`` as in `Projected`.
        """
        attended = self.attention.output(self.attention.self(x, allowed, learned, behind), x)
        out: Tensor = self.output(F.gelu(self.intermediate.dense(attended)), attended)
        return out


class _Encoder(nn.Module):
    def __init__(self, shape: BertShape, mask: MaskConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(CaptionerLayer(shape, mask) for _ in range(shape.layers))


class _Bert(nn.Module):
    def __init__(self, shape: BertShape, mask: MaskConfig, pieces: int, video_dim: int) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings(pieces, shape)
        self.img_embedding = nn.Linear(video_dim, shape.width)
        self.encoder = _Encoder(shape, mask)


class _Transform(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, states: Tensor) -> Tensor:
        out: Tensor = self.LayerNorm(F.gelu(self.dense(states)))
        return out


class _Predictions(nn.Module):
    def __init__(self, width: int, pieces: int) -> None:
        super().__init__()
        self.transform = _Transform(width)
        self.decoder = nn.Linear(width, pieces, bias=False)
        self.bias = nn.Parameter(torch.zeros(pieces))

    def forward(self, states: Tensor) -> Tensor:
        return self.decoder(self.transform(states)) + self.bias


@dataclass(frozen=True)
class Watched:
    """What a caption's pieces see of a video's clips, which is the same whatever is written (`Captioner.watch`)."""

    shown: Tensor
    """(videos, tokens) bool, True where there is a clip."""
    tokens: list[Tensor]
    """What goes into each layer, (videos, tokens, dim)."""
    keys: list[tuple[Tensor, Tensor]]
    """Each layer's keys and values, (videos, heads, tokens, dim / heads)."""

    def repeated(self, times: int) -> Watched:
        """Every video's ``times`` side by side, for as many captions of it."""
        return Watched(self.shown.repeat_interleave(times, 0), [x.repeat_interleave(times, 0) for x in self.tokens],
                       [(k.repeat_interleave(times, 0), v.repeat_interleave(times, 0)) for k, v in self.keys])


class Captioner(nn.Module):
    """``pieces`` is the size of the vocabulary, ``sizes`` the lengths of the stores' features, the clips' places (2) in
    the last one's.
    """

    def __init__(self, config: CaptionerConfig, mask: MaskConfig, pieces: int, *sizes: int) -> None:
        super().__init__()
        _check(config, mask)
        self.config = config
        self.cut = ClipTokens(config, sizes)
        video_dim = self.cut.dim
        shape = BertShape(config.dim, config.heads, config.feedforward, config.layers, config.dropout)
        scored = MaskConfig("lam", "add") if config.sparse_mask != "none" else mask
        if config.video_dim:
            self.fc: nn.Module = nn.Linear(video_dim, config.video_dim)
        else:
            self.fc = nn.Identity()
        self.bert = _Bert(shape, scored, pieces, config.video_dim or video_dim)
        self.cls = nn.ModuleDict({"predictions": _Predictions(config.dim, pieces)})
        self.input_dropout, self.dropout = nn.Dropout(config.input_dropout), nn.Dropout(config.dropout)
        draw_as_bert(self, config.init_std or 0.02 * math.sqrt(768 / config.dim))
        # Last, so that all else begins the same with any mask.
        most = config.max_clips * self.cut.tokens
        self.masks = LayerMasks(mask, config.layers, config.dim, config.max_tokens + most, config.heads)
        self.learn_vid_att = (SparseMask(most, config.sparse_mask == "hard") if config.sparse_mask != "none" else None)

    def forward(self, words: Tensor, video: Tensor, video_mask: Tensor, asked: bool = False) -> Tensor:
        """States (batch, pieces, dim) of the pieces ``words`` (batch, pieces) int64, padded behind.

        ``video`` (batch, clips, video_dim); ``video_mask`` (batch, clips) bool, True where there is a clip. Where it is
        ``asked`` what comes next, ``words`` are (batch, 2 pieces), a caption and a [MASK] for each of its pieces
        (`training.models.captioner_batch`), whose states are what each would be at the end of the pieces before it.
        """
        pieces, clips = words.shape[1], video.shape[1]
        tokens = pieces // 2 if asked else pieces
        if tokens > self.config.max_tokens or clips > self.config.max_clips:
            raise HeedError(f"The captioner takes {self.config.max_tokens} pieces and {self.config.max_clips} clips at "
                            f"most, not {tokens} and {clips}.")
        looks = self._looks(video)
        x = torch.cat([*map(self.bert.embeddings, words.split(max(tokens, 1), 1)), looks], 1)
        allowed = may_see(tokens, video_mask.repeat_interleave(self.cut.tokens, 1), asked)
        # In a mask the clips begin behind the longest caption there may be, not behind this batch's longest.
        places = torch.cat([torch.arange(pieces) % max(tokens, 1),
                            self.config.max_tokens + torch.arange(looks.shape[1])]).to(x.device)
        static = None if self.learn_vid_att is None else self.learn_vid_att(pieces, looks.shape[1])
        shared = self.masks.begin(x, valid=allowed, places=places)
        for number, layer in enumerate(self.bert.encoder.layer):
            x, learned = self.masks.layer(number, x, shared, valid=allowed, places=places)
            x = layer(x, allowed, learned if static is None else static)
        return x[:, :pieces]

    def watch(self, video: Tensor, video_mask: Tensor) -> Watched:
        """All of the clips that `written` needs, as in `forward`: no clip sees a piece, so it is computed once."""
        x, shown = self._looks(video), video_mask.repeat_interleave(self.cut.tokens, 1)
        tokens, keys = [], []
        allowed = shown[:, None, None].expand(-1, -1, x.shape[1], -1)
        places = self.config.max_tokens + torch.arange(x.shape[1], device=x.device)
        static = None if self.learn_vid_att is None else self.learn_vid_att(0, x.shape[1])
        shared = self.masks.begin(x, valid=allowed, places=places)
        for number, layer in enumerate(self.bert.encoder.layer):
            x, learned = self.masks.layer(number, x, shared, valid=allowed, places=places)
            tokens.append(x)
            keys.append(layer.attention.self.keys(x))
            x = layer(x, allowed, learned if static is None else static)
        return Watched(shown, tokens, keys)

    def written(self, words: Tensor, watched: Watched) -> Tensor:
        """What `forward` gives for ``words`` (rows, pieces) and the clips that row by row were ``watched``."""
        pieces, clips = words.shape[1], watched.shown.shape[1]
        x = self.bert.embeddings(words)
        before = torch.ones(pieces, pieces, dtype=torch.bool, device=x.device).tril()
        shown = watched.shown[:, None].expand(-1, pieces, -1)
        allowed = torch.cat([before.expand(len(words), -1, -1), shown], 2)[:, None]
        places = torch.arange(pieces)
        if self.masks.config.cross != "key":  # there a mask's columns are positions of keys, else of queries
            places = torch.cat([places, self.config.max_tokens + torch.arange(clips)])
        places = places.to(x.device)

        def seen(x: Tensor, tokens: Tensor) -> Tensor | None:
            """What a mask is made from; nothing where there is none."""
            return torch.cat([x, tokens], 1) if len(self.masks.masks) else None

        shared = self.masks.begin(x, seen(x, watched.tokens[0]), allowed, places)
        for number, (layer, tokens) in enumerate(zip(self.bert.encoder.layer, watched.tokens, strict=True)):
            x, learned = self.masks.layer(number, x, shared, seen(x, tokens), allowed, places)
            x = layer(x, allowed, learned, watched.keys[number])
        out: Tensor = x
        return out

    def _looks(self, video: Tensor) -> Tensor:
        """Tokens (batch, clips * tokens, dim) of clips (batch, clips, video_dim)."""
        cut, others = self.cut(self.input_dropout(video))
        looks: Tensor = self.dropout(self.cut.joined(self.bert.img_embedding(self.fc(cut)), others))
        return looks

    def scores(self, states: Tensor) -> Tensor:
        """(…, vocabulary) of the states (…, dim) of pieces."""
        found: Tensor = self.cls["predictions"](states)
        return found

    def mask_loss(self) -> Tensor | float:
        """The weighted sparsity loss of the masks of the last call, whichever they are."""
        if self.learn_vid_att is None:
            return self.masks.loss()
        return self.config.sparse_weight * self.learn_vid_att.loss()


def may_see(tokens: int, video_mask: Tensor, asked: bool = False) -> Tensor:
    """(batch, 1, length, length) bool of ``tokens`` pieces and the clips behind them: who may look at whom.

    Where it is ``asked`` what comes next, as many [MASK]s are between them: each sees itself, clips, and the pieces
    before the one that it stands for.
    """
    batch, clips = video_mask.shape
    before = torch.ones(tokens, tokens, dtype=torch.bool, device=video_mask.device).tril()
    if asked:
        own = torch.eye(tokens, dtype=torch.bool, device=video_mask.device)
        before = torch.cat([torch.cat([before, torch.zeros_like(own)], 1), torch.cat([before & ~own, own], 1)])
    pieces, shown = len(before), video_mask[:, None]
    words = torch.cat([before.expand(batch, -1, -1), shown.expand(-1, pieces, -1)], 2)
    looks = torch.cat([shown.new_zeros(batch, clips, pieces), shown.expand(-1, clips, -1)], 2)
    return torch.cat([words, looks], 1)[:, None]


def _check(config: CaptionerConfig, mask: MaskConfig) -> None:
    if config.sparse_mask != "none" and mask.mask != "none":
        raise HeedError("--model.sparse-mask is what the learnable mask is compared with: take it, or --mask.mask.")
    if mask.mask in ("lam", "lam-multi") and (mask.cross == "both" or mask.length == "interpolate"):
        raise HeedError("A caption is written piece by piece, so its mask must not depend on pieces that are not "
                        "written yet: take --mask.cross query or key, and --mask.length positions or bilinear.")
