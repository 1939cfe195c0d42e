"""SCAN's Gram form against the published computation, written out pair by pair from its formulas."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from features.errors import HeedError
from training.attention.config import AttentionConfig
from training.models import scan_similarity
from training.models.scan import Scan, length_mask
from training.models.scan_config import ScanConfig

NORMALISATIONS = ("clipped_l2norm", "l2norm", "clipped_l1norm", "l1norm", "clipped", "softmax", "no_norm")
AGGREGATIONS = ("mean", "logsumexp", "max", "sum")
SCORES = [AttentionConfig("dot"), AttentionConfig("scaled_dot"), AttentionConfig("cosine"),
          *(AttentionConfig(name, side) for name in ("general", "biased_general") for side in ("key", "query")),
          *(AttentionConfig("activated_general", "key", act) for act in ("relu", "tanh", "sigmoid", "leaky_relu")),
          AttentionConfig("activated_general", "query"),
          AttentionConfig("additive", hidden=7), AttentionConfig("concat", hidden=7), AttentionConfig("elementwise")]
IMAGES, CAPTIONS, REGIONS, WORDS, DIM = 3, 4, 5, 7, 16


def reference(model: Scan, images: Tensor, regions: list[int], words: Tensor, lengths: list[int],
              normalised: Callable[[Tensor, str], Tensor] | None = None,
              ) -> tuple[Tensor, dict[tuple[int, int], Tensor]]:
    """Similarities, and for every (image, caption) weights (queries, keys): the published steps, without padding."""
    config, out, maps = model.config, torch.zeros(len(images), len(words), dtype=images.dtype), {}
    for i, j in itertools.product(range(len(images)), range(len(words))):
        query, context = words[j, :lengths[j]], images[i, :regions[i]]
        if config.direction == "i2t":
            query, context = context, query
        scores = (normalised or published_normalise)(model.score(query, context).T, config.normalisation)
        weights = torch.softmax(scores.T * config.lambda_softmax, dim=1)  # (queries, keys)
        attended = weights @ context
        cosine = (query * attended).sum(1) / (query.norm(dim=1) * attended.norm(dim=1)).clamp(min=1e-8)
        pooled = {"mean": cosine.mean(), "sum": cosine.sum(), "max": cosine.max(),
                  "logsumexp": (cosine * config.lambda_lse).exp().sum().log() / config.lambda_lse}
        out[i, j] = pooled[config.aggregation]
        maps[i, j] = weights
    return out, maps


def published_normalise(scores: Tensor, how: str) -> Tensor:
    """scores (keys, queries), normalised over queries."""
    if "clipped" in how:
        scores = torch.where(scores > 0, scores, 0.1 * scores)
    if "l2norm" in how:
        return scores / ((scores**2).sum(1, keepdim=True).sqrt() + 1e-8)
    if "l1norm" in how:
        return scores / (scores.abs().sum(1, keepdim=True) + 1e-8)
    return scores.exp() / scores.exp().sum(1, keepdim=True) if how == "softmax" else scores


def embeddings(ragged: bool, dtype: torch.dtype = torch.float32,
               unit: bool = True) -> tuple[Tensor, list[int], Tensor, list[int]]:
    generator = torch.Generator().manual_seed(3)
    images = torch.randn(IMAGES, REGIONS, DIM, generator=generator, dtype=dtype)
    words = torch.randn(CAPTIONS, WORDS, DIM, generator=generator, dtype=dtype)
    if unit:
        images, words = (nn.functional.normalize(x, dim=-1) for x in (images, words))
    if ragged:
        return images, [5, 1, 3], words, [7, 3, 1, 7]
    return images, [REGIONS] * IMAGES, words, [WORDS] * CAPTIONS


def masks(regions: list[int], lengths: list[int]) -> tuple[Tensor, Tensor]:
    return length_mask(torch.tensor(regions), REGIONS), length_mask(torch.tensor(lengths), WORDS)


def model(config: ScanConfig, attention: AttentionConfig, dtype: torch.dtype = torch.float32) -> Scan:
    torch.manual_seed(5)
    return Scan(replace(config, embed_dim=DIM, word_dim=4), attention, feature_dim=3, vocab_size=10).to(dtype)


@pytest.mark.parametrize("ragged", [False, True], ids=["equal lengths", "ragged"])
@pytest.mark.parametrize("direction", ["t2i", "i2t"])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_equals_the_published_loop_for_every_option(normalisation: str, direction: str, ragged: bool) -> None:
    images, regions, words, lengths = embeddings(ragged)
    region_mask, word_mask = masks(regions, lengths)
    for aggregation in AGGREGATIONS:
        scan = model(ScanConfig(direction, normalisation, aggregation), AttentionConfig())
        expected, _ = reference(scan, images, regions, words, lengths)
        similarity = scan.similarity(images, region_mask, words, word_mask)
        torch.testing.assert_close(similarity, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("attention", SCORES, ids=lambda a: f"{a.score} {a.side} {a.activation}")
def test_equals_the_published_loop_for_every_score_function(attention: AttentionConfig) -> None:
    images, regions, words, lengths = embeddings(ragged=True, unit=False)
    region_mask, word_mask = masks(regions, lengths)
    for direction, normalisation in itertools.product(("t2i", "i2t"), ("clipped_l2norm", "softmax", "no_norm")):
        scan = model(ScanConfig(direction, normalisation), attention)
        with torch.no_grad():
            expected, maps = reference(scan, images, regions, words, lengths)
            similarity = scan.similarity(images, region_mask, words, word_mask)
            torch.testing.assert_close(similarity, expected, atol=1e-5, rtol=1e-5)
            attended = scan.attention(images, region_mask, words[:IMAGES], word_mask[:IMAGES])
            for i in range(IMAGES):
                weights = maps[i, i] if direction == "t2i" else maps[i, i].T
                torch.testing.assert_close(attended[i, :lengths[i], :regions[i]], weights, atol=1e-5, rtol=1e-5)
                assert attended[i].sum().item() == pytest.approx(weights.sum().item(), abs=1e-5)  # nothing outside


@pytest.mark.parametrize("attention", SCORES, ids=lambda a: f"{a.score} {a.side} {a.activation}")
@pytest.mark.parametrize("direction", ["t2i", "i2t"])
def test_gradients_equal_the_published_loop_s(direction: str, attention: AttentionConfig) -> None:
    images, regions, words, lengths = embeddings(ragged=True, dtype=torch.float64)
    region_mask, word_mask = masks(regions, lengths)
    scan = model(ScanConfig(direction, aggregation="logsumexp"), attention, torch.float64)
    parameters = list(scan.score.parameters())
    leaves = [images.requires_grad_(), words.requires_grad_(), *parameters]
    weighting = torch.randn(IMAGES, CAPTIONS, dtype=torch.float64)
    ours = torch.autograd.grad((scan.similarity(images, region_mask, words, word_mask) * weighting).sum(), leaves)
    theirs = torch.autograd.grad((reference(scan, images, regions, words, lengths)[0] * weighting).sum(), leaves)
    for mine, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, their, atol=1e-8, rtol=1e-6)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("direction", ["t2i", "i2t"])
def test_nothing_under_a_mask_has_any_influence(direction: str, normalisation: str) -> None:
    images, regions, words, lengths = embeddings(ragged=True)
    region_mask, word_mask = masks(regions, lengths)
    for attention in (AttentionConfig("biased_general", "query"), AttentionConfig("additive", hidden=3)):
        scan = model(ScanConfig(direction, normalisation), attention)
        clean = scan.similarity(images, region_mask, words, word_mask)
        dirty_images = images.masked_fill(~region_mask[..., None], torch.nan).requires_grad_()
        dirty_words = words.masked_fill(~word_mask[..., None], torch.inf).requires_grad_()
        dirty = scan.similarity(dirty_images, region_mask, dirty_words, word_mask)
        assert torch.equal(clean, dirty)
        dirty.sum().backward()
        for x, mask in ((dirty_images, region_mask), (dirty_words, word_mask)):
            assert x.grad.isfinite().all() and (x.grad[~mask] == 0).all()
        assert all(p.grad.isfinite().all() for p in scan.score.parameters())
        weights = scan.attention(dirty_images[:IMAGES], region_mask, dirty_words[:IMAGES], word_mask[:IMAGES])
        assert (weights[~(word_mask[:IMAGES, :, None] & region_mask[:, None])] == 0).all()


@pytest.mark.parametrize("direction", ["t2i", "i2t"])
@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_an_image_without_regions_stays_finite(aggregation: str, direction: str) -> None:
    images, regions, words, lengths = embeddings(ragged=True)
    region_mask, word_mask = masks([0, *regions[1:]], lengths)
    scan = model(ScanConfig(direction, aggregation=aggregation), AttentionConfig("general"))
    images.requires_grad_()
    similarity = scan.similarity(images, region_mask, words, word_mask)
    similarity.sum().backward()
    assert similarity.isfinite().all() and images.grad.isfinite().all()
    rest = scan.similarity(images[1:], region_mask[1:], words, word_mask)
    torch.testing.assert_close(similarity[1:], rest)
    if direction == "i2t" or aggregation != "logsumexp":
        assert (similarity[0] == 0).all()


@pytest.mark.parametrize("direction", ["t2i", "i2t"])
@pytest.mark.parametrize("attention", [AttentionConfig("general"), AttentionConfig("concat", hidden=4)],
                         ids=lambda a: a.score)
def test_chunks_change_nothing(direction: str, attention: AttentionConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    images, regions, words, lengths = embeddings(ragged=True)
    region_mask, word_mask = masks(regions, lengths)
    scan = model(ScanConfig(direction), attention)
    whole = scan.similarity(images, region_mask, words, word_mask)
    for chunk in (1, 256 * 20, 256 * 150):
        monkeypatch.setattr(scan_similarity, "CHUNK", chunk)
        torch.testing.assert_close(scan.similarity(images, region_mask, words, word_mask), whole, atol=1e-6, rtol=1e-6)


def published_scramble(scores: Tensor, how: str) -> Tensor:
    """From scores (regions, words) to what the released code's softmax sees, as (regions, words), step by step."""
    attn = scores.T.contiguous()[None]  # (1, words, regions), where the code expects (1, regions, words)
    words, regions = attn.shape[1:]
    if how == "softmax":
        attn = torch.softmax(attn.view(regions, words), dim=1).view(1, regions, words)
    else:
        attn = published_normalise(attn[0], how)[None]
    return attn.transpose(1, 2).contiguous().view(words, regions).T


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_the_published_orientation_is_reproduced(normalisation: str) -> None:
    images, regions, words, lengths = embeddings(ragged=True)
    regions = [REGIONS] * IMAGES
    region_mask, word_mask = masks(regions, lengths)
    for attention in (AttentionConfig("general"), AttentionConfig("biased_general", "query"),
                      AttentionConfig("activated_general")):
        scan = model(ScanConfig("t2i", normalisation, published_orientation=True), attention)
        expected, maps = reference(scan, images, regions, words, lengths, published_scramble)
        similarity = scan.similarity(images, region_mask, words, word_mask)
        torch.testing.assert_close(similarity, expected, atol=1e-5, rtol=1e-5)
        weights = scan.attention(images, region_mask, words[:IMAGES], word_mask[:IMAGES])
        for i in range(IMAGES):
            torch.testing.assert_close(weights[i, :lengths[i]], maps[i, i], atol=1e-5, rtol=1e-5)
        correct = model(ScanConfig("t2i", normalisation), attention).similarity(images, region_mask, words, word_mask)
        assert (similarity - correct).abs().max() > 1e-4


