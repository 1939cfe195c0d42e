"""Scenes: rendered images whose every object, phrase, relation and answer is known; all from (seed, index)."""

from pipeline.scenes.dataset import annotate, split_of, write_scenes
from pipeline.scenes.draw import render
from pipeline.scenes.flavours import FLAVOURS
from pipeline.scenes.language import SceneCaption, ScenePhrase, captions
from pipeline.scenes.shapes import SHAPES
from pipeline.scenes.world import (
    COLOURS,
    PREDICATES,
    SETTINGS,
    SIZES,
    TEXTURES,
    Scene,
    SceneObject,
    relations,
    scene,
)

__all__ = [
    "COLOURS",
    "FLAVOURS",
    "PREDICATES",
    "SETTINGS",
    "SHAPES",
    "SIZES",
    "TEXTURES",
    "Scene",
    "SceneCaption",
    "SceneObject",
    "ScenePhrase",
    "annotate",
    "captions",
    "relations",
    "render",
    "scene",
    "split_of",
    "write_scenes",
]
