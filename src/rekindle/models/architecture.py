"""The weights of a Llama-like decoder, extracted from a Hugging Face model.

Our own forward passes (training and decoding) work on these tensors directly. They are the model's parameters, not
copies, so an optimizer step takes effect everywhere at once; with a LoRA adapter they are the effective weights. A
model of another architecture gives None and runs through transformers instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor

from rekindle.models.lora import WithoutAdapter, effective_weight

__all__ = ["DecoderWeights", "LayerWeights", "find_decoder"]

SUPPORTED_MODEL_TYPES = frozenset({"llama", "qwen2", "qwen3", "mistral"})
FIXED_ROTATIONS = frozenset({"default", "linear", "llama3"})
"""Rotary scalings that are independent of the sequence length."""


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One block. Linear weights are [out, in]; biases and head norms are None where the architecture has none."""

    input_norm: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    o: Tensor
    q_bias: Tensor | None
    k_bias: Tensor | None
    v_bias: Tensor | None
    o_bias: Tensor | None
    q_norm: Tensor | None
    k_norm: Tensor | None
    post_norm: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor


@dataclass(frozen=True, slots=True)
class DecoderWeights:
    """A whole decoder: pre-norm RMSNorm blocks, rotary positions, grouped-query attention, SwiGLU.

    Attributes:
        embedding: [V, d].
        padding_idx: Token whose row of ``embedding`` gets no gradient from the lookup.
        layers: The blocks, first to last. An adapter's effective weights are computed when a block is asked for.
        final_norm: [d].
        head: [V, d]; the same tensor as ``embedding`` when weights are tied.
        heads: Query heads.
        kv_heads: Key and value heads.
        head_dim: Width of a head.
        norm_eps: Added to the mean square in every RMSNorm.
        inv_freq: [head_dim / 2] float32 rotary frequencies, radians per position.
        rope_scale: Factor of the rotary cosines and sines.
        max_length: Positions that the model supports.
    """

    embedding: Tensor
    padding_idx: int | None
    layers: Sequence[LayerWeights]
    final_norm: Tensor
    head: Tensor
    heads: int
    kv_heads: int
    head_dim: int
    norm_eps: float
    inv_freq: Tensor
    rope_scale: float
    max_length: int


def find_decoder(model: Any) -> DecoderWeights | None:
    """Return the model's weights where our own forward pass supports the architecture, else None.

    Unsupported, besides other architectures: sliding windows, rotary scaling that depends on the length, partial
    rotation of a head, other activations.
    """
    config = model.config
    if getattr(config, "model_type", None) not in SUPPORTED_MODEL_TYPES or config.hidden_act != "silu":
        return None
    if _has_windows(config) or any(
        getattr(layer.mlp.gate_proj, "bias", None) is not None for layer in model.model.layers
    ):
        return None
    rotary, first = model.model.rotary_emb, model.model.layers[0].self_attn
    head_dim = int(first.head_dim)
    if getattr(rotary, "rope_type", "default") not in FIXED_ROTATIONS or 2 * rotary.inv_freq.numel() != head_dim:
        return None
    return DecoderWeights(
        embedding=model.model.embed_tokens.weight,
        padding_idx=model.model.embed_tokens.padding_idx,
        layers=_Layers(model.model.layers, adapted=not isinstance(model, WithoutAdapter)),
        final_norm=model.model.norm.weight,
        head=model.lm_head.weight,
        heads=first.q_proj.weight.shape[0] // head_dim,
        kv_heads=first.k_proj.weight.shape[0] // head_dim,
        head_dim=head_dim,
        norm_eps=float(config.rms_norm_eps),
        inv_freq=rotary.inv_freq.to(torch.float32),
        rope_scale=float(getattr(rotary, "attention_scaling", 1.0)),
        max_length=int(config.max_position_embeddings),
    )


def _has_windows(config: Any) -> bool:
    """Whether some layer has a limited attention window."""
    kinds = set(getattr(config, "layer_types", None) or ())
    limited = config.model_type == "mistral" and config.sliding_window
    return bool(limited or getattr(config, "use_sliding_window", False) or kinds - {"full_attention"})


class _Layers(Sequence[LayerWeights]):
    """The weights of each block, taken from the model when they are asked for."""

    def __init__(self, modules: Any, *, adapted: bool) -> None:
        self._modules, self._adapted = modules, adapted

    def __len__(self) -> int:
        return len(self._modules)

    @overload
    def __getitem__(self, index: int) -> LayerWeights: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[LayerWeights, ...]: ...
    def __getitem__(self, index: int | slice) -> LayerWeights | tuple[LayerWeights, ...]:
        if isinstance(index, slice):
            return tuple(_layer(module, adapted=self._adapted) for module in self._modules[index])
        return _layer(self._modules[index], adapted=self._adapted)


def _layer(layer: Any, *, adapted: bool) -> LayerWeights:
    attention, mlp = layer.self_attn, layer.mlp

    def weight(linear: Any) -> Tensor:
        return effective_weight(linear, adapted=adapted)

    def norm(name: str) -> Tensor | None:
        module = getattr(attention, name, None)
        return None if module is None else module.weight

    return LayerWeights(
        input_norm=layer.input_layernorm.weight,
        q=weight(attention.q_proj),
        k=weight(attention.k_proj),
        v=weight(attention.v_proj),
        o=weight(attention.o_proj),
        q_bias=attention.q_proj.bias,
        k_bias=attention.k_proj.bias,
        v_bias=attention.v_proj.bias,
        o_bias=attention.o_proj.bias,
        q_norm=norm("q_norm"),
        k_norm=norm("k_norm"),
        post_norm=layer.post_attention_layernorm.weight,
        gate=weight(mlp.gate_proj),
        up=weight(mlp.up_proj),
        down=weight(mlp.down_proj),
    )
