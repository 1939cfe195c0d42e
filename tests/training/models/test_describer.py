"""The describer: masks that change nothing, padding that does not show, sound's places, and decoding by brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from features.errors import HeedError
from features.text.vocabulary import Vocabulary
from training.attention.mask_config import MaskConfig
from training.attention.mask_maps import recorded
from training.models.decoding import mean_search
from training.models.describer import Describer, sentence_loss
from training.models.describer_config import DecodeConfig, LanguageConfig, MapperConfig
from training.models.describer_language import WordTokens, pretrained_language, say, small_language

WORDS, END = 11, 2
MAPPER = MapperConfig(latents=4, dim=32, heads=4, max_clips=8)
MASKS = ("none", "lam", "lam-multi", "control")


def describer(mask: str = "none", mapper: MapperConfig = MAPPER, context: bool = True, trained: bool = True,
              audio: int = 3, **options) -> Describer:
    torch.manual_seed(1)
    language = small_language(LanguageConfig(dim=24, layers=2, heads=2, dropout=0.0), WORDS, 40)
    return Describer(mapper, MaskConfig(mask, **options), 5, audio, language, trained, context).eval()


def inputs(clips=(6, 3, 8), sounds=(2, 4, 1), dims=(5, 3)) -> list[torch.Tensor]:
    draw, out = np.random.default_rng(2), []
    for counts, dim in zip((clips, sounds), dims, strict=True):
        valid = np.arange(max(counts)) < np.array(counts)[:, None]
        values = draw.normal(size=(*valid.shape, dim)).astype(np.float32) * valid[..., None]
        out += [torch.from_numpy(values), torch.from_numpy(valid)]
    return out


def sentences() -> list[torch.Tensor]:
    tokens = torch.tensor([[4, 5, 6, 2], [7, 2, 0, 0], [5, 8, 2, 0]])
    context = torch.tensor([[4, 5, 0], [0, 0, 0], [9, 4, 6]])
    return [tokens, torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]]).bool(),
            context, torch.tensor([[1, 1, 0], [0, 0, 0], [1, 1, 1]]).bool()]


def logits(model: Describer, given=None) -> torch.Tensor:
    tokens, valid, context, told = sentences()
    with torch.no_grad():
        return model(*model.prompt(model.perceiver(*(given or inputs())), context, told), tokens, valid)


@pytest.mark.parametrize("combine", ["multiply", "add"])
@pytest.mark.parametrize("mask", MASKS[1:])
def test_every_mask_starts_as_none_bit_for_bit(mask, combine) -> None:
    assert torch.equal(logits(describer()), logits(describer(mask, combine=combine)))


@pytest.mark.parametrize("mask", MASKS)
def test_padding_of_clips_sound_context_and_sentence_does_not_show(mask) -> None:
    model = describer(mask, identity=False)
    video, video_mask, audio, audio_mask = inputs()
    tokens, valid, context, told = sentences()
    together = logits(model)
    for row in range(3):
        alone = [video[row: row + 1, video_mask[row]], video_mask[row: row + 1, video_mask[row]],
                 audio[row: row + 1, audio_mask[row]], audio_mask[row: row + 1, audio_mask[row]]]
        with torch.no_grad():
            prompt = model.prompt(model.perceiver(*alone), context[row: row + 1, told[row]],
                                  told[row: row + 1, told[row]])
            found = model(*prompt, tokens[row: row + 1, valid[row]], valid[row: row + 1, valid[row]])
        assert torch.allclose(found[0], together[row, valid[row]], atol=1e-5)


def test_a_mask_is_over_latents_video_and_sound_at_places_of_their_own() -> None:
    model = describer("lam-multi", identity=False)
    with recorded(model) as seen:
        logits(model)
    assert list(seen) == [f"perceiver.encoder.resblocks.{i}.attn" for i in range(2)]
    mask = seen["perceiver.encoder.resblocks.0.attn"][0].mask
    assert mask.shape == (3, 1, 4 + 8 + 4, 4 + 8 + 4)
    assert model.perceiver.masks.masks[0].longest == 4 + 8 + 8
    short = inputs(clips=(2, 1, 2))
    with recorded(model) as seen:
        logits(model, short)
    other = seen["perceiver.encoder.resblocks.0.attn"][0].mask
    assert torch.equal(mask[:, :, :4, :4], other[:, :, :4, :4])  # the latents begin alike
    assert torch.equal(mask[:, :, :4, 12:], other[:, :, :4, 6:])  # and sound has its places, however much video


def test_sound_and_video_both_reach_the_sentence_and_learn() -> None:
    model = describer("lam").train()
    tokens, valid, context, told = sentences()
    loss = sentence_loss(model(*model.prompt(model.perceiver(*inputs()), context, told), tokens, valid), tokens, valid)
    loss.backward()
    for name, parameter in model.named_parameters():
        last = name.startswith("perceiver.masks") and "network.0" in name  # behind a last layer that is zero
        if not last:
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_a_frozen_language_model_is_no_part_of_the_state_and_stays_as_it_is() -> None:
    model = describer(trained=False)
    before = {name: value.clone() for name, value in model.language.state_dict().items()}
    assert not any(name.startswith("gpt") for name in model.state_dict())
    model.train()
    assert not model.language.training
    tokens, valid, context, told = sentences()
    sentence_loss(model(*model.prompt(model.perceiver(*inputs()), context, told), tokens, valid), tokens,
                  valid).backward()
    assert all(parameter.grad is None for parameter in model.language.parameters())
    assert all(parameter.grad is not None for parameter in model.project.parameters())
    torch.optim.SGD(model.parameters(), 1.0).step()
    assert all(torch.equal(value, before[name]) for name, value in model.language.state_dict().items())
    assert model.double().language.lm_head.weight.dtype == torch.float64  # it moves along


def test_features_of_the_mappers_width_need_no_projection_and_shares_one() -> None:
    plain = Describer(MAPPER, MaskConfig(), 32, 0, describer().language, True, False)
    assert not any("visual_input" in name for name in plain.state_dict())
    shared = Describer(MapperConfig(latents=4, dim=32, heads=4, shares=True), MaskConfig(), 32, 3,
                       describer().language, True, False)
    assert shared.perceiver.visual_input.in_features == 33 and shared.perceiver.audio_input.in_features == 4


def test_greedy_decoding_takes_the_likeliest_word_of_the_whole_sequence_each_time() -> None:
    model = describer("lam")
    with torch.no_grad():
        torch.nn.init.normal_(model.language.lm_head.weight, std=1.0)  # so that sentences differ
        _, _, context, told = sentences()
        prompt, valid = model.prompt(model.perceiver(*inputs()), context, told)
        said = say(model, prompt, valid, END, 9, DecodeConfig(1))
        for row in range(3):
            tokens: list[int] = []
            while len(tokens) < 9:
                so_far = torch.tensor([[*tokens, 0]])
                next_word = int(model(prompt[row: row + 1], valid[row: row + 1], so_far,
                                      torch.ones_like(so_far).bool())[0, -1].argmax())
                tokens.append(next_word)
                if next_word == END:
                    break
            assert said[row] == [token for token in tokens if token != END]


@pytest.mark.parametrize("seed", range(8))
def test_a_beam_as_wide_as_the_words_finds_the_best_mean_of_all_short_sentences(seed) -> None:
    words, end, most = 5, 3, 2
    draw = np.random.default_rng(seed)
    first, second = (np.log(draw.dirichlet(np.full(words, 0.7), size)) for size in ((2,), (2, words)))
    histories = [(sample,) for sample in range(2)]

    def step(tokens, rows):
        nonlocal histories
        histories = [(histories[row][0], int(token)) for token, row in zip(tokens, rows, strict=True)]
        return torch.tensor(np.stack([second[one] for one in histories]))

    found = mean_search(torch.tensor(first), step, end, most, DecodeConfig(words))
    for sample, one in enumerate(found):
        means = {(a, b): (first[sample, a] + second[sample, a, b]) / 2
                 for a, b in product(range(words), repeat=2) if a != end} | {(end,): first[sample, end]}
        assert one == [token for token in max(means, key=means.__getitem__) if token != end]


def test_what_was_said_can_be_made_less_likely_and_sequences_forbidden() -> None:
    flat = torch.log(torch.tensor([[0.05, 0.6, 0.3, 0.05]]))

    def step(tokens, rows):
        return flat.expand(len(rows), -1)

    assert mean_search(flat, step, 0, 4, DecodeConfig(1)) == [[1, 1, 1, 1]]
    assert mean_search(flat, step, 0, 3, DecodeConfig(1, repetition_penalty=3.0)) == [[1, 2, 1]]
    assert mean_search(flat, step, 0, 5, DecodeConfig(1, no_repeat=2)) == [[1, 1, 2, 1, 3]]


def test_words_become_a_sentence_again() -> None:
    said = ["The small red star's gone, isn't it?", "A bell (in a tower) rings."]
    tokens = WordTokens(Vocabulary.build(said, 1))
    assert [tokens.decode(tokens.encode(one)) for one in said] == said
    assert tokens.decode([*tokens.encode("A tiny bell"), tokens.end]) == "A bell"


def test_models_that_are_no_gpt2_or_nowhere_are_refused(tmp_path) -> None:
    import transformers

    with pytest.raises(HeedError, match="There is no language model 'gpt-two'"):
        pretrained_language("gpt-two")
    transformers.BertConfig(hidden_size=8).save_pretrained(tmp_path)
    with pytest.raises(HeedError, match="a model of type 'bert'"):
        pretrained_language(str(tmp_path))
    with pytest.raises(HeedError, match="cannot be shared by 5 heads"):
        small_language(LanguageConfig(dim=24, heads=5), WORDS, 8)
