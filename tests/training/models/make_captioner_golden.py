"""What the released SwinBERT answers, kept for `test_captioner_published`.

    python -m tests.training.models.make_captioner_golden ../SwinBERT

The argument is a checkout of microsoft/SwinBERT @03116f1. Its BERT, attention masks, sparse mask and decoding run with
tiny sizes and the weights and inputs of `captioner_inputs`; the video encoder hands on what it is given.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tests.training.models import captioner_inputs as inputs

HERE = Path(__file__).parent / "goldens"


class Handed(nn.Module):
    """In place of Video Swin: features (batch, d, clips, 1, 1) as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.norm = nn.LayerNorm(inputs.FEATURES, elementwise_affine=False)

    def forward(self, images: Tensor) -> Tensor:
        return images


def stub(name: str, **values: Any) -> None:
    """A module that the released code imports and does not need here."""
    module = types.ModuleType(name)
    for key, value in values.items():
        setattr(module, key, value)
    sys.modules[name] = module


def import_released(checkout: Path) -> tuple[Any, Any, Any]:
    """Its modules of BERT, of the whole model, and of the inputs."""
    sys.path.insert(0, str(checkout))
    stub("boto3")
    stub("requests")
    stub("botocore")
    stub("botocore.exceptions", ClientError=Exception)
    stub("six", string_types=str, PY2=False)
    stub("fairscale")
    stub("fairscale.nn")
    stub("fairscale.nn.misc", checkpoint_wrapper=None)
    stub("src.utils")
    stub("src.utils.comm", is_main_process=lambda: True)
    stub("src.utils.logger", LOGGER=None)
    torch.Tensor.cuda = lambda self: self  # type: ignore[method-assign, assignment]
    from src.datasets import caption_tensorizer  # type: ignore[import-not-found]
    from src.layers.bert import modeling_bert  # type: ignore[import-not-found]
    from src.modeling import video_captioning_e2e_vid_swin_bert as whole  # type: ignore[import-not-found]
    return modeling_bert, whole, caption_tensorizer


def build(bert: Any, whole: Any, sparse: str) -> nn.Module:
    """The released model with the weights of the rule."""
    config = bert.BertConfig(
        vocab_size_or_config_json_file=inputs.PIECES, hidden_size=inputs.SIZES["dim"],
        num_hidden_layers=inputs.SIZES["layers"], num_attention_heads=inputs.SIZES["heads"],
        intermediate_size=inputs.SIZES["feedforward"], max_position_embeddings=512, type_vocab_size=2)
    config.img_feature_dim, config.img_feature_type = inputs.SIZES["video_dim"], "frcnn"
    config.label_smoothing = inputs.SMOOTHING
    args = SimpleNamespace(
        use_checkpoint=False, freeze_backbone=False, img_feature_dim=inputs.SIZES["video_dim"], grid_feat=True,
        mask_prob=0.5, max_img_seq_length=inputs.CLIPS, learn_mask_enabled=sparse != "none",
        sparse_mask_soft2hard=sparse == "hard")
    model = whole.VideoTransformer(args, config, Handed(), bert.BertForImageCaptioning(config))
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    model.load_state_dict(inputs.weights(shapes))
    return model.eval()


def attention(tensorizer: Any, lengths: list[int], longest: int, sparse: str, train: bool) -> Tensor:
    """(batch, length, length) as the released code lays them out."""
    made = tensorizer.CaptionTensorizer(
        None, inputs.CLIPS, longest, longest, is_train=train,
        attn_mask_type="seq2seq" if sparse == "none" else "learn_vid_att")
    return torch.stack([made.get_attn_masks(length, length) for length in lengths])


def main(checkout: Path) -> None:
    bert, whole, tensorizer = import_released(checkout)
    arrays: dict[str, np.ndarray] = {}
    words, video, lengths = inputs.captions()
    images = video[:, :, :, None, None]
    targets = inputs.told(words, lengths)
    shapes: dict[str, Any] = {}
    for sparse in ("none", "soft", "hard"):
        model = build(bert, whole, sparse)
        shapes[sparse] = {name: list(value.shape) for name, value in model.state_dict().items()}
        mask = attention(tensorizer, lengths, words.shape[1], sparse, True)
        given = {"input_ids": words, "img_feats": images, "token_type_ids": torch.zeros_like(words)}
        with torch.no_grad():
            found = model(**given, attention_mask=mask.clone(), masked_pos=(targets >= 0).int(),
                          masked_ids=targets[targets >= 0])
            arrays[f"{sparse} loss"], arrays[f"{sparse} scores"] = found[0].numpy(), found[1].numpy()
            if sparse != "none":
                arrays[f"{sparse} sparsity"] = found[-1].numpy()
            for beams in (1, 3):
                longest = inputs.LONGEST
                mask = attention(tensorizer, [longest] * len(words), longest, sparse, False)
                blank = torch.full((len(words), longest), inputs.MASK)
                said = model(
                    input_ids=blank, img_feats=images, attention_mask=mask, token_type_ids=torch.zeros_like(blank),
                    masked_pos=torch.ones_like(blank), is_decode=True, do_sample=False, bos_token_id=inputs.BEGIN,
                    pad_token_id=0, eos_token_ids=[inputs.END], mask_token_id=inputs.MASK, add_od_labels=False,
                    od_labels_start_posid=longest, max_length=longest, num_beams=beams, temperature=1, top_k=0,
                    top_p=1, repetition_penalty=1, length_penalty=1, num_return_sequences=1, num_keep_best=1)[0]
                arrays[f"{sparse} said {beams}"] = said[:, 0].numpy()
                print(sparse, beams, said[:, 0].tolist())
    np.savez_compressed(HERE / "captioner.npz", shapes=json.dumps(shapes), **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
