"""Every state and every block equals Hugging Face's LXMERT and VisualBERT on random weights of tiny sizes.

`python -m tests.evaluation.subjects.test_hugging_face` prints the largest differences, which docs/subjects.md quotes.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from evaluation.subjects import load_subject
from evaluation.subjects.subject import IMAGE_IMAGE, IMAGE_TEXT, TEXT_IMAGE, TEXT_TEXT, Batch
from features.hugging_face import transformers
from tests.evaluation.subjects import rule

pytest.importorskip("transformers")
DIM, VOCABULARY, CLOSE = 6, 120, 1e-5


def filled(model: nn.Module) -> nn.Module:
    """The model with weights by the rule, ready to predict."""
    made = rule.weights({name: value.shape for name, value in model.named_parameters()})
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(made[name])
    return model.eval()


def far(found: Tensor, wanted: Tensor, *masks: Tensor) -> float:
    gap = (found - wanted).abs()
    for axis, mask in enumerate(masks, 2 if found.ndim == 4 else 1):
        shape = [1] * gap.ndim
        shape[0], shape[axis] = mask.shape
        gap = gap * mask.reshape(shape)
    return float(gap.max())


def lxmert(folder: Path, safe: bool) -> tuple[float, int]:
    """Hooks take the blocks that the published class leaves out: they ask its attention for its weights."""
    library = transformers()
    config = library.LxmertConfig(
        vocab_size=VOCABULARY, hidden_size=12, num_attention_heads=3, intermediate_size=20, l_layers=3, x_layers=2,
        r_layers=2, visual_feat_dim=DIM, num_object_labels=7, num_attr_labels=5, num_qa_labels=4,
        max_position_embeddings=16)
    original = filled(library.LxmertForPreTraining(config))
    original.save_pretrained(folder) if safe else _as_bin(original, folder)
    batch = rule.batch(DIM, VOCABULARY)
    taken: dict[str, list[Tensor]] = {}

    def note(name: str, module: nn.Module) -> None:
        taken[name] = []

        def hook(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], _: Any) -> None:
            taken[name].append(type(module).forward(module, *given, **{**named, "output_attentions": True})[1])
        module.register_forward_hook(hook, with_kwargs=True)

    encoder = original.lxmert.encoder
    for index, layer in enumerate(encoder.x_layers, 1):
        note(f"cross {index} between", layer.visual_attention.att)
        note(f"cross {index} text", layer.lang_self_att.self)
        note(f"cross {index} image", layer.visn_self_att.self)
    with torch.no_grad():
        given = {"input_ids": batch.words, "attention_mask": batch.word_mask.float(), "visual_feats": batch.features,
                 "visual_pos": batch.boxes / batch.sizes.repeat(1, 2)[:, None],
                 "visual_attention_mask": batch.region_mask.float(), "token_type_ids": torch.zeros_like(batch.words)}
        out = original(**given, output_hidden_states=True, output_attentions=True)
    subject = load_subject(f"lxmert:{folder}")
    reading = subject.read(batch)
    layers = {layer.name: layer for layer in reading.layers}
    words, regions = batch.word_mask, batch.region_mask
    gaps = []
    for index in range(5):
        name = f"text {index + 1}" if index < 3 else f"cross {index - 2}"
        gaps.append(far(layers[name].text, out.language_hidden_states[index], words))
        if index < 3:
            gaps.append(far(layers[name].blocks[TEXT_TEXT], out.language_attentions[index], words, words))
    for index in range(4):
        name = f"image {index + 1}" if index < 2 else f"cross {index - 1}"
        gaps.append(far(layers[name].image, out.vision_hidden_states[index], regions))
        if index < 2:
            gaps.append(far(layers[name].blocks[IMAGE_IMAGE], out.vision_attentions[index], regions, regions))
    for index in (1, 2):
        blocks = layers[f"cross {index}"].blocks
        gaps += [far(blocks[TEXT_IMAGE], out.cross_encoder_attentions[index - 1], words, regions),
                 far(blocks[TEXT_IMAGE], taken[f"cross {index} between"][0], words, regions),
                 far(blocks[IMAGE_TEXT], taken[f"cross {index} between"][1], regions, words),
                 far(blocks[TEXT_TEXT], taken[f"cross {index} text"][0], words, words),
                 far(blocks[IMAGE_IMAGE], taken[f"cross {index} image"][0], regions, regions)]
    score = out.cross_relationship_score
    gaps.append(float((reading.match - (score[:, 1] - score[:, 0])).abs().max()))
    gaps.append(far(subject.word_scores(reading.text), out.prediction_logits, words))
    return max(gaps), len(gaps)


def visualbert(folder: Path, safe: bool) -> tuple[float, int]:
    """Its attention covers words and regions, in that order."""
    library = transformers()
    config = library.VisualBertConfig(
        vocab_size=VOCABULARY, hidden_size=12, num_attention_heads=3, intermediate_size=20, num_hidden_layers=3,
        visual_embedding_dim=DIM, max_position_embeddings=16, attn_implementation="eager")
    original = filled(library.VisualBertForPreTraining(config))
    original.save_pretrained(folder) if safe else _as_bin(original, folder)
    batch = rule.batch(DIM, VOCABULARY)
    both = torch.cat([batch.word_mask, batch.region_mask], 1)
    with torch.no_grad():
        out = original(input_ids=batch.words, attention_mask=batch.word_mask.float(), visual_embeds=batch.features,
                       visual_attention_mask=batch.region_mask.float(), output_hidden_states=True,
                       output_attentions=True)
    subject = load_subject(f"visualbert:{folder}")
    reading = subject.read(batch)
    gaps = [far(torch.cat([layer.text, layer.image], 1), wanted, both)
            for layer, wanted in zip(reading.layers, out.hidden_states, strict=True)]
    gaps += [far(reading.joined(layer), wanted, both, both)
             for layer, wanted in zip(reading.layers[1:], out.attentions, strict=True)]
    score = out.seq_relationship_logits
    gaps.append(float((reading.match - (score[:, 0] - score[:, 1])).abs().max()))
    words = batch.words.shape[1]
    gaps.append(far(subject.word_scores(reading.text), out.prediction_logits[:, :words], batch.word_mask))
    return max(gaps), len(gaps)


def _as_bin(model: Any, folder: Path) -> None:
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


COMPARED = {"lxmert": lxmert, "visualbert": visualbert}


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
@pytest.mark.parametrize("name", COMPARED)
def test_all_states_and_blocks_equal_transformers(name: str, safe: bool, tmp_path: Path) -> None:
    gap, compared = COMPARED[name](tmp_path, safe)
    assert gap < CLOSE and compared >= 9


def test_the_encoder_alone_loads_and_has_no_heads(tmp_path: Path) -> None:
    config = transformers().VisualBertConfig(
        vocab_size=VOCABULARY, hidden_size=12, num_attention_heads=3, intermediate_size=20, num_hidden_layers=1,
        visual_embedding_dim=DIM, max_position_embeddings=16)
    filled(transformers().VisualBertModel(config)).save_pretrained(tmp_path)
    subject = load_subject(f"visualbert:{tmp_path}")
    batch: Batch = rule.batch(DIM, VOCABULARY)
    reading = subject.read(batch)
    assert subject.description["heads"] == [] and reading.match is None
    with pytest.raises(Exception, match="no head that predicts masked words"):
        subject.word_scores(reading.text)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for subject_name, compare in COMPARED.items():
        with tempfile.TemporaryDirectory() as place:
            largest, count = compare(Path(place), True)
        print(f"{subject_name}: {largest:.1e} over {count} arrays")
