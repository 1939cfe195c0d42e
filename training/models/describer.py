"""AutoAD: from the clips of a film and what was said before to the next sentence of its audio description.

Han et al. 2023 ("AutoAD: Movie Description in Context", arXiv 2303.16899). A perceiver-like mapper turns the clips into
ten vectors, the prefix; a GPT-2 goes on from

    [<context> the sentences before <end of context>]  prefix  <begin>  the sentence

The mapper is a transformer over latents and clips together: learned latents stand in front of the normalised clips with
their positions in time, and what comes out in their places is projected to the language model's width. Names and
figures are the public code's (TengdaHan/AutoAD, autoad_i), whose mapper and projection load as they are; how it puts
context, prefix and sentence together is not in that code, only that contexts stand between two learned vectors.

New here: sound, as tokens of its own behind the clips, with the same positions in time and a vector that tells it from
video; and the learnable mask in the mapper's self-attention over all of them (`training.attention.mask`). It starts as
no mask, and then changes no bit.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.attention.mask import LayerMasks
from training.attention.mask_config import MaskConfig
from training.attention.multihead import Multihead
from training.models.describer_config import MapperConfig
from training.models.gpt2 import Gpt2

HEAD = 64
"""Numbers a head of the attention, where nothing else is asked for."""


class QuickGelu(nn.Module):
    """CLIP's approximation, x sigmoid(1.702 x)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """A layer of CLIP's transformer: attention and a feed-forward layer, each on the normalised stream."""

    def __init__(self, dim: int, heads: int, dropout: float, mask: MaskConfig) -> None:
        super().__init__()
        self.attn = Multihead(dim, heads, dropout, mask)
        self.ln_1, self.ln_2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.mlp = nn.Sequential(OrderedDict(c_fc=nn.Linear(dim, 4 * dim), gelu=QuickGelu(),
                                             c_proj=nn.Linear(4 * dim, dim)))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, valid: Tensor, learned: Tensor | None) -> Tensor:
        """(batch, length, dim); ``valid`` (batch, length) bool; ``learned`` (batch, 1 or heads, length, length)."""
        normal = self.ln_1(x)
        x = x + self.dropout(self.attn(normal, normal, normal, valid, learned))
        return x + self.dropout(self.mlp(self.ln_2(x)))


class Encoder(nn.Module):
    """The layers."""

    def __init__(self, config: MapperConfig, heads: int, mask: MaskConfig) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(config.dim, heads, config.dropout, mask) for _ in range(config.layers))

    def forward(self, x: Tensor, valid: Tensor, masks: LayerMasks, places: Tensor) -> Tensor:
        """(batch, length, dim); ``places`` (length,) int64 are the tokens' positions in a mask."""
        allowed = valid[:, None, None]
        shared = masks.begin(x, valid=allowed, places=places)
        for number, block in enumerate(self.resblocks):
            x, learned = masks.layer(number, x, shared, valid=allowed, places=places)
            x = block(x, valid, learned)
        return x


class Mapper(nn.Module):
    """Clips to latents. ``video_dim`` and ``audio_dim`` are the lengths of their features; 0 is no sound."""

    def __init__(self, config: MapperConfig, mask: MaskConfig, video_dim: int, audio_dim: int = 0) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        heads = config.heads or max(1, dim // HEAD)
        self.latent = nn.Parameter(torch.empty(config.latents, dim))
        self.temporal_pos_embed = nn.Parameter(torch.empty(config.max_clips, dim))
        self.encoder = Encoder(config, heads, mask)
        self.visual_prenorm = nn.LayerNorm(dim)
        given = video_dim + config.shares
        self.visual_input = nn.Identity() if given == dim and not config.shares else nn.Linear(given, dim)
        if audio_dim:
            self.audio_input = nn.Linear(audio_dim + config.shares, dim)
            self.audio_prenorm = nn.LayerNorm(dim)
            self.audio_type = nn.Parameter(torch.zeros(dim))
        longest = config.latents + config.max_clips * (2 if audio_dim else 1)
        self._reset()
        self.masks = LayerMasks(mask, config.layers, dim, longest, heads)

    def forward(
        self, video: Tensor, video_mask: Tensor, audio: Tensor | None = None, audio_mask: Tensor | None = None
    ) -> Tensor:
        """Video (batch, clips, d), sound the same in clips of its own, masks bool, to latents (batch, latents, dim)."""
        clips, size = video.shape[1], len(video)
        parts = [self.latent.expand(size, -1, -1),
                 self.visual_prenorm(self.visual_input(video)) + self.temporal_pos_embed[:clips]]
        valid = [torch.ones(size, self.config.latents, dtype=torch.bool, device=video.device), video_mask]
        # In a mask the sound begins behind the most clips there may be, not behind this batch's.
        first = self.config.latents
        places = [torch.arange(first + clips)]
        if audio is not None and audio_mask is not None:
            sounds = audio.shape[1]
            parts.append(self.audio_prenorm(self.audio_input(audio)) + self.temporal_pos_embed[:sounds]
                         + self.audio_type)
            valid.append(audio_mask)
            places.append(first + self.config.max_clips + torch.arange(sounds))
        encoded = self.encoder(torch.cat(parts, 1), torch.cat(valid, 1), self.masks,
                               torch.cat(places).to(video.device))
        return encoded[:, :first]

    def _reset(self) -> None:
        """First values as published; of sound as of video."""
        dim = self.config.dim
        nn.init.normal_(self.latent)
        nn.init.normal_(self.temporal_pos_embed)
        for block in self.encoder.resblocks:
            nn.init.normal_(block.attn.in_proj_weight, std=dim**-0.5)
            nn.init.normal_(block.attn.out_proj.weight, std=dim**-0.5 * (2 * self.config.layers) ** -0.5)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * dim) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=dim**-0.5 * (2 * self.config.layers) ** -0.5)


