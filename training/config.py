"""How long, how fast and on what a run trains. Light to import: the command line reads it for --help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from features.errors import HeedError


@dataclass(frozen=True)
class LoopConfig:
    """The training loop's options, the same for every task."""

    # Passes over the training split; 0 judges the weights a run starts from.
    epochs: int = 10
    # Samples in one optimiser step, over all ranks.
    batch_size: int = 128
    # Micro-batches one step is split into, where a whole batch does not fit in memory.
    accumulate: int = 1
    # Peak learning rate.
    lr: float = 2e-4
    # adam, or adamw with decoupled weight decay.
    optimiser: Literal["adam", "adamw"] = "adam"
    # Adam's decay rates of the averages of gradients and of their squares; adversarial training takes 0.5 and 0.999.
    betas: tuple[float, float] = (0.9, 0.999)
    # Decoupled for adamw, L2 for adam.
    weight_decay: float = 0.0
    # Learning rate after the warm-up: constant, cosine to zero, linear to zero, or divided by ten at each of drop_at.
    schedule: Literal["constant", "cosine", "linear", "step"] = "constant"
    # For schedule step: the fractions of all steps at which the rate drops tenfold.
    drop_at: tuple[float, ...] = (0.5,)
    # Steps over which the rate rises linearly to its peak.
    warmup: int = 0
    # Fraction of the peak that it rises from.
    warmup_from: float = 0.0
    # Largest gradient norm; 0 does not clip.
    clip: float = 2.0
    # Decay per step of a moving average of the parameters, with which validation and prediction are done; 0 keeps none.
    ema: float = 0.0
    # Number format of the forward pass: bf16 where the device has it (auto on CUDA), else fp32.
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    # Validate after every so many epochs, and after the last.
    validate_every: int = 1
    # Stop after this many validations without a better monitored figure; 0 never stops early.
    patience: int = 0
    # Save a checkpoint every so many steps, besides at the end of every epoch; 0 only there.
    checkpoint_every: int = 0
    # Where to train: cpu, cuda, or auto (cuda where there is one).
    device: str = "auto"
    # Processes that share out each batch, through Ray; on GPUs, one each. Or start heed with torchrun, without Ray.
    workers: int = 1
    # A Ray cluster to train on (host:port, or auto); it must share the run's folder and the data. Empty: this machine.
    address: str = ""
    # Decides initial weights, dropout and the order of samples.
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise HeedError(f"--epochs is at least 0, not {self.epochs}.")
        for name in ("batch_size", "accumulate", "validate_every", "workers"):
            if getattr(self, name) < 1:
                raise HeedError(f"--{name.replace('_', '-')} is at least 1, not {getattr(self, name)}.")
