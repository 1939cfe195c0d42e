"""timm's, torchvision's and transformers' models through heed, against the libraries' own forward and preprocessing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from features.encoders import EncoderOptions, load_encoder
from features.errors import HeedError
from features.weights import digest
from tests.features.encoders.test_pixels import noise

CPU = EncoderOptions(device="cpu")


def features_of(encoder, images) -> np.ndarray:
    return encoder.encode(np.stack([encoder.prepare(image) for image in images])[:, None])


@pytest.mark.parametrize("architecture", ["test_vit", "test_resnet", "test_convnext"])
def test_timms_models_give_their_own_features_from_a_file_with_a_classifier(architecture: str, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    model = timm.create_model(architecture, num_classes=7).eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    encoder = load_encoder(f"timm:{architecture}={tmp_path / 'model.safetensors'}", CPU)
    transform = timm.data.create_transform(**timm.data.resolve_data_config({}, model=model))
    images = [noise(200, 333), noise(333, 200)]
    with torch.inference_mode():
        pixels = torch.stack([transform(Image.fromarray(image)) for image in images])
        expected = model.forward_head(model.forward_features(pixels), pre_logits=True).numpy()
    got = features_of(encoder, images)
    assert got.shape == (2, encoder.dim) and expected.std() > 1e-3
    assert np.abs(got - expected).max() < 1e-5 * max(1, np.abs(expected).max())


def test_timms_folders_bring_their_preprocessing_and_wrong_files_are_refused(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    save_file(timm.create_model("test_vit", num_classes=0).state_dict(), tmp_path / "model.safetensors")
    config = {"architecture": "test_vit", "pretrained_cfg": {"mean": [0.1, 0.2, 0.3], "crop_mode": "squash"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    encoder = load_encoder(str(tmp_path), CPU)
    assert encoder.pixels.mean == (0.1, 0.2, 0.3) and isinstance(encoder.pixels.resize, tuple)
    with pytest.raises(HeedError, match="do not fit test_resnet"):
        load_encoder(f"timm:test_resnet={tmp_path / 'model.safetensors'}", CPU)


def test_random_weights_are_the_same_every_time_and_shout() -> None:
    pytest.importorskip("timm", reason="timm is not installed")
    with pytest.warns(UserWarning, match="RANDOM"):
        first, second = load_encoder("timm:test_vit=random", CPU), load_encoder("test_vit=random", CPU)
    assert first.describe() == second.describe()
    with pytest.raises(HeedError, match="looks at 1 frames at once, not 2"):
        first.encode(np.zeros((1, 2, 160, 160, 3), np.uint8))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", [
    "mc3_18", *(pytest.param(name, marks=pytest.mark.slow) for name in ("r2plus1d_18", "swin3d_t"))])
def test_torchvisions_video_models_give_what_their_classifier_sees(name: str, tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision.models", reason="torchvision is not installed")
    model = models.get_model(name, weights=None).eval()
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    encoder = load_encoder(f"torchvision:{name}={tmp_path / 'weights.pth'}", CPU)
    last = model.fc if hasattr(model, "fc") else model.head
    seen = []
    last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    values = torch.randn(1, 3, 4, 32, 32)
    with torch.inference_mode():
        model(values)
        assert torch.allclose(encoder.forward(values), seen[0], atol=1e-6) and seen[0].shape[1] == encoder.dim
    preset = models.get_model_weights(name).DEFAULT.transforms()
    frames = np.stack([noise(120, 213), noise(120, 213)[::-1]])
    ours = encoder.pixels.normalise(torch.from_numpy(np.stack([encoder.prepare(frame) for frame in frames])))
    assert torch.equal(ours.transpose(0, 1), preset(torch.from_numpy(frames.copy()).permute(0, 3, 1, 2)))


PROCESSOR = {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}, "do_center_crop": True,
             "resample": 3, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "image_size": 32}
KINDS = {
    "vit": ("ViTForImageClassification", "ViTConfig", {**SMALL, "patch_size": 8}),
    "dinov2": ("Dinov2Model", "Dinov2Config", {**SMALL, "patch_size": 8, "mlp_ratio": 2}),
    "siglip_vision_model": ("SiglipVisionModel", "SiglipVisionConfig", {**SMALL, "patch_size": 8}),
    "videomae": ("VideoMAEModel", "VideoMAEConfig", {**SMALL, "patch_size": 8, "num_frames": 4, "tubelet_size": 2}),
    "timesformer": ("TimesformerModel", "TimesformerConfig", {**SMALL, "patch_size": 8, "num_frames": 3}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_transformers_models_give_their_own_features_from_a_folder(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    from features.hugging_face import transformers

    model_class, config_class, settings = KINDS[kind]
    model = getattr(transformers(), model_class)(getattr(transformers(), config_class)(**settings)).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    encoder = load_encoder(f"transformers:{tmp_path}", CPU)
    frames = settings.get("num_frames", 1)
    assert encoder.frames == frames and (encoder.rate > 0) == (frames > 1)
    window = np.stack([encoder.prepare(noise(40, 60 + 8 * i)) for i in range(frames)])[None]
    got = encoder.encode(window)[0]
    values = (torch.from_numpy(window).permute(0, 1, 4, 2, 3) / 255 - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) \
        / torch.tensor([0.2, 0.3, 0.4])[:, None, None]
    with torch.inference_mode():
        found = (model.vit if kind == "vit" else model)(values if frames > 1 else values[:, 0])
        tokens = found.last_hidden_state[0]
    expected = {"siglip_vision_model": lambda: found.pooler_output[0], "videomae": lambda: tokens.mean(0)}.get(
        kind, lambda: tokens[0])().numpy()
    assert expected.std() > 1e-2 and np.abs(got - expected).max() < 1e-5


def test_a_folder_that_lacks_weights_of_the_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="transformers is not installed")
    from features.hugging_face import transformers

    model = transformers().ViTModel(transformers().ViTConfig(**KINDS["vit"][2]))
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    state = model.state_dict()
    save_file({name: tensor for name, tensor in state.items() if "layernorm.weight" not in name},
              tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(HeedError, match=r"do not fit ViTModel: .* missing"):
        load_encoder(f"transformers:{tmp_path}", CPU)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(HeedError, match="has no weights"):
        load_encoder(f"transformers:{tmp_path}", CPU)


def test_names_of_the_hub_say_what_to_fetch_without_a_network(monkeypatch, tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    import urllib.request

    from features.hugging_face import hub_folder

    def unreachable(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    with pytest.raises(HeedError, match=r"clip:x are not on this machine.*no route to host.*Fetch model.safetensors"):
        hub_folder("nobody/nothing-of-this-name", ["model.safetensors"], "clip:x")


def test_the_digest_is_over_what_runs_not_over_the_file(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm", reason="timm is not installed")
    model = timm.create_model("test_vit", num_classes=3)
    save_file(model.state_dict(), tmp_path / "a.safetensors")
    torch.save({"state_dict": model.state_dict()}, tmp_path / "a.pth")
    names = [load_encoder(f"timm:test_vit={tmp_path / name}", CPU).identity["weights"]
             for name in ("a.safetensors", "a.pth")]
    body = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("head.")}
    assert names == [digest(body)] * 2
