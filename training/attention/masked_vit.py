"""timm's vision transformers with a learnable mask in every block: the same network, weights and names, and masks more.

    model = masked_vit("vit_small_patch16_224", MaskConfig("lam"), num_classes=1000)
    model.load_state_dict(published, strict=False)        # timm's own weights: only masks.* are missing

The mask of a block is made from the block's input (lam-multi) or once from the first block's (lam). With an identity
start the model gives, in float32, bit for bit what timm's gives without its fused kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from features.errors import HeedError
from training.attention.mask import LayerMasks, changed_scores, changed_weights
from training.attention.mask_config import MaskConfig
from training.attention.masked import masked_attention, route


def masked_vit(architecture: str, config: MaskConfig, **options: Any) -> nn.Module:
    """Build one of timm's `VisionTransformer` models with masks in it; ``options`` are `timm.create_model`'s.

    The model's ``masks`` (`LayerMasks`) has the sparsity loss of the last forward pass. With ``config.mask`` "none" it
    is timm's model as it is. Raises `HeedError` where timm is missing or has no such architecture, and where that has
    no blocks of plain self-attention.
    """
    try:
        import timm
    except ImportError:
        raise HeedError("Vision transformers need timm: pip install 'heed[encoders]'.") from None
    if not timm.is_model(architecture):
        raise HeedError(f"timm {timm.__version__} has no architecture {architecture!r}; timm.list_models() lists them.")
    try:
        chosen: dict[str, Any] = {} if config.mask == "none" else {"attn_layer": _attention_class()}
        model = timm.create_model(architecture, **chosen, **options)
    except TypeError as error:
        raise HeedError(f"timm's {architecture} cannot be built with a mask: {error}.") from None
    if config.mask == "none":
        return model
    blocks = getattr(model, "blocks", None)
    if not blocks or not all(isinstance(getattr(block, "attn", None), _attention_class()) for block in blocks):
        raise HeedError(f"{architecture} has no blocks of plain self-attention; a learnable mask fits timm's vit_ and "
                        "deit_ models.")
    longest = model.patch_embed.num_patches + getattr(model, "num_prefix_tokens", 1)
    model.masks = LayerMasks(config, len(blocks), model.embed_dim, longest, blocks[0].attn.num_heads)
    _connect(model.masks, blocks)
    return model


def _connect(masks: LayerMasks, blocks: nn.Sequential) -> None:
    """Before each block, make its mask from its input and hand it to its attention."""
    shared: list[Tensor | None] = [None]

    def before(number: int, block: nn.Module, inputs: tuple) -> tuple:
        tokens = inputs[0]
        if number == 0:
            shared[0] = masks.begin(tokens)
        tokens, block.attn.learned = masks.layer(number, tokens, shared[0])
        return (tokens, *inputs[1:])

    for number, block in enumerate(blocks):
        block.attn.config = masks.config
        block.register_forward_pre_hook(lambda module, inputs, number=number: before(number, module, inputs))


def _attention_class() -> type[nn.Module]:
    global _CLASS
    if _CLASS is None:
        _CLASS = _make_class()
    return _CLASS


_CLASS: type[nn.Module] | None = None


def _make_class() -> type[nn.Module]:
    """timm's attention with a mask; made when it is needed, as timm is not always there."""
    from timm.layers import Attention

    class MaskedAttention(Attention):
        """Self-attention of tokens (batch, length, dim); without a mask it is timm's."""

        learned: Tensor | None = None
        """Set before each forward pass: (batch, 1 or heads, length, length)."""
        config: MaskConfig = MaskConfig()

        def forward(self, x: Tensor, attn_mask: Tensor | None = None, is_causal: bool = False) -> Tensor:
            learned, self.learned = self.learned, None
            if learned is None:
                return super().forward(x, attn_mask, is_causal)
            if attn_mask is not None or is_causal:
                raise HeedError("a learnable mask in a vision transformer takes no attn_mask: images have no padding")
            q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_dim)).permute(2, 0, 3, 1, 4).unbind(0)
            q, k = self.q_norm(q), self.k_norm(k)
            dropout = self.attn_drop.p if self.training else 0.0
            form = route(self.config, q.device, q.dtype, self.head_dim, False, dropout)
            if self.fused_attn and form != "explicit":
                context, _ = masked_attention(q, k, v, learned, self.config, None, dropout, need_weights=False)
            else:
                scores = changed_scores((q * self.scale) @ k.transpose(-2, -1), learned, self.config)
                context = self.attn_drop(changed_weights(scores.softmax(-1), learned, self.config)) @ v
            context = self.norm(context.transpose(1, 2).flatten(2))
            gate: Any = getattr(self, "gate", None)
            if gate is not None:
                context = context * torch.sigmoid(gate(x))
            return self.proj_drop(self.proj(context))

    return MaskedAttention
