"""SCAN: Stacked Cross Attention for Image-Text Matching (Lee et al., ECCV 2018, arXiv 1803.08024).

Regions and words are embedded in one space; each word attends to the regions ("t2i") or each region to the words
("i2t"), is compared with what it attended to, and the comparisons are pooled into the similarity of image and
caption.

Shapes: features (batch, regions, feature_dim) -> images (batch, regions, dim); tokens (batch, words) -> words (batch,
words, dim); similarity (images, captions). Images may have different numbers of regions and captions different
numbers of words: boolean masks say which are real, and padding has no influence on anything.

Equal to the published code (kuanghuei/SCAN), down to its epsilons; the one difference in form is that similarities
come from `training.models.scan_similarity` rather than from a loop over captions. The score function may be any of
`training.attention.scores`, as in Cao et al. (COLING 2022); the paper's own is cosine, which its code takes as the
dot product of unit vectors. The parameters of the two encoders bear their published names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from features.errors import HeedError
from training.attention.attend import attend
from training.attention.config import AttentionConfig
from training.attention.scores import build_score
from training.models.recurrent import RaggedGRU
from training.models.scan_config import ScanConfig
from training.models.scan_similarity import EPS, Scoring, aggregate, all_pairs, normalise, scramble


class ImageEncoder(nn.Module):
    """Region features into the joint space: v = W f + b (section 3.3), at unit length if ``norm``."""

    def __init__(self, feature_dim: int, dim: int, norm: bool) -> None:
        super().__init__()
        self.fc = nn.Linear(feature_dim, dim)
        nn.init.xavier_uniform_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)
        self.norm = norm

    def forward(self, features: Tensor) -> Tensor:
        """Features (batch, regions, feature_dim) of any float type to float32 embeddings (batch, regions, dim)."""
        embedded = self.fc(features.to(self.fc.weight.dtype))
        return unit(embedded) if self.norm else embedded


class TextEncoder(nn.Module):
    """Words in their context: e = (forward GRU state + backward GRU state) / 2 (section 3.4), at unit length if
    ``norm``.
    """

    def __init__(self, vocab_size: int, word_dim: int, dim: int, bidirectional: bool, norm: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocab_size, word_dim)
        nn.init.uniform_(self.embed.weight, -0.1, 0.1)
        self.rnn = RaggedGRU(word_dim, dim, bidirectional)
        self.norm = norm

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Tokens (batch, words) int64, lengths (batch,) of at least 1, to (batch, words, dim); zero beyond a length."""
        states = self.rnn(self.embed(tokens), lengths)
        if self.rnn.bidirectional:
            forwards, backwards = states.chunk(2, dim=-1)
            states = (forwards + backwards) / 2
        return unit(states) if self.norm else states


