"""SlowFast with a ResNet-50 (Feichtenhofer et al. 2019, Table 1), its parameters named as PySlowFast names them.

Two ResNets look at the same window: the slow one at every alpha-th frame with 8 times the channels, the fast one at all
of them. Behind the stem and the first three stages the fast features are laid beside the slow ones by a convolution of
stride alpha in time. The feature is both pathways' mean over time and space: 2048 + 256 numbers.

Checkpoints come in three layouts: PySlowFast's own (.pyth, under ``model_state``), pytorchvideo's (.pyth), and the
Caffe2 one that the features of QVHighlights were made with (SLOWFAST_8x8_R50.pkl).
"""

from __future__ import annotations

import re

import torch
from torch import Tensor, nn

DEPTHS = (3, 4, 6, 3)
SLOW_KERNELS = (1, 1, 3, 3)
"""Frames that the first convolution of a block spans, stage by stage; in the fast pathway it is 3 everywhere."""
FAST = 8
"""The slow pathway has this many times the channels of the fast one."""


class SlowFast(nn.Module):
    """The network without its classifier."""

    def __init__(self, alpha: int, fusion_kernel: int, width: int = 64) -> None:
        super().__init__()
        self.alpha = alpha
        narrow = width // FAST
        self.s1 = nn.Module()
        self.s1.pathway0_stem = _Stem(width, 1)
        self.s1.pathway1_stem = _Stem(narrow, 5)
        self.s1_fuse = _Fuse(narrow, alpha, fusion_kernel)
        slow_in, fast_in = width + 2 * narrow, narrow
        for stage, (depth, kernel) in enumerate(zip(DEPTHS, SLOW_KERNELS, strict=True)):
            inner = width << stage
            blocks = nn.Module()
            for pathway, entering, within, temporal in ((0, slow_in, inner, kernel), (1, fast_in, inner // FAST, 3)):
                for block in range(depth):
                    stride = 2 if stage and not block else 1
                    blocks.add_module(f"pathway{pathway}_res{block}",
                                      _Block(4 * within if block else entering, within, temporal, stride))
            self.add_module(f"s{stage + 2}", blocks)
            fast_in = 4 * inner // FAST
            slow_in = 4 * inner + 2 * fast_in
            if stage < 3:
                self.add_module(f"s{stage + 2}_fuse", _Fuse(fast_in, alpha, fusion_kernel))
        self.dim = 4 * inner + fast_in

    def forward(self, frames: Tensor) -> Tensor:
        """(n, 3, frames, height, width) to (n, 36 * width); the slow frames are chosen as PySlowFast chooses them."""
        chosen = torch.linspace(0, frames.shape[2] - 1, frames.shape[2] // self.alpha).long().to(frames.device)
        slow, fast = self.s1.pathway0_stem(frames[:, :, chosen]), self.s1.pathway1_stem(frames)
        for stage, depth in enumerate(DEPTHS):
            slow = torch.cat([slow, getattr(self, f"s{stage + 1}_fuse")(fast)], 1)
            blocks = getattr(self, f"s{stage + 2}")
            for block in range(depth):
                slow = getattr(blocks, f"pathway0_res{block}")(slow)
                fast = getattr(blocks, f"pathway1_res{block}")(fast)
        return torch.cat([slow.mean((2, 3, 4)), fast.mean((2, 3, 4))], 1)


class _Stem(nn.Module):
    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, width, (kernel, 7, 7), (1, 2, 2), (kernel // 2, 3, 3), bias=False)
        self.bn = nn.BatchNorm3d(width)
        self.pool = nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))

    def forward(self, frames: Tensor) -> Tensor:
        return self.pool(self.bn(self.conv(frames)).relu())


class _Fuse(nn.Module):
    def __init__(self, width: int, alpha: int, kernel: int) -> None:
        super().__init__()
        self.conv_f2s = nn.Conv3d(width, 2 * width, (kernel, 1, 1), (alpha, 1, 1), (kernel // 2, 0, 0), bias=False)
        self.bn = nn.BatchNorm3d(2 * width)

    def forward(self, fast: Tensor) -> Tensor:
        return self.bn(self.conv_f2s(fast)).relu()


class _Block(nn.Module):
    def __init__(self, entering: int, inner: int, kernel: int, stride: int) -> None:
        super().__init__()
        if entering != 4 * inner or stride != 1:
            self.branch1 = nn.Conv3d(entering, 4 * inner, 1, (1, stride, stride), bias=False)
            self.branch1_bn = nn.BatchNorm3d(4 * inner)
        self.branch2 = _Branch(entering, inner, kernel, stride)

    def forward(self, x: Tensor) -> Tensor:
        beside = self.branch1_bn(self.branch1(x)) if hasattr(self, "branch1") else x
        return (beside + self.branch2(x)).relu()


class _Branch(nn.Module):
    def __init__(self, entering: int, inner: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.a = nn.Conv3d(entering, inner, (kernel, 1, 1), padding=(kernel // 2, 0, 0), bias=False)
        self.a_bn = nn.BatchNorm3d(inner)
        self.b = nn.Conv3d(inner, inner, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False)
        self.b_bn = nn.BatchNorm3d(inner)
        self.c = nn.Conv3d(inner, 4 * inner, 1, bias=False)
        self.c_bn = nn.BatchNorm3d(4 * inner)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_bn(self.c(self.b_bn(self.b(self.a_bn(self.a(x)).relu())).relu()))


def published_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's parameters under this network's names, out of any of the three layouts, without the classifier."""
    rename = _from_pytorchvideo if any(name.startswith("blocks.") for name in tensors) else _from_caffe2
    named = {rename(name): tensor for name, tensor in tensors.items()}
    return {name: tensor for name, tensor in named.items() if name and not name.startswith("head.")}


def _from_pytorchvideo(name: str) -> str:
    for pattern, replacement in _PYTORCHVIDEO:
        name = re.sub(pattern, replacement, name)
    found = re.fullmatch(r"blocks\.(\d)\.multipathway_(?:blocks\.(\d)|fusion)\.(.*)", name)
    if found is None:
        return "" if name.startswith("blocks.6.") else name
    stage, pathway, rest = int(found[1]) + 1, found[2], found[3]
    if pathway is None:
        return f"s{stage}_fuse.{rest}"
    return f"s{stage}.pathway{pathway}_{'stem.' if stage == 1 else ''}{rest}"


_PYTORCHVIDEO = (
    (r"res_blocks\.(\d+)\.", r"res\1."), ("branch1_conv", "branch1"), ("branch1_norm", "branch1_bn"),
    (r"branch2\.conv_([abc])", r"branch2.\1"), (r"branch2\.norm_([abc])", r"branch2.\1_bn"),
    ("conv_fast_to_slow", "conv_f2s"), (r"\.norm\.", ".bn."),
)


def _from_caffe2(name: str) -> str:
    """PySlowFast's name for a Caffe2 blob; "" for those that are no parameters; other names stay as they are."""
    if "." in name:
        return name
    kinds = {"w": "weight", "b": "bias", "s": "weight", "rm": "running_mean", "riv": "running_var"}
    body, _, kind = name.rpartition("_")
    if kind not in kinds or body == "pred":
        return ""
    norm = body.endswith("_bn")
    pathway = int(body.startswith("t_"))
    body = body.removesuffix("_bn").removeprefix("t_").removeprefix("res_")
    if body == "conv1":
        return f"s1.pathway{pathway}_stem.{'bn' if norm else 'conv'}.{kinds[kind]}"
    if body.endswith("_subsample"):
        stage = 1 if body.startswith("pool1") else int(body[3])
        return f"s{stage}_fuse.{'bn' if norm else 'conv_f2s'}.{kinds[kind]}"
    found = re.fullmatch(r"res(\d)_(\d+)_branch(1|2)([abc])?", body)
    if found is None:
        return ""
    place = f"s{found[1]}.pathway{pathway}_res{found[2]}.branch{found[3]}{'.' + found[4] if found[4] else ''}"
    return f"{place}{'_bn' if norm else ''}.{kinds[kind]}"
