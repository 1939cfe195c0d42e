"""A model's features and those it is to be used on must be of one extractor."""

from __future__ import annotations

from dataclasses import replace

import pytest

from features.errors import HeedError
from pipeline.fields import clip_fields, token_fields
from pipeline.identity import Identity
from pipeline.same_extractor import same_extractor

EXTRACTOR = {"name": "clip", "weights": "ab" * 32, "pixels": {"crop": [224, 224]}, "clips": {"seconds": 2.0},
             "batch": 32, "versions": {"torch": "2.15"}}
TRAINED = Identity("clips", "arrow", clip_fields(512), EXTRACTOR, {"inputs": 9, "digest": "x"}, 32)


def changed(**changes) -> Identity:
    return replace(TRAINED, extractor={**EXTRACTOR, **changes})


@pytest.mark.parametrize("given", [
    TRAINED, changed(batch=1), changed(versions={"torch": "3"}), changed(converted_from="f00d"),
    changed(pixels={"crop": (224, 224)}), replace(TRAINED, fields=clip_fields(512, "int8"), format="webdataset"),
    replace(TRAINED, source={"inputs": 1, "digest": "other"}),
])
def test_what_does_not_change_a_features_meaning_may_differ(given):
    same_extractor(TRAINED, given)


@pytest.mark.parametrize(("given", "words"), [
    (changed(weights="cd" * 32), "weights is 'cdcdcd"), (changed(pixels={"crop": [256, 256]}), r"pixels.crop is \[256"),
    (changed(clips={"seconds": 1.0}), "clips.seconds is 1.0, not 2.0"), (changed(l2=True), "l2 is True, not nothing"),
    (replace(TRAINED, fields=clip_fields(2304)), "they have 2304 numbers each, not 512"),
    (replace(TRAINED, kind="tokens", fields=token_fields(512, 0)), "they are tokens, not clips"),
])
def test_what_does_change_it_is_told(given, words):
    with pytest.raises(HeedError, match=f"The features of new.mp4 were not made by the extractor .*{words}"):
        same_extractor(TRAINED, given, "The features of new.mp4")
