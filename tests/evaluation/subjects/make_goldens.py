"""What the published implementations answer, kept for `test_originals`.

    python -m tests.evaluation.subjects.make_goldens uniter  ../UNITER
    python -m tests.evaluation.subjects.make_goldens lxmert  ../lxmert
    python -m tests.evaluation.subjects.make_goldens vilbert ../vilbert-multi-task
    python -m tests.evaluation.subjects.make_goldens volta   ../volta

The second argument is a checkout of ChenRocks/UNITER @1dbfa62, airsplay/lxmert @0db1182,
facebookresearch/vilbert-multi-task @f22b84a or e-bug/volta @62f78cd. Each runs with tiny sizes and the weights and
inputs of `rule`; where it gives no attention, that is computed again from what its attention modules were given.
"""

from __future__ import annotations

import json
import math
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from evaluation.subjects.subject import Batch
from tests.evaluation.subjects import rule

HERE = Path(__file__).parent / "goldens"
DIM, VOCABULARY = 6, 120


def recomputed(heads: int, module: nn.Module, states: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(QK'/sqrt(d) + mask) from a module's own projections."""
    def cut(projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (heads, -1)).transpose(1, 2)
    query, key = cut(module.query(states)), cut(module.key(context))
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return (scores if mask is None else scores + mask).softmax(-1)


def fill(model: nn.Module) -> dict[str, list[int]]:
    """Give every parameter its weight by the rule; the state dict's names and shapes. Tied names share the first's."""
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    owners = {name: list(value.shape) for name, value in model.named_parameters()}
    made = rule.weights(owners)
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(made[name])
    model.eval()
    return shapes


def keep(name: str, config: dict[str, Any], model: nn.Module, shapes: dict[str, list[int]],
         arrays: dict[str, Tensor]) -> None:
    """Write one golden: its configuration, the published layout's names, and the answers."""
    twins = {}
    first: dict[int, str] = {}
    for key, value in model.state_dict(keep_vars=True).items():
        twins[key] = first.setdefault(id(value), key)
    tied = {key: original for key, original in twins.items() if key != original}
    np.savez_compressed(HERE / f"{name}.npz", meta=np.array(json.dumps(
        {"config": config, "shapes": shapes, "tied": tied, "dim": DIM, "vocabulary": VOCABULARY})),
        **{key: value.detach().numpy().astype(np.float32) for key, value in arrays.items()})


def uniter(folder: Path) -> None:
    """Packed as its data loader does: `gather_index`, then each text is followed by its regions."""
    class FusedLayerNorm(nn.LayerNorm):
        """apex's, without its kernels."""

    stub = types.ModuleType("apex.normalization.fused_layer_norm")
    stub.FusedLayerNorm = FusedLayerNorm  # type: ignore[attr-defined]
    sys.modules.update({"apex": types.ModuleType("apex"), "apex.normalization": types.ModuleType("apex.normalization"),
                        "apex.normalization.fused_layer_norm": stub})
    sys.path.insert(0, str(folder))
    from model.model import UniterConfig
    from model.pretrain import UniterForPretraining

    config = {"hidden_size": 12, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 20,
              "max_position_embeddings": 16, "vocab_size": VOCABULARY, "type_vocab_size": 2}
    model = UniterForPretraining(UniterConfig.from_dict({
        **config, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02}), DIM, 9)
    shapes = fill(model)
    batch = rule.batch(DIM, VOCABULARY)
    texts, images = batch.word_mask.sum(1).tolist(), batch.region_mask.sum(1).tolist()
    most, longest = batch.words.shape[1], max(t + i for t, i in zip(texts, images, strict=True))
    gather = torch.arange(longest).repeat(len(texts), 1)
    mask = torch.zeros(len(texts), longest)
    for row, (text, image) in enumerate(zip(texts, images, strict=True)):
        gather[row, text:text + image] = torch.arange(most, most + image)
        mask[row, :text + image] = 1
    seven = torch.cat([batch.boxes / batch.sizes.repeat(1, 2)[:, None], torch.zeros(len(texts), 5, 3)], 2)
    seven[..., 4] = seven[..., 2] - seven[..., 0]
    seven[..., 5] = seven[..., 3] - seven[..., 1]
    seven[..., 6] = seven[..., 4] * seven[..., 5]
    arrays: dict[str, Tensor] = {}
    for index, layer in enumerate(model.uniter.encoder.layer, 1):
        layer.attention.self.register_forward_hook(lambda module, given, _, index=index: arrays.update(
            {f"attention {index}": recomputed(3, module, given[0], given[0], given[1])}))
    model.uniter.encoder.register_forward_hook(
        lambda _, given, __: arrays.update({"states 0": given[0]}))
    positions = torch.arange(most)[None]
    states = model.uniter(batch.words, positions, batch.features, seven, mask, gather)
    arrays.update({f"states {index}": value for index, value in enumerate(states, 1)})
    arrays["match"] = model.itm_output(model.uniter.pooler(states[-1]))
    arrays["words"] = model.cls(states[-1])
    both = dict(arrays)
    arrays.clear()
    text_only = model.uniter(batch.words, positions, None, None, batch.word_mask.float())
    both.update({f"text only attention {i}": arrays[f"attention {i}"] for i in range(1, 4)})
    arrays.clear()
    image_only = model.uniter(None, None, batch.features, seven, batch.region_mask.float())
    both.update({f"image only attention {i}": arrays[f"attention {i}"] for i in range(1, 4)})
    both.update({"text only": text_only[-1], "image only": image_only[-1]})
    keep("uniter", config, model, shapes, both)


def lxmert(folder: Path) -> None:
    """The shared attention runs twice a layer: text looking at the image, then image looking at the text."""
    sys.path.insert(0, str(folder / "src"))
    sys.argv = sys.argv[:1]
    from lxrt import modeling

    config = {"hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 20, "max_position_embeddings": 16,
              "vocab_size": VOCABULARY, "type_vocab_size": 2, "l_layers": 3, "r_layers": 2, "x_layers": 2}
    visual = modeling.VISUAL_CONFIG
    visual.l_layers, visual.r_layers, visual.x_layers = 3, 2, 2
    visual.set_visual_dims(DIM, 4)
    visual.visual_loss_config = {"obj": (7, "ce", (-1,), 1), "attr": (5, "ce", (-1,), 1), "feat": (DIM, "l2", (-1,), 1)}
    sizes = {key: value for key, value in config.items() if not key.endswith("layers") and key != "vocab_size"}
    model = modeling.LXRTPretraining(modeling.BertConfig(VOCABULARY, **sizes), visual_losses="obj,attr,feat",
                                     num_answers=8)
    shapes = fill(model)
    batch = rule.batch(DIM, VOCABULARY)
    arrays: dict[str, Tensor] = {}

    def note(name: str, module: nn.Module) -> None:
        def hook(module: nn.Module, given: tuple[Any, ...], _: Any) -> None:
            states, context, mask = given if len(given) == 3 else (given[0], given[1], None)
            found = recomputed(3, module, states, context, mask)
            arrays[f"{name} again" if name in arrays else name] = found
        module.register_forward_hook(hook)

    def states(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, out: Any) -> None:
            for side, value in zip(("text", "image"), out if isinstance(out, tuple) else (out,), strict=False):
                arrays[f"{name} {side}" if isinstance(out, tuple) else name] = value
        return hook

    encoder = model.bert.encoder
    model.bert.embeddings.register_forward_hook(states("states embeddings text"))
    encoder.visn_fc.register_forward_hook(states("states embeddings image"))
    for kind, layers in (("text", encoder.layer), ("image", encoder.r_layers)):
        for index, layer in enumerate(layers, 1):
            note(f"attention {kind} {index}", layer.attention.self)
            layer.register_forward_hook(states(f"states {kind} {index}"))
    for index, layer in enumerate(encoder.x_layers, 1):
        note(f"attention cross {index} between", layer.visual_attention.att)
        note(f"attention cross {index} text", layer.lang_self_att.self)
        note(f"attention cross {index} image", layer.visn_self_att.self)
        layer.register_forward_hook(states(f"states cross {index}"))
    shares = batch.boxes / batch.sizes.repeat(1, 2)[:, None]
    (text, _), pooled = model.bert(batch.words, None, batch.word_mask.float(), (batch.features, shares),
                                   batch.region_mask.float())
    arrays["words"], arrays["match"] = model.cls(text, pooled)
    keep("lxmert", config, model, shapes, arrays)


def with_model_class(folder: Path, name: str) -> None:
    """Make a package importable without its ``utils``, whose model class downloads."""
    package = types.ModuleType(name)
    package.__path__ = [str(folder / name)]
    utils = types.ModuleType(f"{name}.utils")

    class PreTrainedModel(nn.Module):
        """What the model needs of the real one, which downloads."""

        def __init__(self, config: Any) -> None:
            super().__init__()
            self.config = config

        def _tie_or_clone_weights(self, first: nn.Module, second: nn.Module) -> None:
            first.weight = second.weight

    utils.PreTrainedModel = PreTrainedModel  # type: ignore[attr-defined]
    sys.modules.update({name: package, f"{name}.utils": utils})


def whole_image_first(batch: Batch, locations: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features, boxes and mask with the mean region in front, as both projects' readers of features make them."""
    mean = batch.features.sum(1, keepdim=True) / batch.region_mask.sum(1)[:, None, None]
    corners = batch.boxes / batch.sizes.repeat(1, 2)[:, None]
    share = (corners[..., 2] - corners[..., 0]) * (corners[..., 3] - corners[..., 1])
    own = torch.cat([corners, share[..., None]], 2)[..., :locations]
    whole = torch.tensor([0.0, 0.0] + [1.0] * (locations - 2)).repeat(len(batch), 1, 1)
    mask = torch.cat([torch.ones(len(batch), 1), batch.region_mask.float()], 1)
    return torch.cat([mean, batch.features], 1), torch.cat([whole, own], 1), mask


def vilbert(folder: Path) -> None:
    """Its own attention, which it gives where ``visualization`` is set; the whole image is put first."""
    with_model_class(folder, "vilbert")
    from vilbert.vilbert import BertConfig, VILBertForVLTasks

    for name, tasks in (("vilbert", False), ("vilbert_tasks", True)):
        config = {"hidden_size": 12, "num_hidden_layers": 4, "num_attention_heads": 3, "intermediate_size": 20,
                  "max_position_embeddings": 16, "vocab_size": VOCABULARY, "type_vocab_size": 2,
                  "v_feature_size": DIM, "v_target_size": 9, "v_hidden_size": 8, "v_num_hidden_layers": 2,
                  "v_num_attention_heads": 2, "v_intermediate_size": 10, "bi_hidden_size": 16,
                  "bi_num_attention_heads": 4, "v_biattention_id": [0, 1], "t_biattention_id": [1, 3]}
        model = VILBertForVLTasks(BertConfig.from_dict({
            **vars(BertConfig(VOCABULARY)), **config, "visualization": True, "task_specific_tokens": tasks}), 1)
        shapes = fill(model)
        batch = rule.batch(DIM, VOCABULARY)
        arrays: dict[str, Tensor] = {}

        def states(name: str, pair: bool = False, arrays: dict[str, Tensor] = arrays) -> Callable[..., None]:
            def hook(_: nn.Module, __: Any, out: Any) -> None:
                if pair:
                    arrays[f"{name} image"], arrays[f"{name} text"] = out[:2]
                else:
                    arrays[name] = out[0] if isinstance(out, tuple) else out
            return hook

        encoder = model.bert.encoder
        model.bert.embeddings.register_forward_hook(states("states embeddings text"))
        model.bert.v_embeddings.register_forward_hook(states("states embeddings image"))
        for kind, layers in (("text", encoder.layer), ("image", encoder.v_layer), ("cross", encoder.c_layer)):
            for index, layer in enumerate(layers, 1):
                layer.register_forward_hook(states(f"states {kind} {index}", kind == "cross"))
        features, five, image_mask = whole_image_first(batch, 5)
        given: dict[str, Any] = {"task_ids": torch.full((len(batch), 1), 2)} if tasks else {}
        text, image, pooled_text, pooled_image, attention = model.bert(
            batch.words, features, five, None, batch.word_mask.float(), image_mask,
            output_all_encoded_layers=False, output_all_attention_masks=True, **given)
        for kind, found in zip(("text", "image"), attention[:2], strict=True):
            arrays.update({f"attention {kind} {index}": one["attn"] for index, one in enumerate(found, 1)})
        for index, one in enumerate(attention[2], 1):
            arrays[f"attention cross {index} text->image"] = one["attn1"]
            arrays[f"attention cross {index} image->text"] = one["attn2"]
        arrays["words"], _, arrays["match"] = model.cls(text, image, pooled_text, pooled_image)
        keep(name, {**config, **({"task": 2} if tasks else {})}, model, shapes, arrays)


SINGLE = {"tt": [0, 2, 4], "tv": [0, 2, 4], "vt": [0, 2, 4], "vv": [0, 2, 4], "t_ff": [1, 3, 5], "v_ff": [1, 3, 5]}
VOLTA: dict[str, dict[str, Any]] = {
    "uniter": {**SINGLE, "shared": [0, 1, 2, 3, 4, 5], "image_embeddings": "uniter"},
    "visualbert": {**SINGLE, "shared": [0, 1, 2, 3, 4, 5], "image_embeddings": "visualbert"},
    "lxmert": {"tt": [0, 2, 5, 8], "tv": [4, 7], "vt": [4, 7], "vv": [0, 5, 8], "t_ff": [1, 3, 6, 9],
               "v_ff": [1, 6, 9], "shared": [4, 7], "image_embeddings": "lxmert"},
    "vilbert": {"tt": [0, 2, 6], "tv": [4, 8], "vt": [4, 8], "vv": [6], "t_ff": [1, 3, 5, 7, 9], "v_ff": [5, 7, 9],
                "shared": [], "image_embeddings": "vilbert"},
}


def volta(folder: Path) -> None:
    """Tiny forms of the four controlled models; sub-layers are numbered from 0, states behind each are kept."""
    with_model_class(folder, "volta")
    torch.Tensor.cuda = lambda self, *_, **__: self  # its VisualBERT asks for a GPU by name
    from volta.config import BertConfig
    from volta.encoders import BertForVLPreTraining

    for name, facts in VOLTA.items():
        single = len(facts["shared"]) == 6
        config = {"hidden_size": 12, "num_attention_heads": 3, "intermediate_size": 20, "max_position_embeddings": 16,
                  "type_vocab_size": 2, "vocab_size": VOCABULARY, "num_locs": 5, "add_global_imgfeat": "first",
                  "image_embeddings": facts["image_embeddings"], "v_feature_size": DIM, "v_hidden_size": 12,
                  "v_num_attention_heads": 3, "v_intermediate_size": 20, "pooler_size": 14, "v_pooler_size": 14,
                  "fusion_method": "mul", "visual_target_weights": {"0": 1.0}, "shared_sublayers": facts["shared"],
                  "single_ln_sublayers": facts["shared"] if single else [],
                  **{f"{key}_{'sublayers' if 'ff' in key else 'attn_sublayers'}": facts[key]
                     for key in ("tt", "tv", "vt", "vv", "t_ff", "v_ff")}}
        model = BertForVLPreTraining(BertConfig.from_dict({
            **vars(BertConfig(VOCABULARY)), **config, "bert_model": "bert-base-uncased", "model": "bert",
            "visualization": True}))
        shapes = fill(model)
        batch = rule.batch(DIM, VOCABULARY)
        features, boxes, mask = whole_image_first(batch, 5)
        texts, images, pooled_text, pooled_image, (of_text, of_image) = model.bert(
            batch.words, features, boxes, None, batch.word_mask.float(), mask, output_all_encoded_layers=True,
            output_all_attention_masks=True)
        arrays: dict[str, Tensor] = {}
        for number, (text, image) in enumerate(zip(texts, images, strict=True)):
            arrays[f"text {number}"], arrays[f"image {number}"] = text, image
        for number, (text, image) in enumerate(zip(of_text, of_image, strict=True)):
            for block, found, kind in (("text->text", text, "intra_attn"), ("text->image", text, "inter_attn"),
                                       ("image->text", image, "inter_attn"), ("image->image", image, "intra_attn")):
                if found is not None and found[kind] is not None:
                    arrays[f"{block} {number}"] = found[kind]
        arrays["words"], _, arrays["match"], _, _ = model.cls(texts[-1], images[-1], pooled_text, pooled_image)
        keep(f"volta_{name}", config, model, shapes, arrays)


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"uniter": uniter, "lxmert": lxmert, "vilbert": vilbert, "volta": volta}[sys.argv[1]](Path(sys.argv[2]))
