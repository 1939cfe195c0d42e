"""CLIP's image tower from both published layouts, against transformers and against an independent forward."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from features.encoders import EncoderOptions, load_encoder
from features.errors import HeedError
from features.torchscript import read_torchscript
from tests.features.encoders.test_pixels import noise

pytest.importorskip("transformers", reason="transformers is not installed")
CPU = EncoderOptions(device="cpu")
WIDTH, LAYERS, PATCH, GRID, OUT = 128, 2, 8, 3, 24


def openai_state() -> dict[str, torch.Tensor]:
    """A vision tower as OpenAI's files name it, random."""
    draw = torch.Generator().manual_seed(0)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draw) / math.sqrt(shape[-1])

    state = {"visual.class_embedding": some(WIDTH), "visual.positional_embedding": some(GRID**2 + 1, WIDTH),
             "visual.conv1.weight": some(WIDTH, 3, PATCH, PATCH), "visual.proj": some(WIDTH, OUT),
             "logit_scale": torch.tensor(4.6), "token_embedding.weight": some(9, 8)}
    for norm in ("visual.ln_pre", "visual.ln_post", *(f"visual.transformer.resblocks.{layer}.ln_{n}"
                                                      for layer in range(LAYERS) for n in (1, 2))):
        state |= {f"{norm}.weight": 1 + some(WIDTH), f"{norm}.bias": some(WIDTH)}
    for layer in range(LAYERS):
        block = f"visual.transformer.resblocks.{layer}"
        state |= {f"{block}.attn.in_proj_weight": some(3 * WIDTH, WIDTH), f"{block}.attn.in_proj_bias": some(3 * WIDTH),
                  f"{block}.attn.out_proj.weight": some(WIDTH, WIDTH), f"{block}.attn.out_proj.bias": some(WIDTH),
                  f"{block}.mlp.c_fc.weight": some(4 * WIDTH, WIDTH), f"{block}.mlp.c_fc.bias": some(4 * WIDTH),
                  f"{block}.mlp.c_proj.weight": some(WIDTH, 4 * WIDTH), f"{block}.mlp.c_proj.bias": some(WIDTH)}
    return state


