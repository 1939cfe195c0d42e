"""The optional parts of a task: parameter groups, optimisers and updates of its own, averaged parameters."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from features.errors import HeedError
from tests.training.regression import CONFIG, Regression, run_folder, weights
from training.commands import load_weights
from training.loop import train


class Grouped(Regression):
    def parameter_groups(self):
        return [{"params": list(self.model[0].parameters()), "lr_scale": 0.1, "weight_decay": 0.3},
                {"params": list(self.model[2].parameters()), "lr_scale": 1.0}]


class Alternating(Regression):
    """Two players: a generator that maps noise to the data's mean, a critic that tells them apart."""

    def __init__(self, stop_at=None):
        super().__init__(stop_at)
        self.model = nn.ModuleDict({"generator": nn.Linear(3, 5), "critic": nn.Sequential(nn.Linear(5, 4), nn.Tanh(),
                                                                                          nn.Linear(4, 1))})

    def optimisers(self, config):
        return {name: torch.optim.Adam(part.parameters(), config.lr, betas=config.betas)
                for name, part in self.model.items()}

    def update(self, batches, optimisers, rate):
        if self.taken == self.stop_at:
            raise KeyboardInterrupt
        self.taken += 1
        (batch,) = batches
        made = self.model["generator"](torch.randn(len(batch), 3))
        told = self.model["critic"](made.detach()).mean() - self.model["critic"](batch + 1).mean()
        for name in ("critic", "generator"):
            optimisers[name].zero_grad()
            (told if name == "critic" else -self.model["critic"](made).mean()).backward()
            optimisers[name].step()
        return float(told.detach()), {"rate": rate}

    def averaged(self):
        return [f"generator.{name}" for name, _ in self.model["generator"].named_parameters()]

    def validate(self):
        return {"score": -float(self.model["generator"](torch.zeros(1, 3)).sub(1).square().mean())}


def flat(value, name=""):
    if isinstance(value, dict):
        return {k: leaf for part, inner in value.items() for k, leaf in flat(inner, f"{name}.{part}").items()}
    if isinstance(value, list):
        return {k: leaf for n, inner in enumerate(value) for k, leaf in flat(inner, f"{name}.{n}").items()}
    return {name: value}


@pytest.mark.parametrize("stop_at", [0, 5, 9, 14])
@pytest.mark.parametrize("task", [Grouped, Alternating])
def test_a_resumed_run_equals_an_uninterrupted_one_exactly(tmp_path, task, stop_at):
    config = replace(CONFIG, ema=0.9, betas=(0.5, 0.9), validate_every=2)
    whole, cut = run_folder(tmp_path / "whole", config), run_folder(tmp_path / "cut", config)
    train(task(), config, whole)
    with pytest.raises(KeyboardInterrupt):
        train(task(stop_at), config, cut)
    train(task(), config, cut)
    one, other = flat(weights(whole)), flat(weights(cut))
    assert one.keys() == other.keys() and any(name.startswith(".average.") for name in one)
    for name, value in one.items():
        assert torch.equal(value, other[name]) if isinstance(value, torch.Tensor) else value == other[name], name
    assert whole.metrics.read_text() == cut.metrics.read_text()


def test_groups_learn_at_their_own_rates(tmp_path):
    """Adam's first step is lr x sign(gradient) whatever the gradient, so steps' sizes tell the rates."""
    config = replace(CONFIG, epochs=1, schedule="constant", warmup=0, betas=(0.9, 0.999))

    class One(Grouped):
        steps_per_epoch = 1

    task = One()
    before = [parameter.detach().clone() for parameter in task.model.parameters()]
    train(task, config, run_folder(tmp_path / "run", config))
    steps = [(after.detach() - b) for after, b in zip(task.model.parameters(), before, strict=True)]
    assert steps[2].abs().max() == pytest.approx(0.01, rel=1e-3)
    assert steps[0].abs().max() == pytest.approx(0.001, rel=1e-3)
    saved = weights(run_folder(tmp_path / "run", config))["optimisers"]["all"]["param_groups"]
    assert [(g["lr"], g["weight_decay"], tuple(g["betas"])) for g in saved] == [
        (pytest.approx(0.001), 0.3, (0.9, 0.999)), (pytest.approx(0.01), 0.0, (0.9, 0.999))]


def test_an_update_of_the_tasks_own_is_given_the_rate_its_optimisers_have(tmp_path):
    run = run_folder(tmp_path / "run")
    train(Alternating(), CONFIG, run)
    lines = [json.loads(line) for line in run.metrics.read_text().splitlines()]
    training = [line for line in lines if line["split"] == "train"]
    assert training and all(line["rate"] == line["lr"] for line in training)
    groups = [o["param_groups"][0] for o in weights(run)["optimisers"].values()]
    assert [group["lr"] for group in groups] == [training[-1]["lr"]] * 2


def test_the_average_is_that_of_its_formula_and_is_what_is_validated_and_kept_as_best(tmp_path):
    decay, trail, seen = 0.8, [], []

    class Watching(Regression):
        def step(self, batch):
            trail.append(self.model[0].weight.detach().clone())
            return super().step(batch)

        def validate(self):
            seen.append(self.model[0].weight.detach().clone())
            return {"score": len(seen)}

    run, config = run_folder(tmp_path / "run"), replace(CONFIG, ema=decay)
    task = Watching()
    train(task, config, run)
    average = trail[0]
    for weight in [*trail[1:], task.model[0].weight.detach()]:
        average = decay * average + (1 - decay) * weight
    last = weights(run)
    assert torch.allclose(last["average"]["0.weight"], average, atol=1e-6)
    assert torch.equal(last["model"]["0.weight"], task.model[0].weight) and not torch.equal(average, trail[-1])
    best = torch.load(run.checkpoints / "best.pt", weights_only=True)["model"]["0.weight"]
    assert torch.equal(best, seen[-1]) and torch.equal(best, last["average"]["0.weight"])
    for name in ("best", "last"):
        load_weights(task, run.checkpoints / f"{name}.pt")
        assert torch.equal(task.model[0].weight, best)


def test_only_the_parameters_a_task_names_are_averaged(tmp_path):
    run = run_folder(tmp_path / "run")
    train(Alternating(), replace(CONFIG, ema=0.9), run)
    assert set(weights(run)["average"]) == {"generator.weight", "generator.bias"}


def test_a_name_the_model_has_not_is_told(tmp_path):
    class Wrong(Regression):
        def averaged(self):
            return ["decoder.weight"]

    with pytest.raises(HeedError, match=r"averages 'decoder.weight'"):
        train(Wrong(), replace(CONFIG, ema=0.9), run_folder(tmp_path / "run"))


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_a_decay_that_is_none_is_told(tmp_path, decay):
    with pytest.raises(HeedError, match="--ema"):
        train(Regression(), replace(CONFIG, ema=decay), run_folder(tmp_path / "run"))