def test_the_published_orientation_leaves_correctly_laid_out_scores_alone() -> None:
    images, regions, words, lengths = embeddings(ragged=True)
    region_mask, word_mask = masks(regions, lengths)
    for attention in (AttentionConfig("dot"), AttentionConfig("general", "query")):
        on, off = (model(ScanConfig(published_orientation=switch), attention) for switch in (True, False))
        assert torch.equal(*(scan.similarity(images, region_mask, words, word_mask) for scan in (on, off)))


def test_the_published_orientation_is_refused_where_it_has_no_meaning() -> None:
    images, regions, words, lengths = embeddings(ragged=True)
    region_mask, word_mask = masks(regions, lengths)
    scan = model(ScanConfig(published_orientation=True), AttentionConfig("general"))
    for score in (scan.similarity, scan.attention):
        with pytest.raises(HeedError, match="equally many regions"):
            score(images, region_mask, words[:IMAGES], word_mask[:IMAGES])
    with pytest.raises(HeedError, match="t2i only"):
        model(ScanConfig("i2t", published_orientation=True), AttentionConfig("general"))
    with pytest.raises(HeedError, match="additive"):
        model(ScanConfig(published_orientation=True), AttentionConfig("additive"))


def test_dot_scaled_dot_and_cosine_are_one_model_under_default_settings() -> None:
    images, regions, words, lengths = embeddings(ragged=False, dtype=torch.float64)
    region_mask, word_mask = masks(regions, lengths)
    dot, scaled, cosine = (model(ScanConfig(), AttentionConfig(name), torch.float64).attention(
        images, region_mask, words[:IMAGES], word_mask[:IMAGES]) for name in ("dot", "scaled_dot", "cosine"))
    torch.testing.assert_close(dot, cosine, atol=1e-12, rtol=0)
    torch.testing.assert_close(dot, scaled, atol=4e-6, rtol=0)  # apart by the epsilon of the normalisation only


def test_no_captions_give_an_empty_matrix() -> None:
    images, regions, words, lengths = embeddings(ragged=True)
    region_mask, word_mask = masks(regions, lengths)
    scan = model(ScanConfig(), AttentionConfig())
    assert scan.similarity(images, region_mask, words[:0], word_mask[:0]).shape == (IMAGES, 0)
