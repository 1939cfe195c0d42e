"""Published SCAN checkpoints, `model_best.pth.tar`, of the paper's code and of the attention study's.

    {"epoch", "best_rsum", "Eiters", "opt": argparse.Namespace, "model": [image encoder, text encoder (, similarity)]}

Sources: kuanghuei/SCAN, train.py and model.py; adlnlp/Attention_VL, SCAN/source code. The study's third state has a
linear layer for each of its forms, of which the one that ``opt.attention_method`` names was trained. Its scores for
general (qwk), biased_general and activated_general are laid out wrongly (`ScanConfig.published_orientation`): weights
that were trained so are loaded with that switch on.
"""

from __future__ import annotations

import argparse
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from features.errors import HeedError
from training.attention.config import AttentionConfig
from training.models.scan import Scan
from training.models.scan_config import Aggregation, Direction, Normalisation, ScanConfig

METHODS: dict[str, tuple[AttentionConfig, bool, str]] = {
    "dot": (AttentionConfig("dot"), False, ""),
    "scaled_dot": (AttentionConfig("scaled_dot"), False, ""),
    "cosine": (AttentionConfig("cosine"), False, ""),
    "general_kwq": (AttentionConfig("general", "query"), False, "attention_general"),
    "general_qwk": (AttentionConfig("general", "key"), True, "attention_general"),
    "biased_general_kwq": (AttentionConfig("biased_general", "query"), True, "attention_biased_general"),
    "biased_general_qwk": (AttentionConfig("biased_general", "key"), True, "attention_biased_general"),
    **{f"activated_general_{published}": (AttentionConfig("activated_general", "key", activation),  # type: ignore
                                          True, "attention_activated_general")
       for published, activation in (("tanh", "tanh"), ("relu", "relu"), ("leakyrelu", "leaky_relu"))},
}
"""The study's ``attention_method`` -> score function, whether its scores are laid out wrongly, its linear layer."""

_SAFE: list[Any] = [
    argparse.Namespace,  # a bag of options: unpickling one sets attributes and runs nothing
    np.dtype, type(np.dtype(np.float64)), (np._core.multiarray.scalar, "numpy.core.multiarray.scalar"),  # type: ignore
    (np._core.multiarray.scalar, "numpy._core.multiarray.scalar"),  # type: ignore[attr-defined]
]


@dataclass(frozen=True)
class Checkpoint:
    """A published SCAN."""

    path: Path
    model: ScanConfig
    attention: AttentionConfig
    state: dict[str, Tensor]
    """By the names of `training.models.scan.Scan`."""

    def into(self, scan: Scan) -> None:
        """Load the weights; `HeedError` where the store's features or the vocabulary are not those it was trained on.
        """
        own = scan.state_dict()
        for name, what in (("image_encoder.fc.weight", "numbers a region feature"),
                           ("text_encoder.embed.weight", "words of the vocabulary")):
            axis = 1 if name.startswith("image") else 0
            has, needs = own[name].shape[axis], self.state[name].shape[axis]
            if has != needs:
                raise HeedError(f"{self.path} was trained with {needs} {what}; here there are {has}.")
        try:
            scan.load_state_dict(self.state)
        except RuntimeError as error:
            raise HeedError(f"The weights of {self.path} do not fit its options: {str(error).splitlines()[-1]}.") \
                from error


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint without running anything it names; `HeedError` where it is none, or uses what heed's SCAN has
    not.
    """
    try:
        with torch.serialization.safe_globals(_SAFE):
            content = torch.load(path, map_location="cpu", weights_only=True)
        options, states = vars(content["opt"]), list(content["model"])
    except FileNotFoundError:
        raise HeedError(f"There is no checkpoint {path}.") from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError, AttributeError) as error:
        said = str(error).strip().splitlines() or [repr(error)]
        raise HeedError(f"{path} is no published SCAN checkpoint: {type(error).__name__}: {said[0][:200]}") from error
    try:
        score, wrong, layer = _score(options, states)
        model = _model(options, wrong)
        state = {f"image_encoder.{name}": value for name, value in _plain_linear(states[0]).items()}
        state |= {f"text_encoder.{name}": value for name, value in states[1].items()}
        if layer:
            state |= {f"score.project.{name.removeprefix(layer + '.')}": value for name, value in states[2].items()
                      if name.startswith(layer + ".")}
    except KeyError as error:
        raise HeedError(f"{path} is no published SCAN checkpoint: it lacks {error}.") from None
    except HeedError as error:
        raise HeedError(f"{path}: {error}") from None
    return Checkpoint(Path(path), model, score, state)


def _score(options: dict[str, Any], states: list[Any]) -> tuple[AttentionConfig, bool, str]:
    if len(states) == 2:  # the paper's: the dot product of unit vectors
        return METHODS["dot"]
    method = options["attention_method"]
    if method not in METHODS:
        raise HeedError(f"there is no attention_method {method!r} in the study's SCAN")
    cancels = options["raw_feature_norm"].endswith(("l1norm", "l2norm"))
    if method == "scaled_dot" and options["embed_size"] != 1024 and not cancels:
        raise HeedError("the study's scaled_dot divides by 32 whatever the size, the square root of 1024; here that "
                        f"would have to be {options['embed_size']}")
    return METHODS[method]


def _model(options: dict[str, Any], wrong: bool) -> ScanConfig:
    if options.get("num_layers", 1) != 1:
        raise HeedError(f"its GRU has {options['num_layers']} layers; heed's SCAN has one")
    direction = "t2i" if "attention_method" in options else options["cross_attn"]
    aggregation = str(options["agg_func"]).lower()
    for value, kind in ((direction, Direction), (options["raw_feature_norm"], Normalisation),
                        (aggregation, Aggregation)):
        if value not in get_args(kind):
            raise HeedError(f"it has the option {value!r} where {', '.join(get_args(kind))} are known")
    return ScanConfig(
        direction=direction, normalisation=options["raw_feature_norm"], aggregation=aggregation,  # type: ignore
        lambda_softmax=float(options["lambda_softmax"]), lambda_lse=float(options["lambda_lse"]),
        embed_dim=options["embed_size"], word_dim=options["word_dim"], bidirectional=bool(options["bi_gru"]),
        image_norm=not options["no_imgnorm"], text_norm=not options["no_txtnorm"],
        margin=float(options["margin"]), max_violation=bool(options["max_violation"]), published_orientation=wrong,
    )


def _plain_linear(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The image encoder's layer; a weight-normalised one (``precomp_enc_type`` weight_norm) as the weight it makes."""
    if "fc.weight_v" not in state:
        return dict(state)
    return {"fc.weight": state["fc.weight_v"] * (state["fc.weight_g"] / state["fc.weight_v"].norm()),
            "fc.bias": state["fc.bias"]}
