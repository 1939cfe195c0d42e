"""Writing captions against an exhaustive search over all of them, on made-up scores."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from features.errors import HeedError
from training.models.captioner_config import CaptionWriting
from training.models.decoding import Specials, beam_search, draw

SPECIALS = Specials(pad=0, begin=1, end=2, mask=3)
VOCABULARY, LONGEST = 6, 5


def scorer(seed: int):
    """Scores that depend on all pieces so far and on the caption."""
    def scores(words: Tensor) -> Tensor:
        rows = []
        for row, pieces in enumerate(words.tolist()):
            caption = row // (len(words) // 2)
            draw = np.random.default_rng([seed, caption, *pieces])
            values = draw.normal(size=VOCABULARY) * 1.5
            values[[0, 1, 3]] = -50  # no word
            rows.append(values)
        return torch.from_numpy(np.stack(rows))
    return scores


def chances(scores, caption: int, pieces: list[int]) -> np.ndarray:
    batch = torch.tensor([[9] * len(pieces)] * 2)
    batch[caption] = torch.tensor(pieces)
    values = scores(batch)[caption].numpy()
    return values - np.log(np.exp(values).sum())


def best(scores, caption: int, penalty: float) -> list[int]:
    """The caption of the greatest mean log-probability, by trying all."""
    found: list[tuple[float, list[int]]] = []
    for length in range(LONGEST - 1):
        for words in product((4, 5), repeat=length):
            pieces = [1, *words]
            total = sum(chances(scores, caption, pieces[:n])[pieces[n]] for n in range(1, len(pieces)))
            # At the greatest length whatever comes next counts, as published.
            last = chances(scores, caption, pieces)
            total += last.max() if len(pieces) + 1 == LONGEST else last[2]
            found.append((total / len(pieces) ** penalty, list(words)))
    return max(found)[1]


@pytest.mark.parametrize("penalty", [1.0, 0.0, 2.0])
@pytest.mark.parametrize("seed", range(6))
def test_beams_as_many_as_there_are_captions_find_the_best(seed: int, penalty: float) -> None:
    scores = scorer(seed)
    said = beam_search(scores, 2, SPECIALS, CaptionWriting(16, LONGEST, penalty), torch.device("cpu"))
    # All of at most two pieces that could be better end before the search does: with any number of beams it stops only
    # where no longer caption can be better.
    assert said == [best(scores, caption, penalty) for caption in range(2)]


@pytest.mark.parametrize("seed", range(6))
def test_one_beam_takes_the_likeliest_piece_each_time(seed: int) -> None:
    scores = scorer(seed)
    said = beam_search(scores, 2, SPECIALS, CaptionWriting(1, LONGEST), torch.device("cpu"))
    for caption in range(2):
        pieces = [1]
        while len(pieces) < LONGEST - 1 and (piece := int(chances(scores, caption, pieces).argmax())) != 2:
            pieces.append(piece)
        assert said[caption] == pieces[1:]


def test_captions_end_at_their_own_lengths() -> None:
    def scores(words: Tensor) -> Tensor:
        out = torch.zeros(len(words), VOCABULARY)
        half = len(words) // 2
        out[:half, 2 if words.shape[1] == 2 else 4] = 9
        out[half:, 5] = 9
        return out

    for beams in (1, 2):
        said = beam_search(scores, 2, SPECIALS, CaptionWriting(beams, LONGEST), torch.device("cpu"))
        assert said == [[4], [5, 5, 5]]


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_captions_are_drawn_as_often_as_they_are_likely(temperature: float) -> None:
    scores = scorer(3)
    writing = CaptionWriting(1, LONGEST, samples=2, temperature=temperature)
    even = torch.from_numpy(np.random.default_rng(0).random((4000, LONGEST), np.float32))
    said = draw(scores, even, SPECIALS, writing)

    def probability(caption: int, words: list[int]) -> float:
        total, pieces = 0.0, [1]
        for word in [*words, 2][:LONGEST - 2]:
            warm = chances(scores, caption, pieces) / temperature
            total += warm[word] - np.log(np.exp(warm).sum())
            pieces.append(word)
        return float(np.exp(total))

    for caption in range(2):
        drawn = Counter(map(tuple, said[caption * 2000:(caption + 1) * 2000]))
        every = [list(words) for length in range(LONGEST - 1) for words in product((4, 5), repeat=length)]
        expected = {tuple(words): probability(caption, words) for words in every}
        assert sum(expected.values()) == pytest.approx(1, abs=1e-6)
        for words, share in expected.items():
            assert drawn[words] / 2000 == pytest.approx(share, abs=4 * (share * (1 - share) / 2000) ** 0.5 + 1e-3)


def test_what_is_drawn_follows_from_its_numbers_alone() -> None:
    scores = scorer(1)
    even = torch.from_numpy(np.random.default_rng(1).random((6, LONGEST), np.float32))
    writing = CaptionWriting(1, LONGEST, samples=3)
    said = draw(scores, even, SPECIALS, writing)
    other = draw(scores, even.flip(0), SPECIALS, writing)
    assert draw(scores, even, SPECIALS, writing) == said != other
    highest = draw(scores, torch.ones(2, LONGEST), SPECIALS, writing)  # 1 itself is not drawn, but must not overflow
    assert all(piece < VOCABULARY for row in highest for piece in row)


def test_what_cannot_be_drawn_is_refused() -> None:
    for words in ({"samples": 1}, {"samples": 5, "beams": 2}, {"samples": 5, "temperature": 0.0}, {"samples": -2}):
        with pytest.raises(HeedError, match=r"--writing\.samples is 0, or 2 and more"):
            CaptionWriting(**words)