class Describer(nn.Module):
    """The mapper in front of a language model.

    A language model that is not ``trained`` stays in evaluation, without gradients of its own, and is no part of the
    state: checkpoints hold what was trained.
    """

    def __init__(
        self, config: MapperConfig, mask: MaskConfig, video_dim: int, audio_dim: int, language: Gpt2, trained: bool,
        context: bool,
    ) -> None:
        super().__init__()
        width = language.width
        self.project = nn.Linear(config.dim, width)
        nn.init.normal_(self.project.weight, std=config.dim**-0.5)
        nn.init.zeros_(self.project.bias)
        self.bos_token = nn.Embedding(1, width)
        if context:
            self.context_special_token = nn.Embedding(2, width)
        if trained:
            self.gpt = language
        self.perceiver = Mapper(config, mask, video_dim, audio_dim)  # last: masks draw nothing that others would draw
        self._language = (language.requires_grad_(trained).eval(),)  # in a tuple, so that it is no module of this one

    @property
    def language(self) -> Gpt2:
        """The language model."""
        return self._language[0]

    def _apply(self, fn: Any, *options: Any, **named: Any) -> Describer:
        """Moves the language model along, where it is no part of this module."""
        if "gpt" not in self._modules:
            self.language._apply(fn, *options, **named)
        return super()._apply(fn, *options, **named)

    def prompt(self, prefix: Tensor, context: Tensor | None = None, context_mask: Tensor | None = None
               ) -> tuple[Tensor, Tensor]:
        """What the sentence goes on from: (batch, length, width) and where there is something (batch, length) bool.

        ``prefix`` (batch, latents, dim) are the mapper's latents, ``context`` (batch, tokens) the numbers of what was
        said before.
        """
        size = len(prefix)
        parts = [self.project(prefix), self.bos_token.weight.expand(size, -1, -1)]
        valid = [torch.ones(part.shape[:2], dtype=torch.bool, device=prefix.device) for part in parts]
        if context is not None and context_mask is not None:
            begin, end = (vector.expand(size, 1, -1) for vector in self.context_special_token.weight)
            parts = [begin, self.language.embedded(context), end, *parts]
            one = torch.ones(size, 1, dtype=torch.bool, device=prefix.device)
            valid = [one, context_mask, one, *valid]
        return torch.cat(parts, 1), torch.cat(valid, 1)

    def forward(self, prompt: Tensor, prompt_mask: Tensor, tokens: Tensor, token_mask: Tensor) -> Tensor:
        """Logits (batch, tokens, words) of each of ``tokens`` (batch, tokens), given those before it."""
        inputs = torch.cat([prompt, self.language.embedded(tokens[:, :-1])], 1)
        logits = self.language(inputs, torch.cat([prompt_mask, token_mask[:, :-1]], 1))
        return logits[:, prompt.shape[1] - 1:]

    def mask_loss(self) -> Tensor | float:
        """The masks' sparsity loss."""
        return self.perceiver.masks.loss()


def sentence_loss(logits: Tensor, tokens: Tensor, valid: Tensor) -> Tensor:
    """Mean cross-entropy over the tokens (batch, tokens) that are there."""
    return F.cross_entropy(logits[valid].float(), tokens[valid])
