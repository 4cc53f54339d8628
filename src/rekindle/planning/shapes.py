"""Sizes of causal language models of the Qwen and Llama kind, counted from their configuration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["SHAPES", "ModelShape", "shape_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A decoder with grouped-query attention and a gated MLP.

    Attributes:
        layers: Number of layers.
        hidden_size: Size of the residual stream.
        intermediate_size: Size of the MLP.
        heads: Query heads of a layer.
        kv_heads: Key and value heads of a layer.
        head_size: Size of a head.
        vocabulary: Rows of the embedding.
        tied: Whether the embedding is the output matrix as well.
        biased: Whether queries, keys and values have biases (Qwen2).
        normed: Whether queries and keys are normalised (Qwen3).
    """

    layers: int
    hidden_size: int
    intermediate_size: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    tied: bool
    biased: bool = False
    normed: bool = False

    @property
    def attention_size(self) -> int:
        """Values of queries, keys and values of a token in a layer."""
        return (self.heads + 2 * self.kv_heads) * self.head_size

    @property
    def layer_parameters(self) -> int:
        """Parameters of a layer."""
        attention = self.hidden_size * (self.attention_size + self.heads * self.head_size)
        extras = self.attention_size * self.biased + 2 * self.head_size * self.normed
        return attention + extras + 3 * self.hidden_size * self.intermediate_size + 2 * self.hidden_size

    @property
    def outer_parameters(self) -> int:
        """Parameters outside of the layers: embedding, output matrix and last norm."""
        return self.vocabulary * self.hidden_size * (1 if self.tied else 2) + self.hidden_size

    @property
    def parameters(self) -> int:
        """All parameters."""
        return self.layers * self.layer_parameters + self.outer_parameters

    def cache_bytes(self, tensor_parallel: int = 1) -> int:
        """Bytes of a token's keys and values in bfloat16 on each GPU; heads are repeated where GPUs outnumber them."""
        heads = -(-self.kv_heads // tensor_parallel)
        return 2 * 2 * self.layers * heads * self.head_size


def shape_of(config: Mapping[str, Any]) -> ModelShape:
    """The shape in a ``config.json`` of Qwen2, Qwen3 or Llama."""
    kind, heads = config["model_type"], config["num_attention_heads"]
    return ModelShape(
        layers=config["num_hidden_layers"],
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_size=config.get("head_dim") or config["hidden_size"] // heads,
        vocabulary=config["vocab_size"],
        tied=config.get("tie_word_embeddings", False),
        biased=kind == "qwen2",
        normed=kind == "qwen3",
    )


SHAPES = {
    "Qwen/Qwen2.5-0.5B-Instruct": ModelShape(
        layers=24,
        hidden_size=896,
        intermediate_size=4864,
        heads=14,
        kv_heads=2,
        head_size=64,
        vocabulary=151936,
        tied=True,
        biased=True,
    ),
    "Qwen/Qwen2.5-1.5B-Instruct": ModelShape(
        layers=28,
        hidden_size=1536,
        intermediate_size=8960,
        heads=12,
        kv_heads=2,
        head_size=128,
        vocabulary=151936,
        tied=True,
        biased=True,
    ),
    "Qwen/Qwen3-1.7B": ModelShape(
        layers=28,
        hidden_size=2048,
        intermediate_size=6144,
        heads=16,
        kv_heads=8,
        head_size=128,
        vocabulary=151936,
        tied=True,
        normed=True,
    ),
    "Qwen/Qwen2.5-7B-Instruct": ModelShape(
        layers=28,
        hidden_size=3584,
        intermediate_size=18944,
        heads=28,
        kv_heads=4,
        head_size=128,
        vocabulary=152064,
        tied=False,
        biased=True,
    ),
    "Qwen/Qwen2.5-32B-Instruct": ModelShape(
        layers=64,
        hidden_size=5120,
        intermediate_size=27648,
        heads=40,
        kv_heads=8,
        head_size=128,
        vocabulary=152064,
        tied=False,
        biased=True,
    ),
}
"""Shapes of the models of examples/, by hub id."""
