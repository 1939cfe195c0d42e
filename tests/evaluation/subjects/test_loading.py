from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from evaluation.subjects import SUBJECTS, load_subject, loading, lxmert, uniter, vilbert, visualbert
from evaluation.subjects.batches import make_batch
from evaluation.subjects.subject import CLS, IMAGE_IMAGE, SEP, TEXT_TEXT
from features.errors import HeedError
from features.regions import Regions
from tests.evaluation.subjects import published, rule

TINY = uniter.Config(vocabulary=120, width=12, layers=2, heads=3, inner=20, positions=16, features=6)


def made(name: str, folder: Path, **changes: torch.Tensor) -> Path:
    """A published-looking folder with some weights changed."""
    meta, _ = published.golden(name)
    return published.folder(folder, {**published.state_dict(meta), **changes}, meta["config"])


def regions(n: int, dim: int = 6) -> Regions:
    rng = np.random.default_rng(n)
    corners = np.sort(rng.uniform(0, 90, (n, 2, 2)), 1).reshape(n, 4).astype(np.float32)
    nothing = np.zeros(n, np.int32)
    return Regions(corners, rng.uniform(0, 1, (n, dim)).astype(np.float16), nothing, np.ones(n, np.float32),
                   np.zeros((n, 0), np.int32), np.zeros((n, 0), np.float32), 100, 90)


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    mine, other = first.state_dict(), second.state_dict()
    return mine.keys() == other.keys() and all(torch.equal(mine[key], other[key]) for key in mine)


def test_uniter_base_has_the_parameters_that_the_published_file_s_length_implies() -> None:
    """273.56 MB in half precision, tied weights twice: 136,780,679 numbers."""
    with torch.device("meta"):
        model = uniter.Uniter(uniter.Config())
    width, dim, classes = 768, 2048, 1601
    transform = width * width + width + 2 * width
    unread = (transform + dim + transform + width * classes + classes)  # regression's and classification's heads
    twice = 28996 * width + dim * width
    assert sum(p.numel() for p in model.parameters()) + unread + twice == 136_780_679


def test_lxmert_and_visualbert_have_the_lengths_of_their_published_files() -> None:
    """model_LXRT.pth is 870 MiB, with heads for objects, attributes, features and 9,500 answers; the file of
    visualbert-vqa-coco-pre is 448 MB, all of it read."""
    width = 768
    with torch.device("meta"):
        read, whole = lxmert.Lxmert(lxmert.Config()), visualbert.VisualBert(visualbert.Config())
    objects = width * width + 3 * width + (1600 + 400 + 2048) * (width + 1)
    answers = width * 2 * width + 2 * width + 2 * 2 * width + (2 * width + 1) * 9500
    assert round((sum(p.numel() for p in read.parameters()) + objects + answers) * 4 / 2**20) == 870
    assert round(sum(p.numel() for p in whole.parameters()) * 4 / 1e6) == 448


def test_half_precision_becomes_single_and_keeps_its_values(tmp_path: Path) -> None:
    meta, _ = published.golden("uniter")
    halves = {name: tensor.half() for name, tensor in published.state_dict(meta).items()}
    assert "cls.predictions.decoder.weight" in halves  # the tied weight is stored twice
    subject = load_subject(f"uniter:{published.folder(tmp_path, halves, meta['config'])}")
    for name, tensor in subject.model.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, halves[name].float())
    assert subject.description["heads"] == ["cls.predictions", "itm_output"]


@pytest.mark.parametrize("rename", [
    lambda key: f"module.{key}",
    lambda key: key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
    lambda key: key.replace("bert.", "lxmert.", 1) if key.startswith("bert.") else key,
], ids=["module", "gamma and beta", "hugging face"])
def test_other_layouts_names_give_the_same_weights(rename: object, tmp_path: Path) -> None:
    meta, _ = published.golden("lxmert")
    tensors = published.state_dict(meta)
    plain = load_subject(f"lxmert:{published.folder(tmp_path / 'a', tensors, meta['config'])}")
    renamed = {rename(key): value for key, value in tensors.items()}
    assert renamed.keys() != tensors.keys()
    other = load_subject(f"lxmert:{published.folder(tmp_path / 'b', renamed, meta['config'])}")
    assert same(plain.model, other.model) and plain.description["weights"] == other.description["weights"]


def test_an_encoder_alone_needs_no_prefix_and_has_no_heads(tmp_path: Path) -> None:
    meta, _ = published.golden("uniter")
    tensors = {key.removeprefix("uniter."): value for key, value in published.state_dict(meta).items()
               if key.startswith("uniter.")}
    subject = load_subject(f"uniter:{published.folder(tmp_path, tensors, meta['config'])}")
    assert subject.description["heads"] == []
    assert subject.read(rule.batch(6, 120)).match is None


