"""A subject's twin with random weights: what its architecture and inputs alone give."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn

from evaluation.subjects.subject import Subject

DEVIATION = 0.02
"""BERT's initial weights: normal of this deviation, biases 0, norms 1 and 0."""


def randomised(subject: Subject, seed: int) -> Subject:
    """The same network with weights drawn anew, whatever model it is; `HeedError` is not raised.

    Matrices and vectors that belong to no known module (a mask's embedding, say) are drawn like embeddings.
    """
    model = copy.deepcopy(subject.model)
    assert isinstance(model, nn.Module), "subjects that are no torch module have no random twin"
    generator = torch.Generator().manual_seed(seed)
    done: set[int] = set()
    with torch.no_grad():
        for module in model.modules():
            ones = isinstance(module, nn.LayerNorm | nn.modules.batchnorm._NormBase)
            for name, parameter in module.named_parameters(recurse=False):
                if id(parameter) in done:
                    continue
                done.add(id(parameter))
                if name == "bias":
                    parameter.zero_()
                elif ones:
                    parameter.fill_(1.0)
                else:
                    parameter.copy_(torch.empty(parameter.shape).normal_(0, DEVIATION, generator=generator))
    return replace(subject, name=f"{subject.name}, random weights", model=model.eval(),
                   description={**subject.description, "weights": "random", "seed": seed})