class Scan(nn.Module):
    """SCAN with a chosen score function.

    ``feature_dim`` is the size of a region feature, ``vocab_size`` that of the vocabulary with its special tokens.
    Raises `HeedError` where `ScanConfig.published_orientation` is asked of a direction or score function that the
    study never ran.
    """

    def __init__(self, config: ScanConfig, attention: AttentionConfig, feature_dim: int, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(feature_dim, config.embed_dim, config.image_norm)
        self.text_encoder = TextEncoder(vocab_size, config.word_dim, config.embed_dim, config.bidirectional,
                                        config.text_norm)
        self.score = build_score(attention, config.embed_dim)
        self.scoring = Scoring(self.score, config.normalisation, config.aggregation, config.lambda_softmax,
                               config.lambda_lse, _scrambled(config, attention))

    def encode_images(self, features: Tensor, region_mask: Tensor) -> Tensor:
        """Embed features (batch, regions, feature_dim) of any float type: (batch, regions, dim), zero where the mask
        is False.
        """
        images = self.image_encoder(features.masked_fill(~region_mask.unsqueeze(-1), 0))
        return images.masked_fill(~region_mask.unsqueeze(-1), 0)

    def encode_captions(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Embed tokens (batch, words) int64 of the given lengths (batch,): (batch, words, dim), zero beyond a length.
        """
        return self.text_encoder(tokens, lengths)

    def similarity(self, images: Tensor, region_mask: Tensor, words: Tensor, word_mask: Tensor) -> Tensor:
        """Similarity (n_images, n_captions) of every image with every caption, differentiable; higher is a better
        match.

        images (n_images, regions, dim), words (n_captions, words, dim), and their boolean masks. Computed in float32
        also under autocast (in float64 where the embeddings are). An image without regions gets 0 (i2t) or what zero
        relevances pool to. Raises `HeedError` with ``published_orientation`` where images differ in their number of
        regions.
        """
        self._check_orientation(region_mask)
        with torch.autocast(images.device.type, enabled=False):
            images, words = (x.float() if x.dtype in (torch.float16, torch.bfloat16) else x for x in (images, words))
            if self.config.direction == "t2i":
                return all_pairs(images, region_mask, words, word_mask, self.scoring)
            return all_pairs(words, word_mask, images, region_mask, self.scoring).T

    def attention(self, images: Tensor, region_mask: Tensor, words: Tensor, word_mask: Tensor) -> Tensor:
        """Attention weights (batch, words, regions) of aligned pairs: caption i with image i.

        In direction "t2i" a word's weights sum to 1 over regions, in "i2t" a region's sum to 1 over words
        (`self.config.direction` says which); 0 at padding.
        """
        self._check_orientation(region_mask)
        if self.scoring.scrambled:
            return self._scrambled_attention(images, words, word_mask)
        query, query_mask, key, key_mask = words, word_mask, images, region_mask
        if self.config.direction == "i2t":
            query, query_mask, key, key_mask = key, key_mask, query, query_mask

        def over_queries(scores: Tensor) -> Tensor:
            return normalise(scores, self.config.normalisation, -2, query_mask[:, None, :, None])

        query = query.masked_fill(~query_mask.unsqueeze(-1), 0)[:, None]  # (batch, 1 head, queries, dim)
        key = key.masked_fill(~key_mask.unsqueeze(-1), 0)[:, None]
        _, weights = attend(query, key, key, self.score, mask=key_mask[:, None, None],
                            scale=self.config.lambda_softmax, transform=over_queries)
        assert weights is not None
        weights = weights[:, 0].masked_fill(~query_mask.unsqueeze(-1), 0)
        return weights if self.config.direction == "t2i" else weights.transpose(1, 2)

    def matched(self, images: Tensor, region_mask: Tensor, words: Tensor, word_mask: Tensor) -> Tensor:
        """Similarity (batch,) of aligned pairs, caption i with image i, differentiable: the diagonal of `similarity`,
        at the cost of the pairs alone. Zero where an image (t2i) or a caption (i2t) has nothing to attend to.
        """
        weights = self.attention(images, region_mask, words, word_mask)
        if self.config.direction == "t2i":
            query, query_mask, attended = words, word_mask, weights @ images
        else:
            query, query_mask, attended = images, region_mask, weights.transpose(1, 2) @ words
        squares = attended.square().sum(-1) * query.square().sum(-1)
        relevance = (query * attended).sum(-1) * squares.clamp(min=EPS**2).rsqrt()
        return aggregate(relevance, self.config.aggregation, self.config.lambda_lse, 1, query_mask)

    def forward(self, features: Tensor, region_mask: Tensor, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Similarity (images, captions) straight from features and tokens: what `hinge_loss` takes in training."""
        word_mask = length_mask(lengths, tokens.shape[1]).to(tokens.device)
        return self.similarity(self.encode_images(features, region_mask), region_mask,
                               self.encode_captions(tokens, lengths), word_mask)

    def _check_orientation(self, region_mask: Tensor) -> None:
        if self.scoring.scrambled and not bool(region_mask.all()):
            raise HeedError("published_orientation needs equally many regions in every image; extract with a fixed "
                            "number of boxes, or leave it off")

    def _scrambled_attention(self, images: Tensor, words: Tensor, word_mask: Tensor) -> Tensor:
        weights = images.new_zeros(*word_mask.shape, images.shape[1])
        for i, length in enumerate(word_mask.sum(1).tolist()):
            scores = self.score(words[i, :length], images[i]).T[None, :, :, None]  # (1, regions, words, 1)
            logits = scramble(scores, self.config.normalisation) * self.config.lambda_softmax
            weights[i, :length] = torch.softmax(logits, 1)[0, :, :, 0].T
        return weights


def hinge_loss(scores: Tensor, margin: float, max_violation: bool, ignore: Tensor | None = None) -> Tensor:
    """The triplet loss of section 3.2, a scalar: *summed* over the batch, as published.

    scores (n, n), the similarity of image i and caption j, matching on the diagonal. Every caption is told from the
    other images and every image from the other captions: [margin - S(match) + S(other)]+, summed over the others, or
    with ``max_violation`` (VSE++) of the hardest alone. ``ignore`` (n, n) boolean marks pairs that are no negatives,
    such as two captions of one image; published training counts them.
    """
    matches = scores.diagonal()
    not_negative = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    if ignore is not None:
        not_negative = not_negative | ignore
    captions = (margin + scores - matches[:, None]).clamp(min=0).masked_fill(not_negative, 0)
    images = (margin + scores - matches[None, :]).clamp(min=0).masked_fill(not_negative, 0)
    if max_violation:
        return captions.amax(1).sum() + images.amax(0).sum()
    return captions.sum() + images.sum()


def length_mask(lengths: Tensor, width: int) -> Tensor:
    """Boolean (batch, width): True at the first ``lengths[i]`` places of row i."""
    return torch.arange(width, device=lengths.device) < lengths[:, None]


def unit(x: Tensor) -> Tensor:
    """Vectors along the last axis at unit length, the published way: divided by their norm plus EPS. In float32 or
    wider.
    """
    if x.dtype in (torch.float16, torch.bfloat16):
        x = x.float()
    return x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + EPS)


def _scrambled(config: ScanConfig, attention: AttentionConfig) -> bool:
    """Whether the published orientation bug applies; general on the query side was laid out correctly."""
    if not config.published_orientation:
        return False
    if config.direction != "t2i":
        raise HeedError("published_orientation exists in direction t2i only, the one the study ran; leave it off")
    if attention.score in ("additive", "concat", "elementwise"):
        raise HeedError(f"published_orientation: the study never ran score {attention.score!r} in SCAN; leave it off")
    return (attention.score in ("biased_general", "activated_general")
            or (attention.score == "general" and attention.side == "key"))