@pytest.mark.parametrize("kept", ["cls.predictions.decoder.weight", "uniter.embeddings.word_embeddings.weight"])
def test_a_tied_weight_stored_once_under_either_name_will_do(kept: str, tmp_path: Path) -> None:
    meta, _ = published.golden("uniter")
    tensors = published.state_dict(meta)
    twins = {"cls.predictions.decoder.weight", "uniter.embeddings.word_embeddings.weight"}
    save_file({key: value for key, value in tensors.items() if key == kept or key not in twins},
              tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"num_attention_heads": 3}')
    whole = load_subject(f"uniter:{made('uniter', tmp_path / 'whole')}")
    assert same(load_subject(f"uniter:{tmp_path}").model, whole.model)


def test_twins_that_differ_an_unknown_name_and_a_missing_one_are_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(HeedError, match=r"decoder\.weight' differs from 'uniter\.embeddings\.word_emb"):
        load_subject(f"uniter:{made('uniter', tmp_path, **{'cls.predictions.decoder.weight': torch.zeros(120, 12)})}")
    with pytest.raises(HeedError, match=r"'uniter\.extra' is not part of it \(0 missing, 1 unknown, 0 of another"):
        load_subject(f"uniter:{made('uniter', tmp_path, **{'uniter.extra': torch.zeros(1)})}")
    meta, _ = published.golden("uniter")
    tensors = published.state_dict(meta)
    del tensors["uniter.encoder.layer.1.output.dense.bias"]
    with pytest.raises(HeedError, match=r"layer\.1\.output\.dense\.bias' is missing \(1 missing, 0 unknown"):
        load_subject(f"uniter:{published.folder(tmp_path, tensors, meta['config'])}")
    del tensors["uniter.embeddings.word_embeddings.weight"], tensors["cls.predictions.decoder.weight"]
    with pytest.raises(HeedError, match=r"lack the parameter 'uniter\.embeddings\.word_embeddings\.weight'"):
        load_subject(f"uniter:{published.folder(tmp_path, tensors, meta['config'])}")


def test_a_pickle_with_code_in_it_is_refused(tmp_path: Path) -> None:
    torch.save({"a": Path}, tmp_path / "model.pt")
    with pytest.raises(HeedError, match="without running code"):
        load_subject(f"uniter:{tmp_path / 'model.pt'}")


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_registry_s_names_are_the_families(name: str) -> None:
    assert import_module(SUBJECTS[name]).FAMILY.name == name


@pytest.mark.parametrize(("name", "words"), [
    ("unitr:x", "for example uniter:x"), ("uniter", "given as FAMILY:PLACE"), ("uniter:x=zero", "not understood"),
    ("uniter:nowhere", "no file or folder 'nowhere'"),
])
def test_names_that_are_not_understood_say_what_to_write(name: str, words: str) -> None:
    with pytest.raises(HeedError, match=words):
        load_subject(name)


