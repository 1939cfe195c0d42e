"""FAMILY:NAME=WEIGHTS: taken apart, guessed, and refused with a hint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from features.encoders import EncoderName, parse_name
from features.errors import HeedError


@pytest.mark.parametrize(("text", "expected"), [
    ("timm:vit_small_patch16_224", EncoderName("timm", "vit_small_patch16_224")),
    ("timm:resnet50.a1_in1k=random", EncoderName("timm", "resnet50.a1_in1k", "random")),
    ("torchvision:r3d_18=w/r3d.pth", EncoderName("torchvision", "r3d_18", "w/r3d.pth")),
    ("r2plus1d_18=random", EncoderName("torchvision", "r2plus1d_18", "random")),
    ("8x8_r50=SLOWFAST_8x8_R50.pkl", EncoderName("slowfast", "8x8_r50", "SLOWFAST_8x8_R50.pkl")),
    ("vit-b-32", EncoderName("clip", "vit-b-32")),
    ("transformers:google/vit-base-patch16-224", EncoderName("transformers", "google/vit-base-patch16-224")),
])
def test_names_say_family_name_and_weights(text: str, expected: EncoderName) -> None:
    assert parse_name(text) == expected


def test_folders_say_their_family_in_their_config(tmp_path: Path) -> None:
    for content, family in (({"model_type": "clip"}, "clip"), ({"architecture": "resnet18"}, "timm"),
                            ({"model_type": "videomae"}, "transformers")):
        (tmp_path / "config.json").write_text(json.dumps(content))
        assert parse_name(str(tmp_path)) == EncoderName(family, "", str(tmp_path))
        assert parse_name(f"{tmp_path}=random") == EncoderName(family, str(tmp_path), "random")


@pytest.mark.parametrize(("text", "words"), [
    ("timn:resnet18", "no family of encoders 'timn'.*Did you mean timm:resnet18"),
    ("./nowhere/model", "path does not exist"),
])
def test_wrong_names_are_refused_with_a_hint(text: str, words: str) -> None:
    with pytest.raises(HeedError, match=words):
        parse_name(text)


def test_a_folder_that_says_nothing_asks_for_its_family(tmp_path: Path) -> None:
    with pytest.raises(HeedError, match="name the family before it"):
        parse_name(str(tmp_path))