def reference(state: dict[str, torch.Tensor], pixels: torch.Tensor) -> torch.Tensor:
    """CLIP's vision transformer (Radford et al. 2021, §2.4) with torch's own attention."""
    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        return nn.functional.layer_norm(x, (WIDTH,), state[f"{name}.weight"], state[f"{name}.bias"])

    patches = nn.functional.conv2d(pixels, state["visual.conv1.weight"], stride=PATCH).flatten(2).transpose(1, 2)
    x = torch.cat([state["visual.class_embedding"].expand(len(patches), 1, -1), patches], 1)
    x = norm(x + state["visual.positional_embedding"], "visual.ln_pre")
    for layer in range(LAYERS):
        block = f"visual.transformer.resblocks.{layer}"
        attention = nn.MultiheadAttention(WIDTH, WIDTH // 64, batch_first=True)
        attention.load_state_dict({name.removeprefix(f"{block}.attn."): tensor for name, tensor in state.items()
                                   if name.startswith(f"{block}.attn.")})
        seen = norm(x, f"{block}.ln_1")
        x = x + attention(seen, seen, seen)[0]
        hidden = nn.functional.linear(norm(x, f"{block}.ln_2"), state[f"{block}.mlp.c_fc.weight"],
                                      state[f"{block}.mlp.c_fc.bias"])
        x = x + nn.functional.linear(hidden * torch.sigmoid(1.702 * hidden), state[f"{block}.mlp.c_proj.weight"],
                                     state[f"{block}.mlp.c_proj.bias"])
    return norm(x[:, 0], "visual.ln_post") @ state["visual.proj"]


def archive(state: dict[str, torch.Tensor], path: Path) -> None:
    """A TorchScript archive with these parameters, as OpenAI's files are, in half precision where they are."""
    def filled(names: dict[str, torch.Tensor]) -> nn.Module:
        module, parts = nn.Module(), {}
        for name, tensor in names.items():
            head, dot, rest = name.partition(".")
            if dot:
                parts.setdefault(head, {})[rest] = tensor
            else:
                module.register_parameter(head, nn.Parameter(tensor, requires_grad=False))
        for head, inner in parts.items():
            module.add_module(head, filled(inner))
        return module

    with pytest.warns(FutureWarning):
        torch.jit.script(filled(state)).save(str(path))


def test_openais_layout_runs_as_its_paper_says(tmp_path: Path) -> None:
    state = openai_state()
    torch.save(state, tmp_path / "state.pt")
    encoder = load_encoder(f"clip:{tmp_path / 'state.pt'}", CPU)
    images = [noise(40, 64), noise(64, 40)]
    prepared = np.stack([encoder.prepare(image) for image in images])
    with torch.inference_mode():
        expected = reference(state, encoder.pixels.normalise(torch.from_numpy(prepared))).numpy()
    got = encoder.encode(prepared[:, None])
    assert got.shape == (2, OUT) and np.abs(got - expected).max() < 1e-4 and expected.std() > 0.1
    assert encoder.pixels.crop == (PATCH * GRID,) * 2


def test_the_published_archive_is_read_without_running_its_code(tmp_path: Path) -> None:
    state = openai_state()
    half = {name: tensor.half() if "proj" in name else tensor for name, tensor in state.items()}
    archive(half, tmp_path / "ViT-B-32.pt")
    read = read_torchscript(tmp_path / "ViT-B-32.pt")
    assert all(torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype for name, tensor in half.items())
    torch.save({name: tensor.float() for name, tensor in half.items()}, tmp_path / "state.pt")
    names = [load_encoder(f"clip:{tmp_path / name}", CPU).describe() for name in ("ViT-B-32.pt", "state.pt")]
    assert names[0] == names[1]
    data = (tmp_path / "ViT-B-32.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(HeedError):
        load_encoder(f"clip:{tmp_path / 'cut.pt'}", CPU)


def test_a_resnet_of_openai_is_refused_by_name(tmp_path: Path) -> None:
    torch.save({"visual.layer1.0.conv1.weight": torch.zeros(1)}, tmp_path / "RN50.pt")
    with pytest.raises(HeedError, match="no vision transformer in OpenAI's layout"):
        load_encoder(f"clip:{tmp_path / 'RN50.pt'}", CPU)


def clip_folder(path: Path) -> Path:
    """A small CLIP in Hugging Face's layout."""
    from features.hugging_face import transformers

    small = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers().CLIPConfig(
        text_config={**small, "vocab_size": 60, "max_position_embeddings": 16, "bos_token_id": 58, "eos_token_id": 59,
                     "pad_token_id": 59},
        vision_config={**small, "image_size": 32, "patch_size": 8}, projection_dim=24)
    torch.manual_seed(0)
    transformers().CLIPModel(config).eval().save_pretrained(path)
    (path / "preprocessor_config.json").write_text(json.dumps(
        {"size": 32, "crop_size": 32, "do_center_crop": True, "resample": 3, "image_mean": [0.5, 0.4, 0.3],
         "image_std": [0.2, 0.3, 0.4]}))
    return path


def test_a_folder_gives_the_librarys_image_features(tmp_path: Path) -> None:
    from features.hugging_face import transformers

    encoder = load_encoder(str(clip_folder(tmp_path)), CPU)
    prepared = np.stack([encoder.prepare(noise(40, 64)), encoder.prepare(noise(64, 40))])
    model = transformers().CLIPModel.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        values = encoder.pixels.normalise(torch.from_numpy(prepared))
        expected = model.visual_projection(model.vision_model(pixel_values=values).pooler_output).numpy()
    got = encoder.encode(prepared[:, None])
    assert got.shape == (2, 24) == expected.shape and np.abs(got - expected).max() < 1e-5
