"""SCAN's similarity of all images with all captions, in the Gram form.

Stacked Cross Attention for Image-Text Matching (Lee et al., ECCV 2018, arXiv 1803.08024). One side asks, the other
answers: in "t2i" every word (query) attends to the regions of an image (keys), in "i2t" every region to the words of
a caption. Everything below speaks of queries and keys and serves both.

The relevance of a query q, cos(q, sum_k a_k x_k), needs no attended vector: its numerator is sum_k a_k (q.x_k), from
products that are at hand, and |sum_k a_k x_k|^2 = a' G a with G the Gram matrix of the keys of one item. So nothing
of size (images, captions, words, dim) is ever laid out, and both sides are taken in chunks that bound memory.

Inside, scores are laid out (key items, keys, queries, query items): one matrix product gives them, every reduction is
over an outer axis, and query items (captions in t2i) lie innermost, which is what vector units like.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from training.attention.attend import masked_softmax

EPS = 1e-8  # of the published code, in every normalisation and in the cosine
CHUNK = 1 << 21  # scores held at a time; a few such arrays together stay near the size of a last-level cache


def normalise(scores: Tensor, how: str, dim: int, mask: Tensor | None = None) -> Tensor:
    """Normalise the scores of each key over all queries, which lie along ``dim``; ``how`` is
    `ScanConfig.normalisation`.

    ``mask`` (broadcast to the scores) is False for padded queries, which take no part. The paper has only
    clipped_l2norm (with ReLU, below equation 1); the others, and the leaky ReLU of slope 0.1, are the published
    code's, as is adding EPS to the norm.
    """
    if how.startswith("clipped"):
        scores = F.leaky_relu(scores, 0.1)
    if how == "softmax":
        return masked_softmax(scores, mask, dim)
    if how not in ("clipped", "no_norm"):
        if mask is not None:
            scores = scores.masked_fill(~mask, 0)
        if how.endswith("l2norm"):
            # Kept off zero, where the root has no gradient; vector_norm would do the same ten times slower on a CPU.
            norm = scores.square().sum(dim, keepdim=True).clamp(min=torch.finfo(scores.dtype).tiny).sqrt()
        else:
            norm = scores.abs().sum(dim, keepdim=True)
        scores = scores / (norm + EPS)
    return scores


def aggregate(relevance: Tensor, how: str, lambda_lse: float, dim: int, mask: Tensor | None = None) -> Tensor:
    """Pool relevances over the queries along ``dim`` (equations 5, 6, 7 and 8; max and sum are the published code's).

    An item without any query gets 0.
    """
    if mask is None:
        mask = torch.ones((), dtype=torch.bool, device=relevance.device)
    mask = mask.expand_as(relevance)
    count = mask.sum(dim)
    if how in ("mean", "sum"):
        total = relevance.masked_fill(~mask, 0).sum(dim)
        return total if how == "sum" else total / count.clamp(min=1)
    # One query is left standing where there is none, for a finite result with finite gradients.
    relevance = relevance.masked_fill(~(mask | (count == 0).unsqueeze(dim)), -torch.inf)
    pooled = relevance.amax(dim) if how == "max" else torch.logsumexp(relevance * lambda_lse, dim) / lambda_lse
    return pooled.masked_fill(count == 0, 0)


@dataclass(frozen=True)
class Scoring:
    """How a query item and a key item are scored: the parts of `ScanConfig` and of the attention that matter here."""

    score: nn.Module
    normalisation: str
    aggregation: str
    lambda_softmax: float
    lambda_lse: float
    scrambled: bool = False
    """Whether the published orientation bug applies (`scramble`)."""


def all_pairs(keys: Tensor, key_mask: Tensor, queries: Tensor, query_mask: Tensor, scoring: Scoring) -> Tensor:
    """Similarity of every key item with every query item, (key items, query items), differentiable.

    keys (key items, keys, dim), queries (query items, queries, dim), with boolean masks of their first two
    dimensions. What lies under a False is never looked at, be it NaN.
    """
    if not keys.shape[:2].numel() or not queries.shape[:2].numel():
        return keys.new_zeros(len(keys), len(queries))
    keys = keys.masked_fill(~key_mask.unsqueeze(-1), 0)
    queries = queries.masked_fill(~query_mask.unsqueeze(-1), 0)
    folded_queries, folded_keys = scoring.score.fold(queries, keys)
    # A score that is no dot product lays out a vector for every pair, where others have one number: its chunks are
    # smaller, and what they lay out is computed again in the backward pass rather than kept for it.
    product = hasattr(scoring.score, "finish")
    budget = CHUNK if product else max(1, CHUNK // folded_keys.shape[-1])
    block = _block if product or not torch.is_grad_enabled() else partial(checkpoint, _block, use_reentrant=False)
    area = min(128 * keys.shape[1], max(1, budget // queries.shape[1]))
    key_chunks, key_order = _chunks(keys, folded_keys, key_mask, area)
    query_chunks, query_order = _chunks(queries, folded_queries, query_mask, budget // area, scoring.scrambled)
    rows = []
    for key in key_chunks:
        gram = key.x @ key.x.transpose(1, 2)
        rows.append(torch.cat([block(key, gram, query, scoring) for query in query_chunks], dim=1))
    return torch.cat(rows)[key_order.argsort()][:, query_order.argsort()]


@dataclass(frozen=True)
class _Chunk:
    """Some items, cut to the longest of them; ``folded`` may be x itself, ``mask`` is None where all is real."""

    x: Tensor
    folded: Tensor
    mask: Tensor | None


def _chunks(x: Tensor, folded: Tensor, mask: Tensor, size: int,
            same_length: bool = False) -> tuple[list[_Chunk], Tensor]:
    """Cut items into chunks of about ``size`` vectors, shortest items first, and give the order in which they come.

    Items of like length share a chunk, so that little of it is padding; with ``same_length``, only items of equal
    length.
    """
    ends = torch.where(mask, torch.arange(1, mask.shape[1] + 1, device=mask.device), 0).amax(1)
    order = ends.argsort(stable=True)
    lengths = ends[order].tolist()
    full = (mask.sum(1) == ends)[order].tolist()
    starts = [0]
    for i, length in enumerate(lengths):
        grown = (i + 1 - starts[-1]) * length > size and i > starts[-1]
        if grown or (same_length and length != lengths[starts[-1]]):
            starts.append(i)
    stops = [*starts[1:], len(lengths)]
    sizes = [stop - start for start, stop in zip(starts, stops, strict=True)]
    xs = x[order].split(sizes)  # by split, not by slices: the gradient of a slice is as large as the whole
    foldeds = xs if folded is x else folded[order].split(sizes)
    masks = mask[order].split(sizes)
    chunks = []
    for i, (start, stop) in enumerate(zip(starts, stops, strict=True)):
        width = max(lengths[stop - 1], 1)
        whole = all(full[start:stop]) and lengths[start] == width
        part = xs[i][:, :width]
        folded_part = part if folded is x else foldeds[i][:, :width]
        chunks.append(_Chunk(part, folded_part, None if whole else masks[i][:, :width]))
    return chunks, order


def _block(key: _Chunk, gram: Tensor, query: _Chunk, scoring: Scoring) -> Tensor:
    """Similarities (key items, query items) of one chunk with another."""
    shape = (*key.x.shape[:2], query.x.shape[1], query.x.shape[0])  # (key items, keys, queries, query items)
    dots = _dots(key.x, query.x).view(shape)
    if not hasattr(scoring.score, "finish"):
        scores = _pairwise(scoring.score, key.folded, query.folded).view(shape)
    elif key.folded is key.x and query.folded is query.x:
        scores = scoring.score.finish(dots)
    else:
        scores = scoring.score.finish(_dots(key.folded, query.folded).view(shape))
    key_mask = None if key.mask is None else key.mask[:, :, None, None]
    query_mask = None if query.mask is None else query.mask.T[None, None]
    if scoring.scrambled:
        scores = scramble(scores, scoring.normalisation)
    else:
        scores = normalise(scores, scoring.normalisation, 2, query_mask)
    weights = masked_softmax(scores * scoring.lambda_softmax, key_mask, dim=1)
    numerator = (weights * dots).sum(1)
    spread = torch.bmm(gram, weights.flatten(2)).view(shape)
    squares = (weights * spread).sum(1) * query.x.square().sum(-1).T  # |sum_k a_k x_k|^2 |q|^2
    relevance = numerator * squares.clamp(min=EPS**2).rsqrt()  # equation 4; the published clamp is on the root
    mask = None if query.mask is None else query.mask.T[None]
    return aggregate(relevance, scoring.aggregation, scoring.lambda_lse, 1, mask)


def _dots(keys: Tensor, queries: Tensor) -> Tensor:
    """All dot products by one matrix product: (key items x keys, queries x query items)."""
    return keys.flatten(0, 1) @ queries.transpose(0, 1).flatten(0, 1).T


def _pairwise(score: nn.Module, keys: Tensor, queries: Tensor) -> Tensor:
    """Scores of all pairs of folded vectors, in `_dots`' layout."""
    return score.pair(queries.transpose(0, 1).flatten(0, 1), keys).transpose(1, 2)


def scramble(scores: Tensor, how: str) -> Tensor:
    """Normalise as the attention study's released SCAN does for scores it lays out (word, region), not (region, word).

    scores (images, regions, words, captions), captions of one true length. The code then normalises over regions
    where it should over words, and reads the memory of a (region, word) array as (word, region): weights go to the
    wrong words and regions (papers' released code, adlnlp/Attention_VL, `EncoderSimilarityt2i`). Gives what the
    softmax over regions (axis 1) takes.
    """
    images, regions, words, captions = scores.shape
    if how == "softmax":  # here the code reshapes first, reading (word, region) memory as (region, word)
        return torch.softmax(scores.transpose(1, 2).reshape(images, regions, words, captions), 2)
    scores = normalise(scores, how, 1)
    return scores.reshape(images, words, regions, captions).transpose(1, 2)
