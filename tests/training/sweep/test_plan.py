from pathlib import Path

import pytest

from features.errors import HeedError
from training.attention.config import AttentionConfig
from training.attention.scores import SCORES
from training.sweep.options import varied
from training.sweep.plan import trials, variants
from training.sweep.variants import VARIANTS, attention_variants
from training.tasks.matching import MatchingConfig


def config(out="out"):
    return MatchingConfig(Path("store"), Path("captions"), Path(out), attention=AttentionConfig(init="orthogonal"))


def test_every_variant_is_another_model_and_all_score_functions_are_there():
    points = variants(config(), ["all"], [])
    applied = [point.applied(config()).attention for point in points]
    assert len(set(applied)) == len(points) == len(VARIANTS)
    assert {one.score for one in applied} == set(SCORES)
    assert all(one.init == "orthogonal" for one in applied)  # what is not varied stays


def test_combinations_and_their_folders():
    points = variants(config(), ["dot", "general-key"], ["lr=1e-3,2e-3", "model.embed-dim=8"])
    assert [point.name for point in points] == [
        "dot,loop.lr=1e-3,model.embed_dim=8", "dot,loop.lr=2e-3,model.embed_dim=8",
        "general-key,loop.lr=1e-3,model.embed_dim=8", "general-key,loop.lr=2e-3,model.embed_dim=8"]
    listed = trials(config("sweep"), points, 2)
    assert [trial.seed for trial in listed] == [0] * 4 + [1] * 4  # all variants first
    last = listed[-1].config
    assert last.out == Path("sweep/general-key,loop.lr=2e-3,model.embed_dim=8/seed-1")
    assert (last.loop.lr, last.loop.seed, last.model.embed_dim, last.attention.side) == (2e-3, 1, 8, "key")


def test_a_task_without_a_score_function_says_so():
    from training.tasks.detection import DetectionConfig

    detection = DetectionConfig(Path("scenes"), Path("out"))
    with pytest.raises(HeedError, match="no score function to vary"):
        variants(detection, ["dot"], [])
    assert variants(detection, [], ["lr=1e-3"])[0].applied(detection).loop.lr == 1e-3


def test_masks_are_varied_by_name_for_every_task_that_has_them():
    from training.tasks.captioning import CaptioningConfig
    from training.tasks.classification import ClassificationConfig
    from training.tasks.moments import MomentsConfig

    captioning = CaptioningConfig((Path("clips"),), Path("captions"), Path("out"))
    moments = MomentsConfig((Path("clips"),), Path("moments"), Path("out"))
    pictures = ClassificationConfig(Path("images"), Path("out"))
    names = [f"mask.mask={name}" for name in ("none", "lam", "lam-multi", "control")]
    for task in (moments, pictures):
        assert [point.name for point in variants(task, [], [], ["all"])] == names
    points = variants(captioning, [], ["lr=1e-3,2e-3"], ["lam", "sparse"])
    assert [point.name for point in points] == [
        "mask.mask=lam,loop.lr=1e-3", "mask.mask=lam,loop.lr=2e-3",
        "mask.mask=none,model.sparse_mask=soft,loop.lr=1e-3", "mask.mask=none,model.sparse_mask=soft,loop.lr=2e-3"]
    applied = points[2].applied(captioning)
    assert (applied.mask.mask, applied.model.sparse_mask, applied.loop.lr) == ("none", "soft", 1e-3)
    for task, mask, vary, answer in (
            (moments, "lma", [], "did you mean lam"), (moments, "sparse", [], "no mask 'sparse' to vary"),
            (config(), "all", [], "no learnable mask"), (moments, "all", ["mask.mask=lam"], "Both --mask and --vary")):
        with pytest.raises(HeedError, match=answer):
            variants(task, [], vary, [mask])


def test_sets_and_names_are_listed_once():
    assert attention_variants(["dot", "study", "dot"])[:2] == ["dot", "scaled_dot"]
    assert len(attention_variants(["study", "all"])) == len(VARIANTS)


@pytest.mark.parametrize(("attention", "vary", "answer"), [
    (["general-kye"], [], "did you mean general-key?"),
    ([], [], "Say what to vary"),
    ([], ["lr"], "is not NAME=VALUE"),
    ([], ["modle.embed_dim=8"], "did you mean model.embed_dim?"),
    ([], ["model.embed_dim=8,nine"], "'nine' is no int"),
    ([], ["model.direction=t2i,up"], "take one of t2i, i2t"),
    ([], ["model.max_violation=yes"], "true or false"),
    ([], ["seed=1,2"], "no option 'seed'"),
    ([], ["out=a,b"], "no option 'out'"),
    ([], ["loop.drop_at=0.1"], "cannot be varied"),
])
def test_what_cannot_be_varied_is_said(attention, vary, answer):
    with pytest.raises(HeedError, match=answer.replace("?", r"\?")):
        variants(config(), attention, vary)


def test_values_are_read_as_the_options_type():
    assert varied(config(), "model.max-violation=true,false") == ("model.max_violation", ["true", "false"])
    point = variants(config(), [], ["model.max_violation=false"])[0]
    assert point.applied(config()).model.max_violation is False
