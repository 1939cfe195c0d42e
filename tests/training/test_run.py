from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from features.errors import HeedError
from pipeline.places import Remote
from training.attention.config import AttentionConfig
from training.config import LoopConfig
from training.run import Run, from_json, to_json
from training.schedule import learning_rate
from training.tasks.matching import MatchingConfig


@dataclass(frozen=True)
class Config:
    out: Path = Path("x")
    size: int = 3
    loop: LoopConfig = field(default_factory=LoopConfig)


@pytest.mark.parametrize("store", [Path("/s"), Remote("s3://bucket/s")])
def test_a_config_survives_its_json_form(store):
    config = MatchingConfig(store, Path("/c"), Path("/o"), attention=AttentionConfig("general", "query"),
                            loop=LoopConfig(drop_at=(0.5, 0.75)))
    assert from_json(MatchingConfig, to_json(config)) == config


def test_an_option_of_another_version_is_told_with_the_nearest():
    value = {**to_json(Config()), "sise": 4}
    with pytest.raises(HeedError, match=r"'sise'.*size"):
        from_json(Config, value)


def test_a_folder_of_another_run_is_refused_with_what_differs(tmp_path):
    Run.begin(tmp_path / "run", "t", Config(), {"store": "a"})
    Run.begin(tmp_path / "run", "t", Config(out=Path("y")), {"store": "a"})
    with pytest.raises(HeedError, match="size: 3 then, 4 now"):
        Run.begin(tmp_path / "run", "t", Config(size=4), {"store": "a"})
    with pytest.raises(HeedError, match="its store has changed"):
        Run.begin(tmp_path / "run", "t", Config(), {"store": "b"})


@pytest.mark.parametrize(("schedule", "rates"), [
    ("constant", [1, 2, 2, 2, 2, 2]), ("linear", [1, 2, 2, 1.5, 1, 0.5]), ("cosine", [1, 2, 2, 1.7071, 1, 0.2929]),
    ("step", [1, 2, 2, 0.2, 0.2, 0.02]),
])
def test_learning_rates_follow_their_formulas(schedule, rates):
    config = replace(LoopConfig(lr=2.0, warmup=2, drop_at=(0.5, 0.8)), schedule=schedule)
    assert [learning_rate(config, step, 6) for step in range(6)] == pytest.approx(rates, abs=1e-4)