def test_a_folder_without_weights_and_volta_without_a_configuration_say_so(tmp_path: Path) -> None:
    with pytest.raises(HeedError, match="has no weights"):
        load_subject(f"lxmert:{tmp_path}")
    made("volta_uniter", tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(HeedError, match="need their configuration"):
        load_subject(f"volta:{tmp_path}")



def test_random_weights_follow_from_the_seed_and_have_bert_s_deviation() -> None:
    first, again, other = (loading.build(uniter.FAMILY, TINY, None, "uniter:tiny", seed) for seed in (1, 1, 2))
    assert same(first, again) and not same(first, other)
    wide = loading.build(uniter.FAMILY, replace(TINY, width=96, layers=1), None, "uniter:wide", 0)
    assert float(wide.uniter.encoder["layer"][0].attention.self.query.weight.std()) == pytest.approx(0.02, rel=0.05)
    assert not wide.uniter.pooler.dense.bias.any()


def test_sizes_of_an_existing_folder_with_random_weights(tmp_path: Path) -> None:
    place = made("vilbert", tmp_path)
    trained, random = load_subject(f"vilbert:{place}"), load_subject(f"vilbert:{place}=random", seed=5)
    assert trained.description["config"] == random.description["config"]
    assert random.description["weights"] == "random" and random.description["seed"] == 5
    assert not same(trained.model, random.model)


def test_vilbert_s_published_places_of_co_attention_follow_from_its_weights() -> None:
    with torch.device("meta"):
        shapes = vilbert.Vilbert(vilbert.Config()).state_dict()
    assert vilbert.configure(shapes, {}) == vilbert.Config()
    with torch.device("meta"):
        assert uniter.configure(uniter.Uniter(uniter.FAMILY.sizes["large"]).state_dict(), {}).heads == 16


@pytest.fixture
def pieces(tmp_path: Path) -> Path:
    """BERT's ids of the special pieces, then a few words."""
    words = ["[PAD]", *(f"[unused{n}]" for n in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "Dog", "s"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    return tmp_path / "vocab.txt"


def test_texts_and_regions_become_a_padded_batch(pieces: Path, tmp_path: Path) -> None:
    subject = load_subject(f"uniter:{made('uniter', tmp_path)}", vocabulary=pieces)
    batch = make_batch(subject, ["Dog", "dog dog s"], [regions(3), regions(2)])
    assert batch.words.tolist() == [[101, 105, 102, 0, 0], [101, 104, 104, 106, 102]]  # UNITER is cased
    assert batch.word_mask.sum(1).tolist() == [3, 5] and batch.region_mask.sum(1).tolist() == [3, 2]
    assert batch.features.dtype == torch.float32 and not batch.features[1, 2].any()
    reading = subject.read(batch)
    assert reading.text_kinds[0].tolist() == [CLS, 1, SEP, 0, 0]
    alone = subject.read(make_batch(subject, ["Dog"], [regions(3)]))
    torch.testing.assert_close(reading.text[0, :3], alone.text[0])
    torch.testing.assert_close(reading.image[0], alone.image[0])


def test_uncased_families_lower_their_words(pieces: Path, tmp_path: Path) -> None:
    subject = load_subject(f"lxmert:{made('lxmert', tmp_path)}", vocabulary=pieces)
    assert make_batch(subject, ["Dog"], None).words.tolist() == [[101, 104, 102]]


def test_a_vocabulary_larger_than_the_weights_and_wrong_features_are_refused(pieces: Path, tmp_path: Path) -> None:
    place = made("uniter", tmp_path / "weights")
    subject = load_subject(f"uniter:{place}")
    with pytest.raises(HeedError, match=r"has no vocabulary.* vocab\.txt"):
        make_batch(subject, ["dog"], None)
    with pytest.raises(HeedError, match="length 6, not 7"):
        make_batch(subject, None, [regions(2, 7)])
    pieces.write_text(pieces.read_text() + "\n" + "\n".join(f"word{n}" for n in range(50)))
    with pytest.raises(HeedError, match="157 pieces but the weights know 120"):
        load_subject(f"uniter:{place}", vocabulary=pieces)


def test_a_text_longer_than_the_positions_is_refused(tmp_path: Path) -> None:
    subject = load_subject(f"uniter:{made('uniter', tmp_path)}")
    with pytest.raises(HeedError, match="17 pieces, but the weights have 16 positions"):
        subject.read(rule.batch(6, 120, lengths=(17, 4), regions=(2, 2)))


def test_boxes_of_an_image_without_a_size_are_refused_where_they_are_read(tmp_path: Path) -> None:
    batch = rule.batch(6, 120)
    with pytest.raises(HeedError, match="image of 0 pixels"):
        load_subject(f"lxmert:{made('lxmert', tmp_path)}").read(replace(batch, sizes=batch.sizes * 0))


def test_two_streams_run_alone_where_the_other_has_nothing_to_look_at(tmp_path: Path) -> None:
    batch = rule.batch(6, 120)
    text_only = replace(batch, features=batch.features[:, :0], boxes=batch.boxes[:, :0],
                        region_mask=batch.region_mask[:, :0])
    image_only = replace(batch, words=batch.words[:, :0], word_mask=batch.word_mask[:, :0])
    for name in ("lxmert", "vilbert"):
        subject = load_subject(f"{name}:{made(name, tmp_path)}")
        both, text, image = (subject.read(one) for one in (batch, text_only, image_only))
        assert all(set(layer.blocks) <= {TEXT_TEXT} for layer in text.layers) and text.image is None
        assert all(set(layer.blocks) <= {IMAGE_IMAGE} for layer in image.layers) and image.text is None
        assert text.match is None and both.match is not None
        torch.testing.assert_close(text.layers[1].text, next(x for x in both.layers if x.name == "text 1").text)
    mixed = replace(batch, region_mask=batch.region_mask & torch.tensor([[True], [False], [True]]))
    with pytest.raises(HeedError, match="Sample 1 of the batch has no regions"):
        subject.read(mixed)
